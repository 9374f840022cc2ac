/* A channel module that is told messages, intercepts events and says its last words. */
#ifndef PLX_TESTS_SOCKET_INFO_H
#define PLX_TESTS_SOCKET_INFO_H

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

static __attribute__((unused)) int inform(plx_socket *s, const char *topic, const plx_membership *m,
                                          const char *name, const char *json)
{
    return plx_socket_inform(s, S(topic), m, S(name), JSON(json));
}

static plx_membership *room_a(plx_socket *s)
{
    return plx_socket_find(s, S("room:a"));
}

/* Runs with the call of a push that is held. */
static __attribute__((unused)) void with_call(plx_socket *s)
{
    held_count = 0;
    client(s, "1", "h", "room:a", "hold", "{}");
    assert_int_equal(held_count, 1);
}

#endif
