/* Leases of workers: exactly one of all wins what a dead one has left, nothing of it stays, nobody
 * dies by mistake. */
#include "presence_fixture.h"

#define SWEEPERS 3

typedef struct sweeper {
    plx_owner_sweep sweep;
    plx_store *store;
    unsigned crashed;
    bool settles; /* at once */
    bool has_rules;
    char owner[32], topic[32], socket[32], record[64]; /* of the last report */
} sweeper;

static sweeper sweepers[SWEEPERS];
static follower f;

static void copy(char *out, size_t size, plx_slice s)
{
    snprintf(out, size, "%.*s", (int)s.len, s.data ? s.data : "");
}

static void on_crashed(plx_owner_sweep *x, plx_slice owner, plx_slice topic, plx_slice socket,
                       plx_slice record)
{
    sweeper *w = PLX_CONTAINER(x, sweeper, sweep);
    w->crashed++;
    copy(w->owner, sizeof w->owner, owner);
    copy(w->topic, sizeof w->topic, topic);
    copy(w->socket, sizeof w->socket, socket);
    copy(w->record, sizeof w->record, record);
    if (w->settles)
        plx_owner_settle(w->store, owner, topic, socket);
}

static const plx_presence_rules *on_rules(plx_owner_sweep *x, plx_slice topic)
{
    (void)topic;
    return PLX_CONTAINER(x, sweeper, sweep)->has_rules ? &rules : NULL;
}

static void sweep_with(sweeper *w, plx_store *s)
{
    *w = (sweeper){.sweep = {on_crashed, on_rules}, .store = s, .settles = true, .has_rules = true};
    plx_owner_sweep_start(s, &w->sweep);
}

static unsigned crashed(void)
{
    return sweepers[0].crashed + sweepers[1].crashed + sweepers[2].crashed;
}

static uint64_t swept(void)
{
    uint64_t n = 0;
    for (size_t i = 0; i < SWEEPERS; i++)
        n += plx_store_counters_get(sweepers[i].store)->owners_swept;
    return n;
}

/* ---- a worker that will die */

typedef struct victim {
    plx_owner_watch watch;
    plx_store *store;
    char name[32];
    unsigned lost;
} victim;

static void on_lost(plx_owner_watch *w)
{
    PLX_CONTAINER(w, victim, watch)->lost++;
}

/* -1: not there, or the list is none. */
static long long score_of(const char *list, const char *name)
{
    redisReply *score = redisCommand(r.admin, "ZSCORE plx:{owners}%s %s", list, name);
    assert_non_null(score);
    long long n = score->type == REDIS_REPLY_STRING ? atoll(score->str) : -1;
    freeReplyObject(score);
    return n;
}

static void be_born(victim *v)
{
    *v = (victim){.watch = {on_lost}, .store = store_up(&r)};
    plx_owner_start(v->store, &v->watch);
    copy(v->name, sizeof v->name, plx_owner_name(v->store));
    WAIT(&r, score_of("", v->name) > 0);
}

/* kill -9, and its lease has run out. */
static void die(victim *v)
{
    plx_store_close(v->store);
    redis_do(&r, "ZADD plx:{owners} XX 1 %s", v->name);
}

static void note(victim *v, const char *topic, const char *socket, const char *record)
{
    plx_owner_note(v->store, S(topic), S(socket), S(record));
}

static void expect_nothing_left(const char *name)
{
    WAIT(&r, score_of("", name) < 0 && score_of(":dead", name) < 0);
    assert_int_equal(redis_do(&r, "EXISTS plx:{o:%s}:topics plx:{o:%s}:members", name, name), 0);
}

