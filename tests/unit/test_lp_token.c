/* The long-poll token: what it carries comes back, and nothing else is taken for genuine. */
#include "base/error.h"
#include "transport/lp_token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static const plx_slice secret = PLX_LIT("a secret of thirty-two characters!!");
static const plx_slice other = PLX_LIT("another secret, also long enough....");
static const plx_slice mount = PLX_LIT("/socket");
static const plx_slice none = {NULL, 0};

static plx_lp_cursor sample(plx_lp_mark *marks, size_t n)
{
    plx_lp_cursor c = {.vsn = PLX_V2, .q = 300, .marks = marks, .mark_count = n};
    memcpy(c.sid, "abcdefghijklmnopqrstuv", PLX_SID_LEN + 1);
    return c;
}

static void round_trip(void **state)
{
    (void)state;
    plx_lp_mark marks[] = {{1, 0, PLX_LP_STATE_NONE, 0},
                           {2, 127, PLX_LP_STATE_DUE, 130},
                           {3, 128, PLX_LP_STATE_SENT, 128},
                           {UINT32_MAX, UINT64_MAX, PLX_LP_STATE_SENT, UINT64_MAX}};
    plx_lp_cursor c = sample(marks, 4), got;
    plx_buf text;
    plx_buf_init(&text, 0);
    assert_int_equal(plx_lp_token_make(secret, mount, &c, &text), 0);
    assert_true(plx_lp_token_form(plx_buf_slice(&text)));
    assert_int_equal(plx_lp_token_read(plx_buf_slice(&text), secret, none, mount, &got), 0);
    assert_string_equal(got.sid, c.sid);
    assert_int_equal(got.vsn, PLX_V2);
    assert_int_equal(got.q, 300);
    assert_int_equal(got.mark_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(got.marks[i].slot, marks[i].slot);
        assert_true(got.marks[i].offset == marks[i].offset);
        assert_int_equal(got.marks[i].state, marks[i].state);
        assert_true(got.marks[i].state_at == marks[i].state_at);
    }
    assert_int_equal(plx_lp_cursor_offset(&got, 2, 5), 127);
    assert_int_equal(plx_lp_cursor_offset(&got, 2, 200), 200); /* never before the slot's start */
    assert_int_equal(plx_lp_cursor_offset(&got, 9, 5), 5);
    plx_lp_cursor_fini(&got);
    plx_buf_fini(&text);
}

static void what_ended_is_kept_apart(void **state)
{
    (void)state;
    plx_lp_mark marks[] = {{.slot = 1, .offset = 5}};
    plx_lp_cursor c = sample(marks, 1), got;
    plx_buf text;
    plx_buf_init(&text, 0);
    for (uint32_t i = 1; i <= PLX_LP_PAST_MAX + 1; i++)
        plx_lp_cursor_keep(&c, i, 1000 + i);
    plx_lp_cursor_keep(&c, 3, 5000);
    plx_lp_cursor_keep(&c, 4, 0);
    plx_lp_token_make(secret, mount, &c, &text);
    assert_int_equal(plx_lp_token_read(plx_buf_slice(&text), secret, none, mount, &got), 0);
    assert_int_equal(got.mark_count, 1);
    assert_int_equal(got.past_count, PLX_LP_PAST_MAX - 1);
    assert_true(plx_lp_cursor_past(&got, 1) == 0); /* the oldest made room */
    assert_true(plx_lp_cursor_past(&got, 2) == 1002);
    assert_true(plx_lp_cursor_past(&got, 3) == 5000);
    assert_true(plx_lp_cursor_past(&got, 4) == 0);
    assert_true(plx_lp_life("epoch-one") != plx_lp_life("epoch-two"));
    plx_lp_cursor_fini(&got);
    plx_buf_fini(&text);
}

static void bound_to_mount_and_secret(void **state)
{
    (void)state;
    plx_lp_cursor c = sample(NULL, 0), got;
    plx_buf text;
    plx_buf_init(&text, 0);
    plx_lp_token_make(secret, mount, &c, &text);
    plx_slice t = plx_buf_slice(&text);
    assert_int_equal(plx_lp_token_read(t, secret, none, plx_slice_of("/other"), &got),
                     PLX_E_DENIED);
    assert_int_equal(plx_lp_token_read(t, other, none, mount, &got), PLX_E_DENIED);
    assert_int_equal(plx_lp_token_read(t, other, secret, mount, &got), 0); /* rotation */
    plx_lp_cursor_fini(&got);
    plx_buf_fini(&text);
}

static void every_altered_bit_is_refused(void **state)
{
    (void)state;
    plx_lp_mark marks[] = {{7, 1234567, PLX_LP_STATE_SENT, 1234567}};
    plx_lp_cursor c = sample(marks, 1), got;
    plx_buf text;
    plx_buf_init(&text, 0);
    plx_lp_token_make(secret, mount, &c, &text);
    for (size_t i = 0; i < text.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            text.data[i] ^= (char)(1 << bit);
            assert_true(plx_lp_token_read(plx_buf_slice(&text), secret, none, mount, &got) < 0);
            text.data[i] ^= (char)(1 << bit);
        }
        plx_slice cut = plx_slice_make(text.data, i);
        assert_true(plx_lp_token_read(cut, secret, none, mount, &got) < 0);
    }
    plx_buf_fini(&text);
}

static void outer_form(void **state)
{
    (void)state;
    static const char *not_ours[] = {
        "",
        "garbage",
        "A",
        "AQ",
        "SFMyNTY.g2gDYQFuBgBkZWxheQBiAAFRgA.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "eyJhbGciOiJIUzI1NiJ9aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC",
    };
    for (size_t i = 0; i < sizeof not_ours / sizeof *not_ours; i++)
        assert_false(plx_lp_token_form(plx_slice_of(not_ours[i])));
    plx_lp_cursor c = sample(NULL, 0), got;
    plx_buf text;
    plx_buf_init(&text, 0);
    plx_lp_token_make(secret, mount, &c, &text);
    plx_buf_str(&text, "TAMPERED");
    assert_true(plx_lp_token_form(plx_buf_slice(&text)));
    assert_int_equal(plx_lp_token_read(plx_buf_slice(&text), secret, none, mount, &got),
                     PLX_E_DENIED);
    plx_buf_clear(&text);
    for (int i = 0; i < PLX_LP_TOKEN_MAX + 1; i++)
        plx_buf_byte(&text, i == 1 ? 'Q' : 'A');
    assert_false(plx_lp_token_form(plx_buf_slice(&text)));
    plx_buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(what_ended_is_kept_apart),
        cmocka_unit_test(bound_to_mount_and_secret),
        cmocka_unit_test(every_altered_bit_is_refused),
        cmocka_unit_test(outer_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
