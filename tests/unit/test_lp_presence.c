/* Polls of a topic with presence: the state in the place of the own diff, in whatever order the
 * feed, the roster and the client's tokens come. */
#include "base/log.h"
#include "channel/track.h"
#include "tests/unit/lp_world.h"

#define REF  "AAAAAAAAAAAAAAAA"
#define HINT "w" REF "\"7\""

static void diff(uint64_t offset, const char *ref)
{
    char payload[200];
    snprintf(payload, sizeof payload,
             "{\"joins\":{\"k\":{\"metas\":[{\"phx_ref\":\"%s\"}]}},\"leaves\":{}}", ref);
    presence_event("room:a", offset, "presence_diff", payload);
}

/* A poll of a session whose slot 1 waits for its entry. */
static void open_with(const char *token_marks, const char *hint)
{
    poll("A", "S1", 0, token_marks);
    has_slot(1, "room:a", 5);
    view_slots[0].presence = plx_slice_of(hint);
    viewed(0);
    caught_up("room:a");
    turn();
    ignore_trace();
}

static void the_state_takes_the_place_of_the_own_diff(void **state)
{
    (void)state;
    open_with("", HINT);
    diff(6, "BBBBBBBBBBBBBBBB");
    turn();
    assert_null(fake_wait);
    diff(7, REF);
    turn();
    assert_int_equal(fake_wait->position.offset, 7);
    expect("");
    fake_roster_ready("room:a", "e1", 7, "{}");
    turn();
    expect("unwatch room:a\nA 200 q0 1@7+7 [\"['7',null,'room:a','presence_state',{}]\"]\n");
    assert_int_equal(fake_rosters, 0);
}

static void what_is_withheld_meanwhile_must_be_in_it(void **state)
{
    (void)state;
    open_with("", HINT);
    diff(7, REF);
    diff(8, "BBBBBBBBBBBBBBBB");
    fake_roster_ready("room:a", "e1", 7, "{}");
    assert_int_equal(fake_wait->position.offset, 8);
    fake_roster_ready("room:a", "e1", 9, "{}");
    turn();
    expect("unwatch room:a\nA 200 q0 1@8+9 [\"['7',null,'room:a','presence_state',{}]\"]\n");
}

static void a_state_that_is_newer_than_the_cursor_hides_the_diffs_up_to_it(void **state)
{
    (void)state;
    open_with("1@8+9", HINT);
    diff(9, "BBBBBBBBBBBBBBBB");
    turn();
    expect("");
    diff(10, "CCCCCCCCCCCCCCCC");
    turn();
    expect("unwatch room:a\nA 200 q0 1@10+10 [\"[null,null,'room:a','presence_diff',{'joins':{'k':{"
           "'metas':[{'phx_ref':'CCCCCCCCCCCCCCCC'}]}},'leaves':{}}]\"]\n");
}

static void the_next_poll_is_given_a_state_that_is_due(void **state)
{
    (void)state;
    open_with("", HINT);
    diff(7, REF);
    presence_event("room:a", 8, "", "1"); /* an ordinary message */
    turn();
    ignore_trace();
    advance(300);
    ignore_trace();
    poll("B", "S1", 0, "1@8~7");
    has_slot(1, "room:a", 5);
    view_slots[0].presence = plx_slice_of(HINT);
    viewed(0);
    assert_true(fake_wait->position.offset >= 7);
    ignore_trace();
    fake_roster_ready("room:a", "e1", 7, "{}");
    caught_up("room:a");
    turn();
    expect("unwatch room:a\nB 200 q0 1@8+8 [\"['7',null,'room:a','presence_state',{}]\"]\n");
}

static void patience_ends(void **state)
{
    (void)state;
    open_with("", HINT);
    advance(2999);
    assert_null(fake_wait);
    advance(1);
    assert_non_null(fake_wait);
    fake_roster_ready("room:a", "e1", 0, "{}");
    turn();
    expect("unwatch room:a\nA 200 q0 1@5+5 [\"['7',null,'room:a','presence_state',{}]\"]\n");
}

static void without_presence_diffs_come_as_they_are(void **state)
{
    (void)state;
    open_with("", "");
    diff(6, REF);
    turn();
    expect("unwatch room:a\nA 200 q0 1@6 [\"[null,null,'room:a','presence_diff',{'joins':{'k':{"
           "'metas':[{'phx_ref':'" REF "'}]}},'leaves':{}}]\"]\n");
}

static void a_damaged_hint_is_none(void **state)
{
    (void)state;
    static const char *const hints[] = {"w",     "wAAAA",        "d:", "dx:null",
                                        "w" REF, "w" REF "nope", "x"};
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
        plx_hint hint;
        assert_int_equal(plx_hint_unpack(plx_slice_of(hints[i]), &hint), PLX_E_INVALID);
        assert_int_equal(hint.diffs.mode, PLX_DIFFS_PLAIN);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_start, world_stop)
    const struct CMUnitTest tests[] = {
        T(the_state_takes_the_place_of_the_own_diff),
        T(what_is_withheld_meanwhile_must_be_in_it),
        T(a_state_that_is_newer_than_the_cursor_hides_the_diffs_up_to_it),
        T(the_next_poll_is_given_a_state_that_is_due),
        T(patience_ends),
        T(without_presence_diffs_come_as_they_are),
        T(a_damaged_hint_is_none),
    };
    plx_log_init("test", PLX_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
