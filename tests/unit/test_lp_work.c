/* POSTs and the work on a session's inbox, scripted: joins, pushes, leaves, crashes, lost leases.
 */
#include "tests/unit/lp_world.h"
#include "transport/lp_internal.h"

#define JOIN_A  "[\"1\",\"1\",\"room:a\",\"phx_join\",{}]"
#define LEAVE_A "[\"1\",\"2\",\"room:a\",\"phx_leave\",{}]"
#define PUSH_A  "[\"1\",\"3\",\"room:a\",\"e\",7]"

#define JOINED "[\"1\",\"1\",\"room:a\",\"phx_reply\",{\"response\":{},\"status\":\"ok\"}]"
#define LEFT   "[\"1\",\"2\",\"room:a\",\"phx_reply\",{\"response\":{},\"status\":\"ok\"}]"
#define PUSHED "[\"1\",\"3\",\"room:a\",\"phx_reply\",{\"response\":{},\"status\":\"ok\"}]"
#define CLOSED "[\"1\",\"1\",\"room:a\",\"phx_close\",{}]"

/* The same on a topic with history. */
#define JOIN_H          "[\"1\",\"1\",\"hist:a\",\"phx_join\",{}]"
#define REJOIN_H(since) "[\"4\",\"4\",\"hist:a\",\"phx_join\"," since "]"
#define PUSH_H(ref)     "[\"" ref "\",\"5\",\"hist:a\",\"e\",7]"
#define PUSHED_H(ref)                                                                              \
    "[\"" ref "\",\"5\",\"hist:a\",\"phx_reply\",{\"response\":{},\"status\":\"ok\"}]"
#define JOINED_H(ref, response)                                                                    \
    "[\"" ref "\",\"" ref "\",\"hist:a\",\"phx_reply\",{\"response\":" response                    \
    ",\"status\":\"ok\"}]"
#define CLOSED_H "[\"1\",\"1\",\"hist:a\",\"phx_close\",{}]"

/* A session that has joined room:a at 5, by entry 1. */
static void join_a(void)
{
    post("J", "S1", JOIN_A);
    posted_work("S1", 1, 1, PLX_ENTRY_POST, "n" JOIN_A);
    positioned(0, 5);
    committed(0);
    ignore_trace();
}

/* Entry `entry` with these lines, up to what the core makes of it. */
static void give(const char *name, uint64_t fence, uint64_t entry, const char *lines)
{
    char body[1000];
    snprintf(body, sizeof body, "n%s", lines);
    post(name, "S1", lines);
    ignore_trace();
    posted_work("S1", fence, entry, PLX_ENTRY_POST, body);
}

/* ---- what the core says goes into the queue ---- */

static void a_join_opens_a_slot(void **state)
{
    (void)state;
    post("A", "S1", JOIN_A);
    expect("post S1 p 200 n" JOIN_A "\n");
    posted_work("S1", 1, 1, PLX_ENTRY_POST, "n" JOIN_A);
    expect("position room:a\n");
    positioned(0, 5);
    expect("commit S1 f1 e1 [open 1 room:a@5 " JOINED "] set 1\n");
    committed(0);
    expect("A 200\n");
    assert_int_equal(plx_longpoll_parked(lp), 0);
}

static void a_reply_has_its_broadcast_as_barrier(void **state)
{
    (void)state;
    join_a();
    give("A", 2, 2, PUSH_A);
    expect("publish room:a e 7 2:0\n");
    published(0, 6);
    expect("commit S1 f2 e2 [after 1@6 " PUSHED "]\n");
    committed(0);
    expect("A 200\n");
}

static void a_leave_ends_where_the_topic_stands(void **state)
{
    (void)state;
    join_a();
    give("A", 2, 2, LEAVE_A);
    expect("position room:a\n");
    positioned(0, 9);
    expect("commit S1 f2 e2 [" LEFT "] [end 1 room:a <=9 " CLOSED "] drop 1\n");
    committed(0);
    expect("A 200\n");
}

static void a_leave_from_a_log_with_another_epoch_waits_for_nothing(void **state)
{
    (void)state;
    join_a();
    give("A", 2, 2, LEAVE_A);
    epoch = "e2";
    positioned(0, 9);
    expect("position room:a\n"
           "commit S1 f2 e2 [" LEFT "] [end 1 room:a <=0 " CLOSED "] drop 1\n");
    committed(0);
}

