/* Presence when keys are gone or not ours, epochs change, or the worker that should publish has
 * died. */
#include "presence_faulty.h"

/* A worker that is killed: its timers are gone, it says nothing. */
static void track_and_die(const char *topic, const char *socket, const char *ref)
{
    c = store_up(&r);
    assert_int_equal(track(c, topic, socket, ref, "k", "{}"), 0);
    plx_store_close(c);
}

/* ---- who flushes when the one that should has died */

static void test_late_flush_by_a_follower(void **state)
{
    (void)state;
    plx_roster *ra = plx_roster_open(a, S("late"), &rules),
               *rb = plx_roster_open(b, S("late"), &rules);
    follow(&f, b, "late");
    for (unsigned i = 0; i < 5; i++) {
        char ref[8];
        snprintf(ref, sizeof ref, "r%u", i);
        uint64_t start = fixture_ms();
        track_and_die("late", ref, ref);
        WAIT(&r, f.count == i + 1);
        assert_in_range(fixture_ms() - start, 0, 6000);
    }
    assert_int_equal(roster_picture(a, ra, "late").count, 5);
    assert_int_equal(roster_picture(b, rb, "late").count, 5);
    redis_idle(&r, 700);
    assert_int_equal(f.count, 5); /* once each, though two could have */
    plx_roster_close(ra);
    plx_roster_close(rb);
    unfollow(&f);
}

static void test_late_flush_by_the_next_change(void **state)
{
    (void)state;
    track_and_die("next", "s1", "r1");
    redis_idle(&r, 500);
    assert_int_equal(read_state(a, "next").count, 0);
    assert_int_equal(track(a, "next", "s2", "r2", "k", "{}"), 0);
    WAIT(&r, read_state(a, "next").count == 2);
    /* Or by whoever opens a roster. */
    track_and_die("next", "s3", "r3");
    plx_roster *roster = plx_roster_open(a, S("next"), &rules);
    WAIT(&r, read_state(b, "next").count == 3);
    plx_roster_close(roster);
}

static void test_grace_ends_without_its_worker(void **state)
{
    (void)state;
    rules.grace_ms = 1500;
    plx_roster *roster = plx_roster_open(b, S("grace"), &rules);
    c = store_up(&r);
    assert_int_equal(track(c, "grace", "s1", "r1", "k", "{}"), 0);
    WAIT(&r, read_state(a, "grace").count == 1);
    assert_int_equal(untrack(c, "grace", "s1", NULL, NULL, true), 0);
    plx_store_close(c);
    /* Other windows in between do not make anybody forget it. */
    assert_int_equal(track(a, "grace", "s2", "r2", "another", "{}"), 0);
    WAIT(&r, read_state(a, "grace").count == 2);
    WAIT(&r, read_state(a, "grace").count == 1);
    assert_int_equal(roster_picture(b, roster, "grace").count, 1);
    plx_roster_close(roster);
    rules.grace_ms = 0;
}

/* ---- keys */

static const char *const suffixes[] = {"pres",       "pres:fresh", "pres:pend",
                                       "pres:own",   "pres:win",   "pres:grace",
                                       "pres:alike", "meta",       "log"};

static void test_keys_of_another_type(void **state)
{
    (void)state;
    rules.grace_ms = 100;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        for (unsigned list = 0; list < 2; list++) {
            char topic[32], key[64];
            snprintf(topic, sizeof topic, "type%zu%u", i, list);
            snprintf(key, sizeof key, "plx:{t:%s}:%s", topic, suffixes[i]);
            redis_do(&r, list ? "RPUSH %s x" : "SET %s x", key);
            plx_roster *roster = plx_roster_open(b, S(topic), &rules);
            assert_int_equal(track(a, topic, "s1", "r1", "k", "{}"), 0);
            WAIT(&r, read_state(a, topic).count == 1);
            WAIT(&r, plx_roster_state(roster) &&
                         picture_of(plx_roster_state(roster)->payload).count == 1);
            redis_do(&r, "DEL %s", key);
            redis_do(&r, list ? "SET %s x" : "RPUSH %s x", key);
            assert_int_equal(track(a, topic, "s1", "r2", "k2", "{}"), 0);
            assert_int_equal(untrack(a, topic, "s1", "r1", NULL, true), 0);
            WAIT(&r, redis_do(&r, "HEXISTS plx:{t:%s}:pres r2--------------", topic));
            WAIT(&r, redis_do(&r, "ZCARD plx:{t:%s}:pres:grace", topic) == 0);
            plx_roster_close(roster);
        }
    }
    rules.grace_ms = 0;
}

