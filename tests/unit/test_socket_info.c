/* What a channel module has beside join and handle_in: handle_info and timers, intercepted events,
 * members of the assigns, broadcasts in terminate. */
#include "tests/unit/socket_harness.h"

#include "channel/counters.h"
#include "channel/intercept.h"
#include "channel/timers.h"

#include <ev.h>

/* ---- the backend: `room:*` ---- */

static unsigned infos; /* calls of handle_info */

static void info(void *state, plx_channel *ch, plx_call *call, plx_slice name, plx_payload message)
{
    plx_slice topic = plx_channel_topic(ch);

    infos++;
    plx_buf_printf(&trace, "info %.*s %.*s %.*s\n", (int)topic.len, topic.data, (int)name.len,
                   name.data, (int)message.bytes.len, message.bytes.data);
    if (plx_slice_is(name, "again"))
        assert_int_equal(plx_channel_send_after(ch, call, name, 70, message), 0);
    scripted_in(state, ch, call, name, message);
}

static void in(void *state, plx_channel *ch, plx_call *call, plx_slice event, plx_payload payload)
{
    if (plx_slice_is(event, "stop_error")) {
        plx_call_stop_error(call, payload);
    } else if (plx_slice_is(event, "twice")) {
        plx_call_ok(call, payload);
        plx_call_error(call, payload);
        plx_call_crash(call, "again");
        plx_call_stop(call, NULL);
    } else if (plx_slice_is(event, "timer"))
        plx_call_ok(call, plx_channel_send_after(ch, call, S("t"), 50, payload) == 0
                              ? payload
                              : JSON("\"refused\""));
    else
        scripted_in(state, ch, call, event, payload);
}

/* Set by a test: what terminate broadcasts. */
static const char *farewell;
static int farewell_err;

static void terminate(void *state, plx_channel *ch, enum plx_end_reason reason)
{
    scripted_terminate(state, ch, reason);
    for (const char *c = farewell; c && *c; c++)
        farewell_err = plx_channel_broadcast_from(ch, NULL, S("gone"), JSON("1"));
}

static void out(void *state, const plx_channel *ch, plx_delivery *d, plx_slice event,
                plx_payload payload)
{
    static char large[4000001];

    (void)state;
    assert_true(plx_slice_is(event, "secret") || plx_slice_is(event, "whisper"));
    if (plx_slice_is(payload.bytes, "\"pass\""))
        plx_delivery_pass(d);
    else if (plx_slice_is(payload.bytes, "\"topic\""))
        assert_int_equal(plx_delivery_push(d, plx_channel_topic(ch), JSON("[1]")), 0);
    else if (plx_slice_is(payload.bytes, "\"binary\""))
        assert_int_equal(
            plx_delivery_push(d, event, (plx_payload){PLX_PAYLOAD_BINARY, PLX_LIT("\1\2")}), 0);
    else if (plx_slice_is(payload.bytes, "\"bad\"")) {
        assert_int_equal(plx_delivery_push(d, event, JSON("2")), 0);
        assert_int_equal(plx_delivery_push(d, event, JSON("{")), PLX_E_INVALID);
        assert_int_equal(
            plx_delivery_push(d, event, (plx_payload){PLX_PAYLOAD_BINARY, {large, sizeof large}}),
            PLX_E_TOOBIG);
        assert_int_equal(plx_delivery_push(d, plx_slice_make(large, 1025), JSON("1")),
                         PLX_E_TOOBIG);
    } else if (plx_slice_is(payload.bytes, "\"crash\"")) {
        plx_delivery_pass(d);
        plx_delivery_crash(d, "crash");
    } else if (plx_slice_is(payload.bytes, "\"last\"")) {
        assert_int_equal(plx_delivery_push(d, event, JSON("2")), 0);
        plx_delivery_pass(d);
    }
}

