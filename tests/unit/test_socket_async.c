/* The channel core when answers come late and in any order: what waits, and what goes out behind
 * what. */
#include "tests/unit/socket_harness.h"

static void test_messages_wait_for_the_join(void **state)
{
    plx_socket *s = harness_socket();
    char event[] = "ok", payload[] = "{\"n\":1}";

    (void)state;
    client(s, "1", "1", "room:a", "phx_join", "{}");
    client(s, "1", "2", "room:a", event, payload);
    memset(event, '#', 2);
    memset(payload, '#', 7);
    client(s, "1", "3", "room:a", "push", "{\"n\":2}");
    client(s, "9", "4", "room:a", "ok", "{}");
    client(s, "1", "5", "room:a", "cast", "{\"n\":3}");
    client(s, "2", "2", "nope", "ok", "{}");
    client(s, "-", "6", "phoenix", "heartbeat", "{}");
    expect("reply - 2 nope error " UNMATCHED "\nreply - 6 phoenix ok {}\n");
    assert_int_equal(fake_waiting(), 1);
    fake_answer(0, 0);
    expect("open room:a after 0\nreply 1 1 room:a ok {} opens\nreply 1 2 room:a ok {\"n\":1}\n"
           "push 1 room:a pushed {\"n\":2}\n");
    assert_string_equal(fake_peek(0)->payload, "{\"n\":3}");
    assert_int_equal(s->waiting_bytes, 0);
    fake_answer(0, 0);
    expect("idle\n");
    finish(s);
}

static void test_other_topics_go_on(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    join(s, "2", "room:b");
    client(s, "1", "3", "room:a", "hold", "{}");
    client(s, "1", "4", "room:a", "ok", "{}");
    client(s, "2", "5", "room:b", "ok", "{}");
    expect("reply 2 5 room:b ok {}\n");
    plx_call_error(calls_held[0], JSON("{\"late\":1}"));
    expect("reply 1 3 room:a error {\"late\":1}\nreply 1 4 room:a ok {}\nidle\n");
    finish(s);
}

static void test_waiting_is_bounded(void **state)
{
    plx_socket *s = harness_socket();
    char ref[16];

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "hold", "{}");
    for (int i = 0; i < PLX_JOIN_WAITING; i++) {
        snprintf(ref, sizeof ref, "w%d", i);
        client(s, "1", ref, "room:a", "ok", "{}");
    }
    expect("");
    client(s, "1", "65", "room:a", "ok", "{}");
    client(s, "-", "66", "room:a", "phx_leave", "{}");
    expect("reply 1 65 room:a error {\"reason\":\"too many messages waiting\"}\n"
           "reply - 66 room:a error {\"reason\":\"too many messages waiting\"}\n");
    plx_call_noreply(calls_held[0]);
    for (int i = 0; i < PLX_JOIN_WAITING; i++) {
        char line[64];
        snprintf(line, sizeof line, "reply 1 w%d room:a ok {}\n", i);
        assert_non_null(strstr(plx_buf_cstr(&trace), line));
    }
    plx_buf_clear(&trace);
    client(s, "1", "67", "room:a", "ok", "{}");
    expect("reply 1 67 room:a ok {}\n");
    finish(s);
}

static void test_waiting_is_bounded_in_bytes(void **state)
{
    static char big[PLX_WAITING_BYTES + 1];
    plx_payload payload = {PLX_PAYLOAD_BINARY, {big, sizeof big}};
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    join(s, "2", "room:b");
    client(s, "1", "3", "room:a", "hold", "{}");
    client(s, "2", "4", "room:b", "hold", "{}");
    client_payload(s, "1", "5", "room:a", "noreply", payload); /* one may be larger */
    expect("");
    client(s, "2", "6", "room:b", "ok", "{}");
    expect("reply 2 6 room:b error {\"reason\":\"too many messages waiting\"}\n");
    plx_call_noreply(calls_held[0]);
    client(s, "2", "7", "room:b", "ok", "{}");
    plx_call_noreply(calls_held[1]);
    expect("reply 2 7 room:b ok {}\nidle\n");
    finish(s);
}

/* All lines of a long-poll POST are handled: its size was bounded when it came in. */
static void test_a_whole_post_may_wait(void **state)
{
    static char big[PLX_WAITING_BYTES];
    plx_payload payload = {PLX_PAYLOAD_BINARY, {big, sizeof big}};
    plx_socket *s = harness_socket();

    (void)state;
    s->entry = 1;
    client(s, "1", "1", "relay:a", "phx_join", "{}");
    for (int i = 0; i < 1000; i++)
        client(s, "1", "2", "relay:a", "m", "{}");
    client_payload(s, "1", "3", "relay:a", "m", payload);
    client_payload(s, "1", "4", "relay:a", "m", payload);
    client_payload(s, "1", "5", "relay:a", "m", payload);
    fake_answer(0, 0);
    expect("open relay:a after 0\nreply 1 1 relay:a ok {} opens\n");
    assert_int_equal(fake_waiting(), 1001); /* the bound of what is in flight holds nevertheless */
    assert_true(plx_socket_busy(s));
    fake_answer_all();
    assert_int_equal(fake_offset, 1003);
    expect("relieved\nidle\n");
    finish(s);
}

