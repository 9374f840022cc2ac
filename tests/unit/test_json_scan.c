/* The JSON scanner decides what is JSON. json-c serves as a second opinion wherever a mutilated
 * text is accepted: what we let through must be JSON to others too.
 */
#include "json_samples.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
