/* Genuine signatures over payloads that Phoenix would not write; ages, lengths, and signing. */
#include "token_samples.h"

/* ---- Genuine signatures over payloads that Phoenix would not write ---- */

/* Signs any bytes. */
static void sign_payload(plx_slice payload, plx_buf *token)
{
    uint8_t key[32], mac[32];
    plx_pbkdf2(PLX_SHA256, standard.secret, standard.salt, 1000, key, 32);
    plx_buf_clear(token);
    plx_buf_str(token, "SFMyNTY.");
    plx_base64_encode(token, payload, PLX_B64_URL | PLX_B64_NOPAD);
    plx_hmac(PLX_SHA256, plx_slice_make(key, 32), plx_buf_slice(token), mac);
    plx_buf_byte(token, '.');
    plx_base64_encode(token, plx_slice_make(mac, 32), PLX_B64_URL | PLX_B64_NOPAD);
}

static int verify_payload(plx_slice payload)
{
    plx_buf token, out;
    plx_buf_init(&token, 0);
    plx_buf_init(&out, 0);
    sign_payload(payload, &token);
    int err = verify_with(&standard, plx_buf_slice(&token), 0, NOW_MS, &out);
    plx_buf_fini(&token);
    plx_buf_fini(&out);
    return err;
}

#define SIGNED "n\x06\x00\x00\x68\xe5\xcf\x8b\x01"
#define HOUR   "b\x00\x00\x0e\x10"
#define TERM(s)                                                                                    \
    {                                                                                              \
        (s), sizeof(s) - 1                                                                         \
    }

static void test_good_payloads(void **state)
{
    (void)state;
    static const plx_slice payloads[] = {
        TERM("\x83h\x03"
             "a\x01" SIGNED HOUR),
        TERM("\x83h\x02"
             "a\x01" SIGNED), /* the old form, a day */
        TERM("\x83i\x00\x00\x00\x03"
             "a\x01" SIGNED HOUR),
        TERM("\x83h\x03"
             "a\x01" SIGNED "F\x40\xac\x20\x00\x00\x00\x00\x00"), /* 3600.0 */
        TERM("\x83h\x03"
             "a\x01" SIGNED "w\x08infinity"),
        TERM("\x83h\x03"
             "a\x01" SIGNED "o\x00\x00\x00\x04\x00\xff\xff\xff\xff"),
        TERM("\x83h\x03"
             "a\x01" SIGNED "n\x08\x00\xff\xff\xff\xff\xff\xff\xff\x7f"),
    };
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++)
        assert_int_equal(verify_payload(payloads[i]), 0);
}

