/* Wire formats: against the recordings, and what they leave open. */
#include "base/error.h"
#include "base/json_scan.h"
#include "tests/unit/vectors.h"
#include "transport/serializer.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static void assert_slice(plx_slice got, const char *expected)
{
    if (!plx_slice_is(got, expected))
        fail_msg("got \"%.*s\", expected \"%s\"", (int)got.len, got.data, expected);
}

static plx_term str(const char *s)
{
    return (plx_term){PLX_TERM_STRING, plx_slice_of(s)};
}

static void test_vsn(void **state)
{
    (void)state;
    static const char *const v1[] = {"1.0.0", "1.0.7", "1.0.1-rc.1", "1.0.0+x.01", "1.0.10"};
    static const char *const v2[] = {"2.0.0",   "2.0.9",   "2.0.1-rc.1", "2.0.0+build", "2.0.123",
                                     "2.0.5--", "2.0.5-0", "2.0.5-01a",  "2.0.0+001"};
    static const char *const bad[] = {
        "",           "1.1.0",
        "2.1.0",      "3.0.0",
        "2.0.0-rc.1", "2",
        "2.0",        "02.0.0",
        "v2.0.0",     "garbage",
        " 2.0.0",     "2.0.0 ",
        "2.0.00",     "2.00.0",
        "2.0.0.0",    "2.0.",
        "2..0",       ".2.0.0",
        "2.0.1-",     "2.0.1+",
        "2.0.1-a..b", "2.0.1-01",
        "2.0.1-a_b",  "2.0.1+a+b",
        "-2.0.0",     "2.0.-1",
        "%zz",        "2.0.0+a.",
        "2.1.0-rc.1", "2.0.1111111111111111111111111111111111111111111111111111111111111111111"};
    enum plx_vsn v;
    for (size_t i = 0; i < sizeof v1 / sizeof *v1; i++) {
        assert_int_equal(plx_vsn_parse(plx_slice_of(v1[i]), &v), 0);
        assert_int_equal(v, PLX_V1);
    }
    for (size_t i = 0; i < sizeof v2 / sizeof *v2; i++) {
        assert_int_equal(plx_vsn_parse(plx_slice_of(v2[i]), &v), 0);
        assert_int_equal(v, PLX_V2);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (plx_vsn_parse(plx_slice_of(bad[i]), &v) != PLX_E_INVALID)
            fail_msg("accepted \"%s\"", bad[i]);
    }
}

/* Ours is bounded (PLX_JSON_DEPTH), the recorded server's nesting was not. */
static bool is_too_deep(plx_slice frame)
{
    static const char deep[] = "{\"k\":{\"k\":{\"k\":{\"k\":{\"k\":{\"k\":{\"k\":{\"k\":";
    return memmem(frame.data, frame.len, deep, sizeof deep - 1) != NULL;
}

/* Every frame that the recorded server answered with close 1011 is no message, every other one is.
 */
static void test_recorded_frames(void **state)
{
    (void)state;
    static const char *const names[] = {
        "ws_v2_bad_types",     "ws_v2_bad_shape",   "ws_v2_bad_json",  "ws_v2_bad_binary",
        "ws_v2_json_oddities", "ws_v2_long_fields", "ws_v1_bad_shape", "ws_v1_binary"};
    plx_buf frame, scratch;
    plx_buf_init(&frame, 0);
    plx_buf_init(&scratch, 0);
    unsigned good = 0, bad = 0;
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        json_object *recording = vector_load(names[n]), *steps = vector_steps(recording);
        enum plx_vsn vsn = plx_slice_is(vector_text(recording, "vsn"), "1.0.0") ? PLX_V1 : PLX_V2;
        for (size_t i = 0; i < json_object_array_length(steps); i++) {
            json_object *next = json_object_array_get_idx(steps, i + 1);
            bool binary, refused = next && json_object_object_get(next, "close");
            if (!vector_send(json_object_array_get_idx(steps, i), &frame, &binary))
                continue;
            refused = refused || is_too_deep(plx_buf_slice(&frame));
            plx_message m;
            int rc = plx_decode(vsn, binary, plx_buf_slice(&frame), &scratch, &m);
            if (rc != (refused ? PLX_E_INVALID : 0))
                fail_msg("%s step %zu: %d", names[n], i, rc);
            refused ? bad++ : good++;
        }
        json_object_put(recording);
    }
    assert_true(good > 60 && bad > 40);
    plx_buf_fini(&frame);
    plx_buf_fini(&scratch);
}

