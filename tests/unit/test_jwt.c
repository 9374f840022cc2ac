/* channel/jwt: signing, and what tests/unit/test_tokens.c can't say from outside. */
#include "base/error.h"
#include "channel/jwt.h"
#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW_MS 1700000000000
static const plx_slice key = PLX_LIT("0123456789abcdef");

static int verify(const char *algorithm, const char *issuer, const char *audience, plx_slice token,
                  plx_buf *claims, plx_verdict *v)
{
    char *listed[] = {(char *)algorithm};
    const plx_strings algorithms = {listed, 1};
    const plx_jwt_rules rules = {&algorithms, issuer, audience};
    return plx_jwt_verify(&rules, key, token, NOW_MS, claims, v);
}

/* The example of RFC 7515 A.1: its header has a line break, its key is binary; it expired in 2011.
 */
static void test_rfc_example(void **state)
{
    (void)state;
    static const char token[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        "cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    static const unsigned char secret[] = {
        3,   35,  53, 75,  43,  15, 165, 188, 131, 126, 6,   101, 119, 123, 166, 143,
        90,  179, 40, 230, 240, 84, 201, 40,  169, 15,  132, 178, 210, 80,  46,  191,
        211, 251, 90, 146, 210, 6,  71,  239, 150, 138, 180, 195, 119, 98,  61,  34,
        61,  46,  33, 114, 5,   46, 79,  8,   192, 205, 154, 245, 103, 208, 128, 163};
    char *listed[] = {(char *)"HS256"};
    const plx_strings algorithms = {listed, 1};
    const plx_jwt_rules rules = {&algorithms, "joe", NULL};
    plx_buf out;
    plx_verdict v;
    plx_buf_init(&out, 0);
    assert_int_equal(plx_jwt_verify(&rules, plx_slice_make(secret, sizeof secret),
                                    plx_slice_of(token), 1300819379999, &out, &v),
                     0);
    assert_string_equal(plx_buf_cstr(&out), "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n "
                                            "\"http://example.com/is_root\":true}");
    assert_int_equal(v.expires_ms, 1300819380000);
    plx_buf_clear(&out);
    assert_int_equal(plx_jwt_verify(&rules, plx_slice_make(secret, sizeof secret),
                                    plx_slice_of(token), 1300819380000, &out, &v),
                     PLX_E_GONE);
    assert_int_equal(out.len, 0);
    plx_buf_fini(&out);
}

static void test_there_and_back(void **state)
{
    (void)state;
    static const char *const algorithms[] = {"HS256", "HS384", "HS512"};
    for (size_t i = 0; i < 3; i++) {
        plx_buf token, out;
        plx_verdict v;
        plx_buf_init(&token, 0);
        plx_buf_init(&out, 0);
        assert_int_equal(
            plx_jwt_sign(algorithms[i], key, plx_slice_of("{\"exp\":1700000001}"), &token), 0);
        for (size_t k = 0; k < 3; k++) {
            int err = verify(algorithms[k], NULL, NULL, plx_buf_slice(&token), &out, &v);
            assert_int_equal(err, i == k ? 0 : PLX_E_INVALID);
        }
        assert_string_equal(plx_buf_cstr(&out), "{\"exp\":1700000001}");
        plx_buf_fini(&token);
        plx_buf_fini(&out);
    }
}

static void test_not_signed(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "[]", "1", "{\"a\":1,\"a\":2}", "{", "{\"a\":1e999}"};
    plx_buf out;
    plx_buf_init(&out, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(plx_jwt_sign("HS256", key, plx_slice_of(bad[i]), &out), PLX_E_INVALID);
    assert_int_equal(plx_jwt_sign("none", key, plx_slice_of("{}"), &out), PLX_E_INVALID);
    assert_int_equal(plx_jwt_sign("HS999", key, plx_slice_of("{}"), &out), PLX_E_INVALID);
    assert_int_equal(plx_jwt_sign("RS256", key, plx_slice_of("{}"), &out), PLX_E_INVALID);
    assert_int_equal(plx_jwt_sign("ES256", key, plx_slice_of("{}"), &out), PLX_E_INVALID);
    assert_int_equal(out.len, 0);
    plx_buf_fini(&out);
}

/* Without exp it never expires, and expectations that are not configured are none. */
static void test_few_rules(void **state)
{
    (void)state;
    plx_buf token, out;
    plx_verdict v;
    plx_buf_init(&token, 0);
    plx_buf_init(&out, 0);
    assert_int_equal(plx_jwt_sign("HS256", key, plx_slice_of("{\"iss\":\"x\"}"), &token), 0);
    assert_int_equal(verify("HS256", NULL, NULL, plx_buf_slice(&token), &out, &v), 0);
    assert_int_equal(v.expires_ms, 0);
    assert_int_equal(verify("HS256", "x", NULL, plx_buf_slice(&token), &out, &v), 0);
    assert_int_equal(verify("HS256", "y", NULL, plx_buf_slice(&token), &out, &v), PLX_E_DENIED);
    assert_int_equal(verify("HS256", "x", "z", plx_buf_slice(&token), &out, &v), PLX_E_DENIED);
    assert_string_equal(v.reason, "token is for another audience");
    plx_buf_fini(&token);
    plx_buf_fini(&out);
}

/* What OpenSSL complained about is not left for whoever looks next on this thread. */
static void test_clean_error_queue(void **state)
{
    (void)state;
    plx_buf out;
    plx_verdict v;
    plx_buf_init(&out, 0);
    assert_int_equal(
        verify("RS256", NULL, NULL, plx_slice_of("eyJhbGciOiJSUzI1NiJ9.e30.AAAA"), &out, &v),
        PLX_E_INVALID);
    plx_jwt_sign("RS256", key, plx_slice_of("{}"), &out);
    assert_int_equal(ERR_peek_error(), 0);
    plx_buf_fini(&out);
}

static void test_small_output(void **state)
{
    (void)state;
    plx_buf token, out;
    plx_verdict v;
    plx_buf_init(&token, 0);
    assert_int_equal(plx_jwt_sign("HS256", key, plx_slice_of("{\"exp\":1e10}"), &token), 0);
    plx_buf_init(&out, 5);
    assert_int_equal(verify("HS256", NULL, NULL, plx_buf_slice(&token), &out, &v), PLX_E_TOOBIG);
    assert_int_equal(out.len, 0);
    assert_int_equal(v.expires_ms, 0);
    plx_buf_fini(&token);
    plx_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_example),       cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_not_signed),        cmocka_unit_test(test_few_rules),
        cmocka_unit_test(test_clean_error_queue), cmocka_unit_test(test_small_output),
    };
    return cmocka_run_group_tests_name("jwt", tests, NULL, NULL);
}