static void test_pushes_are_pipelined(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "relay:a");
    client(s, "1", "2", "relay:a", "m", "1");
    client(s, "1", "3", "relay:a", "m", "2");
    client(s, "1", "4", "relay:a", "m", "3");
    assert_int_equal(fake_waiting(), 3);
    assert_int_equal(s->pending, 6);
    fake_answer(0, 0);
    fake_answer(0, 0);
    expect("");
    fake_answer(0, 0);
    expect("idle\n");
    assert_int_equal(s->pending, 0);
    assert_int_equal(s->inflight_bytes, 0);
    finish(s);
}

static void test_pushes_and_broadcasts_keep_their_order(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "mixed", "{}"); /* push, broadcast, push, reply */
    client(s, "1", "3", "room:a", "push", "3");
    expect("push 1 room:a pushed {}\n");
    fake_answer_all();
    expect("push 1 room:a later {} after room:a@1\nreply 1 2 room:a ok {} after room:a@1\n"
           "push 1 room:a pushed 3 after room:a@1\nidle\n");
    finish(s);
}

static void test_broadcast_fails(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "cast_ok", "{}");
    client(s, "1", "3", "room:a", "cast", "{}");
    client(s, "1", "-", "room:a", "cast", "{}");
    client(s, "1", "4", "room:a", "mixed", "{}");
    client(s, "1", "5", "room:a", "ok", "{}");
    client(s, "1", "6", "room:a", "cast_stop", "{}");
    fake_answer(0, PLX_E_DOWN);
    fake_answer(0, PLX_E_TIMEOUT);
    fake_answer(0, PLX_E_STORE);
    fake_answer(0, PLX_E_DOWN);
    fake_answer(0, PLX_E_DOWN);
    expect("terminate room:a closed\n"
           "reply 1 2 room:a error " UNAVAILABLE "\nreply 1 3 room:a error " UNAVAILABLE "\n"
           "push 1 room:a pushed {}\npush 1 room:a later {}\nreply 1 4 room:a error " UNAVAILABLE
           "\nreply 1 5 room:a ok {}\nreply 1 6 room:a error " UNAVAILABLE
           "\nclose 1 1 room:a ends\nclosed room:a\nidle\n");
    finish(s);
}

static void test_one_of_two_broadcasts_fails(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "hold", "{}");
    plx_channel_broadcast(channels_held[0], calls_held[0], S("e"), JSON("1"));
    plx_channel_broadcast(channels_held[0], calls_held[0], S("e"), JSON("2"));
    fake_answer(0, PLX_E_TIMEOUT);
    plx_call_ok(calls_held[0], JSON("{}"));
    expect("");
    fake_answer(0, 0);
    expect("reply 1 2 room:a error " UNAVAILABLE " after room:a@1\nidle\n");
    finish(s);
}

static void test_leave_after_pushes(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "acked:a");
    client(s, "1", "2", "acked:a", "m", "{}");
    client(s, "1", "3", "acked:a", "phx_leave", "{}");
    client(s, "1", "4", "acked:a", "m", "{}");
    client(s, "1", "5", "acked:a", "phx_leave", "{}");
    client(s, "6", "6", "acked:a", "phx_join", "{}");
    expect("");
    fake_answer(0, 0);
    expect("reply 1 2 acked:a ok {} after acked:a@1\nreply 1 3 acked:a ok {} after acked:a@1\n"
           "close 1 1 acked:a after acked:a@1 ends\nreply - 4 acked:a error " UNMATCHED "\n"
           "reply 1 5 acked:a ok {}\nclosed acked:a\n");
    fake_answer(0, 0);
    expect("open acked:a after 1\nreply 6 6 acked:a ok {} opens\nidle\n");
    finish(s);
}

