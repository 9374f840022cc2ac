/* One topic: its watches, and the order in which they get events.
 *
 * A watch moves through three lists: waiting (until the subscription is confirmed
 * and the topic's position was read after that, or just until the next loop turn),
 * behind (its next event is no longer in the ring: it is read from the log), live.
 * All live watches have `after` >= at.offset, so an incoming event is a plain walk.
 *
 * A list is walked by taking it over and putting each watch back before its
 * callback: whatever the callback stops or starts, the walk sees each watch that
 * was there and is still there exactly once.
 */
#include "base/log.h"
#include "store/feeds.h"
#include "store/presence_internal.h"
#include "store/topic_internal.h"

#include <assert.h>
#include <stdlib.h>

/* What waits for a hole before it to be filled; beyond this it is read from the log again. */
#define HELD_EVENTS 1024
#define HELD_BYTES  (1u << 20)

/* ---- callbacks of one watch */

/* Runs one callback. Returns false when the watch was stopped in it (and perhaps freed). */
static bool call(plx_feed_watch *w, void (*fn)(plx_feed_watch *))
{
    plx_feeds *fs = w->feed->feeds;
    if (!fn)
        return true;
    fs->current = w;
    fn(w);
    bool alive = fs->current == w;
    fs->current = NULL;
    return alive;
}

static bool give(plx_feed_watch *w, plx_event *e)
{
    plx_feeds *fs = w->feed->feeds;
    if (w->after >= e->position.offset)
        return true;
    w->after = e->position.offset;
    fs->current = w;
    w->ops->event(w, e);
    bool alive = fs->current == w;
    fs->current = NULL;
    return alive;
}

static void detach(plx_feed_watch *w)
{
    plx_feed *f = w->feed;
    plx_list_remove(&w->node);
    w->feed = NULL;
    w->state = PLX_WATCH_STOPPED;
    if (--f->watches == 0)
        plx_feeds_idle(f);
}

static void lose(plx_feed_watch *w)
{
    plx_store *s = w->feed->feeds->store;
    detach(w);
    s->counters.lost++;
    w->ops->lost(w);
}

static void set_state(plx_feed_watch *w, plx_list *list, enum plx_watch_state state)
{
    plx_list_remove(&w->node);
    plx_list_push(list, &w->node);
    w->state = (uint8_t)state;
}

/* ---- from waiting to live */

/* Gives w what the ring holds after w->after. Returns false when it was stopped meanwhile. */
static bool give_ring(plx_feed *f, plx_feed_watch *w)
{
    uint64_t first = f->at.offset - f->ring.count + 1;
    while (w->after < f->at.offset) {
        if (!give(w, plx_ring_at(&f->ring, (size_t)(w->after + 1 - first))))
            return false;
    }
    return true;
}

static bool in_ring(const plx_feed *f, uint64_t offset)
{
    return offset > f->at.offset || f->at.offset - offset < f->ring.count;
}

/* Puts a watch where it belongs by its offset. */
static void place(plx_feed *f, plx_feed_watch *w)
{
    if (!in_ring(f, w->after + 1)) {
        set_state(w, &f->behind, PLX_WATCH_BEHIND); /* the caller enqueues the feed, once */
        return;
    }
    if (!give_ring(f, w))
        return;
    set_state(w, &f->live, PLX_WATCH_LIVE);
    if (w->after > f->at.offset)
        plx_feed_expect(f, w->after);
    call(w, w->ops->caught_up);
}

void plx_feed_admit(plx_feed *f)
{
    if (!f->known || !f->settled)
        return;
    plx_list walk, *node;
    plx_list_init(&walk);
    plx_list_splice(&walk, &f->waiting);
    while ((node = plx_list_shift(&walk)) != NULL) {
        plx_feed_watch *w = PLX_CONTAINER(node, plx_feed_watch, node);
        plx_list_push(&f->waiting, node);
        if (strcmp(w->epoch, f->at.epoch) != 0)
            lose(w);
        else if (call(w, w->ops->ready))
            place(f, w);
    }
    if (!plx_list_empty(&f->behind))
        plx_feeds_enqueue(f);
}

