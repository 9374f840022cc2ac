/* Members of JSON objects for modules. */
#include "base/error.h"
#include "channel/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define S(text) plx_slice_of(text)

static void assert_get(const char *object, const char *name, const char *expected)
{
    plx_slice got = plx_object_get(S(object), name);

    if (!plx_slice_is(got, expected))
        fail_msg("%s of %s is %.*s", name, object, (int)got.len, got.data);
}

static void test_get(void **state)
{
    (void)state;
    assert_get("{\"a\": 1 ,\"b\":\"x\"}", "a", "1");
    assert_get("{\"a\":1,\"b\":\"x\"}", "b", "\"x\"");
    assert_get("{\"a\":{\"b\":2}}", "b", "");
    assert_get("{\"a\":{\"b\":2}}", "a", "{\"b\":2}");
    assert_get("{\"a\":1,\"a\":2}", "a", "2");
    assert_get("{\"\\u0061\":7}", "a", "7");
    assert_get("{}", "a", "");
    assert_get("[1]", "a", "");
    assert_get("{\"a\":1", "a", "");
    assert_get("", "a", "");
}

static void test_text(void **state)
{
    char out[4] = "###";

    (void)state;
    assert_int_equal(plx_object_text(S("{\"a\":\"x\\\"y\"}"), "a", out, sizeof out), 3);
    assert_string_equal(out, "x\"y");
    assert_int_equal(plx_object_text(S("{\"a\":\"\"}"), "a", out, sizeof out), 0);
    assert_string_equal(out, "");
    assert_int_equal(plx_object_text(S("{\"a\":\"\\u00e9\"}"), "a", out, sizeof out), 2);
    assert_string_equal(out, "\xc3\xa9");
    assert_int_equal(plx_object_text(S("{\"a\":\"wxyz\"}"), "a", out, sizeof out), PLX_E_TOOBIG);
    assert_int_equal(plx_object_text(S("{\"a\":\"x\"}"), "a", out, 0), PLX_E_TOOBIG);
    assert_int_equal(plx_object_text(S("{\"a\":\"\\u0000\"}"), "a", out, sizeof out),
                     PLX_E_INVALID);
    assert_int_equal(plx_object_text(S("{\"a\":5}"), "a", out, sizeof out), PLX_E_NOTFOUND);
    assert_int_equal(plx_object_text(S("{\"a\":null}"), "b", out, sizeof out), PLX_E_NOTFOUND);
    assert_string_equal(out, "\xc3\xa9"); /* written on success only */
}

static void test_number(void **state)
{
    char text[700];
    double n = 0;

    (void)state;
    assert_int_equal(plx_object_number(S("{\"a\":-1.5e2}"), "a", &n), 0);
    assert_true(n > -150.1 && n < -149.9);
    assert_int_equal(plx_object_number(S("{\"a\":7}"), "a", &n), 0);
    assert_true(n > 6.9 && n < 7.1);
    assert_int_equal(plx_object_number(S("{\"a\":\"7\"}"), "a", &n), PLX_E_NOTFOUND);
    assert_int_equal(plx_object_number(S("{\"b\":7}"), "a", &n), PLX_E_NOTFOUND);
    memset(text, '0', sizeof text);
    memcpy(text, "{\"a\":1.", 7);
    memcpy(text + sizeof text - 2, "}", 2);
    assert_int_equal(plx_object_number(S(text), "a", &n), PLX_E_NOTFOUND);
    assert_true(n > 6.9 && n < 7.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
