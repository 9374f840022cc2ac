/* Connects that somebody else decides: the application by a hook, the section's module. */
#include "connect_world.h"

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
