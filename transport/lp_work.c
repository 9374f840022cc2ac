/* Working a session's inbox: the channel core over a session's record, under its lease.
 *
 *   plx_work --restore--> plx_socket --messages of the entry--> core --emit--> queue entries
 *            --all answered--> ends get their offsets --> plx_session_commit --> next entry
 *
 * A plx_socket lives for one entry: built from the record, thrown away after the
 * commit. If this worker dies in between, or its lease is lost, nothing was
 * changed and the next holder works the same entry again; broadcasts carry
 * (session, entry, index) as producer and are not doubled.
 */
#include "transport/lp_work.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <stdlib.h>

static void free_slice(plx_slice *s)
{
    free((void *)(uintptr_t)s->data);
    *s = plx_slice_make(NULL, 0);
}

static void clear_outs(plx_lp_work *w)
{
    for (size_t i = 0; i < w->out_count; i++) {
        free_slice(&w->outs[i].q.text);
        free_slice(&w->outs[i].q.slot.topic);
        free_slice(&w->outs[i].q.slot.state);
        free((void *)(uintptr_t)w->outs[i].q.barriers);
        plx_lp_opening_free(w->outs[i].opening);
    }
    w->out_count = 0;
    w->drop_count = 0;
}

void plx_lp_work_release(plx_lp_work *w)
{
    w->abandoned = true;
    ev_timer_stop(w->lp->loop, &w->renew);
    plx_list_remove(&w->node);
    if (w->socket)
        plx_socket_forget(w->socket);
    w->socket = NULL;
    if (w->calls > 0)
        return;
    clear_outs(w);
    plx_lp_again_end(w);
    free(w->outs);
    free(w->drops);
    plx_lp_unref(w->lp);
    free(w);
}

/* ---- the transport under the core ---- */

static plx_lp_out *new_out(plx_lp_work *w)
{
    if (w->out_count == w->out_capacity) {
        w->out_capacity = w->out_capacity ? 2 * w->out_capacity : 8;
        w->outs = plx_realloc(w->outs, w->out_capacity * sizeof *w->outs);
    }
    plx_lp_out *o = &w->outs[w->out_count++];
    *o = (plx_lp_out){.q = {.kind = PLX_Q_PLAIN}};
    return o;
}

static bool same_epoch(const plx_position *a, const plx_position *b)
{
    return strcmp(a->epoch, b->epoch) == 0;
}

/* How far a membership delivers that another one replaces: to where that one begins, and not less
 * far than its own replies want, when that one goes back behind them. */
static uint64_t end_of(const plx_membership *old, const plx_membership *m)
{
    return old->caused > m->start.offset ? old->caused : m->start.offset;
}

static void set_barriers(plx_q_entry *q, const plx_out *out)
{
    const plx_membership *m = out->membership;
    const plx_membership *old = out->opens && m ? m->replaces : NULL;
    bool replaces = old && same_epoch(&old->start, &m->start);
    size_t n = out->barrier_count + (replaces ? 1 : 0);
    if (n == 0)
        return;
    plx_barrier *b = plx_alloc_zero(n, sizeof *b);
    for (size_t i = 0; i < out->barrier_count; i++)
        b[i] = (plx_barrier){out->barriers[i].membership->slot, out->barriers[i].offset};
    /* A rejoin: what the old membership still owes comes before the new one's reply. */
    if (replaces)
        b[n - 1] = (plx_barrier){old->slot, end_of(old, m)};
    q->barriers = b;
    q->barrier_count = n;
}

static void name_slot(plx_q_entry *q, const plx_membership *m)
{
    q->slot.number = m->slot;
    q->slot.topic = plx_slice_copy(m->topic);
    q->slot.start = m->start;
    q->slot.diffs_after = m->diffs_after;
    q->slot.goes_back = m->goes_back;
}

/* What a poll needs to judge the last events for this membership. */
static void keep_state(plx_q_entry *q, const plx_membership *m)
{
    plx_buf state;
    plx_buf_init(&state, 0);
    plx_membership_pack(m, &state);
    q->slot.state = plx_slice_copy(plx_buf_slice(&state));
    plx_buf_fini(&state);
}

/* The end of a membership: where its topic stands at the commit, unless a rejoin began at a known
 * place, or its log is lost. */
