/* The channel core when answers come late, in any order, or too late. */
#include "tests/unit/socket_harness.h"

#define UNMATCHED   "{\"reason\":\"unmatched topic\"}"
#define UNAVAILABLE "{\"reason\":\"unavailable\"}"

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

/* Replies come in the order of the pushes and after their broadcasts, whatever comes first. */
static void acks_in_order(const unsigned *order)
{
    plx_socket *s = harness_socket();
    bool done[4] = {false};
    unsigned out = 0;

    join(s, "1", "acked:a");
    client(s, "1", "0", "acked:a", "m", "{}");
    client(s, "1", "1", "acked:a", "m", "{}");
    client(s, "1", "2", "acked:a", "m", "{}");
    client(s, "1", "3", "acked:a", "m", "{}");
    for (unsigned i = 0; i < 4; i++) {
        unsigned before = 0;
        for (unsigned j = 0; j < order[i]; j++)
            before += !done[j];
        fake_answer(before, 0);
        done[order[i]] = true;
        for (; out < 4 && done[out]; out++) {
            char begin[64];
            snprintf(begin, sizeof begin, "reply 1 %u acked:a ok {} after acked:a@", out);
            assert_int_equal(strncmp(plx_buf_cstr(&trace), begin, strlen(begin)), 0);
            size_t line = strcspn(trace.data, "\n") + 1;
            trace.len -= line;
            memmove(trace.data, trace.data + line, trace.len);
        }
        expect(out == 4 ? "idle\n" : "");
    }
    finish(s);
}

static void test_acknowledgements_in_all_orders(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 256; n++) {
        unsigned order[4] = {n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6};
        unsigned seen = 0;
        for (unsigned i = 0; i < 4; i++)
            seen |= 1u << order[i];
        if (seen == 15)
            acks_in_order(order);
    }
}

/* The backend's answers to calls on different topics, in all orders. */
static void test_answers_in_all_orders(void **state)
{
    static const unsigned orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                          {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const char *const topics[] = {"room:0", "room:1", "room:2"};

    (void)state;
    for (unsigned n = 0; n < 6; n++) {
        plx_socket *s = harness_socket();
        for (unsigned i = 0; i < 3; i++)
            client(s, "1", "1", topics[i], "phx_join", "\"hold\"");
        for (unsigned i = 0; i < 3; i++) {
            char line[96];
            unsigned k = orders[n][i];
            plx_call_ok(calls_held[k], JSON("{}"));
            fake_answer_all();
            snprintf(line, sizeof line, "open %s after 0\nreply 1 1 %s ok {} opens\n%s", topics[k],
                     topics[k], i == 2 ? "idle\n" : "");
            expect(line);
        }
        finish(s);
    }
}

static void test_barriers(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "cast_ok", "{}");
    expect("");
    fake_answer_all();
    expect("reply 1 2 room:a ok {} after room:a@1\nidle\n");
    client(s, "1", "3", "room:a", "ok", "{}"); /* also after what earlier calls broadcast */
    expect("reply 1 3 room:a ok {} after room:a@1\n");
    client(s, "1", "4", "room:a", "cast_from", "{}"); /* not for this socket: nothing to wait for */
    fake_answer_all();
    client(s, "1", "5", "room:a", "ok", "{}");
    expect("idle\nreply 1 5 room:a ok {} after room:a@1\n");
    finish(s);
}

static void test_barriers_of_other_topics(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "cast_to", "{}");
    fake_answer_all();
    expect("reply 1 2 room:a ok {}\nidle\n");
    join(s, "2", "room:other");
    client(s, "1", "3", "room:a", "cast_to", "{}");
    fake_answer_all();
    expect("reply 1 3 room:a ok {} after room:other@2\nidle\n");
    client(s, "2", "4", "room:other", "ok", "{}");
    expect("reply 2 4 room:other ok {} after room:other@2\n");
    client(s, "1", "5", "room:a", "cast_to", "{}");
    client(s, "2", "6", "room:other", "phx_leave", "{}");
    fake_answer_all(); /* nobody can wait for a topic that was left */
    expect("terminate room:other left\nreply 2 6 room:other ok {} after room:other@2\n"
           "close 2 2 room:other after room:other@2 ends\nclosed room:other\n"
           "reply 1 5 room:a ok {}\nidle\n");
    finish(s);
}

/* While a rejoin is being decided its topic is still delivered through the old membership. */
static void test_barriers_while_a_topic_is_rejoined(void **state)
{
    plx_socket *s = harness_socket();
    plx_membership *old;

    (void)state;
    join(s, "1", "room:a");
    join(s, "2", "room:other");
    old = plx_socket_find(s, S("room:other"));
    client(s, "3", "3", "room:other", "phx_join", "\"hold\"");
    client(s, "1", "4", "room:a", "cast_to", "{}");
    fake_answer_all();
    assert_int_equal(old->caused, 1);
    expect("terminate room:other left\nreply 1 4 room:a ok {} after room:other@1\n");
    plx_call_ok(calls_held[0], JSON("{}"));
    fake_answer_all();
    expect("open room:other after 1 instead\nreply 3 3 room:other ok {} opens\n"
           "close 2 2 room:other ends\nclosed room:other\nidle\n");
    client(s, "3", "5", "room:other", "ok", "{}"); /* what was caused is remembered */
    expect("reply 3 5 room:other ok {} after room:other@1\n");
    finish(s);
}