static void test_bad_payloads(void **state)
{
    (void)state;
    static const plx_slice payloads[] = {
        TERM(""),
        TERM("\x83"),
        TERM("\x82h\x03"
             "a\x01" SIGNED HOUR),
        TERM("h\x03"
             "a\x01" SIGNED HOUR),
        TERM("\x83"
             "a\x01"),
        TERM("\x83h\x00"),
        TERM("\x83h\x01"
             "a\x01"),
        TERM("\x83h\x04"
             "a\x01" SIGNED HOUR "a\x01"),
        TERM("\x83h\x03"
             "a\x01" SIGNED), /* one term less than it says */
        TERM("\x83h\x02"
             "a\x01" SIGNED HOUR), /* one more */
        TERM("\x83h\x03"
             "a\x01" SIGNED HOUR "j"), /* bytes behind */
        TERM("\x83h\x03"
             "a\x01" SIGNED HOUR "\x00"),
        TERM("\x83l\x00\x00\x00\x03"
             "a\x01" SIGNED HOUR "j"),                                 /* a list */
        TERM("\x83P\x00\x00\x00\x10\x78\x9c\x03\x00\x00\x00\x00\x01"), /* compressed */
        TERM("\x83h\xff"
             "a\x01" SIGNED HOUR),
        TERM("\x83i\xff\xff\xff\xff"
             "a\x01" SIGNED HOUR),
        TERM("\x83h\x03"
             "a\x01m\x00\x00\x00\x01x" HOUR), /* times that are none */
        TERM("\x83h\x03"
             "a\x01"
             "F\x42\x78\xbc\xfe\x56\x80\x00\x00" HOUR),
        TERM("\x83h\x03"
             "a\x01" SIGNED "m\x00\x00\x00\x08infinity"),
        TERM("\x83h\x03"
             "a\x01" SIGNED "w\x03nil"),
        TERM("\x83h\x03"
             "a\x01" SIGNED "F\x7f\xf8\x00\x00\x00\x00\x00\x00"),
        TERM("\x83h\x03"
             "a\x01n\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" HOUR),
        TERM("\x83h\x03M\x00\x00\x00\x01\x05\xf8" SIGNED HOUR), /* data that JSON can't say */
        TERM("\x83h\x03m\x00\x00\x00\x01\xff" SIGNED HOUR),
        TERM("\x83h\x03m\xff\xff\xff\xff" SIGNED HOUR),
        TERM("\x83h\x03l\xff\xff\xff\xff" SIGNED HOUR),
        TERM("\x83h\x03t\xff\xff\xff\xff" SIGNED HOUR),
        TERM("\x83h\x03Xw\x01n\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01" SIGNED HOUR),
        TERM("\x83h\x03qw\x01mw\x01"
             "fa\x00" SIGNED HOUR),
        TERM("\x83h\x03\x83"
             "a\x01" SIGNED HOUR), /* a version byte inside */
    };
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++)
        if (verify_payload(payloads[i]) != PLX_E_INVALID)
            fail_msg("case %zu", i);
}

static void test_payload_truncated_everywhere(void **state)
{
    (void)state;
    static const char payload[] = "\x83h\x03t\x00\x00\x00\x01w\x01xl\x00\x00\x00\x02m\x00\x00\x00"
                                  "\x01yn\x05\x00\x01\x02\x03\x04\x05j" SIGNED HOUR;
    assert_int_equal(verify_payload(plx_slice_make(payload, sizeof payload - 1)), 0);
    for (size_t len = 0; len < sizeof payload - 1; len++)
        assert_int_equal(verify_payload(plx_slice_make(payload, len)), PLX_E_INVALID);
}

/* ---- Age ---- */

static int age(uint64_t signed_ms, uint64_t signed_age_s, uint64_t max_age_s, uint64_t now)
{
    plx_buf token, out;
    plx_buf_init(&token, 0);
    plx_buf_init(&out, 0);
    assert_int_equal(plx_phoenix_token_sign(&standard, PLX_SHA256, plx_slice_of("1"), signed_ms,
                                            signed_age_s, &token),
                     0);
    int err = verify_with(&standard, plx_buf_slice(&token), max_age_s, now, &out);
    plx_buf_fini(&token);
    plx_buf_fini(&out);
    return err;
}

static void test_age(void **state)
{
    (void)state;
    const uint64_t t = NOW_MS;
    assert_int_equal(age(t, 60, 0, t), 0);
    assert_int_equal(age(t, 60, 0, t + 60000), 0);
    assert_int_equal(age(t, 60, 0, t + 60001), PLX_E_GONE);
    /* The configuration's replaces the token's, either way. */
    assert_int_equal(age(t, 60, 3600, t + 60001), 0);
    assert_int_equal(age(t, 60, 3600, t + 3600001), PLX_E_GONE);
    assert_int_equal(age(t, 3600, 60, t + 60001), PLX_E_GONE);
    assert_int_equal(age(t, 0, 60, t + 60000), 0);
    assert_int_equal(age(t, 0, 60, t + 60001), PLX_E_GONE);
    /* Infinity. */
    assert_int_equal(age(t, 0, 0, t * 2), 0);
    assert_int_equal(age(0, 0, 0, t), 0);
    /* The future, without tolerance; nobody asks an infinite token for its time. */
    assert_int_equal(age(t + 1, 60, 0, t), PLX_E_INVALID);
    assert_int_equal(age(t + 1, 60, 60, t), PLX_E_INVALID);
    assert_int_equal(age(t + 1, 0, 0, t), 0);
    assert_int_equal(age(t + 1, 0, 60, t), PLX_E_INVALID);
}

