/* Feeds: order, holes, epochs, reconnects, and watches that stop and start each other. */
#include "redis_fixture.h"

#include "store/feed.h"
#include "store/feeds.h"
#include "store/topic.h"

#define SEEN_MAX 8192

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

static void test_order(void **state)
{
    (void)state;
    follower x = {0}, y = {0};
    plx_position start = position("room:order");
    follow(a, &x, "room:order", &start);
    follow(b, &y, "room:order", &start);
    WAIT(&r, x.caught_up && y.caught_up);
    assert_int_equal(x.ready, 1);
    publish(a, "room:order", 300);
    WAIT(&r, x.last == 300 && y.last == 300);
    assert_true(x.in_order && y.in_order);
    assert_int_equal(x.count, 300);
    assert_int_equal(x.first, 1);
    assert_string_equal(y.payload, "{\"n\":299}");
    assert_int_equal(x.caught_up, 1);
    assert_true(plx_feed_last(x.watch.feed) == 300);
    plx_feed_watch_stop(&x.watch);
    plx_feed_watch_stop(&x.watch);
    publish(b, "room:order", 1);
    WAIT(&r, y.last == 301);
    assert_int_equal(x.count, 300);
    plx_feed_watch_stop(&y.watch);
}

static void test_live_feed_and_a_cursor_in_the_ring(void **state)
{
    (void)state;
    follower x = {0}, y = {0}, z = {0};
    plx_position start = position("room:ring");
    follow(a, &x, "room:ring", &start);
    WAIT(&r, x.ready);
    publish(a, "room:ring", 50);
    WAIT(&r, x.last == 50);
    plx_position at = {"", 20};
    memcpy(at.epoch, start.epoch, sizeof at.epoch);
    follow(a, &y, "room:ring", &at);
    at.offset = 50;
    follow(a, &z, "room:ring", &at);
    /* What is published between start and the next turn is not lost. */
    publish(b, "room:ring", 5);
    WAIT(&r, y.last == 55 && z.last == 55);
    assert_int_equal(y.first, 21);
    assert_int_equal(y.count, 35);
    assert_int_equal(z.first, 51);
    assert_true(y.in_order && z.in_order && y.ready == 1 && y.caught_up == 1);
    plx_feed_watch_stop(&x.watch);
    plx_feed_watch_stop(&y.watch);
    plx_feed_watch_stop(&z.watch);
}

static long long xranges(void)
{
    redisReply *info = redis_ask(&r, "INFO commandstats");
    const char *at = strstr(info->str, "cmdstat_xrange:calls=");
    long long calls = at ? atoll(at + strlen("cmdstat_xrange:calls=")) : 0;
    freeReplyObject(info);
    return calls;
}

static void test_many_old_cursors_share_reads(void **state)
{
    (void)state;
    static follower old[1000];
    memset(old, 0, sizeof old);
    plx_position start = position("room:old");
    publish(a, "room:old", 1000);
    long long before = xranges();
    for (unsigned i = 0; i < 1000; i++) {
        plx_position at = start;
        at.offset = i % 20;
        follow(b, &old[i], "room:old", &at);
    }
    publish_start(a, "room:old", 20);
    for (unsigned i = 0; i < 1000; i++) {
        WAIT(&r, old[i].last == 1020);
        assert_int_equal(old[i].first, i % 20 + 1);
        assert_int_equal(old[i].count, 1020 - i % 20);
        assert_true(old[i].in_order && old[i].ready == 1 && old[i].caught_up >= 1);
    }
    assert_in_range(xranges() - before, 8, 100);
    for (unsigned i = 0; i < 1000; i++)
        plx_feed_watch_stop(&old[i].watch);
}

static void test_position_ahead_of_pubsub(void **state)
{
    (void)state;
    follower x = {0}, y = {0};
    plx_position start = position("room:ahead");
    follow(b, &x, "room:ahead", &start);
    WAIT(&r, x.ready);
    /* In the log, but never published: as if the message were still under way. */
    redis_do(&r, "HINCRBY plx:{t:room:ahead}:meta off 1");
    redis_do(&r, "XADD plx:{t:room:ahead}:log 1-0 k j f %b e msg p {} c 5", "", (size_t)0);
    plx_position at = position("room:ahead");
    assert_int_equal(at.offset, 1);
    follow(b, &y, "room:ahead", &at);
    WAIT(&r, x.last == 1); /* y's cursor is proof enough */
    assert_int_equal(y.count, 0);
    assert_int_equal(y.caught_up >= 1, 1);
    publish(a, "room:ahead", 1);
    WAIT(&r, x.last == 2 && y.last == 2);
    assert_int_equal(y.count, 1);
    plx_feed_watch_stop(&x.watch);
    plx_feed_watch_stop(&y.watch);
}