/* Nobody waits for a membership whose join has not been answered: its reply may be behind the very
 * message that waits. */
static void test_no_barriers_of_topics_being_joined(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    auto_ready = false;
    client(s, "2", "2", "room:other", "phx_join", "{}");
    client(s, "1", "3", "room:a", "cast_to", "{}");
    fake_answer_all();
    client(s, "1", "4", "room:a", "cast_to", "{}");
    fake_answer_all();
    expect("open room:other after 0\nreply 1 3 room:a ok {}\nreply 1 4 room:a ok {}\n");
    plx_membership_ready(plx_socket_find(s, S("room:other")));
    client(s, "1", "5", "room:a", "cast_to", "{}");
    fake_answer_all();
    expect("reply 2 2 room:other ok {} opens\nidle\n"
           "reply 1 5 room:a ok {} after room:other@3\nidle\n");
    finish(s);
}

/* A push that is handled while the reply to its join waits behind the old membership's outputs. */
static void test_own_barrier_behind_an_unsaid_join(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "acked:a");
    client(s, "1", "2", "acked:a", "m", "{}");
    client(s, "3", "3", "acked:a", "phx_join", "{}");
    client(s, "3", "4", "acked:a", "m", "{}");
    fake_answer(1, 0); /* the position, before the first broadcast */
    assert_int_equal(fake_waiting(), 2);
    fake_answer(1, 0); /* the second broadcast, too */
    expect("open acked:a after 0 instead\n");
    fake_answer(0, 0);
    expect("reply 1 2 acked:a ok {} after acked:a@2\nreply 3 3 acked:a ok {} opens\n"
           "close 1 1 acked:a ends\nreply 3 4 acked:a ok {} after acked:a@1\nclosed acked:a\n"
           "idle\n");
    finish(s);
}

/* More topics than fit into the array on the stack. */
static void test_many_barriers(void **state)
{
    plx_socket *s = harness_socket();
    char topic[24];

    (void)state;
    socket_config.max_channels = 20;
    for (int i = 0; i < 20; i++) {
        snprintf(topic, sizeof topic, "room:%d", i);
        join(s, "1", topic);
    }
    socket_config.max_channels = 3;
    client(s, "1", "2", "room:0", "hold", "{}");
    for (int i = 0; i < 40; i++) {
        snprintf(topic, sizeof topic, "room:%d", i % 20);
        plx_channel_broadcast_to(channels_held[0], calls_held[0], S(topic), S("e"), JSON("1"));
    }
    plx_call_ok(calls_held[0], JSON("{}"));
    fake_answer_all();
    expect("reply 1 2 room:0 ok {} after room:0@21 room:1@22 room:2@23 room:3@24 room:4@25"
           " room:5@26 room:6@27 room:7@28 room:8@29 room:9@30 room:10@31 room:11@32 room:12@33"
           " room:13@34 room:14@35 room:15@36 room:16@37 room:17@38 room:18@39 room:19@40\n"
           "idle\n");
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
        cmocka_unit_test(test_messages_wait_for_the_join),
        cmocka_unit_test(test_other_topics_go_on),
        cmocka_unit_test(test_waiting_is_bounded),
        cmocka_unit_test(test_waiting_is_bounded_in_bytes),
        cmocka_unit_test(test_a_whole_post_may_wait),
        cmocka_unit_test(test_pushes_are_pipelined),
        cmocka_unit_test(test_acknowledgements_in_all_orders),
        cmocka_unit_test(test_answers_in_all_orders),
        cmocka_unit_test(test_barriers),
        cmocka_unit_test(test_barriers_of_other_topics),
        cmocka_unit_test(test_barriers_while_a_topic_is_rejoined),
        cmocka_unit_test(test_no_barriers_of_topics_being_joined),
        cmocka_unit_test(test_own_barrier_behind_an_unsaid_join),
        cmocka_unit_test(test_many_barriers),
        cmocka_unit_test(test_pushes_and_broadcasts_keep_their_order),
        cmocka_unit_test(test_broadcast_fails),
        cmocka_unit_test(test_one_of_two_broadcasts_fails),
        cmocka_unit_test(test_leave_after_pushes),
        cmocka_unit_test(test_everything_waits_behind_a_call),
        cmocka_unit_test(test_rejoin_follows_what_the_old_one_says),
        cmocka_unit_test(test_refused_rejoin_behind_a_pending_reply),
        cmocka_unit_test(test_crash_follows_earlier_replies),
        cmocka_unit_test(test_join_that_pushes_and_broadcasts),
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
