/* The test kit, by a module that does a bit of everything: what it shows of it, on both transports.
 */
#include "kit_module.h"

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
        cmocka_unit_test(test_send),
        cmocka_unit_test(test_intercept),
    };

    plx_test_on_failure(on_cmocka_failure);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
