/* The channel core and its transport: deliveries that are lost or held, and sockets that go first.
 */
#include "tests/unit/socket_harness.h"

/* ---- the transport takes its time ---- */

static void test_ready_later(void **state)
{
    plx_socket *s = harness_socket();
    plx_membership *m;

    (void)state;
    auto_ready = false;
    client(s, "1", "1", "room:a", "phx_join", "{}");
    client(s, "1", "2", "room:a", "ok", "{}");
    fake_answer(0, 0);
    expect("open room:a after 0\n");
    m = plx_socket_find(s, S("room:a"));
    assert_int_equal(m->state, PLX_OPENING);
    plx_membership_ready(m);
    expect("reply 1 1 room:a ok {} opens\nreply 1 2 room:a ok {}\nidle\n");
    plx_membership_ready(m); /* once is enough */
    expect("");
    finish(s);
}

static void test_lost_while_opening(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    auto_ready = false;
    client(s, "2", "2", "room:a", "phx_join", "{}");
    client(s, "2", "3", "room:a", "ok", "{}");
    fake_answer(0, 0);
    expect("terminate room:a left\nopen room:a after 0 instead\n");
    plx_membership_lost(plx_socket_find(s, S("room:a")));
    expect("terminate room:a crashed\nreply 2 2 room:a error " UNAVAILABLE " ends\n"
           "close 1 1 room:a ends\nreply - 3 room:a error " UNMATCHED "\n"
           "closed room:a\nclosed room:a\n");
    assert_int_equal(s->pending, 0);
    finish(s);
}

static void test_lost_while_joined(void **state)
{
    plx_socket *s = harness_socket();
    plx_membership *m;

    (void)state;
    join(s, "1", "room:a");
    m = plx_socket_find(s, S("room:a"));
    client(s, "1", "2", "room:a", "hold", "{}");
    client(s, "1", "3", "room:a", "ok", "{}");
    client(s, "4", "4", "room:a", "phx_join", "{}");
    plx_membership_lost(m);
    expect("terminate room:a crashed\nerror 1 1 room:a {\"reason\":\"gap\"} ends\n"
           "reply - 3 room:a error " UNMATCHED "\nclosed room:a\n");
    fake_answer_all();
    expect("open room:a after 0\nreply 4 4 room:a ok {} opens\nidle\n");
    plx_channel_push(channels_held[0], calls_held[0], S("late"), JSON("{}"));
    plx_call_ok(calls_held[0], JSON("{\"too\":\"late\"}"));
    expect("");
    finish(s);
}

static void test_lost_follows_pending_replies(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "acked:a");
    client(s, "1", "2", "acked:a", "m", "{}");
    plx_membership_lost(plx_socket_find(s, S("acked:a")));
    expect("");
    fake_answer_all();
    expect("reply 1 2 acked:a ok {} after acked:a@1\n"
           "error 1 1 acked:a {\"reason\":\"gap\"} after acked:a@1 ends\nclosed acked:a\nidle\n");
    finish(s);
}

/* The old membership's log has a gap while its successor is being decided. */
static void test_lost_while_replaced(void **state)
{
    plx_socket *s = harness_socket();
    plx_membership *old;

    (void)state;
    join(s, "1", "room:a");
    old = plx_socket_find(s, S("room:a"));
    client(s, "2", "2", "room:a", "phx_join", "{}");
    plx_membership_lost(old);
    expect("terminate room:a left\n");
    fake_answer_all();
    expect("open room:a after 0 instead\nreply 2 2 room:a ok {} opens\n"
           "close 1 1 room:a ends\nclosed room:a\nidle\n");
    finish(s);
}