static void a_rejoin_takes_over_where_the_old_slot_ends(void **state)
{
    (void)state;
    join_a();
    give("A", 2, 2, "[\"4\",\"4\",\"room:a\",\"phx_join\",{}]");
    positioned(0, 8);
    expect("position room:a\ncommit S1 f2 e2 [open 2 room:a@8 after 1@8 "
           "[\"4\",\"4\",\"room:a\",\"phx_reply\",{\"response\":{},\"status\":\"ok\"}]] "
           "[end 1 room:a <=8 " CLOSED "] set 2 drop 1\n");
    committed(0);
    assert_int_equal(next_slot, 3);
}

static void a_rejoin_in_another_epoch_waits_for_nothing(void **state)
{
    (void)state;
    join_a();
    give("A", 2, 2, "[\"4\",\"4\",\"room:a\",\"phx_join\",{}]");
    epoch = "e2";
    positioned(0, 8);
    expect("position room:a\ncommit S1 f2 e2 [open 2 room:a@8 "
           "[\"4\",\"4\",\"room:a\",\"phx_reply\",{\"response\":{},\"status\":\"ok\"}]] "
           "[end 1 room:a <=0 " CLOSED "] set 2 drop 1\n");
    committed(0);
}

/* The end used to be read after the new slot's start: what was published in between was delivered
 * by both. */
static void left_and_joined_again_in_one_post(void **state)
{
    (void)state;
    join_a();
    give("A", 2, 2, LEAVE_A "\n[\"4\",\"4\",\"room:a\",\"phx_join\",{}]");
    positioned(0, 8);
    expect("position room:a\ncommit S1 f2 e2 [" LEFT "] [end 1 room:a <=8 " CLOSED "] "
           "[open 2 room:a@8 "
           "[\"4\",\"4\",\"room:a\",\"phx_reply\",{\"response\":{},\"status\":\"ok\"}]] "
           "set 2 drop 1\n");
    committed(0);
}

static void joined_and_left_in_one_post(void **state)
{
    (void)state;
    give("A", 1, 1, JOIN_A "\n" LEAVE_A);
    positioned(0, 8);
    expect("position room:a\nposition room:a\n");
    positioned(0, 9);
    expect("commit S1 f1 e1 [open 1 room:a@8 " JOINED "] [" LEFT "] [end 1 room:a <=9 " CLOSED
           "] drop 1\n");
    committed(0);
    assert_int_equal(record_count, 0);
    assert_int_equal(next_slot, 2);
}

static void a_gap_ends_its_slot_without_reading(void **state)
{
    (void)state;
    join_a();
    poll("P", "S1", 0, "");
    has_slot(1, "room:a", 5);
    viewed(0);
    lost("room:a");
    ignore_trace();
    posted_work("S1", 2, 2, PLX_ENTRY_LOST, "1");
    expect("commit S1 f2 e2 [end 1 room:a <=0 "
           "[\"1\",\"1\",\"room:a\",\"phx_error\",{\"reason\":\"gap\"}]] drop 1\n");
    committed(0);
    expect("");
}

/* The lease was taken for the server API. */
static void close_work(uint64_t entry, const char *topic)
{
    plx_work w = work_of("S1", entry, entry, PLX_ENTRY_CLOSE, topic);
    assert_non_null(control);
    control->work(control, &w);
}

static void a_channel_closed_by_the_server_ends_where_the_topic_stands(void **state)
{
    (void)state;
    join_a();
    close_work(2, "room:a");
    positioned(0, 9);
    expect("position room:a\ncommit S1 f2 e2 status 200 [end 1 room:a <=9 " CLOSED "] drop 1\n");
    committed(0);
    close_work(3, "room:a");
    expect("commit S1 f3 e3 status 404\n");
    committed(0);
    close_work(4, "");
    expect("commit S1 f4 e4 status 404\n");
    committed(0);
}

/* The lease was lost on the way: whoever has it now closes the channel. */
static void a_channel_closed_without_the_lease(void **state)
{
    (void)state;
    join_a();
    close_work(2, "room:a");
    positioned(0, 9);
    ignore_trace();
    committed(PLX_E_BUSY);
    close_work(2, "room:a");
    positioned(0, 9);
    expect("position room:a\ncommit S1 f2 e2 status 200 [end 1 room:a <=9 " CLOSED "] drop 1\n");
    committed(0);
}

static void a_gap_of_a_slot_that_is_gone(void **state)
{
    (void)state;
    join_a();
    poll("P", "S1", 0, "");
    has_slot(7, "room:a", 5);
    viewed(0);
    lost("room:a");
    ignore_trace();
    posted_work("S1", 2, 2, PLX_ENTRY_LOST, "7");
    expect("commit S1 f2 e2\n");
    committed(0);
}

