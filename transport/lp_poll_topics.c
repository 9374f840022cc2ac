/* What a poll collects: events of its topics from the feeds, entries from its session's queue.
 *
 * A poll holds no more than an answer takes (a little more of the topic that a
 * queue entry waits for): past that it stops watching, and the rest comes with the
 * next poll.
 */
#include "transport/lp_poll.h"

#include "base/alloc.h"
#include "channel/intercept.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static poll_topic *topic_of(plx_feed_watch *w)
{
    return PLX_CONTAINER(w, poll_topic, watch);
}

static poll_topic *topic_at(plx_list *node)
{
    return PLX_CONTAINER(node, poll_topic, merge.node);
}

static void topic_free(poll_topic *t)
{
    t->poll->lp->topics--;
    plx_feed_watch_stop(&t->watch);
    plx_lp_presence_fini(t);
    plx_lp_topic_fini(&t->merge);
    free(t->last_state);
    free(t);
}

void plx_lp_poll_drop_topics(lp_poll *p)
{
    while (!plx_list_empty(&p->merge.topics))
        topic_free(topic_at(p->merge.topics.next));
    p->unsettled = 0;
}

static void watch_from(poll_topic *t, uint64_t offset)
{
    plx_position from = {.offset = offset};
    memcpy(from.epoch, t->epoch, sizeof from.epoch);
    plx_feed_watch_start(t->poll->lp->store, &t->watch, plx_slice_make(t->name, t->name_len),
                         &from);
}

void plx_lp_poll_chase(lp_poll *p)
{
    if (p->merge.blocked_offset == 0)
        return;
    plx_lp_topic *m = plx_lp_merge_topic(&p->merge, p->merge.blocked_slot);
    poll_topic *t = m ? PLX_CONTAINER(m, poll_topic, merge) : NULL;
    if (t == NULL || m->lost)
        return;
    if (t->watch.feed == NULL)
        watch_from(t, m->seen); /* it was stopped because others had filled the answer */
    plx_feed_expect(t->watch.feed, p->merge.blocked_offset);
}

/* ---- what the feeds tell ---- */

static void settled(poll_topic *t)
{
    if (t->settling) {
        t->settling = false;
        t->poll->unsettled--;
    }
    plx_lp_poll_dirty(t->poll);
}

static void feed_ready(plx_feed_watch *w)
{
    (void)w;
}

static bool is_full(size_t events, size_t bytes)
{
    return events >= PLX_LP_MESSAGES || bytes >= PLX_LP_BYTES;
}

/* Whether nothing more of the topic fits: an answer is full, and it is not waited for. */
static bool has_enough(const poll_topic *t)
{
    const plx_lp_topic *m = &t->merge;
    const lp_poll *p = t->poll;
    return is_full(m->count - m->head, m->bytes) ||
           (is_full(p->held, p->held_bytes) && p->merge.blocked_slot != m->slot);
}

/* More of it may come that is for this socket. */
static bool goes_on(const poll_topic *t)
{
    return !t->crashed && !t->merge.lost && t->merge.seen < t->merge.last;
}

void plx_lp_poll_refill(lp_poll *p)
{
    p->held = p->held_bytes = 0;
    for (plx_list *n = p->merge.topics.next; n != &p->merge.topics; n = n->next) {
        const plx_lp_topic *m = &topic_at(n)->merge;
        p->held += m->count - m->head;
        p->held_bytes += m->bytes;
    }
    for (plx_list *n = p->merge.topics.next; n != &p->merge.topics; n = n->next) {
        poll_topic *t = topic_at(n);
        if (t->watch.feed == NULL && goes_on(t) && !has_enough(t))
            watch_from(t, t->merge.seen);
    }
}

static void hold(poll_topic *t, plx_event *e)
{
    lp_poll *p = t->poll;
    plx_slice sid = plx_slice_make(p->cursor.sid, PLX_SID_LEN);
    if (plx_slice_eq(e->from, sid) ||
        (e->kind == PLX_KIND_PRESENCE &&
         (!plx_lp_presence_take(t, e) || e->position.offset <= t->diffs_after)))
        return;
    if (e->kind == PLX_KIND_BINARY && !(t->judged && plx_intercepts(t->entry, e))) {
        p->lp->skipped_binary++; /* there is no binary frame in a poll's answer */
        return;
    }
    plx_lp_topic_add(&t->merge, e);
    p->held++;
    p->held_bytes += e->payload.len;
}

