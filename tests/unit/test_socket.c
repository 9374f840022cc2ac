/* The channel core, message by message: each row of the protocol's table, with a store that answers
 * at once. What comes in another order is in test_socket_async.
 */
#include "tests/unit/socket_harness.h"

static void test_heartbeat(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    client(s, "-", "1", "phoenix", "heartbeat", "{}");
    client(s, "9", "2", "phoenix", "heartbeat", "{\"x\":1}");
    client(s, "-", "-", "phoenix", "heartbeat", "\"x\"");
    client(s, "-", "<5>", "phoenix", "heartbeat", "null");
    expect("reply - 1 phoenix ok {}\nreply - 2 phoenix ok {}\nreply - - phoenix ok {}\n"
           "reply - <5> phoenix ok {}\n");
    client(s, "-", "3", "phoenix", "other", "{}");
    client(s, "1", "4", "phoenix", "phx_join", "{}");
    client(s, "-", "5", "phoenix", "phx_leave", "{}");
    expect("reply - 3 phoenix error " UNMATCHED "\nreply - 4 phoenix error " UNMATCHED "\n"
           "reply - 5 phoenix ok {}\n");
    assert_int_equal(s->pending, 0);
    finish(s);
}

static void test_join(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    fake_offset = 41;
    client(s, "1", "2", "room:a", "phx_join", "{}");
    expect("");
    assert_int_equal(s->pending, 1);
    fake_answer(0, 0);
    expect("open room:a after 41\nreply 1 2 room:a ok {} opens\nidle\n");
    assert_int_equal(s->pending, 0);
    assert_int_equal(s->membership_count, 1);
    assert_non_null(plx_socket_find(s, S("room:a")));
    assert_null(plx_socket_find(s, S("room:b")));
    assert_null(plx_socket_find(s, S("room:a"))->core);
    finish(s);
}

static void test_join_payloads_that_are_no_objects(void **state)
{
    static const char *const payloads[] = {"null", "\"s\"", "[]", "7"};
    plx_socket *s = harness_socket();

    (void)state;
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        client(s, "1", "1", "room:a", "phx_join", payloads[i]);
        fake_answer_all();
        expect(i == 0 ? "open room:a after 0\nreply 1 1 room:a ok {} opens\nidle\n"
                      : "terminate room:a left\nopen room:a after 0 instead\n"
                        "reply 1 1 room:a ok {} opens\nclose 1 1 room:a ends\n"
                        "closed room:a\nidle\n");
    }
    finish(s);
}

static void test_join_unmatched(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    client(s, "1", "1", "nope:1", "phx_join", "{}");
    client(s, "2", "2", "room", "phx_join", "{}");
    client(s, "4", "4", "", "phx_join", "{}");
    client(s, "1", "2", "<5>", "phx_join", "{}");
    client(s, "1", "2", "-", "phx_join", "{}");
    expect("reply - 1 nope:1 error " UNMATCHED "\nreply - 2 room error " UNMATCHED "\n"
           "reply - 4  error " UNMATCHED "\nreply - 2 <5> error " UNMATCHED "\n"
           "reply - 2 - error " UNMATCHED "\n");
    client(s, "3", "3", "room:", "phx_join", "{}");
    fake_answer_all();
    expect("open room: after 0\nreply 3 3 room: ok {} opens\nidle\n");
    finish(s);
}

static void test_not_joined(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    client(s, "1", "1", "room:a", "ok", "{}");
    client(s, "-", "2", "nope", "ok", "{}");
    client(s, "1", "-", "room:a", "ok", "{}");
    client(s, "1", "2", "<5>", "ok", "{}");
    client(s, "1", "2", "room:a", "<5>", "{}");
    expect("reply - 1 room:a error " UNMATCHED "\nreply - 2 nope error " UNMATCHED "\n"
           "reply - - room:a error " UNMATCHED "\nreply - 2 <5> error " UNMATCHED "\n"
           "reply - 2 room:a error " UNMATCHED "\n");
    client(s, "1", "1", "room:a", "phx_leave", "{}");
    client(s, "-", "2", "nope", "phx_leave", "{}");
    client(s, "1", "2", "<5>", "phx_leave", "{}");
    expect("reply 1 1 room:a ok {}\nreply - 2 nope ok {}\nreply 1 2 <5> ok {}\n");
    finish(s);
}