static void test_garbage_in_keys(void **state)
{
    (void)state;
    static const char *const junk[] = {
        "",
        "x",
        "1 2 3\n",
        "1 2 3 4 5\nshort",
        "1 0 0 0 99999999999999999999\n}",
        "18446744073709551616 0 0 0 3\n\"k\"}",
        "1 1 1 0 3\nos\"k\"\"not a member\"}",
        "1 1 1 0 1\nosk}",
        "1 1 1 0 3\nos\"k\"",
        "-1 1 1 0 3\nos\"k\"}",
    };
    static const char *const fields[] = {"due", "win", "free", "seq", "bytes", "mode", "n"};
    const unsigned junks = sizeof junk / sizeof junk[0];
    /* In the snapshot: what can't be read is left out. */
    assert_int_equal(track(a, "junk", "s1", "r1", "k", "{}"), 0);
    WAIT(&r, read_state(a, "junk").count == 1);
    for (unsigned i = 0; i < junks; i++)
        redis_do(&r, "HSET plx:{t:junk}:pres junk%u----------- %b", i, junk[i], strlen(junk[i]));
    redis_do(&r, "HSET plx:{t:junk}:pres too-short x");
    plx_roster *roster = plx_roster_open(b, S("junk"), &rules);
    WAIT(&r, plx_roster_state(roster));
    assert_int_equal(picture_of(plx_roster_state(roster)->payload).count, 1);
    plx_roster_close(roster);
    /* In what is to be published. */
    redis_do(&r, "RPUSH plx:{t:junk}:pres:pend x j l u jr9 lr9 uu %b", "\0\xFF", (size_t)2);
    for (unsigned i = 0; i < junks; i++) {
        redis_do(&r, "HSET plx:{t:junk2}:pres:fresh junk%u----------- %b", i, junk[i],
                 strlen(junk[i]));
        redis_do(&r, "RPUSH plx:{t:junk2}:pres:pend jjunk%u----------- ljunk%u-----------", i, i);
        redis_do(&r, "HSET plx:{t:junk2}:pres:own s%u %b", i, junk[i], strlen(junk[i]));
        for (size_t k = 0; k < sizeof fields / sizeof fields[0]; k++)
            redis_do(&r, "HSET plx:{t:junk2}:pres:win %s %b", fields[k], junk[i], strlen(junk[i]));
        redis_do(&r, "ZADD plx:{t:junk2}:pres:grace 1 %b 1 junk%u-----------", junk[i],
                 strlen(junk[i]), i);
        assert_int_equal(untrack(a, "junk2", "s1", NULL, "k", false), 0);
        char ref[8];
        snprintf(ref, sizeof ref, "r%u", i);
        assert_int_equal(track(a, "junk2", "s1", ref, "k", "{}"), 0);
        assert_int_equal(untrack(a, "junk2", "s1", NULL, "other", true), 0);
        WAIT(&r, redis_do(&r, "HEXISTS plx:{t:junk2}:pres r%u--------------", i));
    }
    assert_int_equal(track(a, "junk", "s1", "r2", "k", "{}"), 0);
    WAIT(&r, redis_do(&r, "HEXISTS plx:{t:junk}:pres r2--------------"));
    assert_int_equal(redis_do(&r, "LLEN plx:{t:junk}:pres:pend"), 0);
}

/* An event of kind p that is none: the roster takes a new snapshot. */
static void test_garbage_in_events(void **state)
{
    (void)state;
    static const char *const payloads[] = {"{}", "", "nonsense",
                                           "{\"joins\":{\"u\":{\"metas\":[{}]}},\"leaves\":{}}",
                                           "{\"count\":-1}"};
    static const char *const events[] = {"presence_diff", "presence_state", "presence_count", "x"};
    assert_int_equal(track(a, "events", "s1", "r1", "k", "{}"), 0);
    WAIT(&r, read_state(a, "events").count == 1);
    plx_roster *roster = plx_roster_open(b, S("events"), &rules);
    for (size_t i = 0; i < 20; i++) {
        plx_publication p = {.topic = S("events"),
                             .event = S(events[i % 4]),
                             .payload = S(payloads[i / 4]),
                             .kind = PLX_KIND_PRESENCE};
        if (i == 1 || i == 14)
            continue; /* an empty state, a count: these are what they say */
        plx_topic_publish(a, &p, NULL, NULL);
        assert_int_equal(roster_picture(b, roster, "events").count, 1);
    }
    plx_roster_close(roster);
    /* Notes of the channel. */
    roster = plx_roster_open(b, S("events"), &rules);
    WAIT(&r, plx_roster_state(roster));
    redis_do(&r, "SPUBLISH plx:{t:events} %b", "p ", (size_t)2);
    redis_do(&r, "SPUBLISH plx:{t:events} %s", "p x");
    redis_do(&r, "SPUBLISH plx:{t:events} %s", "p 18446744073709551615");
    redis_do(&r, "SPUBLISH plx:{t:events} %s", "p 0");
    assert_int_equal(track(a, "events", "s2", "r2", "k", "{}"), 0);
    WAIT(&r, read_state(a, "events").count == 2);
    assert_int_equal(roster_picture(b, roster, "events").count, 2);
    plx_roster_close(roster);
}