static plx_term term_of(const plx_json_value *v, plx_buf *scratch)
{
    if (v->type == PLX_JSON_NULL || v->type == PLX_JSON_NONE)
        return (plx_term){.kind = PLX_TERM_NULL};
    if (v->type != PLX_JSON_STRING)
        return (plx_term){PLX_TERM_JSON, v->text};
    size_t before = scratch->len;
    plx_json_unquote(v->text, scratch);
    return (plx_term){PLX_TERM_STRING,
                      plx_slice_make(scratch->data + before, scratch->len - before)};
}

/* Builds from the parts of a recorded text what the core would have handed out, and encodes it. */
static void encode_again(enum plx_vsn vsn, const plx_json_value parts[5], plx_buf *out)
{
    static const char *const members[] = {"response", "status"};
    plx_buf scratch;
    plx_buf_init(&scratch, 0);
    plx_buf_reserve(&scratch, 65536);
    plx_term event = term_of(&parts[3], &scratch);
    plx_out o = {.kind = PLX_OUT_PUSH,
                 .join_ref = term_of(&parts[0], &scratch),
                 .ref = term_of(&parts[1], &scratch),
                 .topic = term_of(&parts[2], &scratch),
                 .event = event.text,
                 .payload = {PLX_PAYLOAD_JSON, parts[4].text}};
    plx_json_value reply[2];
    if (plx_slice_is(event.text, "phx_reply")) {
        o.kind = PLX_OUT_REPLY;
        assert_int_equal(plx_json_cut_object(parts[4].text, members, reply, 2), 0);
        o.payload.bytes = reply[0].text;
        o.status = term_of(&reply[1], &scratch).text;
    } else if (plx_slice_is(event.text, "phx_close") && plx_slice_is(parts[4].text, "{}")) {
        o.kind = PLX_OUT_CLOSE;
    } else if (plx_slice_is(event.text, "phx_error")) {
        o.kind = PLX_OUT_ERROR;
    }
    if (vsn == PLX_V1 && o.kind != PLX_OUT_REPLY)
        o.join_ref = o.ref; /* what phx_close carries there */
    bool binary = true;
    assert_int_equal(plx_encode(vsn, true, &o, out, &binary), 0);
    assert_false(binary);
    plx_buf_fini(&scratch);
}

static bool cut(enum plx_vsn vsn, plx_slice raw, plx_json_value parts[5])
{
    static const char *const names[] = {"join_ref", "ref", "topic", "event", "payload"};
    size_t count;
    if (vsn == PLX_V1)
        return plx_json_cut_object(raw, names, parts, 5) == 0;
    return plx_json_cut_array(raw, parts, 5, &count) == 0 && count == 5;
}

/* All texts that the recorded server sent, byte for byte (thousands of steps in 200 files). */
static void test_recorded_answers(void **state)
{
    (void)state;
    DIR *d = opendir("tests/vectors");
    assert_non_null(d);
    unsigned seen = 0;
    plx_buf out;
    plx_buf_init(&out, 0);
    for (struct dirent *e; (e = readdir(d));) {
        char name[256];
        if (strncmp(e->d_name, "ws_", 3) != 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(strlen(e->d_name) - strlen(".json")), e->d_name);
        json_object *recording = vector_load(name), *steps = vector_steps(recording);
        for (size_t i = 0; i < json_object_array_length(steps); i++) {
            plx_slice raw = vector_text(json_object_array_get_idx(steps, i), "raw");
            plx_json_value parts[5];
            enum plx_vsn vsn = raw.len > 0 && raw.data[0] == '{' ? PLX_V1 : PLX_V2;
            if (raw.len == 0 || !cut(vsn, raw, parts))
                continue;
            plx_buf_clear(&out);
            encode_again(vsn, parts, &out);
            if (!plx_slice_eq(plx_buf_slice(&out), raw))
                fail_msg("%s step %zu: %.*s", name, i, (int)out.len, out.data);
            seen++;
        }
        json_object_put(recording);
    }
    closedir(d);
    plx_buf_fini(&out);
    assert_true(seen > 300);
}

static int decode_text(enum plx_vsn vsn, const char *text, plx_buf *scratch, plx_message *m)
{
    return plx_decode(vsn, false, plx_slice_of(text), scratch, m);
}

