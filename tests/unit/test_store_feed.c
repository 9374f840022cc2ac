/* Feeds: every event once and in order, holes, epochs, and watches that stop and start each other.
 */
#include "feed_follower.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
