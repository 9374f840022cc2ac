/* permessage-deflate: offers, and messages there and back. */
#include "base/error.h"
#include "transport/ws_deflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>
#include <cmocka.h>

#define YES "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

static void test_offers(void **state)
{
    (void)state;
    static const struct {
        const char *offers, *answer;
        unsigned bits;
    } cases[] = {
        {"permessage-deflate", YES, 15},
        {"permessage-deflate; client_max_window_bits", YES, 15},
        {"permessage-deflate;client_max_window_bits=10", YES, 15},
        {"permessage-deflate; client_max_window_bits=\"10\"", YES, 15},
        {"Permessage-Deflate ; Server_No_Context_Takeover", YES, 15},
        {"permessage-deflate; server_max_window_bits=15", YES "; server_max_window_bits=15", 15},
        {"permessage-deflate; server_max_window_bits=8", YES "; server_max_window_bits=8", 8},
        {"permessage-deflate; server_max_window_bits=\"9\" ", YES "; server_max_window_bits=9", 9},
        {"permessage-deflate; client_no_context_takeover; server_no_context_takeover; "
         "server_max_window_bits=12; client_max_window_bits=12",
         YES "; server_max_window_bits=12", 12},
        /* The first acceptable one of several. */
        {"permessage-deflate; server_max_window_bits=7, permessage-deflate", YES, 15},
        {"x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=10, "
         "permessage-deflate",
         YES "; server_max_window_bits=10", 10},
        {"foo; a=\"b\", permessage-deflate", YES, 15},
        {",, permessage-deflate", YES, 15},
        {"", "", 0},
        {"foo", "", 0},
        {"permessage-deflat", "", 0},
        {"permessage-deflate=1", "", 0},
        {"permessage-deflate;", "", 0},
        {"permessage-deflate; foo", "", 0},
        {"permessage-deflate; foo=1", "", 0},
        {"permessage-deflate; server_no_context_takeover=1", "", 0},
        {"permessage-deflate; client_no_context_takeover=true", "", 0},
        {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", "", 0},
        {"permessage-deflate; client_max_window_bits; client_max_window_bits=9", "", 0},
        {"permessage-deflate; server_max_window_bits", "", 0},
        {"permessage-deflate; server_max_window_bits=", "", 0},
        {"permessage-deflate; server_max_window_bits=16", "", 0},
        {"permessage-deflate; server_max_window_bits=7", "", 0},
        {"permessage-deflate; server_max_window_bits=08", "", 0},
        {"permessage-deflate; server_max_window_bits=1x", "", 0},
        {"permessage-deflate; client_max_window_bits=7", "", 0},
        {"permessage-deflate; client_max_window_bits=", "", 0},
        {"permessage-deflate; client_max_window_bits=\"", "", 0},
        {"permessage-deflate; client_max_window_bits=-9", "", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plx_ws_deflate d = {true, 99};
        plx_buf answer;
        plx_buf_init(&answer, 0);
        plx_ws_deflate_negotiate(plx_slice_of(cases[i].offers), &d, &answer);
        assert_string_equal(plx_buf_cstr(&answer), cases[i].answer);
        assert_int_equal(d.on, cases[i].bits > 0);
        assert_int_equal(d.window_bits, cases[i].bits);
        plx_buf_fini(&answer);
    }
}

static plx_ws_zip *zip;

static int setup(void **state)
{
    (void)state;
    zip = plx_ws_zip_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    plx_ws_zip_free(zip);
    plx_ws_zip_free(NULL);
    return 0;
}

static plx_slice text_of(plx_buf *b, size_t len)
{
    plx_buf_clear(b);
    for (size_t i = 0; b->len < len; i++)
        plx_buf_printf(b, "{\"n\":%zu},", i % 1000);
    b->len = len;
    return plx_buf_slice(b);
}

/* Each message stands alone: what was sent before is not needed to read it. */
static void test_there_and_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {100, 256, 1000, 16384, 16385, 65536, 1000000, 300};
    plx_buf b;
    plx_buf_init(&b, 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        plx_slice text = text_of(&b, sizes[i]), packed, back;
        assert_int_equal(plx_ws_deflate_message(zip, text, &packed), 0);
        assert_true(packed.len < text.len);
        assert_int_equal(plx_ws_inflate(zip, packed, text.len, &back), 0);
        assert_true(plx_slice_eq(back, text));
        assert_int_equal(plx_ws_inflate(zip, packed, text.len - 1, &back), PLX_E_TOOBIG);
        for (size_t cut = 1; cut < packed.len && cut < 40; cut++)
            assert_int_not_equal(
                plx_ws_inflate(zip, plx_slice_make(packed.data, packed.len - cut), text.len, &back),
                0);
    }
    plx_buf_fini(&b);
}

/* The examples of RFC 7692 7.2.3. */
static void test_rfc_examples(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *text;
    } cases[] = {
        {"\xf2\x48\xcd\xc9\xc9\x07\x00", 7, "Hello"},                          /* one block */
        {"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11, "Hello"},         /* not compressed */
        {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8, "Hello"},                      /* final block */
        {"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13, "Hello"}, /* two blocks */
        {"\x00", 1, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plx_slice out;
        assert_int_equal(
            plx_ws_inflate(zip, plx_slice_make(cases[i].bytes, cases[i].len), 100, &out), 0);
        assert_true(plx_slice_is(out, cases[i].text));
    }
}

static void test_garbage(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xFF\xFF\xFF\xFF", "\x07", "hello world, not deflated",
                                      "\x05"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        plx_slice out;
        assert_int_equal(plx_ws_inflate(zip, plx_slice_of(bad[i]), 100, &out), PLX_E_INVALID);
    }
    /* And the stream is usable again. */
    plx_slice out;
    assert_int_equal(
        plx_ws_inflate(zip, plx_slice_make("\xf2\x48\xcd\xc9\xc9\x07\x00", 7), 5, &out), 0);
    assert_true(plx_slice_is(out, "Hello"));
}

/* A thousandfold bomb stops at the bound: nothing of the rest is produced. */
static void test_bomb(void **state)
{
    (void)state;
    plx_buf zeros;
    plx_buf_init(&zeros, 0);
    memset(plx_buf_reserve(&zeros, 10000000), 'x', 10000000);
    plx_buf_commit(&zeros, 10000000);
    plx_slice packed, out;
    assert_int_equal(plx_ws_deflate_message(zip, plx_buf_slice(&zeros), &packed), 0);
    assert_true(packed.len < 20000);
    plx_buf copy;
    plx_buf_init(&copy, 0);
    plx_buf_add(&copy, packed);
    assert_int_equal(plx_ws_inflate(zip, plx_buf_slice(&copy), 1000, &out), PLX_E_TOOBIG);
    assert_int_equal(plx_ws_inflate(zip, plx_buf_slice(&copy), 9999999, &out), PLX_E_TOOBIG);
    assert_int_equal(plx_ws_inflate(zip, plx_buf_slice(&copy), 10000000, &out), 0);
    plx_buf_fini(&copy);
    plx_buf_fini(&zeros);
}

static void test_not_worth_it(void **state)
{
    (void)state;
    unsigned char noise[600];
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof noise; i++) {
        x = x * 1664525 + 1013904223;
        noise[i] = (unsigned char)(x >> 24);
    }
    plx_slice out;
    assert_int_equal(plx_ws_deflate_message(zip, plx_slice_make(noise, sizeof noise), &out),
                     PLX_E_TOOBIG);
    assert_int_equal(plx_ws_deflate_message(zip, plx_slice_of("aaaa"), &out), PLX_E_TOOBIG);
    const plx_ws_deflate wide = {true, 15}, narrow = {true, 8}, off = {false, 0};
    assert_false(plx_ws_deflate_wanted(&wide, 255));
    assert_true(plx_ws_deflate_wanted(&wide, 256));
    assert_true(plx_ws_deflate_wanted(&wide, 32768));
    assert_false(plx_ws_deflate_wanted(&wide, 32769));
    assert_true(plx_ws_deflate_wanted(&narrow, 256));
    assert_false(plx_ws_deflate_wanted(&narrow, 257));
    assert_false(plx_ws_deflate_wanted(&off, 1000));
}

/* A message no longer than the window is read with that window only. */
static void test_small_window(void **state)
{
    (void)state;
    plx_buf b;
    plx_buf_init(&b, 0);
    for (unsigned bits = 9; bits <= 15; bits++) {
        plx_slice text = text_of(&b, (size_t)1 << bits), packed;
        assert_int_equal(plx_ws_deflate_message(zip, text, &packed), 0);
        z_stream in = {0};
        char out[32768];
        assert_int_equal(inflateInit2(&in, -(int)bits), Z_OK);
        in.next_in = (z_const Bytef *)packed.data;
        in.avail_in = (uInt)packed.len;
        in.next_out = (Bytef *)out;
        in.avail_out = sizeof out;
        assert_int_equal(inflate(&in, Z_SYNC_FLUSH), Z_OK);
        assert_int_equal(in.total_out, text.len);
        assert_memory_equal(out, text.data, text.len);
        inflateEnd(&in);
    }
    plx_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offers),       cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_rfc_examples), cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_bomb),         cmocka_unit_test(test_not_worth_it),
        cmocka_unit_test(test_small_window),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
