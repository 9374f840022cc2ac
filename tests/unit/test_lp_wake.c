/* Wakes of a parked poll, scripted: it looks at the queue again, and what comes after the wake
 * waits for what that finds. */
#include "tests/unit/lp_world.h"

static void a_wake_brings_the_reply(void **state)
{
    (void)state;
    park_poll("A");
    wake("S1", 1);
    expect("look S1 q0 #1\n");
    has_slot(1, "room:a", 5);
    has_text(1, "reply");
    viewed(0);
    turn();
    expect("unwatch room:a\nA 200 q1 [\"reply\"]\n");
    wake("S1", 1); /* too late for this one */
    expect("");
}

static void a_wake_while_the_script_runs_looks_again(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    wake("S1", 1);
    wake("S1", 1);
    expect("poll S1 q0 #1\n");
    viewed(0);
    expect("look S1 q0 #1\n");
    wake("S1", 1);
    viewed(0);
    expect("look S1 q0 #1\n");
    viewed(0);
    turn();
    expect("");
}

/* Each look used to hold back what the one before had brought, for as long as wakes came faster
 * than answers: up to the window's end. */
static void ceaseless_wakes_hold_nothing_back(void **state)
{
    (void)state;
    park_poll("A");
    wake("S1", 1);
    wake("S1", 1);
    has_slot(1, "room:a", 5);
    has_text(1, "reply");
    viewed(0);
    turn();
    expect("look S1 q0 #1\nlook S1 q0 #1\nunwatch room:a\nA 200 q1 [\"reply\"]\n");
    viewed(0);
    expect("");
}

static void an_event_before_a_wake_need_not_wait_for_its_look(void **state)
{
    (void)state;
    park_poll("A");
    event("room:a", 6, "1");
    wake("S1", 1);
    turn();
    expect("look S1 q0 #1\nunwatch room:a\nA 200 q0 1@6 [\"[null,null,'room:a','e',1]\"]\n");
    viewed(PLX_E_TIMEOUT);
    turn();
    expect("");
}

static void an_event_after_a_wake_may_be_past_an_end(void **state)
{
    (void)state;
    park_poll("A");
    wake("S1", 1);
    event("room:a", 6, "1");
    event("room:a", 7, "2");
    turn();
    expect("look S1 q0 #1\n");
    has_end(1, "closed", 1, "room:a", 5, 6);
    viewed(0);
    turn();
    expect("unwatch room:a\nA 200 q1 [\"[null,null,'room:a','e',1]\",\"closed\"]\n");
}

static void what_a_look_does_not_end_goes_out(void **state)
{
    (void)state;
    park_poll("A");
    wake("S1", 1);
    event("room:a", 6, "1");
    turn();
    expect("look S1 q0 #1\n");
    has_slot(1, "room:a", 5);
    viewed(0);
    turn();
    expect("unwatch room:a\nA 200 q0 1@6 [\"[null,null,'room:a','e',1]\"]\n");
}

static void also_when_the_look_fails(void **state)
{
    (void)state;
    park_poll("A");
    wake("S1", 1);
    event("room:a", 6, "1");
    turn();
    expect("look S1 q0 #1\n");
    viewed(PLX_E_TIMEOUT);
    turn();
    expect("unwatch room:a\nA 200 q0 1@6 [\"[null,null,'room:a','e',1]\"]\n");
}

/* What came between two wakes is sure when the first one's look is over. */
static void each_wake_holds_what_comes_after_it(void **state)
{
    (void)state;
    park_poll("A");
    wake("S1", 1);
    event("room:a", 6, "1");
    wake("S1", 1);
    event("room:a", 7, "2");
    turn();
    expect("look S1 q0 #1\n");
    has_slot(1, "room:a", 5);
    viewed(0);
    turn();
    expect("look S1 q0 #1\nunwatch room:a\nA 200 q0 1@6 [\"[null,null,'room:a','e',1]\"]\n");
    viewed(0);
    expect("");
}

static void a_wake_while_a_poll_opens_holds_too(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    wake("S1", 1);
    has_slot(1, "room:a", 5);
    viewed(0);
    caught_up("room:a");
    event("room:a", 6, "1");
    turn();
    expect("poll S1 q0 #1\nwatch room:a >5\nlook S1 q0 #1\n");
    has_end(1, "closed", 1, "room:a", 5, 5);
    viewed(0);
    turn();
    expect("unwatch room:a\nA 200 q1 [\"closed\"]\n");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_start, world_stop)
    const struct CMUnitTest tests[] = {
        T(a_wake_brings_the_reply),
        T(a_wake_while_the_script_runs_looks_again),
        T(ceaseless_wakes_hold_nothing_back),
        T(an_event_before_a_wake_need_not_wait_for_its_look),
        T(an_event_after_a_wake_may_be_past_an_end),
        T(what_a_look_does_not_end_goes_out),
        T(also_when_the_look_fails),
        T(each_wake_holds_what_comes_after_it),
        T(a_wake_while_a_poll_opens_holds_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
