/* Joins that go on from a position: what the store is asked, where deliveries begin, what the
 * client is told. */
#include "tests/unit/socket_harness.h"

static void since(plx_socket *s, const char *ref, const char *topic, const char *position)
{
    char json[128];

    snprintf(json, sizeof json, "{\"since\":\"%s\"}", position);
    client(s, ref, ref, topic, "phx_join", json);
}

static void test_history_tells_the_position(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    fake_offset = 7;
    client(s, "1", "1", "hist:a", "phx_join", "{}");
    assert_true(fake_peek(0)->is_position); /* nothing to compare */
    fake_answer(0, 0);
    expect("open hist:a after 7\nreply 1 1 hist:a ok {\"position\":\"e:7\"} opens\nidle\n");
    assert_int_equal(plx_socket_find(s, S("hist:a"))->diffs_after, 7);
    finish(s);
}

static void test_recovered(void **state)
{
    plx_socket *s = harness_socket();
    const plx_membership *m;

    (void)state;
    fake_offset = 7;
    fake_whole = true;
    since(s, "1", "hist:a", "e:4");
    assert_string_equal(fake_peek(0)->since.epoch, "e");
    assert_int_equal(fake_peek(0)->since.offset, 4);
    assert_int_equal(fake_peek(0)->history_size, 100);
    fake_answer(0, 0);
    expect("open hist:a after 4\n"
           "reply 1 1 hist:a ok {\"position\":\"e:4\",\"recovered\":true} opens\nidle\n");
    m = plx_socket_find(s, S("hist:a"));
    assert_true(m->goes_back);
    assert_int_equal(m->diffs_after, 7); /* the state that it gets holds these diffs */
    finish(s);
}

static void test_not_recovered(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    fake_offset = 7;
    fake_whole = false;
    since(s, "1", "hist:a", "e:4");
    fake_answer(0, 0);
    expect("open hist:a after 7\n"
           "reply 1 1 hist:a ok {\"position\":\"e:7\",\"recovered\":false} opens\nidle\n");
    assert_false(plx_socket_find(s, S("hist:a"))->goes_back);
    finish(s);
}

/* Nothing that a client may write there is worse than a false. */
static void test_malformed(void **state)
{
    static const char *const wrong[] = {"{\"since\":\"x\"}", "{\"since\":5}", "{\"since\":\"\"}",
                                        "{\"since\":{\"since\":\"e:1\"}}"};

    (void)state;
    fake_whole = true;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        plx_socket *s = harness_socket();
        client(s, "1", "1", "hist:a", "phx_join", wrong[i]);
        assert_true(fake_peek(0)->is_position); /* the store is not bothered with it */
        fake_answer(0, 0);
        expect("open hist:a after 0\n"
               "reply 1 1 hist:a ok {\"position\":\"e:0\",\"recovered\":false} opens\nidle\n");
        finish(s);
    }
}

static void test_channel_without_history(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    fake_whole = true;
    since(s, "1", "room:a", "e:4");
    assert_true(fake_peek(0)->is_position);
    fake_answer(0, 0);
    expect("open room:a after 0\nreply 1 1 room:a ok {\"recovered\":false} opens\nidle\n");
    client(s, "2", "2", "room:b", "phx_join", "{\"since\":null}");
    fake_answer(0, 0);
    expect("open room:b after 0\nreply 2 2 room:b ok {} opens\nidle\n");
    finish(s);
}

static void test_redis_away(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    since(s, "1", "hist:a", "e:4");
    fake_answer(0, PLX_E_DOWN);
    expect("reply 1 1 hist:a error {\"reason\":\"unavailable\"}\nidle\n");
    assert_true(s->unavailable);
    finish(s);
}

/* The socket goes away while the store thinks about it. */
static void test_closed_meanwhile(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    since(s, "1", "hist:a", "e:4");
    plx_socket_free(s, PLX_END_CLOSED);
    expect("");
    fake_answer(0, 0);
    expect("");
    fake_reset();
    plx_buf_fini(&trace);
}

/* What waits goes out behind the reply, which has got longer meanwhile. */
static void test_pushes_wait(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    fake_offset = 7;
    fake_whole = true;
    auto_ready = false;
    since(s, "1", "hist:a", "e:6");
    client(s, "1", "2", "hist:a", "said", "{}");
    fake_answer(0, 0);
    expect("open hist:a after 6\n");
    plx_membership_ready(plx_socket_find(s, S("hist:a")));
    expect("reply 1 1 hist:a ok {\"position\":\"e:6\",\"recovered\":true} opens\n");
    assert_string_equal(fake_peek(0)->event, "said");
    assert_int_equal(fake_peek(0)->history_size, 100);
    fake_answer(0, 0);
    finish(s);
}

