/* Sweeping: exactly one worker cleans up after a session, and nobody is declared dead by an outage.
 */
#include "session_fixture.h"

#include "store/session_internal.h"

typedef struct sweep {
    plx_session_sweep sweep;
    plx_store *store;
    unsigned ended;
    char sids[64][32], reason[32], topic[32], state[32], body[32];
    uint64_t fences[64];
} sweep;

static sweep sweeps[3];

static void on_ended(plx_session_sweep *x, const plx_work *work, const char *reason)
{
    sweep *s = PLX_CONTAINER(x, sweep, sweep);
    copy(s->sids[s->ended], 32, work->sid);
    s->fences[s->ended] = work->fence;
    snprintf(s->reason, sizeof s->reason, "%s", reason);
    copy(s->body, 32, work->entry.body);
    if (work->slot_count > 0) {
        copy(s->topic, 32, work->slots[0].topic);
        copy(s->state, 32, work->slots[0].state);
    }
    s->ended++;
}

static unsigned swept(void)
{
    return sweeps[0].ended + sweeps[1].ended + sweeps[2].ended;
}

static void on_once(void *arg)
{
    *(bool *)arg = true;
}

/* How many a process that lives for a moment has won. */
static unsigned swept_once(plx_store *s)
{
    bool over = false;
    unsigned before = sweeps[0].ended;
    plx_session_sweep_once(s, on_once, &over);
    WAIT(&r, over);
    return sweeps[0].ended - before;
}

/* No one of them knows for how long Redis has answered; all together do. */
static void test_processes_that_come_and_go(void **state)
{
    (void)state;
    plx_store *s = store_up(&r);
    sweeps[0] = (sweep){.sweep = {on_ended}, .store = s};
    plx_session_sweep_start(s, &sweeps[0].sweep);
    for (unsigned i = 0; i < 10; i++) {
        char sid[32];
        snprintf(sid, sizeof sid, "sw-once-%u", i);
        create(a, sid, "", 1);
    }
    redis_idle(&r, 5);                  /* all of them are due */
    assert_int_equal(swept_once(s), 0); /* the first ever */
    assert_int_equal(swept_once(s), 0);
    redis_do(&r, "HINCRBY plx:answering since -3000");
    assert_int_equal(swept_once(s), 0);
    redis_do(&r, "HINCRBY plx:answering since -1000");
    assert_int_equal(swept_once(s), 4); /* a few only: its web server waits for it */
    redis_do(&r, "HINCRBY plx:answering last -6000");
    assert_int_equal(swept_once(s), 0); /* nobody knows what was in between */
    assert_int_equal(swept_once(s), 0);
    redis_do(&r, "HINCRBY plx:answering since 3600000"); /* the clock went back */
    assert_int_equal(swept_once(s), 0);
    redis_do(&r, "HINCRBY plx:answering since -5000");
    assert_int_equal(swept_once(s), 4);
    redis_do(&r, "SET plx:answering rubbish");
    assert_int_equal(swept_once(s), 0); /* and begins anew */
    redis_do(&r, "HINCRBY plx:answering since -5000");
    assert_int_equal(swept_once(s), 2);
    plx_store_close(s);
}

