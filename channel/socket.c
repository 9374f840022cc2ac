/* A socket's life, its memberships, and where a message goes. See socket_core.h for how the parts
 * work together. */
#include "base/clock.h"
#include "channel/counters.h"
#include "channel/socket_core.h"
#include <stdlib.h>

static const plx_term no_term = {PLX_TERM_NULL, {NULL, 0}};

plx_socket *plx_socket_new(const plx_socket_init *init)
{
    size_t text = init->session.len + init->id.len + init->params.len + init->claims.len;
    plx_socket *s = plx_alloc(sizeof *s + text);
    char *end = (char *)(s + 1);

    memset(s, 0, sizeof *s);
    s->ops = init->ops;
    s->transport = init->transport;
    s->store = init->store;
    s->channels = init->channels;
    s->max_channels = init->max_channels;
    s->session = plx_slice_place(&end, init->session);
    s->id = plx_slice_place(&end, init->id);
    s->params = plx_slice_place(&end, init->params);
    s->claims = plx_slice_place(&end, init->claims);
    plx_list_init(&s->memberships);
    s->refs = 1;
    return s;
}

void plx_socket_unref(plx_socket *s)
{
    if (--s->refs > 0)
        return;
    plx_spent_fini(&s->spent);
    free(s);
}

plx_membership *plx_membership_new(plx_socket *s, const plx_channel_entry *entry, plx_slice topic,
                                   plx_term join_ref, plx_term ref)
{
    plx_membership *m = plx_alloc(sizeof *m + topic.len + join_ref.text.len + ref.text.len);
    char *end = (char *)(m + 1);

    memset(m, 0, sizeof *m);
    plx_list_init(&m->node);
    m->socket = s;
    s->refs++;
    m->entry = entry;
    m->state = PLX_JOINING;
    m->topic = plx_slice_place(&end, topic);
    m->join_ref = (plx_term){join_ref.kind, plx_slice_place(&end, join_ref.text)};
    m->ref = (plx_term){ref.kind, plx_slice_place(&end, ref.text)};
    plx_list_init(&m->watch.node);
    m->refs = 1;
    return m;
}

void plx_membership_unref(plx_membership *m)
{
    if (--m->refs > 0)
        return;
    free((char *)m->assigns.data);
    plx_tracks_free(m);
    plx_timers_free(m);
    plx_socket_unref(m->socket);
    free(m);
}

plx_term plx_membership_join_ref(const plx_membership *m)
{
    return m->join_ref.kind == PLX_TERM_NULL ? m->ref : m->join_ref;
}

plx_membership *plx_socket_find(plx_socket *s, plx_slice topic)
{
    for (plx_list *n = s->memberships.next; n != &s->memberships; n = n->next) {
        plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        if (m->state != PLX_ENDED && plx_slice_eq(m->topic, topic))
            return m;
    }
    return NULL;
}

/* The transport and the list let go of a membership. */
static void discard(plx_membership *m)
{
    plx_socket *s = m->socket;

    m->gone = true;
    plx_timers_free(m);
    if (m->opened)
        s->ops->closed(s, m);
    plx_list_remove(&m->node);
    plx_membership_unref(m);
}

static void reap(plx_socket *s)
{
    plx_list *next;

    s->reap = false;
    for (plx_list *n = s->memberships.next; n != &s->memberships; n = next) {
        plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        next = n->next;
        if (m->over && !m->held && !m->core)
            discard(m);
    }
}

void plx_socket_enter(plx_socket *s)
{
    s->refs++;
    if (s->depth++ == 0) {
        s->was_pending = s->pending > 0;
        s->was_busy = plx_socket_busy(s);
    }
}

void plx_socket_exit_quietly(plx_socket *s)
{
    if (s->depth == 1 && s->reap && !s->closing)
        reap(s);
    s->depth--;
    plx_socket_unref(s);
}

/* The transport may free the socket from inside either. */
static void tell(plx_socket *s, void (*what)(plx_socket *s))
{
    if (what && !s->closing)
        what(s);
}

void plx_socket_exit(plx_socket *s)
{
    bool outermost = s->depth == 1;
    bool relieved = outermost && s->was_busy && !plx_socket_busy(s);
    bool idle = outermost && s->was_pending && s->pending == 0;

    s->refs++;
    plx_socket_exit_quietly(s);
    if (relieved)
        tell(s, s->ops->relieved);
    if (idle && s->pending == 0)
        tell(s, s->ops->idle);
    plx_socket_unref(s);
}

void plx_membership_hold(plx_membership *m)
{
    m->held = true;
}

void plx_membership_release(plx_membership *m)
{
    plx_socket *s = m->socket;

    plx_socket_enter(s);
    m->held = false;
    s->reap = true;
    plx_socket_exit(s);
}

void plx_socket_answer(plx_socket *s, const plx_message *m, plx_term join_ref, bool failed,
                       plx_payload response)
{
    plx_lane *lane = m->topic.kind == PLX_TERM_STRING ? plx_lane_find(s, m->topic.text) : NULL;
    plx_note note = {.kind = PLX_OUT_REPLY, .failed = failed, .payload = response};
    plx_out out = {.kind = PLX_OUT_REPLY, .join_ref = join_ref, .ref = m->ref, .topic = m->topic};

    if (lane && !plx_list_empty(&lane->calls)) {
        plx_call *call = plx_call_new(lane->owner, PLX_CALL_OWN, join_ref, m->ref, 0);
        plx_call_say(call, &note);
        plx_call_complete(call);
        return;
    }
    out.status = plx_slice_of(failed ? "error" : "ok");
    out.payload = response;
    plx_socket_emit(s, &out);
}