static const char *const intercepted[] = {"secret", "whisper", NULL};
static const plx_backend full = {.abi = PLX_BACKEND_ABI,
                                 .name = "full",
                                 .join = scripted_join,
                                 .handle_in = in,
                                 .terminate = terminate,
                                 .intercept = intercepted,
                                 .handle_out = out,
                                 .handle_info = info};

static plx_socket_ops lasting_ops;

/* A socket whose `room:*` is the backend above, joined to room:a as "1". */
static plx_socket *full_socket(bool lasting)
{
    plx_socket *s = harness_socket();

    channel_entries[1].backend = &full;
    infos = 0;
    farewell = NULL;
    lasting_ops = harness_ops;
    lasting_ops.lasting = lasting;
    s->ops = &lasting_ops;
    join(s, "1", "room:a");
    return s;
}

static int inform(plx_socket *s, const char *topic, const plx_membership *m, const char *name,
                  const char *json)
{
    return plx_socket_inform(s, S(topic), m, S(name), JSON(json));
}

static plx_membership *room_a(plx_socket *s)
{
    return plx_socket_find(s, S("room:a"));
}

/* ---- handle_info ---- */

static void test_info_pushes_and_is_not_answered(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    plx_counted.infos = 0;
    assert_int_equal(inform(s, "room:a", NULL, "push", "{\"n\":1}"), 0);
    assert_int_equal(plx_counted.infos, 1);
    expect("info room:a push {\"n\":1}\npush 1 room:a pushed {\"n\":1}\n");
    inform(s, "room:a", NULL, "ok", "{}");
    inform(s, "room:a", NULL, "error", "{}");
    expect("info room:a ok {}\ninfo room:a error {}\n");
    inform(s, "room:a", NULL, "cast", "{}");
    assert_int_equal(fake_waiting(), 1);
    inform(s, "room:a", NULL, "push", "2");
    expect("info room:a cast {}\ninfo room:a push 2\n");
    fake_answer(0, 0);
    expect("push 1 room:a pushed 2 after room:a@1\nidle\n");
    finish(s);
}

static void test_info_ends_its_channel(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    join(s, "2", "room:b");
    join(s, "3", "room:c");
    inform(s, "room:a", NULL, "stop_reply", "{}");
    expect("info room:a stop_reply {}\nterminate room:a closed\nclose 1 1 room:a ends\n"
           "closed room:a\n");
    inform(s, "room:b", NULL, "crash", "{}");
    expect("info room:b crash {}\nterminate room:b crashed\n"
           "error 2 2 room:b {\"reason\":\"channel_crash\"} ends\nclosed room:b\n");
    inform(s, "room:c", NULL, "bad_json", "{}");
    expect("info room:c bad_json {}\nterminate room:c crashed\n"
           "error 3 3 room:c {\"reason\":\"channel_crash\"} ends\nclosed room:c\n");
    assert_int_equal(inform(s, "room:a", NULL, "push", "{}"), 0);
    assert_int_equal(inform(s, "nowhere", NULL, "push", "{}"), 0);
    expect("");
    finish(s);
}

static void test_info_waits_its_turn(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    client(s, "1", "2", "room:a", "hold", "{}");
    inform(s, "room:a", NULL, "hold", "1");
    client(s, "1", "3", "room:a", "ok", "{}");
    expect("");
    plx_call_ok(calls_held[0], JSON("{}"));
    expect("reply 1 2 room:a ok {}\ninfo room:a hold 1\n");
    plx_call_noreply(calls_held[1]);
    expect("reply 1 3 room:a ok {}\nidle\n");
    finish(s);
}

/* A message named like an event of the protocol is a message all the same. */
static void test_info_is_no_event(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    inform(s, "room:a", NULL, "phx_leave", "{}");
    inform(s, "room:a", NULL, "phx_join", "{}");
    inform(s, "phoenix", NULL, "heartbeat", "{}");
    expect("info room:a phx_leave {}\ninfo room:a phx_join {}\n");
    assert_non_null(room_a(s));
    finish(s);
}

