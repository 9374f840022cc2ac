/* See lp_judge.h. */
#include "transport/lp_judge.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "channel/intercept.h"
#include "transport/lp_poll.h"

#include <stdlib.h>

static poll_topic *topic_at(plx_list *node)
{
    return PLX_CONTAINER(node, poll_topic, merge.node);
}

/* Whether the topic holds something that may have to be judged. */
static bool wants(const poll_topic *t)
{
    return t->judged && t->merge.head < t->merge.count;
}

static bool is_wanted(const lp_poll *p)
{
    for (plx_list *n = p->merge.topics.next; n != &p->merge.topics; n = n->next)
        if (wants(topic_at(n)))
            return true;
    return false;
}

/* ---- a socket for the time being ---- */

static void emit(plx_socket *s, const plx_out *out)
{
    (void)s, (void)out;
}

static void closed(plx_socket *s, plx_membership *m)
{
    (void)s, (void)m;
}

static const plx_socket_ops ops = {.name = "longpoll", .emit = emit, .closed = closed};

static plx_membership *membership_of(const plx_lp_judge *j, uint32_t slot)
{
    for (plx_list *n = j->socket ? j->socket->memberships.next : NULL;
         n && n != &j->socket->memberships; n = n->next) {
        plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        if (m->slot == slot)
            return m;
    }
    return NULL;
}

static void put_back(plx_lp_judge *j, const poll_topic *t, plx_slice state)
{
    plx_slot slot = {.number = t->merge.slot,
                     .topic = plx_slice_make(t->name, t->name_len),
                     .start.offset = t->merge.start,
                     .diffs_after = t->diffs_after,
                     .state = state};
    memcpy(slot.start.epoch, t->epoch, sizeof slot.start.epoch);
    if (state.len > 0)
        plx_socket_restore(j->socket, &slot); /* NULL: damaged; then nothing is shown */
}

/* ---- reading ---- */

typedef struct question {
    lp_poll *poll;
    size_t count;
    uint32_t slots[];
} question;

void plx_lp_judge_forget(lp_poll *p)
{
    if (p->judge.socket)
        plx_socket_forget(p->judge.socket);
    p->judge.socket = NULL;
    plx_event_unref(p->judge.last);
    p->judge.last = NULL;
}

static plx_slice state_of(const question *q, const plx_session_recalled *r, const poll_topic *t)
{
    for (size_t i = 0; i < q->count; i++)
        if (q->slots[i] == t->merge.slot)
            return r->states[i];
    return plx_slice_make(NULL, 0);
}

/* One whose slot is gone has its last state in the queue, with its end; when the poll has not seen
 * that yet, it looks. */
static bool build(lp_poll *p, const question *q, const plx_session_recalled *r)
{
    bool complete = true;
    const plx_socket_init init = {.ops = &ops,
                                  .store = p->lp->store,
                                  .channels = p->channels,
                                  .session = plx_slice_make(p->cursor.sid, PLX_SID_LEN),
                                  .id = r->id,
                                  .params = r->params,
                                  .claims = r->claims};
    plx_lp_judge_forget(p);
    p->judge.socket = plx_socket_new(&init);
    p->judge.read_ms = plx_now_ms();
    for (plx_list *n = p->merge.topics.next; n != &p->merge.topics; n = n->next) {
        poll_topic *t = topic_at(n);
        if (!wants(t))
            continue;
        plx_slice state =
            t->last_state ? plx_slice_make(t->last_state, t->last_state_len) : state_of(q, r, t);
        put_back(&p->judge, t, state);
        if (state.len == 0 && !t->missed) {
            t->missed = true;
            complete = false;
        }
    }
    return complete;
}

static void on_recalled(void *arg, int err, const plx_session_recalled *r)
{
    question *q = arg;
    lp_poll *p = q->poll;
    p->reports--;
    p->judge.asking = false;
    if (p->http == NULL)
        plx_lp_poll_release(p);
    else if (err != 0)
        plx_lp_poll_unread(p, err);
    else if (build(p, q, r))
        plx_lp_poll_dirty(p);
    else
        plx_lp_poll_look(p);
    free(q);
}

static void ask(lp_poll *p)
{
    size_t n = 0;
    for (plx_list *l = p->merge.topics.next; l != &p->merge.topics; l = l->next)
        n++;
    question *q = plx_alloc(sizeof *q + n * sizeof q->slots[0]);
    q->poll = p;
    q->count = 0;
    for (plx_list *l = p->merge.topics.next; l != &p->merge.topics; l = l->next) {
        const poll_topic *t = topic_at(l);
        if (wants(t) && !t->last_state && q->count < PLX_RECALL_MAX)
            q->slots[q->count++] = t->merge.slot;
    }
    p->reports++;
    p->judge.asking = true;
    plx_session_recall(p->lp->store, plx_slice_make(p->cursor.sid, PLX_SID_LEN), q->slots, q->count,
                       on_recalled, q);
}

static bool is_fresh(const lp_poll *p)
{
    return p->judge.socket && plx_now_ms() - p->judge.read_ms <= PLX_LP_JUDGE_MS;
}

/* Topics may have come since the states were read. */
static bool knows_all(const lp_poll *p)
{
    for (plx_list *n = p->merge.topics.next; n != &p->merge.topics; n = n->next) {
        const poll_topic *t = topic_at(n);
        if (wants(t) && !t->missed && !membership_of(&p->judge, t->merge.slot))
            return false;
    }
    return true;
}

bool plx_lp_judge_ready(lp_poll *p)
{
    if (!is_wanted(p) || (is_fresh(p) && knows_all(p)))
        return true;
    if (!p->judge.asking)
        ask(p);
    return false;
}

/* ---- the verdict ---- */

plx_event *plx_lp_judge_event(lp_poll *p, poll_topic *t, plx_event *e)
{
    plx_membership *m = membership_of(&p->judge, t->merge.slot);
    bool crashed = false;
    plx_event_unref(p->judge.last);
    p->judge.last = m && !t->crashed ? plx_intercept(m, e, &crashed) : NULL;
    if (crashed) {
        t->crashed = true;
        plx_lp_poll_report(t, PLX_ENTRY_CRASH);
    }
    return p->judge.last;
}