static void test_lost_publication_is_read_from_the_log(void **state)
{
    (void)state;
    follower x = {0};
    plx_position start = position("room:gap");
    follow(b, &x, "room:gap", &start);
    WAIT(&r, x.ready);
    publish(a, "room:gap", 3);
    redis_do(&r, "HINCRBY plx:{t:room:gap}:meta off 1");
    redis_do(&r, "XADD plx:{t:room:gap}:log 4-0 k j f %b e msg p {\"hidden\":1} c 5", "",
             (size_t)0);
    publish(a, "room:gap", 3);
    WAIT(&r, x.last == 7);
    assert_true(x.in_order);
    assert_int_equal(x.count, 7);
    WAIT(&r, x.caught_up == 2);
    /* One without a successor: whoever knows that it exists says so. */
    redis_do(&r, "HINCRBY plx:{t:room:gap}:meta off 1");
    redis_do(&r, "XADD plx:{t:room:gap}:log 8-0 k j f %b e msg p {\"hidden\":2} c 5", "",
             (size_t)0);
    plx_feed_expect(x.watch.feed, 8);
    WAIT(&r, x.last == 8);
    assert_string_equal(x.payload, "{\"hidden\":2}");
    /* Or the look every few minutes finds it. */
    redis_do(&r, "HINCRBY plx:{t:room:gap}:meta off 1");
    redis_do(&r, "XADD plx:{t:room:gap}:log 9-0 k j f %b e msg p {\"hidden\":3} c 5", "",
             (size_t)0);
    redis_do(&r, "EXPIRE plx:{t:room:gap}:meta 100");
    plx_list_remove(&x.watch.feed->bucket_node);
    plx_list_push(&b->feeds->buckets[(b->feeds->bucket + 1) % PLX_FEED_BUCKETS],
                  &x.watch.feed->bucket_node);
    WAIT(&r, x.last == 9);
    assert_true(redis_do(&r, "TTL plx:{t:room:gap}:meta") > 86400);
    assert_int_equal(x.lost, 0);
    plx_feed_watch_stop(&x.watch);
}

static void test_gap_that_the_log_does_not_hold(void **state)
{
    (void)state;
    follower x = {0}, y = {0};
    plx_position start = position("room:hole");
    follow(b, &x, "room:hole", &start);
    WAIT(&r, x.ready);
    publish(a, "room:hole", 3);
    WAIT(&r, x.last == 3);
    redis_do(&r, "HINCRBY plx:{t:room:hole}:meta off 1"); /* number 4 does not exist */
    plx_position at = publish(a, "room:hole", 2);
    WAIT(&r, x.lost);
    assert_int_equal(x.last, 3);
    /* The topic goes on for whoever comes now. */
    follow(b, &y, "room:hole", &at);
    WAIT(&r, y.caught_up);
    publish(a, "room:hole", 1);
    WAIT(&r, y.last == 7);
    assert_int_equal(y.count, 1);
    /* An old cursor before the hole is lost too, one after it is served. */
    follow(b, &x, "room:hole", &(plx_position){.offset = 0});
    WAIT(&r, x.lost);
    at.offset = 2;
    follow(b, &x, "room:hole", &at);
    WAIT(&r, x.lost);
    at.offset = 5;
    follow(b, &x, "room:hole", &at);
    WAIT(&r, x.last == 7);
    assert_int_equal(x.count, 2);
    plx_feed_watch_stop(&x.watch);
    plx_feed_watch_stop(&y.watch);
}

