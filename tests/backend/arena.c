/* A module that uses everything that a channel module has beside join and handle_in, and a socket
 * module in the same shared object: intercepted events, timers, messages, broadcasts in terminate,
 * members of the assigns, connect and id.
 */
#include "channel/backend.h"
#include <stdio.h>
#include <stdlib.h>

const plx_backend *pollux_backend(void);
const plx_socket_module *pollux_socket(void);

static plx_payload json(plx_slice text)
{
    return (plx_payload){PLX_PAYLOAD_JSON, text};
}

static double number(plx_slice object, const char *name, double otherwise)
{
    double n = otherwise;

    plx_object_number(object, name, &n);
    return n;
}

/* Members of the payload become members of the assigns. */
static void keep(plx_channel *ch, plx_payload payload)
{
    static const char *const names[] = {"name", "min", "fragile"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        plx_slice value = plx_object_get(payload.bytes, names[i]);
        if (value.len > 0)
            plx_channel_put(ch, names[i], value);
    }
}

static void arena_join(void *state, plx_channel *ch, plx_call *call, plx_payload payload)
{
    (void)state;
    keep(ch, payload);
    if (plx_object_get(payload.bytes, "welcome").len > 0)
        plx_channel_send_after(ch, call, plx_slice_of("welcome"), 0, json(plx_channel_assigns(ch)));
    plx_call_ok(call, json(plx_channel_assigns(ch)));
}

/* ---- what clients push ---- */

static void answer(plx_call *call, int err)
{
    char text[64];

    snprintf(text, sizeof text, "{\"error\":%d}", err);
    if (err == 0)
        plx_call_ok(call, PLX_JSON_PAYLOAD("{}"));
    else
        plx_call_error(call, json(plx_slice_of(text)));
}

/* {"name", "ms", ...}: a timer of that name, told the whole payload. */
static int after(plx_channel *ch, plx_call *call, plx_payload payload)
{
    char name[64] = "";

    plx_object_text(payload.bytes, "name", name, sizeof name);
    return plx_channel_send_after(ch, call, plx_slice_of(name),
                                  (uint64_t)number(payload.bytes, "ms", 0), payload);
}

static int cancel(plx_channel *ch, plx_call *call, plx_payload payload)
{
    char name[64] = "";

    plx_object_text(payload.bytes, "name", name, sizeof name);
    return plx_channel_cancel(ch, call, plx_slice_of(name));
}

/* {"id", "name", ...}: a message to the channels of that socket id on this topic. */
static int tell(plx_channel *ch, plx_call *call, plx_payload payload)
{
    char id[64] = "", name[64] = "told";

    plx_object_text(payload.bytes, "id", id, sizeof id);
    plx_object_text(payload.bytes, "name", name, sizeof name);
    return plx_channel_send(ch, call, plx_slice_of(id), plx_channel_topic(ch), plx_slice_of(name),
                            payload);
}

static void whoami(plx_channel *ch, plx_call *call)
{
    plx_slice id = plx_channel_socket_id(ch), claims = plx_channel_claims(ch);
    char text[1024];

    snprintf(text, sizeof text, "{\"id\":\"%.*s\",\"claims\":%.*s}", (int)id.len, id.data,
             (int)claims.len, claims.data);
    plx_call_ok(call, json(plx_slice_of(text)));
}

static void arena_in(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                     plx_payload payload)
{
    (void)state;
    if (plx_slice_is(event, "keep")) {
        keep(ch, payload);
        plx_call_ok(call, json(plx_channel_assigns(ch)));
    } else if (plx_slice_is(event, "after")) {
        answer(call, after(ch, call, payload));
    } else if (plx_slice_is(event, "cancel")) {
        answer(call, cancel(ch, call, payload));
    } else if (plx_slice_is(event, "tell")) {
        answer(call, tell(ch, call, payload));
    } else if (plx_slice_is(event, "whoami")) {
        whoami(ch, call);
    } else if (plx_slice_is(event, "end")) {
        plx_call_stop_error(call, payload);
    } else {
        plx_channel_broadcast(ch, call, event, payload);
        plx_call_ok(call, PLX_JSON_PAYLOAD("{}"));
    }
}

/* ---- messages ---- */

/* {"n", "times"}: pushes, counts, and comes again until it has counted so far. What it counted is
 * kept with the assigns, not in the message: a message that came twice would show. */
