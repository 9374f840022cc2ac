/* Who may open a socket: every step's refusal, their order, and what the socket is given. */
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

/* All of ws_vsn_negotiation, by status. */
static void test_recorded_versions(void **state)
{
    (void)state;
    json_object *recording = vector_load("ws_vsn_negotiation"), *steps = vector_steps(recording);
    unsigned seen = 0;
    for (size_t i = 0; i < json_object_array_length(steps); i++) {
        json_object *step = json_object_array_get_idx(steps, i), *how, *query;
        plx_buf text;
        plx_buf_init(&text, 0);
        if (json_object_object_get_ex(step, "connect", &how)) {
            json_object_object_get_ex(how, "query", &query);
            json_object_object_foreach(query, name, value)
            {
                plx_buf_printf(&text, "%s=", name);
                for (const char *p = json_object_get_string(value); *p; p++)
                    plx_buf_printf(&text, "%%%02x", (unsigned char)*p);
            }
        } else if (json_object_object_get_ex(step, "http", &how)) {
            const char *path = json_object_get_string(json_object_object_get(how, "path"));
            plx_buf_str(&text, strchr(path, '?') + 1);
        } else {
            plx_buf_fini(&text);
            continue;
        }
        int status = json_object_get_int(
            json_object_object_get(json_object_object_get(step, "response"), "status"));
        int rc = connect_query(plx_buf_cstr(&text));
        int expected = status == 101 ? 0 : status == 403 ? PLX_E_DENIED : PLX_E_INVALID;
        if (rc != expected)
            fail_msg("step %zu (%s): %d", i, plx_buf_cstr(&text), rc);
        seen++;
        plx_buf_fini(&text);
    }
    json_object_put(recording);
    assert_int_equal(seen, 27);
    assert_int_equal(connect_query("x=1"), 0);
    assert_int_equal(got.vsn, PLX_V1);
    assert_int_equal(connect_query("vsn=2.0.3"), 0);
    assert_int_equal(got.vsn, PLX_V2);
}

static void test_origin(void **state)
{
    (void)state;
    section.check_origin = (plx_strings){same, 1};
    assert_int_equal(connect_query("vsn=2.0.0"), 0);
    origin_header = "http://example.com";
    assert_int_equal(connect_query("vsn=2.0.0"), 0);
    origin_header = "http://evil.example";
    assert_int_equal(connect_query("vsn=2.0.0"), PLX_E_DENIED);
    assert_int_equal(connect_query("vsn=%ff"), PLX_E_DENIED); /* judged first */
    origin_header = "";
    assert_int_equal(connect_query("vsn=2.0.0"), PLX_E_DENIED);
}

static void test_csrf(void **state)
{
    (void)state;
    section.auth.csrf_param = "_csrf";
    section.auth.csrf_cookie = "csrf";
    cookie_header = "sid=1; csrf=a/b+c";
    assert_int_equal(connect_query("x=1&_csrf=a%2Fb%2Bc&y=2"), 0);
    assert_string_equal(got.params, "{\"x\":\"1\",\"y\":\"2\"}");
    assert_int_equal(connect_query("_csrf=a/b+c"), PLX_E_DENIED); /* a plus is a space */
    assert_int_equal(connect_query("_csrf="), PLX_E_DENIED);
    assert_int_equal(connect_query("csrf=a%2Fb%2Bc"), PLX_E_DENIED);
    assert_int_equal(connect_query("_csrf[a]=a%2Fb%2Bc"), PLX_E_DENIED);
    assert_int_equal(connect_query("_csrf[]=a%2Fb%2Bc"), PLX_E_DENIED);
    assert_int_equal(connect_query("x=1"), PLX_E_DENIED);
    cookie_header = NULL;
    assert_int_equal(connect_query("_csrf=a%2Fb%2Bc"), PLX_E_DENIED);
    assert_int_equal(connect_query("_csrf="), PLX_E_DENIED);
    section.auth.csrf_param = section.auth.csrf_cookie = NULL;
    assert_int_equal(connect_query("_csrf=a"), 0);
    assert_string_equal(got.params, "{\"_csrf\":\"a\"}");
}