static void run_admit(plx_later *item)
{
    plx_feed_admit(PLX_CONTAINER(item, plx_feed, admit));
}

void plx_feed_serve_behind(plx_feed *f, uint64_t first, plx_event *const *events, size_t count)
{
    uint64_t last = count > 0 ? events[count - 1]->position.offset : f->at.offset;
    plx_list walk, *node;
    plx_list_init(&walk);
    plx_list_splice(&walk, &f->behind);
    while ((node = plx_list_shift(&walk)) != NULL) {
        plx_feed_watch *w = PLX_CONTAINER(node, plx_feed_watch, node);
        plx_list_push(&f->behind, node);
        if (w->after + 1 < first || w->after >= last)
            continue; /* another piece is its */
        bool alive = true;
        for (size_t i = 0; alive && i < count && events[i]->position.offset <= w->after + 1; i++)
            alive = give(w, events[i]);
        if (!alive)
            continue;
        if (w->after < last)
            lose(w); /* a hole, or nothing there at all */
        else
            place(f, w);
    }
}

/* ---- what comes in */

void plx_feed_accept(plx_feed *f, plx_event *e)
{
    assert(e->position.offset == f->at.offset + 1);
    f->at.offset++;
    f->feeds->store->counters.events++;
    plx_ring_push(&f->ring, e);
    if (e->kind == PLX_KIND_PRESENCE)
        plx_presence_flushed(f->feeds->store, f->topic);
    plx_list walk, *node;
    plx_list_init(&walk);
    plx_list_splice(&walk, &f->live);
    while ((node = plx_list_shift(&walk)) != NULL) {
        plx_list_push(&f->live, node);
        give(PLX_CONTAINER(node, plx_feed_watch, node), e);
    }
}

void plx_feed_take_held(plx_feed *f)
{
    while (f->held.count > 0) {
        const plx_event *next = plx_ring_at(&f->held, 0);
        uint64_t offset = next->position.offset;
        bool ours = strcmp(next->position.epoch, f->at.epoch) == 0;
        if (ours && offset > f->at.offset + 1) {
            if (f->target < offset - 1)
                f->target = offset - 1;
            return;
        }
        plx_event *e = plx_ring_shift(&f->held);
        if (ours && offset == f->at.offset + 1)
            plx_feed_accept(f, e);
        plx_event_unref(e);
    }
}

static void hold(plx_feed *f, plx_event *e)
{
    plx_ring_push(&f->held, e);
}

static void check(plx_feed *f)
{
    f->want_check = true;
    plx_feeds_enqueue(f);
}

static void take(plx_feed *f, plx_event *e)
{
    if (!f->known || strcmp(e->position.epoch, f->at.epoch) != 0) {
        hold(f, e);
        check(f);
    } else if (e->position.offset <= f->at.offset) {
        /* Read from the log before it came: fine. Otherwise the log may have gone back. */
        if (e->position.offset > f->logged_to)
            check(f);
    } else if (e->position.offset == f->at.offset + 1) {
        plx_feed_accept(f, e);
        plx_feed_take_held(f);
    } else {
        hold(f, e);
        plx_feed_take_held(f);
        plx_feeds_enqueue(f);
    }
}

static void on_message(void *owner, plx_slice payload)
{
    static const plx_slice note = PLX_LIT("p ");
    plx_feed *f = owner;
    if (plx_slice_starts(payload, note)) {
        plx_presence_noted(f->feeds->store, f->topic, payload);
        return;
    }
    plx_event *e = plx_topic_message_event(f->topic, payload);
    if (!e) {
        plx_store_odd("message of a topic");
        return;
    }
    take(f, e);
    plx_event_unref(e);
}

static void on_confirmed(void *owner)
{
    plx_feed *f = owner;
    f->subscribed = true;
    f->round++;
    check(f);
}

static void on_interrupted(void *owner)
{
    plx_feed *f = owner;
    f->subscribed = f->settled = false;
    f->round++;
}