static void test_info_without_a_handler(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    join(s, "2", "relay:a");
    assert_int_equal(inform(s, "relay:a", NULL, "any", "{}"), 0);
    expect("");
    assert_int_equal(fake_waiting(), 0);
    finish(s);
}

/* What is meant for one membership does not reach the next one of its topic. */
static void test_info_for_a_membership_that_is_replaced(void **state)
{
    plx_socket *s = full_socket(true);
    const plx_membership *m = room_a(s);

    (void)state;
    client(s, "1", "2", "room:a", "hold", "{}");
    client(s, "9", "9", "room:a", "phx_join", "{}");
    inform(s, "room:a", m, "push", "\"old\"");
    inform(s, "room:a", NULL, "push", "\"any\"");
    plx_call_noreply(calls_held[0]);
    fake_answer_all();
    assert_null(strstr(plx_buf_cstr(&trace), "old"));
    assert_non_null(strstr(trace.data, "push 9 room:a pushed \"any\"\n"));
    plx_buf_clear(&trace);
    finish(s);
}

/* The same with a client that joins again by the ref of its first join. */
static void test_info_for_one_that_has_the_same_ref(void **state)
{
    plx_socket *s = full_socket(true);
    const plx_membership *m = room_a(s);

    (void)state;
    inform(s, "room:a", m, "push", "\"now\"");
    expect("info room:a push \"now\"\npush 1 room:a pushed \"now\"\n");
    client(s, "1", "2", "room:a", "hold", "{}");
    client(s, "1", "1", "room:a", "phx_join", "{}");
    inform(s, "room:a", m, "push", "\"old\"");
    inform(s, "room:a", NULL, "push", "\"any\"");
    plx_call_noreply(calls_held[0]);
    fake_answer_all();
    assert_null(strstr(plx_buf_cstr(&trace), "old"));
    assert_non_null(strstr(trace.data, "push 1 room:a pushed \"any\"\n"));
    plx_buf_clear(&trace);
    finish(s);
}

static void test_info_is_bounded(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    client(s, "1", "2", "room:a", "hold", "{}");
    for (int i = 0; i < PLX_JOIN_WAITING; i++)
        assert_int_equal(inform(s, "room:a", NULL, "noreply", "{}"), 0);
    assert_int_equal(inform(s, "room:a", NULL, "noreply", "{}"), PLX_E_BUSY);
    expect("");
    plx_call_noreply(calls_held[0]);
    assert_int_equal(infos, PLX_JOIN_WAITING);
    finish(s);
}

/* What a module does wrong costs nobody else anything. */
static void test_calls_that_are_answered_wrongly(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    client(s, "1", "2", "room:a", "twice", "{}");
    expect("reply 1 2 room:a ok {}\n"); /* the first answer counts */
    client(s, "1", "3", "room:a", "ok", "{}");
    expect("reply 1 3 room:a ok {}\n");
    inform(s, "room:a", NULL, "hold", "{}"); /* never answered */
    join(s, "4", "room:b");
    client(s, "1", "5", "room:a", "ok", "{}");
    client(s, "4", "6", "room:b", "ok", "{}");
    expect("reply 4 6 room:b ok {}\n");
    plx_membership_lost(room_a(s));
    plx_buf_clear(&trace);
    plx_call_stop(calls_held[0], NULL); /* after the end */
    expect("");
    finish(s);
}

/* ---- timers ---- */

static void fire(void)
{
    ev_timer *t = fake_timer;

    assert_non_null(t);
    fake_timer = NULL;
    ev_timer_stop(fake_loop, t);
    ev_invoke(fake_loop, t, EV_TIMER);
}

static void test_timer(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    client(s, "1", "2", "room:a", "timer", "{\"n\":1}");
    assert_true(fake_timer->at > 0.04); /* of which the loop's clock is a part */
    expect("reply 1 2 room:a ok {\"n\":1}\n");
    fire();
    expect("info room:a t {\"n\":1}\n");
    assert_null(room_a(s)->timers);
    finish(s);
}

