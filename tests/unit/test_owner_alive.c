/* Nobody dies by mistake: workers that say goodbye, stand still, or outlive Redis; damaged lists.
 */
#include "owner_world.h"

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
        cmocka_unit_test(test_goodbye),
        cmocka_unit_test(test_taken_for_dead),
        cmocka_unit_test(test_stood_still_then_killed),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_redis_stands_still),
        cmocka_unit_test(test_notes_over_an_outage),
    };
    return cmocka_run_group_tests(tests, setup, workers_down);
}
