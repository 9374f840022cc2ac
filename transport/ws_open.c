/* From a request head to an open socket: path, method, connect, handshake, in the order in which
 * the recorded server judges them. */
#include "transport/ws_internal.h"

#include "base/crypto.h"
#include "base/error.h"
#include "channel/route.h"
#include "transport/proxy.h"
#include "transport/ws_handshake.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define JSON_TYPE "application/json; charset=utf-8"
#define TEXT_TYPE "text/plain; charset=utf-8"

/* Beyond the time that the application has: a question answers by itself, late or never comes only
 * of a fault. */
#define ANSWER_S 1.

/* The scratch space of one decision; ended before the bytes that led to it are gone. */
typedef struct opening {
    plx_http_request request; /* first: header() is given only this */
    plx_ws_conn *conn;
    plx_route route;
    plx_buf vars, token;
} opening;

static void answer(plx_ws_conn *c, unsigned status, const char *type, const char *text)
{
    plx_buf b;
    plx_buf_init(&b, 0);
    bool head_only = c->head && plx_slice_is(plx_ws_head_method(c->head), "HEAD");
    plx_ws_http_answer(status, type, plx_slice_of(text), head_only, &b);
    if (status != 403 && status != 503)
        c->server->counters.bad_requests++;
    plx_ws_conn_answer(c, plx_buf_slice(&b));
    plx_buf_fini(&b);
}

/* ---- refusing ---- */

static void answer_refusal(plx_ws_conn *c)
{
    if (c->unavailable)
        answer(c, 503, NULL, "");
    else
        answer(c, 403, NULL, "");
}

/* Clients retry a refusal without end and without jitter: a random delay spreads them. */
static void refuse(plx_ws_conn *c)
{
    plx_ws_server *s = c->server;
    uint64_t delay_ms = s->config->refuse_delay_ms;
    if (c->unavailable)
        s->counters.unavailable++;
    else
        s->counters.refused++;
    if (delay_ms == 0 || s->refusing >= PLX_WS_REFUSALS || s->draining) {
        answer_refusal(c);
        return;
    }
    c->state = PLX_WS_REFUSING;
    s->refusing++;
    plx_ws_head_free(c->head);
    c->head = NULL;
    ev_io_stop(s->loop, &c->io);
    plx_ws_conn_deadline(c, plx_random_below((uint32_t)delay_ms + 1) / 1000.);
}

void plx_ws_open_timeout(plx_ws_conn *c)
{
    if (c->state == PLX_WS_REFUSING) {
        answer_refusal(c);
    } else if (c->state == PLX_WS_ASKING) {
        c->server->counters.unavailable++;
        answer(c, 503, NULL, "");
    } else {
        answer(c, 408, NULL, "");
    }
}

/* ---- accepting ---- */

static void upgrade(plx_ws_conn *c, const plx_connected *connected)
{
    plx_ws_server *s = c->server;
    plx_buf extensions, head;
    plx_slice offers;
    plx_buf_init(&extensions, 0);
    plx_buf_init(&head, 0);
    if (c->config->ws_compress) {
        plx_ws_head_get(c->head, "sec-websocket-extensions", &offers);
        plx_ws_deflate_negotiate(offers, &c->deflate, &extensions);
    }
    plx_ws_handshake_answer(c->head, c->phoenix, plx_buf_slice(&extensions), &head);
    c->vsn = connected->vsn;
    plx_ws_conn_opened(c);
    s->counters.opened++;
    plx_blob *bytes = plx_blob_new(plx_buf_slice(&head));
    plx_ws_conn_send(c, bytes);
    plx_blob_unref(bytes);
    plx_ws_socket_open(c, connected, &s->channels[c->config - s->config->sockets]);
    plx_buf_fini(&extensions);
    plx_buf_fini(&head);
    if (connected->expires_ms != 0)
        plx_ws_expiry_start(c, connected->expires_ms);
    if (s->draining)
        plx_ws_conn_close(c, PLX_WS_RESTART, true);
    else if (c->paused) /* with what it sent before this answer */
        plx_ws_socket_relieve(c);
}

static void on_connected(void *arg, int err, const plx_connected *connected)
{
    plx_ws_conn *c = arg;
    c->asking = NULL;
    if (err == PLX_E_INVALID) {
        answer(c, 400, JSON_TYPE, "{\"errors\":{\"detail\":\"Bad Request\"}}");
        return;
    }
    if (err != 0) {
        c->unavailable = err == PLX_E_DOWN;
        refuse(c);
        return;
    }
    const char *wrong = plx_ws_handshake_check(c->head);
    if (wrong)
        answer(c, 400, TEXT_TYPE, wrong);
    else
        upgrade(c, connected);
}

