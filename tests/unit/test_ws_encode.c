/* Frames for sockets: what is shared, what is deflated, what is skipped. */
#include "transport/ws_encode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static const plx_ws_deflate off = {false, 0}, wide = {true, 15}, narrow = {true, 9};
static plx_ws_encoder encoder;
static char long_text[2000];

static int setup(void **state)
{
    (void)state;
    plx_ws_encoder_init(&encoder);
    memset(long_text, 'x', sizeof long_text);
    long_text[0] = long_text[sizeof long_text - 1] = '"';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    plx_ws_encoder_fini(&encoder);
    return 0;
}

static plx_event *event_of(enum plx_kind kind, plx_slice payload)
{
    const plx_position p = {.epoch = "e", .offset = 3};
    return plx_event_new(plx_slice_of("t"), &p, kind, plx_slice_of("ev"), payload,
                         plx_slice_make(NULL, 0));
}

static void assert_frame(const plx_blob *b, const char *expected, size_t len)
{
    assert_non_null(b);
    assert_int_equal(b->len, len);
    assert_memory_equal(b->data, expected, len);
}

/* A short text frame. */
static void assert_text(const plx_blob *b, const char *text)
{
    assert_non_null(b);
    assert_int_equal((unsigned char)b->data[0], 0x81);
    assert_int_equal((unsigned char)b->data[1], strlen(text));
    assert_int_equal(b->len, strlen(text) + 2);
    assert_memory_equal(b->data + 2, text, strlen(text));
}

static void test_small_broadcast(void **state)
{
    (void)state;
    plx_event *e = event_of(PLX_KIND_JSON, plx_slice_of("{}"));
    plx_blob *b = plx_ws_encode_event(&encoder, PLX_V2, &off, false, e);
    assert_text(b, "[null,null,\"t\",\"ev\",{}]");
    /* The same bytes for everybody, compressing or not. */
    assert_ptr_equal(plx_ws_encode_event(&encoder, PLX_V2, &wide, false, e), b);
    assert_int_equal(b->refs, 1);
    b = plx_ws_encode_event(&encoder, PLX_V1, &off, false, e);
    assert_text(b, "{\"event\":\"ev\",\"payload\":{},\"ref\":null,\"topic\":\"t\"}");
    plx_event_unref(e);

    e = event_of(PLX_KIND_JSON, plx_slice_of("{}"));
    b = plx_ws_encode_event(&encoder, PLX_V2, &off, true, e);
    assert_text(b, "[null,\"e:3\",\"t\",\"ev\",{}]");
    plx_event_unref(e);
}

static void test_deflated_broadcast(void **state)
{
    (void)state;
    plx_event *e = event_of(PLX_KIND_JSON, plx_slice_make(long_text, sizeof long_text));
    plx_blob *plain = plx_ws_encode_event(&encoder, PLX_V2, &off, false, e);
    plx_blob *packed = plx_ws_encode_event(&encoder, PLX_V2, &wide, false, e);
    plx_slice back;
    assert_ptr_not_equal(plain, packed);
    assert_int_equal((unsigned char)plain->data[0], 0x81);
    assert_int_equal((unsigned char)packed->data[0], 0xC1);
    assert_true(packed->len < 100);
    assert_int_equal(
        plx_ws_inflate(encoder.zip, plx_slice_make(packed->data + 2, packed->len - 2), 5000, &back),
        0);
    assert_true(plx_slice_eq(back, plx_slice_make(plain->data + 4, plain->len - 4)));
    assert_ptr_equal(plx_ws_encode_event(&encoder, PLX_V2, &wide, false, e), packed);
    /* Too long for what that client looks back. */
    assert_ptr_equal(plx_ws_encode_event(&encoder, PLX_V2, &narrow, false, e), plain);
    plx_blob *v1 = plx_ws_encode_event(&encoder, PLX_V1, &wide, false, e);
    assert_ptr_not_equal(v1, packed);
    assert_int_equal((unsigned char)v1->data[0], 0xC1);
    plx_event_unref(e);
}