static void a_topic_that_is_configured_no_more(void **state)
{
    (void)state;
    join_a();
    ((char *)(uintptr_t)record[0].topic.data)[0] = 'x';
    give("A", 2, 2, "[null,\"9\",\"phoenix\",\"heartbeat\",{}]");
    const char *got = plx_buf_cstr(&trace);
    assert_non_null(strstr(got, "[end 1 xoom:a <=0 [null,null,\"xoom:a\",\"phx_error\","
                                "{\"reason\":\"unmatched topic\"}]]"));
    assert_non_null(strstr(got, " drop 1\n"));
    ignore_trace();
    committed(0);
}

/* A reply that the queue can't hold was dropped: its client waited for ever, and a topic was open
 * without a reply to its join. */
static void a_reply_that_is_too_large_says_so(void **state)
{
    (void)state;
    enum { SIZE = PLX_Q_MESSAGE };
    char *body = plx_alloc(SIZE + 100);
    give("A", 1, 1, "[\"1\",\"1\",\"echo:a\",\"phx_join\",{}]");
    positioned(0, 0);
    committed(0);
    post("B", "S1", "[\"1\",\"2\",\"echo:a\",\"e\",1]");
    ignore_trace();
    int n = snprintf(body, 100, "n[\"1\",\"2\",\"echo:a\",\"e\",\"");
    memset(body + n, 'x', SIZE);
    strcpy(body + n + SIZE, "\"]");
    posted_work("S1", 2, 2, PLX_ENTRY_POST, body);
    expect("commit S1 f2 e2 [[\"1\",\"2\",\"echo:a\",\"phx_reply\","
           "{\"response\":{\"reason\":\"too large\"},\"status\":\"error\"}]]\n");
    committed(0);
    free(body);
}

/* With more, the token would grow longer than what is taken for one: the session would be lost. */
static void a_session_joins_as_many_topics_as_fit_its_token(void **state)
{
    (void)state;
    static char lines[PLX_LP_CHANNELS * 60];
    size_t n = 0;
    socket_config.max_channels = 100000;
    for (unsigned i = 0; i <= PLX_LP_CHANNELS; i++)
        n += (size_t)snprintf(lines + n, sizeof lines - n,
                              "%c[null,\"%u\",\"room:%u\",\"phx_join\",{}]", i == 0 ? 'n' : '\n', i,
                              i);
    plx_work w = work_of("S1", 1, 1, PLX_ENTRY_POST, lines);
    plx_lp_work_start(lp, &w);
    socket_config.max_channels = 100;
    for (unsigned i = 0; i < PLX_LP_CHANNELS; i++)
        positioned(0, 1);
    const char *got = plx_buf_cstr(&trace);
    assert_non_null(strstr(got, "[open 800 room:799@1 "));
    assert_non_null(strstr(got,
                           "[[null,\"800\",\"room:800\",\"phx_reply\",{\"response\":"
                           "{\"reason\":\"too many channels joined\"},\"status\":\"error\"}]]"));
    ignore_trace();
    plx_lp_mark marks[PLX_LP_CHANNELS];
    plx_lp_cursor c = {
        .vsn = PLX_V2, .q = UINT32_MAX, .marks = marks, .mark_count = PLX_LP_CHANNELS};
    for (unsigned i = 0; i < PLX_LP_CHANNELS; i++)
        marks[i] =
            (plx_lp_mark){.slot = UINT32_MAX, .offset = UINT32_MAX, .state = PLX_LP_STATE_SENT};
    plx_buf token;
    plx_buf_init(&token, 0);
    memcpy(c.sid, sid_text("S1"), sizeof c.sid);
    plx_lp_token_make(plx_slice_of(config.secret), plx_slice_of("/socket"), &c, &token);
    assert_true(plx_lp_token_form(plx_buf_slice(&token)));
    plx_buf_fini(&token);
}

/* ---- entries one after the other ---- */

static void the_next_entry_is_worked_at_once(void **state)
{
    (void)state;
    join_a();
    give("A", 2, 2, PUSH_A);
    post("B", "S1", "[\"1\",\"5\",\"room:a\",\"e\",8]");
    posted(0, PLX_POST_WAIT, 3, 0);
    published(0, 6);
    ignore_trace();
    committed_then("S1", 2, 3, "n[\"1\",\"5\",\"room:a\",\"e\",8]");
    expect("publish room:a e 8 3:0\nA 200\n");
    published(0, 7);
    committed(0);
    expect("commit S1 f2 e3 [after 1@7 "
           "[\"1\",\"5\",\"room:a\",\"phx_reply\",{\"response\":{},\"status\":\"ok\"}]]\nB 200\n");
}

