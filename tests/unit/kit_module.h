/* A module that does a bit of everything, for the tests of the kit. */
#ifndef PLX_TESTS_KIT_MODULE_H
#define PLX_TESTS_KIT_MODULE_H

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

static void join_both(void)
{
    plx_test_subscribe_and_join(ann, "shop:1", "{}");
    plx_test_subscribe_and_join(bob, "shop:1", "{}");
    plx_test_flush(ann);
    plx_test_flush(bob);
    plx_test_flush_broadcasts(t);
}

static void on_cmocka_failure(const char *file, int line, const char *what)
{
    print_error("%s", what);
    _fail(file, line);
}

#endif