static void test_sweep_by_exactly_one(void **state)
{
    (void)state;
    plx_store *stores[] = {a, b, c};
    redis_do(&r, "FLUSHALL");
    create(a, "sw-alive", "u:a", LIFE);
    create(a, "sw-short", "u:s", 10);
    post p = post_with(a, "sw-alive", "", 200, "x");
    (void)p;
    create(a, "sw-ended", "", LIFE);
    p = post_with(a, "sw-ended", "", 200, "x");
    plx_slot slot = {
        .number = 1, .topic = PLX_LIT("room:end"), .start = {"E", 1}, .state = PLX_LIT("assigns")};
    commit(a, &(plx_commit){.sid = PLX_LIT("sw-ended"),
                            .fence = p.fence,
                            .entry = p.work_entry,
                            .set = &slot,
                            .set_count = 1});
    end(b, "sw-ended", "disconnected");
    for (unsigned i = 0; i < 30; i++) {
        char sid[32];
        snprintf(sid, sizeof sid, "sw-many-%u", i);
        create(a, sid, "", 1);
    }
    redis_do(&r, "ZADD plx:sweep 1 sw-nobody 1 %b", "", (size_t)0);
    for (size_t i = 0; i < 3; i++) {
        sweeps[i] = (sweep){.sweep = {on_ended}, .store = stores[i]};
        plx_session_sweep_start(stores[i], &sweeps[i].sweep);
    }
    WAIT(&r, swept() == 32);
    redis_idle(&r, 1500); /* a second win would come within a second */
    assert_int_equal(swept(), 32);
    bool seen_ended = false;
    for (size_t i = 0; i < 3; i++) {
        for (unsigned j = 0; j < sweeps[i].ended; j++) {
            assert_string_not_equal(sweeps[i].sids[j], "sw-alive");
            seen_ended = seen_ended || strcmp(sweeps[i].sids[j], "sw-ended") == 0;
            for (size_t k = 0; k < 3; k++)
                for (unsigned l = 0; l < sweeps[k].ended; l++)
                    assert_true((i == k && j == l) ||
                                strcmp(sweeps[i].sids[j], sweeps[k].sids[l]) != 0);
        }
    }
    assert_true(seen_ended);
    /* Nobody has dropped them: their sweeper "died", another wins them again, with a new fence. */
    unsigned before = swept();
    WAIT(&r, swept() == before + 32);
    for (size_t i = 0; i < 3; i++) {
        for (unsigned j = 0; j < sweeps[i].ended; j++) {
            if (strcmp(sweeps[i].sids[j], "sw-ended") == 0) {
                assert_string_equal(sweeps[i].topic, "room:end");
                assert_string_equal(sweeps[i].state, "assigns");
            }
        }
    }
    /* The older fence drops nothing, the newer one does. */
    unsigned dropped = 0;
    for (size_t i = 0; i < 3; i++)
        for (unsigned j = 0; j < sweeps[i].ended; j++) {
            int err = drop(stores[i], sweeps[i].sids[j], sweeps[i].fences[j]);
            assert_true(err == 0 || err == PLX_E_BUSY || err == PLX_E_GONE);
            dropped += err == 0;
        }
    assert_int_equal(dropped, 32);
    WAIT(&r, redis_do(&r, "ZCARD plx:sweep") == 1); /* sw-alive, and no rubbish */
    assert_int_equal(redis_do(&r, "KEYS plx:{s:*"), redis_do(&r, "KEYS plx:{s:sw-alive}*"));
    assert_int_equal(by_id("u:s").count, 0);
    assert_int_equal(by_id("u:a").count, 1);
}

/* The list says when to look, the record says whether it is over. */
static void test_sweep_of_a_session_that_went_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        sweeps[i].ended = 0;
    create(a, "sw-on", "u:on", 100);
    poll_of(a, "sw-on", 0, 1);
    redis_do(&r, "DEL plx:{i:u:on}");
    redis_do(&r, "ZADD plx:sweep 1 sw-on");
    WAIT(&r, redis_do(&r, "ZCOUNT plx:sweep -inf 1") == 0);
    WAIT(&r, by_id("u:on").count == 1); /* its place under its id was renewed as well */
    assert_int_equal(swept(), 0);
    /* Expired while a worker holds its lease: not before that is over. */
    post p = post_with(b, "sw-on", "", 200, "x");
    assert_int_equal(p.result, PLX_POST_WORK);
    redis_do(&r, "HSET plx:{s:sw-on} until 1");
    redis_do(&r, "ZADD plx:sweep 1 sw-on");
    WAIT(&r, redis_do(&r, "ZCOUNT plx:sweep -inf 1") == 0);
    assert_int_equal(swept(), 0);
    redis_do(&r, "HSET plx:{s:sw-on} lease 1");
    redis_do(&r, "ZADD plx:sweep 1 sw-on");
    WAIT(&r, swept() == 1);
    for (size_t i = 0; i < 3; i++) /* its message may have left traces */
        if (sweeps[i].ended > 0)
            assert_string_equal(sweeps[i].body, "x");
    assert_int_equal(poll_of(a, "sw-on", 0, 2)->err, PLX_E_GONE);
    assert_int_equal(commit_messages(b, "sw-on", &p, 1, "x").err, PLX_E_GONE);
}