const plx_subscription_ops plx_feed_subscription_ops = {on_confirmed, on_interrupted, on_message};

/* ---- when something can't be had any more */

static void lose_list(plx_list *list)
{
    plx_list walk, *node;
    plx_list_init(&walk);
    plx_list_splice(&walk, list);
    while ((node = plx_list_shift(&walk)) != NULL) {
        plx_list_push(list, node);
        lose(PLX_CONTAINER(node, plx_feed_watch, node));
    }
}

void plx_feed_jump(plx_feed *f, const plx_position *position)
{
    bool other_epoch = f->known && strcmp(position->epoch, f->at.epoch) != 0;
    plx_log_limited(
        PLX_WARNING, "topic \"%.*s\": messages are lost after %s:%llu, it stands at %s:%llu",
        (int)(f->topic.len < 200 ? f->topic.len : 200), f->topic.data, f->at.epoch,
        (unsigned long long)f->at.offset, position->epoch, (unsigned long long)position->offset);
    f->at = *position;
    f->target = f->logged_to = position->offset;
    f->expected = 0;
    plx_list_remove(&f->expect_node);
    plx_ring_clear(&f->ring);
    lose_list(&f->live);
    if (other_epoch)
        lose_list(&f->behind);
}

void plx_feed_tell_caught_up(plx_feed *f)
{
    plx_list walk, *node;
    plx_list_init(&walk);
    plx_list_splice(&walk, &f->live);
    while ((node = plx_list_shift(&walk)) != NULL) {
        plx_feed_watch *w = PLX_CONTAINER(node, plx_feed_watch, node);
        plx_list_push(&f->live, node);
        call(w, w->ops->caught_up);
    }
}

/* ---- life */

void plx_feed_init(plx_feed *f, plx_feeds *fs, plx_slice topic)
{
    plx_store *s = fs->store;
    f->feeds = fs;
    f->topic = plx_slice_copy(topic);
    plx_ring_init(&f->ring, s->options.ring_events, s->options.ring_bytes);
    plx_ring_init(&f->held, HELD_EVENTS, HELD_BYTES);
    plx_list_init(&f->waiting);
    plx_list_init(&f->behind);
    plx_list_init(&f->live);
    plx_list_init(&f->reads);
    plx_list_init(&f->work_node);
    plx_list_init(&f->bucket_node);
    plx_list_init(&f->idle_node);
    plx_list_init(&f->expect_node);
    plx_later_init(&f->admit, run_admit);
    plx_buf channel;
    plx_buf_init(&channel, 0);
    plx_buf_printf(&channel, "%s{t:", plx_store_prefix(s));
    plx_buf_add(&channel, topic);
    plx_buf_byte(&channel, '}');
    f->subscription = plx_subscription_begin(s->subscriber, plx_buf_slice(&channel),
                                             &plx_feed_subscription_ops, f);
    plx_buf_fini(&channel);
}

void plx_feed_fini(plx_feed *f)
{
    plx_ring_clear(&f->ring);
    plx_ring_clear(&f->held);
    free((void *)f->topic.data);
}

void plx_feed_watch_start(plx_store *s, plx_feed_watch *w, plx_slice topic,
                          const plx_position *position)
{
    plx_feed *f = plx_feeds_follow(s->feeds, topic);
    if (f->watches++ == 0)
        plx_feeds_busy(f);
    w->feed = f;
    w->after = position->offset;
    memcpy(w->epoch, position->epoch, sizeof w->epoch);
    w->epoch[PLX_EPOCH_MAX] = '\0';
    w->state = PLX_WATCH_WAITING;
    plx_list_init(&w->node);
    plx_list_push(&f->waiting, &w->node);
    if (f->settled)
        plx_later_add(&s->laters, &f->admit);
}

void plx_feed_watch_stop(plx_feed_watch *w)
{
    if (!w->feed)
        return;
    if (w->feed->feeds->current == w)
        w->feed->feeds->current = NULL;
    detach(w);
}

uint64_t plx_feed_last(const plx_feed *f)
{
    return f && f->known ? f->at.offset : 0;
}
