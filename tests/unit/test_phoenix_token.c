/* channel/phoenix_token: tokens made by Plug.Crypto and by Python verify; altered ones do not. */
#include "channel/phoenix_token.h"
#include "base/base64.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "vectors.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* A day after the fixtures were signed. */
#define FIXTURE_MS 1795249382464
#define NOW_MS     1700000100000

static const plx_phoenix_key standard = {.secret = PLX_LIT("another-secret-key-base"),
                                         .salt = PLX_LIT("salt"),
                                         .digest = PLX_SHA256,
                                         .iterations = 1000,
                                         .length = 32};

/* "u", signed at 1700000000000 for an hour: made with Python's hashlib and hmac. */
static const char *const foreign[] = {
    "SFMyNTY.g2gDbQAAAAF1bgYAAGjlz4sBYgAADhA.e68n_Jm0qNhy0TvtM42s1y3WRWsIVtaeOnkwfAjIyUM",
    "SFMzODQ.g2gDbQAAAAF1bgYAAGjlz4sBYgAADhA."
    "tCB51_cMQXeCuTRiSkDCYAmlC1m4pJ6JYniPbZeSMhZ3ylnyzNjhqQVqC3hgtx3L",
    "SFM1MTI.g2gDbQAAAAF1bgYAAGjlz4sBYgAADhA."
    "uvaYPiSZ8o300Fs_NlqwNpMWUC3PV6tbn4mam13t-nxtI6YQ_5hrrq9Fs9qR6m89kEB1grXrzIr9wypE-ePHgA",
};

static int verify_with(const plx_phoenix_key *key, plx_slice token, uint64_t max_age_s,
                       uint64_t now, plx_buf *out)
{
    plx_buf_clear(out);
    plx_buf_str(out, "<");
    uint64_t expires = 1;
    int err = plx_phoenix_token_verify(key, token, max_age_s, now, out, &expires);
    if (err) {
        assert_int_equal(out->len, 1);
        assert_int_equal(expires, 1); /* untouched */
    } else if (expires > 0) {
        size_t len = out->len;
        assert_true(expires > now);
        assert_int_equal(plx_phoenix_token_verify(key, token, max_age_s, expires - 1, out, NULL),
                         0);
        out->len = len;
        assert_int_equal(plx_phoenix_token_verify(key, token, max_age_s, expires, out, NULL),
                         PLX_E_GONE);
    }
    return err;
}

static int verify(const char *token)
{
    plx_buf out;
    plx_buf_init(&out, 0);
    int err = verify_with(&standard, plx_slice_of(token), 0, NOW_MS, &out);
    plx_buf_fini(&out);
    return err;
}

/* ---- Fixtures ---- */

/* The value's text without white space outside strings, as the fixtures' is wrapped. */
static void compact(plx_slice text, plx_buf *out)
{
    bool string = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '"' && (i == 0 || text.data[i - 1] != '\\'))
            string = !string;
        if (string || !strchr(" \n\t\r", c))
            plx_buf_byte(out, (unsigned char)c);
    }
}

static plx_slice unquoted(plx_json_value v, plx_buf *scratch)
{
    size_t before = scratch->len;
    assert_int_equal(v.type, PLX_JSON_STRING);
    assert_int_equal(plx_json_unquote(v.text, scratch), 0);
    return plx_slice_make(scratch->data + before, scratch->len - before);
}

static unsigned option(plx_slice options, const char *name, unsigned otherwise)
{
    const char *names[] = {name};
    plx_json_value v;
    assert_int_equal(plx_json_cut_object(options, names, &v, 1), 0);
    return v.type == PLX_JSON_NONE ? otherwise : (unsigned)strtoul(v.text.data + 1, NULL, 10);
}

static enum plx_digest option_digest(plx_slice options)
{
    if (memmem(options.data, options.len, "\"sha384\"", 8))
        return PLX_SHA384;
    return memmem(options.data, options.len, "\"sha512\"", 8) ? PLX_SHA512 : PLX_SHA256;
}

enum { TOKEN, JSON, ERROR, OPTIONS };

