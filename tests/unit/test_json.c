/* base/json: json-c behind the scanner, and what it writes. */
#include "base/json.h"
#include "base/error.h"
#include "base/json_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define LIT(s) plx_slice_make((s), sizeof(s) - 1)

static json_object *read_text(plx_slice text)
{
    json_object *value = NULL;
    assert_int_equal(plx_json_read(text, &value), 0);
    return value;
}

static void written(json_object *value, const char *expected)
{
    plx_buf out;
    plx_buf_init(&out, 0);
    assert_int_equal(plx_json_write(&out, value), 0);
    assert_string_equal(plx_buf_cstr(&out), expected);
    plx_buf_fini(&out);
}

static void reads_every_kind(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        json_type type;
    } cases[] = {{"null", json_type_null},       {"true", json_type_boolean},
                 {" false", json_type_boolean},  {"0", json_type_int},
                 {"-12 ", json_type_int},        {"1.5", json_type_double},
                 {"1e5", json_type_double},      {"\"\"", json_type_string},
                 {" \"a\"\n", json_type_string}, {" [1 , {}]", json_type_array},
                 {"{\"a\":1}", json_type_object}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_object *value = read_text(plx_slice_of(cases[i].text));
        assert_int_equal(json_object_get_type(value), cases[i].type);
        json_object_put(value);
    }
}

/* The text is a range: what stands behind it is not looked at. */
static void reads_a_range(void **state)
{
    (void)state;
    static const char *const texts[] = {"123", "true", "\"ab\"", "[1]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t len = strlen(texts[i]);
        char *exact = malloc(len); /* so that a sanitizer sees the byte behind it */
        memcpy(exact, texts[i], len);
        json_object *value = read_text(plx_slice_make(exact, len));
        written(value, texts[i]);
        json_object_put(value);
        free(exact);
    }
    json_object *value = read_text(plx_slice_make("1234", 2));
    assert_int_equal(json_object_get_int(value), 12);
    json_object_put(value);
}

/* What json-c alone would let through. */
static void refuses_what_is_not_json(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",     " ",   "NaN", "Infinity", "'a'",      "{'a':1}", "\"\n\"", "1.",   "\"\\ud800\"",
        "[1,]", "1 2", "nul", "tRUE",     "\"\xff\"", "/**/1",   "01",     "[1]x", "1e999"};
    json_object *untouched = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(plx_json_read(plx_slice_of(bad[i]), &untouched), PLX_E_INVALID);
        assert_null(untouched);
    }
    assert_int_equal(plx_json_read(LIT("1\0"), &untouched), PLX_E_INVALID);
}

static void reads_the_deepest(void **state)
{
    (void)state;
    char text[2 * PLX_JSON_DEPTH + 2];
    for (size_t depth = PLX_JSON_DEPTH - 1; depth <= PLX_JSON_DEPTH + 1; depth++) {
        json_object *value = NULL;
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(plx_json_read(plx_slice_make(text, 2 * depth), &value),
                         depth <= PLX_JSON_DEPTH ? 0 : PLX_E_INVALID);
        json_object_put(value);
    }
}

static void gives_the_bytes_of_strings(void **state)
{
    (void)state;
    json_object *value = read_text(LIT("\"a\\\"\\/\\n\\u0000\\u00e9\\ud83d\\ude00\""));
    assert_true(plx_slice_eq(plx_json_text(value), LIT("a\"/\n\0\xc3\xa9\xf0\x9f\x98\x80")));
    json_object_put(value);
    value = read_text(LIT("\"\""));
    assert_non_null(plx_json_text(value).data);
    assert_int_equal(plx_json_text(value).len, 0);
    json_object_put(value);
    value = read_text(LIT("[\"a\"]"));
    assert_null(plx_json_text(value).data);
    json_object_put(value);
    assert_null(plx_json_text(NULL).data);
}

static void writes_documents(void **state)
{
    (void)state;
    json_object *document = plx_json_new_object(), *list = plx_json_new_array();
    plx_json_push(list, plx_json_new_text(LIT("a/b\"\\\n\0\x1f\x7f\xc3\xa9")));
    plx_json_push(list, plx_json_new_number(UINT64_MAX));
    plx_json_push(list, NULL);
    plx_json_put(document, "first", plx_json_new_text(plx_slice_of(NULL)));
    plx_json_put(document, "a\"b", list);
    plx_json_put(document, "last", plx_json_new_object());
    plx_json_put(document, "first", plx_json_new_number(0));
    written(document, "{\"first\":0,\"a\\\"b\":[\"a/b\\\"\\\\\\n\\u0000\\u001f\x7f\xc3\xa9\","
                      "18446744073709551615,null],\"last\":{}}");
    json_object_put(document);
}

/* What json-c would change when it reads and writes. */
static void writes_foreign_json_as_it_is(void **state)
{
    (void)state;
    static const char *const texts[] = {"123456789012345678901234567890",
                                        "-0",
                                        "1.50",
                                        "1E5",
                                        "{\"b\" : 1,\"a\\u0000\":2,\"b\":3}",
                                        "\"\\u0061\\/\"",
                                        "null"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char expected[64];
        json_object *document = plx_json_new_object();
        plx_json_put(document, "x", plx_json_new_verbatim(plx_slice_of(texts[i])));
        snprintf(expected, sizeof expected, "{\"x\":%s}", texts[i]);
        written(document, expected);
        json_object_put(document);
    }
}

static void write_is_all_or_nothing(void **state)
{
    (void)state;
    json_object *document = plx_json_new_object();
    plx_json_put(document, "a", plx_json_new_number(1));
    for (size_t max = 1; max < 10; max++) {
        plx_buf out;
        plx_buf_init(&out, max);
        plx_buf_byte(&out, '>');
        int rc = plx_json_write(&out, document);
        assert_int_equal(rc, max < 8 ? PLX_E_TOOBIG : 0);
        assert_true(plx_slice_is(plx_buf_slice(&out), max < 8 ? ">" : ">{\"a\":1}"));
        plx_buf_fini(&out);
    }
    json_object_put(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind),
        cmocka_unit_test(reads_a_range),
        cmocka_unit_test(refuses_what_is_not_json),
        cmocka_unit_test(reads_the_deepest),
        cmocka_unit_test(gives_the_bytes_of_strings),
        cmocka_unit_test(writes_documents),
        cmocka_unit_test(writes_foreign_json_as_it_is),
        cmocka_unit_test(write_is_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
