/* How memberships begin and end: join, rejoin, leave, and the push in between.
 *
 *   JOINING  the backend is asked; then the topic's position is read
 *   OPENING  the transport prepares deliveries after that position
 *   JOINED   the reply is emitted, what waited is handled
 *   ENDED    left, replaced, stopped, crashed, or refused
 *
 * A rejoin ends the old membership at once (terminate), but it stays in the list
 * and goes on being delivered until the new one is ready or refused: `replaces`
 * says which. Its phx_close follows the new one's reply.
 */
#include "base/error.h"
#include "base/log.h"
#include "channel/counters.h"
#include "channel/intercept.h"
#include "channel/rules.h"
#include "channel/socket_core.h"
#include "store/topic.h"
#include <stdlib.h>

#define UNAVAILABLE PLX_JSON_PAYLOAD("{\"reason\":\"unavailable\"}")

static void begin(plx_socket *s, const plx_channel_entry *entry, const plx_message *message,
                  uint32_t number)
{
    plx_membership *old = plx_socket_find(s, message->topic.text);
    plx_membership *m =
        plx_membership_new(s, entry, message->topic.text, message->join_ref, message->ref);
    plx_call *call;

    m->joined_as = number;
    plx_list_push(&s->memberships, &m->node);
    s->membership_count++;
    plx_counted.memberships++;
    plx_lane_take_over(m);
    if (old) {
        m->replaces = old;
        plx_membership_end(old, PLX_END_LEFT);
    }
    m->bucket = plx_spent_take(&s->spent, m->topic);
    call = plx_call_new(m, PLX_CALL_JOIN, message->join_ref, message->ref, number);
    call->since = plx_recovery_read(message->payload);
    plx_call_ask(call, NULL, message->payload);
}

static bool is_full(const plx_socket *s)
{
    return s->membership_count >= s->channels->config->max_channels ||
           (s->max_channels > 0 && s->membership_count >= s->max_channels);
}

void plx_socket_join(plx_socket *s, const plx_message *m, uint32_t number)
{
    static const plx_term none = {PLX_TERM_NULL, {NULL, 0}};
    const plx_channel_entry *entry = NULL;

    if (m->topic.kind == PLX_TERM_STRING)
        entry = plx_channels_route(s->channels, m->topic.text);
    if (!entry)
        plx_socket_answer(s, m, none, true, PLX_JSON_PAYLOAD("{\"reason\":\"unmatched topic\"}"));
    else if (is_full(s) && !plx_socket_find(s, m->topic.text))
        plx_socket_answer(s, m, m->join_ref, true,
                          PLX_JSON_PAYLOAD("{\"reason\":\"too many channels joined\"}"));
    else
        begin(s, entry, m, number);
}

/* The end of a join, one way or the other: what the call has to say may go out. */
static void decide(plx_call *call)
{
    call->decided = true;
    plx_call_complete(call);
}

void plx_join_refuse(plx_call *call, plx_payload response)
{
    plx_membership *m = call->m;
    plx_note reply = {.kind = PLX_OUT_REPLY, .failed = true, .payload = response};

    plx_counted.joins_refused++;
    plx_membership_end(m, PLX_END_CRASHED);
    if (!call->lane)
        return;
    plx_call_forget(call);
    if (m->opened) {
        reply.of = m;
        reply.ends = true;
    } else {
        m->over = true;
        m->socket->reap = true;
    }
    plx_call_keep(call, &reply, false);
    if (m->replaces)
        plx_call_say_close(call, m->replaces);
    m->replaces = NULL;
    decide(call);
}

/* The position at which the topic was found, and where the membership begins. */
static void begin_at(plx_call *call, const plx_position *position, bool whole)
{
    plx_membership *m = call->m;

    m->start = whole ? call->since.position : *position;
    m->diffs_after = position->offset;
    m->goes_back = (whole && m->start.offset < position->offset) || m->entry->config->has_latest;
    call->recovered = whole;
    m->state = PLX_OPENING;
    m->opened = true;
    m->socket->ops->open(m->socket, m);
}

