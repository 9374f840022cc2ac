/* The channel core, message by message: each row of the protocol's table, with a store that answers
 * at once. What comes in another order is in test_socket_async. */
#include "tests/unit/socket_harness.h"

#define UNMATCHED "{\"reason\":\"unmatched topic\"}"

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

static void test_relay(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "relay:a");
    join(s, "2", "others:a");
    join(s, "3", "acked:a");
    client(s, "1", "4", "relay:a", "msg", "{\"n\" : 1e5}");
    client(s, "2", "5", "others:a", "msg", "{}");
    client(s, "3", "6", "acked:a", "msg", "{}");
    assert_int_equal(fake_waiting(), 3);
    assert_string_equal(fake_peek(0)->topic, "relay:a");
    assert_string_equal(fake_peek(0)->payload, "{\"n\" : 1e5}");
    assert_string_equal(fake_peek(0)->from, "");
    assert_string_equal(fake_peek(0)->producer, "");
    assert_int_equal(fake_peek(0)->kind, PLX_KIND_JSON);
    assert_string_equal(fake_peek(1)->from, "sess");
    expect("");
    fake_answer_all();
    expect("reply 3 6 acked:a ok {} after acked:a@3\nidle\n");
    finish(s);
}

static void test_relay_binary(void **state)
{
    plx_payload binary = {PLX_PAYLOAD_BINARY, PLX_LIT("\x01\0\xff")};
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "relay:a");
    join(s, "2", "hist:a");
    client_payload(s, "1", "3", "relay:a", "msg", binary);
    assert_int_equal(fake_peek(0)->kind, PLX_KIND_BINARY);
    assert_int_equal(fake_peek(0)->payload_len, 3);
    assert_int_equal(fake_peek(0)->history_size, 0);
    fake_answer_all();
    expect("idle\n");
    client_payload(s, "2", "4", "hist:a", "msg", binary);
    assert_int_equal(fake_waiting(), 0);
    expect("reply 2 4 hist:a error {\"reason\":\"binary not kept\"}\n");
    client(s, "2", "5", "hist:a", "msg", "{}");
    assert_int_equal(fake_peek(0)->history_size, 100);
    finish(s);
}

static void test_echo(void **state)
{
    plx_payload binary = {PLX_PAYLOAD_BINARY, PLX_LIT("bytes")};
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "echo:a");
    client(s, "1", "2", "echo:a", "any", "{\"n\" : 1.0}");
    client_payload(s, "1", "3", "echo:a", "any", binary);
    expect("reply 1 2 echo:a ok {\"n\" : 1.0}\nreply 1 3 echo:a ok binary:bytes\n");
    finish(s);
}

static void test_rules(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    client(s, "1", "1", "none:a", "phx_join", "{}");
    client(s, "2", "2", "mine:8", "phx_join", "{}");
    expect("reply 1 1 none:a error {\"reason\":\"unauthorized\"}\n"
           "reply 2 2 mine:8 error {\"reason\":\"unauthorized\"}\n");
    join(s, "3", "mine:7");
    assert_non_null(plx_socket_find(s, S("mine:7")));
    join(s, "4", "mute:a");
    client(s, "4", "5", "mute:a", "ok", "{}");
    client(s, "4", "-", "mute:a", "ok", "{}");
    client(s, "4", "6", "mute:a", "phx_leave", "{}");
    expect("reply 4 5 mute:a error {\"reason\":\"unauthorized\"}\n"
           "reply 4 - mute:a error {\"reason\":\"unauthorized\"}\n"
           "terminate mute:a left\nreply 4 6 mute:a ok {}\nclose 4 4 mute:a ends\n"
           "closed mute:a\n");
    finish(s);
}

static void test_about_the_channel(void **state)
{
    plx_socket *s = harness_socket();
    plx_channel *ch;

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "hold", "{}");
    ch = channels_held[0];
    assert_true(plx_slice_is(plx_channel_topic(ch), "room:a"));
    assert_true(plx_slice_is(plx_channel_params(ch), "{\"user_id\":\"7\"}"));
    assert_true(plx_slice_is(plx_channel_claims(ch), "{}"));
    assert_true(plx_slice_is(plx_channel_socket_id(ch), "users:7"));
    assert_true(plx_slice_is(plx_channel_session(ch), "sess"));
    assert_true(plx_slice_is(plx_channel_transport(ch), "test"));
    assert_true(plx_slice_is(plx_channel_assigns(ch), "{}"));
    assert_true(plx_slice_is(plx_call_message_id(calls_held[0]), "sess:0:1"));
    plx_call_noreply(calls_held[0]);
    finish(s);
}