static void test_subscription_lost_while_publishing(void **state)
{
    (void)state;
    follower x = {0}, y = {0};
    plx_position start = position("room:kill");
    follow(a, &x, "room:kill", &start);
    follow(b, &y, "room:kill", &start);
    WAIT(&r, x.ready && y.ready);
    memset(&published, 0, sizeof published);
    for (unsigned round = 0; round < 20; round++) {
        publish_start(a, "room:kill", 100);
        loop_turn(r.loop);
        redis_do(&r, "CLIENT KILL TYPE pubsub");
        publish_start(a, "room:kill", 50);
        WAIT(&r, published.called == (round + 1) * 150);
        if (round % 4 == 3) /* the log holds 1,024 */
            WAIT(&r, x.last == (round + 1) * 150 && y.last == (round + 1) * 150);
    }
    assert_true(x.in_order && y.in_order);
    assert_int_equal(x.count, 3000);
    assert_int_equal(y.count, 3000);
    assert_int_equal(x.ready, 1);
    assert_true(plx_store_counters_get(b)->gaps > 0);
    plx_feed_watch_stop(&x.watch);
    plx_feed_watch_stop(&y.watch);
}

static void test_wrong_epoch(void **state)
{
    (void)state;
    follower x = {0};
    position("room:epoch");
    follow(a, &x, "room:epoch", &(plx_position){"other", 0});
    WAIT(&r, x.lost);
    assert_int_equal(x.ready + x.count, 0);
    assert_null(x.watch.feed);
    plx_feed_watch_stop(&x.watch);
}

static void test_epoch_lost(void **state)
{
    (void)state;
    follower x = {0}, y = {0};
    plx_position start = position("room:reborn");
    follow(a, &x, "room:reborn", &start);
    follow(b, &y, "room:reborn", &start);
    WAIT(&r, x.ready && y.ready);
    publish(a, "room:reborn", 5);
    WAIT(&r, x.last == 5 && y.last == 5);
    redis_do(&r, "FLUSHALL");
    plx_position at = publish(b, "room:reborn", 2);
    WAIT(&r, x.lost && y.lost);
    assert_string_not_equal(at.epoch, start.epoch);
    at.offset = 0;
    follow(a, &x, "room:reborn", &at);
    follow(b, &y, "room:reborn", &at);
    WAIT(&r, x.last == 2 && y.last == 2);
    assert_true(x.count == 2 && y.count == 2);
    plx_feed_watch_stop(&x.watch);
    plx_feed_watch_stop(&y.watch);
}

/* A failover to a replica that lagged behind: the same epoch, but fewer messages. */
static void rewind_topic(const char *topic, void (*step)(const char *topic))
{
    redisReply *meta = redis_ask(&r, "DUMP plx:{t:%s}:meta", topic);
    redisReply *log = redis_ask(&r, "DUMP plx:{t:%s}:log", topic);
    step(topic);
    redis_do(&r, "RESTORE plx:{t:%s}:meta 0 %b REPLACE", topic, meta->str, meta->len);
    redis_do(&r, "RESTORE plx:{t:%s}:log 0 %b REPLACE", topic, log->str, log->len);
    freeReplyObject(meta);
    freeReplyObject(log);
}

static void publish_three(const char *topic)
{
    publish(a, topic, 3);
}

static void test_offset_goes_back(void **state)
{
    (void)state;
    follower x = {0}, y = {0};
    plx_position start = position("room:back");
    follow(a, &x, "room:back", &start);
    follow(b, &y, "room:back", &start);
    WAIT(&r, x.ready && y.ready);
    publish(a, "room:back", 3);
    rewind_topic("room:back", publish_three);
    WAIT(&r, x.last == 6 && y.last == 6);
    /* Number 4 comes a second time, with other content: nobody must take it for the first. */
    plx_position again = publish(a, "room:back", 1);
    assert_string_equal(again.epoch, start.epoch);
    assert_int_equal(again.offset, 4);
    WAIT(&r, x.lost && y.lost);
    assert_true(x.last == 6 && y.last == 6);
    plx_position now = position("room:back");
    assert_string_not_equal(now.epoch, start.epoch);
    assert_int_equal(now.offset, 4);
    follow(a, &x, "room:back", &now);
    follow(b, &y, "room:back", &now);
    WAIT(&r, x.caught_up && y.caught_up);
    publish(b, "room:back", 1);
    WAIT(&r, x.last == 5 && y.last == 5);
    /* Both workers saw it; one of them set the epoch, and it stayed. */
    assert_string_equal(position("room:back").epoch, now.epoch);
    plx_feed_watch_stop(&x.watch);
    plx_feed_watch_stop(&y.watch);
}