static void test_join_refused_and_crashed(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    client(s, "1", "1", "room:a", "phx_join", "\"error\"");
    expect("reply 1 1 room:a error {\"no\":1}\n");
    client(s, "2", "2", "room:a", "phx_join", "\"crash\"");
    expect("reply 2 2 room:a error {\"reason\":\"join crashed\"}\n");
    client(s, "3", "3", "room:a", "phx_join", "\"bad_json\"");
    expect("reply 3 3 room:a error {\"reason\":\"join crashed\"}\n");
    client(s, "4", "4", "room:a", "phx_join", "\"stop\"");
    expect("reply 4 4 room:a error {\"reason\":\"join crashed\"}\n");
    client(s, "-", "5", "room:a", "phx_join", "\"error\"");
    expect("reply - 5 room:a error {\"no\":1}\n");
    assert_int_equal(s->membership_count, 0);
    assert_int_equal(s->pending, 0);
    assert_true(plx_list_empty(&s->memberships));
    client(s, "6", "6", "room:a", "phx_join", "\"noreply\"");
    fake_answer_all();
    expect("open room:a after 0\nreply 6 6 room:a ok {} opens\nidle\n");
    finish(s);
}

static void test_join_when_the_store_is_down(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    client(s, "1", "1", "room:a", "phx_join", "{}");
    fake_answer(0, PLX_E_DOWN);
    expect("terminate room:a closed\nreply 1 1 room:a error {\"reason\":\"unavailable\"}\nidle\n");
    assert_int_equal(s->membership_count, 0);
    finish(s);
}

static void test_max_channels(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:1");
    join(s, "2", "room:2");
    client(s, "3", "3", "room:3", "phx_join", "\"hold\""); /* counts while it is pending */
    client(s, "4", "4", "room:4", "phx_join", "{}");
    client(s, "5", "5", "nope", "phx_join", "{}");
    expect("reply 4 4 room:4 error {\"reason\":\"too many channels joined\"}\n"
           "reply - 5 nope error " UNMATCHED "\n");
    client(s, "6", "6", "room:1", "phx_join", "{}");
    plx_call_ok(calls_held[0], JSON("{}"));
    fake_answer_all();
    expect("terminate room:1 left\nopen room:1 after 0 instead\nreply 6 6 room:1 ok {} opens\n"
           "close 1 1 room:1 ends\nclosed room:1\n"
           "open room:3 after 0\nreply 3 3 room:3 ok {} opens\nidle\n");
    client(s, "2", "7", "room:2", "phx_leave", "{}");
    expect("terminate room:2 left\nreply 2 7 room:2 ok {}\nclose 2 2 room:2 ends\n"
           "closed room:2\n");
    client(s, "8", "8", "room:4", "phx_join", "{}");
    fake_answer_all();
    expect("open room:4 after 0\nreply 8 8 room:4 ok {} opens\nidle\n");
    finish(s);
}

static void test_duplicate_join(void **state)
{
    plx_socket *s = harness_socket();
    plx_membership *first;

    (void)state;
    join(s, "1", "room:a");
    first = plx_socket_find(s, S("room:a"));
    client(s, "2", "2", "room:a", "phx_join", "{}");
    expect("terminate room:a left\n");
    assert_ptr_not_equal(plx_socket_find(s, S("room:a")), first);
    assert_ptr_equal(plx_socket_find(s, S("room:a"))->replaces, first);
    assert_int_equal(s->membership_count, 1);
    fake_answer_all();
    expect("open room:a after 0 instead\nreply 2 2 room:a ok {} opens\n"
           "close 1 1 room:a ends\nclosed room:a\nidle\n");
    assert_null(plx_socket_find(s, S("room:a"))->replaces);
    client(s, "1", "3", "room:a", "ok", "{}");
    client(s, "1", "4", "room:a", "phx_leave", "{}");
    expect("");
    client(s, "2", "5", "room:a", "ok", "{\"cur\":1}");
    expect("reply 2 5 room:a ok {\"cur\":1}\n");
    finish(s);
}

