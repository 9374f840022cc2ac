/* The states that memberships wait for, and the lease of this worker.
 *
 * A membership that tracks something keeps the topic's roster open, so that the next
 * one finds it up to date. While it waits for its state it is in the server's list;
 * at rest it costs a pointer and what it tracks.
 */
#include "transport/ws_internal.h"

#include "base/alloc.h"
#include "base/log.h"

#include <stdlib.h>

typedef struct waiting {
    plx_list node; /* in server->waiting */
    plx_membership *m;
    ev_tstamp since;
    plx_roster_wait roster;
    bool asked; /* the roster answers */
} waiting;

static plx_ws_conn *conn_of(const plx_membership *m)
{
    return m->socket->transport;
}

/* Of a topic on which m tracks something, or NULL. */
static plx_roster *roster_of(const plx_membership *m)
{
    return m->transport;
}

static void start_patience(plx_ws_server *s)
{
    if (ev_is_active(&s->patience) || plx_list_empty(&s->waiting))
        return;
    const waiting *w = PLX_CONTAINER(s->waiting.next, waiting, node);
    ev_tstamp left = w->since + PLX_DIFFS_PATIENCE_MS / 1000. - ev_now(s->loop);
    ev_timer_set(&s->patience, left > 0. ? left : 0., 0.);
    ev_timer_start(s->loop, &s->patience);
}

static void enlist(waiting *w)
{
    plx_ws_server *s = conn_of(w->m)->server;
    plx_list_remove(&w->node);
    w->since = ev_now(s->loop);
    plx_list_push(&s->waiting, &w->node);
    start_patience(s);
}

static void waiting_free(plx_membership *m)
{
    waiting *w = m->presence;
    if (!w)
        return;
    plx_roster_wait_stop(&w->roster);
    plx_list_remove(&w->node);
    m->presence = NULL;
    free(w);
}

static void ask(waiting *w)
{
    plx_position *p = &w->roster.position;
    if (w->asked)
        return;
    w->asked = true;
    memcpy(p->epoch, w->m->watch.epoch, sizeof p->epoch);
    p->offset = w->m->diffs.at;
    plx_roster_wait_start(roster_of(w->m), &w->roster, p);
}

static void give(plx_membership *m, plx_event *state)
{
    plx_ws_conn *c = conn_of(m);
    plx_blob *parts[2];
    plx_diffs_given(&m->diffs, state->position.offset);
    if (plx_ws_encode_pushed(&c->server->encoder, c->vsn, &c->deflate, plx_membership_join_ref(m),
                             state, plx_ws_holds_count(c->holds) > 0, parts))
        plx_ws_socket_send(m, parts);
}

static void on_state(plx_roster_wait *rw, plx_roster *r)
{
    waiting *w = PLX_CONTAINER(rw, waiting, roster);
    plx_membership *m = w->m;
    plx_event *state = plx_roster_state(r);
    w->asked = false;
    if (rw->position.offset < m->diffs.at) { /* more was withheld meanwhile */
        ask(w);
        return;
    }
    if (!state)
        return; /* asked again when its patience is over */
    waiting_free(m);
    give(m, state);
}

static void on_patience(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)events;
    plx_ws_server *s = t->data;
    ev_tstamp due = ev_now(loop) - PLX_DIFFS_PATIENCE_MS / 1000.;
    while (!plx_list_empty(&s->waiting)) {
        waiting *w = PLX_CONTAINER(s->waiting.next, waiting, node);
        if (w->since > due)
            break;
        w->m->diffs.mode = PLX_DIFFS_DUE;
        enlist(w);
        ask(w);
    }
    start_patience(s);
}

void plx_ws_presence_wait(plx_membership *m)
{
    waiting *w = m->presence;
    if (!roster_of(m))
        m->transport = plx_roster_open(m->socket->store, m->topic, &m->entry->rules);
    if (!w) {
        w = plx_alloc_zero(1, sizeof *w);
        w->m = m;
        w->roster.ready = on_state;
        plx_list_init(&w->roster.node);
        plx_list_init(&w->node);
        m->presence = w;
        enlist(w);
    }
    if (m->diffs.mode == PLX_DIFFS_DUE)
        ask(w);
}

bool plx_ws_presence_take(plx_membership *m, plx_event *e)
{
    bool was_due = m->diffs.mode == PLX_DIFFS_DUE;
    bool take = plx_diffs_take(&m->diffs, e, plx_tracks_answered(m, e));
    if (m->diffs.mode == PLX_DIFFS_DUE && !was_due)
        plx_ws_presence_wait(m);
    return take;
}

void plx_ws_presence_stop(plx_membership *m)
{
    waiting_free(m);
    if (roster_of(m))
        plx_roster_close(roster_of(m));
    m->transport = NULL;
}

/* ---- the lease ---- */

/* What this worker's sockets had tracked is gone or will be: their clients join again. */
static void lost_of(plx_ws_conn *c)
{
    plx_list *next;
    if (!c->socket)
        return;
    for (plx_list *n = c->socket->memberships.next; n != &c->socket->memberships; n = next) {
        plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        next = n->next;
        if (m->state == PLX_JOINED && (m->tracks || m->noted))
            plx_membership_lost(m);
    }
    plx_ws_socket_release(c);
}

static void on_lost(plx_owner_watch *watch)
{
    plx_ws_server *s = PLX_CONTAINER(watch, plx_ws_server, owner);
    plx_list *next;
    plx_warning("this worker was taken for dead: clients with presence are told to join again");
    for (plx_list *n = s->conns.next; n != &s->conns; n = next) {
        next = n->next;
        lost_of(PLX_CONTAINER(n, plx_ws_conn, node));
    }
}

void plx_ws_presence_init(plx_ws_server *s)
{
    plx_list_init(&s->waiting);
    ev_init(&s->patience, on_patience);
    s->patience.data = s;
    s->owner.lost = on_lost;
    plx_owner_start(s->store, &s->owner);
    plx_record_sweep_start(&s->sweep, s->store, s->channels);
}

void plx_ws_presence_fini(plx_ws_server *s)
{
    ev_timer_stop(s->loop, &s->patience);
}
