/* Answers of applications: what is read from them, and what makes them wrong. */
#include "base/error.h"
#include "channel/http_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define assert_text(slice, text) assert_true(plx_slice_is(slice, text))

static int read_as(enum plx_http_question q, const char *json, plx_http_answer *a)
{
    const char *why = NULL;
    int err = plx_http_answer_read(plx_slice_of(json), q, a, &why);

    if (err != 0) {
        assert_int_equal(err, PLX_E_INVALID);
        assert_non_null(why);
    }
    return err;
}

static void joins(void **state)
{
    plx_http_answer a;

    (void)state;
    assert_int_equal(read_as(PLX_HTTP_JOIN, "{\"status\":\"ok\"}", &a), 0);
    assert_true(a.replies && !a.failed && !a.stop);
    assert_text(a.response.bytes, "{}");
    assert_int_equal(a.unknown.len, 0);
    plx_http_answer_fini(&a);
    assert_int_equal(
        read_as(PLX_HTTP_JOIN, "{\"response\":{\"reason\":\"no\"},\"status\":\"error\"}", &a), 0);
    assert_true(a.replies && a.failed);
    assert_text(a.response.bytes, "{\"reason\":\"no\"}");
    plx_http_answer_fini(&a);
}

static void pushes(void **state)
{
    plx_http_answer a;

    (void)state;
    assert_int_equal(read_as(PLX_HTTP_PUSH, "", &a), 0);
    assert_false(a.replies);
    plx_http_answer_fini(&a);
    assert_int_equal(read_as(PLX_HTTP_PUSH, "{}", &a), 0);
    assert_false(a.replies);
    plx_http_answer_fini(&a);
    assert_int_equal(read_as(PLX_HTTP_PUSH, "{\"reply\":null}", &a), 0);
    assert_false(a.replies);
    plx_http_answer_fini(&a);
    assert_int_equal(
        read_as(PLX_HTTP_PUSH,
                "{\"reply\":{\"status\":\"error\",\"response\":{ \"a\" : 1.0e2 }},\"stop\":true}",
                &a),
        0);
    assert_true(a.replies && a.failed && a.stop);
    assert_text(a.response.bytes, "{ \"a\" : 1.0e2 }"); /* byte by byte */
    plx_http_answer_fini(&a);
    assert_int_equal(
        read_as(PLX_HTTP_PUSH, "{\"reply\":{\"status\":\"ok\",\"response_base64\":\"AP8=\"}}", &a),
        0);
    assert_int_equal(a.response.kind, PLX_PAYLOAD_BINARY);
    assert_int_equal(a.response.bytes.len, 2);
    assert_memory_equal(a.response.bytes.data, "\0\xff", 2);
    plx_http_answer_fini(&a);
}

/* json_encode(['assigns' => [], ...]) */
static void empty_arrays_of_php_are_objects(void **state)
{
    plx_http_answer a;

    (void)state;
    assert_int_equal(read_as(PLX_HTTP_JOIN,
                             "{\"status\":\"ok\",\"response\":[],\"assigns\":[ ],"
                             "\"presence\":{\"track\":{\"key\":\"k\",\"meta\":[\n]}},"
                             "\"push\":[{\"event\":\"e\",\"payload\":[]}]}",
                             &a),
                     0);
    assert_text(a.response.bytes, "{}");
    assert_text(a.assigns, "{}");
    assert_text(a.meta, "{}");
    assert_text(a.messages[0].payload.bytes, "{}");
    plx_http_answer_fini(&a);
}

