/* What must answer before `pollux dev` says that it is ready: everything that a client would use,
 * asked for in the way in which a client would, through the web server. */
#include "channel/cli/dev.h"
#include "base/alloc.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

bool plx_dev_redis_answers(plx_dev *d, plx_buf *why)
{
    return plx_dev_probe_redis(d->redis_url, why);
}

/* Before the web server starts: it would note each refusal in its log. */
bool plx_dev_workers_listen(plx_dev *d, plx_buf *why)
{
    char *fcgi = plx_asprintf("%s/fcgi.sock", d->place.run);
    bool fcgi_listens = plx_dev_probe_listens(fcgi, 0);
    bool ws_listens = plx_dev_probe_listens(NULL, d->ws_port);

    if (!fcgi_listens)
        plx_buf_printf(why, "pollux-fcgi does not listen on %s ", fcgi);
    if (!ws_listens)
        plx_buf_printf(why, "pollux-ws does not listen on 127.0.0.1:%u", d->ws_port);
    free(fcgi);
    return fcgi_listens && ws_listens;
}

/* The path of a socket with its variables filled in. */
static char *example_path(const char *path, const char *tail)
{
    char *out = plx_alloc(2 * strlen(path) + strlen(tail) + 1), *to = out;

    while (*path != '\0') {
        if (*path == ':' && to > out && to[-1] == '/') {
            *to++ = 'x';
            path += strcspn(path, "/");
        } else {
            *to++ = *path++;
        }
    }
    strcpy(to, tail);
    return out;
}

static const plx_socket_config *first_socket(const plx_dev *d, bool websocket)
{
    size_t i;

    for (i = 0; i < d->config->socket_count; i++) {
        const plx_socket_config *s = &d->config->sockets[i];

        if (websocket ? s->websocket : s->longpoll)
            return s;
    }
    return NULL;
}

/* Whether a stranger could connect. Where an application is asked it may not run yet, and it is
 * not to be bothered; a refusal would take its time and stand in the log. */
static bool lets_in(const plx_socket_config *s)
{
    return s->auth.type != PLX_AUTH_HOOK && !s->auth.required;
}

static bool ask(plx_dev *d, const char *method, const char *target, const char *headers,
                plx_buf *answer)
{
    int status = plx_dev_probe_http(d->port, method, target, headers, d->signals, answer);

    if (status < 0)
        plx_buf_printf(answer, "%s: %s", target, plx_strerror(status));
    return status >= 100 && status < 500;
}

static bool get(plx_dev *d, const char *target, const char *headers, plx_buf *answer)
{
    return ask(d, "GET", target, headers, answer);
}

/* A POST that nothing comes of: answered at once, without looking at who it is. */
static bool knock(plx_dev *d, const char *target, plx_buf *answer)
{
    return ask(d, "POST", target, "Connection: close\r\nContent-Length: 0\r\n", answer);
}

bool plx_dev_polls_answer(plx_dev *d, plx_buf *why)
{
    const plx_socket_config *socket = first_socket(d, false);
    char *target;
    bool ok;

    if (socket == NULL)
        return true;
    target = example_path(socket->path, "/longpoll?vsn=2.0.0");
    ok = lets_in(socket) ? get(d, target, "Connection: close\r\n", why) : knock(d, target, why);
    ok = ok && strstr(plx_buf_cstr(why), "\"status\"") != NULL;
    free(target);
    return ok;
}

bool plx_dev_api_answers(plx_dev *d, plx_buf *why)
{
    char *target, *headers;
    bool ok;

    if (d->config->api.path == NULL)
        return true;
    target = plx_asprintf("%s/health", d->config->api.path);
    headers = plx_asprintf("Connection: close\r\nX-Pollux-Key: %s\r\n",
                           d->config->api.keys.count > 0 ? d->config->api.keys.items[0] : "");
    ok = get(d, target, headers, why) && strstr(plx_buf_cstr(why), " 200 ") != NULL;
    free(target);
    free(headers);
    return ok;
}

bool plx_dev_websockets_answer(plx_dev *d, plx_buf *why)
{
    const plx_socket_config *socket = first_socket(d, true);
    char *target;
    bool ok;

    if (socket == NULL)
        return true;
    target = example_path(socket->path, "/websocket?vsn=2.0.0");
    if (lets_in(socket))
        ok = get(d, target,
                 "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: cG9sbHV4IGRldiBwcm9iZQ==\r\n",
                 why);
    else
        ok = knock(d, target, why);
    free(target);
    return ok;
}
