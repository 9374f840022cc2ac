/* The way from a request to an accepted socket: each step may say no, and says why to the log only.
 *
 * The client is told nothing but 403: what a server tells about its tokens and
 * origins it tells everybody.
 */
#include "transport/connect.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "channel/auth.h"
#include "channel/csrf.h"
#include "channel/message.h"
#include "channel/origin.h"
#include "channel/template.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

/* Bounds of what a socket keeps for its whole life. */
#define PARAMS_MAX 65536
#define CLAIMS_MAX PLX_AUTH_CLAIMS_MAX

/* One decision. The request is gone by the time that an application answers: what is needed then is
 * copied. */
struct plx_connecting {
    const plx_socket_config *socket;
    plx_auth_question *question; /* NULL: it was not asked, or has answered */
    plx_connect_cb *cb;
    void *arg;
    json_object *params;
    plx_buf params_json, claims, id;
    enum plx_vsn vsn;
    uint64_t expires_ms;
    char ip[INET6_ADDRSTRLEN];
    /* For the section's module. */
    const plx_admitter *admitter;
    const char *transport;
    const plx_connect *now; /* NULL once plx_connect_start has returned */
    char **kept;            /* then: values of the headers that auth.headers names, or NULL */
};

typedef struct plx_connecting attempt;