static void test_assigns(void **state)
{
    static char big[16400];
    plx_socket *s = harness_socket();
    plx_membership *m;
    plx_channel *ch;

    (void)state;
    join(s, "1", "room:a");
    m = plx_socket_find(s, S("room:a"));
    ch = (plx_channel *)m;
    assert_false(m->assigns_changed);
    assert_int_equal(plx_channel_assign(ch, S("[]")), PLX_E_INVALID);
    assert_int_equal(plx_channel_assign(ch, S("{")), PLX_E_INVALID);
    assert_int_equal(plx_channel_assign(ch, S(" {\"a\":[1]} ")), 0);
    assert_true(plx_slice_is(plx_channel_assigns(ch), "{\"a\":[1]}"));
    assert_true(m->assigns_changed);
    assert_int_equal(plx_channel_assign(ch, plx_channel_assigns(ch)), 0);
    assert_true(plx_slice_is(plx_channel_assigns(ch), "{\"a\":[1]}"));
    memset(big, ' ', sizeof big);
    memcpy(big, "{}", 2);
    assert_int_equal(plx_channel_assign(ch, plx_slice_make(big, 16385)), PLX_E_TOOBIG);
    assert_int_equal(plx_channel_assign(ch, plx_slice_make(big, 16384)), 0);
    finish(s);
}

static void test_limits_of_verbs(void **state)
{
    static char big[4000001], name[1025];
    plx_payload huge = {PLX_PAYLOAD_BINARY, {big, sizeof big}};
    plx_socket *s = harness_socket();
    plx_channel *ch;
    plx_call *call;

    (void)state;
    memset(name, 'n', sizeof name);
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "hold", "{}");
    ch = channels_held[0];
    call = calls_held[0];
    assert_int_equal(plx_channel_push(ch, call, S("e"), JSON("{")), PLX_E_INVALID);
    assert_int_equal(plx_channel_push(ch, call, S("e"), JSON("")), PLX_E_INVALID);
    assert_int_equal(plx_channel_push(ch, call, S("e"), huge), PLX_E_TOOBIG);
    assert_int_equal(plx_channel_push(ch, call, plx_slice_make(name, 1025), JSON("{}")),
                     PLX_E_TOOBIG);
    assert_int_equal(plx_channel_broadcast(ch, call, S("e"), JSON("NaN")), PLX_E_INVALID);
    assert_int_equal(plx_channel_broadcast_to(ch, call, S(""), S("e"), JSON("{}")), PLX_E_INVALID);
    assert_int_equal(
        plx_channel_broadcast_to(ch, call, plx_slice_make(name, 1025), S("e"), JSON("{}")),
        PLX_E_TOOBIG);
    assert_int_equal(plx_channel_broadcast_to(ch, call, S("hist:x"), S("e"),
                                              (plx_payload){PLX_PAYLOAD_BINARY, {"b", 1}}),
                     PLX_E_INVALID);
    assert_int_equal(fake_waiting(), 0);
    huge.bytes.len--;
    assert_int_equal(plx_channel_push(ch, call, plx_slice_make(name, 1024), JSON("{}")), 0);
    assert_int_equal(plx_channel_broadcast(ch, call, S("e"), huge), 0);
    for (unsigned i = 1; i < 4096; i++)
        assert_int_equal(plx_channel_broadcast(ch, call, S("e"), JSON("1")), 0);
    assert_int_equal(plx_channel_broadcast(ch, call, S("e"), JSON("1")), PLX_E_TOOBIG);
    plx_buf_clear(&trace);
    plx_call_ok(call, JSON("{}"));
    expect("");
    fake_answer_all();
    expect("relieved\nreply 1 2 room:a ok {} after room:a@4096\nidle\n");
    finish(s);
}

