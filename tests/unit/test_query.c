/* Query strings: Plug's reading of nesting and repetition, and the bounds. */
#include "base/error.h"
#include "base/json_scan.h"
#include "transport/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static const struct {
    const char *query, *json;
} readings[] = {
    {"", "{}"},
    {"a=1", "{\"a\":\"1\"}"},
    {"a=1&b=2", "{\"a\":\"1\",\"b\":\"2\"}"},
    {"a", "{\"a\":\"\"}"},
    {"a=", "{\"a\":\"\"}"},
    {"=x", "{\"\":\"x\"}"},
    {"&&a=1&&", "{\"a\":\"1\"}"},
    {"a=b=c", "{\"a\":\"b=c\"}"},
    {"a=1&a=2", "{\"a\":\"2\"}"},
    {"a=x+y%20z", "{\"a\":\"x y z\"}"},
    {"a%3Db=c%26", "{\"a=b\":\"c&\"}"},
    {"a=%zz&b=%&c=%4", "{\"a\":\"%zz\",\"b\":\"%\",\"c\":\"%4\"}"},
    {"a=%C3%A9", "{\"a\":\"\xC3\xA9\"}"},
    {"a=%00%22%5c", "{\"a\":\"\\u0000\\\"\\\\\"}"},
    {"a[b]=c", "{\"a\":{\"b\":\"c\"}}"},
    {"a%5Bb%5D=c", "{\"a\":{\"b\":\"c\"}}"},
    {"a[b][c]=1&a[b][d]=2&a[e]=3", "{\"a\":{\"b\":{\"c\":\"1\",\"d\":\"2\"},\"e\":\"3\"}}"},
    {"a[]=1&a[]=2", "{\"a\":[\"1\",\"2\"]}"},
    {"a[][x]=1&a[][y]=2", "{\"a\":[{\"x\":\"1\"},{\"y\":\"2\"}]}"},
    {"a[b][]=1&c=2&a[b][]=3", "{\"a\":{\"b\":[\"1\",\"3\"]},\"c\":\"2\"}"},
    /* The last of contradicting pairs wins. */
    {"a=1&a[b]=2", "{\"a\":{\"b\":\"2\"}}"},
    {"a[b]=2&a=1", "{\"a\":\"1\"}"},
    {"a[]=1&a[b]=2", "{\"a\":{\"b\":\"2\"}}"},
    {"a[b]=2&a[]=1", "{\"a\":[\"1\"]}"},
    {"a[b][][c]=2&a[b]=1", "{\"a\":{\"b\":\"1\"}}"},
    {"z=0&a[b]=1&a[b]=2&y=3", "{\"z\":\"0\",\"a\":{\"b\":\"2\"},\"y\":\"3\"}"},
    /* A name is nested only when it ends with a bracket. */
    {"a[b=c", "{\"a[b\":\"c\"}"},
    {"a]=c", "{\"a]\":\"c\"}"},
    {"a[b]c=d", "{\"a[b]c\":\"d\"}"},
    {"a[b]c]=d", "{\"a\":{\"b]c\":\"d\"}}"},
    {"[a]=1", "{\"\":{\"a\":\"1\"}}"},
    {"a[[b]]=1&[]=2&a[=3", "{\"a\":{\"[b]\":\"1\"},\"\":[\"2\"],\"a[\":\"3\"}"},
    {"][=1&][]=2&a[]]=3", "{\"][\":\"1\",\"]\":[\"2\"],\"a\":{\"]\":\"3\"}}"},
    {"a[]=1&a[][]=2&a[][b]=3&a[]=4", "{\"a\":[\"1\",[\"2\"],{\"b\":\"3\"},\"4\"]}"},
    {"]=1&[=2", "{\"]\":\"1\",\"[\":\"2\"}"},
};

/* The object as text. */
static int read_query(plx_slice query, plx_buf *json)
{
    json_object *object;
    int rc = plx_query_json(query, NULL, NULL, NULL, 0, &object);
    plx_buf_clear(json);
    if (rc == 0) {
        plx_json_write(json, object);
        json_object_put(object);
    }
    return rc;
}

static void test_readings(void **state)
{
    (void)state;
    plx_buf json;
    plx_buf_init(&json, 0);
    for (size_t i = 0; i < sizeof readings / sizeof *readings; i++) {
        assert_int_equal(read_query(plx_slice_of(readings[i].query), &json), 0);
        assert_string_equal(plx_buf_cstr(&json), readings[i].json);
        assert_int_equal(plx_json_check(plx_buf_slice(&json), NULL), 0);
    }
    plx_buf_fini(&json);
}

