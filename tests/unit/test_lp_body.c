/* Bodies of POSTs: single messages and ndjson, judged up to the first malformed message. */
#include "base/error.h"
#include "transport/lp_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define M(ref) "[\"1\",\"" ref "\",\"room:a\",\"echo\",{}]"

static plx_lp_body_check judge(enum plx_vsn vsn, bool ndjson, const char *body)
{
    plx_lp_body_check c;
    plx_lp_body_judge(vsn, ndjson, plx_slice_of(body), &c);
    return c;
}

static void content_types(void **state)
{
    (void)state;
    assert_true(plx_lp_body_is_ndjson(plx_slice_of("application/x-ndjson")));
    assert_true(plx_lp_body_is_ndjson(plx_slice_of("Application/X-NDJSON; charset=utf-8")));
    assert_true(plx_lp_body_is_ndjson(plx_slice_of("application/x-ndjson ;charset=utf-8")));
    assert_false(plx_lp_body_is_ndjson(plx_slice_of("application/x-ndjsonx")));
    assert_false(plx_lp_body_is_ndjson(plx_slice_of("application/json")));
    assert_false(plx_lp_body_is_ndjson(plx_slice_of("")));
    assert_false(plx_lp_body_is_ndjson(plx_slice_make(NULL, 0)));
}

static void lines(void **state)
{
    (void)state;
    plx_lp_body_check c = judge(PLX_V2, true, "\n" M("1") "\r\n\r\n" M("2") "\n   \n");
    assert_int_equal(c.messages, 2);
    assert_false(c.malformed);
    assert_true(c.all_refs);
    c = judge(PLX_V2, true, M("1") "\n" M("2") "\nnonsense!\n" M("3"));
    assert_int_equal(c.messages, 2);
    assert_true(c.malformed);
    assert_int_equal(c.usable, sizeof(M("1") "\n" M("2")) - 1);
    c = judge(PLX_V2, true, "");
    assert_int_equal(c.messages, 0);
    assert_false(c.malformed);
    c = judge(PLX_V2, true, " " M("1")); /* a leading space makes it base64 */
    assert_int_equal(c.messages, 0);
    assert_true(c.malformed);
    c = judge(PLX_V1, true, "{\"topic\":\"t\",\"event\":\"e\",\"payload\":{},\"ref\":null}\n");
    assert_int_equal(c.messages, 1);
    assert_false(c.all_refs);
}

static void binary_lines(void **state)
{
    (void)state;
    plx_lp_body b;
    plx_message m;
    plx_lp_body_init(&b, PLX_V2, true,
                     plx_slice_of("AAEBCAMxMnJvb206YmluYWNrAP8=\n" M("3") "\nAAEBCAMxMnJvb206"));
    assert_int_equal(plx_lp_body_next(&b, &m), 1);
    assert_int_equal(m.payload.kind, PLX_PAYLOAD_BINARY);
    assert_int_equal(m.payload.bytes.len, 2);
    assert_true(plx_slice_is(m.topic.text, "room:bin"));
    assert_int_equal(plx_lp_body_next(&b, &m), 1);
    assert_int_equal(m.payload.kind, PLX_PAYLOAD_JSON);
    assert_int_equal(plx_lp_body_next(&b, &m), PLX_E_INVALID);
    plx_lp_body_fini(&b);
    /* Without padding, or in the URL alphabet: refused as Phoenix refuses it. */
    assert_true(judge(PLX_V2, true, "AAEBCAMxMnJvb206YmluYWNrYWI").malformed);
    assert_true(judge(PLX_V2, true, "AAEBCAMxMnJvb206YmluYWNr____--8=").malformed);
}

static void single(void **state)
{
    (void)state;
    assert_int_equal(judge(PLX_V2, false, M("1")).messages, 1);
    assert_true(judge(PLX_V2, false, M("1") "\n" M("2")).malformed);
    assert_true(judge(PLX_V2, false, "").malformed);
    assert_true(judge(PLX_V2, false, "[" M("1") "," M("2") "]").malformed);
    assert_true(judge(PLX_V2, false, "{}").malformed);
    plx_lp_body_check c = judge(PLX_V2, false, "[null,null,\"room:a\",\"echo\",{}]");
    assert_int_equal(c.messages, 1);
    assert_false(c.all_refs);
}

/* Cut anywhere, a batch never yields a message that was not sent; what is usable stays usable. */
static void every_cut(void **state)
{
    (void)state;
    static const char body[] = M("1") "\r\n" M("2") "\n\nAAEBCAMxMnJvb206YmluYWNrAP8=\n" M("4");
    for (size_t n = 0; n < sizeof body; n++) {
        plx_lp_body_check whole, part;
        plx_slice cut = plx_slice_make(body, n);
        plx_lp_body_judge(PLX_V2, true, cut, &whole);
        assert_in_range(whole.messages, 0, 4);
        assert_true(whole.usable <= n);
        plx_lp_body_judge(PLX_V2, true, plx_slice_make(body, whole.usable), &part);
        assert_int_equal(part.messages, whole.messages);
        assert_false(part.malformed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_types), cmocka_unit_test(lines),
        cmocka_unit_test(binary_lines),  cmocka_unit_test(single),
        cmocka_unit_test(every_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