static void set_end(plx_lp_out *o, const plx_out *out)
{
    plx_membership *m = out->membership;
    name_slot(&o->q, m);
    o->q.kind = PLX_Q_END;
    o->q.end = 0;
    if (m->entry->backend->intercept)
        keep_state(&o->q, m);
    for (plx_list *n = m->socket->memberships.next; n != &m->socket->memberships; n = n->next) {
        const plx_membership *other = PLX_CONTAINER(n, plx_membership, node);
        if (other != m && other->slot > m->slot && plx_slice_eq(other->topic, m->topic)) {
            if (same_epoch(&other->start, &m->start))
                o->q.end = end_of(m, other);
            return;
        }
    }
    o->end_unknown = m->transport == NULL;
}

/* A message that no queue takes. The client gets a reply that says so: it would wait for ever. */
static int encode_instead(plx_lp_work *w, const plx_out *out, plx_buf *text)
{
    bool binary;
    plx_out reply = *out;
    plx_log_limited(PLX_WARNING, "session %s: a message of over %d bytes was not queued", w->sid,
                    PLX_Q_MESSAGE);
    if (out->kind != PLX_OUT_REPLY)
        return PLX_E_TOOBIG;
    reply.status = plx_slice_of("error");
    reply.payload = PLX_JSON_PAYLOAD("{\"reason\":\"too large\"}");
    plx_buf_clear(text);
    return plx_encode(w->vsn, false, &reply, text, &binary);
}

static void emit(plx_socket *s, const plx_out *out)
{
    plx_lp_work *w = s->transport;
    plx_buf text;
    bool binary;
    plx_buf_init(&text, PLX_Q_MESSAGE);
    int err = plx_encode(w->vsn, false, out, &text, &binary);
    if (err == PLX_E_TOOBIG)
        err = encode_instead(w, out, &text);
    if (err == PLX_E_DENIED)
        w->lp->skipped_binary++;
    if (err == 0) {
        plx_lp_out *o = new_out(w);
        set_barriers(&o->q, out);
        o->q.text = plx_slice_copy(plx_buf_slice(&text));
        if (out->opens) {
            o->q.kind = PLX_Q_OPEN;
            name_slot(&o->q, out->membership);
            o->opening = plx_lp_opening_new(out);
        } else if (out->ends) {
            set_end(o, out);
        }
    }
    plx_buf_fini(&text);
}

static void open_membership(plx_socket *s, plx_membership *m)
{
    plx_lp_work *w = s->transport;
    m->slot = w->next_slot++;
    plx_membership_ready(m);
}

static void drop_slot(plx_lp_work *w, uint32_t slot)
{
    if (w->drop_count == w->drop_capacity) {
        w->drop_capacity = w->drop_capacity ? 2 * w->drop_capacity : 8;
        w->drops = plx_realloc(w->drops, w->drop_capacity * sizeof *w->drops);
    }
    w->drops[w->drop_count++] = slot;
}

static void closed(plx_socket *s, plx_membership *m)
{
    plx_lp_work *w = s->transport;
    m->transport = NULL;
    if (!w->abandoned && m->slot != 0)
        drop_slot(w, m->slot);
}

static void idle(plx_socket *s)
{
    plx_lp_work *w = s->transport;
    if (!w->feeding)
        plx_lp_work_settle(w);
}

static const plx_socket_ops ops = {
    .name = "longpoll",
    .emit = emit,
    .open = open_membership,
    .closed = closed,
    .idle = idle,
};

/* ---- building and feeding ---- */

static void ignore(void *arg, int err)
{
    (void)arg;
    (void)err;
}

static const plx_channels *find_channels(const plx_longpoll *lp, plx_slice mount)
{
    for (size_t i = 0; i < lp->config->socket_count; i++)
        if (plx_slice_is(mount, lp->config->sockets[i].path))
            return &lp->channels[i];
    return NULL;
}

