/* The registry of followed topics.
 *
 * Commands of feeds go through one queue, so that ten thousand topics that all
 * want to know after a reconnect where they stand ask a few dozen at a time.
 * A topic whose command failed tries again after a second, by itself: a damaged
 * key of one topic holds up no other.
 *
 * Every topic sits in one of 240 buckets and is looked at when its second comes,
 * every four minutes: that keeps its meta alive and finds a publication that was
 * lost and had no successor.
 */
#include "store/feeds.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"

#include <stdlib.h>

#define IN_FLIGHT_MAX 64
#define RETRY_S       1.0
#define EXPECT_MS     50

/* ---- commands */

static void pump(plx_feeds *fs)
{
    while (fs->in_flight < IN_FLIGHT_MAX && plx_conn_up(fs->store->conn) && !fs->stopped) {
        plx_list *node = plx_list_shift(&fs->work);
        if (!node)
            return;
        plx_feed *f = PLX_CONTAINER(node, plx_feed, work_node);
        if (plx_feed_issue(f))
            plx_list_push(&fs->work, &f->work_node); /* perhaps it wants one more */
    }
}

void plx_feeds_enqueue(plx_feed *f)
{
    if (f->unfollowed)
        return;
    plx_list_remove(&f->work_node);
    plx_list_push(&f->feeds->work, &f->work_node);
    pump(f->feeds);
}

void plx_feeds_enqueue_later(plx_feed *f)
{
    plx_feeds *fs = f->feeds;
    if (f->unfollowed || fs->stopped)
        return;
    plx_list_remove(&f->work_node);
    plx_list_push(&fs->retry, &f->work_node);
    if (!ev_is_active(&fs->retry_timer)) {
        ev_timer_set(&fs->retry_timer, RETRY_S, 0.);
        ev_timer_start(fs->store->loop, &fs->retry_timer);
    }
}

static void on_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
    plx_feeds *fs = w->data;
    (void)loop, (void)revents;
    plx_list_splice(&fs->work, &fs->retry);
    pump(fs);
}

void plx_feeds_conn_up(plx_feeds *fs)
{
    plx_list_splice(&fs->work, &fs->retry);
    pump(fs);
}

void plx_feeds_command_sent(plx_feed *f)
{
    f->in_flight++;
    f->feeds->in_flight++;
}

static void free_feed(plx_feed *f)
{
    plx_feed_fini(f);
    free(f);
}

void plx_feeds_command_done(plx_feed *f)
{
    plx_feeds *fs = f->feeds;
    fs->in_flight--;
    if (--f->in_flight == 0 && f->unfollowed)
        free_feed(f);
    pump(fs);
}

/* ---- following */

plx_feed *plx_feeds_follow(plx_feeds *fs, plx_slice topic)
{
    plx_feed *f = plx_map_get(fs->map, topic);
    if (f)
        return f;
    f = plx_alloc_zero(1, sizeof *f);
    plx_feed_init(f, fs, topic);
    plx_map_put(fs->map, f->topic, f);
    plx_list_push(&fs->buckets[plx_random_below(PLX_FEED_BUCKETS)], &f->bucket_node);
    if (!ev_is_active(&fs->tick))
        ev_timer_again(fs->store->loop, &fs->tick);
    return f;
}

static void unfollow(plx_feed *f)
{
    plx_feeds *fs = f->feeds;
    plx_map_remove(fs->map, f->topic);
    plx_subscription_end(fs->store->subscriber, f->subscription);
    plx_list_remove(&f->work_node);
    plx_list_remove(&f->bucket_node);
    plx_list_remove(&f->idle_node);
    plx_list_remove(&f->expect_node);
    plx_later_cancel(&f->admit);
    f->subscription = NULL;
    f->unfollowed = true;
    if (f->in_flight == 0)
        free_feed(f);
    if (plx_map_count(fs->map) == 0)
        ev_timer_stop(fs->store->loop, &fs->tick);
}

static void arm_idle(plx_feeds *fs)
{
    if (plx_list_empty(&fs->idle) || ev_is_active(&fs->idle_timer) || fs->stopped)
        return;
    const plx_feed *first = PLX_CONTAINER(fs->idle.next, plx_feed, idle_node);
    uint64_t due = first->idle_ms + fs->store->options.linger_ms, now = plx_now_ms();
    ev_timer_set(&fs->idle_timer, due > now ? (double)(due - now) / 1000 : 0., 0.);
    ev_timer_start(fs->store->loop, &fs->idle_timer);
}

static void on_idle(struct ev_loop *loop, ev_timer *w, int revents)
{
    plx_feeds *fs = w->data;
    uint64_t now = plx_now_ms();
    (void)loop, (void)revents;
    /* The oldest is first, all linger equally long. */
    while (!plx_list_empty(&fs->idle)) {
        plx_feed *f = PLX_CONTAINER(fs->idle.next, plx_feed, idle_node);
        if (f->idle_ms + fs->store->options.linger_ms > now)
            break;
        unfollow(f);
    }
    arm_idle(fs);
}

