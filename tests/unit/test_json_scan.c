/* The JSON scanner. Every text is checked from memory of exactly its size, so that a look past the
 * end is noticed by the address sanitizer. json-c serves as a second opinion wherever a mutilated
 * text is accepted: what we let through must be JSON to others too.
 */
#include "base/error.h"
#include "base/json_scan.h"

#include <json-c/json.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define LIT(s) plx_slice_make((s), sizeof(s) - 1)

typedef struct sample {
    const char *bytes;
    size_t len;
} sample;

#define S(s)                                                                                       \
    {                                                                                              \
        (s), sizeof(s) - 1                                                                         \
    }
#define EACH_OF(array, s)                                                                          \
    (const sample *s = (array); s < (array) + sizeof(array) / sizeof *(array); s++)

static const sample valid[] = {
    S("null"),
    S("true"),
    S("false"),
    S("0"),
    S("-0"),
    S("-0.0"),
    S("7"),
    S("123456789012345678901234567890"),
    S("1.10"),
    S("1e5"),
    S("1E+2"),
    S("0.1e-6"),
    S("-12.5E-10"),
    S("100000000000000000000.0"),
    S("1.7976931348623157e308"),
    S("5e-324"),
    S("1e-400"),
    S("0e999999999999999999999999"),
    S("1e00000000000000000000000000000308"),
    S("123456.789e3"),
    S("\"\""),
    S("\"plain text that is longer than eight bytes\""),
    S("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    S("\"\\u0041\\u00e9\\ud83d\\ude00\\u0000\\u007f\\u2028\\uFFFF\\uabCD\""),
    S("\"\\uD800\\uDC00\\udbff\\udfff\""),
    S("\"gr\xC3\xBC\xC3\x9F\xE2\x82\xAC\xF0\x9F\x98\x80 \x7F \xE2\x80\xA8 \xEF\xBF\xBF\""),
    S("[]"),
    S("{}"),
    S("[ ]"),
    S("{ \t\r\n }"),
    S("[[],{},[{}]]"),
    S("[1,2 , \"a\",null\t,true,false]"),
    S("{\"a\":1,\"a\":2}"),
    S("{\"\":{\"\\u0061\":[1,{\"b\":\"}\"}]},\"c\" : \"]\"}"),
    S("  [1]"),
    S("\r\n{\"a\" : [ 1 , 2 ] }"),
    S("[\"1\",\"2\",\"room:a\",\"echo\",{\"a\":1,\"a\":2}]"),
    S("[\"1\",\"2\",\"room:a\",\"echo\",{\"a\":123456789012345678901234567890}]"),
    S("[\"1\",\"2\",\"room:a\",\"echo\",{\"a\":1.10,\"b\":-0,\"c\":-0.0,\"d\":1e5,\"e\":1E+2,"
      "\"f\":0.1e-6,\"g\":100000000000000000000.0,\"h\":1.7976931348623157e308,\"i\":5e-324,"
      "\"j\":123456.789e3}]"),
    S("[\"1\",\"2\",\"room:a\",\"echo\",{\"a\":\"\\u0041\\u00e9\\ud83d\\ude00\\/\\b\\f\\n\\r\\t"
      "\\u0000\\u007f\\u2028\"}]"),
    S("[\"1\",\"2\",\"room:a\",\"echo\",{\"a\":\"<\\/script>&\"}]"),
    S("[\"1\",\"2\",\"room:a\",\"echo\",{\"b\":1,\"a\":2,\"\":3,\"\xC3\xA9\":4,\"B\":5,\"aa\":6}]"),
    S("[null,\"7\",\"phoenix\",\"heartbeat\",{}]"),
    S("{\"topic\":\"room:a\",\"event\":\"phx_join\",\"payload\":{},\"ref\":\"1\","
      "\"join_ref\":\"1\"}"),
};