static void the_mount_is_configured_no_more(void **state)
{
    (void)state;
    socket_config.path = (char *)"/else";
    plx_work w = work_of("S1", 1, 1, PLX_ENTRY_POST, "n" JOIN_A);
    plx_lp_work_start(lp, &w);
    socket_config.path = (char *)"/socket";
    expect("end S1 unmounted\n");
    assert_int_equal(plx_longpoll_parked(lp), 0);
}

/* ---- crashes: the same entry is worked again ---- */

static void a_repeated_entry_publishes_under_the_same_numbers(void **state)
{
    (void)state;
    join_a();
    for (int i = 0; i < 2; i++) {
        plx_work w =
            work_of("S1", 2 + (uint64_t)i, 2, PLX_ENTRY_POST, "n" PUSH_A "\n" PUSH_A "\n" PUSH_A);
        plx_lp_work_start(lp, &w);
        expect("publish room:a e 7 2:0\npublish room:a e 7 2:4096\npublish room:a e 7 2:8192\n");
    }
    for (uint64_t i = 0; i < 6; i++)
        published(0, 6 + i % 3);
    ignore_trace();
    committed(PLX_E_BUSY);
    committed(0);
    expect("");
    assert_int_equal(plx_longpoll_parked(lp), 0);
}

/* Joined and pushed by one POST, whose worker died after the broadcast: the position that is read
 * the second time lies behind it, and the client never saw its own message. */
static void a_join_worked_again_begins_before_its_own_push(void **state)
{
    (void)state;
    give("A", 2, 1, JOIN_A "\n" PUSH_A "\n" PUSH_A);
    positioned(0, 12);
    ignore_trace();
    published_before(9);
    published_before(11);
    expect("commit S1 f2 e1 [open 1 room:a@8 " JOINED "] [after 1@9 " PUSHED "] "
           "[after 1@11 " PUSHED "] set 1\n");
    committed(0);
    assert_int_equal(record[0].start.offset, 8);
}

/* ... and is told so: with the later position it would ask for less when it is cut off at once. */
static void a_join_worked_again_tells_where_it_begins(void **state)
{
    (void)state;
    give("A", 2, 1, JOIN_H "\n" PUSH_H("1"));
    positioned(0, 12);
    ignore_trace();
    published_before(9);
    expect("commit S1 f2 e1 [open 1 hist:a@8 " JOINED_H(
        "1", "{\"position\":\"e1:8\"}") "] "
                                        "[after 1@9 " PUSHED_H("1") "] set 1\n");
    committed(0);
}

static void join_h(void)
{
    post("J", "S1", JOIN_H);
    posted_work("S1", 1, 1, PLX_ENTRY_POST, "n" JOIN_H);
    positioned(0, 5);
    committed(0);
    ignore_trace();
}

/* The membership that is replaced delivers everything up to where the new one was found: nothing of
 * it comes a second time. */
static void a_rejoin_worked_again_begins_where_the_old_one_ends(void **state)
{
    (void)state;
    join_h();
    give("A", 2, 2, REJOIN_H("{}") "\n" PUSH_H("4"));
    positioned(0, 12);
    ignore_trace();
    published_before(9);
    expect("commit S1 f2 e2 "
           "[open 2 hist:a@12 after 1@12 " JOINED_H(
               "4", "{\"position\":\"e1:12\"}") "] "
                                                "[end 1 hist:a <=12 " CLOSED_H
                                                "] [after 2@9 " PUSHED_H("4") "] set 2 drop 1\n");
    committed(0);
}

/* The client joins again from before its own push, whose broadcast it has not got: the reply to
 * that push belongs to the old membership, and follows the broadcast there. */
static void a_rejoin_that_goes_back_leaves_replies_behind_their_broadcasts(void **state)
{
    (void)state;
    join_h();
    give("A", 2, 2, PUSH_H("1") "\n" REJOIN_H("{\"since\":\"e1:7\"}"));
    expect("publish hist:a e 7 2:0\nsince hist:a >7\n");
    published(0, 10);
    judged(10, true);
    expect("commit S1 f2 e2 [after 1@10 " PUSHED_H("1") "] [open 2 hist:a@7 after 1@10 " JOINED_H(
        "4", "{\"position\":\"e1:7\",\"recovered\":true}") "] "
                                                           "[end 1 hist:a <=10 " CLOSED_H
                                                           "] set 2 drop 1\n");
    committed(0);
}