void plx_feeds_idle(plx_feed *f)
{
    f->idle_ms = plx_now_ms();
    plx_list_push(&f->feeds->idle, &f->idle_node);
    arm_idle(f->feeds);
}

void plx_feeds_busy(plx_feed *f)
{
    plx_list_remove(&f->idle_node);
}

size_t plx_feed_count(const plx_store *s)
{
    return plx_map_count(s->feeds->map);
}

/* ---- looking after them */

static void look(plx_feed *f)
{
    f->want_check = true;
    plx_feeds_enqueue(f);
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
    plx_feeds *fs = w->data;
    (void)loop, (void)revents;
    fs->bucket = (fs->bucket + 1) % PLX_FEED_BUCKETS;
    plx_list *bucket = &fs->buckets[fs->bucket];
    for (plx_list *n = bucket->next; n != bucket; n = n->next)
        look(PLX_CONTAINER(n, plx_feed, bucket_node));
}

static void arm_expect(plx_feeds *fs)
{
    if (plx_list_empty(&fs->expecting) || ev_is_active(&fs->expect_timer))
        return;
    ev_timer_set(&fs->expect_timer, EXPECT_MS / 1000.0, 0.);
    ev_timer_start(fs->store->loop, &fs->expect_timer);
}

static void on_expect(struct ev_loop *loop, ev_timer *w, int revents)
{
    plx_feeds *fs = w->data;
    uint64_t now = plx_now_ms();
    (void)loop, (void)revents;
    while (!plx_list_empty(&fs->expecting)) {
        plx_feed *f = PLX_CONTAINER(fs->expecting.next, plx_feed, expect_node);
        if (f->expected_ms + EXPECT_MS > now)
            break;
        plx_list_remove(&f->expect_node);
        if (!f->known || f->at.offset < f->expected)
            look(f);
    }
    arm_expect(fs);
}

void plx_feed_expect(plx_feed *f, uint64_t offset)
{
    if (!f || (f->known && f->at.offset >= offset) || f->expected >= offset)
        return;
    f->expected = offset;
    if (!plx_list_empty(&f->expect_node))
        return;
    f->expected_ms = plx_now_ms();
    plx_list_push(&f->feeds->expecting, &f->expect_node);
    arm_expect(f->feeds);
}

/* ---- life */

plx_feeds *plx_feeds_open(plx_store *s)
{
    plx_feeds *fs = plx_alloc_zero(1, sizeof *fs);
    fs->store = s;
    fs->map = plx_map_new();
    plx_list_init(&fs->work);
    plx_list_init(&fs->retry);
    plx_list_init(&fs->idle);
    plx_list_init(&fs->expecting);
    for (size_t i = 0; i < PLX_FEED_BUCKETS; i++)
        plx_list_init(&fs->buckets[i]);
    ev_timer_init(&fs->retry_timer, on_retry, 0., 0.);
    ev_timer_init(&fs->idle_timer, on_idle, 0., 0.);
    ev_timer_init(&fs->expect_timer, on_expect, 0., 0.);
    ev_timer_init(&fs->tick, on_tick, 0., 1.);
    fs->retry_timer.data = fs->idle_timer.data = fs->expect_timer.data = fs->tick.data = fs;
    return fs;
}

static void stop_watches(plx_list *watches)
{
    plx_list *node;
    while ((node = plx_list_shift(watches)) != NULL)
        plx_feed_watch_stop(PLX_CONTAINER(node, plx_feed_watch, node));
}

void plx_feeds_stop(plx_feeds *fs)
{
    size_t cursor = 0;
    plx_feed *f;
    fs->stopped = true;
    while ((f = plx_map_next(fs->map, &cursor)) != NULL) {
        stop_watches(&f->waiting);
        stop_watches(&f->behind);
        stop_watches(&f->live);
    }
    ev_timer_stop(fs->store->loop, &fs->retry_timer);
    ev_timer_stop(fs->store->loop, &fs->idle_timer);
    ev_timer_stop(fs->store->loop, &fs->expect_timer);
    ev_timer_stop(fs->store->loop, &fs->tick);
}

void plx_feeds_free(plx_feeds *fs)
{
    size_t cursor = 0;
    plx_feed *f;
    /* A watch may have been started by a callback of the closing. */
    plx_feeds_stop(fs);
    while ((f = plx_map_next(fs->map, &cursor)) != NULL)
        unfollow(f);
    plx_map_free(fs->map);
    ev_timer_stop(fs->store->loop, &fs->tick);
    ev_timer_stop(fs->store->loop, &fs->idle_timer);
    free(fs);
}