/* ---- what is lost in Redis */

static void test_meta_deleted(void **state)
{
    (void)state;
    plx_roster *roster = plx_roster_open(b, S("meta"), &rules);
    follow(&f, b, "meta");
    assert_int_equal(track(a, "meta", "s1", "r1", "k", "{}"), 0);
    WAIT(&r, f.count == 1);
    assert_int_equal(roster_picture(b, roster, "meta").count, 1);
    redis_do(&r, "DEL plx:{t:meta}:meta");
    assert_int_equal(track(a, "meta", "s2", "r2", "k", "{}"), 0);
    WAIT(&r, f.lost == 1); /* members join again, the roster takes a new snapshot */
    WAIT(&r, plx_roster_state(roster) && picture_of(plx_roster_state(roster)->payload).count == 2);
    assert_true(same(read_state(a, "meta"), roster_picture(b, roster, "meta")));
    unfollow(&f);
    plx_roster_close(roster);
}

static void test_log_deleted(void **state)
{
    (void)state;
    plx_roster *roster = plx_roster_open(b, S("log"), &rules);
    follow(&f, b, "log");
    for (unsigned i = 0; i < 3; i++) {
        char ref[8];
        snprintf(ref, sizeof ref, "r%u", i);
        redis_do(&r, "DEL plx:{t:log}:log");
        assert_int_equal(track(a, "log", ref, ref, "k", "{}"), 0);
        WAIT(&r, f.count == i + 1);
    }
    assert_int_equal(f.lost, 0);
    assert_int_equal(roster_picture(b, roster, "log").count, 3);
    unfollow(&f);
    plx_roster_close(roster);
}

/* The published entries are gone: everybody has to join again, so the epoch ends. */
static void test_entries_deleted(void **state)
{
    (void)state;
    plx_roster *roster = plx_roster_open(b, S("gone"), &rules);
    follow(&f, b, "gone");
    assert_int_equal(track(a, "gone", "s1", "r1", "k", "{}"), 0);
    WAIT(&r, f.count == 1);
    redis_do(&r, "DEL plx:{t:gone}:pres");
    assert_int_equal(track(a, "gone", "s2", "r2", "k", "{}"), 0);
    WAIT(&r, f.lost == 1);
    WAIT(&r, plx_roster_state(roster) && picture_of(plx_roster_state(roster)->payload).count == 1);
    unfollow(&f);
    plx_roster_close(roster);
}

/* The window's hash is gone while something waits. */
static void test_window_deleted(void **state)
{
    (void)state;
    plx_roster *roster = plx_roster_open(b, S("win"), &rules);
    assert_int_equal(track(a, "win", "s1", "r1", "k", "{}"), 0);
    redis_do(&r, "DEL plx:{t:win}:pres:win");
    WAIT(&r, read_state(a, "win").count == 1);
    assert_int_equal(track(a, "win", "s2", "r2", "k", "{}"), 0);
    WAIT(&r, read_state(a, "win").count == 2);
    assert_int_equal(roster_picture(b, roster, "win").count, 2);
    plx_roster_close(roster);
}

/* Redis' clock has gone back: what it left in the future is forgotten. */
static void test_clock_gone_back(void **state)
{
    (void)state;
    follow(&f, b, "clock");
    assert_int_equal(track(a, "clock", "s1", "r1", "k", "{}"), 0);
    redis_do(&r, "HSET plx:{t:clock}:pres:win due 9000000000000 free 9000000000000 win 900000");
    assert_int_equal(track(a, "clock", "s2", "r2", "k", "{}"), 0);
    WAIT(&r, read_state(a, "clock").count == 2);
    redis_do(&r, "HSET plx:{t:clock}:pres:win due 9000000000000 free 9000000000000");
    uint64_t start = fixture_ms();
    assert_int_equal(track(a, "clock", "s3", "r3", "k", "{}"), 0);
    WAIT(&r, read_state(a, "clock").count == 3);
    assert_in_range(fixture_ms() - start, 0, 10000);
    unfollow(&f);
}

