/* The script by which other programs publish takes exactly the JSON that the library takes. Run
 * from the root of the tree.
 */
#include "publish_script.h"

static void assert_alike(plx_slice json)
{
    bool good = plx_json_check(json, NULL) == 0;
    const char *answer = call(S("room:json"), S("e"), json, "", "");
    bool taken = strncmp(answer, "POLLUX", 6) != 0;
    if (!taken && strncmp(answer, "POLLUX invalid_json", 19) != 0)
        fail_msg("%s", answer);
    if (good != taken)
        fail_msg("%s, but the scanner says %d: %.*s", answer, good, (int)json.len, json.data);
}

static const char *const texts[] = {
    "",
    " ",
    "1",
    "-",
    "-0",
    "01",
    "1.",
    ".5",
    "1.5e",
    "1e5",
    "1E+5",
    "1e-",
    "1e400",
    "-1e400",
    "1e-400",
    "0e999",
    "1.7976931348623157e308",
    "1.7976931348623159e308",
    "NaN",
    "nan",
    "inf",
    "Infinity",
    "0x10",
    "1_0",
    "+1",
    "1 2",
    "true",
    "True",
    "tru",
    "truex",
    "null",
    "nul",
    "false",
    "[]",
    "[ ]",
    "[,]",
    "[1,]",
    "[1,2",
    "[1 2]",
    "[1],",
    "]",
    "{}",
    "{ }",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{\"a\" : 1 , \"b\":[{}]}",
    "{a:1}",
    "{'a':1}",
    "{\"a\":1]",
    "[1}",
    "{\"a\":1}}",
    "{,}",
    "{\"a\":1 \"b\":2}",
    "{1:2}",
    "\"",
    "\"a",
    "\"a\\\"",
    "\"\\u12\"",
    "\"\\u00e4\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\\ud800\\udc00\"",
    "\"\\ud800x\"",
    "\"\\ud800\\u0041\"",
    "\"\\uDBFF\\uDFFF\"",
    "\"\\x\"",
    "\"\\/\\b\\f\\n\\r\\t\\\\\"",
    "\"\n\"",
    "\"\t\"",
    "\"\x7f\"",
    "\"\x1f\"",
    "\"\xc3\xa4\"",
    "\"\xc3\"",
    "\"\xff\"",
    "\"\xed\xa0\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xc0\x80\"",
    "\"\xf0\x9f\x98\x80\"",
    "\"\xf0\x8f\xbf\xbf\"",
    "\"\xe0\x9f\xbf\"",
    "\xef\xbb\xbf{}",
    "\f1",
    "\v1",
    "1\xc2\xa0",
    " \t\r\n1\n ",
    "/**/1",
    "[1/**/]",
    "\"a\" \"b\"",
};

static void test_what_is_json(void **state)
{
    char deep[256];
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_alike(plx_slice_of(texts[i]));
    assert_alike(plx_slice_make("\"\0\"", 3));
    assert_alike(plx_slice_make("1\0", 2));
    for (int depth = 98; depth <= 102; depth++) {
        memset(deep, '[', 102);
        memset(deep + depth, ']', 102);
        assert_alike(plx_slice_make(deep, (size_t)depth * 2));
    }
}

/* Texts that were JSON once. */
static void test_what_is_json_no_more(void **state)
{
    static const char *const seeds[] = {
        "{\"a\":[1,2.5e3,\"x\\u00e4\\ud83d\\ude00\",null],\"b\":{\"c\":true}}",
        "[\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\",-0.5,[],{}]", " {\"k\" : \"v\\n\"} "};
    static const char alphabet[] = "[]{},:\"\\ \n0123456789.eE+-tfnu\x01\x7f\x80\xbf\xc3\xed\xf4";
    uint32_t x = 12345;
    char text[128];
    (void)state;
    for (int i = 0; i < 4000; i++) {
        const char *seed = seeds[i % 3];
        size_t len = strlen(seed);
        memcpy(text, seed, len);
        for (int changes = 1 + i % 3; changes > 0; changes--) {
            x = x * 1664525u + 1013904223u;
            size_t at = (x >> 8) % len;
            x = x * 1664525u + 1013904223u;
            if ((x >> 28) < 5 && len > 1) {
                memmove(text + at, text + at + 1, len - at - 1);
                len--;
            } else {
                text[at] = alphabet[(x >> 8) % (sizeof alphabet - 1)];
            }
        }
        assert_alike(plx_slice_make(text, len));
    }
}

static void test_corpus(void **state)
{
    static const char dir[] = "tests/fuzz/corpus/json_scan";
    char path[512];
    unsigned count = 0;
    DIR *d = opendir(dir);
    (void)state;
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        plx_buf text;
        if (e->d_name[0] == '.')
            continue;
        plx_buf_init(&text, 0);
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        add_file(&text, path);
        if (text.len > 0 && text.len <= r.config.max_body_bytes)
            assert_alike(plx_buf_slice(&text));
        plx_buf_fini(&text);
        count++;
    }
    closedir(d);
    assert_true(count > 10);
}

/* A payload of the longest kind stops Redis for no longer than a moment, whatever is in it. */
static void test_long_payloads(void **state)
{
    static char text[100000];
    static const char fills[] = {'1', ' ', '[', '\\', 'a', '"', '\xc3'};
    (void)state;
    for (size_t i = 0; i < sizeof fills; i++) {
        memset(text, fills[i], sizeof text);
        uint64_t start = fixture_ms();
        assert_alike(plx_slice_make(text, sizeof text));
        text[0] = text[sizeof text - 1] = '"';
        assert_alike(plx_slice_make(text, sizeof text));
        assert_true(fixture_ms() - start < 5000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_json),
        cmocka_unit_test(test_what_is_json_no_more),
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_long_payloads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
