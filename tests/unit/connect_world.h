/* A connect with everything that can be asked of it, and what came of it. */
#ifndef PLX_TESTS_CONNECT_WORLD_H
#define PLX_TESTS_CONNECT_WORLD_H

#include "tests/unit/fake_hook.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "channel/phoenix_token.h"
#include "tests/unit/vectors.h"
#include "transport/connect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

/* What the callback was given, copied. */
static struct {
    unsigned calls;
    int err;
    enum plx_vsn vsn;
    uint64_t expires_ms;
    char params[4096], claims[1024], id[1100];
} got;

static void on_connect(void *arg, int err, const plx_connected *c)
{
    assert_ptr_equal(arg, &got);
    got.calls++;
    got.err = err;
    assert_int_equal(err == 0, c != NULL);
    if (!c)
        return;
    got.vsn = c->vsn;
    got.expires_ms = c->expires_ms;
    snprintf(got.params, sizeof got.params, "%.*s", (int)c->params.len, c->params.data);
    snprintf(got.claims, sizeof got.claims, "%.*s", (int)c->claims.len, c->claims.data);
    snprintf(got.id, sizeof got.id, "%.*s", (int)c->id.len, c->id.data);
}

static const char *origin_header, *cookie_header;

static bool header(const plx_http_request *r, const char *name, plx_slice *value)
{
    (void)r;
    if (strcmp(name, "host") == 0) {
        *value = plx_slice_of("example.com");
        return true;
    }
    if (strcmp(name, "cookie") == 0) {
        *value = plx_slice_of(cookie_header);
        return cookie_header;
    }
    *value = plx_slice_of(origin_header);
    return strcmp(name, "origin") == 0 && origin_header;
}

static char *same[] = {"same"}, *any[] = {"any"};
static plx_config config;
static plx_socket_config section;
static plx_admitter admitter;

static int setup(void **state)
{
    (void)state;
    plx_log_init("test", PLX_ERROR);
    memset(&got, 0, sizeof got);
    origin_header = cookie_header = NULL;
    admitter.module = NULL;
    section = (plx_socket_config){.path = "/socket", .check_origin = {any, 1}};
    section.auth.param = "token";
    section.auth.claim = "user_id";
    return 0;
}

static bool skip_session_token(void *arg, size_t index, plx_slice name, plx_slice value)
{
    (void)index;
    (void)value;
    return arg && plx_slice_is(name, "token");
}

static plx_auth_hook *hook;
static plx_connecting *connecting;

static int connect_with(const char *query, const char *auth_token, const plx_pair *vars,
                        size_t var_count, bool skip)
{
    plx_http_request r = {.method = PLX_LIT("GET"),
                          .path = PLX_LIT("/socket/websocket"),
                          .query = plx_slice_of(query),
                          .header = header,
                          .remote_ip = PLX_LIT("192.0.2.1")};
    const plx_connect c = {.config = &config,
                           .socket = &section,
                           .hook = hook,
                           .admitter = &admitter,
                           .transport = "websocket",
                           .request = &r,
                           .path_vars = vars,
                           .path_var_count = var_count,
                           .auth_token = plx_slice_of(auth_token),
                           .skip = skip_session_token,
                           .skip_arg = skip ? &got : NULL};
    got.calls = 0;
    connecting = plx_connect_start(&c, on_connect, &got);
    assert_int_equal(got.calls, connecting ? 0 : 1);
    return got.err;
}

static int connect_query(const char *query)
{
    return connect_with(query, "", NULL, 0, false);
}

#endif
