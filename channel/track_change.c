/* Changes of what a membership tracks, on their way to Redis. */
#include "base/error.h"
#include "base/log.h"
#include "channel/track_internal.h"
#include <stdio.h>
#include <stdlib.h>

/* About what a change under way takes beside its strings. */
#define CHANGE_COST 512

typedef struct change {
    plx_broadcast *settling;
    char ref[PLX_PHX_REF_LEN + 1];
} change;

plx_slice plx_tracks_owner(const plx_socket *s)
{
    return s->ops->leased ? plx_owner_name(s->store) : s->session;
}

/* The entry of a vanished socket was taken over: it is in the published state already. */
static void taken_over(plx_membership *m, const char *ref, const plx_tracked *tracked)
{
    plx_held *h = plx_tracks_find_ref(m, ref);

    if (!h || tracked->ref.len != PLX_PHX_REF_LEN)
        return;
    memcpy(h->ref, tracked->ref.data, PLX_PHX_REF_LEN);
    m->assigns_changed = true;
    if (strcmp(m->tracks->awaited, ref) != 0 || m->diffs.mode != PLX_DIFFS_WAITS)
        return;
    m->tracks->awaited[0] = '\0';
    m->diffs.mode = PLX_DIFFS_DUE;
    if (tracked->taken_at->offset > m->diffs.at)
        m->diffs.at = tracked->taken_at->offset;
    if (m->socket->ops->tracks)
        m->socket->ops->tracks(m->socket, m);
}

void plx_tracks_refused(const plx_membership *m, int err)
{
    plx_log_limited(PLX_WARNING, "presence on \"%.*s\" was refused: %s", (int)m->topic.len,
                    m->topic.data, plx_strerror(err));
}

static bool is_outage(int err)
{
    return err == PLX_E_DOWN || err == PLX_E_TIMEOUT || err == PLX_E_BUSY || err == PLX_E_STORE;
}

/* A WebSocket's client that could not be tracked at its join is told to join again. (A long-poll
 * session's message is handled again by whoever has its lease then.) */
static void tracked(void *arg, int err, const plx_tracked *result)
{
    change *c = arg;
    plx_call *call = plx_call_ref(c->settling->call);
    plx_membership *m = call->m;
    plx_socket *s = m->socket;

    plx_socket_enter(s);
    if (err == 0 && result->taken_at)
        taken_over(m, c->ref, result);
    else if (err != 0)
        plx_tracks_refused(m, err);
    if (is_outage(err) && s->entry == 0 && call->kind == PLX_CALL_JOIN)
        plx_membership_lost(m);
    plx_broadcast_done(c->settling, is_outage(err) || call->kind != PLX_CALL_JOIN ? err : 0, NULL,
                       false);
    free(c);
    plx_call_unref(call);
    plx_socket_exit(s);
}

static void change_done(void *arg, int err)
{
    change *c = arg;

    /* The store repeats it by itself; what was asked will be so. */
    plx_broadcast_done(c->settling, err == PLX_E_DOWN || err == PLX_E_TIMEOUT ? 0 : err, NULL,
                       false);
    free(c);
}

static change *change_new(plx_call *call, const char *ref, size_t bytes)
{
    change *c = plx_alloc_zero(1, sizeof *c);

    snprintf(c->ref, sizeof c->ref, "%s", ref);
    c->settling = plx_broadcast_new(call, CHANGE_COST + bytes);
    return c;
}

void plx_tracks_send(plx_call *call, plx_held *h, const char *prev)
{
    const plx_membership *m = call->m;
    const plx_socket *s = m->socket;
    const plx_track t = {.topic = m->topic,
                         .ref = plx_slice_of(h->ref),
                         .prev = plx_slice_of(prev),
                         .owner = plx_tracks_owner(s),
                         .socket = s->session,
                         .key = plx_held_key(h),
                         .meta = plx_slice_make(h->meta, h->meta_len)};

    plx_presence_track(s->store, &m->entry->rules, &t, tracked,
                       change_new(call, h->ref, h->key_len + h->meta_len));
    free(h->meta);
    h->meta = NULL;
}

void plx_tracks_take_back(plx_call *call, const plx_held *h)
{
    const plx_membership *m = call->m;
    const plx_socket *s = m->socket;
    const plx_untrack u = {.topic = m->topic,
                           .owner = plx_tracks_owner(s),
                           .socket = s->session,
                           .ref = plx_slice_of(h->ref)};

    plx_presence_untrack(s->store, &m->entry->rules, &u, change_done,
                         change_new(call, h->ref, h->key_len));
}
