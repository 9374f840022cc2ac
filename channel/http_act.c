/* See http_act.h. */
#include "channel/http_act.h"

#include "base/error.h"
#include "channel/socket_core.h"

static size_t count(const plx_http_answer *a)
{
    return a->push_count + a->broadcast_count + a->from_count;
}

/* ---- looking ---- */

static int check_messages(const plx_socket *s, plx_slice own, const plx_http_answer *a,
                          const char **why)
{
    for (size_t i = 0; i < count(a); i++) {
        const plx_http_message *m = &a->messages[i];
        plx_slice topic = m->topic.len > 0 ? m->topic : own;
        bool only_pushed = i < a->push_count;
        int err = plx_socket_check_broadcast(s, topic, m->event, m->payload);
        /* What is for this socket alone is not kept, so it may be binary anywhere. */
        if (err == PLX_E_INVALID && only_pushed)
            continue;
        *why = err == PLX_E_TOOBIG ? "a topic, event or payload is too long"
                                   : "a binary message for a topic with history";
        if (err != 0)
            return PLX_E_INVALID;
    }
    return 0;
}

static int check_presence(const plx_membership *m, const plx_http_answer *a, const char **why)
{
    int err = 0;

    if (a->presence == PLX_PRESENCE_TRACK || a->presence == PLX_PRESENCE_UPDATE)
        err = plx_tracks_check(m, a->key, a->meta);
    *why = "presence: a key or meta that can't be tracked";
    if (err == PLX_E_DENIED) /* it is there: tracking once more is an update */
        return 0;
    if (err == 0 && a->presence == PLX_PRESENCE_UPDATE) {
        *why = "presence: an update of a key that is not tracked";
        return PLX_E_INVALID;
    }
    return err != 0 ? PLX_E_INVALID : 0;
}

int plx_http_act_check(plx_channel *ch, const plx_http_answer *a, plx_buf *assigns,
                       const char **why)
{
    const plx_membership *m = (const plx_membership *)ch;

    if (a->assigns.len > 0 &&
        plx_http_assigns_merge(plx_channel_assigns(ch), a->assigns, assigns) != 0) {
        *why = "the assigns are too large";
        return PLX_E_INVALID;
    }
    if (check_presence(m, a, why) != 0)
        return PLX_E_INVALID;
    return check_messages(m->socket, m->topic, a, why);
}

int plx_http_act_check_parting(const plx_parting *p, const plx_http_answer *a, const char **why)
{
    for (size_t i = a->push_count; i < count(a); i++) {
        const plx_http_message *m = &a->messages[i];
        if (plx_parting_check(p, m->topic, m->event, m->payload) != 0) {
            *why = "a broadcast that is too large, or binary for a topic with history";
            return PLX_E_INVALID;
        }
    }
    return 0;
}

/* ---- doing ---- */

static int act_presence(plx_channel *ch, plx_call *call, const plx_http_answer *a)
{
    int err;

    switch (a->presence) {
    case PLX_PRESENCE_NONE:
        return 0;
    case PLX_PRESENCE_UNTRACK:
        plx_channel_untrack(ch, call, a->key); /* one that is not there is gone already */
        return 0;
    default:
        err = plx_channel_update(ch, call, a->key, a->meta);
        return err == PLX_E_NOTFOUND ? plx_channel_track(ch, call, a->key, a->meta) : err;
    }
}

static int act_pushes(plx_channel *ch, plx_call *call, const plx_http_answer *a)
{
    int err = 0;

    for (size_t i = 0; i < a->push_count && err == 0; i++)
        err = plx_channel_push(ch, call, a->messages[i].event, a->messages[i].payload);
    return err;
}

static int act_broadcasts(plx_channel *ch, plx_call *call, const plx_http_answer *a)
{
    size_t from = a->push_count + a->broadcast_count;
    int err = 0;

    for (size_t i = a->push_count; i < count(a) && err == 0; i++) {
        const plx_http_message *m = &a->messages[i];
        if (i >= from)
            err = plx_channel_broadcast_from(ch, call, m->event, m->payload);
        else if (m->topic.len > 0)
            err = plx_channel_broadcast_to(ch, call, m->topic, m->event, m->payload);
        else
            err = plx_channel_broadcast(ch, call, m->event, m->payload);
    }
    return err;
}

static void reply(plx_call *call, const plx_http_answer *a)
{
    if (a->stop && a->replies && a->failed)
        plx_call_stop_error(call, a->response);
    else if (a->stop)
        plx_call_stop(call, a->replies ? &a->response : NULL);
    else if (a->replies)
        (a->failed ? plx_call_error : plx_call_ok)(call, a->response);
    else
        plx_call_noreply(call);
}

void plx_http_act(plx_channel *ch, plx_call *call, const plx_http_answer *a, plx_slice assigns)
{
    int err = 0;

    if (a->assigns.len > 0)
        err = plx_channel_assign(ch, assigns);
    /* Presence stands before the pushes in an answer, but they would have to wait for Redis behind
     * it and might be overtaken by the broadcasts; nobody can tell the difference, because diffs
     * come when their window ends. */
    if (err == 0)
        err = act_pushes(ch, call, a);
    if (err == 0)
        err = act_presence(ch, call, a);
    if (err == 0)
        err = act_broadcasts(ch, call, a);
    if (err == 0)
        reply(call, a);
    else /* all of it was looked at before: a fault of ours */
        plx_call_crash(call, plx_strerror(err));
}

void plx_http_act_parting(plx_parting *p, const plx_http_answer *a)
{
    size_t from = a->push_count + a->broadcast_count;

    for (size_t i = a->push_count; i < count(a); i++) {
        const plx_http_message *m = &a->messages[i];
        plx_parting_broadcast(p, (uint32_t)(i - a->push_count), m->topic, m->event, m->payload,
                              i >= from);
    }
}
