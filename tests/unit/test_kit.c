/* The test kit, by a module that does a bit of everything: what it shows of it, on both transports,
 * and what its assertions say when they fail. */
#include "tests/kit/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <libgen.h>
#include <unistd.h>

/* ---- the module under test ---- */

static unsigned opened, closed, asked;
static char asked_ids[8][64]; /* of orders */
static plx_call *kept;        /* of "later" */

static int shop_open(const char *pattern, const char *settings, void **state, const char **error)
{
    (void)pattern;
    if (settings && strcmp(settings, "bad") == 0) {
        *error = "these settings are bad";
        return -1;
    }
    *state = &opened;
    opened++;
    return 0;
}

static void shop_close(void *state)
{
    assert_ptr_equal(state, &opened);
    closed++;
}

static unsigned moods;

static void shop_join(void *state, plx_channel *ch, plx_call *call, plx_payload payload)
{
    assert_ptr_equal(state, &opened);
    if (plx_slice_is(payload.bytes, "{\"as\":\"nobody\"}") ||
        (plx_slice_is(payload.bytes, "{\"as\":\"somebody once\"}") && ++moods % 2 == 0)) {
        plx_call_error(call, PLX_JSON_PAYLOAD("{\"reason\":\"who?\"}"));
        return;
    }
    plx_channel_assign(ch, plx_slice_of("{\"orders\":0}"));
    plx_channel_track(ch, call, plx_channel_socket_id(ch), plx_slice_of("{ \"busy\": false}"));
    plx_channel_push(ch, call, plx_slice_of("welcome"), PLX_JSON_PAYLOAD("{\"to\":\"the shop\"}"));
    plx_channel_broadcast(ch, call, plx_slice_of("came"), payload);
    plx_call_ok(call, PLX_JSON_PAYLOAD("{\"hours\":[9,17]}"));
}

static void listed(void *arg, plx_channel *ch, plx_call *call, int err, plx_slice json)
{
    (void)arg;
    (void)ch;
    assert_int_equal(err, 0);
    plx_call_ok(call, (plx_payload){PLX_PAYLOAD_JSON, json});
}

static void order(plx_channel *ch, plx_call *call, plx_payload payload)
{
    char text[64];
    int n = atoi(strchr(plx_channel_assigns(ch).data, ':') + 1) + 1;
    plx_slice id = plx_call_message_id(call);

    snprintf(asked_ids[asked++ % 8], sizeof asked_ids[0], "%.*s", (int)id.len, id.data);

    snprintf(text, sizeof text, "{\"orders\":%d}", n);
    plx_channel_assign(ch, plx_slice_of(text));
    plx_channel_broadcast_from(ch, call, plx_slice_of("ordered"), payload);
    plx_call_ok(call, (plx_payload){PLX_PAYLOAD_JSON, plx_slice_of(text)});
}

static void remind(plx_channel *ch, plx_call *call, plx_payload payload)
{
    double ms = 0;

    plx_object_number(payload.bytes, "ms", &ms);
    assert_int_equal(
        plx_channel_send_after(ch, call, plx_slice_of("reminder"), (uint64_t)ms, payload), 0);
    plx_call_noreply(call);
}

/* {"id", "topic"}: to that one's channel. */
static void call_for(plx_channel *ch, plx_call *call, plx_payload payload)
{
    char id[32] = "", topic[32] = "";

    plx_object_text(payload.bytes, "id", id, sizeof id);
    plx_object_text(payload.bytes, "topic", topic, sizeof topic);
    assert_int_equal(plx_channel_send(ch, call, plx_slice_of(id), plx_slice_of(topic),
                                      plx_slice_of("called"), payload),
                     0);
    plx_call_ok(call, PLX_JSON_PAYLOAD("{}"));
}

static void shop_info(void *state, plx_channel *ch, plx_call *call, plx_slice name,
                      plx_payload message)
{
    assert_ptr_equal(state, &opened);
    plx_channel_push(ch, call, name, message);
    if (plx_object_get(message.bytes, "again").len > 0)
        plx_channel_send_after(ch, call, name, 100, PLX_JSON_PAYLOAD("{\"second\":true}"));
    plx_call_noreply(call);
}

/* Offers are for those who have ordered; others hear that there is something. */
static void shop_out(void *state, const plx_channel *ch, plx_delivery *delivery, plx_slice event,
                     plx_payload payload)
{
    double orders = 0;

    assert_ptr_equal(state, &opened);
    assert_true(plx_slice_is(event, "offer"));
    plx_object_number(plx_channel_assigns(ch), "orders", &orders);
    if (plx_object_get(payload.bytes, "fire").len > 0 && orders == 0)
        plx_delivery_crash(delivery, "there is a fire");
    else if (orders > 0)
        plx_delivery_pass(delivery);
    else
        plx_delivery_push(delivery, plx_slice_of("rumour"), PLX_JSON_PAYLOAD("{}"));
}