static void test_parameters(void **state)
{
    (void)state;
    const plx_pair vars[] = {{PLX_LIT("room"), PLX_LIT("a b")}};
    assert_int_equal(connect_with("vsn=2.0.0&a[b]=c&room=x&token=t", "", vars, 1, false), 0);
    assert_string_equal(got.params,
                        "{\"vsn\":\"2.0.0\",\"a\":{\"b\":\"c\"},\"room\":\"a b\",\"token\":\"t\"}");
    assert_string_equal(got.claims, "{}");
    assert_string_equal(got.id, "");
    assert_int_equal(connect_with("vsn=2.0.0&token=session", "", NULL, 0, true), 0);
    assert_string_equal(got.params, "{\"vsn\":\"2.0.0\"}");
    assert_int_equal(connect_query(""), 0);
    assert_string_equal(got.params, "{}");
}

static void test_id(void **state)
{
    (void)state;
    section.id = "user:{params.user_id}";
    assert_int_equal(connect_query("user_id=7&user_id=8"), 0);
    assert_string_equal(got.id, "user:8");
    assert_int_equal(connect_query("user=7"), 0);
    assert_string_equal(got.id, "");
    char query[1200] = "user_id=";
    memset(query + 8, 'x', 1019);
    assert_int_equal(connect_query(query), 0);
    assert_int_equal(strlen(got.id), 1024);
    query[8 + 1019] = 'x';
    assert_int_equal(connect_query(query), PLX_E_DENIED);
}

/* A token that never expires, signed by the recorded application. */
static char *good_token(char **secret, char **salt)
{
    json_object *recording = vector_load("tokens");
    json_object *tokens = json_object_object_get(recording, "tokens");
    *secret = plx_slice_dup(vector_text(recording, "secret"));
    *salt = plx_slice_dup(vector_text(recording, "salt"));
    char *token = NULL;
    for (size_t i = 0; !token && i < json_object_array_length(tokens); i++) {
        json_object *t = json_object_array_get_idx(tokens, i);
        if (plx_slice_is(vector_text(t, "name"), "integer"))
            token = plx_slice_dup(vector_text(t, "token"));
    }
    json_object_put(recording);
    assert_non_null(token);
    return token;
}

static void test_auth(void **state)
{
    (void)state;
    char *secret, *salt, *token = good_token(&secret, &salt), query[1024];
    section.auth = (plx_auth_config){.type = PLX_AUTH_PHOENIX_TOKEN,
                                     .secret = secret,
                                     .salt = salt,
                                     .key_digest = "sha256",
                                     .key_iterations = 1000,
                                     .key_length = 32,
                                     .param = "token",
                                     .claim = "user_id"};
    section.id = "user:{claims.user_id}";
    snprintf(query, sizeof query, "vsn=2.0.0&token=%s&x=1", token);
    assert_int_equal(connect_query(query), 0);
    assert_string_equal(got.claims, "{\"user_id\":99}");
    assert_string_equal(got.id, "user:99");
    assert_string_equal(got.params, "{\"vsn\":\"2.0.0\",\"x\":\"1\"}"); /* the token is not kept */

    assert_int_equal(connect_with("vsn=2.0.0", token, NULL, 0, false), 0);
    assert_string_equal(got.id, "user:99");
    assert_int_equal(connect_with("vsn=2.0.0", "wrong", NULL, 0, false), PLX_E_DENIED);
    assert_int_equal(connect_query("token=wrong"), PLX_E_DENIED);
    assert_int_equal(connect_query("token[a]=wrong"), PLX_E_DENIED);
    assert_int_equal(connect_query("vsn=9.9.9&token=wrong"), PLX_E_DENIED);
    assert_int_equal(connect_query("x=1"), 0);
    assert_string_equal(got.claims, "{}");
    section.auth.required = true;
    assert_int_equal(connect_query("x=1"), PLX_E_DENIED);
    /* The session token of long-polling is not the application's. */
    assert_int_equal(connect_with(query, "", NULL, 0, true), PLX_E_DENIED);
    free(secret);
    free(salt);
    free(token);
}