static void test_offset_goes_back_in_silence(void **state)
{
    (void)state;
    follower x = {0};
    plx_position start = position("room:back2");
    follow(a, &x, "room:back2", &start);
    WAIT(&r, x.ready);
    publish(a, "room:back2", 3);
    rewind_topic("room:back2", publish_three);
    WAIT(&r, x.last == 6);
    redis_do(&r, "CLIENT KILL TYPE pubsub"); /* the look after the reconnect finds it */
    WAIT(&r, x.lost);
    assert_string_not_equal(position("room:back2").epoch, start.epoch);
}

static void test_log_expired_but_meta_lives(void **state)
{
    (void)state;
    follower x = {0}, y = {0};
    plx_position at = publish(a, "room:dry", 5);
    redis_do(&r, "DEL plx:{t:room:dry}:log");
    follow(b, &x, "room:dry", &at);
    at.offset = 3;
    follow(b, &y, "room:dry", &at);
    WAIT(&r, x.caught_up && y.lost);
    publish(a, "room:dry", 1);
    WAIT(&r, x.last == 6);
    assert_int_equal(x.count, 1);
    plx_feed_watch_stop(&x.watch);
}

/* ---- stopping and starting in callbacks */

static void stop_other(follower *f, plx_event *e)
{
    (void)e;
    plx_feed_watch_stop(&f->other->watch);
}

static void test_stop_another_in_a_callback(void **state)
{
    (void)state;
    follower x = {0}, y = {0}, z = {0};
    plx_position start = position("room:stop");
    x.on_event = stop_other;
    x.other = &y;
    z.on_event = stop_other;
    z.other = &z;
    follow(a, &x, "room:stop", &start);
    follow(a, &y, "room:stop", &start);
    follow(a, &z, "room:stop", &start);
    WAIT(&r, z.ready);
    publish(a, "room:stop", 3);
    WAIT(&r, x.last == 3);
    assert_int_equal(y.count, 0);
    assert_int_equal(z.count, 1);
    plx_feed_watch_stop(&x.watch);
}

static void restart(follower *f, plx_event *e)
{
    if (e->position.offset != 2 || f->other)
        return;
    plx_position start = e->position;
    f->other = f;
    start.offset = 1; /* number 2 once more */
    plx_feed_watch_stop(&f->watch);
    f->ready = 0;
    f->count = 0;
    plx_feed_watch_start(a, &f->watch, e->topic, &start);
}

static void test_restart_in_a_callback(void **state)
{
    (void)state;
    follower x = {0}, y = {0};
    plx_position start = position("room:again");
    x.on_event = y.on_event = restart;
    follow(a, &x, "room:again", &start);
    WAIT(&r, x.ready);
    publish(a, "room:again", 4);
    WAIT(&r, x.last == 4);
    assert_int_equal(x.count, 3);
    assert_int_equal(x.first, 2);
    /* While being served from the ring. */
    follow(a, &y, "room:again", &start);
    WAIT(&r, y.last == 4);
    assert_int_equal(y.count, 3);
    plx_feed_watch_stop(&x.watch);
    plx_feed_watch_stop(&y.watch);
}

static void stop_all_in_lost(plx_feed_watch *w)
{
    follower *f = PLX_CONTAINER(w, follower, watch);
    f->lost++;
    plx_feed_watch_stop(&f->other->watch);
}

static void test_stop_another_when_lost(void **state)
{
    (void)state;
    static const plx_feed_ops cruel = {on_ready, on_event, on_caught_up, stop_all_in_lost};
    follower x = {0}, y = {0};
    plx_position start = position("room:cruel");
    x.other = &y;
    y.other = &x;
    follow(a, &x, "room:cruel", &start);
    follow(a, &y, "room:cruel", &start);
    x.watch.ops = y.watch.ops = &cruel;
    WAIT(&r, x.ready && y.ready);
    redis_do(&r, "FLUSHALL");
    publish(a, "room:cruel", 1);
    WAIT(&r, x.lost + y.lost == 1);
    redis_idle(&r, 50);
    assert_int_equal(x.lost + y.lost, 1);
}

/* ---- following and leaving */