static void test_duplicate_join_refused(void **state)
{
    static const struct {
        const char *what, *reply;
    } ways[] = {{"\"error\"", "{\"no\":1}"}, {"\"crash\"", "{\"reason\":\"join crashed\"}"}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        plx_socket *s = harness_socket();
        char expected[256];
        join(s, "1", "room:a");
        client(s, "2", "2", "room:a", "phx_join", ways[i].what);
        snprintf(expected, sizeof expected,
                 "terminate room:a left\nreply 2 2 room:a error %s\nclose 1 1 room:a ends\n"
                 "closed room:a\n",
                 ways[i].reply);
        expect(expected);
        assert_int_equal(s->membership_count, 0);
        client(s, "1", "3", "room:a", "ok", "{}");
        expect("reply - 3 room:a error " UNMATCHED "\n");
        finish(s);
    }
}

static void test_leave(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "phx_leave", "null");
    client(s, "1", "3", "room:a", "phx_leave", "{}");
    expect("terminate room:a left\nreply 1 2 room:a ok {}\nclose 1 1 room:a ends\n"
           "closed room:a\nreply 1 3 room:a ok {}\n");
    client(s, "1", "4", "room:a", "ok", "{}");
    expect("reply - 4 room:a error " UNMATCHED "\n");
    client(s, "5", "5", "room:a", "phx_join", "{}");
    fake_answer_all();
    expect("open room:a after 0\nreply 5 5 room:a ok {} opens\nidle\n");
    finish(s);
}

static void test_null_join_ref(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    client(s, "-", "1", "room:a", "phx_join", "{}");
    fake_answer_all();
    expect("open room:a after 0\nreply - 1 room:a ok {} opens\nidle\n");
    client(s, "-", "2", "room:a", "ok", "{\"n\":1}");
    client(s, "1", "2", "room:a", "ok", "{\"n\":2}");
    client(s, "-", "3", "room:a", "push", "{\"n\":1}");
    client(s, "77", "5", "room:a", "ok", "{}");
    client(s, "", "5", "room:a", "ok", "{}"); /* an empty one is not null */
    expect("reply 1 2 room:a ok {\"n\":1}\nreply 1 2 room:a ok {\"n\":2}\n"
           "push 1 room:a pushed {\"n\":1}\n");
    client(s, "-", "4", "room:a", "phx_leave", "{}");
    expect("terminate room:a left\nreply 1 4 room:a ok {}\nclose - - room:a ends\n"
           "closed room:a\n");
    join(s, "1", "room:a");
    client(s, "-", "2", "room:a", "crash", "{}");
    expect("terminate room:a crashed\nerror 1 1 room:a {\"reason\":\"channel_crash\"} ends\n"
           "closed room:a\n");
    finish(s);
}

static void test_refs_of_any_type(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "<{\"o\":1}>", "room:a", "ok", "{}");
    client(s, "1", "", "room:a", "ok", "{}");
    client(s, "<1>", "2", "room:a", "ok", "{}"); /* the number 1 is not "1" */
    expect("reply 1 <{\"o\":1}> room:a ok {}\nreply 1  room:a ok {}\n");
    client(s, "<1>", "<2>", "room:b", "phx_join", "{}");
    fake_answer_all();
    client(s, "<1>", "<3>", "room:b", "phx_leave", "{}");
    expect("open room:b after 0\nreply <1> <2> room:b ok {} opens\nidle\n"
           "terminate room:b left\nreply <1> <3> room:b ok {}\nclose <1> <1> room:b ends\n"
           "closed room:b\n");
    finish(s);
}

