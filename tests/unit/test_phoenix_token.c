/* channel/phoenix_token: tokens made by Plug.Crypto and by Python verify; altered ones do not. */
#include "token_samples.h"

/* A day after the fixtures were signed. */
#define FIXTURE_MS 1795249382464

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
    };
    return cmocka_run_group_tests_name("phoenix_token", tests, NULL, NULL);
}