static void test_linger_and_unsubscribe(void **state)
{
    (void)state;
    plx_store_options options = {.ring_events = 8, .ring_bytes = 10000, .linger_ms = 0};
    plx_store *c = plx_store_open(r.loop, &r.config, &options);
    follower x = {0};
    WAIT(&r, plx_store_up(c));
    plx_position start = position("room:linger");
    for (unsigned i = 0; i < 30; i++) {
        /* Left and entered at every moment of a subscription's life. */
        follow(c, &x, "room:linger", &start);
        for (unsigned turn = 0; turn < i % 5; turn++)
            ev_run(r.loop, EVRUN_NOWAIT);
        plx_feed_watch_stop(&x.watch);
        for (unsigned turn = 0; turn < i % 3; turn++)
            ev_run(r.loop, EVRUN_NOWAIT);
    }
    follow(c, &x, "room:linger", &start);
    WAIT(&r, x.ready);
    assert_int_equal(plx_feed_count(c), 1);
    publish(a, "room:linger", 20);
    WAIT(&r, x.last == 20);
    plx_feed_watch_stop(&x.watch);
    WAIT(&r, plx_feed_count(c) == 0);
    WAIT(&r, redis_do(&r, "PUBSUB SHARDCHANNELS plx:{t:room:linger}") == 0);
    assert_true(plx_store_up(c));
    plx_store_close(c);
}

static void test_close_with_watches(void **state)
{
    (void)state;
    plx_store *c = store_up(&r);
    follower x = {0}, y = {0};
    plx_position start = position("room:close");
    follow(c, &x, "room:close", &start);
    WAIT(&r, x.ready);
    follow(c, &y, "room:close", &start);
    plx_store_close(c);
    assert_null(x.watch.feed);
    assert_null(y.watch.feed);
    plx_feed_watch_stop(&x.watch);
}

/* ---- damage */

static void test_garbage_on_the_channel(void **state)
{
    (void)state;
    static const char *const junk[] = {"",
                                       "\n",
                                       "1",
                                       "1 a 1 j 0 0",
                                       "2 a 1 j 0 0\n",
                                       "1 a 1 j 0 0 7\n",
                                       "1 a -1 j 0 0\n",
                                       "1 a 1 x 0 0\n",
                                       "1 a 1 j 5 0\nabc",
                                       "1 a 1 j 0 18446744073709551615\nabc",
                                       "1 a:b 1 j 0 0\n",
                                       "1  1 j 0 0\n",
                                       "1 elsewhere 1 j 0 0\n{}",
                                       "1 elsewhere 18446744073709551615 j 0 0\n{}"};
    follower x = {0};
    plx_position start = position("room:junk");
    follow(a, &x, "room:junk", &start);
    WAIT(&r, x.ready);
    for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++)
        redis_do(&r, "SPUBLISH plx:{t:room:junk} %s", junk[i]);
    /* An offset that nobody has given: the log knows better. */
    char forged[128];
    snprintf(forged, sizeof forged, "1 %s 77 j 0 0\n{}", start.epoch);
    publish(a, "room:junk", 2);
    WAIT(&r, x.last == 2);
    assert_true(x.in_order && x.lost == 0);
    redis_do(&r, "SPUBLISH plx:{t:room:junk} %s", forged);
    WAIT(&r, x.lost); /* told rather than left waiting for 3 to 76 */
    /* And the numbers in between are not swallowed when they are given after all. */
    WAIT(&r, strcmp(position("room:junk").epoch, start.epoch) != 0);
    start = position("room:junk");
    follow(a, &x, "room:junk", &start);
    publish(a, "room:junk", 1);
    WAIT(&r, x.count == 1);
    plx_feed_watch_stop(&x.watch);
    assert_true(plx_store_up(a));
}

static void test_garbage_in_the_log(void **state)
{
    (void)state;
    follower x = {0};
    plx_position start = position("room:mud");
    publish(a, "room:mud", 100);
    redis_do(&r, "HINCRBY plx:{t:room:mud}:meta off 1");
    redis_do(&r, "XADD plx:{t:room:mud}:log 101-0 something else");
    publish(a, "room:mud", 10);
    follow(b, &x, "room:mud", &start);
    WAIT(&r, x.lost);
    assert_int_equal(x.last, 100);
    start.offset = 105;
    follow(b, &x, "room:mud", &start);
    WAIT(&r, x.last == 111);
    redis_do(&r, "SET plx:{t:room:mud}:log rubbish");
    start.offset = 1;
    follower y = {0};
    follow(b, &y, "room:mud", &start);
    WAIT(&r, y.lost);
    redis_do(&r, "SET plx:{t:room:mud}:meta rubbish");
    publish(a, "room:mud", 1);
    WAIT(&r, x.lost);
}