/* Ended while a worker was at a message, and that worker died: whoever cleans up hears of both. */
static void test_sweep_of_a_message_under_way(void **state)
{
    (void)state;
    redis_do(&r, "FLUSHALL");
    for (size_t i = 0; i < 3; i++)
        sweeps[i].ended = 0;
    create(a, "sw-work", "", LIFE);
    assert_int_equal(post_with(b, "sw-work", "", 200, "first").result, PLX_POST_WORK);
    assert_int_equal(post_with(b, "sw-work", "", 200, "second").err, 0);
    end(a, "sw-work", "disconnected");
    assert_int_equal(post_with(b, "sw-work", "", 200, "third").err, PLX_E_GONE);
    assert_int_equal(take_of(b, "sw-work", 0).err, PLX_E_GONE);
    redis_do(&r, "HSET plx:{s:sw-work} lease 1");
    redis_do(&r, "ZADD plx:sweep 1 sw-work");
    WAIT(&r, swept() == 1);
    for (size_t i = 0; i < 3; i++) {
        if (sweeps[i].ended == 0)
            continue;
        assert_string_equal(sweeps[i].body, "first");
        assert_int_equal(drop(a, "sw-work", sweeps[i].fences[0]), 0);
    }
    assert_int_equal(redis_do(&r, "KEYS plx:{s:sw-work}*"), 0);
}

/* A token's end ends the session of a client that is there. */
static void test_sweep_of_an_expired_token(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        sweeps[i].ended = 0;
    create_for(a, "sw-token", "", LIFE, 300);
    create_for(a, "sw-later", "", LIFE, 3600000);
    assert_int_equal(poll_of(a, "sw-token", 0, 1)->err, 0);
    redis_do(&r, "ZADD plx:sweep 1 sw-later");
    WAIT(&r, swept() == 1);
    for (size_t i = 0; i < 3; i++)
        if (sweeps[i].ended > 0) {
            assert_string_equal(sweeps[i].sids[0], "sw-token");
            assert_string_equal(sweeps[i].reason, "token expired");
            assert_int_equal(drop(a, "sw-token", sweeps[i].fences[0]), 0);
        }
    WAIT(&r, redis_do(&r, "ZCOUNT plx:sweep -inf 1") == 0);
    assert_int_equal(poll_of(a, "sw-later", 0, 1)->err, 0);
    /* A client that was not heard of before its token ran out has just expired. */
    create_for(a, "sw-both", "", 100, 200);
    redis_do(&r, "HSET plx:{s:sw-both} until 1 exp 2");
    WAIT(&r, swept() == 2);
    for (size_t i = 0; i < 3; i++)
        if (sweeps[i].ended > 0 && strcmp(sweeps[i].sids[sweeps[i].ended - 1], "sw-both") == 0)
            assert_string_equal(sweeps[i].reason, "expired");
}

/* What others have written there: no list, or the name of something that is no session. */
static void test_garbage(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        sweeps[i].ended = 0;
    redis_do(&r, "SET plx:sweep rubbish");
    redis_do(&r, "SET plx:{i:u:mud} rubbish");
    create(a, "sw-mud", "u:mud", 1);
    WAIT(&r, swept() == 1);
    assert_int_equal(by_id("u:mud").count, 1);
    redis_do(&r, "SET plx:{s:sw-none} rubbish");
    redis_do(&r, "ZADD plx:sweep 1 sw-none");
    WAIT(&r, redis_do(&r, "ZCOUNT plx:sweep -inf 1") == 0);
    assert_int_equal(swept(), 1);
    redis_do(&r, "DEL plx:{s:sw-none}");
}

/* The list of those with something due was lost: a look at a session notices that it should be
 * there. */
static void test_timers_that_nobody_lists(void **state)
{
    (void)state;
    create(a, "sw-timer", "", LIFE);
    create(a, "sw-entry", "", LIFE);
    create(a, "sw-idle", "", LIFE);
    const post p = post_with(a, "sw-timer", "", 200, "x");
    const plx_slot_timer far = {1, PLX_LIT("t"), 60000, PLX_LIT("message")};
    commit(a, &(plx_commit){.sid = PLX_LIT("sw-timer"),
                            .fence = p.fence,
                            .entry = p.work_entry,
                            .timers = &far,
                            .timer_count = 1});
    post_with(a, "sw-entry", "", 200, "x"); /* nobody works it */
    redis_do(&r, "DEL plx:timers");
    redis_do(&r, "ZADD plx:sweep 1 sw-timer 1 sw-entry 1 sw-idle");
    WAIT(&r, redis_do(&r, "ZCOUNT plx:sweep -inf 1") == 0);
    WAIT(&r, redis_do(&r, "ZCARD plx:timers") == 2);
    assert_int_equal(redis_do(&r, "ZREM plx:timers sw-timer sw-entry"), 2);
}