static const char *const shop_intercept[] = {"offer", NULL};

static void shop_in(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                    plx_payload payload)
{
    assert_ptr_equal(state, &opened);
    if (plx_slice_is(event, "order")) {
        order(ch, call, payload);
    } else if (plx_slice_is(event, "busy")) {
        plx_channel_update(ch, call, plx_channel_socket_id(ch), payload.bytes);
        plx_call_noreply(call);
    } else if (plx_slice_is(event, "who")) {
        plx_channel_presences(ch, call, listed, NULL);
    } else if (plx_slice_is(event, "shout")) {
        plx_channel_broadcast(ch, call, event, payload);
        plx_call_ok(call, PLX_JSON_PAYLOAD("{}"));
    } else if (plx_slice_is(event, "next door")) {
        plx_channel_broadcast_to(ch, call, plx_slice_of("shop:2"), event, payload);
        plx_call_ok(call, PLX_JSON_PAYLOAD("{}"));
    } else if (plx_slice_is(event, "close")) {
        const plx_payload bye = PLX_JSON_PAYLOAD("{\"bye\":true}");
        plx_call_stop(call, &bye);
    } else if (plx_slice_is(event, "fire")) {
        plx_call_crash(call, "there is a fire");
    } else if (plx_slice_is(event, "later")) {
        kept = call;
    } else if (plx_slice_is(event, "remind")) {
        remind(ch, call, payload);
    } else if (plx_slice_is(event, "call")) {
        call_for(ch, call, payload);
    } else if (plx_slice_is(event, "forget")) {
        assert_int_equal(plx_channel_cancel(ch, call, plx_slice_of("reminder")), 0);
        plx_call_noreply(call);
    } else {
        plx_call_error(call, PLX_JSON_PAYLOAD("{\"reason\":\"what?\"}"));
    }
}

static const plx_backend shop = {.abi = PLX_BACKEND_ABI,
                                 .name = "shop",
                                 .open = shop_open,
                                 .close = shop_close,
                                 .join = shop_join,
                                 .handle_in = shop_in,
                                 .handle_info = shop_info,
                                 .intercept = shop_intercept,
                                 .handle_out = shop_out};

/* ---- the stage ---- */

static plx_test *t;
static plx_test_socket *ann, *bob; /* on either transport in turn */

/* A test runs twice: Ann on WebSocket and Bob on long-polling, and the other way round. */
static void set_stage(enum plx_test_transport anns)
{
    opened = closed = 0;
    t = plx_test_new();
    plx_test_channel(t, "shop:*", &shop, NULL);
    ann = plx_test_connect(
        t, &(plx_test_client){.name = "ann", .id = "ann", .params = "{}", .transport = anns});
    bob = plx_test_connect(t, &(plx_test_client){.name = "bob",
                                                 .id = "bob",
                                                 .transport = anns == PLX_TEST_LONGPOLL
                                                                  ? PLX_TEST_WEBSOCKET
                                                                  : PLX_TEST_LONGPOLL});
}

static void strike(void)
{
    plx_test_free(t);
    assert_int_equal(opened, 2); /* once in each worker */
    assert_int_equal(closed, 2);
}

static void on_both(void (*play)(void))
{
    set_stage(PLX_TEST_WEBSOCKET);
    play();
    strike();
    set_stage(PLX_TEST_LONGPOLL);
    play();
    strike();
}

/* ---- joining, pushing, leaving ---- */

static void join_both(void)
{
    plx_test_subscribe_and_join(ann, "shop:1", "{}");
    plx_test_subscribe_and_join(bob, "shop:1", "{}");
    plx_test_flush(ann);
    plx_test_flush(bob);
    plx_test_flush_broadcasts(t);
}

static void play_join(void)
{
    unsigned ref = plx_test_join(ann, "shop:1", "{'as': 'nobody'}");

    plx_test_assert_reply(ann, ref, "error", "{'reason': 'who?'}");
    assert_string_equal(plx_test_subscribe_and_join(ann, "shop:1", "{'n': 1}"),
                        "{\"hours\":[9,17]}");
    plx_test_assert_push(ann, "shop:1", "welcome", "{'to': 'the shop'}");
    plx_test_refute_push(ann, NULL, "came", NULL); /* it was broadcast before the reply */
    plx_test_assert_broadcast(t, "shop:1", "came", "{'n': 1}");
    plx_test_assert_push(ann, "shop:1", "presence_state",
                         "{'ann': {'metas': [{'busy': false, 'phx_ref': '_'}]}}");
    plx_test_refute_push(ann, NULL, "presence_diff", NULL);
    plx_test_assert_assigns(ann, "shop:1", "{'orders': 0}");
    ref = plx_test_join(ann, "mall:1", "{}");
    plx_test_assert_reply(ann, ref, "error", "{'reason': 'unmatched topic'}");
}