/* Where deflating does not pay it is tried once, and the plain frame stands in. */
static void test_noise(void **state)
{
    (void)state;
    char noise[600];
    uint32_t x = 7;
    for (size_t i = 0; i < sizeof noise; i++) {
        x = x * 1664525 + 1013904223;
        noise[i] = (char)(' ' + (x >> 24) % 95);
    }
    noise[0] = noise[sizeof noise - 1] = '"';
    plx_event *e = event_of(PLX_KIND_JSON, plx_slice_make(noise, 300));
    plx_blob *plain = plx_ws_encode_event(&encoder, PLX_V2, &off, false, e);
    plx_blob *other = plx_ws_encode_event(&encoder, PLX_V2, &wide, false, e);
    assert_true(other == plain || other->len < plain->len);
    if (other == plain)
        assert_int_equal(plain->refs, 2);
    plx_event_unref(e);
}

static void test_binary_broadcast(void **state)
{
    (void)state;
    plx_event *e = event_of(PLX_KIND_BINARY, plx_slice_make("\0\1", 2));
    plx_blob *b = plx_ws_encode_event(&encoder, PLX_V2, &wide, false, e);
    assert_frame(b, "\x82\x08\2\1\2tev\0\1", 10);
    uint64_t before = encoder.skipped;
    assert_null(plx_ws_encode_event(&encoder, PLX_V1, &off, false, e));
    assert_int_equal(encoder.skipped, before + 1);
    plx_event_unref(e);
}

static plx_out push_of(plx_payload payload, const char *event)
{
    return (plx_out){.kind = PLX_OUT_PUSH,
                     .join_ref = {PLX_TERM_STRING, PLX_LIT("1")},
                     .topic = {PLX_TERM_STRING, PLX_LIT("t")},
                     .event = plx_slice_of(event),
                     .status = PLX_LIT("ok"),
                     .payload = payload};
}

static void test_messages(void **state)
{
    (void)state;
    plx_out out = push_of((plx_payload){PLX_PAYLOAD_JSON, PLX_LIT("{}")}, "ev");
    plx_blob *b = plx_ws_encode_out(&encoder, PLX_V2, &wide, &out);
    assert_text(b, "[\"1\",null,\"t\",\"ev\",{}]");
    plx_blob_unref(b);
    out.payload.bytes = plx_slice_make(long_text, sizeof long_text);
    b = plx_ws_encode_out(&encoder, PLX_V2, &wide, &out);
    assert_int_equal((unsigned char)b->data[0], 0xC1);
    plx_blob_unref(b);
    b = plx_ws_encode_out(&encoder, PLX_V2, &off, &out);
    assert_int_equal((unsigned char)b->data[0], 0x81);
    assert_int_equal((unsigned char)b->data[1], 126);
    plx_blob_unref(b);
}

/* Names that a binary header can't say: a push is skipped, a reply becomes the textual error. */
static void test_impossible_binary(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const plx_payload data = {PLX_PAYLOAD_BINARY, PLX_LIT("data")};
    plx_out out = push_of(data, name);
    uint64_t before = encoder.skipped;
    assert_null(plx_ws_encode_out(&encoder, PLX_V2, &off, &out));
    assert_int_equal(encoder.skipped, before + 1);
    out = push_of(data, "");
    out.kind = PLX_OUT_REPLY;
    out.ref = (plx_term){PLX_TERM_STRING, plx_slice_of(name)};
    plx_blob *b = plx_ws_encode_out(&encoder, PLX_V2, &off, &out);
    assert_non_null(b);
    assert_int_equal((unsigned char)b->data[0], 0x81);
    assert_non_null(memmem(b->data, b->len, "\"reason\":\"binary\"", 17));
    plx_blob_unref(b);
}

static void test_control(void **state)
{
    (void)state;
    plx_blob *b = plx_ws_encode_close(1012, plx_slice_of(""));
    assert_frame(b, "\x88\x02\x03\xF4", 4);
    plx_blob_unref(b);
    b = plx_ws_encode_close(3000, plx_slice_of("late"));
    assert_frame(b, "\x88\x06\x0B\xB8late", 8);
    plx_blob_unref(b);
    b = plx_ws_encode_control(PLX_WS_OP_PONG, plx_slice_of("hi"));
    assert_frame(b, "\x8A\x02hi", 4);
    plx_blob_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_broadcast), cmocka_unit_test(test_deflated_broadcast),
        cmocka_unit_test(test_noise),           cmocka_unit_test(test_binary_broadcast),
        cmocka_unit_test(test_messages),        cmocka_unit_test(test_impossible_binary),
        cmocka_unit_test(test_control),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