static void an_outage_leaves_the_entry_to_whoever_comes(void **state)
{
    (void)state;
    join_a();
    give("A", 2, 2, PUSH_A);
    published(PLX_E_TIMEOUT, 0);
    expect("publish room:a e 7 2:0\n"); /* and no commit */
    advance(1000);
    expect("take S1 2\n");
    posted_work("S1", 3, 2, PLX_ENTRY_POST, "n" PUSH_A);
    published(0, 6);
    committed(0);
    expect("publish room:a e 7 2:0\ncommit S1 f3 e2 [after 1@6 " PUSHED "]\nA 200\n");
}

static void an_outage_while_an_end_is_read(void **state)
{
    (void)state;
    join_a();
    give("A", 2, 2, LEAVE_A);
    positioned(PLX_E_DOWN, 0);
    expect("position room:a\n");
    assert_int_equal(plx_longpoll_parked(lp), 1); /* the POST */
    advance(1000);
    expect("take S1 2\n");
    posted(0, PLX_POST_DONE, 2, 200); /* another worker was faster */
    expect("A 200\n");
}

static void several_ends_of_which_one_fails(void **state)
{
    (void)state;
    join_a();
    give("B", 2, 2, "[\"8\",\"8\",\"room:b\",\"phx_join\",{}]");
    positioned(0, 1);
    committed(0);
    give("A", 3, 3, LEAVE_A "\n[\"8\",\"9\",\"room:b\",\"phx_leave\",{}]");
    ignore_trace();
    positioned(PLX_E_TIMEOUT, 0);
    positioned(0, 3);
    expect("");
    go("A");
    assert_int_equal(plx_longpoll_parked(lp), 0);
}

static void a_commit_whose_fate_is_unknown(void **state)
{
    (void)state;
    join_a();
    give("A", 2, 2, PUSH_A);
    published(0, 6);
    committed(PLX_E_TIMEOUT);
    ignore_trace();
    store_goes();
    advance(2000);
    expect("");
    store_comes();
    expect("take S1 2\n");
    posted(0, PLX_POST_DONE, 2, 200);
    expect("A 200\n");
}

static void a_commit_of_a_session_that_ended(void **state)
{
    (void)state;
    join_a();
    give("A", 2, 2, PUSH_A);
    post("B", "S1", "[\"1\",\"5\",\"room:a\",\"e\",8]");
    posted(0, PLX_POST_WAIT, 3, 0);
    published(0, 6);
    ignore_trace();
    committed(PLX_E_GONE);
    expect("A 410\nB 410\n");
}

static unsigned ends;

static void on_end(void *state, plx_channel *ch, enum plx_end_reason reason)
{
    (void)state;
    assert_int_equal(reason, PLX_END_CLOSED);
    assert_true(plx_slice_is(plx_channel_topic(ch), "room:b"));
    ends++;
}

/* Who cleaned up after the session knew of what was in its record, not of what this entry joined:
 * its backend had let somebody in, and is told. */
static void a_join_of_a_session_that_ended(void **state)
{
    static const plx_backend backend = {
        .abi = PLX_BACKEND_ABI, .name = "ends", .terminate = on_end};
    (void)state;
    ends = 0;
    join_a();
    channel_entries[0].backend = &backend;
    give("A", 2, 2, "[\"4\",\"4\",\"room:b\",\"phx_join\",{}]");
    positioned(0, 5);
    ignore_trace();
    assert_int_equal(ends, 0);
    committed(PLX_E_GONE);
    expect("A 410\n");
    assert_int_equal(ends, 1);
}

/* ---- the lease ---- */

static void the_lease_is_renewed_while_work_lasts(void **state)
{
    (void)state;
    join_a();
    give("A", 2, 2, PUSH_A);
    ignore_trace();
    advance(1000);
    expect("take S1 2\n");
    advance(1000);
    expect("renew S1 f2\n");
    posted(0, PLX_POST_WAIT, 2, 0);
    renewed(PLX_E_TIMEOUT);
    advance(2000);
    const char *got = plx_buf_cstr(&trace);
    assert_non_null(strstr(got, "renew S1 f2\n"));
    ignore_trace();
    renewed(0);
    published(0, 6);
    committed(0);
    expect("commit S1 f2 e2 [after 1@6 " PUSHED "]\nA 200\n");
}

static void a_lost_lease_is_let_go(void **state)
{
    (void)state;
    join_a();
    give("A", 2, 2, PUSH_A);
    go("A");
    advance(2000);
    renewed(PLX_E_BUSY);
    assert_int_equal(plx_longpoll_parked(lp), 0);
    published(0, 6); /* nobody is interested any more */
    expect("publish room:a e 7 2:0\nrenew S1 f2\n");
    advance(10000);
    expect("");
}

