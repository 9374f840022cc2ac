/* The order across polls, scripted: replies behind their broadcasts, ends, rejoins, tokens. */
#include "tests/unit/lp_world.h"

static void a_reply_waits_for_its_broadcast_and_makes_it_come(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    has_slot(1, "room:a", 5);
    has_reply(1, "reply", 1, 6);
    viewed(0);
    caught_up("room:a");
    turn();
    expect("poll S1 q0 #1\nwatch room:a >5\nexpect 6\n");
    event("room:a", 6, "1");
    turn();
    expect("unwatch room:a\nA 200 q1 1@6 [\"[null,null,'room:a','e',1]\",\"reply\"]\n");
}

static void a_waiting_reply_does_not_hold_up_other_topics(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    has_slot(1, "room:a", 5);
    has_slot(2, "room:b", 5);
    has_reply(1, "reply", 1, 6);
    viewed(0);
    caught_up("room:a");
    caught_up("room:b");
    event("room:b", 6, "1");
    turn();
    expect("poll S1 q0 #1\nwatch room:b >5\nwatch room:a >5\nunwatch room:b\nunwatch room:a\n"
           "A 200 q0 2@6 [\"[null,null,'room:b','e',1]\"]\n");
}

/* The mark of a slot whose end is in the queue, but not in this answer, was left out of its token:
 * the next poll delivered the slot again from its start. */
static void an_end_that_has_to_wait_keeps_its_mark(void **state)
{
    (void)state;
    poll("A", "S1", 0, "1@9 2@7");
    has_slot(2, "room:b", 5);
    has_text(1, "first");
    has_reply(2, "reply", 2, 8);
    has_end(3, "closed", 1, "room:a", 5, 9);
    viewed(0);
    caught_up("room:b");
    turn();
    expect("poll S1 q0 #1\nwatch room:b >7\nunwatch room:b\nA 200 q1 1@9 2@7 [\"first\"]\n");
    poll_with("B", last_token);
    has_slot(2, "room:b", 5);
    has_reply(2, "reply", 2, 8);
    has_end(3, "closed", 1, "room:a", 5, 9);
    viewed(0);
    event("room:b", 8, "1");
    caught_up("room:b");
    turn();
    expect("poll S1 q1 #2\nwatch room:b >7\nunwatch room:b\n"
           "B 200 q3 2@8 [\"[null,null,'room:b','e',1]\",\"reply\",\"closed\"]\n");
}

static void an_ended_slot_gets_what_it_is_owed(void **state)
{
    (void)state;
    poll("A", "S1", 0, "1@7");
    has_text(1, "left");
    has_end(2, "closed", 1, "room:a", 5, 9);
    viewed(0);
    expect("poll S1 q0 #1\nwatch room:a >7\n");
    event("room:a", 8, "1");
    event("room:a", 9, "2");
    turn();
    expect("unwatch room:a\nA 200 q2 [\"left\",\"[null,null,'room:a','e',1]\","
           "\"[null,null,'room:a','e',2]\",\"closed\"]\n");
}

/* More than 500 entries in the queue: neither the end nor the opening beyond them may be forgotten.
 */
static void a_long_queue_hides_no_ends(void **state)
{
    (void)state;
    poll("A", "S1", 0, "1@9");
    has_slot(2, "room:b", 5);
    for (unsigned i = 1; i <= 600; i++)
        has_text(i, "r");
    has_end(601, "closed", 1, "room:a", 5, 9);
    has_open(602, "joined", 2, "room:b", 5);
    viewed(0);
    event("room:b", 6, "1");
    caught_up("room:b");
    turn();
    ignore_trace();
    poll_with("B", last_token);
    has_slot(2, "room:b", 5);
    for (unsigned i = 501; i <= 600; i++)
        has_text(i, "r");
    has_end(601, "closed", 1, "room:a", 5, 9);
    has_open(602, "joined", 2, "room:b", 5);
    viewed(0);
    expect("poll S1 q500 #2\nwatch room:b >5\n");
    event("room:b", 6, "1");
    caught_up("room:b");
    turn();
    const char *got = plx_buf_cstr(&trace);
    assert_non_null(strstr(got, "B 200 q602 2@6 ["));
    assert_non_null(strstr(got, "\"r\",\"closed\",\"joined\",\"[null,null,'room:b','e',1]\"]\n"));
    ignore_trace();
}

/* The event came before the news that slot 1 had ended at 8 and slot 2 goes on from there. */
static void a_rejoin_does_not_repeat_what_the_old_slot_had(void **state)
{
    (void)state;
    poll("A", "S1", 0, "1@8");
    has_slot(1, "room:a", 5);
    viewed(0);
    caught_up("room:a");
    event("room:a", 9, "9");
    turn();
    expect("poll S1 q0 #1\nwatch room:a >8\nunwatch room:a\n"
           "A 200 q0 1@9 [\"[null,null,'room:a','e',9]\"]\n");
    poll_with("B", last_token);
    has_slot(2, "room:a", 8);
    has_open(1, "joined", 2, "room:a", 8);
    view_q[0].barriers = &(plx_barrier){1, 8};
    view_q[0].barrier_count = 1;
    has_end(2, "closed", 1, "room:a", 5, 8);
    viewed(0);
    event("room:a", 10, "10");
    caught_up("room:a");
    turn();
    expect("poll S1 q0 #2\nwatch room:a >9\nunwatch room:a\n"
           "B 200 q2 2@10 [\"joined\",\"closed\",\"[null,null,'room:a','e',10]\"]\n");
}