/* When the socket is to be closed is told; what would be closed at once is refused. */
static void test_expiry(void **state)
{
    (void)state;
    const uint64_t signed_ms = 1700000000000;
    plx_buf token;
    section.auth = (plx_auth_config){.type = PLX_AUTH_PHOENIX_TOKEN,
                                     .secret = "0123456789abcdef0123456789abcdef",
                                     .salt = "salt",
                                     .key_digest = "sha256",
                                     .key_iterations = 1000,
                                     .key_length = 32,
                                     .param = "token",
                                     .claim = "user_id"};
    const plx_phoenix_key key = {plx_slice_of(section.auth.secret), PLX_LIT("salt"), PLX_SHA256,
                                 1000, 32};
    plx_buf_init(&token, 0);
    assert_int_equal(
        plx_phoenix_token_sign(&key, PLX_SHA256, plx_slice_of("7"), signed_ms, 60, &token), 0);
    plx_clock_fake(1, signed_ms + 1000);
    assert_int_equal(connect_with("", plx_buf_cstr(&token), NULL, 0, false), 0);
    assert_true(got.expires_ms >= signed_ms + 60000 && got.expires_ms <= signed_ms + 60001);
    uint64_t last_ms = got.expires_ms - 1;
    plx_clock_fake(1, last_ms);
    assert_int_equal(connect_with("", plx_buf_cstr(&token), NULL, 0, false), 0);
    plx_clock_fake(1, last_ms + 1);
    assert_int_equal(connect_with("", plx_buf_cstr(&token), NULL, 0, false), PLX_E_DENIED);
    assert_int_equal(connect_query("x=1"), 0);
    assert_int_equal(got.expires_ms, 0);
    section.auth.max_age_s = 1;
    plx_clock_fake(1, signed_ms + 999);
    assert_int_equal(connect_with("", plx_buf_cstr(&token), NULL, 0, false), 0);
    assert_true(got.expires_ms <= signed_ms + 1001);
    plx_clock_real();
    plx_buf_fini(&token);
}

/* ---- the hook ---- */

static char *hook_headers[] = {"cookie", "x-phoenix-authtoken"};

static int setup_hook(void **state)
{
    setup(state);
    fake_hook_reset();
    section.auth.type = PLX_AUTH_HOOK;
    section.auth.url = "http://app.example/";
    section.auth.secret = "the secret of the hook";
    section.auth.headers = (plx_strings){hook_headers, 2};
    section.id = "user:{claims.user_id}";
    cookie_header = "sid=1";
    hook = plx_auth_hook_open(NULL, &section);
    return 0;
}

static int teardown_hook(void **state)
{
    (void)state;
    plx_auth_hook_close(hook);
    hook = NULL;
    return 0;
}

static void test_hook_accepts(void **state)
{
    (void)state;
    connect_with("vsn=2.0.0&token=t&x=1", "secret", NULL, 0, false);
    assert_non_null(connecting);
    assert_string_equal(first_asked()->body,
                        "{\"hook\":\"connect\",\"socket\":{\"path\":\"/socket\",\"transport\":"
                        "\"websocket\",\"params\":{\"vsn\":\"2.0.0\",\"token\":\"t\",\"x\":\"1\"},"
                        "\"headers\":{\"cookie\":\"sid=1\",\"x-phoenix-authtoken\":\"secret\"},"
                        "\"remote_ip\":\"192.0.2.1\"}}");
    answer_asked(0, "{\"status\":\"ok\",\"claims\":{\"user_id\":42,\"exp\":1},\"cache_s\":60}");
    assert_int_equal(got.calls, 1);
    assert_int_equal(got.err, 0);
    assert_int_equal(got.vsn, PLX_V2);
    assert_string_equal(got.claims, "{\"user_id\":42,\"exp\":1}");
    assert_string_equal(got.params, "{\"vsn\":\"2.0.0\",\"x\":\"1\"}");
    assert_string_equal(got.id, "user:42");
    assert_int_equal(got.expires_ms, 0); /* exp is a claim like any other */
    /* Again: known at once. */
    assert_int_equal(connect_with("vsn=2.0.0&token=t&x=1", "secret", NULL, 0, false), 0);
    assert_null(connecting);
    assert_string_equal(got.id, "user:42");
    /* Without the token header it is another guest. */
    connect_with("vsn=2.0.0&token=t&x=1", "", NULL, 0, false);
    assert_non_null(connecting);
    assert_null(strstr(first_asked()->body, "authtoken"));
}