/* A rejoin that names a position gets what it asks for, whatever the old membership was given. */
static void test_rejoin(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    fake_offset = 7;
    fake_whole = true;
    join(s, "1", "hist:a");
    since(s, "2", "hist:a", "e:5");
    fake_answer(0, 0);
    expect("open hist:a after 5 instead\n"
           "reply 2 2 hist:a ok {\"position\":\"e:5\",\"recovered\":true} opens\n"
           "close 1 1 hist:a ends\nclosed hist:a\nidle\n");
    finish(s);
}

/* The log was trimmed between the answer and the delivery. */
static void test_lost_while_opening(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    fake_whole = true;
    auto_ready = false;
    since(s, "1", "hist:a", "e:0");
    fake_answer(0, 0);
    expect("open hist:a after 0\n");
    plx_membership_lost(plx_socket_find(s, S("hist:a")));
    expect("reply 1 1 hist:a error {\"reason\":\"unavailable\"} ends\nclosed hist:a\n");
    finish(s);
}

static void test_binary(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "hist:a");
    client_payload(s, "1", "2", "hist:a", "said", (plx_payload){PLX_PAYLOAD_BINARY, S("\1")});
    expect("reply 1 2 hist:a error {\"reason\":\"binary not kept\"}\n");
    assert_int_equal(fake_waiting(), 0);
    finish(s);
}

/* Another section gives the topic history: then it is text here too, and kept as long. */
static void test_history_of_another_section(void **state)
{
    static plx_channel_config other = {.pattern = (char *)"relay:kept",
                                       .has_history = true,
                                       .history_size = 55,
                                       .history_ttl_s = 9};
    plx_socket *s = harness_socket();
    plx_socket_config sections[] = {socket_config, {.channels = &other, .channel_count = 1}};

    (void)state;
    fake_config.sockets = sections;
    fake_config.socket_count = 2;
    join(s, "1", "relay:kept");
    client(s, "1", "2", "relay:kept", "said", "{}");
    assert_int_equal(fake_peek(0)->history_size, 55);
    fake_answer(0, 0);
    client_payload(s, "1", "3", "relay:kept", "said", (plx_payload){PLX_PAYLOAD_BINARY, S("\1")});
    assert_int_equal(fake_waiting(), 0);
    plx_buf_clear(&trace);
    fake_config.socket_count = 1;
    client_payload(s, "1", "4", "relay:kept", "said", (plx_payload){PLX_PAYLOAD_BINARY, S("\1")});
    assert_int_equal(fake_waiting(), 1);
    finish(s);
}

static plx_event *last_message(uint64_t offset, const char *event, const char *json)
{
    plx_position position = {"e", offset};

    return plx_event_new(S("last:a"), &position, PLX_KIND_JSON, S(event), S(json), S(""));
}

/* The last message of each event comes after the join's reply, before what was pushed meanwhile. */
static void test_latest(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    fake_offset = 7;
    fake_latest[0] = last_message(3, "price", "1.50");
    fake_latest[1] = last_message(7, "score", "{\"a\":1}");
    fake_latest_count = 2;
    client(s, "1", "1", "last:a", "phx_join", "{\"since\":\"e:3\"}");
    client(s, "1", "2", "last:a", "price", "2");
    fake_answer(0, 0);
    expect("open last:a after 7\nreply 1 1 last:a ok {\"recovered\":false} opens\n"
           "push 1 last:a price 1.50\npush 1 last:a score {\"a\":1}\n");
    assert_int_equal(fake_peek(0)->latest_ttl_s, 30);
    fake_answer(0, 0);
    plx_buf_clear(&trace);
    /* A rejoin gets them again, and begins behind them. */
    fake_latest_count = 1;
    client(s, "3", "3", "last:a", "phx_join", "{}");
    fake_answer(0, 0);
    expect("open last:a after 8 instead\nreply 3 3 last:a ok {} opens\n"
           "push 3 last:a price 1.50 after last:a@8\nclose 1 1 last:a ends\nclosed last:a\nidle\n");
    assert_true(plx_socket_find(s, S("last:a"))->goes_back);
    /* Redis is away, or the socket: nothing of it is said. */
    client(s, "4", "4", "last:b", "phx_join", "{}");
    fake_answer(0, PLX_E_TIMEOUT);
    expect("reply 4 4 last:b error {\"reason\":\"unavailable\"}\nidle\n");
    client(s, "5", "5", "last:c", "phx_join", "{}");
    plx_buf_clear(&trace);
    plx_socket_free(s, PLX_END_CLOSED);
    fake_answer(0, 0);
    fake_reset();
    plx_buf_fini(&trace);
    plx_event_unref(fake_latest[0]);
    plx_event_unref(fake_latest[1]);
    fake_latest_count = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_history_tells_the_position),
        cmocka_unit_test(test_recovered),
        cmocka_unit_test(test_not_recovered),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_channel_without_history),
        cmocka_unit_test(test_redis_away),
        cmocka_unit_test(test_closed_meanwhile),
        cmocka_unit_test(test_pushes_wait),
        cmocka_unit_test(test_rejoin),
        cmocka_unit_test(test_lost_while_opening),
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_history_of_another_section),
        cmocka_unit_test(test_latest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