static const sample invalid[] = {
    S(""),
    S(" "),
    S("\0"),
    S("nul"),
    S("nullx"),
    S("Null"),
    S("TRUE"),
    S("truefalse"),
    S("NaN"),
    S("[NaN]"),
    S("Infinity"),
    S("-Infinity"),
    S("[Infinity]"),
    S("undefined"),
    /* numbers */
    S("-"),
    S("+1"),
    S("01"),
    S("-01"),
    S("00"),
    S(".5"),
    S("-.5"),
    S("1."),
    S("1.e5"),
    S("1e"),
    S("1e+"),
    S("1e-"),
    S("1e1.5"),
    S("1 2"),
    S("0x10"),
    S("1_000"),
    S("1a"),
    S("--1"),
    S("1e400"),
    S("-1e400"),
    S("[1,1e309]"),
    S("1e99999999999999999999999999999999"),
    S("0.000001e315"),
    S("0.000000e-1e"),
    S("1.7976931348623159e308"),
    /* strings */
    S("\""),
    S("\"a"),
    S("a\""),
    S("'a'"),
    S("['a']"),
    S("{'a':1}"),
    S("\"a\"b"),
    S("\"raw\x01"
      "ctl\""),
    S("\"\n\""),
    S("\"\t\""),
    S("\"\0\""),
    S("\"\x1F\""),
    S("\"\\\""),
    S("\"\\x41\""),
    S("\"\\a\""),
    S("\"\\'\""),
    S("\"\\0\""),
    S("\"\\U0041\""),
    S("\"\\u\""),
    S("\"\\u004\""),
    S("\"\\u00g1\""),
    S("\"\\u+041\""),
    S("\"\\u 041\""),
    S("\"\\ud83d\""),
    S("\"\\ud83dx\""),
    S("\"\\ud83d\\n\""),
    S("\"\\ud83d\\u0041\""),
    S("\"\\ud83d\\ud83d\\ude00\""),
    S("\"\\ude00\""),
    S("\"\\ude00\\ud83d\""),
    S("\"\\ud83d\\\\ude00\""),
    S("\"\\ud83d\xED\xB8\x80\""),
    S("\"\xED\xA0\xBD\""),             /* a lone surrogate, raw */
    S("\"\xED\xA0\xBD\xED\xB8\x80\""), /* a pair, raw (CESU-8) */
    S("\"\xED\xBF\xBF\""),
    S("\"\x80\""),
    S("\"\xC0\x80\""),
    S("\"\xC3\""),
    S("\"\xC3\"\""),
    S("\"\xF4\x90\x80\x80\""),
    S("\"\xFF\""),
    S("{\"\\ud83d\":1}"),
    S("{\"\xFF\":1}"),
    /* structure */
    S("["),
    S("]"),
    S("{"),
    S("}"),
    S("[}"),
    S("{]"),
    S("[[]"),
    S("[]]"),
    S("[,]"),
    S("[1,]"),
    S("[,1]"),
    S("[1,,2]"),
    S("[1 2]"),
    S("[1:2]"),
    S("[\"a\":1]"),
    S("{,}"),
    S("{\"a\"}"),
    S("{\"a\":}"),
    S("{\"a\":1,}"),
    S("{\"a\",1}"),
    S("{\"a\" 1}"),
    S("{\"a\"::1}"),
    S("{\"a\":1 \"b\":2}"),
    S("{\"a\":1;\"b\":2}"),
    S("{1:1}"),
    S("{a:1}"),
    S("{null:1}"),
    S("{[]:1}"),
    S("{\"a\":1,2}"),
    S("[{\"a\":1]}"),
    S("[1]x"),
    S("[1] x"),
    S("[] []"),
    S("{}{}"),
    S("1,2"),
    S("[1]\0"),
    S("[1]\x0C"),
    S("\x0B[1]"),
    S("\xC2\xA0[1]"),
    S("[1]\xE2\x80\xA8"),
    S("\xEF\xBB\xBF[1]"),
    S("[1]\xEF\xBB\xBF"),
    S("// c\n1"),
    S("/* c */ 1"),
    S("[1 /* c */]"),
    S("[1 // c\n]"),
    S("# c\n1"),
    /* as recorded from a Phoenix server, which refuses them too */
    S("[\"1\",\"2\",\"room:a\",\"echo\",{\"a\":1e400}]"),
    S("[\"1\",\"2\",\"room:a\",\"echo\",{\"a\":\"\\ud83d\"}]"),
    S("[\"1\",\"2\",\"room:a\",\"echo\",{\"a\":\"\\ude00\\ud83d\"}]"),
    S("[\"1\",\"2\",\"room:a\",\"echo\",{\"a\":\"raw\x01"
      "ctl\"}]"),
    S("[\"1\",\"2\",\"room:a\",\"echo\",{\"a\":01}]"),
    S("[\"1\",\"2\",\"room:a\",\"echo\",{\"a\":+1}]"),
    S("[\"1\",\"2\",\"room:a\",\"echo\",{\"a\":.5}]"),
    S("[\"1\",\"2\",\"room:a\",\"echo\",{\"a\":1.}]"),
    S("[\"1\",\"2\",\"room:a\",\"echo\",{\"a\":1,}]"),
    S("\xEF\xBB\xBF[\"1\",\"2\",\"room:a\",\"echo\",{}]"),
    S("[\"1\",\"2\",\"room:a\",\"echo\",{}] x"),
};