static void a_lost_lease_while_the_commit_is_under_way(void **state)
{
    (void)state;
    join_a();
    give("A", 2, 2, LEAVE_A);
    go("A");
    advance(2000); /* reading the end takes long */
    positioned(0, 9);
    renewed(PLX_E_BUSY);
    committed(PLX_E_BUSY);
    assert_int_equal(plx_longpoll_parked(lp), 0);
    ignore_trace();
}

/* It would come behind the commit that gives the lease back, and take it again for nobody: the next
 * POST had to wait until it ran out. */
static void no_renewal_behind_a_commit(void **state)
{
    (void)state;
    join_a();
    give("A", 2, 2, PUSH_A);
    published(0, 6);
    go("A");
    ignore_trace();
    advance(2000);
    expect("");
    committed(0);
}

/* ---- a POST that waits ---- */

static void another_worker_says_done(void **state)
{
    (void)state;
    post("A", "S1", PUSH_A);
    posted(0, PLX_POST_WAIT, 5, 0);
    ignore_trace();
    done("S1", 4, 200);
    done("S2", 5, 200);
    expect("");
    done("S1", 5, 400);
    expect("A 400\n");
    done("S1", 5, 400);
    expect("");
}

static void a_dead_holders_entry_is_asked_for_every_second(void **state)
{
    (void)state;
    join_a();
    post("A", "S1", PUSH_A);
    posted(0, PLX_POST_WAIT, 2, 0);
    ignore_trace();
    for (int i = 0; i < 4; i++) {
        advance(1000);
        expect("take S1 2\n");
        posted(0, PLX_POST_WAIT, 2, 0);
    }
    advance(1000);
    posted_work("S1", 3, 2, PLX_ENTRY_POST, "n" PUSH_A);
    published(0, 6);
    committed(0);
    expect("take S1 2\npublish room:a e 7 2:0\ncommit S1 f3 e2 [after 1@6 " PUSHED "]\nA 200\n");
}

/* Its session would be thrown away by the client, although the message will be worked. */
static void a_window_that_is_too_short_for_an_application(void **state)
{
    (void)state;
    join_a();
    post("A", "S1", PUSH_A);
    posted(0, PLX_POST_WAIT, 5, 0);
    advance(9999);
    posted(0, PLX_POST_WAIT, 5, 0);
    ignore_trace();
    advance(1);
    /* The lease's holder might die, and so might this worker: the client need not send it again. */
    expect("unattended S1\nA 200\ntake S1 5\n");
    posted_work("S1", 3, 5, PLX_ENTRY_POST, "n" PUSH_A);
    published(0, 6);
    committed(0);
    expect("publish room:a e 7 5:0\ncommit S1 f3 e5 [after 1@6 " PUSHED "]\n");
    advance(5000);
    expect("");
}

static void an_entry_is_not_asked_for_for_ever(void **state)
{
    (void)state;
    post("A", "S1", PUSH_A);
    posted(0, PLX_POST_WAIT, 5, 0);
    for (int i = 0; i < 75; i++) {
        advance(1000);
        if (i < 69)
            posted(0, PLX_POST_WAIT, 5, 0);
    }
    ignore_trace();
    advance(5000);
    expect("");
    post("B", "S1", PUSH_A); /* gone while a call is under way */
    posted(0, PLX_POST_WAIT, 6, 0);
    advance(10000);
    posted(PLX_E_GONE, PLX_POST_WAIT, 0, 0);
    ignore_trace();
    advance(5000);
    expect("");
}

static void a_window_without_an_outcome_ends_with_408(void **state)
{
    (void)state;
    post("A", "S1", PUSH_A); /* nobody knows whether it is in the inbox */
    ignore_trace();
    advance(10000);
    expect("A 408\n");
    posted(0, PLX_POST_WAIT, 5, 0);
    post("B", "S1", PUSH_A);
    posted(0, PLX_POST_WAIT, 5, 0);
    store_goes(); /* what is there may not come back */
    ignore_trace();
    advance(10000);
    expect("B 408\n");
}

static void the_same_post_twice_at_once(void **state)
{
    (void)state;
    post("A", "S1", PUSH_A);
    posted(0, PLX_POST_WAIT, 5, 0);
    char digest[sizeof last_digest];
    strcpy(digest, last_digest);
    post("B", "S1", PUSH_A);
    assert_string_equal(digest, last_digest);
    assert_int_equal(strlen(digest), 32);
    posted(0, PLX_POST_WAIT, 5, 0);
    ignore_trace();
    done("S1", 5, 200);
    expect("A 200\nB 200\n");
}

