/* What the tests of feeds share: two workers on one Redis, and a follower that notes what it is
 * given. */
#ifndef PLX_TESTS_FEED_FOLLOWER_H
#define PLX_TESTS_FEED_FOLLOWER_H

#include "redis_fixture.h"

#include "store/feed.h"
#include "store/feeds.h"
#include "store/topic.h"

static redis r;
static plx_store *a, *b; /* two workers */

typedef struct follower {
    plx_feed_watch watch;
    unsigned ready, caught_up, lost;
    uint64_t first, last; /* offsets of the first and the newest event */
    size_t count;
    bool in_order;
    void (*on_event)(struct follower *f, plx_event *e);
    char payload[64]; /* of the last event */
    struct follower *other;
} follower;

static void on_ready(plx_feed_watch *w)
{
    follower *f = PLX_CONTAINER(w, follower, watch);
    assert_int_equal(f->count, 0);
    f->ready++;
}

static void on_event(plx_feed_watch *w, plx_event *e)
{
    follower *f = PLX_CONTAINER(w, follower, watch);
    assert_int_equal(f->ready, 1);
    assert_int_equal(f->lost, 0);
    assert_true(w->after == e->position.offset);
    if (f->count++ == 0)
        f->first = e->position.offset;
    else if (e->position.offset != f->last + 1)
        f->in_order = false;
    f->last = e->position.offset;
    snprintf(f->payload, sizeof f->payload, "%.*s", (int)e->payload.len, e->payload.data);
    if (f->on_event)
        f->on_event(f, e);
}

static void on_caught_up(plx_feed_watch *w)
{
    PLX_CONTAINER(w, follower, watch)->caught_up++;
}

static void on_lost(plx_feed_watch *w)
{
    follower *f = PLX_CONTAINER(w, follower, watch);
    assert_null(w->feed);
    f->lost++;
}

static const plx_feed_ops ops = {on_ready, on_event, on_caught_up, on_lost};

static void follow(plx_store *s, follower *f, const char *topic, const plx_position *position)
{
    f->watch.ops = &ops;
    f->ready = f->caught_up = f->lost = 0;
    f->count = 0;
    f->in_order = true;
    plx_feed_watch_start(s, &f->watch, plx_slice_of(topic), position);
    assert_int_equal(f->ready + f->caught_up + f->lost + f->count, 0);
}

typedef struct result {
    unsigned called, failed;
    plx_position at;
} result;

static void on_position(void *arg, int err, const plx_position *position)
{
    result *x = arg;
    assert_int_equal(err, 0);
    x->called++;
    x->at = *position;
}

static plx_position position(const char *topic)
{
    result x = {0};
    plx_topic_position(a, plx_slice_of(topic), on_position, &x);
    WAIT(&r, x.called);
    return x.at;
}

static result published;

static void on_published(void *arg, int err, const plx_position *at, bool repeated)
{
    (void)arg, (void)repeated;
    published.called++;
    published.failed += err != 0;
    published.at = *at;
}

static void publish_start(plx_store *s, const char *topic, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char payload[32];
        snprintf(payload, sizeof payload, "{\"n\":%u}", i);
        plx_publication p = {.topic = plx_slice_of(topic),
                             .event = PLX_LIT("msg"),
                             .payload = plx_slice_of(payload),
                             .kind = PLX_KIND_JSON};
        plx_topic_publish(s, &p, on_published, NULL);
    }
}

static plx_position publish(plx_store *s, const char *topic, unsigned count)
{
    memset(&published, 0, sizeof published);
    publish_start(s, topic, count);
    WAIT(&r, published.called == count);
    assert_int_equal(published.failed, 0);
    return published.at;
}

static int setup(void **state)
{
    (void)state;
    redis_start(&r);
    a = store_up(&r);
    b = store_up(&r);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    plx_store_close(a);
    plx_store_close(b);
    redis_stop(&r);
    return 0;
}

#endif