/* The same, when both are found by a look: then the old slot is still there. */
static void a_rejoin_goes_on_where_the_old_slot_stands(void **state)
{
    (void)state;
    poll("A", "S1", 0, "1@8");
    has_slot(1, "room:a", 5);
    viewed(0);
    caught_up("room:a");
    turn();
    event("room:a", 9, "9");
    wake("S1", 1);
    ignore_trace();
    has_slot(2, "room:a", 8);
    has_open(1, "joined", 2, "room:a", 8);
    has_end(2, "closed", 1, "room:a", 5, 8);
    viewed(0);
    event("room:a", 9, "9");
    turn();
    expect("unwatch room:a\nwatch room:a >8\nunwatch room:a\n"
           "A 200 q2 2@9 [\"joined\",\"closed\",\"[null,null,'room:a','e',9]\"]\n");
}

static void left_and_joined_again_at_another_time(void **state)
{
    (void)state;
    poll("A", "S1", 0, "1@12");
    has_slot(2, "room:a", 10);
    has_end(1, "closed", 1, "room:a", 5, 10);
    has_open(2, "joined", 2, "room:a", 10);
    viewed(0);
    event("room:a", 13, "13");
    caught_up("room:a");
    turn();
    expect("poll S1 q0 #1\nwatch room:a >12\nunwatch room:a\n"
           "A 200 q2 2@13 [\"closed\",\"joined\",\"[null,null,'room:a','e',13]\"]\n");
}

/* The end of slot 1 was delivered by one poll, the opening of slot 2 by a later one: it had been
 * worked by somebody slow, who had read its start before event 13 was published. */
static void left_long_before_a_slow_join(void **state)
{
    (void)state;
    poll("A", "S1", 0, "1@12");
    has_slot(1, "room:a", 5);
    viewed(0);
    caught_up("room:a");
    event("room:a", 13, "13");
    turn();
    ignore_trace();
    poll_with("B", last_token);
    has_end(1, "closed", 1, "room:a", 5, 11);
    viewed(0);
    turn();
    expect("poll S1 q0 #2\nB 200 q1 past@13 [\"closed\"]\n");
    poll_with("C", last_token);
    viewed(0);
    turn();
    wake("S1", 3);
    has_slot(2, "room:a", 12);
    has_open(2, "joined", 2, "room:a", 12);
    viewed(0);
    event("room:a", 14, "14");
    turn();
    expect("poll S1 q1 #3\nlook S1 q1 #3\nwatch room:a >13\nunwatch room:a\n"
           "C 200 q2 2@14 [\"joined\",\"[null,null,'room:a','e',14]\"]\n");
}

static void joined_and_left_by_one_entry(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    has_open(1, "joined", 1, "room:a", 5);
    has_end(2, "closed", 1, "room:a", 5, 5);
    viewed(0);
    turn();
    expect("poll S1 q0 #1\nA 200 q2 [\"joined\",\"closed\"]\n");
}

static void nothing_of_a_topic_before_its_join_reply(void **state)
{
    (void)state;
    poll("A", "S1", 0, "1@5");
    has_slot(1, "room:a", 5);
    has_slot(2, "room:b", 5);
    has_reply(1, "reply", 1, 6);
    has_open(2, "joined", 2, "room:b", 5);
    viewed(0);
    caught_up("room:a");
    caught_up("room:b");
    event("room:b", 6, "b");
    turn();
    expect("poll S1 q0 #1\nwatch room:b >5\nwatch room:a >5\nexpect 6\n");
    event("room:a", 6, "1");
    turn();
    expect("unwatch room:b\nunwatch room:a\nA 200 q2 1@6 2@6 [\"[null,null,'room:a','e',1]\","
           "\"reply\",\"joined\",\"[null,null,'room:b','e',b]\"]\n");
}

static void own_broadcast_from_is_passed_over(void **state)
{
    (void)state;
    park_poll("A");
    event_from("room:a", 6, "1", sid_text("S1"));
    turn();
    expect("");
    advance(10000);
    viewed(0);
    turn();
    expect("look S1 q0 #1\nunwatch room:a\nA 204 q0 1@6 []\n");
}

/* A replica that lagged behind took over: the queue is numbered from an earlier place. */
static void a_queue_that_went_back_is_read_from_there(void **state)
{
    (void)state;
    poll("A", "S1", 20, "");
    has_text(18, "reply");
    viewed(0);
    turn();
    expect("poll S1 q20 #1\nA 200 q18 [\"reply\"]\n");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_start, world_stop)
    const struct CMUnitTest tests[] = {
        T(a_reply_waits_for_its_broadcast_and_makes_it_come),
        T(a_waiting_reply_does_not_hold_up_other_topics),
        T(an_end_that_has_to_wait_keeps_its_mark),
        T(an_ended_slot_gets_what_it_is_owed),
        T(a_long_queue_hides_no_ends),
        T(a_rejoin_does_not_repeat_what_the_old_slot_had),
        T(a_rejoin_goes_on_where_the_old_slot_stands),
        T(left_and_joined_again_at_another_time),
        T(left_long_before_a_slow_join),
        T(joined_and_left_by_one_entry),
        T(nothing_of_a_topic_before_its_join_reply),
        T(own_broadcast_from_is_passed_over),
        T(a_queue_that_went_back_is_read_from_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