static void a_repetition_of_a_finished_post(void **state)
{
    (void)state;
    post("A", "S1", PUSH_A);
    posted(0, PLX_POST_DONE, 5, 400);
    expect("post S1 p 200 n" PUSH_A "\nA 400\n");
}

/* The same messages without the malformed one behind them were taken for a repetition, and answered
 * with its 400. */
static void a_malformed_line_makes_another_post(void **state)
{
    (void)state;
    char digest[sizeof last_digest];
    post("A", "S1", PUSH_A "\n[oops");
    expect("post S1 p 400 n" PUSH_A "\n");
    strcpy(digest, last_digest);
    post("B", "S1", PUSH_A);
    expect("post S1 p 200 n" PUSH_A "\n");
    assert_string_not_equal(digest, last_digest);
    posted(0, PLX_POST_DONE, 5, 400);
    posted(0, PLX_POST_DONE, 6, 200);
    expect("A 400\nB 200\n");
    post("C", "S1", "[oops");
    expect("C 400\n");
    post("D", "S1", "\n\n");
    expect("D 200\n");
}

static void messages_without_refs_are_never_repetitions(void **state)
{
    (void)state;
    post("A", "S1", "[null,null,\"room:a\",\"e\",1]");
    assert_string_equal(last_digest, "");
    posted(PLX_E_TIMEOUT, PLX_POST_WAIT, 0, 0); /* nobody knows whether it is in the inbox */
    expect("post S1 p 200 n[null,null,\"room:a\",\"e\",1]\nA 408\n");
}

static void an_unknown_fate_is_settled_by_posting_again(void **state)
{
    (void)state;
    post("A", "S1", PUSH_A);
    store_goes();
    posted(PLX_E_TIMEOUT, PLX_POST_WAIT, 0, 0);
    ignore_trace();
    advance(3000);
    expect("");
    store_comes();
    expect("post S1 p 200 n" PUSH_A "\n");
    posted(0, PLX_POST_WAIT, 5, 0);
    done("S1", 5, 200);
    expect("A 200\n");
}

static void a_post_during_an_outage_waits_for_its_end(void **state)
{
    (void)state;
    store_goes();
    post("A", "S1", "[null,null,\"room:a\",\"e\",1]");
    advance(5000);
    expect("");
    store_comes();
    expect("post S1 p 200 n[null,null,\"room:a\",\"e\",1]\n");
    posted(PLX_E_BUSY, PLX_POST_WAIT, 0, 0);
    expect("A HTTP 503 500\n");
}

static void a_post_whose_session_ends_elsewhere(void **state)
{
    (void)state;
    post("A", "S1", PUSH_A);
    posted(0, PLX_POST_WAIT, 5, 0);
    ignore_trace();
    session_gone("S1", 3);
    expect("A 410\n");
    post("B", "S1", PUSH_A);
    posted(PLX_E_GONE, PLX_POST_WAIT, 0, 0);
    expect("post S1 p 200 n" PUSH_A "\nB 410\n");
}

static void gone_at_every_point(void **state)
{
    (void)state;
    join_a();
    post("A", "S1", PUSH_A); /* asking */
    go("A");
    posted(0, PLX_POST_WAIT, 2, 0);
    post("B", "S1", PUSH_A); /* asking, and gets the work */
    go("B");
    posted_work("S1", 3, 2, PLX_ENTRY_POST, "n" PUSH_A);
    published(0, 6);
    committed(0);
    post("C", "S1", PUSH_A); /* waiting */
    posted(0, PLX_POST_WAIT, 3, 0);
    go("C");
    done("S1", 3, 200);
    post("D", "S1", PUSH_A); /* asking again */
    posted(0, PLX_POST_WAIT, 4, 0);
    advance(1000);
    go("D");
    posted(PLX_E_DOWN, PLX_POST_WAIT, 0, 0);
    assert_int_equal(plx_longpoll_parked(lp), 0);
    ignore_trace();
}

static void posts_again(client *c)
{
    if (c->name[0] != 'A')
        return;
    post("C", "S1", "[\"1\",\"6\",\"room:a\",\"e\",9]");
    go("B");
}

/* The answer lets in the connection's next POST, and another one's client goes away, while not all
 * have been told. */
