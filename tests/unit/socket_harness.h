/* A socket with a scripted backend and a transport that writes down what happens, one line each:
 *
 *     reply JOIN_REF REF TOPIC STATUS RESPONSE [after TOPIC@OFFSET ...] [opens|ends]
 *     push JOIN_REF TOPIC EVENT PAYLOAD, close JOIN_REF REF TOPIC, error JOIN_REF REF TOPIC PAYLOAD
 *     open TOPIC, closed TOPIC, idle, relieved          (the transport's callbacks)
 *     terminate TOPIC REASON                            (the backend's)
 *
 * Events of the backend: ok, error, noreply, stop, stop_reply, crash, hold (answered later by the
 * test: held(n)), bad_json; push, cast, cast_from (then noreply), cast_ok (then ok), mixed. A join
 * does what its payload's string says ("ok", "error", "crash", "hold", "push", "cast").
 */
#ifndef PLX_TESTS_SOCKET_HARNESS_H
#define PLX_TESTS_SOCKET_HARNESS_H

#include "channel/counters.h"
#include "channel/socket.h"
#include "tests/unit/fake_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static plx_buf trace;
static bool auto_ready; /* the transport is ready at once */
static bool hold_ends;  /* it keeps memberships that end */

static plx_call *calls_held[256];
static plx_channel *channels_held[256];
static unsigned held_count;

/* Responses that several tests expect. */
#define UNMATCHED   "{\"reason\":\"unmatched topic\"}"
#define UNAVAILABLE "{\"reason\":\"unavailable\"}"

#define S(text)    plx_slice_of(text)
#define JSON(text) ((plx_payload){PLX_PAYLOAD_JSON, plx_slice_of(text)})

/* ---- backend ---- */

static void hold(plx_channel *ch, plx_call *call)
{
    assert(held_count < 256);
    channels_held[held_count] = ch;
    calls_held[held_count++] = call;
}

static void scripted_join(void *state, plx_channel *ch, plx_call *call, plx_payload payload)
{
    plx_slice what = payload.bytes;

    (void)state;
    if (plx_slice_is(what, "\"hold\""))
        hold(ch, call);
    else if (plx_slice_is(what, "\"error\""))
        plx_call_error(call, JSON("{\"no\":1}"));
    else if (plx_slice_is(what, "\"crash\""))
        plx_call_crash(call, "crash");
    else if (plx_slice_is(what, "\"stop\""))
        plx_call_stop(call, NULL);
    else if (plx_slice_is(what, "\"noreply\""))
        plx_call_noreply(call);
    else if (plx_slice_is(what, "\"bad_json\""))
        plx_call_ok(call, JSON("{"));
    else {
        if (plx_slice_is(what, "\"push\""))
            plx_channel_push(ch, call, S("hello"), JSON("{}"));
        if (plx_slice_is(what, "\"cast\""))
            plx_channel_broadcast(ch, call, S("came"), JSON("{}"));
        if (plx_slice_is(what, "\"assign\""))
            plx_channel_assign(ch, S("{\"a\":1}"));
        plx_call_ok(call, JSON("{}"));
    }
}

static void scripted_verbs(plx_channel *ch, plx_call *call, plx_slice event, plx_payload payload)
{
    if (plx_slice_starts(event, S("push")) || plx_slice_is(event, "mixed"))
        plx_channel_push(ch, call, S("pushed"), payload);
    if (plx_slice_is(event, "cast") || plx_slice_is(event, "cast_ok") ||
        plx_slice_is(event, "mixed") || plx_slice_is(event, "cast_stop"))
        plx_channel_broadcast(ch, call, S("casted"), payload);
    if (plx_slice_is(event, "cast_from"))
        plx_channel_broadcast_from(ch, call, S("casted"), payload);
    if (plx_slice_is(event, "cast_to"))
        plx_channel_broadcast_to(ch, call, S("room:other"), S("casted"), payload);
    if (plx_slice_is(event, "mixed"))
        plx_channel_push(ch, call, S("later"), payload);
}