/* A long-poll session's broadcasts can be told from each other when the entry is worked again. */
static void test_producer(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    s->entry = 9;
    join(s, "1", "room:a");
    s->entry = 10;
    s->next_index = 0;
    client(s, "1", "2", "room:a", "cast", "{}");
    client(s, "1", "3", "room:a", "hold", "{}");
    plx_channel_broadcast(channels_held[0], calls_held[0], S("x"), JSON("1"));
    plx_channel_broadcast(channels_held[0], calls_held[0], S("y"), JSON("2"));
    assert_true(plx_slice_is(plx_call_message_id(calls_held[0]), "sess:10:1"));
    assert_int_equal(fake_waiting(), 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_string_equal(fake_peek(i)->producer, "sess");
        assert_int_equal(fake_peek(i)->entry, 10);
    }
    assert_int_equal(fake_peek(0)->index, 0);
    assert_int_equal(fake_peek(1)->index, 4096);
    assert_int_equal(fake_peek(2)->index, 4097);
    plx_call_noreply(calls_held[0]);
    finish(s);
}

static void test_pack_and_restore(void **state)
{
    plx_socket *s = harness_socket(), *t;
    plx_slot slot = {.number = 3, .topic = S("room:a"), .start = {"e", 5}, .diffs_after = 9};
    plx_membership *m;
    plx_buf packed;

    (void)state;
    plx_buf_init(&packed, 0);
    client(s, "-", "<[\"r:1\"]>", "room:a", "phx_join", "\"assign\"");
    fake_answer_all();
    plx_membership_pack(plx_socket_find(s, S("room:a")), &packed);
    assert_string_equal(plx_buf_cstr(&packed), "n0:j7:[\"r:1\"]a7:{\"a\":1}");
    finish(s);
    t = harness_socket();
    slot.state = plx_buf_slice(&packed);
    m = plx_socket_restore(t, &slot);
    assert_non_null(m);
    assert_int_equal(m->slot, 3);
    assert_int_equal(m->start.offset, 5);
    assert_int_equal(m->diffs_after, 9);
    assert_int_equal(m->state, PLX_JOINED);
    assert_int_equal(t->membership_count, 1);
    assert_false(m->assigns_changed);
    assert_true(plx_slice_is(plx_channel_assigns((plx_channel *)m), "{\"a\":1}"));
    client(t, "-", "2", "room:a", "ok", "{}");
    client(t, "-", "3", "room:a", "phx_leave", "{}");
    expect("reply <[\"r:1\"]> 2 room:a ok {}\nterminate room:a left\n"
           "reply <[\"r:1\"]> 3 room:a ok {}\nclose - - room:a ends\nclosed room:a\n");
    finish(t);
    plx_buf_fini(&packed);
}

static plx_membership *restore(plx_socket *s, const char *topic, plx_slice state)
{
    plx_slot slot = {.number = 1, .topic = S(topic), .start = {"e", 0}, .state = state};

    return plx_socket_restore(s, &slot);
}

static void test_restore_damaged(void **state)
{
    static const char whole[] = "s1:1s2:22a7:{\"a\":1}";
    static const char *const damaged[] = {"x1:1s2:22",
                                          "s1:1s2:22a2:[]",
                                          "s1:1s2:22b2:{}",
                                          "s1:1s2:22a2:{}x",
                                          "s:1s2:22",
                                          "s-1:1s2:22",
                                          "s99999999999999999999999:1",
                                          "s1:1s2:22a3:{}"};
    plx_socket *s = harness_socket();

    (void)state;
    assert_null(restore(s, "nope", S(whole)));
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++)
        assert_null(restore(s, "room:a", S(damaged[i])));
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        char *cut = plx_alloc(n); /* so that a read past its end is seen */
        plx_membership *m;
        memcpy(cut, whole, n);
        m = restore(s, "room:a", plx_slice_make(cut, n));
        assert_int_equal(m != NULL, n == 9); /* exactly without the assigns */
        free(cut);
    }
    assert_non_null(restore(s, "room:b", S(whole)));
    finish(s);
}

static void test_free_and_forget(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    join(s, "2", "room:b");
    plx_socket_free(s, PLX_END_EXPIRED);
    expect("terminate room:a expired\nterminate room:b expired\nclosed room:a\nclosed room:b\n");
    s = harness_socket();
    join(s, "1", "room:a");
    plx_socket_forget(s);
    expect("closed room:a\n");
    plx_buf_fini(&trace);
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
        cmocka_unit_test(test_relay),
        cmocka_unit_test(test_relay_binary),
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_about_the_channel),
        cmocka_unit_test(test_assigns),
        cmocka_unit_test(test_limits_of_verbs),
        cmocka_unit_test(test_producer),
        cmocka_unit_test(test_pack_and_restore),
        cmocka_unit_test(test_restore_damaged),
        cmocka_unit_test(test_free_and_forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