/* ---- Redis goes away */

static void test_redis_restarts_without_data(void **state)
{
    (void)state;
    follower x = {0}, y = {0};
    plx_position start = position("room:away");
    follow(b, &x, "room:away", &start);
    WAIT(&r, x.ready);
    publish(a, "room:away", 3);
    WAIT(&r, x.last == 3);
    redis_crash(&r);
    WAIT(&r, !plx_store_up(a) && !plx_store_up(b));
    follow(b, &y, "room:away", &start); /* simply waits */
    redis_idle(&r, 100);
    assert_int_equal(y.ready + y.lost + x.lost, 0);
    redis_launch(&r);
    WAIT(&r, x.lost && y.lost);
    WAIT(&r, plx_store_up(a) && plx_store_up(b));
}

static void test_redis_restarts_with_data(void **state)
{
    (void)state;
    follower x[40];
    memset(x, 0, sizeof x);
    for (unsigned i = 0; i < 40; i++) {
        char topic[32];
        snprintf(topic, sizeof topic, "room:many:%u", i);
        plx_position start = position(topic);
        follow(b, &x[i], topic, &start);
    }
    publish(a, "room:many:7", 3);
    for (unsigned i = 0; i < 40; i++)
        WAIT(&r, x[i].ready);
    WAIT(&r, x[7].last == 3);
    redis_do(&r, "SAVE");
    redis_crash(&r);
    WAIT(&r, !plx_store_up(a) && !plx_store_up(b));
    redis_launch(&r);
    WAIT(&r, plx_store_up(a));
    for (unsigned i = 0; i < 40; i++) {
        char topic[32];
        snprintf(topic, sizeof topic, "room:many:%u", i);
        publish(a, topic, 2);
    }
    for (unsigned i = 0; i < 40; i++) {
        WAIT(&r, x[i].last == (i == 7 ? 5u : 2u));
        assert_int_equal(x[i].lost, 0);
        assert_true(x[i].in_order && x[i].ready == 1);
        plx_feed_watch_stop(&x[i].watch);
    }
}

/* Everything at once, by a repeatable sequence of accidents: whoever watches misses nothing. */
static void test_chaos(void **state)
{
    (void)state;
    static const char *const topics[] = {"chaos:a", "chaos:b", "chaos:c"};
    static follower x[24];
    plx_position start[3];
    unsigned dice = 20261120;
    uint64_t gaps = plx_store_counters_get(a)->gaps;
    memset(x, 0, sizeof x);
    for (unsigned t = 0; t < 3; t++)
        start[t] = position(topics[t]);
    memset(&published, 0, sizeof published);
    for (unsigned round = 0; round < 600; round++) {
        dice = dice * 1664525 + 1013904223;
        unsigned i = dice >> 8 & 31, t = i % 3, what = dice >> 24;
        plx_store *s = i % 2 ? a : b;
        if (what < 150)
            publish_start(s, topics[t], what % 4);
        else if (what < 235 && i < 24 && !x[i].watch.feed)
            follow(s, &x[i], topics[t], &start[t]);
        else if (what < 235 && i < 24 && what % 3 == 0)
            plx_feed_watch_stop(&x[i].watch);
        else if (what < 240)
            redis_do(&r, "CLIENT KILL TYPE pubsub");
        else if (what < 245)
            redis_do(&r, "CLIENT KILL TYPE normal SKIPME yes");
        else if (what < 250)
            redis_do(&r, "SCRIPT FLUSH");
        else
            WAIT(&r, plx_store_up(a) && plx_store_up(b));
        ev_run(r.loop, EVRUN_NOWAIT);
    }
    WAIT(&r, plx_store_up(a) && plx_store_up(b));
    assert_true(plx_store_counters_get(a)->gaps > gaps);
    for (unsigned i = 0; i < 24; i++) {
        if (!x[i].watch.feed)
            follow(i % 2 ? a : b, &x[i], topics[i % 3], &start[i % 3]);
        uint64_t end = position(topics[i % 3]).offset;
        assert_true(end > 20);
        WAIT(&r, x[i].last == end);
        assert_true(x[i].in_order && x[i].first == 1 && x[i].count == end);
        assert_int_equal(x[i].lost, 0);
    }
    for (unsigned i = 0; i < 24; i++)
        plx_feed_watch_stop(&x[i].watch);
}

