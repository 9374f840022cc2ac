/* The way from a request to an accepted socket: each step may say no, and says why to the log only.
 *
 * The client is told nothing but 403: what a server tells about its tokens and
 * origins it tells everybody.
 */
#include "transport/connect.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "base/log.h"
#include "channel/auth.h"
#include "channel/message.h"
#include "channel/origin.h"
#include "channel/template.h"

/* Bounds of what a socket keeps for its whole life. */
#define PARAMS_MAX 65536
#define CLAIMS_MAX 16384

/* The scratch space of one decision. */
typedef struct attempt {
    const plx_connect *c;
    plx_buf all, params, claims, id;
    enum plx_vsn vsn;
} attempt;

static int refuse(const plx_connect *c, const char *reason)
{
    plx_log_limited(PLX_INFO, "%s: connect from %.*s refused: %s", c->socket->path,
                    (int)c->request->remote_ip.len, c->request->remote_ip.data, reason);
    return PLX_E_DENIED;
}

bool plx_connect_origin_ok(const plx_connect *c)
{
    const plx_http_request *r = c->request;
    plx_slice origin, host;
    bool has_origin = r->header(r, "origin", &origin);
    if (!r->header(r, "host", &host))
        host = plx_slice_make("", 0);
    if (plx_origin_allowed(&c->socket->check_origin, has_origin ? &origin : NULL, host, r->https))
        return true;
    plx_log_limited(PLX_INFO, "%s: origin \"%.*s\" is not in check_origin (host \"%.*s\")",
                    c->socket->path, (int)origin.len, origin.data, (int)host.len, host.data);
    return false;
}

static int read_params(attempt *a)
{
    const plx_connect *c = a->c;
    int rc = plx_query_json(c->request->query, c->skip, c->skip_arg, c->path_vars,
                            c->path_var_count, &a->all);
    if (rc == 0)
        return 0;
    refuse(c, rc == PLX_E_TOOBIG ? "query string too large" : "query string is not UTF-8");
    return PLX_E_INVALID;
}

static int check_vsn(attempt *a)
{
    static const char *const names[] = {"vsn"};
    plx_json_value v;
    if (plx_json_cut_object(plx_buf_slice(&a->all), names, &v, 1) != 0)
        return PLX_E_INVALID; /* not reached: we wrote it */
    if (v.type == PLX_JSON_NONE) {
        a->vsn = PLX_V1;
        return 0;
    }
    /* A version holds nothing that would have been escaped. */
    if (v.type == PLX_JSON_STRING &&
        plx_vsn_parse(plx_slice_make(v.text.data + 1, v.text.len - 2), &a->vsn) == 0)
        return 0;
    return refuse(a->c, "unsupported vsn");
}

static int check_auth(attempt *a)
{
    plx_auth_result result = {0};
    int rc = plx_auth_check(&a->c->socket->auth, plx_buf_slice(&a->all), a->c->auth_token,
                            plx_wall_ms(), &a->claims, &result);
    if (rc == 0)
        return 0;
    return refuse(a->c, rc == PLX_E_DENIED ? result.reason : plx_strerror(rc));
}

/* Without the token: nobody behind this point needs it, and it would be kept for long. */
static void copy_params(attempt *a)
{
    const plx_auth_config *auth = &a->c->socket->auth;
    plx_slice text = plx_buf_slice(&a->all), key;
    plx_json_value value;
    size_t pos = 0;
    plx_buf unquoted;

    plx_buf_init(&unquoted, 0);
    plx_buf_byte(&a->params, '{');
    while (plx_json_next(text, &pos, &key, &value)) {
        plx_buf_clear(&unquoted);
        plx_json_unquote(key, &unquoted);
        if (auth->type != PLX_AUTH_NONE && plx_slice_is(plx_buf_slice(&unquoted), auth->param))
            continue;
        if (a->params.len > 1)
            plx_buf_byte(&a->params, ',');
        plx_buf_add(&a->params, key);
        plx_buf_byte(&a->params, ':');
        plx_buf_add(&a->params, value.text);
    }
    plx_buf_byte(&a->params, '}');
    plx_buf_fini(&unquoted);
}

/* A template that asks for what is not there means no id; one that is too long is refused, because
 * nobody could ever name that socket. */
static int make_id(attempt *a)
{
    const char *tmpl = a->c->socket->id;
    if (!tmpl)
        return 0;
    int rc =
        plx_template_expand(tmpl, plx_buf_slice(&a->params), plx_buf_slice(&a->claims), &a->id);
    if (rc == 0 || rc == PLX_E_NOTFOUND)
        return 0;
    return refuse(a->c, "socket id too long");
}

static int decide(attempt *a)
{
    if (!plx_connect_origin_ok(a->c))
        return PLX_E_DENIED;
    int rc = read_params(a);
    if (rc == 0)
        rc = check_vsn(a);
    if (rc == 0)
        rc = check_auth(a);
    if (rc == 0) {
        copy_params(a);
        rc = make_id(a);
    }
    return rc;
}

void plx_connect_start(const plx_connect *c, plx_connect_cb *cb, void *arg)
{
    attempt a = {.c = c};
    plx_buf_init(&a.all, PARAMS_MAX);
    plx_buf_init(&a.params, 0); /* no longer than `all` */
    plx_buf_init(&a.claims, CLAIMS_MAX);
    plx_buf_init(&a.id, PLX_NAME_MAX);

    int rc = decide(&a);
    const plx_connected connected = {.vsn = a.vsn,
                                     .params = plx_buf_slice(&a.params),
                                     .claims = plx_buf_slice(&a.claims),
                                     .id = plx_buf_slice(&a.id)};
    cb(arg, rc, rc == 0 ? &connected : NULL);

    plx_buf_fini(&a.all);
    plx_buf_fini(&a.params);
    plx_buf_fini(&a.claims);
    plx_buf_fini(&a.id);
}