/* A slot that can't be restored: its topic is not configured any more, or its record is damaged. */
static void end_unrouted(plx_lp_work *w, const plx_slot *slot)
{
    plx_log_limited(PLX_WARNING, "session %s: topic %.*s can't be restored, its channel is closed",
                    w->sid, (int)slot->topic.len, slot->topic.data);
    if (w->abandoned)
        return;
    plx_out out = {
        .kind = PLX_OUT_ERROR,
        .topic = {PLX_TERM_STRING, slot->topic},
        .payload = PLX_JSON_PAYLOAD("{\"reason\":\"unmatched topic\"}"),
    };
    plx_buf text;
    bool binary;
    plx_buf_init(&text, PLX_Q_BYTES);
    if (plx_encode(w->vsn, false, &out, &text, &binary) == 0) {
        plx_lp_out *o = new_out(w);
        o->q.kind = PLX_Q_END;
        o->q.slot = (plx_slot){
            .number = slot->number, .start = slot->start, .diffs_after = slot->diffs_after};
        o->q.slot.goes_back = slot->goes_back;
        o->q.slot.topic = plx_slice_copy(slot->topic);
        o->q.text = plx_slice_copy(plx_buf_slice(&text));
    }
    plx_buf_fini(&text);
    drop_slot(w, slot->number);
}

plx_socket *plx_lp_work_build(plx_lp_work *w, const plx_work *work)
{
    const plx_channels *channels = find_channels(w->lp, work->mount);
    if (!channels)
        return NULL;
    plx_socket_init init = {
        .ops = &ops,
        .transport = w,
        .store = w->lp->store,
        .channels = channels,
        .session = work->sid,
        .id = work->id,
        .params = work->params,
        .claims = work->claims,
        .max_channels = PLX_LP_CHANNELS,
    };
    plx_socket *s = plx_socket_new(&init);
    plx_spent_unpack(&s->spent, work->note);
    s->entry = work->entry.id;
    s->entry_ms = work->entry.came_ms > 0 ? work->entry.came_ms : plx_wall_ms();
    for (size_t i = 0; i < work->slot_count; i++) {
        const plx_slot *slot = &work->slots[i];
        if (!plx_socket_restore(s, slot))
            end_unrouted(w, slot);
    }
    plx_lp_timers_restore(s, work);
    return s;
}

void plx_lp_work_entry(plx_lp_work *w, const plx_work *work)
{
    w->entry = work->entry.id;
    w->entry_status = work->entry.status;
    w->outcome = 0;
    w->first_new_slot = w->next_slot = work->next_slot > 0 ? work->next_slot : 1;
    w->settled = w->committing = false;
    clear_outs(w);
    plx_lp_again_end(w);
    w->socket = plx_lp_work_build(w, work);
    if (w->socket == NULL) {
        plx_session_end(w->lp->store, plx_lp_work_sid(w), "unmounted", ignore, NULL);
        plx_lp_work_release(w);
        return;
    }
    if (work->again)
        plx_lp_again_begin(w, &work->entry);
    w->feeding = true;
    plx_lp_work_feed(w, &work->entry);
    w->feeding = false;
    plx_lp_work_settle(w);
}

/* ---- the lease ---- */

static void on_renewed(void *arg, int err)
{
    plx_lp_work *w = arg;
    w->calls--;
    if (w->abandoned || (err != 0 && err != PLX_E_DOWN && err != PLX_E_TIMEOUT))
        plx_lp_work_release(w);
}

static void on_renew(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)loop;
    (void)events;
    plx_lp_work *w = t->data;
    if (w->committing)
        return; /* a renewal behind the commit would take the lease that it gave back */
    w->calls++;
    plx_session_renew(w->lp->store, plx_lp_work_sid(w), w->fence, on_renewed, w);
}

void plx_lp_work_start(plx_longpoll *lp, const plx_work *work)
{
    plx_lp_work *w = plx_alloc_zero(1, sizeof *w);
    w->lp = plx_lp_ref(lp);
    w->fence = work->fence;
    w->vsn = work->vsn == 1 ? PLX_V1 : PLX_V2;
    memcpy(w->sid, work->sid.data, work->sid.len < PLX_SID_LEN ? work->sid.len : PLX_SID_LEN);
    plx_list_init(&w->node);
    plx_list_push(&lp->works, &w->node);
    ev_timer_init(&w->renew, on_renew, plx_lp_seconds(PLX_LEASE_MS / 2),
                  plx_lp_seconds(PLX_LEASE_MS / 2));
    w->renew.data = w;
    ev_timer_start(lp->loop, &w->renew);
    plx_lp_work_entry(w, work);
}

void plx_lp_works_end(plx_longpoll *lp)
{
    plx_list *n;
    while ((n = lp->works.next) != &lp->works)
        plx_lp_work_release(PLX_CONTAINER(n, plx_lp_work, node));
}