static void test_timer_that_sets_itself_again(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    inform(s, "room:a", NULL, "again", "1");
    plx_buf_clear(&trace);
    for (int i = 0; i < 3; i++) {
        fire();
        expect("info room:a again 1\n");
        assert_int_equal(room_a(s)->timers->count, 1);
    }
    finish(s); /* and the last one goes with the socket */
}

static void test_timer_while_the_topic_is_full(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    client(s, "1", "1", "room:a", "timer", "1");
    client(s, "1", "2", "room:a", "hold", "{}");
    for (int i = 0; i < PLX_JOIN_WAITING; i++)
        inform(s, "room:a", NULL, "noreply", "{}");
    fire();
    assert_int_equal(room_a(s)->timers->count, 1); /* it comes again */
    plx_call_noreply(calls_held[0]);
    plx_buf_clear(&trace);
    fire();
    expect("info room:a t 1\n");
    finish(s);
}

/* Runs with the call of a push that is held. */
static void with_call(plx_socket *s)
{
    held_count = 0;
    client(s, "1", "h", "room:a", "hold", "{}");
    assert_int_equal(held_count, 1);
}

static int after(const char *name, uint64_t ms, const char *json)
{
    return plx_channel_send_after(channels_held[0], calls_held[0], S(name), ms, JSON(json));
}

static int cancel(const char *name)
{
    return plx_channel_cancel(channels_held[0], calls_held[0], S(name));
}

static void test_timer_bounds(void **state)
{
    static char large[PLX_INFO_MAX + 3], name[PLX_INFO_NAME_MAX + 2];
    plx_socket *s = full_socket(true);

    (void)state;
    memset(large, '"', sizeof large - 1);
    memset(large + 1, 'x', sizeof large - 3);
    memset(name, 'n', sizeof name - 1);
    with_call(s);
    assert_int_equal(after("", 1, "{}"), PLX_E_INVALID);
    assert_int_equal(after("x", 1, "{"), PLX_E_INVALID);
    assert_int_equal(after("x", 1, large), PLX_E_TOOBIG);
    assert_int_equal(after(name, 1, "{}"), PLX_E_TOOBIG);
    assert_int_equal(after("x", 86400001, "{}"), PLX_E_TOOBIG);
    assert_int_equal(plx_channel_send_after(channels_held[0], NULL, S("x"), 1, JSON("{}")),
                     PLX_E_INVALID);
    assert_null(room_a(s)->timers);
    name[PLX_INFO_NAME_MAX] = '\0';
    assert_int_equal(after(name, 86400000, "{}"), 0);
    for (int i = 1; i < PLX_TIMERS_MAX; i++) {
        char text[16];
        snprintf(text, sizeof text, "t%d", i);
        assert_int_equal(after(text, 1, "{}"), 0);
    }
    assert_int_equal(after("one more", 1, "{}"), PLX_E_BUSY);
    assert_int_equal(after("t1", 9, "{}"), 0); /* in place of the other */
    assert_int_equal(cancel("t1"), 0);
    assert_int_equal(cancel("t1"), PLX_E_NOTFOUND);
    assert_int_equal(cancel("never"), PLX_E_NOTFOUND);
    assert_int_equal(after("one more", 1, "{}"), 0);
    plx_call_noreply(calls_held[0]);
    client(s, "1", "3", "room:a", "phx_leave", "{}");
    assert_non_null(strstr(plx_buf_cstr(&trace), "terminate room:a left\n"));
    finish(s);
}