static void test_terms(void **state)
{
    (void)state;
    plx_buf scratch;
    plx_message m;
    plx_buf_init(&scratch, 0);
    assert_int_equal(
        decode_text(
            PLX_V2,
            " [ null , 12 , \"r\\u006fom:\\\"a\\\"\" , \"\\ud83d\\ude00\", {\"a\" : 1.10} ]",
            &scratch, &m),
        0);
    assert_int_equal(m.join_ref.kind, PLX_TERM_NULL);
    assert_int_equal(m.ref.kind, PLX_TERM_JSON);
    assert_slice(m.ref.text, "12");
    assert_slice(m.topic.text, "room:\"a\"");
    assert_slice(m.event.text, "\xF0\x9F\x98\x80");
    assert_slice(m.payload.bytes, "{\"a\" : 1.10}");
    assert_int_equal(m.payload.kind, PLX_PAYLOAD_JSON);

    /* A repeated scratch is emptied; nothing without an escape is copied. */
    assert_int_equal(decode_text(PLX_V2, "[\"1\",[1],5,null,[]]", &scratch, &m), 0);
    assert_int_equal(scratch.len, 0);
    assert_slice(m.ref.text, "[1]");
    assert_int_equal(m.topic.kind, PLX_TERM_JSON);
    assert_int_equal(m.event.kind, PLX_TERM_NULL);

    /* V1: any order, unknown members, names written with escapes. */
    assert_int_equal(
        decode_text(PLX_V1,
                    "{\"ref\":null,\"x\":{},\"p\\u0061yload\":7,\"event\":\"e\",\"topic\":\"t\","
                    "\"join_ref\":\"9\"}",
                    &scratch, &m),
        0);
    assert_int_equal(m.ref.kind, PLX_TERM_NULL);
    assert_slice(m.join_ref.text, "9");
    assert_slice(m.payload.bytes, "7");
    plx_buf_fini(&scratch);
}

/* A text with one name of n bytes at `place` of the envelope, each byte written as `unit`. */
static int decode_long(int place, size_t n, const char *unit)
{
    plx_buf text, scratch;
    plx_message m;
    plx_buf_init(&text, 0);
    plx_buf_init(&scratch, 0);
    for (int i = 0; i < 4; i++) {
        plx_buf_str(&text, i == 0 ? "[\"" : ",\"");
        for (size_t k = 0; k < (i == place ? n : 1); k++)
            plx_buf_str(&text, unit);
        plx_buf_byte(&text, '"');
    }
    plx_buf_str(&text, ",{}]");
    int rc = plx_decode(PLX_V2, false, plx_buf_slice(&text), &scratch, &m);
    plx_buf_fini(&text);
    plx_buf_fini(&scratch);
    return rc;
}

static void test_name_limits(void **state)
{
    (void)state;
    for (int place = 0; place < 4; place++) {
        assert_int_equal(decode_long(place, PLX_NAME_MAX, "a"), 0);
        assert_int_equal(decode_long(place, PLX_NAME_MAX, "\\u0061"), 0);
        assert_int_equal(decode_long(place, PLX_NAME_MAX + 1, "a"), PLX_E_INVALID);
        assert_int_equal(decode_long(place, PLX_NAME_MAX + 1, "\\u0061"), PLX_E_INVALID);
    }
    plx_buf text, scratch;
    plx_message m;
    plx_buf_init(&text, 0);
    plx_buf_init(&scratch, 0);
    plx_buf_str(&text, "[null,[\"");
    for (int i = 0; i < PLX_NAME_MAX; i++)
        plx_buf_byte(&text, 'x');
    plx_buf_str(&text, "\"],\"t\",\"e\",{}]");
    assert_int_equal(plx_decode(PLX_V2, false, plx_buf_slice(&text), &scratch, &m), PLX_E_INVALID);
    plx_buf_fini(&text);
    plx_buf_fini(&scratch);
}

