/* Feeds when something is wrong: damage in Redis, Redis away, with or without its data, and very
 * many watches.
 */
#include "feed_follower.h"

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
        cmocka_unit_test(test_garbage_on_the_channel),
        cmocka_unit_test(test_garbage_in_the_log),
        cmocka_unit_test(test_redis_restarts_without_data),
        cmocka_unit_test(test_redis_restarts_with_data),
        cmocka_unit_test(test_chaos),
        cmocka_unit_test(test_hundred_thousand_watches),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