static void play_push(void)
{
    unsigned first, second;

    join_both();
    first = plx_test_push(ann, "shop:1", "order", "{'what': 'tea', 'price': 1.5}");
    second = plx_test_push(ann, "shop:1", "order", "{'what': 'milk'}");
    plx_test_assert_reply(ann, second, "ok", "{'orders': 2}");
    plx_test_assert_reply(ann, first, "ok", "{'orders': 1}");
    plx_test_refute_reply(ann, first);
    plx_test_assert_push(bob, "shop:1", "ordered", "{'what': 'milk'}");
    plx_test_assert_push(bob, "shop:1", "ordered", "{'what': 'tea', 'price': 1.5}");
    plx_test_refute_push(bob, NULL, NULL, NULL);
    plx_test_refute_push(ann, NULL, "ordered", NULL);
    plx_test_assert_broadcast(t, "shop:1", "ordered", "{'price': '_'}");
    plx_test_assert_assigns(ann, "shop:1", "{'orders': 2}");
    plx_test_assert_assigns(bob, "shop:1", "{'orders': 0}");
    plx_test_assert_reply(ann, plx_test_push(ann, "shop:1", "steal", NULL), "error", NULL);
    plx_test_assert_reply(ann, plx_test_push(ann, "shop:9", "order", "{}"), "error",
                          "{'reason': 'unmatched topic'}");
}

static void play_shout(void)
{
    static const char bytes[] = {1, 0, 2};
    const plx_payload binary = {PLX_PAYLOAD_BINARY, {bytes, sizeof bytes}};
    unsigned ref;

    join_both();
    ref = plx_test_push(bob, "shop:1", "shout", "[1, null, {'deep': [true]}]");
    plx_test_assert_push(ann, "shop:1", "shout", "[1, null, {'deep': [true]}]");
    plx_test_assert_push(bob, "shop:1", "shout", "[1, '_', {}]");
    plx_test_assert_reply(bob, ref, "ok", "{}");
    plx_test_push_payload(bob, "shop:1", "shout", binary);
    assert_memory_equal(plx_test_assert_push(ann, "shop:1", "shout", NULL), bytes, sizeof bytes);
    plx_test_broadcast(t, "shop:1", "sale", "{'off': 20}");
    plx_test_assert_push(ann, "shop:1", "sale", "{'off': 20}");
    plx_test_assert_push(bob, "shop:1", "sale", "{'off': 20.0}");
    plx_test_push(ann, "shop:1", "next door", "{'n': 1}");
    plx_test_assert_broadcast(t, "shop:2", "next door", "{'n': 1}");
    plx_test_refute_push(bob, NULL, "next door", NULL);
}

static void play_presence(void)
{
    unsigned ref;

    join_both();
    plx_test_assert_presence(t, "shop:1", "{'ann': {'metas': [{'busy': false}]}, 'bob': {}}");
    plx_test_push(ann, "shop:1", "busy", "{'busy': true}");
    plx_test_assert_push(bob, "shop:1", "presence_diff",
                         "{'joins': {'ann': {'metas': [{'busy': true, 'phx_ref_prev': '_'}]}},"
                         " 'leaves': {'ann': {'metas': [{'busy': false}]}}}");
    plx_test_assert_push(ann, "shop:1", "presence_diff", NULL);
    ref = plx_test_push(bob, "shop:1", "who", "{}");
    plx_test_assert_reply(bob, ref, "ok", "{'ann': {'metas': [{'busy': true}]}, 'bob': '_'}");
    plx_test_leave(ann, "shop:1");
    plx_test_assert_push(bob, "shop:1", "presence_diff",
                         "{'joins': {}, 'leaves': {'ann': {'metas': [{'busy': true}]}}}");
    plx_test_assert_presence(t, "shop:1", "{'bob': {'metas': ['_']}}");
    plx_test_close(bob);
    plx_test_assert_broadcast(t, "shop:1", "presence_diff", "{'leaves': {'bob': '_'}}");
    assert_string_equal(plx_test_assert_presence(t, "shop:1", "{}"), "{}");
}