/* Those of a join begin when it is accepted, and not at all when it is refused. */
static void test_timer_of_a_join(void **state)
{
    plx_socket *s = full_socket(true);
    ev_timer *before = fake_timer;

    (void)state;
    client(s, "2", "2", "room:b", "phx_join", "\"hold\"");
    assert_int_equal(after("first", 1, "7"), 0);
    assert_ptr_equal(fake_timer, before);
    plx_call_ok(calls_held[0], JSON("{}"));
    fake_answer_all();
    plx_buf_clear(&trace);
    fire();
    expect("info room:b first 7\n");
    held_count = 0;
    client(s, "3", "3", "room:c", "phx_join", "\"hold\"");
    assert_int_equal(after("first", 1, "8"), 0);
    plx_call_error(calls_held[0], JSON("{}"));
    assert_null(fake_timer);
    finish(s);
}

/* With long-polling nothing is started: the transport reads what is to be written down. */
static void test_timers_of_a_session(void **state)
{
    plx_socket *s = full_socket(false);
    plx_membership *m = room_a(s);
    plx_timer *t;

    (void)state;
    fake_timer = NULL;
    plx_timers_restore(m, S("kept"));
    plx_timers_restore(m, S("kept"));
    plx_timers_restore(m, S("old"));
    with_call(s);
    assert_int_equal(m->timers->count, 2);
    assert_int_equal(after("old", 5, "[1]"), 0);
    assert_int_equal(cancel("kept"), 0);
    assert_int_equal(cancel("kept"), PLX_E_NOTFOUND);
    assert_int_equal(after("brief", 1, "{}"), 0);
    assert_int_equal(cancel("brief"), 0);
    assert_int_equal(m->timers->count, 1);
    assert_null(fake_timer);
    t = PLX_CONTAINER(m->timers->list.next, plx_timer, node);
    assert_true(plx_slice_is(t->name, "kept") && t->change == PLX_TIMER_CANCELLED);
    t = PLX_CONTAINER(t->node.next, plx_timer, node);
    assert_true(plx_slice_is(t->name, "old") && t->change == PLX_TIMER_SET && t->ms == 5);
    assert_true(plx_slice_is(t->message.bytes, "[1]"));
    t = PLX_CONTAINER(t->node.next, plx_timer, node);
    assert_true(plx_slice_is(t->name, "brief") && t->change == PLX_TIMER_CANCELLED);
    assert_ptr_equal(t->node.next, &m->timers->list);
    assert_int_equal(after("kept", 9, "{}"), 0);
    assert_int_equal(m->timers->count, 2);
    plx_call_noreply(calls_held[0]);
    finish(s);
}

/* ---- terminate ---- */

static void test_farewell(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    farewell = "xx";
    client(s, "1", "2", "room:a", "phx_leave", "{}");
    assert_int_equal(farewell_err, 0);
    assert_int_equal(fake_waiting(), 2);
    assert_string_equal(fake_peek(0)->event, "gone");
    assert_string_equal(fake_peek(0)->from, "sess");
    assert_string_equal(fake_peek(0)->producer, "");
    expect("terminate room:a left\nreply 1 2 room:a ok {}\nclose 1 1 room:a ends\n"
           "closed room:a\n");
    fake_answer_all();
    expect("idle\n");
    finish(s);
}

static void test_farewell_of_a_closed_socket(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    farewell = "x";
    plx_socket_free(s, PLX_END_CLOSED);
    assert_int_equal(fake_waiting(), 1);
    fake_answer(0, PLX_E_DOWN); /* frees what is left of the socket */
    plx_buf_fini(&trace);
}

static int refused_verbs; /* by without_a_call */