static void scripted_in(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                        plx_payload payload)
{
    (void)state;
    scripted_verbs(ch, call, event, payload);
    if (plx_slice_is(event, "hold"))
        hold(ch, call);
    else if (plx_slice_is(event, "error"))
        plx_call_error(call, payload);
    else if (plx_slice_is(event, "stop"))
        plx_call_stop(call, NULL);
    else if (plx_slice_is(event, "stop_reply") || plx_slice_is(event, "cast_stop"))
        plx_call_stop(call, &payload);
    else if (plx_slice_is(event, "crash"))
        plx_call_crash(call, "crash");
    else if (plx_slice_is(event, "bad_json"))
        plx_call_ok(call, JSON("nope"));
    else if (plx_slice_is(event, "ok") || plx_slice_is(event, "cast_ok") ||
             plx_slice_is(event, "mixed") || plx_slice_is(event, "cast_to"))
        plx_call_ok(call, payload);
    else
        plx_call_noreply(call);
}

static void scripted_terminate(void *state, plx_channel *ch, enum plx_end_reason reason)
{
    static const char *const names[] = {"left", "closed", "expired", "crashed"};
    plx_slice topic = plx_channel_topic(ch);

    (void)state;
    plx_buf_printf(&trace, "terminate %.*s %s\n", (int)topic.len, topic.data, names[reason]);
}

static const plx_backend scripted = {.abi = PLX_BACKEND_ABI,
                                     .name = "scripted",
                                     .join = scripted_join,
                                     .handle_in = scripted_in,
                                     .terminate = scripted_terminate};

/* ---- transport ---- */

static void trace_term(plx_term t)
{
    if (t.kind == PLX_TERM_NULL)
        plx_buf_str(&trace, " -");
    else
        plx_buf_printf(&trace, t.kind == PLX_TERM_JSON ? " <%.*s>" : " %.*s", (int)t.text.len,
                       t.text.data);
}

static void trace_body(const plx_out *out)
{
    if (out->kind == PLX_OUT_REPLY)
        plx_buf_printf(&trace, " %.*s", (int)out->status.len, out->status.data);
    if (out->kind == PLX_OUT_PUSH)
        plx_buf_printf(&trace, " %.*s", (int)out->event.len, out->event.data);
    if (out->kind != PLX_OUT_CLOSE)
        plx_buf_printf(&trace, out->payload.kind == PLX_PAYLOAD_BINARY ? " binary:%.*s" : " %.*s",
                       (int)out->payload.bytes.len, out->payload.bytes.data);
}

static void on_emit(plx_socket *s, const plx_out *out)
{
    static const char *const names[] = {"reply", "push", "close", "error"};

    (void)s;
    plx_buf_str(&trace, names[out->kind]);
    trace_term(out->join_ref);
    if (out->kind != PLX_OUT_PUSH)
        trace_term(out->ref);
    trace_term(out->topic);
    trace_body(out);
    for (size_t i = 0; i < out->barrier_count; i++)
        plx_buf_printf(&trace, "%s %.*s@%llu", i == 0 ? " after" : "",
                       (int)out->barriers[i].membership->topic.len,
                       out->barriers[i].membership->topic.data,
                       (unsigned long long)out->barriers[i].offset);
    plx_buf_str(&trace, out->opens ? " opens\n" : out->ends ? " ends\n" : "\n");
    if (out->ends && hold_ends)
        plx_membership_hold(out->membership);
}

static void on_open(plx_socket *s, plx_membership *m)
{
    (void)s;
    plx_buf_printf(&trace, "open %.*s after %llu%s\n", (int)m->topic.len, m->topic.data,
                   (unsigned long long)m->start.offset, m->replaces ? " instead" : "");
    if (auto_ready)
        plx_membership_ready(m);
}

static void on_closed(plx_socket *s, plx_membership *m)
{
    (void)s;
    plx_buf_printf(&trace, "closed %.*s\n", (int)m->topic.len, m->topic.data);
}

static void on_idle(plx_socket *s)
{
    (void)s;
    plx_buf_str(&trace, "idle\n");
}

static void on_relieved(plx_socket *s)
{
    (void)s;
    plx_buf_str(&trace, "relieved\n");
}

static const plx_socket_ops harness_ops = {.name = "test",
                                           .emit = on_emit,
                                           .open = on_open,
                                           .closed = on_closed,
                                           .idle = on_idle,
                                           .relieved = on_relieved};

/* ---- the socket under test ---- */