static void feed_event(plx_feed_watch *w, plx_event *e)
{
    poll_topic *t = topic_of(w);
    lp_poll *p = t->poll;
    t->merge.seen = e->position.offset;
    if (t->merge.seen <= t->merge.last)
        hold(t, e);
    if (t->merge.seen >= t->merge.last) {
        plx_feed_watch_stop(w); /* the end is in the queue: nothing after it is wanted */
        settled(t);
    } else if (has_enough(t)) {
        p->full = true;
        plx_feed_watch_stop(w);
        settled(t);
    }
    if (p->unsettled == 0 || p->full)
        plx_lp_poll_dirty(p);
}

static void feed_caught_up(plx_feed_watch *w)
{
    settled(topic_of(w));
}

static void reported(void *arg, int err, enum plx_post_result result, uint64_t entry,
                     unsigned status, const plx_work *work)
{
    lp_poll *p = arg;
    (void)entry;
    (void)status;
    p->reports--;
    if (err == 0 && result == PLX_POST_WORK)
        plx_lp_work_start(p->lp, work);
    if (p->http == NULL)
        plx_lp_poll_release(p);
}

/* The slot is the entry's digest: it is ended once. Its phx_error then comes through the queue. */
void plx_lp_poll_report(poll_topic *t, enum plx_entry_kind why)
{
    lp_poll *p = t->poll;
    char slot[16];
    int n = snprintf(slot, sizeof slot, "%" PRIu32, t->merge.slot);
    t->reporting = true;
    p->reports++;
    plx_session_post(p->lp->store, plx_slice_make(p->cursor.sid, PLX_SID_LEN), why,
                     plx_slice_make(slot, (size_t)n), 200, plx_slice_make(slot, (size_t)n),
                     plx_lp_life_ms(p->socket), reported, p);
}

static void feed_lost(plx_feed_watch *w)
{
    poll_topic *t = topic_of(w);
    t->merge.lost = true;
    settled(t);
    /* One that is not open yet is told by the poll after the one that delivers its opening. */
    if (t->merge.open && t->merge.last == UINT64_MAX && !t->reporting)
        plx_lp_poll_report(t, PLX_ENTRY_LOST);
}

static const plx_feed_ops feed_ops = {
    .ready = feed_ready,
    .event = feed_event,
    .caught_up = feed_caught_up,
    .lost = feed_lost,
};

/* ---- what may be past an end ----
 *
 * A channel's end is committed, its poll is woken, and only then is anybody told of it. An event
 * that comes before the wake is therefore from before the end as far as anybody can know; one that
 * comes after it is not given until the queue has been looked at.
 */

void plx_lp_poll_unsure(lp_poll *p)
{
    for (plx_list *n = p->merge.topics.next; n != &p->merge.topics; n = n->next) {
        poll_topic *t = topic_at(n);
        if (t->merge.sure == UINT64_MAX)
            t->merge.sure = t->merge.seen;
        if (p->calling && !p->look_again) /* else the look that follows is for both */
            t->sure_next = t->merge.seen;
    }
}

void plx_lp_poll_sure(lp_poll *p, bool again)
{
    for (plx_list *n = p->merge.topics.next; n != &p->merge.topics; n = n->next) {
        poll_topic *t = topic_at(n);
        t->merge.sure = again ? t->sure_next : UINT64_MAX;
        t->sure_next = 0;
    }
}

/* ---- what the queue tells ---- */

/* The slot that was this topic's before, as far as the poll still knows it. */
static poll_topic *topic_before(lp_poll *p, const plx_slot *slot)
{
    poll_topic *best = NULL;
    if (p->ending == 0)
        return NULL; /* its end is in the queue, else the topic could not have been joined again */
    for (plx_list *n = p->merge.topics.next; n != &p->merge.topics; n = n->next) {
        poll_topic *t = topic_at(n);
        if (t->merge.last != UINT64_MAX && t->merge.slot < slot->number &&
            (!best || t->merge.slot > best->merge.slot) &&
            plx_slice_eq(plx_slice_make(t->name, t->name_len), slot->topic) &&
            strcmp(t->epoch, slot->start.epoch) == 0)
            best = t;
    }
    return best;
}