static bool header(const plx_http_request *r, const char *name, plx_slice *value)
{
    const opening *o = (const opening *)(const void *)r;
    return plx_ws_head_get(o->conn->head, name, value);
}

/* The text of the peer's address, or "unix". */
static plx_slice peer_of(int fd, char out[INET6_ADDRSTRLEN])
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    const void *bytes = NULL;
    if (getpeername(fd, (struct sockaddr *)&a, &len) == 0) {
        if (a.ss_family == AF_INET)
            bytes = &((struct sockaddr_in *)(void *)&a)->sin_addr;
        else if (a.ss_family == AF_INET6)
            bytes = &((struct sockaddr_in6 *)(void *)&a)->sin6_addr;
        else if (a.ss_family == AF_UNIX)
            return plx_slice_of("unix");
    }
    if (!bytes || !inet_ntop(a.ss_family, bytes, out, INET6_ADDRSTRLEN))
        return plx_slice_of("");
    return plx_slice_of(out);
}

static void connect_socket(opening *o)
{
    plx_ws_conn *c = o->conn;
    char ip[INET6_ADDRSTRLEN];
    plx_slice forwarded_for, forwarded_proto, subprotocols;
    plx_ws_subprotocol subprotocol;
    plx_client client;
    plx_ws_head_get(c->head, "x-forwarded-for", &forwarded_for);
    plx_ws_head_get(c->head, "x-forwarded-proto", &forwarded_proto);
    plx_ws_head_get(c->head, "sec-websocket-protocol", &subprotocols);
    plx_proxy_client(&c->server->config->trusted_proxies, peer_of(c->io.fd, ip), false,
                     forwarded_for, forwarded_proto, &client);
    plx_ws_read_subprotocols(subprotocols, &subprotocol, &o->token);
    c->phoenix = subprotocol.phoenix;
    o->request = (plx_http_request){.method = plx_ws_head_method(c->head),
                                    .path = plx_ws_head_path(c->head),
                                    .query = plx_ws_head_query(c->head),
                                    .header = header,
                                    .remote_ip = client.ip,
                                    .https = client.https};
    const plx_channels *channels = &c->server->channels[c->config - c->server->config->sockets];
    const plx_connect attempt = {.config = c->server->config,
                                 .socket = c->config,
                                 .hook = channels->auth,
                                 .admitter = &channels->admitter,
                                 .transport = "websocket",
                                 .request = &o->request,
                                 .path_vars = o->route.vars,
                                 .path_var_count = o->route.var_count,
                                 .auth_token = plx_buf_slice(&o->token)};
    plx_connecting *asking = plx_connect_start(&attempt, on_connected, c);
    if (!asking)
        return;
    c->asking = asking;
    c->state = PLX_WS_ASKING;
    plx_ws_conn_deadline(c, (ev_tstamp)c->config->auth.timeout_ms / 1000. + ANSWER_S);
}

static void judge(plx_ws_conn *c)
{
    opening o = {.conn = c};
    plx_buf_init(&o.vars, 0);
    plx_buf_init(&o.token, 0);
    int rc = plx_route_socket(c->server->config, plx_ws_head_path(c->head), &o.route, &o.vars);
    if (rc == 0 && o.route.transport != PLX_ROUTE_WEBSOCKET)
        rc = PLX_E_NOTFOUND;
    if (rc == PLX_E_NOTFOUND) {
        answer(c, 404, JSON_TYPE, "{\"error\":\"not found\"}");
    } else if (rc != 0 || !plx_slice_is(plx_ws_head_method(c->head), "GET")) {
        answer(c, 400, NULL, "");
    } else {
        c->config = o.route.socket;
        connect_socket(&o);
    }
    plx_buf_fini(&o.vars);
    plx_buf_fini(&o.token);
}

void plx_ws_open_feed(plx_ws_conn *c, char **bytes, size_t *len)
{
    size_t used;
    const char *why;
    if (!c->head)
        c->head = plx_ws_head_new();
    enum plx_ws_head_state state = plx_ws_head_feed(c->head, plx_slice_make(*bytes, *len), &used);
    *bytes += used;
    *len -= used;
    if (state == PLX_WS_HEAD_REFUSED) {
        unsigned status = plx_ws_head_refusal(c->head, &why);
        answer(c, status, TEXT_TYPE, why);
    } else if (state == PLX_WS_HEAD_DONE) {
        judge(c);
    }
}