static void test_hundred_thousand_watches(void **state)
{
    (void)state;
    const unsigned n = 100000;
    follower *f = calloc(n, sizeof *f);
    plx_position start = position("room:crowd");
    uint64_t begin = fixture_ms();
    for (unsigned i = 0; i < n; i++)
        follow(a, &f[i], "room:crowd", &start);
    publish(b, "room:crowd", 10);
    WAIT(&r, f[n - 1].last == 10);
    /* Again, all with a cursor that only the log knows. */
    publish(b, "room:crowd", 200);
    WAIT(&r, f[n - 1].last == 210);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(f[i].count, 210);
        plx_feed_watch_stop(&f[i].watch);
    }
    for (unsigned i = 0; i < n; i++)
        follow(a, &f[i], "room:crowd", &start);
    for (unsigned i = 0; i < n; i++)
        WAIT(&r, f[i].last == 210 && f[i].caught_up);
    for (unsigned i = 0; i < n; i++) {
        assert_true(f[i].in_order && f[i].count == 210);
        plx_feed_watch_stop(&f[i].watch);
    }
    print_message("100,000 watches: %u ms\n", (unsigned)(fixture_ms() - begin));
    free(f);
}

/* A message that comes by pub/sub, without Redis. */
static void overhear(plx_feed *f, const char *epoch, unsigned offset)
{
    char text[96];
    int n = snprintf(text, sizeof text, "1 %s %u j 0 3\nmsg{}", epoch, offset);
    plx_feed_subscription_ops.message(f, plx_slice_make(text, (size_t)n));
}

/* A worker that stood still finds that the log has grown, asks for the first piece of what it
 * missed, and gets all that and more by pub/sub before the answer: that was taken for a gap. */
static void test_pubsub_is_faster_than_the_answer(void **state)
{
    (void)state;
    follower x = {0};
    plx_position start = position("room:faster");
    follow(b, &x, "room:faster", &start);
    WAIT(&r, x.caught_up);
    for (unsigned i = 1; i <= 2 * PLX_FEED_CHUNK; i++)
        redis_do(&r, "XADD plx:{t:room:faster}:log %u-0 k j f %s e msg p {} c 1", i, "");
    redis_do(&r, "HSET plx:{t:room:faster}:meta off %d", 2 * PLX_FEED_CHUNK);
    overhear(x.watch.feed, start.epoch, 2); /* a hole: the piece from 1 is asked for */
    for (unsigned i = 1; i <= PLX_FEED_CHUNK + 20; i++)
        overhear(x.watch.feed, start.epoch, i);
    assert_int_equal(x.last, PLX_FEED_CHUNK + 20);
    WAIT(&r, x.lost || x.last == 2 * PLX_FEED_CHUNK);
    assert_int_equal(x.lost, 0);
    assert_true(x.in_order);
    plx_feed_watch_stop(&x.watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pubsub_is_faster_than_the_answer),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_live_feed_and_a_cursor_in_the_ring),
        cmocka_unit_test(test_many_old_cursors_share_reads),
        cmocka_unit_test(test_position_ahead_of_pubsub),
        cmocka_unit_test(test_lost_publication_is_read_from_the_log),
        cmocka_unit_test(test_gap_that_the_log_does_not_hold),
        cmocka_unit_test(test_subscription_lost_while_publishing),
        cmocka_unit_test(test_wrong_epoch),
        cmocka_unit_test(test_epoch_lost),
        cmocka_unit_test(test_offset_goes_back),
        cmocka_unit_test(test_offset_goes_back_in_silence),
        cmocka_unit_test(test_log_expired_but_meta_lives),
        cmocka_unit_test(test_stop_another_in_a_callback),
        cmocka_unit_test(test_restart_in_a_callback),
        cmocka_unit_test(test_stop_another_when_lost),
        cmocka_unit_test(test_linger_and_unsubscribe),
        cmocka_unit_test(test_close_with_watches),
        cmocka_unit_test(test_garbage_on_the_channel),
        cmocka_unit_test(test_garbage_in_the_log),
        cmocka_unit_test(test_redis_restarts_without_data),
        cmocka_unit_test(test_redis_restarts_with_data),
        cmocka_unit_test(test_chaos),
        cmocka_unit_test(test_hundred_thousand_watches),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