static void judged(void *arg, int err, const plx_position *position, bool whole)
{
    plx_call *call = arg;
    plx_membership *m = call->m;
    plx_socket *s = m->socket;

    plx_socket_enter(s);
    if (m->state == PLX_ENDED) {
        /* the socket is gone */
    } else if (err != 0 || call->unavailable) {
        s->unavailable = s->unavailable || err == PLX_E_DOWN || err == PLX_E_TIMEOUT;
        plx_log_limited(PLX_WARNING, "join of \"%.*s\" refused: %s", (int)m->topic.len,
                        m->topic.data, plx_strerror(err != 0 ? err : PLX_E_DOWN));
        plx_membership_end(m, PLX_END_CLOSED);
        plx_join_refuse(call, UNAVAILABLE);
    } else {
        begin_at(call, position, whole);
    }
    plx_call_unref(call);
    plx_socket_exit(s);
}

static void positioned(void *arg, int err, const plx_position *position)
{
    judged(arg, err, position, false);
}

/* One of the last messages, as this socket is to see it. A handle_out that crashes over it gives
 * none: there is no channel yet that could end. */
static void keep_latest(plx_call *call, plx_event *e)
{
    bool crashed;
    plx_event *seen =
        plx_intercepts(call->m->entry, e) ? plx_intercept(call->m, e, &crashed) : plx_event_ref(e);

    if (seen) {
        enum plx_payload_kind kind =
            seen->kind == PLX_KIND_BINARY ? PLX_PAYLOAD_BINARY : PLX_PAYLOAD_JSON;
        plx_note note = {.kind = PLX_OUT_PUSH,
                         .of = call->m,
                         .event = seen->event,
                         .payload = {kind, seen->payload}};
        plx_call_keep(call, &note, false);
    }
    plx_event_unref(seen);
}

/* The last messages are the state at the position: they follow the reply, and what comes after them
 * follows from there. */
static void latest(void *arg, int err, const plx_position *position, plx_event *const *events,
                   size_t count)
{
    plx_call *call = arg;

    for (size_t i = 0; err == 0 && call->lane && i < count; i++)
        keep_latest(call, events[i]);
    judged(call, err, position, false);
}

/* Where the topic stands, and whether this client can go on from where it was. */
static void ask_position(plx_call *call)
{
    const plx_membership *m = call->m;
    const plx_channel_config *config = m->entry->config;
    plx_history history = {config->history_size, config->history_ttl_s};

    plx_call_ref(call);
    if (config->has_history && call->since.position.epoch[0] != '\0')
        plx_topic_since(m->socket->store, m->topic, &call->since.position, &history, judged, call);
    else if (config->has_latest)
        plx_topic_latest(m->socket->store, m->topic, latest, call);
    else
        plx_topic_position(m->socket->store, m->topic, positioned, call);
}

void plx_join_accept(plx_call *call, plx_payload response)
{
    plx_membership *m = call->m;
    plx_note reply = {.kind = PLX_OUT_REPLY, .of = m, .opens = true, .payload = response};

    m->accepted = true;
    if (m->state == PLX_ENDED) {
        /* The socket went away while the backend thought about it; a long-poll session lives on in
         * another worker, which asks once more. */
        if (!plx_call_is_elsewhere(call))
            plx_membership_terminate(m, PLX_END_CLOSED);
        return;
    }
    plx_call_keep(call, &reply, true);
    ask_position(call);
}

/* Adds to the reply that opens m what its client is told about its place. */
static void tell_place(plx_call *call)
{
    const plx_membership *m = call->m;
    const plx_position *position = m->entry->config->has_history ? &m->start : NULL;
    plx_kept *kept = PLX_CONTAINER(call->kept.next, plx_kept, node);
    plx_note note = kept->note;
    plx_buf text;

    plx_buf_init(&text, 0);
    if (note.opens &&
        plx_recovery_respond(note.payload, position, call->since.given, call->recovered, &text)) {
        note.payload.bytes = plx_buf_slice(&text);
        plx_call_keep(call, &note, true);
        PLX_CONTAINER(call->kept.next, plx_kept, node)->after = kept->after;
        plx_list_remove(&kept->node);
        free(kept);
    }
    plx_buf_fini(&text);
}

void plx_membership_ready(plx_membership *m)
{
    plx_socket *s = m->socket;
    plx_call *call;

    if (m->state != PLX_OPENING)
        return;
    plx_socket_enter(s);
    call = m->core->open;
    m->state = PLX_JOINED;
    plx_counted.joins++;
    if (m->replaces) {
        m->caused = m->replaces->caused;
        m->replaces->replaced = true;
        m->continues = strcmp(m->replaces->start.epoch, m->start.epoch) == 0;
        plx_call_say_close(call, m->replaces);
    }
    if (s->ops->leased && m->entry->backend->terminate)
        plx_record_note(m);
    plx_tracks_begin(call);
    plx_timers_begin(m);
    tell_place(call);
    decide(call);
    plx_socket_exit(s);
}

