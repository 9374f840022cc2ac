/* Leases of workers: exactly one of all wins what a dead one has left, and nothing of it stays. */
#include "owner_world.h"

static follower f;

/* ---- tests */

/* First of all, because it takes its time: nobody sweeps before Redis has answered for a whole
 * lease. And with the real lease: what was tracked is gone that long after the last sign of life.
 */
static void test_a_real_lease(void **state)
{
    (void)state;
    victim v;
    be_born(&v);
    assert_int_equal(track(v.store, "real", "s1", "r1", "k", "{}"), 0);
    WAIT(&r, read_state(a, "real").count == 1);
    redis_do(&r, "ZADD plx:{owners} 1 longdead");
    redis_do(&r, "SADD plx:{o:longdead}:topics real");
    redis_idle(&r, 2000);
    assert_int_equal(swept(), 0);
    assert_true(score_of("", "longdead") == 1);
    WAIT(&r, swept() == 1);
    assert_in_range(plx_store_up_for_ms(a), PLX_OWNER_DEADLINE_MS, PLX_OWNER_DEADLINE_MS + 10000);
    expect_nothing_left("longdead");
    assert_int_equal(read_state(a, "real").count, 1); /* not the dead one's */
    assert_int_equal(v.lost, 0);
    long long deadline = score_of("", v.name);
    plx_store_close(v.store);
    uint64_t start = fixture_ms();
    WAIT(&r, read_state(a, "real").count == 0);
    assert_in_range(fixture_ms() - start, 5000, PLX_OWNER_LEASE_MS + 5000);
    redisReply *now = redis_ask(&r, "TIME");
    assert_in_range(atoll(now->element[0]->str) * 1000 - deadline + 1000, 0, 7000);
    freeReplyObject(now);
    expect_nothing_left(v.name);
    assert_int_equal(swept(), 2);
}

/* 20 times: one winner, each membership reported, no entry left, one diff for all who leave. */
static void test_exactly_one_winner(void **state)
{
    (void)state;
    plx_roster *roster = plx_roster_open(b, S("room:0"), &rules);
    for (unsigned round = 0; round < 20; round++) {
        victim v;
        char topic[16], socket[16], ref[16];
        uint64_t won = swept();
        unsigned reported = crashed();
        be_born(&v);
        for (unsigned i = 0; i < 30; i++) {
            snprintf(topic, sizeof topic, "room:%u", i % 10);
            snprintf(socket, sizeof socket, "s%u", i);
            snprintf(ref, sizeof ref, "v%u-%u", round, i);
            plx_track t = track_of(v.store, topic, socket, ref, "k", "{\"x\":1}");
            plx_presence_track(v.store, &rules, &t, NULL, NULL);
            note(&v, topic, socket, "what it was");
        }
        snprintf(ref, sizeof ref, "a%u", round);
        assert_int_equal(track(a, "room:0", ref, ref, "k", "{}"), 0); /* somebody else's */
        WAIT(&r, redis_do(&r, "HLEN plx:{o:%s}:members", v.name) == 30);
        if (round % 3 > 0) /* else some of it is not even published */
            WAIT(&r, read_state(a, "room:9").count == 3);
        die(&v);
        WAIT(&r, swept() > won);
        expect_nothing_left(v.name);
        for (unsigned i = 0; i < 10; i++) {
            snprintf(topic, sizeof topic, "room:%u", i);
            WAIT(&r, redis_do(&r, "LLEN plx:{t:%s}:pres:pend", topic) == 0);
            assert_int_equal(redis_do(&r, "HLEN plx:{t:%s}:pres", topic), i == 0 ? round + 1 : 0);
            assert_int_equal(redis_do(&r, "HLEN plx:{t:%s}:pres:own", topic),
                             i == 0 ? round + 1 : 0);
        }
        assert_int_equal(swept(), won + 1);
        assert_int_equal(crashed(), reported + 30);
    }
    assert_int_equal(roster_picture(b, roster, "room:0").count, 20);
    assert_true(same(roster_picture(b, roster, "room:0"), read_state(c, "room:0")));
    plx_roster_close(roster);
}

/* More than is worked at once: topics, entries of one topic, memberships. */
static void test_much_is_left(void **state)
{
    (void)state;
    victim v;
    char topic[24], socket[16], ref[16];
    unsigned reported = crashed();
    uint64_t won = swept();
    be_born(&v);
    for (unsigned i = 0; i < 1500; i++) {
        snprintf(topic, sizeof topic, i < 1000 ? "big" : "small:%u", i);
        snprintf(socket, sizeof socket, "s%u", i);
        snprintf(ref, sizeof ref, "m%u", i);
        plx_track t = track_of(v.store, topic, socket, ref, "k", "{}");
        plx_presence_track(v.store, &rules, &t, NULL, NULL);
        note(&v, topic, socket, "");
    }
    WAIT(&r, redis_do(&r, "HLEN plx:{o:%s}:members", v.name) == 1500);
    WAIT(&r, read_state(a, "big").count == 1000);
    assert_int_equal(redis_do(&r, "SCARD plx:{o:%s}:topics", v.name), 501);
    die(&v);
    expect_nothing_left(v.name);
    WAIT(&r, redis_do(&r, "KEYS plx:{t:*}:pres:pend") == 0);
    assert_int_equal(redis_do(&r, "EXISTS plx:{t:big}:pres plx:{t:big}:pres:own"), 0);
    assert_int_equal(redis_do(&r, "KEYS plx:{t:small:*}:pres"), 0);
    assert_int_equal(crashed(), reported + 1500);
    assert_int_equal(swept(), won + 1);
}

