/* channel/ticket and channel/claims: what tests/unit/test_tokens.c can't say from outside. */
#include "base/error.h"
#include "channel/ticket.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW_MS 1700000000000
static const plx_slice key = PLX_LIT("0123456789abcdef");

static void sign(const char *json, plx_buf *out)
{
    plx_buf_init(out, 0);
    assert_int_equal(plx_ticket_sign(key, plx_slice_of(json), out), 0);
}

/* hmac.new(b"0123456789abcdef", base64.urlsafe_b64encode(b'{"exp":1}').rstrip(b"="), "sha256") */
static void test_known_ticket(void **state)
{
    (void)state;
    plx_buf ticket;
    sign(" {\"exp\":1}\n", &ticket);
    assert_string_equal(plx_buf_cstr(&ticket),
                        "eyJleHAiOjF9."
                        "0b213723105230d0fbbf25507f17de89e8ea9530b35ad2bb8577ac8341b5bc62");
    plx_buf_fini(&ticket);
}

static void test_there_and_back(void **state)
{
    (void)state;
    static const char json[] = "{ \"a\" : [1.50, \"\\u00e9\"], \"exp\":1700000000.0015 }";
    plx_buf ticket, out;
    plx_verdict v;
    sign(json, &ticket);
    plx_buf_init(&out, 0);
    plx_buf_str(&out, "<");
    assert_int_equal(plx_ticket_verify(key, plx_buf_slice(&ticket), NOW_MS, &out, &v), 0);
    assert_string_equal(plx_buf_cstr(&out) + 1, json);
    assert_null(v.reason);
    assert_int_equal(v.expires_ms, NOW_MS + 2); /* the first millisecond that is behind it */
    out.len = 1;
    assert_int_equal(plx_ticket_verify(key, plx_buf_slice(&ticket), NOW_MS + 1, &out, &v), 0);
    out.len = 1;
    assert_int_equal(plx_ticket_verify(key, plx_buf_slice(&ticket), NOW_MS + 2, &out, &v),
                     PLX_E_GONE);
    assert_int_equal(v.expires_ms, 0);
    assert_int_equal(out.len, 1);
    plx_buf_fini(&ticket);
    plx_buf_fini(&out);
}

static void test_small_output(void **state)
{
    (void)state;
    static const char json[] = "{\"exp\":253402300799}";
    plx_buf ticket, out;
    plx_verdict v;
    sign(json, &ticket);
    for (size_t max = 1; max <= strlen(json); max++) {
        plx_buf_init(&out, max);
        int err = plx_ticket_verify(key, plx_buf_slice(&ticket), NOW_MS, &out, &v);
        assert_int_equal(err, max < strlen(json) ? PLX_E_TOOBIG : 0);
        assert_int_equal(out.len, err ? 0 : max);
        assert_int_equal(v.expires_ms, err ? 0 : 253402300799000);
        assert_true(!v.reason == !err);
        plx_buf_fini(&out);
    }
    plx_buf_fini(&ticket);
}

static void test_not_signed(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "1",
                                      "[]",
                                      "{}",
                                      "{\"exp\":\"1\"}",
                                      "{\"exp\":1,\"exp\":2}",
                                      "{\"exp\":1,\"a\":1,\"a\":1}",
                                      "{\"exp\":1",
                                      "{\"exp\":1}x"};
    static char huge[PLX_TICKET_MAX];
    plx_buf out;
    plx_buf_init(&out, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(plx_ticket_sign(key, plx_slice_of(bad[i]), &out), PLX_E_INVALID);
    memset(huge, ' ', sizeof huge);
    memcpy(huge, "{\"exp\":1,\"a\":", 13);
    huge[6200] = '1';
    huge[6201] = '}';
    assert_int_equal(plx_ticket_sign(key, plx_slice_make(huge, 6202), &out), PLX_E_TOOBIG);
    assert_int_equal(out.len, 0);
    plx_buf_fini(&out);
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } cases[] = {{"0", 0},
                 {"-0", 0},
                 {"-1", 0},
                 {"-1e308", 0},
                 {"1", 1000},
                 {"1.0", 1000},
                 {"1e0", 1000},
                 {"0.0001", 1},
                 {"1.0010001", 1002},
                 {"1700000000", 1700000000000},
                 {"9007199254740", 9007199254740000},
                 {"9007199254741", PLX_CLAIMS_FOREVER},
                 {"1e300", PLX_CLAIMS_FOREVER},
                 {"1.7e308", PLX_CLAIMS_FOREVER}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t ms = 7;
        plx_json_value v;
        assert_int_equal(plx_json_check(plx_slice_of(cases[i].text), &v), 0);
        assert_int_equal(plx_claims_time(&v, &ms), 0);
        assert_int_equal(ms, cases[i].ms);
    }
    static const char *const no_numbers[] = {"\"1\"", "null", "true", "[1]", "{}"};
    for (size_t i = 0; i < 5; i++) {
        uint64_t ms;
        plx_json_value v;
        assert_int_equal(plx_json_check(plx_slice_of(no_numbers[i]), &v), 0);
        assert_int_equal(plx_claims_time(&v, &ms), PLX_E_INVALID);
    }
}

/* A thousand names are as quickly told apart as ten. */
static void test_many_names(void **state)
{
    (void)state;
    plx_buf json;
    plx_slice object;
    plx_buf_init(&json, 0);
    plx_buf_byte(&json, '{');
    for (int i = 0; i < 1000; i++)
        plx_buf_printf(&json, "\"\\u0061%d\":1,", i);
    plx_buf_str(&json, "\"x\":1}");
    assert_int_equal(plx_claims_open(plx_buf_slice(&json), &object), 0);
    assert_int_equal(object.len, json.len);
    json.len -= 6;
    plx_buf_str(&json, "\"a500\":1}");
    assert_int_equal(plx_claims_open(plx_buf_slice(&json), &object), PLX_E_INVALID);
    plx_buf_fini(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_ticket), cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_small_output), cmocka_unit_test(test_not_signed),
        cmocka_unit_test(test_times),        cmocka_unit_test(test_many_names),
    };
    return cmocka_run_group_tests_name("ticket", tests, NULL, NULL);
}
