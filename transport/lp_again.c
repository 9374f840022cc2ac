/* An entry that was handed out before. The worker that had it may have died over it, after it had
 * tracked what a join asks for; and the application, asked again, may have answered otherwise: it
 * refuses, or tracks another key. What the dead worker left would stay until the session's end.
 *
 *   fed (topics of its messages) --> settled: what does Redis have of this session there?
 *       --> what no membership holds --> committed --> that is untracked
 *
 * Only after the commit, because then nobody else works this entry any more, and by refs: those are
 * no other entry's (channel/track.h).
 */
#include "transport/lp_body.h"
#include "transport/lp_work.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/map.h"
#include "channel/info.h"
#include "channel/track.h"

#include <stdlib.h>

struct plx_lp_again {
    plx_map *topics; /* left_topic.name -> left_topic */
};

typedef struct left_topic {
    plx_lp_work *work;
    bool joined;     /* by a message of the entry */
    plx_buf orphans; /* refs, one behind the other */
    plx_slice name;
    char bytes[];
} left_topic;

/* ---- which topics ---- */

static void add(plx_lp_work *w, plx_slice topic, bool joined)
{
    left_topic *t = plx_map_get(w->again->topics, topic);
    if (t) {
        t->joined = t->joined || joined;
        return;
    }
    t = plx_alloc(sizeof *t + topic.len);
    *t = (left_topic){.work = w, .joined = joined, .name = plx_slice_make(t->bytes, topic.len)};
    plx_buf_init(&t->orphans, 0);
    memcpy(t->bytes, topic.data, topic.len);
    plx_map_put(w->again->topics, t->name, t);
}

static void add_post(plx_lp_work *w, plx_slice body)
{
    plx_lp_body walk;
    plx_message m;
    if (body.len == 0)
        return;
    plx_lp_body_init(&walk, w->vsn, body.data[0] == 'n',
                     plx_slice_make(body.data + 1, body.len - 1));
    while (plx_lp_body_next(&walk, &m) > 0) {
        bool joins = m.event.kind == PLX_TERM_STRING && plx_slice_is(m.event.text, "phx_join");
        if (m.topic.kind == PLX_TERM_STRING && m.topic.text.len > 0 &&
            (joins ? plx_channels_route(w->socket->channels, m.topic.text) != NULL
                   : plx_socket_find(w->socket, m.topic.text) != NULL))
            add(w, m.topic.text, joins);
    }
    plx_lp_body_fini(&walk);
}

static void add_info(plx_lp_work *w, plx_slice body)
{
    plx_info info;
    if (plx_info_unpack(body, &info) != 0)
        return;
    for (plx_list *n = w->socket->memberships.next; n != &w->socket->memberships; n = n->next) {
        const plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        if (info.slot > 0 ? m->slot == info.slot : plx_slice_eq(m->topic, info.topic))
            add(w, m->topic, false);
    }
}

void plx_lp_again_begin(plx_lp_work *w, const plx_entry *entry)
{
    w->again = plx_alloc(sizeof *w->again);
    w->again->topics = plx_map_new();
    if (entry->kind == PLX_ENTRY_POST)
        add_post(w, entry->body);
    else if (entry->kind == PLX_ENTRY_INFO)
        add_info(w, entry->body);
}

void plx_lp_again_end(plx_lp_work *w)
{
    left_topic *t;
    size_t cursor = 0;
    if (!w->again)
        return;
    while ((t = plx_map_next(w->again->topics, &cursor)) != NULL) {
        plx_map_remove(w->again->topics, t->name);
        plx_buf_fini(&t->orphans);
        free(t);
    }
    plx_map_free(w->again->topics);
    free(w->again);
    w->again = NULL;
}

/* ---- what is nobody's there ---- */

static bool is_of(const plx_membership *m, const left_topic *t)
{
    return m->state == PLX_JOINED && plx_slice_eq(m->topic, t->name);
}

static bool is_held(const left_topic *t, plx_slice ref)
{
    const plx_list *all = &t->work->socket->memberships;
    for (plx_list *n = all->next; n != all; n = n->next) {
        const plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        if (is_of(m, t) && plx_tracks_holds(m, ref))
            return true;
    }
    return false;
}

/* Of a membership that was there before, the dead worker may have replaced an entry by another
 * (update): then what is held is not there, and the other one is all that shows the client. */
static bool is_replaced(const left_topic *t, plx_slice refs)
{
    const plx_list *all = &t->work->socket->memberships;
    for (plx_list *n = all->next; n != all; n = n->next) {
        const plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        if (is_of(m, t) && !plx_tracks_among(m, refs))
            return true;
    }
    return false;
}

static void on_held(void *arg, int err, plx_slice refs)
{
    left_topic *t = arg;
    plx_lp_work *w = t->work;
    if (!plx_lp_work_read(w, err == PLX_E_DOWN || err == PLX_E_TIMEOUT ? err : 0))
        return;
    if (t->joined || !is_replaced(t, refs)) {
        for (size_t i = 0; i + PLX_PHX_REF_LEN <= refs.len; i += PLX_PHX_REF_LEN) {
            plx_slice ref = plx_slice_make(refs.data + i, PLX_PHX_REF_LEN);
            if (!is_held(t, ref))
                plx_buf_add(&t->orphans, ref);
        }
    }
    plx_lp_work_read_done(w);
}

void plx_lp_again_read(plx_lp_work *w)
{
    left_topic *t;
    size_t cursor = 0;
    while (w->again && (t = plx_map_next(w->again->topics, &cursor)) != NULL) {
        w->positions++;
        w->calls++;
        plx_presence_held(w->lp->store, t->name, plx_lp_work_sid(w), on_held, t);
    }
}

static void untracked(void *arg, int err)
{
    plx_longpoll *lp = arg;
    (void)err; /* the store repeats it */
    lp->cleanups--;
    plx_lp_unref(lp);
}

void plx_lp_again_committed(plx_lp_work *w)
{
    left_topic *t;
    size_t cursor = 0;
    while (w->again && (t = plx_map_next(w->again->topics, &cursor)) != NULL) {
        for (size_t i = 0; i < t->orphans.len; i += PLX_PHX_REF_LEN) {
            w->lp->cleanups++;
            plx_lp_untrack(w->lp, plx_lp_work_sid(w), t->name,
                           plx_slice_make(t->orphans.data + i, PLX_PHX_REF_LEN), false, untracked,
                           plx_lp_ref(w->lp));
        }
    }
}