static void check_fixture(plx_slice item, plx_phoenix_key key)
{
    static const char *const names[] = {"token", "json", "error", "options"};
    plx_json_value v[4];
    plx_buf scratch, out, want;
    plx_buf_init(&scratch, 65536);
    plx_buf_reserve(&scratch, 65536);
    plx_buf_init(&out, 0);
    plx_buf_init(&want, 0);
    assert_int_equal(plx_json_cut_object(item, names, v, 4), 0);
    key.iterations = option(v[OPTIONS].text, "key_iterations", 1000);
    key.length = option(v[OPTIONS].text, "key_length", 32);
    key.digest = option_digest(v[OPTIONS].text);
    plx_slice token = unquoted(v[TOKEN], &scratch);
    int err = verify_with(&key, token, 0, FIXTURE_MS, &out);
    if (v[ERROR].type != PLX_JSON_NULL) {
        bool expired = plx_slice_is(unquoted(v[ERROR], &scratch), "expired");
        assert_int_equal(err, expired ? PLX_E_GONE : PLX_E_INVALID);
    } else {
        assert_int_equal(err, 0);
        plx_buf_str(&want, "<");
        compact(v[JSON].text, &want);
        assert_string_equal(plx_buf_cstr(&out), plx_buf_cstr(&want));
    }
    plx_buf_fini(&scratch);
    plx_buf_fini(&out);
    plx_buf_fini(&want);
}

static void test_fixtures(void **state)
{
    (void)state;
    static const char *const names[] = {"secret", "salt", "tokens"};
    static char file[65536];
    FILE *f = fopen("tests/vectors/tokens.json", "rb");
    assert_non_null(f);
    size_t len = fread(file, 1, sizeof file, f), pos = 0, count = 0;
    fclose(f);
    plx_json_value v[3], item;
    plx_buf scratch;
    plx_buf_init(&scratch, 4096);
    plx_buf_reserve(&scratch, 4096);
    assert_int_equal(plx_json_cut_object(plx_slice_make(file, len), names, v, 3), 0);
    plx_phoenix_key key = {.secret = unquoted(v[0], &scratch), .salt = unquoted(v[1], &scratch)};
    plx_slice none;
    while (plx_json_next(v[2].text, &pos, &none, &item)) {
        check_fixture(item.text, key);
        count++;
    }
    assert_int_equal(count, 29);
    plx_buf_fini(&scratch);
}

static void test_signature_digests(void **state)
{
    (void)state;
    plx_buf out;
    plx_buf_init(&out, 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(verify_with(&standard, plx_slice_of(foreign[i]), 0, NOW_MS, &out), 0);
        assert_string_equal(plx_buf_cstr(&out), "<\"u\"");
    }
    plx_buf_fini(&out);
}

/* ---- Altered tokens ---- */

static void test_every_character_altered(void **state)
{
    (void)state;
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. ";
    for (size_t t = 0; t < 3; t++) {
        char token[256];
        strcpy(token, foreign[t]);
        assert_int_equal(verify(token), 0);
        for (size_t i = 0; token[i]; i++) {
            char right = token[i];
            for (size_t k = 0; k < sizeof alphabet; k++) {
                if (alphabet[k] == right || alphabet[k] == '\0')
                    continue;
                token[i] = alphabet[k];
                if (verify(token) != PLX_E_INVALID)
                    fail_msg("character %zu as '%c': %s", i, alphabet[k], token);
            }
            token[i] = right;
        }
    }
}

static void test_truncated_everywhere(void **state)
{
    (void)state;
    plx_buf out;
    plx_buf_init(&out, 0);
    for (size_t t = 0; t < 3; t++)
        for (size_t len = 0; len < strlen(foreign[t]); len++)
            assert_int_equal(
                verify_with(&standard, plx_slice_make(foreign[t], len), 0, NOW_MS, &out),
                PLX_E_INVALID);
    plx_buf_fini(&out);
}

#define PAYLOAD   "g2gDbQAAAAF1bgYAAGjlz4sBYgAADhA"
#define SIGNATURE "e68n_Jm0qNhy0TvtM42s1y3WRWsIVtaeOnkwfAjIyUM"