/* Checks a copy of exactly this size. All entries must agree: the cutting ones are validators too.
 * Returns whether it is valid, and the value's range as offsets. */
static bool check(const char *bytes, size_t len, size_t *from, size_t *to)
{
    char *own = malloc(len > 0 ? len : 1);
    if (len > 0)
        memcpy(own, bytes, len);
    plx_slice text = plx_slice_make(own, len);
    plx_json_value value = {.type = PLX_JSON_NONE};
    bool ok = plx_json_check(text, &value) == 0;

    size_t count = 12345;
    plx_json_value items[2];
    bool array = plx_json_cut_array(text, items, 2, &count) == 0;
    assert_int_equal(array, ok && value.type == PLX_JSON_ARRAY);
    if (!array)
        assert_int_equal(count, 12345);
    static const char *const names[] = {"a", "topic"};
    bool object = plx_json_cut_object(text, names, items, 2) == 0;
    assert_int_equal(object, ok && value.type == PLX_JSON_OBJECT);
    assert_int_equal(plx_json_check(text, NULL) == 0, ok);

    if (ok) {
        *from = (size_t)(value.text.data - own);
        *to = *from + value.text.len;
        assert_true(*to <= len && *from < *to);
    } else {
        assert_int_equal(value.type, PLX_JSON_NONE);
    }
    free(own);
    return ok;
}

static bool is_valid(const char *bytes, size_t len)
{
    size_t from, to;
    return check(bytes, len, &from, &to);
}

/* json-c's opinion: strict, the whole text. */
static bool json_c_accepts(const char *bytes, size_t len)
{
    struct json_tokener *tokener = json_tokener_new_ex(PLX_JSON_DEPTH + 1);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    /* It needs the NUL to know that a number is over. */
    char *own = malloc(len + 1);
    memcpy(own, bytes, len);
    own[len] = '\0';
    struct json_object *o = json_tokener_parse_ex(tokener, own, (int)len + 1);
    bool ok = json_tokener_get_error(tokener) == json_tokener_success &&
              json_tokener_get_parse_end(tokener) == len;
    json_object_put(o);
    free(own);
    json_tokener_free(tokener);
    return ok;
}

static void valid_texts(void **state)
{
    (void)state;
    for
        EACH_OF(valid, s)
        {
            if (!is_valid(s->bytes, s->len))
                fail_msg("refused: %s", s->bytes);
            if (!json_c_accepts(s->bytes, s->len))
                fail_msg("json-c disagrees: %s", s->bytes);
        }
}

static void invalid_texts(void **state)
{
    (void)state;
    for
        EACH_OF(invalid, s)
        {
            if (is_valid(s->bytes, s->len))
                fail_msg("accepted: %s", s->bytes);
        }
}

/* Also in the places where a value can stand. */
static void invalid_texts_inside(void **state)
{
    (void)state;
    static const char *const frames[] = {"[%s]", "[0,%s]", "[%s,0]", "{\"a\":%s}",
                                         "[{\"a\":[%s]}]"};
    for
        EACH_OF(invalid, s)
        {
            /* What is a list of values or ends in the white space of its surroundings is fine
             * inside. */
            if (plx_slice_is(plx_slice_make(s->bytes, s->len), "1,2") ||
                memchr(s->bytes, 0, s->len) || s->len == 0 ||
                plx_slice_is(plx_slice_make(s->bytes, s->len), " "))
                continue;
            for (size_t f = 0; f < sizeof frames / sizeof *frames; f++) {
                char *text = NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                assert_true(asprintf(&text, frames[f], s->bytes) > 0);
#pragma GCC diagnostic pop
                if (is_valid(text, strlen(text)))
                    fail_msg("accepted: %s", text);
                free(text);
            }
        }
}

static void white_space_around(void **state)
{
    (void)state;
    static const char space[] = " \t\r\n";
    for
        EACH_OF(valid, s)
        {
            size_t from, to, inner_from, inner_to;
            char *text = malloc(s->len + 8);
            assert_true(check(s->bytes, s->len, &inner_from, &inner_to));
            memcpy(text, space, 4);
            memcpy(text + 4, s->bytes, s->len);
            memcpy(text + 4 + s->len, space, 4);
            assert_true(check(text, s->len + 8, &from, &to));
            assert_int_equal(from, inner_from + 4);
            assert_int_equal(to, inner_to + 4);
            free(text);
        }
}