static void play_end(void)
{
    unsigned ref;

    join_both();
    ref = plx_test_leave(ann, "shop:1");
    plx_test_assert_reply(ann, ref, "ok", "{}");
    plx_test_assert_close(ann, "shop:1");
    plx_test_assert_terminate(ann, "shop:1", PLX_END_LEFT);
    plx_test_broadcast(t, "shop:1", "sale", "{}");
    plx_test_refute_push(ann, NULL, "sale", NULL);

    ref = plx_test_push(bob, "shop:1", "close", "{}");
    plx_test_assert_reply(bob, ref, "ok", "{'bye': true}");
    plx_test_assert_close(bob, "shop:1");
    plx_test_assert_terminate(bob, "shop:1", PLX_END_CLOSED);

    join_both();
    ref = plx_test_push(ann, "shop:1", "fire", "{}");
    plx_test_refute_reply(ann, ref);
    plx_test_assert_crash(ann, "shop:1");
    plx_test_assert_terminate(ann, "shop:1", PLX_END_CRASHED);
    plx_test_subscribe_and_join(ann, "shop:1", "{}"); /* as clients do */
    plx_test_subscribe_and_join(ann, "shop:1", "{}"); /* again: the first one ends */
    plx_test_assert_close(ann, "shop:1");
    plx_test_assert_terminate(ann, "shop:1", PLX_END_LEFT);
    plx_test_push(bob, "shop:1", "shout", "{}");
    plx_test_assert_push(ann, "shop:1", "shout", NULL);
    plx_test_refute_push(ann, "shop:1", "shout", NULL); /* once, although joined twice */
    assert_int_equal(plx_test_disconnect(t, "ann"), 1);
    plx_test_assert_terminate(ann, "shop:1", PLX_END_CLOSED);
    assert_int_equal(plx_test_disconnect(t, "ann"), 0);
}

static void play_later(void)
{
    unsigned ref, behind;

    join_both();
    ref = plx_test_push(ann, "shop:1", "later", "{}");
    behind = plx_test_push(ann, "shop:1", "order", "{}");
    plx_test_refute_reply(ann, ref);
    plx_test_refute_reply(ann, behind); /* it waits in order */
    plx_call_ok(kept, PLX_JSON_PAYLOAD("{\"at\":\"last\"}"));
    plx_test_advance(t, 0); /* what came of it */
    plx_test_assert_reply(ann, ref, "ok", "{'at': 'last'}");
    plx_test_assert_reply(ann, behind, "ok", "{'orders': 1}");

    plx_test_push(bob, "shop:1", "later", "{}");
    plx_test_close(bob); /* nobody waits for it any more */
    plx_call_ok(kept, PLX_JSON_PAYLOAD("{}"));
}

static void play_timers(void)
{
    join_both();
    plx_test_push(ann, "shop:1", "remind", "{'ms': 50, 'n': 1, 'again': true}");
    plx_test_push(bob, "shop:1", "remind", "{'ms': 60, 'n': 2}");
    plx_test_advance(t, 49);
    plx_test_refute_push(ann, NULL, "reminder", NULL);
    plx_test_advance(t, 1);
    plx_test_assert_push(ann, "shop:1", "reminder", "{'n': 1}");
    plx_test_refute_push(bob, NULL, "reminder", NULL);
    plx_test_advance(t, 1000);
    plx_test_assert_push(ann, "shop:1", "reminder", "{'second': true}");
    plx_test_assert_push(bob, "shop:1", "reminder", "{'n': 2}");

    plx_test_push(ann, "shop:1", "remind", "{'ms': 50, 'n': 3}");
    plx_test_push(ann, "shop:1", "remind", "{'ms': 80, 'n': 4}"); /* in its place */
    plx_test_advance(t, 200);
    plx_test_assert_push(ann, "shop:1", "reminder", "{'n': 4}");
    plx_test_refute_push(ann, NULL, "reminder", NULL);
    plx_test_push(ann, "shop:1", "remind", "{'ms': 50, 'n': 5}");
    plx_test_push(ann, "shop:1", "forget", "{}");
    plx_test_push(bob, "shop:1", "remind", "{'ms': 50, 'n': 6}");
    plx_test_leave(bob, "shop:1");
    plx_test_subscribe_and_join(bob, "shop:1", "{}"); /* not the one that set it */
    plx_test_advance(t, 200);
    plx_test_refute_push(ann, NULL, "reminder", NULL);
    plx_test_refute_push(bob, NULL, "reminder", NULL);
    plx_test_push(bob, "shop:1", "remind", "{'ms': 0, 'n': 7}");
    plx_test_advance(t, 0);
    plx_test_assert_push(bob, "shop:1", "reminder", "{'n': 7}");
}