static char *presence_meta[] = {(char *)"name={params.user_id}", (char *)"gone={params.none}"};
static plx_channel_config channel_configs[] = {
    {.pattern = (char *)"lobby:*",
     .backend = (char *)"scripted",
     .has_presence = true,
     .presence_key = (char *)"{params.user_id}",
     .presence_meta = {presence_meta, 2}},
    {.pattern = (char *)"room:*", .backend = (char *)"scripted"},
    {.pattern = (char *)"relay:*", .backend = (char *)"relay"},
    {.pattern = (char *)"others:*", .backend = (char *)"relay", .relay_to_others = true},
    {.pattern = (char *)"acked:*", .backend = (char *)"relay", .reply = true},
    {.pattern = (char *)"hist:*",
     .backend = (char *)"relay",
     .has_history = true,
     .history_size = 100},
    {.pattern = (char *)"last:*",
     .backend = (char *)"relay",
     .has_latest = true,
     .latest_ttl_s = 30},
    {.pattern = (char *)"echo:*", .backend = (char *)"echo"},
    {.pattern = (char *)"none:*", .backend = (char *)"scripted", .join = PLX_WHO_NONE},
    {.pattern = (char *)"mute:*", .backend = (char *)"scripted", .push = PLX_WHO_NONE},
    {.pattern = (char *)"mine:*",
     .backend = (char *)"scripted",
     .only_topic = (char *)"mine:{params.user_id}"},
};
#define CHANNELS (sizeof channel_configs / sizeof *channel_configs)

static plx_channel_entry channel_entries[CHANNELS];
static plx_socket_config socket_config = {.path = (char *)"/socket",
                                          .max_channels = 3,
                                          .ws_max_frame_bytes = 4000000,
                                          .channels = channel_configs,
                                          .channel_count = CHANNELS};
static plx_channels channels = {.config = &socket_config, .entries = channel_entries};

static const plx_backend *backend_named(const char *name)
{
    if (strcmp(name, "relay") == 0)
        return &plx_relay_backend;
    return strcmp(name, "echo") == 0 ? &plx_echo_backend : &scripted;
}

static plx_socket *harness_socket(void)
{
    plx_socket_init init = {.ops = &harness_ops,
                            .store = fake_store,
                            .channels = &channels,
                            .session = PLX_LIT("sess"),
                            .id = PLX_LIT("users:7"),
                            .params = PLX_LIT("{\"user_id\":\"7\"}"),
                            .claims = PLX_LIT("{}")};

    fake_reset();
    fake_config.sockets = &socket_config;
    fake_config.socket_count = 1;
    plx_buf_fini(&trace);
    plx_buf_init(&trace, 0);
    auto_ready = true;
    hold_ends = false;
    held_count = 0;
    for (size_t i = 0; i < CHANNELS; i++) {
        channel_entries[i].config = &channel_configs[i];
        channel_entries[i].backend = backend_named(channel_configs[i].backend);
    }
    return plx_socket_new(&init);
}

/* "-" is null, a text that begins with '<' a JSON value, any other a string. */
static plx_term term(const char *text)
{
    if (strcmp(text, "-") == 0)
        return (plx_term){PLX_TERM_NULL, {NULL, 0}};
    if (text[0] == '<')
        return (plx_term){PLX_TERM_JSON, plx_slice_make(text + 1, strlen(text) - 2)};
    return (plx_term){PLX_TERM_STRING, plx_slice_of(text)};
}

static void client_payload(plx_socket *s, const char *join_ref, const char *ref, const char *topic,
                           const char *event, plx_payload payload)
{
    plx_message m = {.join_ref = term(join_ref),
                     .ref = term(ref),
                     .topic = term(topic),
                     .event = term(event),
                     .payload = payload};

    plx_socket_handle(s, &m);
}

static inline void client(plx_socket *s, const char *join_ref, const char *ref, const char *topic,
                          const char *event, const char *json)
{
    client_payload(s, join_ref, ref, topic, event, JSON(json));
}

/* What happened since the last look is exactly this. */
#define expect(text) expect_at(text, __FILE__, __LINE__)
static inline void expect_at(const char *text, const char *file, int line)
{
    const char *got = plx_buf_cstr(&trace);

    if (strcmp(got, text) != 0) {
        fprintf(stderr, "expected:\n%s\ngot:\n%s\n", text, got);
        _fail(file, line);
    }
    plx_buf_clear(&trace);
}

/* Joins a topic and drops what that wrote. */
static inline void join(plx_socket *s, const char *ref, const char *topic)
{
    client(s, ref, ref, topic, "phx_join", "{}");
    fake_answer_all();
    plx_buf_clear(&trace);
}

static void finish(plx_socket *s)
{
    plx_socket_free(s, PLX_END_CLOSED);
    assert_int_equal(plx_counted.memberships, 0);
    fake_reset();
    plx_buf_fini(&trace);
}

#endif