static void test_other_forms(void **state)
{
    (void)state;
    static const char *const tokens[] = {
        "",
        ".",
        "..",
        "...",
        "SFMyNTY",
        "SFMyNTY.",
        "SFMyNTY..",
        "SFMyNTY.." SIGNATURE,
        "SFMyNTY." PAYLOAD,
        "SFMyNTY." PAYLOAD ".",
        PAYLOAD "." SIGNATURE,
        "." PAYLOAD "." SIGNATURE,
        "SFMyNTY." PAYLOAD "." SIGNATURE ".",
        "SFMyNTY." PAYLOAD "." SIGNATURE "." SIGNATURE,
        ".SFMyNTY." PAYLOAD "." SIGNATURE,
        " SFMyNTY." PAYLOAD "." SIGNATURE,
        "SFMyNTY." PAYLOAD "." SIGNATURE " ",
        "SFMyNTY." PAYLOAD "." SIGNATURE "\n",
        "SFMyNTY." PAYLOAD "." SIGNATURE "A",
        "SFMyNTY." PAYLOAD "." SIGNATURE "==",
        "SFMyNTY." PAYLOAD "A." SIGNATURE,
        "SFMyNTY." PAYLOAD "=." SIGNATURE,
        "SFMyNTY=." PAYLOAD "." SIGNATURE,
        "sfmynty." PAYLOAD "." SIGNATURE,
        "HS256." PAYLOAD "." SIGNATURE,
        "bm9uZQ." PAYLOAD "." SIGNATURE,  /* none */
        "SFMx." PAYLOAD "." SIGNATURE,    /* HS1 */
        "UlMyNTY." PAYLOAD "." SIGNATURE, /* RS256 */
        "SFMzODQ." PAYLOAD "." SIGNATURE, /* another digest than it was signed with */
        "SFM1MTI." PAYLOAD "." SIGNATURE,
        "eyJhbGciOiJIUzI1NiJ9." PAYLOAD "." SIGNATURE, /* a JWT's head */
        "eyJhbGciOiJub25lIn0.e30.",
        "SFMyNTY.\xff\xfe." SIGNATURE,
        "SFMyNTY." PAYLOAD ".e68n/Jm0qNhy0TvtM42s1y3WRWsIVtaeOnkwfAjIyUM", /* plain base64 */
        "SFMyNTY." PAYLOAD ".e68n_Jm0qNhy0TvtM42s1y3WRWsIVtaeOnkwfAjIyUN", /* spare bits */
    };
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        if (verify(tokens[i]) != PLX_E_INVALID)
            fail_msg("case %zu: %s", i, tokens[i]);
    /* Padding alone changes nothing that was signed. */
    assert_int_equal(verify("SFMyNTY." PAYLOAD "." SIGNATURE "="), 0);
}

static void test_other_keys(void **state)
{
    (void)state;
    plx_phoenix_key keys[8];
    for (size_t i = 0; i < 8; i++)
        keys[i] = standard;
    keys[0].secret = plx_slice_of("another-secret-key-basf");
    keys[1].secret = plx_slice_of("another-secret-key-base ");
    keys[2].salt = plx_slice_of("Salt");
    keys[3].secret = plx_slice_of("another-secret-key-bases"); /* the border to the salt moved */
    keys[3].salt = plx_slice_of("alt");
    keys[4].digest = PLX_SHA384;
    keys[5].iterations = 999;
    keys[6].length = 31;
    keys[7].length = 33;
    plx_buf out;
    plx_buf_init(&out, 0);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(verify_with(&keys[i], plx_slice_of(foreign[0]), 0, NOW_MS, &out),
                         PLX_E_INVALID);
    assert_int_equal(verify_with(&standard, plx_slice_of(foreign[0]), 0, NOW_MS, &out), 0);
    plx_buf_fini(&out);
}

/* More keys than are remembered, twice round: each is derived anew and right. */
static void test_more_keys_than_places(void **state)
{
    (void)state;
    char salts[100][8];
    plx_buf token, out;
    plx_buf_init(&token, 0);
    plx_buf_init(&out, 0);
    for (int i = 0; i < 200; i++) {
        plx_phoenix_key key = standard;
        snprintf(salts[i % 100], sizeof salts[0], "s%d", i % 100);
        key.salt = plx_slice_of(salts[i % 100]);
        key.iterations = 1;
        plx_buf_clear(&token);
        assert_int_equal(
            plx_phoenix_token_sign(&key, PLX_SHA256, plx_slice_of("1"), NOW_MS, 60, &token), 0);
        assert_int_equal(verify_with(&key, plx_buf_slice(&token), 0, NOW_MS, &out), 0);
        key.salt = plx_slice_of("other");
        assert_int_equal(verify_with(&key, plx_buf_slice(&token), 0, NOW_MS, &out), PLX_E_INVALID);
    }
    plx_phoenix_token_forget_keys();
    assert_int_equal(verify(foreign[0]), 0);
    plx_buf_fini(&token);
    plx_buf_fini(&out);
}

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
        cmocka_unit_test(test_fixtures),
        cmocka_unit_test(test_signature_digests),
        cmocka_unit_test(test_every_character_altered),
        cmocka_unit_test(test_truncated_everywhere),
        cmocka_unit_test(test_other_forms),
        cmocka_unit_test(test_other_keys),
        cmocka_unit_test(test_more_keys_than_places),
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