static poll_topic *topic_new(lp_poll *p, const plx_slot *slot, bool open)
{
    poll_topic *t = plx_alloc_zero(1, sizeof *t + slot->topic.len);
    const poll_topic *before = slot->goes_back ? NULL : topic_before(p, slot);
    const plx_channel_entry *entry = plx_channels_route(p->channels, slot->topic);
    uint64_t offset = plx_lp_cursor_offset(&p->cursor, slot->number, slot->start.offset);
    uint32_t life = plx_lp_life(slot->start.epoch);
    uint64_t past = plx_lp_cursor_past(&p->cursor, life);
    if (before && before->merge.delivered > past)
        past = before->merge.delivered;
    if (offset < past)
        offset = past;
    plx_lp_topic_init(&t->merge, slot->number, slot->start.offset, offset, open);
    t->merge.life = life;
    t->merge.follows = before ? before->merge.slot : 0;
    t->merge.with_position = entry && entry->config->has_history;
    t->diffs_after = slot->diffs_after;
    t->entry = entry;
    t->judged = entry && entry->backend->intercept;
    t->poll = p;
    t->watch.ops = &feed_ops;
    memcpy(t->epoch, slot->start.epoch, sizeof t->epoch);
    t->name_len = slot->topic.len;
    if (slot->topic.len > 0)
        memcpy(t->name, slot->topic.data, slot->topic.len);
    plx_lp_presence_init(t, slot->presence);
    plx_list_push(&p->merge.topics, &t->merge.node);
    p->lp->topics++;
    return t;
}

static void watch(lp_poll *p, poll_topic *t)
{
    if (p->state == OPENING) {
        t->settling = true;
        p->unsettled++;
    }
    watch_from(t, t->merge.delivered);
    plx_lp_presence_ask(t);
}

/* Whether the queue still holds the entry that opens this slot. */
static bool opens_later(const plx_session_view *v, uint32_t slot)
{
    for (size_t i = 0; i < v->q_count; i++)
        if (v->q[i].kind == PLX_Q_OPEN && v->q[i].slot.number == slot)
            return true;
    return false;
}

/* A slot whose end waits in the queue is not listed any more; what it still owes is read, and its
 * cursor is kept until the end is delivered. */
static void take_end(lp_poll *p, const plx_session_view *v, const plx_q_entry *e)
{
    plx_lp_topic *known = plx_lp_merge_topic(&p->merge, e->slot.number);
    poll_topic *t = known ? PLX_CONTAINER(known, poll_topic, merge)
                          : topic_new(p, &e->slot, !opens_later(v, e->slot.number));
    p->ending += t->merge.last == UINT64_MAX;
    if (t->judged && !t->last_state && e->slot.state.len > 0) {
        t->last_state = plx_slice_dup(e->slot.state);
        t->last_state_len = e->slot.state.len;
    }
    t->merge.last = e->end;
    t->deaf = !known && t->merge.diffs.mode != PLX_DIFFS_HAS;
    if (known && t->merge.seen >= e->end) {
        plx_feed_watch_stop(&t->watch);
        settled(t);
    } else if (!known && t->merge.delivered < e->end) {
        watch(p, t);
    }
}

/* Slots are numbered in the order of their joins, and every view lists all that are open: those up
 * to the last one seen are known. */
static void take_slots(lp_poll *p, const plx_session_view *v)
{
    uint32_t known_to = p->known_to;
    /* Begin at another topic each time, so that a busy one does not starve those behind it. */
    for (size_t i = 0; i < v->slot_count; i++) {
        const plx_slot *s = &v->slots[(i + p->generation) % v->slot_count];
        if (s->number <= known_to)
            continue;
        watch(p, topic_new(p, s, !opens_later(v, s->number)));
        if (s->number > p->known_to)
            p->known_to = s->number;
    }
}

void plx_lp_poll_take_view(lp_poll *p, const plx_session_view *v)
{
    uint64_t last = p->merge.q;
    if (!plx_list_empty(&p->merge.entries))
        last = PLX_CONTAINER(p->merge.entries.prev, plx_lp_entry, node)->id;
    else if (v->q_count > 0 && v->q[0].id <= last)
        last = p->merge.q = v->q[0].id - 1; /* a replica that lagged behind has taken over */
    for (size_t i = 0; i < v->q_count; i++) {
        const plx_q_entry *e = &v->q[i];
        if (e->id <= last)
            continue;
        plx_list_push(&p->merge.entries, &plx_lp_entry_copy(e)->node);
        if (e->kind == PLX_Q_END)
            take_end(p, v, e);
    }
    take_slots(p, v);
}
