/* UTF-8: every text whole, in every two pieces and byte by byte, and every code point there is. */
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

typedef struct sample {
    const char *bytes;
    size_t len;
    /* How many bytes a validator reads before it knows that the text is lost; 0: never. */
    size_t fails_at;
    bool complete; /* when it does not fail */
} sample;

#define VALID(s)                                                                                   \
    {                                                                                              \
        (s), sizeof(s) - 1, 0, true                                                                \
    }
#define CUT_SHORT(s)                                                                               \
    {                                                                                              \
        (s), sizeof(s) - 1, 0, false                                                               \
    }
#define BAD(s, at)                                                                                 \
    {                                                                                              \
        (s), sizeof(s) - 1, (at), false                                                            \
    }

static const sample samples[] = {
    VALID(""),
    VALID("plain ASCII text, longer than two words of eight"),
    VALID("a\0b"),
    VALID("\x7F"),
    VALID("\xC2\x80 \xDF\xBF"),
    VALID("\xE0\xA0\x80 \xEC\xBF\xBF \xED\x9F\xBF \xEE\x80\x80 \xEF\xBF\xBF"),
    VALID("\xF0\x90\x80\x80 \xF1\x80\x80\x80 \xF4\x8F\xBF\xBF"),
    VALID("gr\xC3\xBC\xC3\x9F\xE2\x82\xAC\xF0\x9F\x98\x80 and then ASCII again"),
    VALID("\xEF\xBB\xBF"), /* a BOM is UTF-8; whether it may stand there is not decided here */
    CUT_SHORT("abc\xC3"),
    CUT_SHORT("\xE2"),
    CUT_SHORT("\xE2\x82"),
    CUT_SHORT("12345678\xF0\x9F"),
    CUT_SHORT("\xF0\x9F\x98"),
    BAD("\x80", 1),
    BAD("a\xBFz", 2),
    BAD("\xC0\xAF", 1),
    BAD("\xC1\xBF", 1),
    BAD("\xC3(", 2),
    BAD("\xE0\x9F\xBF", 2), /* overlong */
    BAD("\xED\xA0\x80", 2), /* U+D800 */
    BAD("\xED\xBF\xBF", 2), /* U+DFFF */
    BAD("\xE2\x28\xA1", 2),
    BAD("\xE2\x82\x28", 3),
    BAD("\xF0\x8F\xBF\xBF", 2), /* overlong */
    BAD("\xF4\x90\x80\x80", 2), /* U+110000 */
    BAD("\xF5\x80\x80\x80", 1),
    BAD("\xFF", 1),
    BAD("\xF0\x9F\x98\x28", 4),
    BAD("eightbyt\xFE", 9),
    BAD("\xC3\xA9\xA9", 3),
    BAD("\xC3\xC3\xA9", 2),
};

#define EACH_SAMPLE(s)                                                                             \
    (const sample *s = samples; s < samples + sizeof samples / sizeof *samples; s++)

/* Feeds exactly these bytes from memory of their own, so that reading past them is noticed. */
static bool feed(plx_utf8 *state, const char *bytes, size_t len)
{
    char *own = malloc(len > 0 ? len : 1);
    if (len > 0)
        memcpy(own, bytes, len);
    bool ok = plx_utf8_feed(state, plx_slice_make(own, len));
    free(own);
    return ok;
}

static void whole(void **state)
{
    (void)state;
    for
        EACH_SAMPLE(s)
        {
            plx_utf8 u = {0};
            assert_int_equal(feed(&u, s->bytes, s->len), s->fails_at == 0);
            if (s->fails_at == 0)
                assert_int_equal(plx_utf8_complete(&u), s->complete);
            assert_int_equal(plx_utf8_valid(plx_slice_make(s->bytes, s->len)),
                             s->fails_at == 0 && s->complete);
        }
    assert_true(plx_utf8_valid(plx_slice_of(NULL)));
}

/* Also fail fast: a piece is refused if and only if it holds the byte that decides. */
static void every_two_pieces(void **state)
{
    (void)state;
    for
        EACH_SAMPLE(s)
        {
            for (size_t cut = 0; cut <= s->len; cut++) {
                plx_utf8 u = {0};
                bool first = feed(&u, s->bytes, cut);
                assert_int_equal(first, s->fails_at == 0 || s->fails_at > cut);
                if (!first)
                    continue;
                assert_int_equal(feed(&u, s->bytes + cut, s->len - cut), s->fails_at == 0);
                if (s->fails_at == 0)
                    assert_int_equal(plx_utf8_complete(&u), s->complete);
            }
        }
}

static void byte_by_byte(void **state)
{
    (void)state;
    for
        EACH_SAMPLE(s)
        {
            plx_utf8 u = {0};
            size_t i = 0;
            while (i < s->len && feed(&u, s->bytes + i, 1))
                i++;
            assert_int_equal(i, s->fails_at == 0 ? s->len : s->fails_at - 1);
            if (s->fails_at == 0)
                assert_int_equal(plx_utf8_complete(&u), s->complete);
        }
}

static size_t encode(char out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    for (size_t i = more; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((0xFF00 >> (more + 1) & 0xFF) | code);
    return more + 1;
}

static void every_code_point(void **state)
{
    (void)state;
    char out[4];
    for (uint32_t code = 0; code < 0x110400; code++) {
        size_t len = encode(out, code);
        bool scalar = code < 0x110000 && !(code >= 0xD800 && code <= 0xDFFF);
        if (plx_utf8_valid(plx_slice_make(out, len)) != scalar)
            fail_msg("U+%04X", (unsigned)code);
        if (plx_utf8_char(plx_slice_make(out, len)) != (scalar ? len : 0))
            fail_msg("U+%04X alone", (unsigned)code);
    }
}

/* Alone among ASCII, at every place of the words that are skipped as a whole. */
static void every_byte_at_every_place(void **state)
{
    (void)state;
    char text[24];
    for (int c = 0; c < 256; c++) {
        for (size_t at = 0; at < sizeof text; at++) {
            memset(text, 'x', sizeof text);
            text[at] = (char)c;
            assert_int_equal(plx_utf8_valid(plx_slice_make(text, sizeof text)), c < 0x80);
        }
    }
}

static void char_needs_all_its_bytes(void **state)
{
    (void)state;
    static const char *const chars[] = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    assert_int_equal(plx_utf8_char(plx_slice_of(NULL)), 0);
    for (size_t i = 0; i < 4; i++) {
        for (size_t len = 0; len <= i; len++)
            assert_int_equal(plx_utf8_char(plx_slice_make(chars[i], len)), 0);
        assert_int_equal(plx_utf8_char(plx_slice_make(chars[i], i + 1)), i + 1);
    }
    assert_int_equal(plx_utf8_char(plx_slice_of("\xE2\x82\xAC\xFF")), 3);
    assert_int_equal(plx_utf8_char(plx_slice_of("\xFF")), 0);
    assert_int_equal(plx_utf8_char(plx_slice_of("\x80")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),
        cmocka_unit_test(every_two_pieces),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(every_code_point),
        cmocka_unit_test(every_byte_at_every_place),
        cmocka_unit_test(char_needs_all_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
