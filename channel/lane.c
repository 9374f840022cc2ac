/* The order of one topic on one socket: see socket_core.h. */
#include "base/error.h"
#include "channel/socket_core.h"
#include <stdlib.h>

plx_lane *plx_lane_find(plx_socket *s, plx_slice topic)
{
    for (plx_list *n = s->memberships.next; n != &s->memberships; n = n->next) {
        plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        if (m->core && plx_slice_eq(m->topic, topic))
            return m->core;
    }
    return NULL;
}

plx_lane *plx_lane_of(plx_membership *m)
{
    plx_lane *lane = m->core;

    if (lane)
        return lane;
    lane = plx_alloc_zero(1, sizeof *lane);
    plx_list_init(&lane->calls);
    plx_list_init(&lane->waiting);
    lane->owner = m;
    m->core = lane;
    return lane;
}

void plx_lane_take_over(plx_membership *m)
{
    plx_lane *lane = plx_lane_find(m->socket, m->topic);

    if (!lane || lane->owner == m)
        return;
    lane->owner->core = NULL;
    lane->owner = m;
    m->core = lane;
}

bool plx_lane_busy(const plx_socket *s, const plx_lane *lane)
{
    return lane->open || lane->waiting_count > 0 || plx_socket_busy(s);
}

static void place(char **end, plx_slice *s)
{
    if (s->len > 0)
        memcpy(*end, s->data, s->len);
    s->data = *end;
    *end += s->len;
}

/* For WebSocket. What a long-poll client sent at once has been bounded before, and all lines of a
 * POST are to be handled. */
static bool is_full(const plx_socket *s, const plx_lane *lane, size_t bytes)
{
    return lane->waiting_count >= PLX_JOIN_WAITING ||
           (s->waiting_bytes > 0 && s->waiting_bytes + bytes > PLX_WAITING_BYTES);
}

int plx_lane_wait(plx_socket *s, plx_lane *lane, const plx_message *m, uint32_t number)
{
    size_t text = m->join_ref.text.len + m->ref.text.len + m->topic.text.len + m->event.text.len +
                  m->payload.bytes.len;
    size_t bytes = sizeof(plx_waiting) + text;
    plx_waiting *w;
    char *end;

    if (bytes > UINT32_MAX - s->waiting_bytes || (s->entry == 0 && is_full(s, lane, bytes)))
        return PLX_E_BUSY;
    w = plx_alloc(bytes);
    w->message = *m;
    w->came_ms = s->message_ms;
    w->number = number;
    w->bytes = (uint32_t)bytes;
    end = w->text;
    place(&end, &w->message.join_ref.text);
    place(&end, &w->message.ref.text);
    place(&end, &w->message.topic.text);
    place(&end, &w->message.event.text);
    place(&end, &w->message.payload.bytes);
    plx_list_push(&lane->waiting, &w->node);
    lane->waiting_count++;
    s->waiting_bytes += w->bytes;
    return 0;
}

static plx_waiting *take_waiting(plx_socket *s, plx_lane *lane)
{
    plx_list *n = plx_list_shift(&lane->waiting);
    plx_waiting *w;

    if (!n)
        return NULL;
    w = PLX_CONTAINER(n, plx_waiting, node);
    lane->waiting_count--;
    s->waiting_bytes -= w->bytes;
    return w;
}

/* The lane gives up a call: it said everything, or is not to say anything any more. */
static void remove_call(plx_call *call)
{
    plx_lane *lane = call->lane;

    plx_list_remove(&call->node);
    if (lane->open == call)
        lane->open = NULL;
    call->lane = NULL;
    call->m->socket->pending--;
    plx_call_unref(call);
}

static void flush(plx_lane *lane)
{
    while (!lane->dead && !plx_list_empty(&lane->calls)) {
        plx_call *call = PLX_CONTAINER(lane->calls.next, plx_call, node);
        if (!plx_call_flush(call))
            return;
        remove_call(call);
    }
}

/* Handles the next message that waited. False when there is none or it must wait on. */
static bool next(plx_lane *lane)
{
    plx_socket *s;
    plx_waiting *w;

    if (lane->dead || lane->open)
        return false;
    s = lane->owner->socket;
    if (plx_socket_busy(s) || !(w = take_waiting(s, lane)))
        return false;
    s->message_ms = w->came_ms;
    plx_socket_route(s, &w->message, w->number);
    free(w);
    return true;
}

static void lane_free(plx_lane *lane)
{
    if (!lane->dead) {
        lane->owner->core = NULL;
        lane->owner->socket->reap = true; /* an owner that is over was kept for the lane's sake */
    }
    free(lane);
}

void plx_lane_run(plx_lane *lane)
{
    if (lane->running)
        return;
    lane->running = true;
    do
        flush(lane);
    while (next(lane));
    lane->running = false;
    if (lane->dead || (plx_list_empty(&lane->calls) && plx_list_empty(&lane->waiting)))
        lane_free(lane);
}

bool plx_lane_hold(plx_lane *lane)
{
    bool was = lane->running;

    lane->running = true;
    return was;
}

void plx_lane_letgo(plx_lane *lane, bool was_held)
{
    lane->running = was_held;
    plx_lane_run(lane);
}

void plx_lane_run_all(plx_socket *s)
{
    /* Running a lane appends memberships at most: they are taken out when the socket is left. */
    for (plx_list *n = s->memberships.next; n != &s->memberships && !s->closing; n = n->next) {
        plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        if (m->core)
            plx_lane_run(m->core);
    }
}

void plx_lane_drop(plx_membership *m)
{
    plx_lane *lane = m->core;
    plx_waiting *w;

    if (!lane)
        return;
    while (!plx_list_empty(&lane->calls))
        remove_call(PLX_CONTAINER(lane->calls.next, plx_call, node));
    while ((w = take_waiting(m->socket, lane)))
        free(w);
    m->core = NULL;
    lane->dead = true;
    if (!lane->running)
        free(lane);
}

void plx_lane_abandon(plx_call *call)
{
    plx_call_forget(call);
    remove_call(call);
}
