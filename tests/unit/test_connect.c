/* Who may open a socket: every step's refusal, their order, and what the socket is given. */
#include "connect_world.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