void plx_socket_part(plx_membership *m, const plx_message *message, uint32_t number)
{
    plx_call *call =
        plx_call_new(m, PLX_CALL_OWN, plx_membership_join_ref(m), message->ref, number);
    plx_note reply = {.kind = PLX_OUT_REPLY, .of = m, .payload = plx_empty_object};

    plx_membership_end(m, PLX_END_LEFT);
    plx_call_say(call, &reply);
    plx_call_say_close(call, m);
    plx_call_complete(call);
}

void plx_socket_push(plx_membership *m, const plx_message *message, uint32_t number)
{
    plx_call *call =
        plx_call_new(m, PLX_CALL_PUSH, plx_membership_join_ref(m), message->ref, number);
    const plx_slice *event = message->event.kind == PLX_TERM_STRING ? &message->event.text : NULL;

    plx_counted.pushes++;
    plx_call_ask(call, event, message->payload);
}

void plx_socket_tell(plx_membership *m, const plx_message *message, uint32_t number)
{
    static const plx_term none = {PLX_TERM_NULL, {NULL, 0}};
    plx_call *call = plx_call_new(m, PLX_CALL_INFO, none, none, number);

    plx_counted.infos++;
    plx_call_ask(call, &message->event.text, message->payload);
}

/* The join that the transport was preparing came to nothing. */
static void lost_while_opening(plx_membership *m)
{
    plx_call *call = m->core->open;

    plx_membership_end(m, PLX_END_CRASHED);
    plx_join_refuse(call, UNAVAILABLE);
}

/* Ends m in the midst of whatever it does; what is said about it is the returned call's. */
static plx_call *break_off(plx_membership *m, enum plx_end_reason reason)
{
    static const plx_term none = {PLX_TERM_NULL, {NULL, 0}};

    if (m->core && m->core->open)
        plx_lane_abandon(m->core->open);
    plx_membership_end(m, reason);
    return plx_call_new(m, PLX_CALL_OWN, none, none, 0);
}

/* What the log still holds for it is not delivered any more. */
static void fail(plx_membership *m, plx_payload reason)
{
    plx_call *call = break_off(m, PLX_END_CRASHED);

    m->caused = 0;
    plx_call_say_error(call, reason);
    plx_call_complete(call);
}

void plx_membership_crash(plx_membership *m)
{
    plx_socket *s = m->socket;

    plx_socket_enter(s);
    if (m->state == PLX_JOINED) {
        plx_counted.crashes++;
        fail(m, PLX_JSON_PAYLOAD("{\"reason\":\"channel_crash\"}"));
    }
    plx_socket_exit_quietly(s);
}

void plx_membership_lost(plx_membership *m)
{
    plx_socket *s = m->socket;

    plx_socket_enter(s);
    if (m->state == PLX_OPENING)
        lost_while_opening(m);
    else if (m->state == PLX_JOINED)
        fail(m, PLX_JSON_PAYLOAD("{\"reason\":\"gap\"}"));
    plx_socket_exit_quietly(s);
}

static void close_joined(plx_membership *m, const plx_position *after)
{
    plx_call *call = break_off(m, PLX_END_CLOSED);

    if (after && after->offset > m->caused && strcmp(after->epoch, m->start.epoch) == 0)
        m->caused = after->offset; /* a barrier, as if it had come from this socket */
    plx_call_say_close(call, m);
    plx_call_complete(call);
}

/* Whoever still works for the join finds it ended. */
static void refuse_joining(plx_membership *m)
{
    plx_call *call = m->core->open;

    plx_membership_end(m, PLX_END_CLOSED);
    plx_join_refuse(call, PLX_JSON_PAYLOAD("{\"reason\":\"unsubscribed\"}"));
}

void plx_membership_close(plx_membership *m, const plx_position *after)
{
    plx_socket *s = m->socket;

    plx_counted.closed += m->state != PLX_ENDED;
    plx_socket_enter(s);
    if (m->state == PLX_JOINED)
        close_joined(m, after);
    else if (m->state != PLX_ENDED)
        refuse_joining(m);
    plx_socket_exit_quietly(s);
}