/* A text cut short is no JSON, unless what is missing is white space or digits. */
static void every_truncation(void **state)
{
    (void)state;
    for
        EACH_OF(valid, s)
        {
            size_t from, to;
            char *text = malloc(s->len + 2);
            memcpy(text, s->bytes, s->len);
            memcpy(text + s->len, " \n", 2);
            assert_true(check(text, s->len + 2, &from, &to));
            char first = text[from];
            bool number = first == '-' || (first >= '0' && first <= '9');
            for (size_t len = 0; len < s->len + 2; len++) {
                bool digit = len > from && text[len - 1] >= '0' && text[len - 1] <= '9';
                bool expected = len >= to || (number && digit);
                if (is_valid(text, len) != expected)
                    fail_msg("%.*s", (int)len, text);
            }
            free(text);
        }
}

static void every_corrupted_byte(void **state)
{
    (void)state;
    unsigned accepted = 0;
    for
        EACH_OF(valid, s)
        {
            char *text = malloc(s->len);
            memcpy(text, s->bytes, s->len);
            for (size_t at = 0; at < s->len; at++) {
                for (int c = 0; c < 256; c++) {
                    text[at] = (char)c;
                    if (!is_valid(text, s->len))
                        continue;
                    accepted++;
                    if (!json_c_accepts(text, s->len))
                        fail_msg("json-c disagrees: %.*s", (int)s->len, text);
                }
                text[at] = s->bytes[at];
            }
            free(text);
        }
    assert_true(accepted > 10000);
}

static void every_deleted_and_doubled_byte(void **state)
{
    (void)state;
    for
        EACH_OF(valid, s)
        {
            char *text = malloc(s->len + 1);
            for (size_t at = 0; at < s->len; at++) {
                memcpy(text, s->bytes, at);
                memcpy(text + at, s->bytes + at + 1, s->len - at - 1);
                if (is_valid(text, s->len - 1))
                    assert_true(json_c_accepts(text, s->len - 1));
                memcpy(text, s->bytes, at + 1);
                memcpy(text + at + 1, s->bytes + at, s->len - at);
                if (is_valid(text, s->len + 1))
                    assert_true(json_c_accepts(text, s->len + 1));
            }
            free(text);
        }
}

/* Every byte at every distance from the start of a word, so that the fast path sees all of them. */
static void every_byte_in_a_string(void **state)
{
    (void)state;
    char text[26];
    for (int c = 0; c < 256; c++) {
        bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
        for (size_t at = 1; at <= 24; at++) {
            memset(text, 'x', sizeof text);
            text[0] = text[25] = '"';
            text[at] = (char)c;
            assert_int_equal(is_valid(text, sizeof text), plain);
        }
    }
}

static void every_escaped_code_unit(void **state)
{
    (void)state;
    char text[16];
    for (unsigned code = 0; code < 0x10000; code++) {
        bool surrogate = code >= 0xD800 && code <= 0xDFFF;
        int len = snprintf(text, sizeof text, "\"\\u%04x\"", code);
        plx_slice string = plx_slice_make(text, (size_t)len);
        assert_int_equal(plx_json_check(string, NULL) == 0, !surrogate);
        len = snprintf(text, sizeof text, "\"\\uDBFF\\u%04X\"", code);
        assert_int_equal(plx_json_check(plx_slice_make(text, (size_t)len), NULL) == 0,
                         code >= 0xDC00 && code <= 0xDFFF);
        len = snprintf(text, sizeof text, "\"\\u%04X\\uDC00\"", code);
        assert_int_equal(plx_json_check(plx_slice_make(text, (size_t)len), NULL) == 0,
                         code >= 0xD800 && code <= 0xDBFF);
    }
}

static bool nested_is_valid(const char *open, const char *inner, const char *close, int depth)
{
    size_t o = strlen(open), c = strlen(close), i = strlen(inner), n = (size_t)depth;
    char *text = malloc(n * (o + c) + i + 1), *at = text;
    for (int k = 0; k < depth; k++, at += o)
        memcpy(at, open, o);
    memcpy(at, inner, i);
    at += i;
    for (int k = 0; k < depth; k++, at += c)
        memcpy(at, close, c);
    bool ok = is_valid(text, (size_t)(at - text));
    free(text);
    return ok;
}