static int refuse(const attempt *a, const char *reason)
{
    plx_log_limited(PLX_INFO, "%s: connect from %s refused: %s", a->socket->path, a->ip, reason);
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

/* ---- what the request says ---- */

static int read_params(attempt *a, const plx_connect *c)
{
    int rc = plx_query_json(c->request->query, c->skip, c->skip_arg, c->path_vars,
                            c->path_var_count, &a->params);
    if (rc == 0)
        return 0;
    refuse(a, rc == PLX_E_TOOBIG ? "query string too large" : "query string is no text");
    return PLX_E_INVALID;
}

static int check_vsn(attempt *a)
{
    json_object *vsn;
    a->vsn = PLX_V1;
    if (!json_object_object_get_ex(a->params, "vsn", &vsn) ||
        plx_vsn_parse(plx_json_text(vsn), &a->vsn) == 0)
        return 0;
    return refuse(a, "unsupported vsn");
}

/* A page that may use its visitor's cookies knows one of them. What it says is for nobody else. */
static int check_csrf(attempt *a, const plx_http_request *r)
{
    const plx_auth_config *auth = &a->socket->auth;
    json_object *proof;
    plx_slice cookies;
    if (!auth->csrf_param)
        return 0;
    if (!r->header(r, "cookie", &cookies))
        cookies = plx_slice_make(NULL, 0);
    json_object_object_get_ex(a->params, auth->csrf_param, &proof);
    if (!plx_csrf_ok(cookies, plx_slice_of(auth->csrf_cookie), plx_json_text(proof)))
        return refuse(a, "CSRF parameter and cookie are not the same");
    json_object_object_del(a->params, auth->csrf_param);
    return 0;
}

static int judge_request(attempt *a, const plx_connect *c)
{
    if (!plx_connect_origin_ok(c))
        return PLX_E_DENIED;
    int rc = read_params(a, c);
    if (rc == 0)
        rc = check_vsn(a);
    if (rc == 0)
        rc = check_csrf(a, c->request);
    return rc;
}

/* ---- who it is ---- */

/* A socket that expired at once would make its client come back at once, for ever: clocks may be
 * asunder by more than a token has left. */
static int check_token(attempt *a, plx_slice token)
{
    plx_auth_result result = {0};
    uint64_t now_ms = plx_wall_ms();
    int rc = plx_auth_check(&a->socket->auth, a->params, token, now_ms, &a->claims, &result);
    if (rc == 0 && result.expires_ms != 0 && result.expires_ms <= now_ms)
        return refuse(a, "token expired");
    a->expires_ms = result.expires_ms;
    if (rc == 0)
        return 0;
    return refuse(a, rc == PLX_E_DENIED ? result.reason : plx_strerror(rc));
}

/* phoenix.js's authToken travels in two ways; the application knows it by one name. */
static bool guest_header(void *arg, const char *name, plx_slice *value)
{
    const plx_connect *c = arg;
    if (strcmp(name, "x-phoenix-authtoken") != 0)
        return c->request->header(c->request, name, value);
    *value = c->auth_token;
    return value->len > 0;
}

static int take_answer(attempt *a, const plx_auth_answer *answer)
{
    char reason[256];
    switch (answer->err) {
    case 0:
        plx_buf_add(&a->claims, answer->claims); /* no longer than CLAIMS_MAX */
        return 0;
    case PLX_E_DENIED:
        snprintf(reason, sizeof reason, "by the application: %.*s", (int)answer->reason.len,
                 answer->reason.data);
        return refuse(a, reason);
    case PLX_E_INVALID:
        refuse(a, "too large a question");
        return PLX_E_INVALID;
    default:
        refuse(a, "no usable answer from the application");
        return PLX_E_DOWN;
    }
}

/* ---- the end ---- */

/* Without the token: nobody behind this point needs it, and it would be kept for long. */
static int write_params(attempt *a)
{
    const plx_auth_config *auth = &a->socket->auth;
    if (auth->type != PLX_AUTH_NONE)
        json_object_object_del(a->params, auth->param);
    if (plx_json_write(&a->params_json, a->params) == 0)
        return 0;
    refuse(a, "query string too large");
    return PLX_E_INVALID;
}

/* A template that asks for what is not there means no id; one that is too long is refused, because
 * nobody could ever name that socket. */
static int make_id(attempt *a)
{
    const char *tmpl = a->socket->id;
    if (!tmpl)
        return 0;
    int rc = plx_template_expand(tmpl, plx_buf_slice(&a->params_json), plx_buf_slice(&a->claims),
                                 &a->id);
    if (rc == 0 || rc == PLX_E_NOTFOUND)
        return 0;
    return refuse(a, "socket id too long");
}

/* ---- the section's module ---- */

/* The request will be gone when the application answers. */
static void keep_headers(attempt *a, const plx_connect *c)
{
    const plx_strings *names = &a->socket->auth.headers;
    plx_slice value;
    if (!a->admitter || !a->admitter->module)
        return;
    a->kept = plx_alloc_zero(names->count + 1, sizeof *a->kept);
    for (size_t i = 0; i < names->count; i++)
        if (c->request->header(c->request, names->items[i], &value))
            a->kept[i] = plx_slice_dup(value);
}

static bool module_header(void *arg, const char *name, plx_slice *value)
{
    const attempt *a = arg;
    const plx_strings *names = &a->socket->auth.headers;
    if (a->now)
        return a->now->request->header(a->now->request, name, value);
    for (size_t i = 0; a->kept && i < names->count; i++) {
        if (strcmp(names->items[i], name) == 0 && a->kept[i]) {
            *value = plx_slice_of(a->kept[i]);
            return true;
        }
    }
    return false;
}

static int ask_module(attempt *a)
{
    if (!a->admitter || !a->admitter->module)
        return 0;
    const plx_connect_info info = {.path = plx_slice_of(a->socket->path),
                                   .transport = plx_slice_of(a->transport),
                                   .remote_ip = plx_slice_of(a->ip),
                                   .params = plx_buf_slice(&a->params_json),
                                   .claims = plx_buf_slice(&a->claims)};
    plx_admission answer = {.header = module_header, .arg = a};
    int rc = 0;
    plx_admitter_ask(a->admitter, &info, &answer);
    if (answer.refused) {
        char reason[sizeof answer.why + 64];
        snprintf(reason, sizeof reason, "by the module: %s", answer.why);
        rc = refuse(a, reason);
    } else {
        if (answer.has_claims) {
            plx_buf_clear(&a->claims);
            plx_buf_add(&a->claims, plx_buf_slice(&answer.claims));
        }
        if (answer.has_id) {
            plx_buf_clear(&a->id);
            plx_buf_add(&a->id, plx_buf_slice(&answer.id));
        }
    }
    plx_admitter_done(&answer);
    return rc;
}

static void attempt_free(attempt *a)
{
    for (size_t i = 0; a->kept && i < a->socket->auth.headers.count; i++)
        free(a->kept[i]);
    free(a->kept);
    json_object_put(a->params);
    plx_buf_fini(&a->params_json);
    plx_buf_fini(&a->claims);
    plx_buf_fini(&a->id);
    free(a);
}

/* Tells, and frees. */
static void finish(attempt *a, int rc)
{
    if (rc == 0)
        rc = write_params(a);
    if (rc == 0)
        rc = make_id(a);
    if (rc == 0)
        rc = ask_module(a);
    const plx_connected connected = {.vsn = a->vsn,
                                     .params = plx_buf_slice(&a->params_json),
                                     .claims = plx_buf_slice(&a->claims),
                                     .id = plx_buf_slice(&a->id),
                                     .expires_ms = a->expires_ms};
    a->cb(a->arg, rc, rc == 0 ? &connected : NULL);
    attempt_free(a);
}

static void on_answer(void *arg, const plx_auth_answer *answer)
{
    attempt *a = arg;
    a->question = NULL;
    finish(a, take_answer(a, answer));
}

/* 0 with a->question set: later. */
static int ask(attempt *a, const plx_connect *c)
{
    plx_auth_answer known;
    const plx_auth_guest guest = {.transport = c->transport,
                                  .remote_ip = c->request->remote_ip,
                                  .params = a->params,
                                  .header = guest_header,
                                  .arg = (void *)(uintptr_t)c};
    a->question = plx_auth_hook_ask(c->hook, &guest, &known, on_answer, a);
    return a->question ? 0 : take_answer(a, &known);
}

plx_connecting *plx_connect_start(const plx_connect *c, plx_connect_cb *cb, void *arg)
{
    attempt *a = plx_alloc_zero(1, sizeof *a);
    a->socket = c->socket;
    a->cb = cb;
    a->arg = arg;
    a->admitter = c->admitter;
    a->transport = c->transport;
    a->now = c;
    plx_buf_init(&a->params_json, PARAMS_MAX);
    plx_buf_init(&a->claims, CLAIMS_MAX);
    plx_buf_init(&a->id, PLX_NAME_MAX);
    snprintf(a->ip, sizeof a->ip, "%.*s", (int)c->request->remote_ip.len,
             c->request->remote_ip.data);

    int rc = judge_request(a, c);
    if (rc == 0)
        rc = c->socket->auth.type == PLX_AUTH_HOOK ? ask(a, c) : check_token(a, c->auth_token);
    if (a->question) {
        keep_headers(a, c);
        a->now = NULL;
        return a;
    }
    finish(a, rc);
    return NULL;
}

void plx_connect_cancel(plx_connecting *a)
{
    plx_auth_question_cancel(a->question);
    attempt_free(a);
}
