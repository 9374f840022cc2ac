/* What a poll collects: events of its topics from the feeds, entries from its session's queue. */
#include "transport/lp_poll.h"

#include "base/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static poll_topic *topic_of(plx_feed_watch *w)
{
    return PLX_CONTAINER(w, poll_topic, watch);
}

static void topic_free(poll_topic *t)
{
    plx_feed_watch_stop(&t->watch);
    plx_lp_topic_fini(&t->merge);
    free(t);
}

void plx_lp_poll_drop_topics(lp_poll *p)
{
    while (!plx_list_empty(&p->merge.topics))
        topic_free(PLX_CONTAINER(p->merge.topics.next, poll_topic, merge.node));
    p->unsettled = 0;
}

/* A barrier that waits for an event which surely exists: make the feed fetch it. */
void plx_lp_poll_chase(lp_poll *p)
{
    if (p->merge.blocked_offset == 0)
        return;
    plx_lp_topic *m = plx_lp_merge_topic(&p->merge, p->merge.blocked_slot);
    poll_topic *t = m ? PLX_CONTAINER(m, poll_topic, merge) : NULL;
    if (t && t->watch.feed)
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

static void feed_event(plx_feed_watch *w, plx_event *e)
{
    poll_topic *t = topic_of(w);
    lp_poll *p = t->poll;
    plx_slice sid = plx_slice_make(p->cursor.sid, PLX_SID_LEN);
    t->merge.seen = e->position.offset;
    bool known = e->kind == PLX_KIND_PRESENCE && e->position.offset <= t->diffs_after;
    if (!known && !plx_slice_eq(e->from, sid))
        plx_lp_topic_add(&t->merge, e);
    if (t->merge.count - t->merge.head >= PLX_LP_MESSAGES || t->merge.bytes >= PLX_LP_BYTES) {
        p->full = true; /* as much as an answer holds: the rest follows with the next poll */
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

/* The log of a joined topic has a gap. Only the lease's holder may end the slot, so it is told
 * through the inbox; the slot's phx_error then comes through the queue. */
static void feed_lost(plx_feed_watch *w)
{
    poll_topic *t = topic_of(w);
    lp_poll *p = t->poll;
    t->merge.lost = true;
    settled(t);
    if (t->merge.open && !t->reporting) {
        char slot[16];
        int n = snprintf(slot, sizeof slot, "%" PRIu32, t->merge.slot);
        t->reporting = true;
        p->reports++;
        plx_session_post(p->lp->store, plx_slice_make(p->cursor.sid, PLX_SID_LEN), PLX_ENTRY_LOST,
                         plx_slice_make(slot, (size_t)n), 200, plx_slice_make(slot, (size_t)n),
                         plx_lp_life_ms(p->socket), reported, p);
    }
}

static const plx_feed_ops feed_ops = {
    .ready = feed_ready,
    .event = feed_event,
    .caught_up = feed_caught_up,
    .lost = feed_lost,
};

/* ---- what the queue tells ---- */

static void watch_topic(lp_poll *p, const plx_slot *slot, bool open)
{
    if (plx_lp_merge_topic(&p->merge, slot->number))
        return;
    const plx_channel_config *channel = plx_route_channel(p->socket, slot->topic);
    poll_topic *t = plx_alloc_zero(1, sizeof *t);
    plx_position from = slot->start;
    from.offset = plx_lp_cursor_offset(&p->cursor, slot->number, slot->start.offset);
    plx_lp_topic_init(&t->merge, slot->number, from.offset, open);
    t->merge.with_position = channel && channel->has_history;
    t->diffs_after = slot->diffs_after;
    t->poll = p;
    t->watch.ops = &feed_ops;
    plx_list_push(&p->merge.topics, &t->merge.node);
    if (p->state == OPENING) {
        t->settling = true;
        p->unsettled++;
    }
    plx_feed_watch_start(p->lp->store, &t->watch, slot->topic, &from);
}

/* Whether the queue still holds the entry that opens this slot. */
static bool opens_later(const plx_session_view *v, uint32_t slot)
{
    for (size_t i = 0; i < v->q_count; i++)
        if (v->q[i].kind == PLX_Q_OPEN && v->q[i].slot.number == slot)
            return true;
    return false;
}

void plx_lp_poll_take_view(lp_poll *p, const plx_session_view *v)
{
    uint64_t last = p->merge.q;
    if (!plx_list_empty(&p->merge.entries))
        last = PLX_CONTAINER(p->merge.entries.prev, plx_lp_entry, node)->id;
    for (size_t i = 0; i < v->q_count; i++) {
        const plx_q_entry *e = &v->q[i];
        if (e->id <= last)
            continue;
        plx_lp_entry *copy = plx_lp_entry_copy(e);
        plx_list_push(&p->merge.entries, &copy->node);
        /* A slot that ended meanwhile is not listed any more; what it still owes is read. */
        if (e->kind == PLX_Q_END &&
            plx_lp_cursor_offset(&p->cursor, e->slot.number, e->slot.start.offset) < e->end)
            watch_topic(p, &e->slot, !opens_later(v, e->slot.number));
    }
    /* Begin at another topic each time, so that a busy one does not starve those behind it. */
    for (size_t i = 0; i < v->slot_count; i++) {
        const plx_slot *s = &v->slots[(i + p->generation) % v->slot_count];
        watch_topic(p, s, !opens_later(v, s->number));
    }
}