static void test_not_utf8(void **state)
{
    (void)state;
    static const char *const bad[] = {"a=%ff",       "%ff=a",    "a=%C3&b=%A9",
                                      "a=%ed%a0%80", "a[%fe]=1", "a=\xff"};
    json_object *untouched = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int rc = plx_query_json(plx_slice_of(bad[i]), NULL, NULL, NULL, 0, &untouched);
        assert_int_equal(rc, PLX_E_INVALID);
        assert_null(untouched);
    }
}

/* json-c's names end at a NUL: "a%00b" would become somebody else's "a". */
static void test_nul_in_a_name(void **state)
{
    (void)state;
    static const char *const bad[] = {"a%00b=1",  "%00=1",     "a=1&a%00=2",
                                      "a[%00]=1", "a%00[b]=1", "a[b]%00[]=1"};
    json_object *untouched = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int rc = plx_query_json(plx_slice_of(bad[i]), NULL, NULL, NULL, 0, &untouched);
        assert_int_equal(rc, PLX_E_INVALID);
        assert_null(untouched);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    plx_buf query, json;
    plx_buf_init(&query, 0);
    plx_buf_init(&json, 0);
    for (int i = 0; i < 1000; i++)
        plx_buf_printf(&query, "%sk%d=1", i ? "&" : "", i);
    assert_int_equal(read_query(plx_buf_slice(&query), &json), 0);
    plx_buf_str(&query, "&k=1");
    assert_int_equal(read_query(plx_buf_slice(&query), &json), PLX_E_TOOBIG);

    for (int depth = 1; depth < 40; depth++) {
        plx_buf_clear(&query);
        plx_buf_str(&query, "a");
        for (int i = 1; i < depth; i++)
            plx_buf_str(&query, i % 2 ? "[b]" : "[]");
        plx_buf_str(&query, "=1");
        assert_int_equal(read_query(plx_buf_slice(&query), &json), depth <= 16 ? 0 : PLX_E_TOOBIG);
    }

    plx_buf_clear(&query);
    plx_buf_str(&query, "a=");
    while (query.len < 65536)
        plx_buf_byte(&query, 'x');
    assert_int_equal(read_query(plx_buf_slice(&query), &json), 0);
    plx_buf_byte(&query, 'x');
    assert_int_equal(read_query(plx_buf_slice(&query), &json), PLX_E_TOOBIG);
    plx_buf_fini(&query);
    plx_buf_fini(&json);
}

static bool skip_second_token(void *arg, size_t index, plx_slice name, plx_slice value)
{
    unsigned *calls = arg;
    assert_int_equal(index, (*calls)++);
    assert_non_null(value.data);
    return plx_slice_is(name, "token") && index > 0;
}

static void test_skip_and_extra(void **state)
{
    (void)state;
    json_object *object = NULL;
    plx_buf json;
    plx_buf_init(&json, 0);
    const plx_pair extra[] = {{PLX_LIT("room"), PLX_LIT("l[]&=")}, {PLX_LIT("a"), PLX_LIT("9")}};
    unsigned calls = 0;
    assert_int_equal(plx_query_json(plx_slice_of("token=app&vsn=2.0.0&token=session&a[b]=1"),
                                    skip_second_token, &calls, extra, 2, &object),
                     0);
    assert_int_equal(calls, 4);
    plx_json_write(&json, object);
    json_object_put(object);
    assert_string_equal(plx_buf_cstr(&json),
                        "{\"token\":\"app\",\"vsn\":\"2.0.0\",\"a\":\"9\",\"room\":\"l[]&=\"}");
    plx_buf_fini(&json);
}

static void test_walk(void **state)
{
    (void)state;
    plx_slice rest = plx_slice_of("&a=1&b&&c=%31="), name, value;
    char seen[64] = "";
    while (plx_query_next(&rest, &name, &value)) {
        size_t at = strlen(seen);
        snprintf(seen + at, sizeof seen - at, "%.*s:%.*s;", (int)name.len, name.data,
                 (int)value.len, value.data);
    }
    assert_string_equal(seen, "a:1;b:;c:%31=;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readings),       cmocka_unit_test(test_not_utf8),
        cmocka_unit_test(test_nul_in_a_name),  cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_skip_and_extra), cmocka_unit_test(test_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
