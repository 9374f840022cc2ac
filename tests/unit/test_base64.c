/* Base64: RFC 4648's examples, every short input, every truncation, every foreign character. */
#include "base/base64.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define LIT(s) plx_slice_make((s), sizeof(s) - 1)

static const int all_flags[] = {
    PLX_B64_STANDARD,
    PLX_B64_URL,
    PLX_B64_NOPAD,
    PLX_B64_URL | PLX_B64_NOPAD,
};

static void expect_encoded(plx_slice bytes, int flags, const char *text)
{
    plx_buf out;
    plx_buf_init(&out, 0);
    assert_int_equal(plx_base64_encode(&out, bytes, flags), 0);
    assert_string_equal(plx_buf_cstr(&out), text);
    plx_buf_fini(&out);
}

/* Decodes from memory of exactly this size. Returns the code; checks the bytes when it is 0, and
 * that nothing was appended when it is not. */
static int decode(plx_slice text, int flags, plx_slice expected)
{
    char *own = malloc(text.len > 0 ? text.len : 1);
    if (text.len > 0)
        memcpy(own, text.data, text.len);
    plx_buf out;
    plx_buf_init(&out, 0);
    plx_buf_str(&out, "before");
    int rc = plx_base64_decode(&out, plx_slice_make(own, text.len), flags);
    assert_true(plx_slice_starts(plx_buf_slice(&out), LIT("before")));
    plx_slice got = plx_slice_make(out.data + 6, out.len - 6);
    assert_true(rc == 0 ? plx_slice_eq(got, expected) : got.len == 0);
    plx_buf_fini(&out);
    free(own);
    return rc;
}

static void examples_of_the_rfc(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        expect_encoded(plx_slice_of(pairs[i][0]), PLX_B64_STANDARD, pairs[i][1]);
        assert_int_equal(
            decode(plx_slice_of(pairs[i][1]), PLX_B64_STANDARD, plx_slice_of(pairs[i][0])), 0);
    }
    expect_encoded(LIT("\xFB\xFF\xBF"), PLX_B64_STANDARD, "+/+/");
    expect_encoded(LIT("\xFB\xFF\xBF"), PLX_B64_URL, "-_-_");
    expect_encoded(LIT("\xFF"), PLX_B64_URL | PLX_B64_NOPAD, "_w");
    expect_encoded(LIT("\xFF\xFF"), PLX_B64_NOPAD, "//8");
}

static void round_trips(void **state)
{
    (void)state;
    char bytes[70];
    srand(7);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)rand();
        for (size_t f = 0; f < 4; f++) {
            plx_buf text;
            plx_buf_init(&text, 0);
            plx_slice in = plx_slice_make(bytes, len);
            assert_int_equal(plx_base64_encode(&text, in, all_flags[f]), 0);
            assert_int_equal(decode(plx_buf_slice(&text), all_flags[f], in), 0);
            assert_int_equal(decode(plx_buf_slice(&text), PLX_B64_EITHER | PLX_B64_NOPAD, in), 0);
            plx_buf_fini(&text);
        }
    }
}

static void every_pair_of_bytes(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 65536; n++) {
        char bytes[2] = {(char)(n >> 8), (char)n}, text[4];
        plx_buf out;
        plx_buf_init(&out, 4);
        assert_int_equal(plx_base64_encode(&out, plx_slice_make(bytes, 2), PLX_B64_STANDARD), 0);
        assert_int_equal(out.len, 4);
        memcpy(text, out.data, 4);
        plx_buf_clear(&out);
        assert_int_equal(plx_base64_decode(&out, plx_slice_make(text, 4), PLX_B64_STANDARD), 0);
        assert_true(plx_slice_eq(plx_buf_slice(&out), plx_slice_make(bytes, 2)));
        plx_buf_fini(&out);
    }
}

