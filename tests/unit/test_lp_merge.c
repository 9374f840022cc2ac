/* The order of a poll's answer: openings, barriers, ends, limits, cursors. */
#include "transport/lp_merge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static plx_lp_merge merge;
static plx_lp_topic topics[4];
static plx_buf out;

/* An event's text is its payload; payloads beginning with '-' can't reach the socket. */
static plx_blob *encode(void *arg, const plx_lp_topic *t, plx_event *e)
{
    (void)arg, (void)t;
    if (e->payload.len > 0 && e->payload.data[0] == '-')
        return NULL;
    if (!e->encoded[0])
        e->encoded[0] = plx_blob_new(e->payload);
    return e->encoded[0];
}

static int set_up(void **state)
{
    (void)state;
    plx_lp_merge_init(&merge);
    merge.encode = encode;
    plx_buf_init(&out, 0);
    for (unsigned i = 0; i < 4; i++)
        plx_lp_topic_init(&topics[i], i, 0, 0, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        plx_lp_topic_fini(&topics[i]);
    plx_lp_merge_fini(&merge);
    plx_buf_fini(&out);
    return 0;
}

static void join(unsigned slot, uint64_t delivered, bool open)
{
    plx_lp_topic_init(&topics[slot], slot, 0, delivered, open);
    plx_list_push(&merge.topics, &topics[slot].node);
}

static void event(unsigned slot, uint64_t offset, const char *payload)
{
    plx_position at = {"e", offset};
    plx_slice empty = {NULL, 0};
    plx_event *e = plx_event_new(plx_slice_of("t"), &at, PLX_KIND_JSON, plx_slice_of("ev"),
                                 plx_slice_of(payload), empty);
    plx_lp_topic_add(&topics[slot], e);
    topics[slot].seen = offset;
    plx_event_unref(e);
}

static void entry(uint64_t id, enum plx_q_kind kind, uint32_t slot, uint64_t end, const char *text,
                  const plx_barrier *barriers, size_t n)
{
    plx_q_entry e = {.id = id,
                     .kind = kind,
                     .slot = {.number = slot},
                     .end = end,
                     .barriers = barriers,
                     .barrier_count = n,
                     .text = plx_slice_of(text)};
    plx_list_push(&merge.entries, &plx_lp_entry_copy(&e)->node);
}

static void expect(const char *want)
{
    plx_buf_clear(&out);
    plx_lp_merge_run(&merge, &out);
    assert_string_equal(plx_buf_cstr(&out), want);
}

static void queue_first_then_topics(void **state)
{
    (void)state;
    join(1, 0, true);
    event(1, 1, "a");
    entry(5, PLX_Q_PLAIN, 0, 0, "r", NULL, 0);
    expect("\"r\",a");
    assert_int_equal(merge.q, 5);
    assert_int_equal(topics[1].delivered, 1);
    expect("");
}

static void nothing_before_the_opening(void **state)
{
    (void)state;
    join(1, 3, false);
    event(1, 4, "a");
    expect("");
    entry(1, PLX_Q_OPEN, 1, 0, "join", NULL, 0);
    expect("\"join\",a");
}

static void reply_waits_for_its_broadcast(void **state)
{
    (void)state;
    plx_barrier b = {1, 2};
    join(1, 0, true);
    event(1, 1, "a");
    entry(1, PLX_Q_PLAIN, 0, 0, "reply", &b, 1);
    expect("a"); /* what is there goes out, the reply does not */
    assert_int_equal(merge.blocked_slot, 1);
    assert_int_equal(merge.blocked_offset, 2);
    event(1, 2, "b");
    event(1, 3, "c");
    expect("b,\"reply\",c");
    assert_int_equal(merge.blocked_offset, 0);
}

static void barrier_on_an_own_event_needs_no_text(void **state)
{
    (void)state;
    plx_barrier b = {1, 2};
    join(1, 0, true);
    event(1, 1, "a");
    topics[1].seen = 2; /* 2 was the socket's own broadcast_from */
    entry(1, PLX_Q_PLAIN, 0, 0, "reply", &b, 1);
    expect("a,\"reply\"");
    assert_int_equal(topics[1].delivered, 2);
}

static void end_takes_all_before_and_nothing_after(void **state)
{
    (void)state;
    join(1, 0, true);
    event(1, 1, "a");
    event(1, 2, "b");
    event(1, 3, "after");
    entry(1, PLX_Q_PLAIN, 0, 0, "left", NULL, 0);
    entry(2, PLX_Q_END, 1, 2, "close", NULL, 0);
    expect("\"left\",a,b,\"close\"");
    expect("");
    plx_lp_cursor c = {.q = 0};
    plx_lp_merge_cursor(&merge, &c);
    assert_int_equal(c.mark_count, 0);
    assert_int_equal(c.q, 2);
    plx_lp_cursor_fini(&c);
}

static void rejoin_old_slot_before_new_reply(void **state)
{
    (void)state;
    plx_barrier b = {1, 2};
    join(1, 0, true);
    join(2, 2, false);
    event(1, 1, "a");
    event(1, 2, "b");
    event(1, 3, "c-old");
    event(2, 3, "c");
    entry(1, PLX_Q_OPEN, 2, 0, "joined", &b, 1);
    entry(2, PLX_Q_END, 1, 2, "closed", NULL, 0);
    expect("a,b,\"joined\",\"closed\",c");
}

static void a_lost_log_blocks_nobody(void **state)
{
    (void)state;
    plx_barrier b = {1, 9};
    join(1, 0, true);
    topics[1].lost = true;
    entry(1, PLX_Q_PLAIN, 0, 0, "reply", &b, 1);
    entry(2, PLX_Q_END, 1, 9, "error", NULL, 0);
    expect("\"reply\",\"error\"");
}

static void barriers_on_forgotten_slots_are_met(void **state)
{
    (void)state;
    plx_barrier b = {3, 9};
    entry(1, PLX_Q_PLAIN, 0, 0, "reply", &b, 1);
    expect("\"reply\"");
}

/* What a rejoin's old slot has delivered beyond its end is not delivered again by the new one. */
static void a_slot_goes_on_where_the_one_before_stands(void **state)
{
    (void)state;
    join(1, 4, true);
    join(2, 2, false);
    topics[1].last = 2;
    topics[2].follows = 1;
    event(2, 3, "had");
    event(2, 4, "had too");
    event(2, 5, "new");
    entry(1, PLX_Q_OPEN, 2, 0, "joined", NULL, 0);
    entry(2, PLX_Q_END, 1, 2, "closed", NULL, 0);
    expect("\"joined\",\"closed\",new");
    assert_int_equal(topics[2].delivered, 5);
}

static void a_waiting_entry_holds_up_no_other_topic(void **state)
{
    (void)state;
    plx_barrier b = {1, 9};
    join(1, 0, true);
    join(2, 0, true);
    join(3, 0, false);
    topics[2].last = 2;
    event(2, 1, "a");
    event(2, 2, "b");
    event(2, 3, "after its end");
    event(3, 1, "not open");
    entry(1, PLX_Q_PLAIN, 0, 0, "reply", &b, 1);
    entry(2, PLX_Q_END, 2, 2, "closed", NULL, 0);
    expect("a,b");
    assert_int_equal(merge.blocked_slot, 1);
}

static void marks_are_sorted_and_only_of_slots_that_moved(void **state)
{
    (void)state;
    join(3, 7, false);
    join(1, 5, true);
    join(2, 0, true);
    plx_lp_cursor c = {.q = 0};
    plx_lp_merge_cursor(&merge, &c);
    assert_int_equal(c.mark_count, 2);
    assert_int_equal(c.marks[0].slot, 1);
    assert_int_equal(c.marks[1].slot, 3);
    plx_lp_cursor_fini(&c);
}

static void quoted_entries_stay_within_the_limit(void **state)
{
    (void)state;
    static char text[PLX_LP_BYTES / 2 + 1];
    memset(text, '"', sizeof text - 1);
    entry(1, PLX_Q_PLAIN, 0, 0, "small", NULL, 0);
    entry(2, PLX_Q_PLAIN, 0, 0, text, NULL, 0);
    expect("\"small\"");
    plx_buf_clear(&out);
    assert_int_equal(plx_lp_merge_run(&merge, &out), 1); /* goes alone */
    assert_int_equal(out.len, PLX_LP_BYTES + 2);
}

static void skipped_events_move_the_cursor(void **state)
{
    (void)state;
    join(1, 0, true);
    event(1, 1, "-binary");
    expect("");
    assert_int_equal(topics[1].delivered, 1);
    event(1, 2, "a");
    expect("a");
}

static void limit_of_messages(void **state)
{
    (void)state;
    join(1, 0, true);
    for (unsigned i = 1; i <= PLX_LP_MESSAGES + 3; i++)
        event(1, i, "1");
    plx_buf_clear(&out);
    assert_int_equal(plx_lp_merge_run(&merge, &out), PLX_LP_MESSAGES);
    assert_int_equal(topics[1].delivered, PLX_LP_MESSAGES);
    plx_buf_clear(&out);
    assert_int_equal(plx_lp_merge_run(&merge, &out), 3);
}

static void limit_of_bytes(void **state)
{
    (void)state;
    static char big[PLX_LP_BYTES + 10];
    memset(big, '1', sizeof big - 1);
    join(1, 0, true);
    event(1, 1, "2");
    event(1, 2, big);
    event(1, 3, "3");
    plx_buf_clear(&out);
    assert_int_equal(plx_lp_merge_run(&merge, &out), 1);
    plx_buf_clear(&out);
    assert_int_equal(plx_lp_merge_run(&merge, &out), 1); /* the large one goes alone */
    assert_int_equal(out.len, sizeof big - 1);
    plx_buf_clear(&out);
    assert_int_equal(plx_lp_merge_run(&merge, &out), 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(queue_first_then_topics),
        T(nothing_before_the_opening),
        T(reply_waits_for_its_broadcast),
        T(barrier_on_an_own_event_needs_no_text),
        T(end_takes_all_before_and_nothing_after),
        T(rejoin_old_slot_before_new_reply),
        T(a_lost_log_blocks_nobody),
        T(barriers_on_forgotten_slots_are_met),
        T(a_slot_goes_on_where_the_one_before_stands),
        T(a_waiting_entry_holds_up_no_other_topic),
        T(marks_are_sorted_and_only_of_slots_that_moved),
        T(quoted_entries_stay_within_the_limit),
        T(skipped_events_move_the_cursor),
        T(limit_of_messages),
        T(limit_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