static void posts_that_come_with_the_answer(void **state)
{
    (void)state;
    post("A", "S1", PUSH_A);
    posted(0, PLX_POST_WAIT, 5, 0);
    post("B", "S1", PUSH_A);
    posted(0, PLX_POST_WAIT, 5, 0);
    ignore_trace();
    on_answer = posts_again;
    session_gone("S1", 1);
    expect("A 410\npost S1 p 200 n[\"1\",\"6\",\"room:a\",\"e\",9]\n");
    posted(PLX_E_GONE, PLX_POST_WAIT, 0, 0);
    on_answer = NULL;
    expect("C 410\n");
}

/* ---- sessions that end ---- */

static void the_sweeper_ends_a_session(void **state)
{
    (void)state;
    join_a();
    post("A", "S1", PUSH_A);
    posted(0, PLX_POST_WAIT, 2, 0);
    ignore_trace();
    plx_work w = work_of("S1", 9, 0, PLX_ENTRY_POST, "");
    sweeper->ended(sweeper, &w, "expired");
    expect("A 410\ndrop S1 f9\n");
}

static void ended_with_every_kind_of_call_under_way(void **state)
{
    (void)state;
    join_a();
    give("A", 2, 2, PUSH_A); /* publishing */
    go("A");
    plx_work w = work_of("S1", 3, 3, PLX_ENTRY_POST, "n" LEAVE_A); /* reading an end */
    plx_lp_work_start(lp, &w);
    w = work_of("S1", 4, 4, PLX_ENTRY_POST, "n[null,\"9\",\"phoenix\",\"heartbeat\",{}]");
    plx_lp_work_start(lp, &w); /* committing */
    w = work_of("S1", 5, 5, PLX_ENTRY_POST, "n[\"8\",\"8\",\"room:b\",\"phx_join\",{}]");
    plx_lp_work_start(lp, &w); /* joining */
    advance(2000);             /* renewing */
    post("B", "S1", PUSH_A);   /* posting */
    poll("P", "S1", 0, "");    /* polling */
    assert_true(calls_waiting() >= 8);
    ignore_trace(); /* the rest is the tear-down's */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_start, world_stop)
    const struct CMUnitTest tests[] = {
        T(a_join_opens_a_slot),
        T(a_reply_has_its_broadcast_as_barrier),
        T(a_leave_ends_where_the_topic_stands),
        T(a_leave_from_a_log_with_another_epoch_waits_for_nothing),
        T(a_rejoin_takes_over_where_the_old_slot_ends),
        T(a_rejoin_in_another_epoch_waits_for_nothing),
        T(left_and_joined_again_in_one_post),
        T(joined_and_left_in_one_post),
        T(a_gap_ends_its_slot_without_reading),
        T(a_channel_closed_by_the_server_ends_where_the_topic_stands),
        T(a_channel_closed_without_the_lease),
        T(a_gap_of_a_slot_that_is_gone),
        T(a_topic_that_is_configured_no_more),
        T(a_reply_that_is_too_large_says_so),
        T(a_session_joins_as_many_topics_as_fit_its_token),
        T(the_next_entry_is_worked_at_once),
        T(the_mount_is_configured_no_more),
        T(a_repeated_entry_publishes_under_the_same_numbers),
        T(a_join_worked_again_begins_before_its_own_push),
        T(a_join_worked_again_tells_where_it_begins),
        T(a_rejoin_worked_again_begins_where_the_old_one_ends),
        T(a_rejoin_that_goes_back_leaves_replies_behind_their_broadcasts),
        T(an_outage_leaves_the_entry_to_whoever_comes),
        T(an_outage_while_an_end_is_read),
        T(several_ends_of_which_one_fails),
        T(a_commit_whose_fate_is_unknown),
        T(a_commit_of_a_session_that_ended),
        T(a_join_of_a_session_that_ended),
        T(the_lease_is_renewed_while_work_lasts),
        T(a_lost_lease_is_let_go),
        T(a_lost_lease_while_the_commit_is_under_way),
        T(no_renewal_behind_a_commit),
        T(another_worker_says_done),
        T(a_dead_holders_entry_is_asked_for_every_second),
        T(a_window_that_is_too_short_for_an_application),
        T(an_entry_is_not_asked_for_for_ever),
        T(a_window_without_an_outcome_ends_with_408),
        T(the_same_post_twice_at_once),
        T(a_repetition_of_a_finished_post),
        T(a_malformed_line_makes_another_post),
        T(messages_without_refs_are_never_repetitions),
        T(an_unknown_fate_is_settled_by_posting_again),
        T(a_post_during_an_outage_waits_for_its_end),
        T(a_post_whose_session_ends_elsewhere),
        T(gone_at_every_point),
        T(posts_that_come_with_the_answer),
        T(the_sweeper_ends_a_session),
        T(ended_with_every_kind_of_call_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
