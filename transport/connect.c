/* The way from a request to an accepted socket: each step may say no, and says why to the log only.
 *
 * The client is told nothing but 403: what a server tells about its tokens and
 * origins it tells everybody.
 */
#include "transport/connect.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "channel/auth.h"
#include "channel/csrf.h"
#include "channel/message.h"
#include "channel/origin.h"
#include "channel/template.h"

/* Bounds of what a socket keeps for its whole life. */
#define PARAMS_MAX 65536
#define CLAIMS_MAX 16384

/* The scratch space of one decision. */
typedef struct attempt {
    const plx_connect *c;
    json_object *params;
    plx_buf params_json, claims, id;
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
                            c->path_var_count, &a->params);
    if (rc == 0)
        return 0;
    refuse(c, rc == PLX_E_TOOBIG ? "query string too large" : "query string is no text");
    return PLX_E_INVALID;
}

static int check_vsn(attempt *a)
{
    json_object *vsn;
    a->vsn = PLX_V1;
    if (!json_object_object_get_ex(a->params, "vsn", &vsn) ||
        plx_vsn_parse(plx_json_text(vsn), &a->vsn) == 0)
        return 0;
    return refuse(a->c, "unsupported vsn");
}

/* A page that may use its visitor's cookies knows one of them. What it says is for nobody else. */
static int check_csrf(attempt *a)
{
    const plx_auth_config *auth = &a->c->socket->auth;
    const plx_http_request *r = a->c->request;
    json_object *proof;
    plx_slice cookies;
    if (!auth->csrf_param)
        return 0;
    if (!r->header(r, "cookie", &cookies))
        cookies = plx_slice_make(NULL, 0);
    json_object_object_get_ex(a->params, auth->csrf_param, &proof);
    if (!plx_csrf_ok(cookies, plx_slice_of(auth->csrf_cookie), plx_json_text(proof)))
        return refuse(a->c, "CSRF parameter and cookie are not the same");
    json_object_object_del(a->params, auth->csrf_param);
    return 0;
}

static int check_auth(attempt *a)
{
    plx_auth_result result = {0};
    int rc = plx_auth_check(&a->c->socket->auth, a->params, a->c->auth_token, plx_wall_ms(),
                            &a->claims, &result);
    if (rc == 0)
        return 0;
    return refuse(a->c, rc == PLX_E_DENIED ? result.reason : plx_strerror(rc));
}

/* Without the token: nobody behind this point needs it, and it would be kept for long. */
static int write_params(attempt *a)
{
    const plx_auth_config *auth = &a->c->socket->auth;
    if (auth->type != PLX_AUTH_NONE)
        json_object_object_del(a->params, auth->param);
    if (plx_json_write(&a->params_json, a->params) == 0)
        return 0;
    refuse(a->c, "query string too large");
    return PLX_E_INVALID;
}

/* A template that asks for what is not there means no id; one that is too long is refused, because
 * nobody could ever name that socket. */
static int make_id(attempt *a)
{
    const char *tmpl = a->c->socket->id;
    if (!tmpl)
        return 0;
    int rc = plx_template_expand(tmpl, plx_buf_slice(&a->params_json), plx_buf_slice(&a->claims),
                                 &a->id);
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
        rc = check_csrf(a);
    if (rc == 0)
        rc = check_auth(a);
    if (rc == 0)
        rc = write_params(a);
    if (rc == 0)
        rc = make_id(a);
    return rc;
}

void plx_connect_start(const plx_connect *c, plx_connect_cb *cb, void *arg)
{
    attempt a = {.c = c};
    plx_buf_init(&a.params_json, PARAMS_MAX);
    plx_buf_init(&a.claims, CLAIMS_MAX);
    plx_buf_init(&a.id, PLX_NAME_MAX);

    int rc = decide(&a);
    const plx_connected connected = {.vsn = a.vsn,
                                     .params = plx_buf_slice(&a.params_json),
                                     .claims = plx_buf_slice(&a.claims),
                                     .id = plx_buf_slice(&a.id)};
    cb(arg, rc, rc == 0 ? &connected : NULL);

    json_object_put(a.params);
    plx_buf_fini(&a.params_json);
    plx_buf_fini(&a.claims);
    plx_buf_fini(&a.id);
}