/* Tells a membership from one that replaces it, also when a client joins by the same ref again.
 * (With long-polling the slot has done that: an entry with a message holds nothing else.) */
static uint64_t number_of(const plx_membership *m)
{
    return (uint64_t)m->joined_as + 1;
}

static void push(plx_membership *m, const plx_message *message, uint32_t number)
{
    plx_term mine = plx_membership_join_ref(m);

    if (message->only_for != 0 && message->only_for != number_of(m))
        return;
    if (message->join_ref.kind != PLX_TERM_NULL && !plx_term_eq(message->join_ref, mine))
        return;
    if (message->info)
        plx_socket_tell(m, message, number);
    else if (message->event.kind == PLX_TERM_STRING &&
             plx_slice_is(message->event.text, "phx_leave"))
        plx_socket_part(m, message, number);
    else
        plx_socket_push(m, message, number);
}

void plx_socket_route(plx_socket *s, const plx_message *m, uint32_t number)
{
    bool named = m->event.kind == PLX_TERM_STRING;
    plx_membership *joined = NULL;

    if (m->topic.kind == PLX_TERM_STRING)
        joined = plx_socket_find(s, m->topic.text);
    if (m->info && !joined)
        return; /* it ended before the message's turn came */
    if (!m->info && named && plx_slice_is(m->event.text, "phx_join"))
        plx_socket_join(s, m, number);
    else if (joined)
        push(joined, m, number);
    else if (named && plx_slice_is(m->event.text, "phx_leave"))
        plx_socket_answer(s, m, m->join_ref, false, plx_empty_object);
    else
        plx_socket_answer(s, m, no_term, true,
                          PLX_JSON_PAYLOAD("{\"reason\":\"unmatched topic\"}"));
}

static bool is_heartbeat(const plx_message *m)
{
    return !m->info && m->topic.kind == PLX_TERM_STRING && m->event.kind == PLX_TERM_STRING &&
           plx_slice_is(m->topic.text, "phoenix") && plx_slice_is(m->event.text, "heartbeat");
}

/* A reply that can't wait for its turn because there is no room to wait. */
static void refuse_waiting(plx_socket *s, const plx_message *m)
{
    plx_out out = {.kind = PLX_OUT_REPLY,
                   .join_ref = m->join_ref,
                   .ref = m->ref,
                   .topic = m->topic,
                   .status = PLX_LIT("error"),
                   .payload = PLX_JSON_PAYLOAD("{\"reason\":\"too many messages waiting\"}")};

    plx_socket_emit(s, &out);
}

/* Where a message of this topic would wait; of a joined topic it may have to though nothing goes on
 * there, when the whole socket is busy. */
static plx_lane *lane_to_wait_in(plx_socket *s, plx_slice topic)
{
    plx_lane *lane = plx_lane_find(s, topic);
    plx_membership *joined;

    if (!lane && plx_socket_busy(s) && (joined = plx_socket_find(s, topic)))
        lane = plx_lane_of(joined);
    return lane;
}

/* PLX_E_BUSY: too much waits for this topic's turn. */
static int handle(plx_socket *s, const plx_message *m)
{
    uint32_t number = s->next_index++;
    plx_lane *lane = NULL;
    int err = 0;

    s->message_ms = s->entry != 0 ? s->entry_ms : plx_now_ms();
    if (m->topic.kind == PLX_TERM_STRING)
        lane = lane_to_wait_in(s, m->topic.text);
    if (is_heartbeat(m)) {
        plx_out out = {.kind = PLX_OUT_REPLY,
                       .ref = m->ref,
                       .topic = m->topic,
                       .status = PLX_LIT("ok"),
                       .payload = plx_empty_object};
        plx_socket_emit(s, &out);
    } else if (!lane || !plx_lane_busy(s, lane)) {
        plx_socket_route(s, m, number);
    } else {
        err = plx_lane_wait(s, lane, m, number);
    }
    return err;
}

void plx_socket_handle(plx_socket *s, const plx_message *m)
{
    plx_socket_enter(s);
    if (handle(s, m) != 0)
        refuse_waiting(s, m);
    plx_socket_exit_quietly(s);
}

int plx_socket_inform(plx_socket *s, plx_slice topic, const plx_membership *m, plx_slice name,
                      plx_payload message)
{
    plx_message info = {.topic = {PLX_TERM_STRING, topic},
                        .event = {PLX_TERM_STRING, name},
                        .payload = message,
                        .info = true};
    int err;

    if (m)
        info.only_for = number_of(m);
    plx_socket_enter(s);
    err = handle(s, &info);
    plx_socket_exit(s);
    return err;
}

static void dissolve(plx_socket *s)
{
    plx_list *n;

    s->closing = true;
    while ((n = s->memberships.next) != &s->memberships) {
        plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        m->state = PLX_ENDED;
        plx_lane_drop(m);
        discard(m);
    }
    plx_counted.memberships -= s->membership_count;
    s->membership_count = 0;
    plx_socket_unref(s);
}

void plx_socket_free(plx_socket *s, enum plx_end_reason reason)
{
    plx_list *n;

    s->closing = true;
    for (n = s->memberships.next; n != &s->memberships; n = n->next)
        plx_membership_end(PLX_CONTAINER(n, plx_membership, node), reason);
    dissolve(s);
}

void plx_socket_forget(plx_socket *s)
{
    dissolve(s);
}