/* Everything that needs a call, where there is none: what who ports a terminate/2 may try. */
static void without_a_call(void *state, plx_channel *ch, enum plx_end_reason reason)
{
    refused_verbs = plx_channel_push(ch, NULL, S("x"), JSON("1")) == PLX_E_INVALID;
    refused_verbs += plx_channel_track(ch, NULL, S("x"), S("{}")) == PLX_E_INVALID;
    refused_verbs += plx_channel_update(ch, NULL, S("k"), S("{}")) == PLX_E_INVALID;
    refused_verbs += plx_channel_untrack(ch, NULL, S("k")) == PLX_E_INVALID;
    refused_verbs += plx_channel_send_after(ch, NULL, S("t"), 1, JSON("1")) == PLX_E_INVALID;
    refused_verbs += plx_channel_cancel(ch, NULL, S("t")) == PLX_E_INVALID;
    refused_verbs += plx_call_message_id(NULL).len == 0;
    plx_channel_presences(ch, NULL, NULL, NULL);
    plx_call_ok(NULL, JSON("{}"));
    plx_call_error(NULL, JSON("{}"));
    plx_call_noreply(NULL);
    plx_call_stop(NULL, NULL);
    plx_call_stop_error(NULL, JSON("{}"));
    plx_call_crash(NULL, "x");
    scripted_terminate(state, ch, reason);
}

static void test_verbs_in_terminate_that_need_a_call_are_refused(void **state)
{
    plx_backend ported = full;
    plx_socket *s = full_socket(true);

    (void)state;
    ported.terminate = without_a_call;
    channel_entries[1].backend = &ported;
    client(s, "1", "2", "room:a", "phx_leave", "{}");
    assert_int_equal(refused_verbs, 7);
    expect("terminate room:a left\nreply 1 2 room:a ok {}\nclose 1 1 room:a ends\n"
           "closed room:a\n");
    finish(s);
}

/* In a session's inbox entry they have numbers of their own, the same in every run. */
static void test_farewell_numbers(void **state)
{
    const plx_slot slot = {
        .number = 5, .topic = PLX_LIT("room:z"), .start = {"e", 3}, .state = PLX_LIT("s1:7s1:8")};
    plx_socket *s = full_socket(false);

    (void)state;
    s->entry = 4;
    s->next_index = 0;
    assert_non_null(plx_socket_restore(s, &slot));
    farewell = "xx";
    client(s, "7", "9", "room:z", "phx_leave", "{}"); /* number 0 */
    assert_int_equal(fake_peek(0)->entry, 4);
    assert_int_equal(fake_peek(0)->index, (524287u + 5) * 4096);
    assert_int_equal(fake_peek(1)->index, (524287u + 5) * 4096 + 1);
    assert_int_equal(s->pending, 2);
    fake_answer_all();
    client(s, "2", "2", "room:b", "phx_join", "{}"); /* number 1 */
    fake_answer_all();
    client(s, "2", "3", "room:b", "phx_leave", "{}");
    assert_int_equal(fake_peek(0)->index, (524287u + 262143 + 1) * 4096);
    assert_int_equal(s->next_index, 3);
    finish(s);
}

static void test_farewell_needs_terminate(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    with_call(s);
    assert_int_equal(plx_channel_broadcast(channels_held[0], NULL, S("x"), JSON("1")),
                     PLX_E_INVALID);
    plx_call_noreply(calls_held[0]);
    assert_int_equal(fake_waiting(), 0);
    finish(s);
}

static void test_stop_with_an_error(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    client(s, "1", "2", "room:a", "stop_error", "{\"why\":1}");
    expect("terminate room:a closed\nreply 1 2 room:a error {\"why\":1}\n"
           "close 1 1 room:a ends\nclosed room:a\n" +
           0);
    finish(s);
}

/* ---- members of the assigns ---- */