static void test_hold_and_release(void **state)
{
    plx_socket *s = harness_socket();
    plx_membership *m;

    (void)state;
    join(s, "1", "room:a");
    m = plx_socket_find(s, S("room:a"));
    hold_ends = true;
    client(s, "1", "2", "room:a", "phx_leave", "{}");
    expect("terminate room:a left\nreply 1 2 room:a ok {}\nclose 1 1 room:a ends\n");
    assert_null(plx_socket_find(s, S("room:a")));
    join(s, "3", "room:a");
    plx_membership_release(m);
    expect("closed room:a\n");
    assert_non_null(plx_socket_find(s, S("room:a")));
    client(s, "3", "4", "room:a", "phx_leave", "{}");
    plx_buf_clear(&trace);
    plx_socket_free(s, PLX_END_CLOSED); /* a hold does not outlive the socket */
    expect("closed room:a\n");
    plx_buf_fini(&trace);
}

/* ---- too much at once ---- */

static void test_busy(void **state)
{
    static char big[PLX_INFLIGHT_BYTES];
    plx_payload payload = {PLX_PAYLOAD_BINARY, {big, sizeof big}};
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "relay:a");
    join(s, "2", "echo:a");
    assert_false(plx_socket_busy(s));
    client_payload(s, "1", "3", "relay:a", "m", payload);
    assert_true(plx_socket_busy(s));
    client(s, "1", "4", "relay:a", "m", "4"); /* waits, and is not published yet */
    client(s, "2", "5", "echo:a", "m", "5");
    client(s, "-", "6", "phoenix", "heartbeat", "{}");
    assert_int_equal(fake_waiting(), 1);
    expect("reply - 6 phoenix ok {}\n");
    fake_answer(0, 0);
    assert_false(plx_socket_busy(s));
    expect("reply 2 5 echo:a ok 5\nrelieved\n");
    assert_string_equal(fake_peek(0)->payload, "4");
    fake_answer(0, 0);
    expect("idle\n");
    finish(s);
}

/* ---- the socket goes first ---- */

static void test_freed_with_calls_open(void **state)
{
    plx_socket *s = harness_socket();
    plx_payload bye = JSON("{}");

    (void)state;
    socket_config.max_channels = 10;
    for (int i = 0; i < 6; i++) {
        char topic[] = "room:0";
        topic[5] = (char)('0' + i);
        join(s, "1", topic);
        client(s, "1", "2", topic, "hold", "{}");
        client(s, "1", "3", topic, "ok", "{}");
    }
    socket_config.max_channels = 3;
    plx_socket_free(s, PLX_END_CLOSED);
    plx_buf_clear(&trace);
    assert_true(plx_slice_is(plx_channel_topic(channels_held[3]), "room:3"));
    assert_true(plx_slice_is(plx_channel_session(channels_held[3]), "sess"));
    assert_true(plx_slice_is(plx_call_message_id(calls_held[0]), "sess:0:1"));
    assert_int_equal(plx_channel_push(channels_held[3], calls_held[3], S("e"), bye), 0);
    plx_call_ok(calls_held[0], JSON("{}"));
    plx_call_error(calls_held[1], JSON("{}"));
    plx_call_noreply(calls_held[2]);
    plx_call_stop(calls_held[3], &bye);
    plx_call_crash(calls_held[4], "too late");
    plx_channel_broadcast(channels_held[5], calls_held[5], S("still"), JSON("{}"));
    plx_call_ok(calls_held[5], JSON("{}"));
    assert_int_equal(fake_waiting(), 1);
    assert_string_equal(fake_peek(0)->event, "still");
    fake_answer(0, 0);
    expect("");
    plx_buf_fini(&trace);
}

static void test_freed_with_joins_open(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    client(s, "1", "1", "room:a", "phx_join", "\"hold\"");
    client(s, "2", "2", "room:b", "phx_join", "\"hold\"");
    client(s, "3", "3", "room:c", "phx_join", "{}");
    client(s, "3", "4", "room:c", "ok", "{}");
    plx_socket_free(s, PLX_END_CLOSED);
    expect("terminate room:c closed\n"); /* the others have not been accepted */
    plx_call_ok(calls_held[0], JSON("{}"));
    expect("terminate room:a closed\n");
    plx_call_error(calls_held[1], JSON("{}"));
    expect("");
    assert_int_equal(fake_waiting(), 1);
    fake_answer(0, 0);
    expect("");
    plx_buf_fini(&trace);
}