/* An overdue session that is heard of again before anybody swept it simply lives on. */
static void test_late_but_not_swept(void **state)
{
    (void)state;
    create(a, "late", "", LIFE);
    redis_do(&r, "HSET plx:{s:late} until 1");
    assert_int_equal(poll_of(a, "late", 0, 1)->err, 0);
    redis_do(&r, "ZADD plx:sweep 1 late");
    WAIT(&r, redis_do(&r, "ZCOUNT plx:sweep -inf 1") == 0);
    assert_int_equal(poll_of(a, "late", 0, 2)->err, 0);
}

/* A look that took long to arrive (Redis stood still?) declares nobody dead. */
static void on_script(const plx_done *done, int err, const redisReply *reply)
{
    assert_int_equal(err, 0);
    copy(done->arg, 32, plx_reply_slice(plx_reply_at(reply, 0)));
}

static void test_look_that_comes_late(void **state)
{
    (void)state;
    char word[32] = "";
    create(a, "slow", "", 1);
    redis_do(&r, "ZREM plx:sweep slow");
    plx_command command;
    plx_session_begin(&command, a, PLX_SCRIPT_EXPIRE, plx_slice_of("slow"));
    plx_command_str(&command, "w");
    plx_command_u64(&command, PLX_LEASE_MS);
    plx_command_u64(&command, 1); /* seen in 1970 */
    plx_command_u64(&command, 2000);
    plx_script_send(a, &command, on_script, PLX_DONE(NULL, word));
    WAIT(&r, word[0]);
    assert_string_equal(word, "late");
    assert_int_equal(poll_of(a, "slow", 0, 1)->err, 0);
}

/* Redis stands still for longer than a session lives; afterwards its client has time to come. */
static void test_outage_ends_nobody(void **state)
{
    (void)state;
    redis_do(&r, "FLUSHALL"); /* sessions of other tests may be due */
    sweeps[0].ended = sweeps[1].ended = sweeps[2].ended = 0;
    create(a, "outage", "", 300);
    kill(r.pid, SIGSTOP);
    redis_idle(&r, 1500); /* the sweepers' looks are now waiting in Redis' input */
    plx_clock_fake(fixture_ms() + PLX_STORE_TIMEOUT_MS + 1, 0);
    WAIT(&r, !plx_store_up(a) && !plx_store_up(b) && !plx_store_up(c));
    plx_clock_real();
    kill(r.pid, SIGCONT);
    WAIT(&r, plx_store_up(a) && plx_store_up(b) && plx_store_up(c));
    redis_idle(&r, 2000);
    assert_int_equal(swept(), 0);
    assert_int_equal(poll_of(a, "outage", 0, 1)->err, 0);
    redis_idle(&r, 4000);
    assert_int_equal(swept(), 0);
    assert_int_equal(poll_of(a, "outage", 0, 2)->err, 0);
}

static void test_restart_of_redis(void **state)
{
    (void)state;
    create(a, "saved", "", LIFE);
    redis_do(&r, "SAVE");
    create(a, "unsaved", "", LIFE);
    redis_crash(&r);
    WAIT(&r, !plx_store_up(a));
    assert_int_equal(poll_of(a, "saved", 0, 1)->err, PLX_E_DOWN);
    assert_int_equal(post_with(a, "saved", "", 200, "x").err, PLX_E_DOWN);
    redis_launch(&r);
    WAIT(&r, plx_store_up(a));
    assert_int_equal(poll_of(a, "saved", 0, 2)->err, 0);
    assert_int_equal(poll_of(a, "unsaved", 0, 1)->err, PLX_E_GONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_processes_that_come_and_go),
        cmocka_unit_test(test_sweep_by_exactly_one),
        cmocka_unit_test(test_sweep_of_a_session_that_went_on),
        cmocka_unit_test(test_sweep_of_a_message_under_way),
        cmocka_unit_test(test_sweep_of_an_expired_token),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_timers_that_nobody_lists),
        cmocka_unit_test(test_late_but_not_swept),
        cmocka_unit_test(test_look_that_comes_late),
        cmocka_unit_test(test_outage_ends_nobody),
        cmocka_unit_test(test_restart_of_redis),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