static void play_send(void)
{
    unsigned ref;

    join_both();
    ref = plx_test_push(ann, "shop:1", "call", "{'id': 'bob', 'topic': 'shop:1'}");
    plx_test_assert_reply(ann, ref, "ok", "{}");
    plx_test_assert_push(bob, "shop:1", "called", "{'id': 'bob'}");
    plx_test_refute_push(ann, NULL, "called", NULL);
    plx_test_push(bob, "shop:1", "call", "{'id': 'ann', 'topic': 'shop:1'}");
    plx_test_assert_push(ann, "shop:1", "called", NULL);
    plx_test_push(bob, "shop:1", "call", "{'id': 'bob', 'topic': 'shop:1'}");
    plx_test_assert_push(bob, "shop:1", "called", NULL);
    plx_test_push(ann, "shop:1", "call", "{'id': 'bob', 'topic': 'shop:2'}");
    plx_test_push(ann, "shop:1", "call", "{'id': 'cat', 'topic': 'shop:1'}");
    plx_test_refute_push(bob, NULL, "called", NULL);
    plx_test_refute_push(ann, NULL, "called", NULL);
}

static void test_send(void **state)
{
    (void)state;
    on_both(play_send);
    /* Sent again after a crash, it comes once to who polls. */
    set_stage(PLX_TEST_LONGPOLL);
    join_both();
    plx_test_worker_dies(ann);
    plx_test_push(ann, "shop:1", "call", "{'id': 'ann', 'topic': 'shop:1'}");
    plx_test_assert_push(ann, "shop:1", "called", NULL);
    plx_test_refute_push(ann, "shop:1", "called", NULL);
    strike();
}

static void play_intercept(void)
{
    join_both();
    plx_test_push(ann, "shop:1", "order", "{}");
    plx_test_broadcast(t, "shop:1", "offer", "{'off': 50}");
    plx_test_assert_push(ann, "shop:1", "offer", "{'off': 50}");
    plx_test_assert_push(bob, "shop:1", "rumour", "{}");
    plx_test_refute_push(bob, NULL, "offer", NULL);
    plx_test_refute_push(ann, NULL, "rumour", NULL);
    plx_test_broadcast(t, "shop:1", "offer", "{'fire': 1}");
    plx_test_assert_push(ann, "shop:1", "offer", "{'fire': 1}");
    plx_test_assert_crash(bob, "shop:1");
    plx_test_assert_terminate(bob, "shop:1", PLX_END_CRASHED);
    plx_test_broadcast(t, "shop:1", "offer", "{'off': 60}");
    plx_test_refute_push(bob, NULL, "offer", NULL);
    plx_test_refute_push(bob, NULL, "rumour", NULL);
    plx_test_subscribe_and_join(bob, "shop:1", "{}");
}

static void test_join(void **state)
{
    (void)state;
    on_both(play_join);
}

static void test_push(void **state)
{
    (void)state;
    on_both(play_push);
}

static void test_shout(void **state)
{
    (void)state;
    on_both(play_shout);
}

static void test_presence(void **state)
{
    (void)state;
    on_both(play_presence);
}

static void test_end(void **state)
{
    (void)state;
    on_both(play_end);
}

static void test_later(void **state)
{
    (void)state;
    on_both(play_later);
}

static void test_timers(void **state)
{
    (void)state;
    on_both(play_timers);
}

static void test_intercept(void **state)
{
    (void)state;
    on_both(play_intercept);
}

/* Each message of a long-polling client meets another worker; a WebSocket stays. */
static void test_workers(void **state)
{
    plx_test_socket *poll, *ws;
    plx_test *w = plx_test_new();

    (void)state;
    plx_test_channel(w, "shop:*", &shop, NULL);
    poll = plx_test_connect(w, &(plx_test_client){.transport = PLX_TEST_LONGPOLL});
    ws = plx_test_connect(w, NULL);
    plx_test_subscribe_and_join(poll, "shop:1", NULL);
    for (int i = 1; i <= 5; i++) {
        char orders[32];
        snprintf(orders, sizeof orders, "{'orders': %d}", i);
        plx_test_assert_reply(poll, plx_test_push(poll, "shop:1", "order", NULL), "ok", orders);
    }
    plx_test_subscribe_and_join(ws, "shop:1", NULL);
    plx_test_assert_push(ws, NULL, "presence_state", "{'': {'metas': ['_', '_']}}");
    plx_test_close(poll);
    plx_test_assert_terminate(poll, "shop:1", PLX_END_EXPIRED);
    plx_test_free(w);
}