static void test_replies(void **state)
{
    plx_socket *s = harness_socket();
    static const char binary[] = {0, 'x'};

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "ok", "[1,2]");
    client(s, "1", "3", "room:a", "error", "{\"reason\":\"no\"}");
    client(s, "1", "-", "room:a", "ok", "7");
    client(s, "1", "4", "room:a", "noreply", "{}");
    client(s, "1", "5", "room:a", "push", "\"p\"");
    expect("reply 1 2 room:a ok [1,2]\nreply 1 3 room:a error {\"reason\":\"no\"}\n"
           "reply 1 - room:a ok 7\npush 1 room:a pushed \"p\"\n");
    client_payload(s, "1", "6", "room:a", "ok", (plx_payload){PLX_PAYLOAD_BINARY, {binary + 1, 1}});
    client_payload(s, "1", "7", "room:a", "push",
                   (plx_payload){PLX_PAYLOAD_BINARY, {binary + 1, 1}});
    expect("reply 1 6 room:a ok binary:x\npush 1 room:a pushed binary:x\n");
    assert_int_equal(s->pending, 0);
    finish(s);
}

static void test_stop(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "stop", "{}");
    expect("terminate room:a closed\nclose 1 1 room:a ends\nclosed room:a\n");
    client(s, "1", "3", "room:a", "ok", "{}");
    expect("reply - 3 room:a error " UNMATCHED "\n");
    join(s, "4", "room:a");
    client(s, "4", "5", "room:a", "stop_reply", "{\"bye\":1}");
    expect("terminate room:a closed\nreply 4 5 room:a ok {\"bye\":1}\nclose 4 4 room:a ends\n"
           "closed room:a\n");
    finish(s);
}

static void test_crash(void **state)
{
    static const char *const events[] = {"crash", "bad_json", "<5>", "-", "<null>"};

    (void)state;
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        plx_socket *s = harness_socket();
        join(s, "1", "room:a");
        join(s, "2", "room:b");
        client(s, "1", "3", "room:a", events[i], "{}");
        expect("terminate room:a crashed\n"
               "error 1 1 room:a {\"reason\":\"channel_crash\"} ends\nclosed room:a\n");
        client(s, "1", "4", "room:a", "ok", "{}");
        client(s, "2", "5", "room:b", "ok", "{\"ok\":1}");
        expect("reply - 4 room:a error " UNMATCHED "\nreply 2 5 room:b ok {\"ok\":1}\n");
        finish(s);
    }
}

/* What the libraries of others would take for the server's word. */
static void test_reserved_events(void **state)
{
    static const char *const events[] = {"phx_reply",      "phx_close",     "phx_error",
                                         "chan_reply_2",   "presence_diff", "presence_state",
                                         "presence_count", "phx_"};
    static char *named[] = {(char *)"phx_close"};
    plx_channel_config *relay = &channel_configs[0];
    plx_socket *s = harness_socket();

    (void)state;
    while (strcmp(relay->pattern, "relay:*") != 0)
        relay++;
    join(s, "1", "relay:a");
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        client(s, "1", "2", "relay:a", events[i], "{\"status\":\"ok\"}");
        assert_int_equal(fake_waiting(), 0);
        expect("reply 1 2 relay:a error {\"reason\":\"event not allowed\"}\n");
    }
    relay->events = (plx_strings){named, 1};
    client(s, "1", "2", "relay:a", "phx_close", "{\"status\":\"ok\"}");
    assert_string_equal(fake_peek(0)->event, "phx_close");
    assert_string_equal(fake_peek(0)->payload, "{\"status\":\"ok\"}");
    fake_answer_all();
    expect("idle\n");
    relay->events = (plx_strings){NULL, 0};
    finish(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heartbeat),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_join_payloads_that_are_no_objects),
        cmocka_unit_test(test_join_unmatched),
        cmocka_unit_test(test_not_joined),
        cmocka_unit_test(test_join_refused_and_crashed),
        cmocka_unit_test(test_join_when_the_store_is_down),
        cmocka_unit_test(test_max_channels),
        cmocka_unit_test(test_duplicate_join),
        cmocka_unit_test(test_duplicate_join_refused),
        cmocka_unit_test(test_leave),
        cmocka_unit_test(test_null_join_ref),
        cmocka_unit_test(test_refs_of_any_type),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_reserved_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
