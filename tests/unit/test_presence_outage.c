/* Presence while Redis is away, full, or back without its data. */
#include "presence_faulty.h"

static answer away[3];

static void expect_down(answer *x)
{
    WAIT(&r, x->called);
    assert_true(x->err == PLX_E_DOWN || x->err == PLX_E_TIMEOUT);
}

static void relaunch(void)
{
    redis_launch(&r);
    WAIT(&r, plx_store_up(a) && plx_store_up(b));
}

/* Restarted with its data. What could not be untracked meanwhile is, first of all. */
static void test_redis_restarted(void **state)
{
    (void)state;
    plx_roster *roster = plx_roster_open(b, S("restart"), &rules);
    assert_int_equal(track(a, "restart", "s1", "r1", "k", "{}"), 0);
    assert_int_equal(track(a, "restart", "s2", "r2", "k", "{}"), 0);
    WAIT(&r, read_state(a, "restart").count == 2);
    redis_do(&r, "SAVE");
    redis_crash(&r);
    memset(away, 0, sizeof away);
    WAIT(&r, !plx_store_up(a) && !plx_store_up(b));
    plx_untrack u = {.topic = S("restart"), .owner = plx_owner_name(a), .socket = S("s1")};
    plx_presence_untrack(a, &rules, &u, on_untracked, &away[0]);
    plx_track t = track_of(a, "restart", "s1", "r3", "k", "{}");
    plx_presence_track(a, &rules, &t, on_tracked, &away[1]);
    expect_down(&away[0]);
    expect_down(&away[1]);
    relaunch();
    /* The socket has come back before the untrack was repeated: what it tracks now stays. */
    assert_int_equal(track(a, "restart", "s1", "r4", "k", "{}"), 0);
    WAIT(&r, redis_do(&r, "HEXISTS plx:{t:restart}:pres r4--------------"));
    assert_int_equal(redis_do(&r, "HEXISTS plx:{t:restart}:pres r1--------------"), 0);
    assert_int_equal(read_state(a, "restart").count, 2);
    assert_int_equal(roster_picture(b, roster, "restart").count, 2);
    assert_int_equal(away[0].called + away[1].called, 2);
    plx_roster_close(roster);
}

/* Hundreds of sockets that went while Redis was away are gone soon after it is back. */
static void test_many_untracks_over_an_outage(void **state)
{
    (void)state;
    static answer x[400];
    char name[16];
    for (unsigned i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "n%u", i);
        plx_track t = track_of(a, "outage", name, name, "k", "{}");
        plx_presence_track(a, &rules, &t, NULL, NULL);
    }
    WAIT(&r, read_state(a, "outage").count == 400);
    redis_do(&r, "SAVE");
    redis_crash(&r);
    WAIT(&r, !plx_store_up(a) && !plx_store_up(b));
    for (unsigned i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "n%u", i);
        plx_untrack u = {.topic = S("outage"), .owner = plx_owner_name(a), .socket = S(name)};
        plx_presence_untrack(a, &rules, &u, on_untracked, &x[i]);
    }
    WAIT(&r, x[399].called == 1);
    redis_idle(&r, 300);
    relaunch();
    uint64_t start = fixture_ms();
    WAIT(&r, read_state(a, "outage").count == 0);
    assert_in_range(fixture_ms() - start, 0, 10000);
    for (unsigned i = 0; i < 400; i++)
        assert_int_equal(x[i].called, 1);
}

/* Redis refuses to write: what is to be removed is removed as soon as it does not. */
static void test_redis_out_of_memory(void **state)
{
    (void)state;
    follow(&f, b, "memory");
    assert_int_equal(track(a, "memory", "s1", "r1", "k", "{}"), 0);
    WAIT(&r, f.count == 1);
    redis_do(&r, "CONFIG SET maxmemory 1");
    assert_int_equal(track(a, "memory", "s2", "r2", "k", "{}"), PLX_E_STORE);
    assert_int_equal(untrack(a, "memory", "s1", NULL, NULL, false), PLX_E_STORE);
    redis_do(&r, "CONFIG SET maxmemory 0");
    WAIT(&r, f.count == 2);
    assert_int_equal(read_state(a, "memory").count, 0);
    /* And what is to be published is published late. */
    assert_int_equal(track(a, "memory", "s3", "r3", "k", "{}"), 0);
    redis_do(&r, "CONFIG SET maxmemory 1");
    redis_idle(&r, 300);
    assert_int_equal(f.count, 2);
    redis_do(&r, "CONFIG SET maxmemory 0");
    WAIT(&r, f.count == 3);
    assert_true(plx_diff_joins(f.event[2], ref_of("r3")));
    assert_int_equal(f.lost, 0);
    unfollow(&f);
}

/* Restarted with nothing: rosters are empty, not stale. */
static void test_redis_lost_everything(void **state)
{
    (void)state;
    plx_roster *roster = plx_roster_open(b, S("empty"), &rules);
    assert_int_equal(track(a, "empty", "s1", "r1", "k", "{}"), 0);
    WAIT(&r, read_state(a, "empty").count == 1);
    assert_int_equal(roster_picture(b, roster, "empty").count, 1);
    char path[128];
    redis_crash(&r);
    snprintf(path, sizeof path, "%s/dump.rdb", r.dir);
    unlink(path);
    relaunch();
    WAIT(&r, plx_roster_state(roster) && plx_slice_is(plx_roster_state(roster)->payload, "{}"));
    plx_roster_close(roster);
}

/* What is outstanding when the store closes is answered; rosters may be closed later. */
static void test_closing(void **state)
{
    (void)state;
    c = store_up(&r);
    plx_roster *roster = plx_roster_open(c, S("close"), &rules);
    plx_roster *again = plx_roster_open(c, S("close"), &rules);
    assert_ptr_equal(roster, again);
    roster_state(c, roster, "close");
    waiter w = {.wait = {.ready = on_roster_ready}};
    plx_position now = position_of(c, "close");
    memset(away, 0, sizeof away);
    plx_track t = track_of(c, "close", "s1", "r1", "k", "{}");
    plx_presence_track(c, &rules, &t, on_tracked, &away[0]);
    loop_turn(r.loop);
    plx_untrack u = {.topic = S("close"), .socket = S("s1")};
    plx_presence_untrack(c, &rules, &u, on_untracked, &away[1]);
    plx_roster_wait_start(roster, &w.wait, &now);
    plx_store_close(c);
    assert_int_equal(away[0].called, 1);
    assert_int_equal(away[1].called, 1);
    assert_null(plx_roster_state(roster));
    plx_roster_wait_stop(&w.wait);
    plx_roster_close(roster);
    plx_roster_close(again);
    assert_int_equal(w.ready, 0);
    /* Opened and closed at once, also while its snapshot is under way. */
    c = store_up(&r);
    plx_roster_close(plx_roster_open(c, S("quick"), &rules));
    roster = plx_roster_open(c, S("quick"), &rules);
    loop_turn(r.loop);
    plx_roster_close(roster);
    loop_turn(r.loop);
    roster = plx_roster_open(c, S("quick"), &rules);
    assert_slice(roster_state(c, roster, "quick")->payload, "{}");
    plx_roster_close(roster);
    plx_store_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closing),
        cmocka_unit_test(test_redis_out_of_memory),
        cmocka_unit_test(test_many_untracks_over_an_outage),
        cmocka_unit_test(test_redis_restarted),
        cmocka_unit_test(test_redis_lost_everything),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