static void depth_is_bounded(void **state)
{
    (void)state;
    assert_true(nested_is_valid("[", "", "]", PLX_JSON_DEPTH));
    assert_false(nested_is_valid("[", "", "]", PLX_JSON_DEPTH + 1));
    assert_true(nested_is_valid("{\"k\":", "1", "}", PLX_JSON_DEPTH));
    assert_false(nested_is_valid("{\"k\":", "1", "}", PLX_JSON_DEPTH + 1));
    assert_true(nested_is_valid("[{\"k\": ", "[]", "}]", PLX_JSON_DEPTH / 2 - 1));
    assert_false(nested_is_valid("[{\"k\": ", "[]", "}]", PLX_JSON_DEPTH / 2));
    /* Siblings don't add up. */
    assert_true(nested_is_valid("[[],[[]],", "[]", "]", PLX_JSON_DEPTH - 2));
    assert_false(nested_is_valid("[", "", "]", 1000000));
    assert_false(nested_is_valid("[", "", "", 1000000));
}

static bool number_is_finite(const char *text)
{
    return is_valid(text, strlen(text));
}

/* Around the largest double, in all ways of writing it; strtod is the judge. */
static void numbers_are_finite_as_doubles(void **state)
{
    (void)state;
    static const char *const digits[] = {
        "1",
        "17976931348623157",
        "17976931348623158",
        "179769313486231580793",
        "179769313486231580794",
        "17976931348623159",
        "2",
        "9",
        "0",
        "000",
        /* 2^1024 - 2^970 is the first that rounds to infinity; one less, itself, one more */
        "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017"
        "97758"
        "720709633028641669288791094655554785194040263065748867150582068190890200070838367627385484"
        "58177"
        "115317644757302700698555713669596228429148198608349364752927190741684443655107043427115596"
        "99508"
        "093042880177904174497791",
        "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017"
        "97758"
        "720709633028641669288791094655554785194040263065748867150582068190890200070838367627385484"
        "58177"
        "115317644757302700698555713669596228429148198608349364752927190741684443655107043427115596"
        "99508"
        "093042880177904174497792",
        "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017"
        "97758"
        "720709633028641669288791094655554785194040263065748867150582068190890200070838367627385484"
        "58177"
        "115317644757302700698555713669596228429148198608349364752927190741684443655107043427115596"
        "99508"
        "093042880177904174497793",
    };
    unsigned finite = 0, infinite = 0;
    for (size_t d = 0; d < sizeof digits / sizeof *digits; d++) {
        int len = (int)strlen(digits[d]);
        for (int point = 1; point <= len; point++) {
            /* From four magnitudes below the largest double's to four above. */
            for (int exponent = 305 - point; exponent <= 313 - point; exponent++) {
                char text[400];
                bool zero_first = digits[d][0] == '0';
                snprintf(text, sizeof text, "%s%.*s%s%se%d", exponent % 2 ? "-" : "",
                         zero_first ? 1 : point, digits[d], point < len ? "." : "",
                         digits[d] + point, exponent);
                bool expected = isfinite(strtod(text, NULL));
                if (number_is_finite(text) != expected)
                    fail_msg("%s", text);
                expected ? finite++ : infinite++;
            }
        }
    }
    assert_true(finite > 1000 && infinite > 1000);
}

static void numbers_without_exponent(void **state)
{
    (void)state;
    char text[700];
    memset(text, '9', sizeof text);
    for (size_t len = 300; len < 320; len++)
        assert_int_equal(is_valid(text, len), len < 309);
    memset(text, '1', sizeof text);
    for (size_t len = 300; len < 320; len++)
        assert_int_equal(is_valid(text, len), len < 310);
    /* Leading zeros of a fraction, moved back by the exponent. */
    memset(text, '0', sizeof text);
    text[1] = '.';
    memcpy(text + 302, "1e609", 5); /* 10^-301 * 10^609 */
    assert_true(is_valid(text, 307));
    memcpy(text + 302, "1e610", 5);
    assert_false(is_valid(text, 307));
    memcpy(text + 302, "0e999", 5);
    assert_true(is_valid(text, 307));
}

/* A megabyte of anything costs one pass. */
static void huge_numbers(void **state)
{
    (void)state;
    const size_t len = 1 << 20;
    char *text = malloc(len);
    memset(text, '9', len);
    assert_false(is_valid(text, len));
    text[1] = '.';
    assert_true(is_valid(text, len));
    memcpy(text + len - 5, "e+307", 5);
    assert_true(is_valid(text, len));
    memcpy(text + len - 5, "e+308", 5);
    assert_false(is_valid(text, len));
    memset(text, '0', len);
    memcpy(text, "1e", 2);
    assert_true(is_valid(text, len));
    text[len - 1] = '9';
    assert_true(is_valid(text, len));
    text[len - 3] = '9';
    assert_false(is_valid(text, len));
    /* 10^1000000 * 10^-1000001, and the exponent is what makes it small enough */
    memset(text, '0', len);
    text[0] = '1';
    memcpy(text + 1000001, "e-999693", 8);
    assert_true(is_valid(text, 1000009));
    memcpy(text + 1000001, "e-999691", 8);
    assert_false(is_valid(text, 1000009));
    free(text);
}