static void test_hook_refuses(void **state)
{
    (void)state;
    section.auth.required = false;
    connect_query("x=1");
    answer_asked(0, "{\"status\":\"error\",\"reason\":\"who\\nare you\"}");
    assert_int_equal(got.err, PLX_E_DENIED);
    connect_query("x=1");
    answer_asked(PLX_E_TIMEOUT, "");
    assert_int_equal(got.err, PLX_E_DOWN);
    connect_query("x=1");
    answer_asked(0, "{\"status\":\"ok\",\"claims\":[1]}");
    assert_int_equal(got.err, PLX_E_DOWN);
    connect_query("x=1");
    answer_asked(0, "{\"status\":\"ok\",\"claims\":[]}"); /* as PHP writes an empty array */
    assert_int_equal(got.err, 0);
    assert_string_equal(got.claims, "{}");
    section.id = "{claims.long}";
    char json[1200] = "{\"status\":\"ok\",\"claims\":{\"long\":\"";
    memset(json + strlen(json), 'x', 1025);
    strcat(json, "\"}}");
    connect_query("x=1");
    answer_asked(0, json);
    assert_int_equal(got.err, PLX_E_DENIED);
}

/* The application is not troubled with what is refused anyway. */
static void test_hook_is_asked_last(void **state)
{
    (void)state;
    section.check_origin = (plx_strings){same, 1};
    origin_header = "http://evil.example";
    assert_int_equal(connect_query("vsn=2.0.0"), PLX_E_DENIED);
    origin_header = NULL;
    assert_int_equal(connect_query("vsn=9.9.9"), PLX_E_DENIED);
    assert_int_equal(connect_query("vsn=%ff"), PLX_E_INVALID);
    section.auth.csrf_param = "_csrf";
    section.auth.csrf_cookie = "csrf";
    assert_int_equal(connect_query("vsn=2.0.0&_csrf=1"), PLX_E_DENIED);
    assert_int_equal(asked_count, 0);
    cookie_header = "csrf=1";
    connect_query("vsn=2.0.0&_csrf=1");
    assert_non_null(connecting);
    assert_null(strstr(first_asked()->body, "_csrf"));
}

static void test_hook_cancel(void **state)
{
    (void)state;
    connect_query("x=1");
    assert_non_null(connecting);
    plx_connect_cancel(connecting);
    assert_int_equal(cancelled_count, 1);
    assert_true(plx_list_empty(&asked));
    assert_int_equal(got.calls, 0);
}

static void test_too_much(void **state)
{
    (void)state;
    plx_buf query;
    plx_buf_init(&query, 0);
    plx_buf_str(&query, "a=");
    for (int i = 0; i < 70000; i++)
        plx_buf_byte(&query, 'x');
    assert_int_equal(connect_query(plx_buf_cstr(&query)), PLX_E_INVALID);
    plx_buf_clear(&query);
    plx_buf_str(&query, "a=");
    for (int i = 0; i < 20000; i++) /* short as a query, long as JSON */
        plx_buf_str(&query, "%01");
    assert_int_equal(connect_query(plx_buf_cstr(&query)), PLX_E_INVALID);
    plx_buf_fini(&query);
}

/* ---- the section's module ---- */

/* What it does, by the connect parameter "do". */
static void module_connect(void *state, const plx_connect_info *info, plx_admission *a)
{
    static char long_id[1026];
    char what[32] = "";
    plx_slice cookie = plx_admission_header(a, "cookie");

    assert_ptr_equal(state, &admitter);
    assert_true(plx_slice_is(info->path, "/socket"));
    assert_true(plx_slice_is(info->transport, "websocket"));
    assert_true(plx_slice_is(info->remote_ip, "192.0.2.1"));
    assert_int_equal(plx_admission_header(a, "x-nothing").len, 0);
    plx_object_text(info->params, "do", what, sizeof what);
    if (strcmp(what, "refuse") == 0)
        plx_admission_refuse(a, "told to");
    else if (strcmp(what, "claims") == 0)
        assert_int_equal(plx_admission_claims(a, plx_slice_of(" {\"who\":7} ")), 0);
    else if (strcmp(what, "cookie") == 0)
        assert_int_equal(plx_admission_id(a, cookie), 0);
    else if (strcmp(what, "noid") == 0)
        assert_int_equal(plx_admission_id(a, plx_slice_of("")), 0);
    if (strcmp(what, "bad") != 0)
        return;
    memset(long_id, 'x', sizeof long_id - 1);
    assert_int_equal(plx_admission_id(a, plx_slice_of("good")), 0);
    assert_int_equal(plx_admission_id(a, plx_slice_of("a\nb")), PLX_E_INVALID);
    assert_int_equal(plx_admission_id(a, plx_slice_of("\xff")), PLX_E_INVALID);
    assert_int_equal(plx_admission_id(a, plx_slice_of(long_id)), PLX_E_TOOBIG);
    assert_int_equal(plx_admission_claims(a, plx_slice_of("[]")), PLX_E_INVALID);
    assert_int_equal(plx_admission_claims(a, plx_slice_of("{")), PLX_E_INVALID);
    assert_int_equal(plx_admission_claims(a, plx_slice_make(long_id, 16385)), PLX_E_TOOBIG);
}