/* Who comes back with a position gets what was said meanwhile, as in production. */
static void play_history(void)
{
    char since[128], position[64];
    const char *response;

    plx_test_history(t, "shop:*", 2);
    plx_test_subscribe_and_join(bob, "shop:1", NULL);
    response = plx_test_subscribe_and_join(ann, "shop:1", NULL);
    assert_true(plx_object_text(plx_slice_of(response), "position", position, sizeof position) > 0);
    plx_test_leave(ann, "shop:1");
    plx_test_flush(ann);
    plx_test_push(bob, "shop:1", "shout", "{'n': 1}");
    plx_test_push(bob, "shop:1", "shout", "{'n': 2}");
    snprintf(since, sizeof since, "{'since': '%s'}", position);
    response = plx_test_subscribe_and_join(ann, "shop:1", since);
    assert_string_equal(plx_object_get(plx_slice_of(response), "recovered").data,
                        strstr(response, "false"));
    plx_test_refute_push(ann, NULL, "shout", NULL); /* the join's own broadcasts are in it, too */

    assert_true(plx_object_text(plx_slice_of(response), "position", position, sizeof position) > 0);
    plx_test_leave(ann, "shop:1");
    plx_test_push(bob, "shop:1", "shout", "{'n': 3}");
    snprintf(since, sizeof since, "{'since': '%s', 'as': 'nobody'}", position);
    plx_test_assert_reply(ann, plx_test_join(ann, "shop:1", since), "ok", "{'recovered': true}");
    plx_test_assert_push(ann, "shop:1", "shout", "{'n': 3}");
    plx_test_refute_push(ann, "shop:1", "shout", NULL);
}

static void test_history(void **state)
{
    (void)state;
    on_both(play_history);
}

/* A worker dies over a message: it is handled twice, and has happened once. */
static void test_worker_dies(void **state)
{
    unsigned ref;

    (void)state;
    set_stage(PLX_TEST_LONGPOLL);
    plx_test_subscribe_and_join(bob, "shop:1", "{}");
    plx_test_flush(bob);
    plx_test_worker_dies(ann);
    plx_test_subscribe_and_join(ann, "shop:1", "{'n': 1}");
    plx_test_assert_push(bob, "shop:1", "came", "{'n': 1}");
    plx_test_refute_push(bob, NULL, "came", NULL);
    plx_test_assert_push(ann, NULL, "presence_state", "{'ann': {'metas': ['_']}}");
    plx_test_assert_push(ann, NULL, "welcome", NULL);
    plx_test_refute_push(ann, NULL, "welcome", NULL);

    asked = 0;
    plx_test_worker_dies(ann);
    ref = plx_test_push(ann, "shop:1", "order", "{'what': 'tea'}");
    assert_int_equal(asked, 2);
    assert_string_equal(asked_ids[0], asked_ids[1]);
    plx_test_assert_reply(ann, ref, "ok", "{'orders': 1}");
    plx_test_refute_reply(ann, ref);
    plx_test_assert_push(bob, "shop:1", "ordered", "{'what': 'tea'}");
    plx_test_refute_push(bob, NULL, "ordered", NULL);
    ref = plx_test_push(ann, "shop:1", "order", "{'what': 'milk'}");
    assert_int_equal(asked, 3);
    assert_string_not_equal(asked_ids[1], asked_ids[2]);
    plx_test_assert_reply(ann, ref, "ok", "{'orders': 2}");
    plx_test_assert_push(bob, "shop:1", "ordered", "{'what': 'milk'}");

    plx_test_worker_dies(ann);
    plx_test_push(ann, "shop:1", "remind", "{'ms': 50}");
    plx_test_advance(t, 1000);
    plx_test_assert_push(ann, "shop:1", "reminder", NULL);
    plx_test_refute_push(ann, "shop:1", "reminder", NULL);
    plx_test_worker_dies(ann);
    ref = plx_test_leave(ann, "shop:1");
    plx_test_assert_reply(ann, ref, "ok", "{}");
    plx_test_assert_close(ann, "shop:1");
    plx_test_assert_presence(t, "shop:1", "{'bob': '_'}");
    strike();
}

/* The repeated join is answered otherwise: what the first one tracked is gone. */
static void test_worker_dies_and_the_answer_is_another(void **state)
{
    unsigned ref;

    (void)state;
    set_stage(PLX_TEST_LONGPOLL);
    plx_test_subscribe_and_join(bob, "shop:1", "{}");
    plx_test_flush(bob);
    plx_test_worker_dies(ann);
    ref = plx_test_join(ann, "shop:1", "{'as': 'somebody once'}");
    plx_test_assert_reply(ann, ref, "error", "{'reason': 'who?'}");
    plx_test_refute_push(bob, "shop:1", "presence_diff", NULL);
    strike();
}