static void test_put(void **state)
{
    static char large[16385];
    plx_socket *s = full_socket(true);
    plx_channel *ch = (plx_channel *)room_a(s);

    (void)state;
    assert_int_equal(plx_channel_get(ch, "a").len, 0);
    assert_int_equal(plx_channel_put(ch, "a", S(" 1 ")), 0);
    assert_true(plx_slice_is(plx_channel_assigns(ch), "{\"a\":1}"));
    assert_int_equal(plx_channel_put(ch, "b\"", S("{\"c\":[]}")), 0);
    assert_int_equal(plx_channel_put(ch, "a", plx_channel_get(ch, "b\"")), 0);
    assert_true(plx_slice_is(plx_channel_assigns(ch), "{\"b\\\"\":{\"c\":[]},\"a\":{\"c\":[]}}"));
    assert_true(plx_slice_is(plx_channel_get(ch, "b\""), "{\"c\":[]}"));
    assert_int_equal(plx_channel_put(ch, "b\"", S("")), 0);
    assert_int_equal(plx_channel_put(ch, "a", S("nope")), PLX_E_INVALID);
    memset(large, 'x', sizeof large - 1);
    large[0] = large[16383] = '"';
    assert_int_equal(plx_channel_put(ch, "a", S(large)), PLX_E_TOOBIG); /* with its name */
    large[16000] = '"';
    large[16001] = '\0';
    assert_int_equal(plx_channel_put(ch, "d", S(large)), 0);
    assert_int_equal(plx_channel_put(ch, "d", S("")), 0);
    assert_true(plx_slice_is(plx_channel_assigns(ch), "{\"a\":{\"c\":[]}}"));
    assert_int_equal(plx_channel_put(ch, "a", S("")), 0);
    assert_true(plx_slice_is(plx_channel_assigns(ch), "{}"));
    assert_true(room_a(s)->assigns_changed);
    finish(s);
}

/* ---- intercepted events ---- */

static plx_event *event_of(const char *name, const char *payload, enum plx_kind kind)
{
    const plx_position at = {"e", 9};

    return plx_event_new(S("room:a"), &at, kind, S(name), S(payload), S("who"));
}

static plx_event *seen(plx_socket *s, const char *payload, bool *crashed)
{
    plx_event *e = event_of("secret", payload, PLX_KIND_JSON), *got;

    assert_true(plx_intercepts(room_a(s)->entry, e));
    got = plx_intercept(room_a(s), e, crashed);
    plx_event_unref(e);
    return got;
}

static void test_which_events_are_intercepted(void **state)
{
    plx_socket *s = full_socket(true);
    const struct {
        const char *name;
        enum plx_kind kind;
        bool is;
    } cases[] = {{"secret", PLX_KIND_JSON, true},      {"whisper", PLX_KIND_BINARY, true},
                 {"secrets", PLX_KIND_JSON, false},    {"secre", PLX_KIND_JSON, false},
                 {"secret", PLX_KIND_PRESENCE, false}, {"", PLX_KIND_JSON, false}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plx_event *e = event_of(cases[i].name, "1", cases[i].kind);
        assert_int_equal(plx_intercepts(&channel_entries[1], e), cases[i].is);
        assert_false(plx_intercepts(&channel_entries[2], e));
        plx_event_unref(e);
    }
    finish(s);
}

static void test_intercept(void **state)
{
    plx_socket *s = full_socket(true);
    bool crashed = true;
    plx_event *e;

    (void)state;
    plx_counted.intercepted = 0;
    assert_null(seen(s, "\"nothing\"", &crashed));
    assert_int_equal(plx_counted.intercepted, 1);
    assert_false(crashed);
    e = seen(s, "\"pass\"", &crashed);
    assert_true(plx_slice_is(e->event, "secret") && plx_slice_is(e->payload, "\"pass\""));
    plx_event_unref(e);
    e = seen(s, "\"topic\"", &crashed);
    assert_true(plx_slice_is(e->event, "room:a") && plx_slice_is(e->payload, "[1]"));
    assert_true(e->kind == PLX_KIND_JSON && e->position.offset == 9);
    assert_true(plx_slice_is(e->from, "who") && plx_slice_is(e->topic, "room:a"));
    plx_event_unref(e);
    e = seen(s, "\"binary\"", &crashed);
    assert_true(e->kind == PLX_KIND_BINARY && e->payload.len == 2);
    plx_event_unref(e);
    e = seen(s, "\"bad\"", &crashed); /* what was said before stands */
    assert_true(plx_slice_is(e->payload, "2"));
    plx_event_unref(e);
    e = seen(s, "\"last\"", &crashed);
    assert_true(plx_slice_is(e->payload, "\"last\""));
    plx_event_unref(e);
    assert_null(seen(s, "\"crash\"", &crashed));
    assert_true(crashed);
    finish(s);
}