static void types(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum plx_json_type type;
    } cases[] = {{"null", PLX_JSON_NULL},       {"false", PLX_JSON_FALSE}, {"true", PLX_JSON_TRUE},
                 {"-1", PLX_JSON_NUMBER},       {"0", PLX_JSON_NUMBER},    {"9e1", PLX_JSON_NUMBER},
                 {"\"null\"", PLX_JSON_STRING}, {"[0]", PLX_JSON_ARRAY},   {"{}", PLX_JSON_OBJECT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plx_json_value value;
        char padded[32];
        snprintf(padded, sizeof padded, " %s\n", cases[i].text);
        assert_int_equal(plx_json_check(plx_slice_of(padded), &value), 0);
        assert_int_equal(value.type, cases[i].type);
        assert_true(plx_slice_is(value.text, cases[i].text));
    }
}

static void cut_array(void **state)
{
    (void)state;
    plx_slice text = LIT(" [ \"1\" , null,\"room:a\",\"echo\",\t{\"a\": [1, 2]}\n] ");
    static const char *const expected[] = {"\"1\"", "null", "\"room:a\"", "\"echo\"",
                                           "{\"a\": [1, 2]}"};
    for (size_t max = 0; max <= 6; max++) {
        plx_json_value out[6];
        size_t count = 0;
        for (size_t i = 0; i < 6; i++)
            out[i].type = PLX_JSON_NONE;
        assert_int_equal(plx_json_cut_array(text, out, max, &count), 0);
        assert_int_equal(count, 5);
        for (size_t i = 0; i < max && i < 5; i++)
            assert_true(plx_slice_is(out[i].text, expected[i]));
        for (size_t i = max < 5 ? max : 5; i < 6; i++)
            assert_int_equal(out[i].type, PLX_JSON_NONE);
    }
    size_t count;
    assert_int_equal(plx_json_cut_array(LIT("[]"), NULL, 0, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(plx_json_cut_array(LIT("[ [ [] ] ]"), NULL, 0, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(plx_json_cut_array(LIT("{}"), NULL, 0, &count), PLX_E_INVALID);
    assert_int_equal(plx_json_cut_array(LIT("\"[]\""), NULL, 0, &count), PLX_E_INVALID);
}

static void cut_object(void **state)
{
    (void)state;
    static const char *const names[] = {"topic", "ref", "\xC3\xA9\xF0\x9F\x98\x80", "missing", ""};
    plx_json_value out[5];
    plx_slice text = LIT("{\"topics\":0,\"topi\":0,\"\\u0074opic\":\"first\",\"Topic\":0,"
                         "\"re\\u0066\" : null , \"x\":{\"ref\":1},"
                         "\"\\u00e9\\ud83d\\ude00\":[1],\"missing\\u0000\":0,\"\":{}}");
    assert_int_equal(plx_json_cut_object(text, names, out, 5), 0);
    assert_true(plx_slice_is(out[0].text, "\"first\""));
    assert_int_equal(out[0].type, PLX_JSON_STRING);
    assert_true(plx_slice_is(out[1].text, "null"));
    assert_int_equal(out[1].type, PLX_JSON_NULL);
    assert_true(plx_slice_is(out[2].text, "[1]"));
    assert_int_equal(out[3].type, PLX_JSON_NONE);
    assert_true(plx_slice_is(out[4].text, "{}"));

    text = LIT("{\"ref\":1,\"topic\":2,\"r\\u0065f\":3,\"topic\":4,\"top\\ic\":5}");
    assert_int_equal(plx_json_cut_object(text, names, out, 2), PLX_E_INVALID);
    text = LIT("{\"ref\":1,\"topic\":2,\"r\\u0065f\":3,\"topic\":4,\"top\\/ic\":5}");
    assert_int_equal(plx_json_cut_object(text, names, out, 2), 0);
    assert_true(plx_slice_is(out[0].text, "4"));
    assert_true(plx_slice_is(out[1].text, "3"));
    assert_int_equal(plx_json_cut_object(LIT(" {} "), names, out, 5), 0);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(out[i].type, PLX_JSON_NONE);
    assert_int_equal(plx_json_cut_object(LIT("[]"), names, out, 5), PLX_E_INVALID);
    assert_int_equal(plx_json_cut_object(LIT("{}"), NULL, NULL, 0), 0);
}

static void walk(plx_slice text, const char *const *keys, const char *const *values, size_t count)
{
    size_t pos = 0;
    plx_slice key;
    plx_json_value value;
    for (size_t i = 0; i < count; i++) {
        assert_true(plx_json_next(text, &pos, &key, &value));
        assert_true(plx_slice_is(key, keys ? keys[i] : ""));
        assert_true(plx_slice_is(value.text, values[i]));
    }
    assert_false(plx_json_next(text, &pos, &key, &value));
    assert_false(plx_json_next(text, &pos, &key, &value));
}

static void next_walks_containers(void **state)
{
    (void)state;
    static const char *const values[] = {"1", "[2, 3]", "{\"x\":4}", "\"]\""};
    static const char *const keys[] = {"\"a\"", "\"\\u0062\"", "\"\"", "\"a\""};
    walk(LIT(" [1,[2, 3] ,{\"x\":4}, \"]\" ] "), NULL, values, 4);
    walk(LIT("[1]"), NULL, values, 1);
    walk(LIT("{ \"a\":1,\"\\u0062\" : [2, 3] ,\"\":{\"x\":4}, \"a\":\"]\"}\n"), keys, values, 4);
    walk(LIT("[]"), NULL, NULL, 0);
    walk(LIT(" { } "), NULL, NULL, 0);
    walk(LIT("\"a\""), NULL, NULL, 0);
    walk(LIT("1"), NULL, NULL, 0);
    walk(plx_slice_of(NULL), NULL, NULL, 0);
}

/* A container that lies 100 deep can still be walked from the outside in. */
static void next_walks_the_deepest(void **state)
{
    (void)state;
    char text[2 * PLX_JSON_DEPTH];
    memset(text, '[', PLX_JSON_DEPTH);
    memset(text + PLX_JSON_DEPTH, ']', PLX_JSON_DEPTH);
    plx_slice now = plx_slice_make(text, sizeof text), key;
    int depth = 1;
    plx_json_value value;
    for (size_t pos = 0; plx_json_next(now, &pos, &key, &value); pos = 0, depth++)
        now = value.text;
    assert_int_equal(depth, PLX_JSON_DEPTH);
}

static void unquote(void **state)
{
    (void)state;
    plx_buf out;
    plx_buf_init(&out, 0);
    assert_int_equal(plx_json_unquote(LIT("\"\""), &out), 0);
    assert_int_equal(out.len, 0);
    assert_int_equal(plx_json_unquote(LIT("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\""), &out), 0);
    assert_true(plx_slice_is(plx_buf_slice(&out), "a\"\\/\b\f\n\r\tz"));
    plx_buf_clear(&out);
    assert_int_equal(
        plx_json_unquote(LIT("\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\\u0000\\u07ff\\u0800\""), &out),
        0);
    assert_true(plx_slice_eq(plx_buf_slice(&out),
                             LIT("A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\0\xDF\xBF\xE0\xA0\x80")));
    plx_buf_clear(&out);
    assert_int_equal(plx_json_unquote(LIT("\"\\udbff\\udfff\\uffff\xC3\xBC\""), &out), 0);
    assert_true(plx_slice_is(plx_buf_slice(&out), "\xF4\x8F\xBF\xBF\xEF\xBF\xBF\xC3\xBC"));
    plx_buf_fini(&out);
}

static void unquote_is_all_or_nothing(void **state)
{
    (void)state;
    for (size_t max = 1; max < 12; max++) {
        plx_buf out;
        plx_buf_init(&out, max);
        plx_buf_byte(&out, '>');
        int rc = plx_json_unquote(LIT("\"abc\\n\\ud83d\\ude00z\""), &out);
        assert_int_equal(rc, max < 10 ? PLX_E_TOOBIG : 0);
        assert_true(plx_slice_is(plx_buf_slice(&out), max < 10 ? ">" : ">abc\n\xF0\x9F\x98\x80z"));
        assert_int_equal(plx_buf_ok(&out), rc == 0);
        plx_buf_fini(&out);
    }
}

static void quote(void **state)
{
    (void)state;
    static const struct {
        sample bytes;
        const char *text;
    } cases[] = {
        {S(""), "\"\""},
        {S("room:a"), "\"room:a\""},
        {S("a\"b\\c/d"), "\"a\\\"b\\\\c/d\""},
        {S("\b\f\n\r\t\0\x01\x1F\x7F"), "\"\\b\\f\\n\\r\\t\\u0000\\u0001\\u001f\x7F\""},
        {S("gr\xC3\xBC\xC3\x9F\xE2\x82\xAC\xF0\x9F\x98\x80"),
         "\"gr\xC3\xBC\xC3\x9F\xE2\x82\xAC\xF0\x9F\x98\x80\""},
        {S("\xE2\x80\xA7\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAA"),
         "\"\xE2\x80\xA7\\u2028\\u2029\xE2\x80\xAA\""},
        {S("\xFF"), "\"\xEF\xBF\xBD\""},
        {S("a\xE2\x82z"), "\"a\xEF\xBF\xBD\xEF\xBF\xBDz\""},
        {S("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {S("\xC3"), "\"\xEF\xBF\xBD\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plx_buf out;
        plx_buf_init(&out, 0);
        plx_slice bytes = plx_slice_make(cases[i].bytes.bytes, cases[i].bytes.len);
        assert_int_equal(plx_json_quote(&out, bytes), 0);
        assert_string_equal(plx_buf_cstr(&out), cases[i].text);
        plx_buf_fini(&out);
    }
}

static void quote_and_back(void **state)
{
    (void)state;
    srand(1);
    for (int round = 0; round < 3000; round++) {
        char bytes[40];
        size_t len = 0, want = (size_t)rand() % 30;
        static const char *const pieces[] = {
            "a",    "\"", "\\",       "\n",           "\x01",
            "\x7F", "/",  "\xC3\xA9", "\xE2\x80\xA8", "\xF0\x9F\x98\x80"};
        while (len < want) {
            const char *piece = pieces[rand() % 10];
            memcpy(bytes + len, piece, strlen(piece));
            len += strlen(piece);
        }
        plx_buf text, back;
        plx_buf_init(&text, 0);
        plx_buf_init(&back, len);
        assert_int_equal(plx_json_quote(&text, plx_slice_make(bytes, len)), 0);
        assert_true(is_valid(text.data, text.len));
        assert_int_equal(plx_json_unquote(plx_buf_slice(&text), &back), 0);
        assert_true(plx_slice_eq(plx_buf_slice(&back), plx_slice_make(bytes, len)));
        plx_buf_fini(&text);
        plx_buf_fini(&back);
    }
}

static void quote_is_all_or_nothing(void **state)
{
    (void)state;
    for (size_t max = 1; max < 20; max++) {
        plx_buf out;
        plx_buf_init(&out, max);
        plx_buf_byte(&out, '>');
        int rc = plx_json_quote(&out, LIT("ab\n\xE2\x80\xA8z"));
        assert_int_equal(rc, max < 14 ? PLX_E_TOOBIG : 0);
        assert_true(plx_slice_is(plx_buf_slice(&out), max < 14 ? ">" : ">\"ab\\n\\u2028z\""));
        assert_int_equal(plx_buf_ok(&out), rc == 0);
        plx_buf_fini(&out);
    }
}

static void integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"-0", 0},
                {"7", 7},
                {"-7", -7},
                {"1234567890123", 1234567890123},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775807", -INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    static const char *const bad[] = {"",
                                      "-",
                                      "1.0",
                                      "1e2",
                                      "-0.0",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "9223372036854775810",
                                      "18446744073709551616",
                                      "18446744073709551617",
                                      "123456789012345678901234567890",
                                      "\"1\"",
                                      "null"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t n = 42;
        assert_int_equal(plx_json_int(plx_slice_of(good[i].text), &n), 0);
        assert_true(n == good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t n = 42;
        assert_int_equal(plx_json_int(plx_slice_of(bad[i]), &n), PLX_E_INVALID);
        assert_true(n == 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_texts),
        cmocka_unit_test(invalid_texts),
        cmocka_unit_test(invalid_texts_inside),
        cmocka_unit_test(white_space_around),
        cmocka_unit_test(every_truncation),
        cmocka_unit_test(every_corrupted_byte),
        cmocka_unit_test(every_deleted_and_doubled_byte),
        cmocka_unit_test(every_byte_in_a_string),
        cmocka_unit_test(every_escaped_code_unit),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(numbers_are_finite_as_doubles),
        cmocka_unit_test(numbers_without_exponent),
        cmocka_unit_test(huge_numbers),
        cmocka_unit_test(types),
        cmocka_unit_test(cut_array),
        cmocka_unit_test(cut_object),
        cmocka_unit_test(next_walks_containers),
        cmocka_unit_test(next_walks_the_deepest),
        cmocka_unit_test(unquote),
        cmocka_unit_test(unquote_is_all_or_nothing),
        cmocka_unit_test(quote),
        cmocka_unit_test(quote_and_back),
        cmocka_unit_test(quote_is_all_or_nothing),
        cmocka_unit_test(integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
