/* channel/auth: which token is judged, what becomes of it. */
#include "channel/auth.h"
#include "base/error.h"
#include "channel/phoenix_token.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define NOW_MS   1700000000000
#define CURRENT  "the-current-secret-key-base"
#define PREVIOUS "the-previous-secret-key-base"

static plx_auth_config config(void)
{
    return (plx_auth_config){.type = PLX_AUTH_PHOENIX_TOKEN,
                             .secret = (char *)CURRENT,
                             .salt = (char *)"user socket",
                             .key_digest = (char *)"sha256",
                             .key_iterations = 1,
                             .key_length = 32,
                             .param = (char *)"token",
                             .claim = (char *)"user_id"};
}

/* A token for data, signed now for a minute; in one of a few static buffers. */
static const char *token_of(const char *secret, enum plx_digest digest, const char *data)
{
    static char texts[4][1024];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    plx_phoenix_key key = {plx_slice_of(secret), PLX_LIT("user socket"), digest, 1, 32};
    plx_buf b;
    plx_buf_init(&b, sizeof texts[0] - 1);
    assert_int_equal(plx_phoenix_token_sign(&key, PLX_SHA256, plx_slice_of(data), NOW_MS, 60, &b),
                     0);
    strcpy(text, plx_buf_cstr(&b));
    plx_buf_fini(&b);
    return text;
}

static const char *current(const char *data)
{
    return token_of(CURRENT, PLX_SHA256, data);
}

/* {"other":1,"token":"..."} */
static const char *params_with(const char *token)
{
    static char texts[4][1100];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    snprintf(text, sizeof texts[0], "{\"other\":1,\"token\":\"%s\"}", token);
    return text;
}

static int check(const plx_auth_config *a, const char *params, plx_slice transport, uint64_t now,
                 plx_buf *claims, plx_auth_result *result)
{
    json_object *object = NULL;
    int err;
    if (*params)
        assert_int_equal(plx_json_read(plx_slice_of(params), &object), 0);
    err = plx_auth_check(a, object, transport, now, claims, result);
    json_object_put(object);
    return err;
}

/* Asserts that it is accepted with these claims. */
static void accepts(const plx_auth_config *a, const char *params, const char *transport,
                    bool authenticated, const char *claims)
{
    plx_buf out;
    plx_auth_result r;
    plx_buf_init(&out, 0);
    assert_int_equal(check(a, params, plx_slice_of(transport), NOW_MS, &out, &r), 0);
    assert_string_equal(plx_buf_cstr(&out), claims);
    assert_int_equal(r.authenticated, authenticated);
    assert_null(r.reason);
    plx_buf_fini(&out);
}

static void refuses_at(const plx_auth_config *a, const char *params, const char *transport,
                       uint64_t now, const char *reason)
{
    plx_buf out;
    plx_auth_result r;
    plx_buf_init(&out, 0);
    assert_int_equal(check(a, params, plx_slice_of(transport), now, &out, &r), PLX_E_DENIED);
    assert_string_equal(r.reason, reason);
    assert_false(r.authenticated);
    assert_int_equal(out.len, 0);
    plx_buf_fini(&out);
}

static void refuses(const plx_auth_config *a, const char *params, const char *transport,
                    const char *reason)
{
    refuses_at(a, params, transport, NOW_MS, reason);
}

static void test_none(void **state)
{
    (void)state;
    plx_auth_config a = config();
    a.type = PLX_AUTH_NONE;
    accepts(&a, "{}", "", false, "{}");
    accepts(&a, "", "", false, "{}");
    accepts(&a, params_with("bad"), "bad", false, "{}");
    accepts(&a, params_with(current("1")), current("1"), false, "{}");
}

static void test_claims(void **state)
{
    (void)state;
    plx_auth_config a = config();
    accepts(&a, params_with(current("42")), "", true, "{\"user_id\":42}");
    accepts(&a, params_with(current("\"ann\"")), "", true, "{\"user_id\":\"ann\"}");
    accepts(&a, params_with(current("null")), "", true, "{\"user_id\":null}");
    accepts(&a, params_with(current("[1,2]")), "", true, "{\"user_id\":[1,2]}");
    accepts(&a, params_with(current("{\"a\":{\"b\":1}}")), "", true, "{\"a\":{\"b\":1}}");
    accepts(&a, params_with(current("{}")), "", true, "{}");
    a.claim = (char *)"s\"ub";
    accepts(&a, params_with(current("7")), "", true, "{\"s\\\"ub\":7}");
}

static void test_absent_token(void **state)
{
    (void)state;
    plx_auth_config a = config();
    static const char *const params[] = {"", "{}", "{\"token\":\"\"}", "{\"token\":null}",
                                         "{\"Token\":\"x\"}"};
    for (size_t i = 0; i < 5; i++) {
        a.required = false;
        accepts(&a, params[i], "", false, "{}");
        a.required = true;
        refuses(&a, params[i], "", "token missing");
    }
}

/* Wrong is wrong, required or not. */
static void test_wrong_tokens(void **state)
{
    (void)state;
    plx_auth_config a = config();
    for (int required = 0; required < 2; required++) {
        a.required = required;
        refuses(&a, params_with("bad"), "", "token invalid");
        refuses(&a, params_with(token_of(PREVIOUS, PLX_SHA256, "1")), "", "token invalid");
        refuses(&a, "{\"token\":1}", "", "token is no text");
        refuses(&a, "{\"token\":{\"a\":\"b\"}}", "", "token is no text");
        refuses(&a, "{\"token\":[\"x\"]}", "", "token is no text");
        refuses(&a, "{\"token\":true}", "", "token is no text");
        refuses(&a, "{\"token\":\" \"}", "", "token invalid");
        refuses_at(&a, params_with(current("1")), "", NOW_MS + 60001, "token expired");
        refuses_at(&a, params_with(current("1")), "", NOW_MS - 1, "token invalid");
    }
}