static void every_truncation(void **state)
{
    (void)state;
    static const char text[] = "Zm9vYmFyYg==";
    static const char bytes[] = "foobarb";
    for (size_t len = 0; len < sizeof text - 1; len++) {
        plx_slice part = plx_slice_make(text, len);
        plx_slice whole_groups = plx_slice_make(bytes, len / 4 * 3);
        bool valid = len % 4 == 0;
        assert_int_equal(decode(part, PLX_B64_STANDARD, whole_groups), valid ? 0 : PLX_E_INVALID);
    }
    /* Without padding a tail of two or three digits is fine if its last bits are zero. */
    assert_int_equal(decode(LIT("Zm9vYg"), PLX_B64_NOPAD, LIT("foob")), 0);
    assert_int_equal(decode(LIT("Zm9vYg=="), PLX_B64_NOPAD, LIT("foob")), 0);
    assert_int_equal(decode(LIT("Zm9vYmE"), PLX_B64_NOPAD, LIT("fooba")), 0);
    assert_int_equal(decode(LIT("Zm9vYg="), PLX_B64_NOPAD, LIT("")), PLX_E_INVALID);
    assert_int_equal(decode(LIT("Zm9vY"), PLX_B64_NOPAD, LIT("")), PLX_E_INVALID);
    assert_int_equal(decode(LIT("Zm9vYg"), PLX_B64_STANDARD, LIT("")), PLX_E_INVALID);
}

static void wrong_padding_and_leftover_bits(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "=",     "==",       "===",      "====",     "Z===",     "Zg=",  "Zg===",
        "Zm8==", "Zg==Zg==", "Z=g=",     "=Zg=",     "Zm9v====", "Zh==", "Zm9=",
        "Zm9v=", "Zm9vZ===", "Zm9vZg=a", "Zm 9v===", "Zm9v\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t f = 0; f < 4; f++) {
            if (decode(plx_slice_of(bad[i]), all_flags[f], LIT("")) != PLX_E_INVALID)
                fail_msg("%s with flags %d", bad[i], all_flags[f]);
        }
    }
}

/* Every character at every place of a group and of both tails. */
static void alphabets_are_exact(void **state)
{
    (void)state;
    static const char common[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    for (int c = 0; c < 256; c++) {
        bool both = c != 0 && strchr(common, c);
        bool standard = both || c == '+' || c == '/';
        bool url = both || c == '-' || c == '_';
        for (size_t place = 0; place < 4; place++) {
            char text[5] = "AAAA";
            text[place] = (char)c;
            plx_buf out;
            plx_buf_init(&out, 3);
            plx_slice in = plx_slice_make(text, 4);
            /* '=' in the last place is padding, in the one before it never fits what follows. */
            bool pad = c == '=' && place == 3;
            assert_int_equal(plx_base64_decode(&out, in, PLX_B64_STANDARD) == 0, standard || pad);
            plx_buf_clear(&out);
            assert_int_equal(plx_base64_decode(&out, in, PLX_B64_URL) == 0, url || pad);
            plx_buf_clear(&out);
            assert_int_equal(plx_base64_decode(&out, in, PLX_B64_EITHER) == 0,
                             standard || url || pad);
            plx_buf_clear(&out);
            assert_int_equal(plx_base64_decode(&out, in, PLX_B64_URL | PLX_B64_EITHER) == 0,
                             standard || url || pad);
            plx_buf_fini(&out);
        }
        char tail[2] = {(char)c, 'A'};
        plx_buf out;
        plx_buf_init(&out, 0);
        plx_slice in = plx_slice_make(tail, 2);
        assert_int_equal(plx_base64_decode(&out, in, PLX_B64_URL | PLX_B64_NOPAD) == 0, url);
        plx_buf_fini(&out);
    }
}

static void bounds_hold(void **state)
{
    (void)state;
    plx_buf out;
    plx_buf_init(&out, 7);
    assert_int_equal(plx_base64_encode(&out, LIT("foob"), PLX_B64_STANDARD), PLX_E_TOOBIG);
    assert_int_equal(out.len, 0);
    plx_buf_clear(&out);
    assert_int_equal(plx_base64_encode(&out, LIT("foob"), PLX_B64_NOPAD), 0);
    plx_buf_clear(&out);
    assert_int_equal(plx_base64_decode(&out, LIT("Zm9vYmFyYm"), PLX_B64_NOPAD), PLX_E_INVALID);
    assert_int_equal(plx_base64_decode(&out, LIT("Zm9vYmFyYg"), PLX_B64_NOPAD), 0);
    assert_int_equal(out.len, 7);
    assert_int_equal(plx_base64_decode(&out, LIT("Zg=="), PLX_B64_STANDARD), PLX_E_TOOBIG);
    assert_int_equal(out.len, 7);
    plx_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_rfc),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(every_pair_of_bytes),
        cmocka_unit_test(every_truncation),
        cmocka_unit_test(wrong_padding_and_leftover_bits),
        cmocka_unit_test(alphabets_are_exact),
        cmocka_unit_test(bounds_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