/* ---- what an assertion says ---- */

static jmp_buf failed;
static char said[4096];
static int said_line;

static void on_failure(const char *file, int line, const char *what)
{
    assert_non_null(strstr(file, "test_kit.c"));
    said_line = line;
    snprintf(said, sizeof said, "%s", what);
    longjmp(failed, 1);
}

static void on_cmocka_failure(const char *file, int line, const char *what)
{
    print_error("%s", what);
    _fail(file, line);
}

/* The statement fails, here, and says this. */
#define fails(statement, ...)                                                                      \
    do {                                                                                           \
        static const char *const parts[] = {__VA_ARGS__};                                          \
        plx_test_on_failure(on_failure);                                                           \
        said[0] = '\0';                                                                            \
        if (setjmp(failed) == 0) {                                                                 \
            statement;                                                                             \
        }                                                                                          \
        plx_test_on_failure(on_cmocka_failure);                                                    \
        for (size_t i_ = 0; i_ < sizeof parts / sizeof *parts; i_++) {                             \
            if (!strstr(said, parts[i_]))                                                          \
                print_error("nothing of '%s' in: %s\n", parts[i_], said);                          \
            assert_non_null(strstr(said, parts[i_]));                                              \
        }                                                                                          \
        assert_int_equal(said_line, __LINE__);                                                     \
    } while (0)

static void play_failures(void)
{
    unsigned ref;

    join_both();
    ref = plx_test_push(ann, "shop:1", "order", "{'what': 'tea'}");
    fails(plx_test_assert_reply(ann, ref, "error", "{'orders': 1}"),
          "expected a reply to ref 2 with status \"error\" like {'orders': 1}",
          "in the mailbox of ann", "reply     \"shop:1\" to ref 2: ok {\"orders\":1}");
    fails(plx_test_assert_reply(ann, ref, "ok", "{'orders': 2}"), "like {'orders': 2}");
    fails(plx_test_assert_push(bob, "shop:1", "sold", NULL),
          "expected a push \"sold\" on \"shop:1\"", "in the mailbox of bob",
          "push      \"shop:1\" \"ordered\" {\"what\":\"tea\"}");
    fails(plx_test_assert_push(bob, "shop:2", "ordered", NULL), "on \"shop:2\"");
    fails(plx_test_assert_push(bob, NULL, "ordered", "{'what': 'tea', 'price': '_'}"), "price");
    fails(plx_test_assert_push(bob, NULL, "ordered", "[]"), "like []");
    fails(plx_test_refute_push(bob, NULL, "ordered", "{}"), "did not expect a push \"ordered\"",
          "{\"what\":\"tea\"}");
    fails(plx_test_refute_reply(ann, ref), "did not expect a reply to ref 2");
    fails(plx_test_assert_broadcast(t, "shop:1", "sold", NULL),
          "expected as a broadcast a push \"sold\"", "\"ordered\"");
    fails(plx_test_refute_broadcast(t, NULL, "ordered", NULL), "it was broadcast");
    fails(plx_test_assert_close(ann, "shop:1"), "expected phx_close on \"shop:1\"");
    fails(plx_test_assert_crash(ann, "shop:1"), "expected phx_error on \"shop:1\"");
    fails(plx_test_assert_terminate(ann, "shop:1", PLX_END_LEFT), "PLX_END_LEFT", "(nothing)");
    fails(plx_test_assert_presence(t, "shop:1", "{'cat': '_'}"), "the presence on \"shop:1\"",
          "but: {\"ann\":{");
    fails(plx_test_assert_assigns(ann, "shop:1", "{'orders': 7}"), "but: {\"orders\":1}");
    fails(plx_test_assert_assigns(ann, "shop:2", "{}"), "has not joined \"shop:2\"");
    fails(plx_test_subscribe_and_join(ann, "shop:2", "{'as': 'nobody'}"), "status \"ok\"");
    ref = plx_test_push(ann, "shop:1", "later", "{}");
    fails(plx_test_assert_reply(ann, ref, "ok", NULL), "has not been answered yet");
    plx_call_noreply(kept);
}

static void test_failures(void **state)
{
    (void)state;
    on_both(play_failures);
}

/* ---- opening ---- */