static void test_crash_of_a_membership(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    join(s, "2", "room:b");
    client(s, "1", "2", "room:a", "hold", "{}");
    plx_counted.crashes = 0;
    plx_membership_crash(room_a(s));
    assert_int_equal(plx_counted.crashes, 1);
    expect("terminate room:a crashed\nerror 1 1 room:a {\"reason\":\"channel_crash\"} ends\n"
           "closed room:a\n");
    plx_call_ok(calls_held[0], JSON("{}"));
    client(s, "2", "3", "room:b", "ok", "{}");
    expect("reply 2 3 room:b ok {}\n");
    finish(s);
}

/* The last messages, which a joiner is given, are judged as well. */
static void test_latest_is_intercepted(void **state)
{
    static const plx_backend keeper = {.abi = PLX_BACKEND_ABI,
                                       .name = "keeper",
                                       .terminate = scripted_terminate,
                                       .intercept = intercepted,
                                       .handle_out = out};
    plx_socket *s = full_socket(true);

    (void)state;
    channel_entries[6].backend = &keeper;
    fake_latest[0] = event_of("secret", "\"nothing\"", PLX_KIND_JSON);
    fake_latest[1] = event_of("secret", "\"topic\"", PLX_KIND_JSON);
    fake_latest[2] = event_of("secret", "\"crash\"", PLX_KIND_JSON);
    fake_latest[3] = event_of("open", "{}", PLX_KIND_JSON);
    fake_latest_count = 4;
    client(s, "3", "3", "last:a", "phx_join", "{}");
    fake_answer_all();
    expect("open last:a after 0\nreply 3 3 last:a ok {} opens\npush 3 last:a last:a [1]\n"
           "push 3 last:a open {}\nidle\n");
    while (fake_latest_count > 0)
        plx_event_unref(fake_latest[--fake_latest_count]);
    finish(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info_pushes_and_is_not_answered),
        cmocka_unit_test(test_info_ends_its_channel),
        cmocka_unit_test(test_info_waits_its_turn),
        cmocka_unit_test(test_info_is_no_event),
        cmocka_unit_test(test_info_without_a_handler),
        cmocka_unit_test(test_info_for_a_membership_that_is_replaced),
        cmocka_unit_test(test_info_for_one_that_has_the_same_ref),
        cmocka_unit_test(test_info_is_bounded),
        cmocka_unit_test(test_calls_that_are_answered_wrongly),
        cmocka_unit_test(test_timer),
        cmocka_unit_test(test_timer_that_sets_itself_again),
        cmocka_unit_test(test_timer_while_the_topic_is_full),
        cmocka_unit_test(test_timer_bounds),
        cmocka_unit_test(test_timer_of_a_join),
        cmocka_unit_test(test_timers_of_a_session),
        cmocka_unit_test(test_farewell),
        cmocka_unit_test(test_verbs_in_terminate_that_need_a_call_are_refused),
        cmocka_unit_test(test_farewell_of_a_closed_socket),
        cmocka_unit_test(test_farewell_numbers),
        cmocka_unit_test(test_farewell_needs_terminate),
        cmocka_unit_test(test_stop_with_an_error),
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_which_events_are_intercepted),
        cmocka_unit_test(test_intercept),
        cmocka_unit_test(test_crash_of_a_membership),
        cmocka_unit_test(test_latest_is_intercepted),
    };
    int failed;

    fake_loop = ev_loop_new(EVFLAG_AUTO);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    ev_loop_destroy(fake_loop);
    return failed;
}