static int setup(void **state)
{
    (void)state;
    redis_start(&r);
    a = store_up(&r);
    b = store_up(&r);
    c = store_up(&r);
    plx_store *stores[] = {a, b, c};
    for (size_t i = 0; i < SWEEPERS; i++)
        sweep_with(&sweepers[i], stores[i]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    plx_store_close(a);
    plx_store_close(b);
    plx_store_close(c);
    redis_stop(&r);
    return 0;
}

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
    assert_in_range(plx_store_up_for_ms(a), PLX_OWNER_DEADLINE_MS, PLX_OWNER_DEADLINE_MS + 5000);
    expect_nothing_left("longdead");
    assert_int_equal(read_state(a, "real").count, 1); /* not the dead one's */
    assert_int_equal(v.lost, 0);
    long long deadline = score_of("", v.name);
    plx_store_close(v.store);
    uint64_t start = fixture_ms();
    WAIT(&r, read_state(a, "real").count == 0);
    assert_in_range(fixture_ms() - start, 5000, PLX_OWNER_LEASE_MS + 500);
    redisReply *now = redis_ask(&r, "TIME");
    assert_in_range(atoll(now->element[0]->str) * 1000 - deadline + 1000, 0, 3000);
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
    rules.grace_ms = 1500;
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

static void on_stopped(void *arg, int err)
{
    assert_int_equal(err, 0);
    ++*(unsigned *)arg;
}

static void test_goodbye(void **state)
{
    (void)state;
    victim v;
    unsigned stopped = 0, reported = crashed();
    be_born(&v);
    assert_int_equal(track(v.store, "bye", "s1", "r1", "k", "{}"), 0);
    WAIT(&r, read_state(a, "bye").count == 1);
    note(&v, "bye", "s1", "x");
    plx_owner_stop(v.store, on_stopped, &stopped);
    WAIT(&r, stopped == 1);
    WAIT(&r, read_state(a, "bye").count == 0);
    expect_nothing_left(v.name);
    assert_int_equal(crashed(), reported + 1);
    plx_store_close(v.store);
}

/* One that stood still and was taken for dead: it is told, goes on under another name, and what it
 * had sent under the old one leaves as well. */
static void test_taken_for_dead(void **state)
{
    (void)state;
    victim v;
    char old[32];
    be_born(&v);
    assert_int_equal(track(v.store, "still", "s1", "r1", "k", "{}"), 0);
    WAIT(&r, read_state(a, "still").count == 1);
    uint64_t won = swept();
    WAIT(&r, redis_do(&r, "ZADD plx:{owners} XX 1 %s", v.name) == 0 && swept() > won);
    WAIT(&r, read_state(a, "still").count == 0);
    /* It does not know yet. */
    plx_track t = track_of(v.store, "still", "s2", "r2", "k", "{}");
    plx_presence_track(v.store, &rules, &t, NULL, NULL);
    WAIT(&r, v.lost == 1);
    snprintf(old, sizeof old, "%s", v.name);
    copy(v.name, sizeof v.name, plx_owner_name(v.store));
    assert_string_not_equal(old, v.name);
    WAIT(&r, read_state(a, "still").count == 0);
    expect_nothing_left(old);
    assert_true(score_of("", v.name) > 0);
    assert_int_equal(track(v.store, "still", "s1", "r3", "k", "{}"), 0);
    WAIT(&r, read_state(a, "still").count == 1);
    redis_idle(&r, 4000); /* more signs of life */
    assert_int_equal(v.lost, 1);
    assert_int_equal(read_state(a, "still").count, 1);
    die(&v);
    WAIT(&r, read_state(a, "still").count == 0);
    expect_nothing_left(v.name);
}

/* The same, but killed before it could notice: it had sent nothing that would be nobody's. */
static void test_stood_still_then_killed(void **state)
{
    (void)state;
    victim v;
    answer x = {0};
    be_born(&v);
    uint64_t won = swept();
    WAIT(&r, redis_do(&r, "ZADD plx:{owners} XX 1 %s", v.name) == 0 && swept() > won);
    expect_nothing_left(v.name);
    if (v.lost == 0) {
        plx_clock_fake(plx_now_ms() + 60000, plx_wall_ms()); /* it wakes up after a minute */
        plx_track t = track_of(v.store, "asleep", "s1", "r1", "k", "{}");
        plx_presence_track(v.store, &rules, &t, on_tracked, &x);
        loop_turn(r.loop);
        loop_turn(r.loop);
        plx_clock_real();
        assert_int_equal(redis_do(&r, "EXISTS plx:{t:asleep}:pres:fresh plx:{t:asleep}:pres"), 0);
    }
    plx_store_close(v.store);
    redis_idle(&r, 200);
    assert_int_equal(redis_do(&r, "EXISTS plx:{t:asleep}:pres:fresh plx:{t:asleep}:pres"), 0);
}

/* Nobody is declared dead on account of a claim that was long on its way. */
static void on_claim(const plx_done *done, int err, const redisReply *reply)
{
    assert_int_equal(err, 0);
    copy(done->arg, 32, plx_reply_slice(plx_reply_at(reply, 2)));
    ((char *)done->arg)[31] = 'x';
}

static void claim(const char *seen, char out[32])
{
    plx_command cmd;
    memset(out, 0, 32);
    plx_script_begin(&cmd, PLX_SCRIPT_OWNER_CLAIM, 2);
    plx_command_str(&cmd, "test:{owners}");
    plx_command_str(&cmd, "test:{owners}:dead");
    plx_command_u64(&cmd, 5000);
    plx_command_str(&cmd, seen);
    plx_command_u64(&cmd, 2000);
    plx_script_send(a, &cmd, on_claim, PLX_DONE(NULL, out));
    WAIT(&r, out[31] == 'x');
}

static void test_claims(void **state)
{
    (void)state;
    char out[32], seen[32];
    redisReply *t = redis_ask(&r, "TIME");
    long long now = atoll(t->element[0]->str) * 1000;
    freeReplyObject(t);
    redis_do(&r, "ZADD test:{owners} 1 dead-one 2 bad{name %lld alive", now + 100000);
    claim("0", out);
    assert_string_equal(out, "");
    snprintf(seen, sizeof seen, "%lld", now - 3000);
    claim(seen, out);
    assert_string_equal(out, "");
    snprintf(seen, sizeof seen, "%lld", now + 1000);
    claim(seen, out);
    assert_string_equal(out, "dead-one");
    claim(seen, out);
    assert_string_equal(out, "");
    redis_do(&r, "ZADD test:{owners}:dead XX 1 dead-one");
    claim(seen, out);
    assert_string_equal(out, "dead-one");
    assert_int_equal(redis_do(&r, "ZCARD test:{owners}"), 1); /* alive */
    redis_do(&r, "SET test:{owners} x");
    redis_do(&r, "DEL test:{owners}:dead");
    redis_do(&r, "SET test:{owners}:dead x");
    claim(seen, out);
    assert_string_equal(out, "");
}

/* Keys that are gone or not ours. */
static void test_garbage(void **state)
{
    (void)state;
    victim v;
    be_born(&v);
    assert_int_equal(track(v.store, "junk", "s1", "r1", "k", "{}"), 0);
    WAIT(&r, read_state(a, "junk").count == 1);
    /* The set of topics vanishes: it is made again with the next sign of life. */
    redis_do(&r, "DEL plx:{o:%s}:topics", v.name);
    WAIT(&r, redis_do(&r, "SCARD plx:{o:%s}:topics", v.name) == 1);
    redis_do(&r, "SET plx:{o:%s}:members x", v.name);
    die(&v);
    expect_nothing_left(v.name);
    WAIT(&r, read_state(a, "junk").count == 0);
    be_born(&v);
    redis_do(&r, "SET plx:{o:%s}:topics x", v.name);
    note(&v, "junk", "s", "x");
    WAIT(&r, redis_do(&r, "HLEN plx:{o:%s}:members", v.name) == 1);
    die(&v);
    expect_nothing_left(v.name);
    redis_do(&r, "DEL plx:{owners}");
    redis_do(&r, "SET plx:{owners} x");
    redis_do(&r, "SET plx:{owners}:dead x");
    be_born(&v);
    die(&v);
    expect_nothing_left(v.name);
}

/* Redis stands still for longer than every lease: nobody is declared dead, not even by a worker
 * whose clock has run on meanwhile. */
static void test_redis_stands_still(void **state)
{
    (void)state;
    victim v;
    be_born(&v);
    assert_int_equal(track(v.store, "frozen", "s1", "r1", "k", "{}"), 0);
    note(&v, "frozen", "s1", "x");
    WAIT(&r, read_state(a, "frozen").count == 1);
    uint64_t won = swept();
    unsigned reported = crashed();
    kill(r.pid, SIGSTOP);
    redis_idle(&r, PLX_OWNER_LEASE_MS + 1000);
    assert_false(plx_store_up(v.store));
    kill(r.pid, SIGCONT);
    WAIT(&r, plx_store_up(v.store) && plx_store_up(a) && plx_store_up(b) && plx_store_up(c));
    redis_idle(&r, PLX_OWNER_LEASE_MS + 1000);
    assert_int_equal(swept(), won);
    assert_int_equal(crashed(), reported);
    assert_int_equal(v.lost, 0);
    assert_int_equal(read_state(a, "frozen").count, 1);
    /* Who did die meanwhile is found. */
    die(&v);
    expect_nothing_left(v.name);
    WAIT(&r, read_state(a, "frozen").count == 0);
}

/* A Redis that refuses to write ends nobody either: signs of life come through, claims don't. */
static void test_out_of_memory(void **state)
{
    (void)state;
    victim v, w;
    be_born(&v);
    be_born(&w);
    uint64_t won = swept();
    redis_do(&r, "CONFIG SET maxmemory 1");
    plx_store_close(w.store);
    redis_do(&r, "EVAL %s 1 plx:{owners} %s",
             "#!lua flags=allow-oom\nreturn redis.call('ZADD', KEYS[1], 1, ARGV[1])", w.name);
    long long before = score_of("", v.name);
    WAIT(&r, score_of("", v.name) > before + 2000);
    assert_int_equal(swept(), won);
    assert_int_equal(score_of("", w.name), 1);
    redis_do(&r, "CONFIG SET maxmemory 0");
    expect_nothing_left(w.name);
    assert_int_equal(swept(), won + 1);
    assert_int_equal(v.lost, 0);
    die(&v);
    expect_nothing_left(v.name);
}

/* What could not be written down while Redis was away is, when it is back. */
static void test_notes_over_an_outage(void **state)
{
    (void)state;
    victim v;
    be_born(&v);
    note(&v, "notes", "stays", "1");
    note(&v, "notes", "goes", "2");
    WAIT(&r, redis_do(&r, "HLEN plx:{o:%s}:members", v.name) == 2);
    redis_do(&r, "SAVE");
    redis_crash(&r);
    WAIT(&r, !plx_store_up(v.store));
    plx_owner_forget(v.store, S("notes"), S("goes"));
    note(&v, "notes", "new", "3");
    note(&v, "notes", "both", "4");
    plx_owner_forget(v.store, S("notes"), S("both"));
    redis_idle(&r, 50);
    redis_launch(&r);
    WAIT(&r, plx_store_up(v.store));
    WAIT(&r, redis_do(&r, "HEXISTS plx:{o:%s}:members %s", v.name, "5 notesnew"));
    assert_int_equal(redis_do(&r, "HEXISTS plx:{o:%s}:members %s", v.name, "5 notesstays"), 1);
    assert_int_equal(redis_do(&r, "HLEN plx:{o:%s}:members", v.name), 2);
    assert_int_equal(v.lost, 0);
    /* With all data gone, the worker is told. */
    char path[128];
    redis_crash(&r);
    snprintf(path, sizeof path, "%s/dump.rdb", r.dir);
    unlink(path);
    redis_launch(&r);
    WAIT(&r, v.lost == 1);
    WAIT(&r, score_of("", plx_owner_name(v.store).data) > 0);
    plx_store_close(v.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_real_lease),
        cmocka_unit_test(test_exactly_one_winner),
        cmocka_unit_test(test_much_is_left),
        cmocka_unit_test(test_the_winner_dies),
        cmocka_unit_test(test_slow_settling),
        cmocka_unit_test(test_grace_of_the_dead),
        cmocka_unit_test(test_goodbye),
        cmocka_unit_test(test_taken_for_dead),
        cmocka_unit_test(test_stood_still_then_killed),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_redis_stands_still),
        cmocka_unit_test(test_notes_over_an_outage),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