static void tick(plx_channel *ch, plx_call *call, plx_slice name, plx_payload message)
{
    double ticks = number(plx_channel_assigns(ch), "ticks", 0) + 1;
    char text[64];

    snprintf(text, sizeof text, "%.0f", ticks);
    plx_channel_put(ch, "ticks", plx_slice_of(text));
    snprintf(text, sizeof text, "{\"n\":%.0f}", ticks);
    plx_channel_push(ch, call, name, json(plx_slice_of(text)));
    if (ticks < number(message.bytes, "times", 0))
        plx_channel_send_after(ch, call, name, (uint64_t)number(message.bytes, "ms", 0), message);
    plx_call_noreply(call);
}

static void arena_info(void *state, plx_channel *ch, plx_call *call, plx_slice name,
                       plx_payload message)
{
    (void)state;
    if (plx_slice_is(name, "tick")) {
        tick(ch, call, name, message);
    } else if (plx_slice_is(name, "crash")) {
        plx_call_crash(call, "told to");
    } else if (plx_slice_is(name, "cast")) {
        plx_channel_broadcast(ch, call, name, message);
        plx_call_noreply(call);
    } else {
        plx_channel_push(ch, call, name, message);
        if (plx_slice_is(name, "stop"))
            plx_call_stop(call, NULL);
        else
            plx_call_noreply(call);
    }
}

/* ---- what subscribers see ---- */

static const char *const intercepted[] = {"score", "card", "bomb", NULL};

/* score: those with "min" see no lower ones. card: {"for", "card"}: its name sees it, others that
 * there is one. */
static void arena_out(void *state, const plx_channel *ch, plx_delivery *delivery, plx_slice event,
                      plx_payload payload)
{
    plx_slice assigns = plx_channel_assigns(ch);
    plx_slice mine = plx_object_get(assigns, "name"), whose = plx_object_get(payload.bytes, "for");

    (void)state;
    if (plx_slice_is(event, "bomb") && plx_object_get(assigns, "fragile").len > 0)
        plx_delivery_crash(delivery, "a bomb");
    else if (plx_slice_is(event, "score") &&
             number(payload.bytes, "n", 0) < number(assigns, "min", 0))
        return;
    else if (plx_slice_is(event, "card") && !plx_slice_eq(mine, whose))
        plx_delivery_push(delivery, plx_slice_of("hidden"), PLX_JSON_PAYLOAD("{}"));
    else
        plx_delivery_pass(delivery);
}

static void arena_terminate(void *state, plx_channel *ch, enum plx_end_reason reason)
{
    char text[256];
    plx_slice name = plx_channel_get(ch, "name");

    (void)state;
    snprintf(text, sizeof text, "{\"name\":%.*s,\"reason\":%d}", name.len > 0 ? (int)name.len : 4,
             name.len > 0 ? name.data : "null", (int)reason);
    plx_channel_broadcast_from(ch, NULL, plx_slice_of("gone"), json(plx_slice_of(text)));
}

static const plx_backend arena = {
    .abi = PLX_BACKEND_ABI,
    .name = "arena",
    .join = arena_join,
    .handle_in = arena_in,
    .handle_info = arena_info,
    .intercept = intercepted,
    .handle_out = arena_out,
    .terminate = arena_terminate,
};

const plx_backend *pollux_backend(void)
{
    return &arena;
}

/* ---- sockets ---- */

/* The parameter "who" is the socket's name; nobody is called "mallory". */
static void arena_connect(void *state, const plx_connect_info *info, plx_admission *admission)
{
    char who[64], text[256], agent[64];
    plx_slice header = plx_admission_header(admission, "x-agent");

    (void)state;
    if (plx_object_text(info->params, "who", who, sizeof who) < 0)
        return;
    snprintf(agent, sizeof agent, "%.*s", (int)header.len, header.data ? header.data : "");
    snprintf(text, sizeof text, "player:%s", who);
    plx_admission_id(admission, plx_slice_of(text));
    snprintf(text, sizeof text, "{\"who\":\"%s\",\"agent\":\"%s\",\"ip\":\"%.*s\",\"by\":\"%.*s\"}",
             who, agent, (int)info->remote_ip.len, info->remote_ip.data, (int)info->transport.len,
             info->transport.data);
    plx_admission_claims(admission, plx_slice_of(text));
    if (strcmp(who, "mallory") == 0)
        plx_admission_refuse(admission, "nobody is called that");
}

static const plx_socket_module sockets = {
    .abi = PLX_BACKEND_ABI, .name = "arena", .connect = arena_connect};

const plx_socket_module *pollux_socket(void)
{
    return &sockets;
}
