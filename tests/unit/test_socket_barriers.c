/* Which broadcasts a message goes out behind (promise 4), whatever is under way. */
#include "tests/unit/socket_harness.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acknowledgements_in_all_orders),
        cmocka_unit_test(test_answers_in_all_orders),
        cmocka_unit_test(test_barriers),
        cmocka_unit_test(test_barriers_of_other_topics),
        cmocka_unit_test(test_barriers_while_a_topic_is_rejoined),
        cmocka_unit_test(test_no_barriers_of_topics_being_joined),
        cmocka_unit_test(test_own_barrier_behind_an_unsaid_join),
        cmocka_unit_test(test_many_barriers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