static void test_open(void **state)
{
    plx_test *w = plx_test_new();
    plx_backend old = shop;

    (void)state;
    opened = closed = 0;
    assert_string_equal(plx_test_refusal(w, "shop:*", &shop, "bad"), "these settings are bad");
    assert_int_equal(opened, 0);
    assert_null(plx_test_refusal(w, "shop:*", &shop, "good"));
    assert_int_equal(opened, 2);
    assert_int_equal(closed, 2);
    fails(plx_test_channel(w, "shop:*", &shop, "bad"), "does not open: these settings are bad");
    old.abi = 0;
    assert_non_null(strstr(plx_test_refusal(w, "shop:*", &old, NULL), "version 0"));
    fails(plx_test_module(w, "shop:*", "/nowhere/shop.so", NULL), "can't be loaded");
    plx_test_free(w);
}

/* ---- connecting ---- */

static int door_open(const char *path, const char *settings, void **state, const char **error)
{
    assert_string_equal(path, "/socket");
    if (settings && strcmp(settings, "bad") == 0) {
        *error = "this door does not open";
        return -1;
    }
    *state = &closed;
    return 0;
}

static void door_close(void *state)
{
    (*(unsigned *)state)++;
}

static void door_connect(void *state, const plx_connect_info *info, plx_admission *a)
{
    char claims[128];
    plx_slice cookie = plx_admission_header(a, "cookie");

    assert_ptr_equal(state, &closed);
    if (plx_slice_is(cookie, "let=me \"in\"")) {
        snprintf(claims, sizeof claims, "{\"from\":\"%.*s\",\"by\":\"%.*s\"}",
                 (int)info->remote_ip.len, info->remote_ip.data, (int)info->transport.len,
                 info->transport.data);
        assert_int_equal(plx_admission_claims(a, plx_slice_of(claims)), 0);
        assert_int_equal(plx_admission_id(a, plx_object_get(info->params, "user")), 0);
    } else if (plx_object_get(info->claims, "user").len == 0) {
        plx_admission_refuse(a, "without a cookie");
    }
}

static const plx_socket_module door = {.abi = PLX_BACKEND_ABI,
                                       .name = "door",
                                       .open = door_open,
                                       .close = door_close,
                                       .connect = door_connect};

static void test_connect(void **state)
{
    plx_test_socket *s;
    plx_test *w = plx_test_new();

    (void)state;
    closed = 0;
    plx_test_channel(w, "shop:*", &shop, NULL);
    plx_test_connect(w, NULL); /* nobody asks */
    fails(plx_test_socket_module(w, &door, "bad"), "does not open: this door does not open");
    plx_test_socket_module(w, &door, NULL);
    assert_string_equal(plx_test_assert_refused(w, NULL), "without a cookie");
    fails(plx_test_connect(w, NULL), "the socket module refuses: without a cookie");
    fails(plx_test_assert_refused(w, &(plx_test_client){.name = "ann", .claims = "{'user': 1}"}),
          "expected that ann is refused", "claims {\"user\":1}");
    s = plx_test_connect(w, &(plx_test_client){.headers = "{'cookie': 'let=me \\\"in\\\"'}",
                                               .params = "{'user': 7}",
                                               .remote_ip = "192.0.2.1",
                                               .transport = PLX_TEST_LONGPOLL});
    plx_test_subscribe_and_join(s, "shop:1", NULL);
    plx_test_assert_presence(w, "shop:1", "{'7': '_'}"); /* its socket id */
    assert_int_equal(plx_test_disconnect(w, "7"), 1);
    plx_test_free(w);
    assert_int_equal(closed, 2 + 2); /* of the door and of the shop, in each worker */
}

/* A shared object that lies beside this program (build/VARIANT/{unit,modules}): it finds the kit's
 * functions in the test. */
static void test_module(void **state)
{
    plx_test *w = plx_test_new();
    plx_test_socket *s;
    char self[4096] = "", path[4200];
    unsigned ref;

    (void)state;
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    snprintf(path, sizeof path, "%s/modules/parrot.so", dirname(dirname(self)));
    plx_test_module(w, "parrot:*", path, NULL);
    s = plx_test_connect(w, NULL);
    plx_test_subscribe_and_join(s, "parrot:1", NULL);
    ref = plx_test_push(s, "parrot:1", "say", "{'it': 'twice'}");
    plx_test_assert_push(s, "parrot:1", "say", "{'it': 'twice'}");
    plx_test_assert_reply(s, ref, "ok", "{'it': 'twice'}");
    plx_test_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_push),
        cmocka_unit_test(test_shout),
        cmocka_unit_test(test_presence),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_later),
        cmocka_unit_test(test_workers),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_worker_dies),
        cmocka_unit_test(test_worker_dies_and_the_answer_is_another),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_send),
        cmocka_unit_test(test_intercept),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_module),
    };

    plx_test_on_failure(on_cmocka_failure);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