static void all_verbs(void **state)
{
    plx_http_answer a;

    (void)state;
    assert_int_equal(
        read_as(PLX_HTTP_LEAVE,
                "{\"assigns\":{\"x\":null},\"presence\":{\"track\":{\"key\":\"4\\u00e9\","
                "\"meta\":{\"on\":1}}},\"push\":[{\"event\":\"a\\n\",\"payload\":{}}],"
                "\"broadcast\":[{\"payload\":{\"b\":[]},\"event\":\"b\",\"topic\":\"r\\u00f6\"},"
                "{\"event\":\"c\",\"payload_base64\":\"_w\"}],"
                "\"broadcast_from\":[{\"event\":\"\",\"payload\":{\"d\":1}}],\"stop\":false}",
                &a),
        0);
    assert_text(a.assigns, "{\"x\":null}");
    assert_int_equal(a.presence, PLX_PRESENCE_TRACK);
    assert_text(a.key, "4\xc3\xa9");
    assert_text(a.meta, "{\"on\":1}");
    assert_true(a.push_count == 1 && a.broadcast_count == 2 && a.from_count == 1);
    assert_text(a.messages[0].event, "a\n");
    assert_int_equal(a.messages[0].topic.len, 0);
    assert_text(a.messages[1].topic, "r\xc3\xb6");
    assert_text(a.messages[1].payload.bytes, "{\"b\":[]}");
    assert_int_equal(a.messages[2].payload.kind, PLX_PAYLOAD_BINARY);
    assert_text(a.messages[2].payload.bytes, "\xff");
    assert_int_equal(a.messages[3].event.len, 0);
    assert_text(a.messages[3].payload.bytes, "{\"d\":1}");
    assert_false(a.stop);
    plx_http_answer_fini(&a);
    assert_int_equal(read_as(PLX_HTTP_PUSH, "{\"presence\":{\"untrack\":{\"key\":\"\"}}}", &a), 0);
    assert_int_equal(a.presence, PLX_PRESENCE_UNTRACK);
    plx_http_answer_fini(&a);
    assert_int_equal(
        read_as(PLX_HTTP_PUSH, "{\"presence\":{\"update\":{\"key\":\"k\",\"meta\":{}}}}", &a), 0);
    assert_int_equal(a.presence, PLX_PRESENCE_UPDATE);
    plx_http_answer_fini(&a);
}

static void unknown_members(void **state)
{
    plx_http_answer a;

    (void)state;
    assert_int_equal(read_as(PLX_HTTP_JOIN, "{\"status\":\"ok\",\"later\":[1],\"stop\":false}", &a),
                     0);
    assert_text(a.unknown, "\"later\"");
    plx_http_answer_fini(&a);
    assert_int_equal(read_as(PLX_HTTP_JOIN, "{\"status\":\"ok\",\"reply\":{}}", &a), 0);
    assert_text(a.unknown, "\"reply\"");
    plx_http_answer_fini(&a);
    assert_int_equal(read_as(PLX_HTTP_PUSH, "{\"status\":\"ok\"}", &a), 0);
    assert_text(a.unknown, "\"status\"");
    assert_false(a.replies);
    plx_http_answer_fini(&a);
}

static void wrong_joins(void **state)
{
    static const char *const cases[] = {
        "",
        "{}",
        "{\"status\":null}",
        "{\"status\":\"OK\"}",
        "{\"status\":true}",
        "{\"status\":[\"ok\"]}",
        "{\"status\":\"ok\",\"response\":[0]}",
        "{\"status\":\"ok\",\"response\":null}",
        "{\"status\":\"ok\",\"response\":\"x\"}",
        "{\"status\":\"ok\",\"stop\":true}",
        "{\"response\":{}}",
    };
    plx_http_answer a;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (read_as(PLX_HTTP_JOIN, cases[i], &a) == 0)
            fail_msg("%s", cases[i]);
}

static void wrong_pushes(void **state)
{
    static const char *const cases[] = {
        "{\"reply\":\"ok\"}",
        "{\"reply\":{}}",
        "{\"reply\":{\"status\":\"maybe\"}}",
        "{\"reply\":{\"status\":\"ok\",\"response\":1}}",
        "{\"reply\":{\"status\":\"ok\",\"response\":{},\"response_base64\":\"\"}}",
        "{\"reply\":{\"status\":\"ok\",\"response_base64\":\"%\"}}",
        "{\"reply\":{\"status\":\"ok\",\"response_base64\":1}}",
        "{\"assigns\":null}",
        "{\"assigns\":[{}]}",
        "{\"stop\":1}",
        "{\"stop\":\"true\"}",
        "{\"stop\":null}",
        "{\"presence\":null}",
        "{\"presence\":{}}",
        "{\"presence\":{\"trak\":{\"key\":\"a\",\"meta\":{}}}}",
        "{\"presence\":{\"track\":{\"key\":\"a\"}}}",
        "{\"presence\":{\"track\":{\"key\":1,\"meta\":{}}}}",
        "{\"presence\":{\"track\":{\"meta\":{}}}}",
        "{\"presence\":{\"track\":{\"key\":\"a\",\"meta\":[0]}}}",
        "{\"presence\":{\"track\":[]}}",
        "{\"presence\":{\"untrack\":\"a\"}}",
        "{\"presence\":{\"untrack\":{\"key\":\"a\"},\"track\":{\"key\":\"a\",\"meta\":{}}}}",
        "{\"push\":{}}",
        "{\"push\":null}",
        "{\"push\":[1]}",
        "{\"push\":[{}]}",
        "{\"push\":[{\"event\":\"a\"}]}",
        "{\"push\":[{\"event\":1,\"payload\":{}}]}",
        "{\"push\":[{\"event\":\"a\",\"payload\":[0]}]}",
        "{\"push\":[{\"event\":\"a\",\"payload\":null}]}",
        "{\"push\":[{\"event\":\"a\",\"payload\":{},\"payload_base64\":\"\"}]}",
        "{\"push\":[{\"event\":\"a\",\"payload_base64\":\"a\"}]}",
        "{\"push\":[{\"event\":\"a\",\"payload\":{}},{\"event\":\"b\"}]}",
        "{\"broadcast\":[{\"event\":\"a\",\"payload\":{},\"topic\":\"\"}]}",
        "{\"broadcast\":[{\"event\":\"a\",\"payload\":{},\"topic\":7}]}",
        "{\"broadcast\":\"a\"}",
        "{\"broadcast_from\":[[]]}",
        "{\"push\":[],\"broadcast\":[],\"broadcast_from\":[{\"event\":\"\"}]}",
    };
    plx_http_answer a;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (read_as(PLX_HTTP_PUSH, cases[i], &a) == 0)
            fail_msg("%s", cases[i]);
}