/* All prefixes of a good binary frame up to its header's end of names are truncated. */
static void test_binary_frames(void **state)
{
    (void)state;
    static const char frame[] = "\0\1\2\3\4"
                                "1"
                                "22"
                                "t:a"
                                "echo"
                                "da\0ta";
    const size_t len = sizeof frame - 1, names_end = 5 + 1 + 2 + 3 + 4;
    plx_buf scratch;
    plx_message m;
    plx_buf_init(&scratch, 0);
    for (size_t n = 0; n <= len; n++) {
        int rc = plx_decode(PLX_V2, true, plx_slice_make(frame, n), &scratch, &m);
        assert_int_equal(rc, n < names_end ? PLX_E_INVALID : 0);
    }
    assert_slice(m.join_ref.text, "1");
    assert_slice(m.ref.text, "22");
    assert_slice(m.topic.text, "t:a");
    assert_slice(m.event.text, "echo");
    assert_int_equal(m.payload.kind, PLX_PAYLOAD_BINARY);
    assert_int_equal(m.payload.bytes.len, 5);
    assert_memory_equal(m.payload.bytes.data, "da\0ta", 5);

    /* An empty join_ref is an empty string, not null. */
    assert_int_equal(plx_decode(PLX_V2, true, plx_slice_make("\0\0\0\0\0", 5), &scratch, &m), 0);
    assert_int_equal(m.join_ref.kind, PLX_TERM_STRING);
    plx_buf_fini(&scratch);
}

static plx_out binary_out(enum plx_out_kind kind)
{
    return (plx_out){.kind = kind,
                     .join_ref = str("1"),
                     .ref = str("22"),
                     .topic = str("t"),
                     .event = plx_slice_of("ev"),
                     .status = plx_slice_of("ok"),
                     .payload = {PLX_PAYLOAD_BINARY, plx_slice_make("\0\xFF", 2)}};
}

static void test_encode_binary(void **state)
{
    (void)state;
    plx_buf to;
    bool binary = false;
    plx_buf_init(&to, 0);

    plx_out reply = binary_out(PLX_OUT_REPLY);
    assert_int_equal(plx_encode(PLX_V2, true, &reply, &to, &binary), 0);
    assert_true(binary);
    assert_int_equal(to.len, 5 + 1 + 2 + 1 + 2 + 2);
    assert_memory_equal(to.data,
                        "\1\1\2\1\2"
                        "122tok"
                        "\0\xFF",
                        to.len);

    plx_buf_clear(&to);
    plx_out push = binary_out(PLX_OUT_PUSH);
    push.join_ref = (plx_term){.kind = PLX_TERM_NULL};
    assert_int_equal(plx_encode(PLX_V2, true, &push, &to, &binary), 0);
    assert_true(binary);
    assert_memory_equal(to.data,
                        "\0\0\1\2"
                        "tev"
                        "\0\xFF",
                        to.len);

    /* Where no binary frame can go: a reply becomes text, a push is skipped. */
    plx_buf_clear(&to);
    assert_int_equal(plx_encode(PLX_V2, false, &reply, &to, &binary), 0);
    assert_false(binary);
    assert_slice(plx_buf_slice(&to), "[\"1\",\"22\",\"t\",\"phx_reply\",{\"response\":{\"reason\":"
                                     "\"binary\"},\"status\":\"error\"}]");
    plx_buf_clear(&to);
    assert_int_equal(plx_encode(PLX_V1, true, &reply, &to, &binary), 0);
    assert_false(binary);
    plx_buf_clear(&to);
    plx_buf_str(&to, "before");
    assert_int_equal(plx_encode(PLX_V1, true, &push, &to, &binary), PLX_E_DENIED);
    assert_int_equal(plx_encode(PLX_V2, false, &push, &to, &binary), PLX_E_DENIED);
    assert_slice(plx_buf_slice(&to), "before");

    /* Names that no length byte can say. */
    char name[256];
    memset(name, 'n', sizeof name);
    push.event = plx_slice_make(name, 256);
    assert_int_equal(plx_encode(PLX_V2, true, &push, &to, &binary), PLX_E_TOOBIG);
    assert_slice(plx_buf_slice(&to), "before");
    push.event.len = 255;
    assert_int_equal(plx_encode(PLX_V2, true, &push, &to, &binary), 0);
    plx_buf_fini(&to);
}

static void test_encode_too_big(void **state)
{
    (void)state;
    plx_buf to;
    bool binary;
    plx_out push = {.kind = PLX_OUT_PUSH,
                    .topic = str("t"),
                    .event = plx_slice_of("e"),
                    .payload = PLX_JSON_PAYLOAD("{\"a\":1}")};
    const size_t needed = strlen("xx[null,null,\"t\",\"e\",{\"a\":1}]");
    for (size_t max = 2; max <= needed; max++) {
        plx_buf_init(&to, max);
        plx_buf_str(&to, "xx");
        int rc = plx_encode(PLX_V2, true, &push, &to, &binary);
        assert_int_equal(rc, max < needed ? PLX_E_TOOBIG : 0);
        assert_int_equal(to.len, max < needed ? 2 : needed);
        plx_buf_fini(&to);
    }
}