static void test_freed_while_opening(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    auto_ready = false;
    client(s, "2", "2", "room:a", "phx_join", "{}");
    fake_answer(0, 0);
    plx_buf_clear(&trace);
    plx_socket_free(s, PLX_END_CLOSED);
    expect("terminate room:a closed\nclosed room:a\nclosed room:a\n");
    plx_buf_fini(&trace);
}

static void test_freed_with_broadcasts_open(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "mixed", "{}");
    client(s, "1", "3", "room:a", "cast_ok", "{}");
    client(s, "1", "4", "room:a", "phx_leave", "{}");
    plx_socket_free(s, PLX_END_CLOSED);
    expect("push 1 room:a pushed {}\nterminate room:a left\nclosed room:a\n");
    fake_answer(0, 0);
    fake_answer(0, PLX_E_DOWN);
    expect("");
    plx_buf_fini(&trace);
}

/* Another worker makes the calls of a long-poll session's entry again: nothing may be published
 * late by the one that lost it. */
static void test_forgotten_session_publishes_nothing(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    s->entry = 4;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "hold", "{}");
    plx_socket_forget(s);
    expect("closed room:a\n");
    assert_int_equal(plx_channel_broadcast(channels_held[0], calls_held[0], S("e"), JSON("1")), 0);
    plx_call_ok(calls_held[0], JSON("{}"));
    assert_int_equal(fake_waiting(), 0);
    plx_buf_fini(&trace);
}

static plx_socket *freed_when_idle;

static void free_on_idle(plx_socket *s)
{
    freed_when_idle = s;
    plx_socket_free(s, PLX_END_CLOSED);
}

static void test_freed_from_idle(void **state)
{
    plx_socket_ops ops = harness_ops;
    plx_socket *s = harness_socket();

    (void)state;
    ops.idle = free_on_idle;
    s->ops = &ops;
    client(s, "1", "1", "room:a", "phx_join", "{}");
    fake_answer(0, 0);
    assert_ptr_equal(freed_when_idle, s);
    expect("open room:a after 0\nreply 1 1 room:a ok {} opens\nterminate room:a closed\n"
           "closed room:a\n");
    plx_buf_fini(&trace);
}

static void test_idle_is_not_called_from_handle(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    join(s, "2", "room:b");
    client(s, "1", "2", "room:a", "ok", "{}");
    client(s, "1", "3", "room:a", "hold", "{}");
    expect("reply 1 2 room:a ok {}\n");
    plx_call_noreply(calls_held[0]);
    expect("idle\n");
    finish(s);
}

static void test_second_answer_is_ignored(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "hold", "{}");
    plx_channel_broadcast(channels_held[0], calls_held[0], S("e"), JSON("1"));
    plx_call_ok(calls_held[0], JSON("1")); /* the call lives until its broadcast is settled */
    plx_call_ok(calls_held[0], JSON("2"));
    plx_call_crash(calls_held[0], "");
    fake_answer_all();
    expect("reply 1 2 room:a ok 1 after room:a@1\nidle\n");
    finish(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready_later),
        cmocka_unit_test(test_lost_while_opening),
        cmocka_unit_test(test_lost_while_joined),
        cmocka_unit_test(test_lost_follows_pending_replies),
        cmocka_unit_test(test_lost_while_replaced),
        cmocka_unit_test(test_hold_and_release),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_freed_with_calls_open),
        cmocka_unit_test(test_freed_with_joins_open),
        cmocka_unit_test(test_freed_while_opening),
        cmocka_unit_test(test_freed_with_broadcasts_open),
        cmocka_unit_test(test_forgotten_session_publishes_nothing),
        cmocka_unit_test(test_freed_from_idle),
        cmocka_unit_test(test_idle_is_not_called_from_handle),
        cmocka_unit_test(test_second_answer_is_ignored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