static void test_ages_that_were_never_valid(void **state)
{
    (void)state;
    static const plx_slice payloads[] = {
        TERM("\x83h\x03"
             "a\x01" SIGNED "a\x00"),
        TERM("\x83h\x03"
             "a\x01" SIGNED "b\xff\xff\xff\xff"),
        TERM("\x83h\x03"
             "a\x01" SIGNED "F\xbf\xf0\x00\x00\x00\x00\x00\x00"),
        TERM("\x83h\x03"
             "a\x01"
             "a\x00" HOUR),
        TERM("\x83h\x03"
             "a\x01"
             "b\xff\xff\xff\xff" HOUR),
    };
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++)
        assert_int_equal(verify_payload(payloads[i]), PLX_E_GONE);
}

/* ---- Size, signing ---- */

static void test_length(void **state)
{
    (void)state;
    plx_buf json, token, out;
    plx_buf_init(&json, 0);
    plx_buf_init(&token, 0);
    plx_buf_init(&out, 0);
    unsigned signed_ones = 0;
    for (size_t len = 6040; len < 6160; len++) {
        plx_buf_clear(&json);
        plx_buf_clear(&token);
        plx_buf_byte(&json, '"');
        for (size_t i = 0; i < len; i++)
            plx_buf_byte(&json, 'x');
        plx_buf_byte(&json, '"');
        int err =
            plx_phoenix_token_sign(&standard, PLX_SHA256, plx_buf_slice(&json), NOW_MS, 60, &token);
        assert_true(err == 0 || (err == PLX_E_TOOBIG && token.len == 0));
        if (err == 0) {
            assert_true(token.len <= PLX_PHOENIX_TOKEN_MAX);
            assert_int_equal(verify_with(&standard, plx_buf_slice(&token), 0, NOW_MS, &out), 0);
            signed_ones++;
        }
    }
    assert_in_range(signed_ones, 1, 119);
    plx_buf_clear(&json);
    for (size_t i = 0; i <= PLX_PHOENIX_TOKEN_MAX; i++)
        plx_buf_byte(&json, 'A');
    assert_int_equal(verify_with(&standard, plx_buf_slice(&json), 0, NOW_MS, &out), PLX_E_TOOBIG);
    plx_buf_fini(&json);
    plx_buf_fini(&token);
    plx_buf_fini(&out);
}

static void test_small_output(void **state)
{
    (void)state;
    plx_buf out;
    plx_buf_init(&out, 3);
    assert_int_equal(verify_with(&standard, plx_slice_of(foreign[0]), 0, NOW_MS, &out),
                     PLX_E_TOOBIG);
    plx_buf_fini(&out);
}

/* What we sign is, byte for byte, what Plug.Crypto signs where terms have one form only. */
static void test_signing(void **state)
{
    (void)state;
    plx_buf token;
    plx_buf_init(&token, 0);
    static const enum plx_digest digests[] = {PLX_SHA256, PLX_SHA384, PLX_SHA512};
    for (size_t i = 0; i < 3; i++) {
        plx_buf_clear(&token);
        assert_int_equal(plx_phoenix_token_sign(&standard, digests[i], plx_slice_of("\"u\""),
                                                1700000000000, 3600, &token),
                         0);
        assert_string_equal(plx_buf_cstr(&token), foreign[i]);
    }
    plx_buf_clear(&token);
    assert_int_equal(
        plx_phoenix_token_sign(&standard, PLX_SHA256, plx_slice_of("{bad"), NOW_MS, 60, &token),
        PLX_E_INVALID);
    assert_int_equal(token.len, 0);
    plx_buf_fini(&token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_payloads),
        cmocka_unit_test(test_bad_payloads),
        cmocka_unit_test(test_payload_truncated_everywhere),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_ages_that_were_never_valid),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_small_output),
        cmocka_unit_test(test_signing),
    };
    return cmocka_run_group_tests_name("phoenix_token", tests, NULL, NULL);
}