/* The winner dies over it: another one wins the rest. Memberships are reported at least once. */
static void test_the_winner_dies(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        victim v;
        char socket[16], ref[16];
        unsigned reported = crashed();
        uint64_t won = swept();
        for (size_t i = 0; i < SWEEPERS; i++)
            sweepers[i].settles = false; /* so that it can't come to an end */
        be_born(&v);
        for (unsigned i = 0; i < 10; i++) {
            snprintf(socket, sizeof socket, "s%u", i);
            snprintf(ref, sizeof ref, "w%u-%u", round, i);
            assert_int_equal(track(v.store, "winner", socket, ref, "k", "{}"), 0);
            note(&v, "winner", socket, "record");
        }
        WAIT(&r, read_state(a, "winner").count == 10);
        die(&v);
        WAIT(&r, crashed() == reported + 10);
        assert_int_equal(swept(), won + 1);
        /* It holds on to it while it lives. */
        redis_idle(&r, 2500);
        assert_true(score_of(":dead", v.name) > 0);
        assert_int_equal(crashed(), reported + 10);
        size_t winner = 0;
        while (sweepers[winner].crashed == 0 || strcmp(sweepers[winner].owner, v.name) != 0)
            winner++;
        /* Which dies now; in its place comes a new worker. */
        plx_store **store = winner == 0 ? &a : winner == 1 ? &b : &c;
        plx_store_close(*store);
        *store = store_up(&r);
        reported = 0;
        for (size_t i = 0; i < SWEEPERS; i++) {
            sweepers[i].crashed = 0;
            sweepers[i].settles = true;
        }
        sweep_with(&sweepers[winner], *store);
        redis_do(&r, "ZADD plx:{owners}:dead XX 1 %s", v.name);
        expect_nothing_left(v.name);
        assert_int_equal(crashed(), 10);
        assert_int_equal(sweepers[winner].crashed, 0); /* it has not been there for a lease yet */
        WAIT(&r, read_state(a, "winner").count == 0);
    }
}

/* What is reported is settled later, one by one, at most so many at a time. */
static void test_slow_settling(void **state)
{
    (void)state;
    victim v;
    char socket[16];
    unsigned reported = crashed();
    for (size_t i = 0; i < SWEEPERS; i++)
        sweepers[i].settles = false;
    be_born(&v);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(socket, sizeof socket, "s%u", i);
        note(&v, "slow", socket, "first");
        note(&v, "slow", socket, "record");
    }
    plx_owner_forget(v.store, S("slow"), S("s99"));
    redis_do(&r, "HSET plx:{o:%s}:members nonsense x", v.name); /* is thrown away */
    WAIT(&r, redis_do(&r, "HLEN plx:{o:%s}:members", v.name) == 100);
    die(&v);
    WAIT(&r, crashed() >= reported + 32);
    redis_idle(&r, 300);
    assert_in_range(crashed() - reported, 32, 64);
    size_t winner = 0;
    while (strcmp(sweepers[winner].owner, v.name) != 0)
        winner++;
    assert_string_equal(sweepers[winner].topic, "slow");
    assert_string_equal(sweepers[winner].record, "record");
    for (unsigned i = 0; i < 99; i++) {
        snprintf(socket, sizeof socket, "s%u", i);
        plx_owner_settle(sweepers[winner].store, S(v.name), S("slow"), S(socket));
        loop_turn(r.loop);
    }
    expect_nothing_left(v.name);
    for (size_t i = 0; i < SWEEPERS; i++)
        sweepers[i].settles = true;
}

/* Entries of the dead have their grace, too: whoever comes back in time is not noticed. */
static void test_grace_of_the_dead(void **state)
{
    (void)state;
    victim v;
    rules.grace_ms = 4000;
    follow(&f, b, "grace");
    be_born(&v);
    assert_int_equal(track(v.store, "grace", "s1", "r1", "u1", "{}"), 0);
    assert_int_equal(track(v.store, "grace", "s2", "r2", "u2", "{}"), 0);
    WAIT(&r, read_state(a, "grace").count == 2);
    WAIT(&r, plx_feed_last(f.watch.feed) == position_of(a, "grace").offset);
    size_t before = f.count;
    die(&v);
    expect_nothing_left(v.name);
    plx_track t = track_of(a, "grace", "back", "r3", "u1", "{}");
    answer x = track_with(a, &t);
    assert_int_equal(x.err, 0);
    assert_true(x.taken);
    WAIT(&r, read_state(a, "grace").count == 1);
    WAIT(&r, f.count == before + 1);
    assert_false(plx_diff_joins(f.event[before], ref_of("r3")));
    unfollow(&f);
    /* A topic without rules any more: at once. */
    be_born(&v);
    assert_int_equal(track(v.store, "grace", "s1", "r5", "u1", "{}"), 0);
    WAIT(&r, read_state(a, "grace").count == 2);
    for (size_t i = 0; i < SWEEPERS; i++)
        sweepers[i].has_rules = false;
    die(&v);
    expect_nothing_left(v.name);
    assert_int_equal(redis_do(&r, "ZCARD plx:{t:grace}:pres:grace"), 0);
    WAIT(&r, read_state(a, "grace").count == 1);
    for (size_t i = 0; i < SWEEPERS; i++)
        sweepers[i].has_rules = true;
    rules.grace_ms = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_real_lease),  cmocka_unit_test(test_exactly_one_winner),
        cmocka_unit_test(test_much_is_left),  cmocka_unit_test(test_the_winner_dies),
        cmocka_unit_test(test_slow_settling), cmocka_unit_test(test_grace_of_the_dead),
    };
    return cmocka_run_group_tests(tests, setup, workers_down);
}