static void the_number_of_messages_is_bounded(void **state)
{
    plx_http_answer a;
    plx_buf text;

    (void)state;
    plx_buf_init(&text, 0);
    for (size_t n = PLX_HTTP_MESSAGES_MAX; n <= PLX_HTTP_MESSAGES_MAX + 1; n++) {
        plx_buf_clear(&text);
        plx_buf_str(&text, "{\"push\":[{\"event\":\"p\",\"payload\":{}}],\"broadcast\":[");
        for (size_t i = 1; i < n; i++)
            plx_buf_printf(&text, "%s{\"event\":\"e%zu\",\"payload\":{}}", i > 1 ? "," : "", i);
        plx_buf_str(&text, "]}");
        bool ok = read_as(PLX_HTTP_PUSH, plx_buf_cstr(&text), &a) == 0;
        assert_int_equal(ok, n <= PLX_HTTP_MESSAGES_MAX);
        if (!ok)
            continue;
        assert_text(a.messages[0].event, "p");
        assert_text(a.messages[n - 1].event, "e999");
        plx_http_answer_fini(&a);
    }
    plx_buf_fini(&text);
}

static void merging_assigns(void **state)
{
    static const struct {
        const char *assigns, *changes, *merged;
    } cases[] = {
        {"{}", "{}", "{}"},
        {"{}", "{\"a\":1}", "{\"a\":1}"},
        {"{\"a\":1}", "{}", "{\"a\":1}"},
        {"{\"a\":1,\"b\":[ 2 ]}", "{\"a\":{\"c\":null}}", "{\"b\":[ 2 ],\"a\":{\"c\":null}}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "{\"b\":null}", "{\"a\":1,\"c\":3}"},
        {"{\"a\":1}", "{\"a\":null,\"z\":null}", "{}"},
        {"{\"a\":1}", "{\"\\u0061\":2}", "{\"\\u0061\":2}"},      /* the same name */
        {"{}", "{\"a\":1,\"a\":2,\"b\":3}", "{\"a\":2,\"b\":3}"}, /* the last one counts */
        {"{\"a\":1}", "{\"a\":2,\"a\":null}", "{}"},
        {"{\"a\":9}", "{\"a\":null,\"a\":2}", "{\"a\":2}"},
    };
    plx_buf out;

    (void)state;
    plx_buf_init(&out, 100);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plx_buf_clear(&out);
        assert_int_equal(plx_http_assigns_merge(plx_slice_of(cases[i].assigns),
                                                plx_slice_of(cases[i].changes), &out),
                         0);
        assert_string_equal(plx_buf_cstr(&out), cases[i].merged);
    }
    plx_buf_fini(&out);
    plx_buf_init(&out, 6);
    assert_int_equal(
        plx_http_assigns_merge(plx_slice_of("{\"a\":1}"), plx_slice_of("{\"b\":2}"), &out),
        PLX_E_TOOBIG);
    plx_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins),
        cmocka_unit_test(pushes),
        cmocka_unit_test(empty_arrays_of_php_are_objects),
        cmocka_unit_test(all_verbs),
        cmocka_unit_test(unknown_members),
        cmocka_unit_test(wrong_joins),
        cmocka_unit_test(wrong_pushes),
        cmocka_unit_test(the_number_of_messages_is_bounded),
        cmocka_unit_test(merging_assigns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
