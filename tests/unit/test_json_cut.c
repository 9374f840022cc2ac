/* The JSON scanner cuts ranges out of valid texts, walks them, unquotes and quotes strings. */
#include "json_samples.h"

#define LIT(s) plx_slice_make((s), sizeof(s) - 1)

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
