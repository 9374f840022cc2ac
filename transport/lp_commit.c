/* What came of an inbox entry goes back to Redis: ends get their offsets, then one script commits.
 *
 * When the commit fails nothing is said to anybody: another holder has the
 * session, or it is gone, or Redis is away, and in each case the inbox knows. Whoever
 * waits asks there.
 */
#include "transport/lp_work.h"

#include "base/alloc.h"
#include "base/error.h"
#include "channel/track.h"
#include "store/topic.h"

#include <stdlib.h>

typedef struct end_read {
    plx_lp_work *work;
    size_t out;
} end_read;

static void on_committed(void *arg, int err, const plx_work *next)
{
    plx_lp_work *w = arg;
    plx_longpoll *lp = w->lp;
    char sid[PLX_SID_LEN + 1];
    memcpy(sid, w->sid, sizeof sid);
    w->calls--;
    if (w->abandoned) {
        plx_lp_work_release(w);
        return;
    }
    if (err == PLX_E_GONE)
        plx_lp_work_lost(w);
    if (err != 0) {
        plx_lp_work_release(w);
        if (err == PLX_E_GONE)
            plx_lp_post_gone(lp, plx_slice_make(sid, PLX_SID_LEN));
        return;
    }
    uint64_t entry = w->entry;
    unsigned status = w->entry_status;
    plx_lp_again_committed(w);
    plx_socket_forget(w->socket);
    w->socket = NULL;
    if (next)
        plx_lp_work_entry(w, next);
    else
        plx_lp_work_release(w);
    plx_lp_post_done(lp, plx_slice_make(sid, PLX_SID_LEN), entry, status);
}

/* The slots whose record changed: joined by this entry, or with other assigns. */
static size_t changed_slots(plx_lp_work *w, plx_slot *slots, plx_buf *state)
{
    size_t n = 0;
    for (plx_list *l = w->socket->memberships.next; l != &w->socket->memberships; l = l->next) {
        plx_membership *m = PLX_CONTAINER(l, plx_membership, node);
        if (m->state != PLX_JOINED || (m->slot < w->first_new_slot && !m->assigns_changed))
            continue;
        size_t before = state->len;
        plx_membership_pack(m, state);
        size_t middle = state->len;
        plx_hint_pack(m, state);
        /* The lengths for now: the buffer may still move. */
        slots[n++] = (plx_slot){.number = m->slot,
                                .topic = m->topic,
                                .start = m->start,
                                .diffs_after = m->diffs_after,
                                .goes_back = m->goes_back,
                                .presence = plx_slice_make(NULL, state->len - middle),
                                .state = plx_slice_make(NULL, middle - before)};
    }
    const char *at = state->data;
    for (size_t i = 0; i < n; i++) {
        slots[i].state.data = at;
        slots[i].presence.data = at += slots[i].state.len;
        at += slots[i].presence.len;
    }
    return n;
}

static void commit(plx_lp_work *w)
{
    plx_buf state, spent;
    plx_buf_init(&state, 0);
    plx_buf_init(&spent, 0);
    plx_spent_pack(&w->socket->spent, &spent);
    const plx_slice note = plx_buf_slice(&spent);
    plx_q_entry *q = plx_alloc_zero(w->out_count + 1, sizeof *q);
    for (size_t i = 0; i < w->out_count; i++)
        q[i] = w->outs[i].q;
    plx_lp_changes changes;
    plx_lp_timers_changes(w->socket, &changes);
    plx_slot *set = plx_alloc_zero(w->socket->membership_count + 1, sizeof *set);
    plx_commit c = {
        .sid = plx_lp_work_sid(w),
        .fence = w->fence,
        .entry = w->entry,
        .status = w->outcome,
        .q = q,
        .q_count = w->out_count,
        .set = set,
        .set_count = changed_slots(w, set, &state),
        .drop = w->drops,
        .drop_count = w->drop_count,
        .timers = changes.timers,
        .timer_count = changes.count,
        .note = w->socket->spent.changed ? &note : NULL,
    };
    w->committing = true;
    w->calls++;
    plx_session_commit(w->lp->store, &c, on_committed, w);
    free(set);
    free(q);
    plx_lp_changes_fini(&changes);
    plx_buf_fini(&state);
    plx_buf_fini(&spent);
}

bool plx_lp_work_read(plx_lp_work *w, int err)
{
    w->calls--;
    if (!w->abandoned && err == 0)
        return true;
    plx_lp_work_release(w); /* Redis is away: the entry will be worked again */
    return false;
}

void plx_lp_work_read_done(plx_lp_work *w)
{
    if (--w->positions == 0)
        commit(w);
}

static void on_end(void *arg, int err, const plx_position *position)
{
    end_read *r = arg;
    plx_lp_work *w = r->work;
    size_t out = r->out;
    free(r);
    if (!plx_lp_work_read(w, err))
        return;
    plx_q_entry *q = &w->outs[out].q;
    if (strcmp(position->epoch, q->slot.start.epoch) == 0)
        q->end = position->offset;
    plx_lp_work_read_done(w);
}

static void read_end(plx_lp_work *w, size_t out)
{
    end_read *r = plx_alloc(sizeof *r);
    *r = (end_read){w, out};
    w->positions++;
    w->calls++;
    plx_topic_position(w->lp->store, w->outs[out].q.slot.topic, on_end, r);
}

/* A topic that was left and joined again by this entry: the old slot ends where the new one begins,
 * else what came in between would be delivered by both. */
static const plx_q_entry *opens_again(const plx_lp_work *w, size_t out)
{
    for (size_t i = out + 1; i < w->out_count; i++) {
        const plx_q_entry *q = &w->outs[i].q;
        if (q->kind == PLX_Q_OPEN && plx_slice_eq(q->slot.topic, w->outs[out].q.slot.topic))
            return q;
    }
    return NULL;
}

static void find_end(plx_lp_work *w, size_t out)
{
    plx_q_entry *q = &w->outs[out].q;
    const plx_q_entry *next = opens_again(w, out);
    if (next == NULL)
        read_end(w, out);
    else if (strcmp(next->slot.start.epoch, q->slot.start.epoch) == 0)
        q->end = next->slot.start.offset;
}

static void take_start(const plx_lp_work *w, plx_lp_out *o, const plx_position *start)
{
    plx_slice text;
    o->q.slot.start = *start;
    if (!plx_lp_opening_moved(o->opening, start, w->vsn, &text))
        return;
    free((void *)(uintptr_t)o->q.text.data);
    o->q.text = text;
}

/* Where memberships begin may have moved since their replies were made. */
static void take_starts(plx_lp_work *w)
{
    for (plx_list *n = w->socket->memberships.next; n != &w->socket->memberships; n = n->next) {
        const plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        for (size_t i = 0; m->slot >= w->first_new_slot && i < w->out_count; i++) {
            if (w->outs[i].q.kind == PLX_Q_OPEN && w->outs[i].q.slot.number == m->slot)
                take_start(w, &w->outs[i], &m->start);
        }
    }
}

void plx_lp_work_settle(plx_lp_work *w)
{
    if (w->socket->pending > 0 || w->settled)
        return;
    if (w->socket->unavailable) {
        plx_lp_work_release(w); /* the lease runs out, and whoever waits takes the entry up again */
        return;
    }
    w->settled = true;
    take_starts(w);
    for (size_t i = 0; i < w->out_count; i++)
        if (w->outs[i].end_unknown)
            find_end(w, i);
    plx_lp_again_read(w);
    if (w->positions == 0)
        commit(w);
}