static void test_transport_first(void **state)
{
    (void)state;
    plx_auth_config a = config();
    accepts(&a, "{}", current("1"), true, "{\"user_id\":1}");
    accepts(&a, params_with(current("2")), current("1"), true, "{\"user_id\":1}");
    accepts(&a, params_with("bad"), current("1"), true, "{\"user_id\":1}");
    refuses(&a, params_with(current("2")), "bad", "token invalid");
    accepts(&a, params_with(current("2")), "", true, "{\"user_id\":2}");
}

static void test_other_param(void **state)
{
    (void)state;
    plx_auth_config a = config();
    a.param = (char *)"other";
    refuses(&a, params_with(current("1")), "", "token is no text");
    a.param = (char *)"jeton";
    accepts(&a, params_with("bad"), "", false, "{}");
}

static void test_rotation(void **state)
{
    (void)state;
    plx_auth_config a = config();
    const char *old = token_of(PREVIOUS, PLX_SHA256, "1");
    refuses(&a, params_with(old), "", "token invalid");
    a.previous_secret = (char *)PREVIOUS;
    accepts(&a, params_with(old), "", true, "{\"user_id\":1}");
    accepts(&a, params_with(current("2")), "", true, "{\"user_id\":2}");
    refuses(&a, params_with(token_of("a-third-secret-key-base", PLX_SHA256, "1")), "",
            "token invalid");
    refuses_at(&a, params_with(old), "", NOW_MS + 60001, "token expired");
}

static void test_options(void **state)
{
    (void)state;
    plx_auth_config a = config();
    const char *other = token_of(CURRENT, PLX_SHA512, "1");
    refuses(&a, params_with(other), "", "token invalid");
    a.key_digest = (char *)"sha512";
    accepts(&a, params_with(other), "", true, "{\"user_id\":1}");
    a.key_digest = (char *)"sha384";
    refuses(&a, params_with(other), "", "token invalid");
    accepts(&a, params_with(token_of(CURRENT, PLX_SHA384, "1")), "", true, "{\"user_id\":1}");
    a = config();
    a.max_age_s = 3600;
    plx_buf out;
    plx_auth_result r;
    plx_buf_init(&out, 0);
    assert_int_equal(check(&a, "", plx_slice_of(current("1")), NOW_MS + 60001, &out, &r), 0);
    plx_buf_fini(&out);
}

static uint64_t expiry_of(const plx_auth_config *a, const char *params)
{
    plx_buf out;
    plx_auth_result r = {.expires_ms = 1};
    plx_buf_init(&out, 0);
    assert_int_equal(check(a, params, plx_slice_of(""), NOW_MS, &out, &r), 0);
    plx_buf_fini(&out);
    return r.expires_ms;
}

/* A minute as signed, an hour as configured, no token. */
static void test_expiry(void **state)
{
    (void)state;
    plx_auth_config a = config();
    assert_int_equal(expiry_of(&a, params_with(current("1"))), NOW_MS + 60001);
    a.max_age_s = 3600;
    assert_int_equal(expiry_of(&a, params_with(current("1"))), NOW_MS + 3600001);
    assert_int_equal(expiry_of(&a, "{}"), 0);
    a.max_age_s = 1ull << 44; /* beyond what a millisecond is exact for */
    assert_int_equal(expiry_of(&a, params_with(current("1"))), 0);
}

static void test_sizes(void **state)
{
    (void)state;
    static char params[PLX_PHOENIX_TOKEN_MAX + 64];
    plx_auth_config a = config();
    strcpy(params, "{\"token\":\"");
    memset(params + 10, 'x', PLX_PHOENIX_TOKEN_MAX + 1);
    strcpy(params + 11 + PLX_PHOENIX_TOKEN_MAX, "\"}");
    refuses(&a, params, "", "token too long");
    params[11 + PLX_PHOENIX_TOKEN_MAX] = '\0';
    refuses(&a, "", params + 10, "token too long");
    /* No room for the claims. */
    for (size_t max = 1; max < 13; max++) {
        plx_buf out;
        plx_auth_result r;
        plx_buf_init(&out, max);
        assert_int_equal(check(&a, "", plx_slice_of(current("1")), NOW_MS, &out, &r), PLX_E_TOOBIG);
        assert_int_equal(out.len, 0);
        assert_false(r.authenticated);
        plx_buf_fini(&out);
    }
}

/* The longest data that a token holds, in its longest JSON. */
static void test_longest_claims(void **state)
{
    (void)state;
    plx_auth_config a = config();
    plx_phoenix_key key = {PLX_LIT(CURRENT), PLX_LIT("user socket"), PLX_SHA256, 1, 32};
    plx_buf json, token, out;
    plx_auth_result r;
    plx_buf_init(&json, 0);
    plx_buf_init(&token, 0);
    plx_buf_init(&out, 0);
    plx_buf_byte(&json, '"');
    for (int i = 0; i < 6000; i++)
        plx_buf_str(&json, "\\u0001");
    plx_buf_byte(&json, '"');
    assert_int_equal(
        plx_phoenix_token_sign(&key, PLX_SHA256, plx_buf_slice(&json), NOW_MS, 60, &token), 0);
    assert_int_equal(check(&a, "", plx_buf_slice(&token), NOW_MS, &out, &r), 0);
    assert_int_equal(out.len, json.len + 12);
    plx_buf_fini(&json);
    plx_buf_fini(&token);
    plx_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_absent_token),
        cmocka_unit_test(test_wrong_tokens),
        cmocka_unit_test(test_transport_first),
        cmocka_unit_test(test_other_param),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_longest_claims),
    };
    return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}