static long long ttl(const char *suffix)
{
    return redis_do(&r, "TTL plx:{t:ttl}:%s", suffix);
}

/* Keys live as long as a roster is open, and not for ever. */
static void test_ttls(void **state)
{
    (void)state;
    const uint64_t window_ms = rules.window_ms;
    rules.grace_ms = 4000;
    rules.window_ms = 3000; /* what waits for its flush is to be there still when we look */
    plx_roster *roster = plx_roster_open(a, S("ttl"), &rules);
    assert_int_equal(track(a, "ttl", "s1", "r1", "k", "{}"), 0);
    assert_int_equal(track(a, "ttl", "s2", "r2", "k", "{}"), 0);
    WAIT(&r, read_state(b, "ttl").count == 2);
    assert_int_equal(track(a, "ttl", "s3", "r3", "k", "{}"), 0);
    assert_int_equal(untrack(a, "ttl", "s1", NULL, NULL, true), 0);
    for (size_t i = 0; i < 7; i++)
        assert_in_range(ttl(suffixes[i]), 3500, 3600);
    assert_true(ttl("meta") > 3600 && ttl("log") > 3500);
    WAIT(&r, read_state(b, "ttl").count == 2);
    static const char *const lasting[] = {"pres", "pres:own", "pres:win", "meta"};
    for (size_t i = 0; i < 4; i++)
        redis_do(&r, "EXPIRE plx:{t:ttl}:%s 100", lasting[i]);
    plx_roster_tick(roster); /* too early for it */
    redis_idle(&r, 50);
    assert_in_range(ttl("pres"), 1, 100);
    plx_clock_fake(plx_now_ms() + 1000 * 1000, plx_wall_ms());
    plx_roster_tick(roster);
    plx_clock_real();
    WAIT(&r, ttl("pres") > 3500);
    for (size_t i = 0; i < 4; i++)
        assert_true(ttl(lasting[i]) > 3500);
    plx_roster_close(roster);
    rules.grace_ms = 0;
    rules.window_ms = window_ms;
}

/* A roster's waiter that comes from another epoch gets the state of the present one. */
static void test_waiter_of_another_epoch(void **state)
{
    (void)state;
    plx_roster *roster = plx_roster_open(b, S("epoch"), &rules);
    assert_int_equal(track(a, "epoch", "s1", "r1", "k", "{}"), 0);
    WAIT(&r, read_state(a, "epoch").count == 1);
    waiter w = {.wait = {.ready = on_roster_ready}};
    plx_position other = {"other", 12345};
    plx_roster_wait_start(roster, &w.wait, &other);
    WAIT(&r, w.ready == 1);
    assert_int_equal(picture_of(plx_roster_state(roster)->payload).count, 1);
    /* One that is stopped before its turn is not called. */
    plx_position now = position_of(b, "epoch");
    waiter w2 = {.wait = {.ready = on_roster_ready}};
    plx_roster_wait_start(roster, &w2.wait, &now);
    plx_roster_wait_start(roster, &w.wait, &now);
    plx_roster_wait_stop(&w.wait);
    WAIT(&r, w2.ready == 1);
    redis_idle(&r, 50);
    assert_int_equal(w.ready, 1);
    plx_roster_wait_stop(&w2.wait); /* harmless */
    plx_roster_close(roster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_late_flush_by_a_follower),
        cmocka_unit_test(test_late_flush_by_the_next_change),
        cmocka_unit_test(test_grace_ends_without_its_worker),
        cmocka_unit_test(test_keys_of_another_type),
        cmocka_unit_test(test_garbage_in_keys),
        cmocka_unit_test(test_garbage_in_events),
        cmocka_unit_test(test_meta_deleted),
        cmocka_unit_test(test_log_deleted),
        cmocka_unit_test(test_entries_deleted),
        cmocka_unit_test(test_window_deleted),
        cmocka_unit_test(test_clock_gone_back),
        cmocka_unit_test(test_ttls),
        cmocka_unit_test(test_waiter_of_another_epoch),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
