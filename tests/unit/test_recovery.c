/* The client's `since`, and the members that are added to a join's response. */
#include "channel/recovery.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static plx_since reading(const char *json)
{
    plx_payload payload = {PLX_PAYLOAD_JSON, plx_slice_of(json)};

    return plx_recovery_read(payload);
}

static void test_since(void **state)
{
    static const char *const absent[] = {"{}",
                                         "[]",
                                         "null",
                                         "\"since\"",
                                         "{\"since\":null}",
                                         "{\"Since\":\"a:1\"}",
                                         "{\"a\":{\"since\":\"a:1\"}}"};
    static const char *const wrong[] = {"{\"since\":5}",
                                        "{\"since\":\"\"}",
                                        "{\"since\":true}",
                                        "{\"since\":[\"a:1\"]}",
                                        "{\"since\":{\"a\":1}}",
                                        "{\"since\":\"a:\"}",
                                        "{\"since\":\":1\"}",
                                        "{\"since\":\"a:-1\"}",
                                        "{\"since\":\"a:1:1\"}",
                                        "{\"since\":\"a:1\\u0000\"}",
                                        "{\"since\":\"a:18446744073709551616\"}",
                                        "{\"since\":\"abcdefghijklmnopqrstuvwxy:1\"}"};
    static char longest[40000];
    plx_since s;

    (void)state;
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        s = reading(absent[i]);
        assert_false(s.given);
        assert_string_equal(s.position.epoch, "");
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        s = reading(wrong[i]);
        assert_true(s.given);
        assert_string_equal(s.position.epoch, "");
    }
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "{\"since\":\"", 10);
    strcpy(longest + sizeof longest - 10, ":1\"}");
    s = reading(longest);
    assert_true(s.given && s.position.epoch[0] == '\0');
    s = reading("{\"x\":1,\"since\":\"Ab-_9:17\",\"y\":[]}");
    assert_true(s.given);
    assert_string_equal(s.position.epoch, "Ab-_9");
    assert_int_equal(s.position.offset, 17);
    s = reading("{\"s\\u0069nce\":\"\\u0041:\\u0031\"}");
    assert_string_equal(s.position.epoch, "A");
    assert_int_equal(s.position.offset, 1);
    s = plx_recovery_read((plx_payload){PLX_PAYLOAD_BINARY, plx_slice_of("{\"since\":\"a:1\"}")});
    assert_false(s.given);
}

/* The response with what is added, or NULL when nothing is. */
static const char *respond(const char *json, bool with_position, bool given, bool recovered)
{
    static plx_buf out;
    plx_position position = {"Ep", 42};
    plx_payload response = {PLX_PAYLOAD_JSON, plx_slice_of(json)};

    plx_buf_fini(&out);
    plx_buf_init(&out, 0);
    if (plx_recovery_respond(response, with_position ? &position : NULL, given, recovered, &out))
        return plx_buf_cstr(&out);
    assert_int_equal(out.len, 0);
    return NULL;
}

static void test_response(void **state)
{
    (void)state;
    assert_string_equal(respond("{}", true, false, false), "{\"position\":\"Ep:42\"}");
    assert_string_equal(respond("{}", true, true, true),
                        "{\"position\":\"Ep:42\",\"recovered\":true}");
    assert_string_equal(respond("{}", false, true, false), "{\"recovered\":false}");
    assert_null(respond("{}", false, false, false));
    /* What the backend said keeps its bytes. */
    assert_string_equal(
        respond(" { \"a\" : 1.50 , \"b\":\"\\u00e4\",\"a\":{ \"x\":[ ] } } ", true, true, false),
        "{\"a\":1.50,\"b\":\"\\u00e4\",\"a\":{ \"x\":[ ] },\"position\":\"Ep:42\","
        "\"recovered\":false}");
    /* No object, nothing to add to. */
    assert_null(respond("[]", true, true, true));
    assert_null(respond("null", true, true, true));
    assert_null(respond("\"{}\"", true, true, true));
    /* Its own members of these names would be lies. */
    assert_string_equal(respond("{\"position\":1,\"recovered\":2,\"p\":3}", true, true, true),
                        "{\"p\":3,\"position\":\"Ep:42\",\"recovered\":true}");
    assert_string_equal(respond("{\"\\u0070osition\":1}", true, false, true),
                        "{\"position\":\"Ep:42\"}");
    assert_string_equal(respond("{\"position\":1,\"recovered\":2}", true, false, false),
                        "{\"recovered\":2,\"position\":\"Ep:42\"}");
    assert_string_equal(respond("{\"position\":1}", false, true, false),
                        "{\"position\":1,\"recovered\":false}");
}

static void test_binary_response(void **state)
{
    plx_position position = {"Ep", 42};
    plx_buf out;

    (void)state;
    plx_buf_init(&out, 0);
    assert_false(plx_recovery_respond((plx_payload){PLX_PAYLOAD_BINARY, plx_slice_of("{}")},
                                      &position, true, true, &out));
    assert_int_equal(out.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_since),
        cmocka_unit_test(test_response),
        cmocka_unit_test(test_binary_response),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