static plx_event *event_of(enum plx_kind kind, const char *event, const char *payload)
{
    plx_position p = {.epoch = "e1", .offset = 17};
    return plx_event_new(plx_slice_of("room:a"), &p, kind, plx_slice_of(event),
                         plx_slice_of(payload), plx_slice_make(NULL, 0));
}

/* What everybody on a topic gets, as text. */
static void assert_broadcast(const plx_event *e, enum plx_vsn vsn, bool with_position,
                             const char *expected)
{
    plx_buf to;
    bool binary = true;
    plx_buf_init(&to, 0);
    assert_int_equal(plx_encode_broadcast(vsn, false, with_position, e, &to, &binary), 0);
    assert_false(binary);
    assert_slice(plx_buf_slice(&to), expected);
    plx_buf_fini(&to);
}

static void test_broadcast(void **state)
{
    (void)state;
    plx_event *e = event_of(PLX_KIND_JSON, "ms\"g", "{\"x\" :1}");
    assert_broadcast(e, PLX_V2, false, "[null,null,\"room:a\",\"ms\\\"g\",{\"x\" :1}]");
    assert_broadcast(
        e, PLX_V1, false,
        "{\"event\":\"ms\\\"g\",\"payload\":{\"x\" :1},\"ref\":null,\"topic\":\"room:a\"}");
    plx_event_unref(e);

    e = event_of(PLX_KIND_JSON, "msg", "1");
    assert_broadcast(e, PLX_V2, true, "[null,\"e1:17\",\"room:a\",\"msg\",1]");
    assert_broadcast(e, PLX_V1, true,
                     "{\"event\":\"msg\",\"payload\":1,\"ref\":\"e1:17\",\"topic\":\"room:a\"}");
    plx_event_unref(e);

    /* Sections may differ about the same topic: each gets its own. */
    e = event_of(PLX_KIND_JSON, "msg", "1");
    plx_blob *b = plx_encode_event_quoted(PLX_V2, true, e);
    assert_ptr_equal(plx_encode_event_quoted(PLX_V2, true, e), b);
    assert_slice(plx_slice_make(b->data, b->len),
                 "\"[null,\\\"e1:17\\\",\\\"room:a\\\",\\\"msg\\\",1]\"");
    b = plx_encode_event_quoted(PLX_V2, false, e);
    assert_slice(plx_slice_make(b->data, b->len), "\"[null,null,\\\"room:a\\\",\\\"msg\\\",1]\"");
    assert_ptr_not_equal(plx_encode_event_quoted(PLX_V1, true, e),
                         plx_encode_event_quoted(PLX_V1, false, e));
    plx_event_unref(e);

    /* A presence diff takes an offset and carries no position. */
    e = event_of(PLX_KIND_PRESENCE, "presence_diff", "{}");
    assert_broadcast(e, PLX_V2, true, "[null,null,\"room:a\",\"presence_diff\",{}]");
    plx_event_unref(e);
}

static void test_binary_broadcast(void **state)
{
    (void)state;
    plx_event *e = event_of(PLX_KIND_BINARY, "bin", "data");
    plx_buf to;
    bool binary = false;
    plx_buf_init(&to, 0);
    assert_int_equal(plx_encode_broadcast(PLX_V1, true, false, e, &to, &binary), PLX_E_DENIED);
    assert_int_equal(plx_encode_broadcast(PLX_V2, false, false, e, &to, &binary), PLX_E_DENIED);
    assert_int_equal(to.len, 0);
    assert_int_equal(plx_encode_broadcast(PLX_V2, true, false, e, &to, &binary), 0);
    assert_true(binary);
    assert_slice(plx_buf_slice(&to), "\2\6\3room:abindata");
    plx_buf_fini(&to);
    plx_event_unref(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vsn),
        cmocka_unit_test(test_recorded_frames),
        cmocka_unit_test(test_recorded_answers),
        cmocka_unit_test(test_terms),
        cmocka_unit_test(test_name_limits),
        cmocka_unit_test(test_binary_frames),
        cmocka_unit_test(test_encode_binary),
        cmocka_unit_test(test_encode_too_big),
        cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_binary_broadcast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