static const plx_socket_module judge = {
    .abi = PLX_BACKEND_ABI, .name = "judge", .connect = module_connect};

static void with_module(void)
{
    admitter = (plx_admitter){.module = &judge, .state = &admitter};
    section.id = "user:{params.u}";
}

static void test_module(void **state)
{
    (void)state;
    with_module();
    assert_int_equal(connect_query("vsn=2.0.0&u=1"), 0);
    assert_string_equal(got.id, "user:1");
    assert_string_equal(got.claims, "{}");
    assert_int_equal(connect_query("u=1&do=refuse"), PLX_E_DENIED);
    assert_int_equal(connect_query("u=1&do=claims"), 0);
    assert_string_equal(got.claims, "{\"who\":7}");
    assert_string_equal(got.id, "user:1");
    cookie_header = "from the cookie";
    assert_int_equal(connect_query("u=1&do=cookie"), 0);
    assert_string_equal(got.id, "from the cookie");
    assert_int_equal(connect_query("u=1&do=noid"), 0);
    assert_string_equal(got.id, "");
    assert_int_equal(connect_query("u=1&do=bad"), 0);
    assert_string_equal(got.id, "good");
    assert_string_equal(got.claims, "{}");
}

/* It is not troubled with what is refused anyway. */
static void test_module_is_asked_last(void **state)
{
    (void)state;
    with_module();
    admitter.state = NULL; /* it would complain */
    section.check_origin = (plx_strings){same, 1};
    origin_header = "http://evil.example";
    assert_int_equal(connect_query("vsn=2.0.0"), PLX_E_DENIED);
    origin_header = NULL;
    assert_int_equal(connect_query("vsn=9.9.9"), PLX_E_DENIED);
    assert_int_equal(connect_query("vsn=%ff"), PLX_E_INVALID);
}

/* The request is gone when the application has answered: what the hook names is kept. */
static void test_module_after_the_hook(void **state)
{
    char cookie[] = "sid=1";

    (void)state;
    with_module();
    cookie_header = cookie;
    connect_query("u=1&do=cookie");
    assert_non_null(connecting);
    memset(cookie, '#', 5);
    answer_asked(0, "{\"status\":\"ok\",\"claims\":{\"user_id\":42}}");
    assert_int_equal(got.err, 0);
    assert_string_equal(got.id, "sid=1");
    assert_string_equal(got.claims, "{\"user_id\":42}");
    connect_query("u=1&do=refuse");
    answer_asked(0, "{\"status\":\"ok\",\"claims\":{}}");
    assert_int_equal(got.err, PLX_E_DENIED);
    connect_query("u=2");
    plx_connect_cancel(connecting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_recorded_versions, setup),
        cmocka_unit_test_setup(test_origin, setup),
        cmocka_unit_test_setup(test_csrf, setup),
        cmocka_unit_test_setup(test_parameters, setup),
        cmocka_unit_test_setup(test_id, setup),
        cmocka_unit_test_setup(test_auth, setup),
        cmocka_unit_test_setup(test_expiry, setup),
        cmocka_unit_test_setup_teardown(test_hook_accepts, setup_hook, teardown_hook),
        cmocka_unit_test_setup_teardown(test_hook_refuses, setup_hook, teardown_hook),
        cmocka_unit_test_setup_teardown(test_hook_is_asked_last, setup_hook, teardown_hook),
        cmocka_unit_test_setup_teardown(test_hook_cancel, setup_hook, teardown_hook),
        cmocka_unit_test_setup(test_too_much, setup),
        cmocka_unit_test_setup(test_module, setup),
        cmocka_unit_test_setup(test_module_is_asked_last, setup),
        cmocka_unit_test_setup_teardown(test_module_after_the_hook, setup_hook, teardown_hook),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