static void test_everything_waits_behind_a_call(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "hold", "{}");
    client(s, "1", "3", "room:a", "phx_leave", "{}");
    client(s, "4", "4", "room:a", "phx_join", "{}");
    client(s, "5", "5", "room:a", "phx_join", "{}");
    client(s, "5", "6", "room:a", "crash", "{}");
    client(s, "5", "7", "room:a", "ok", "{}");
    expect("");
    plx_call_ok(calls_held[0], JSON("{}"));
    fake_answer_all();
    expect("reply 1 2 room:a ok {}\nterminate room:a left\nreply 1 3 room:a ok {}\n"
           "close 1 1 room:a ends\nclosed room:a\n"
           "open room:a after 0\nreply 4 4 room:a ok {} opens\nterminate room:a left\n"
           "open room:a after 0 instead\nreply 5 5 room:a ok {} opens\nclose 4 4 room:a ends\n"
           "terminate room:a crashed\nerror 5 5 room:a {\"reason\":\"channel_crash\"} ends\n"
           "reply - 7 room:a error " UNMATCHED "\nclosed room:a\nclosed room:a\nidle\n");
    assert_true(plx_list_empty(&s->memberships));
    finish(s);
}

static void test_rejoin_follows_what_the_old_one_says(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "acked:a");
    client(s, "1", "2", "acked:a", "m", "{}");
    client(s, "3", "3", "acked:a", "phx_join", "{}");
    client(s, "3", "4", "acked:a", "m", "{}");
    fake_answer(1, 0); /* the position, before the broadcast */
    expect("open acked:a after 0 instead\n");
    fake_answer(0, 0);
    expect("reply 1 2 acked:a ok {} after acked:a@1\nreply 3 3 acked:a ok {} opens\n"
           "close 1 1 acked:a ends\nclosed acked:a\n");
    fake_answer(0, 0);
    expect("reply 3 4 acked:a ok {} after acked:a@2\nidle\n");
    finish(s);
}

/* The refused membership owned the lane in which its refusal waits, and was freed too early. */
static void test_refused_rejoin_behind_a_pending_reply(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "cast_ok", "{}");
    client(s, "3", "3", "room:a", "phx_join", "\"error\"");
    client(s, "3", "4", "room:a", "ok", "{}");
    client(s, "5", "5", "room:a", "phx_join", "{}");
    expect("terminate room:a left\n");
    fake_answer(0, 0);
    expect("reply 1 2 room:a ok {} after room:a@1\nreply 3 3 room:a error {\"no\":1}\n"
           "close 1 1 room:a after room:a@1 ends\nreply - 4 room:a error " UNMATCHED "\n"
           "closed room:a\n");
    fake_answer_all();
    expect("open room:a after 1\nreply 5 5 room:a ok {} opens\nidle\n");
    finish(s);
}

static void test_crash_follows_earlier_replies(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "cast_ok", "{}");
    client(s, "1", "3", "room:a", "crash", "{}");
    expect("terminate room:a crashed\n");
    assert_null(plx_socket_find(s, S("room:a")));
    fake_answer_all();
    expect("reply 1 2 room:a ok {} after room:a@1\n"
           "error 1 1 room:a {\"reason\":\"channel_crash\"} after room:a@1 ends\n"
           "closed room:a\nidle\n");
    finish(s);
}

static void test_join_that_pushes_and_broadcasts(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    client(s, "1", "1", "room:a", "phx_join", "\"push\"");
    expect("");
    fake_answer_all();
    expect("open room:a after 0\nreply 1 1 room:a ok {} opens\npush 1 room:a hello {}\nidle\n");
    client(s, "2", "2", "room:b", "phx_join", "\"cast\"");
    fake_answer_all();
    expect("open room:b after 1\nreply 2 2 room:b ok {} opens\nidle\n");
    client(s, "3", "3", "room:c", "phx_join", "\"cast\"");
    fake_answer(0, PLX_E_DOWN);
    fake_answer(0, 0);
    expect("terminate room:c closed\nreply 3 3 room:c error " UNAVAILABLE "\nidle\n");
    client(s, "4", "4", "room:d", "phx_join", "\"hold\"");
    plx_channel_push(channels_held[0], calls_held[0], S("never"), JSON("{}"));
    plx_call_error(calls_held[0], JSON("{}"));
    expect("reply 4 4 room:d error {}\nidle\n");
    finish(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_wait_for_the_join),
        cmocka_unit_test(test_other_topics_go_on),
        cmocka_unit_test(test_waiting_is_bounded),
        cmocka_unit_test(test_waiting_is_bounded_in_bytes),
        cmocka_unit_test(test_a_whole_post_may_wait),
        cmocka_unit_test(test_pushes_are_pipelined),
        cmocka_unit_test(test_pushes_and_broadcasts_keep_their_order),
        cmocka_unit_test(test_broadcast_fails),
        cmocka_unit_test(test_one_of_two_broadcasts_fails),
        cmocka_unit_test(test_leave_after_pushes),
        cmocka_unit_test(test_everything_waits_behind_a_call),
        cmocka_unit_test(test_rejoin_follows_what_the_old_one_says),
        cmocka_unit_test(test_refused_rejoin_behind_a_pending_reply),
        cmocka_unit_test(test_crash_follows_earlier_replies),
        cmocka_unit_test(test_join_that_pushes_and_broadcasts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
