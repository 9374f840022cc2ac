/* An entry that another worker has died over: what that one tracked and nobody holds is taken back,
 * after the commit. */
#include "tests/unit/lp_world.h"
#include "transport/lp_internal.h"

/* Joins track their payload's keys "K1" and, pushed to, "K2"; a payload of 0 refuses, or tracks
 * nothing. */
static void track(plx_channel *ch, plx_call *call, plx_payload payload, const char *key)
{
    if (plx_slice_is(payload.bytes, "0"))
        plx_call_error(call, PLX_JSON_PAYLOAD("{}"));
    else if (plx_channel_track(ch, call, plx_slice_of(key), plx_slice_of("{}")) == 0)
        plx_call_ok(call, PLX_JSON_PAYLOAD("{}"));
    else
        plx_call_crash(call, "no");
}

static void join(void *state, plx_channel *ch, plx_call *call, plx_payload payload)
{
    (void)state;
    track(ch, call, payload, "K1");
}

static void in(void *state, plx_channel *ch, plx_call *call, plx_slice event, plx_payload payload)
{
    (void)state;
    if (plx_slice_is(event, "update"))
        plx_channel_update(ch, call, plx_slice_of("K1"), plx_slice_of("{\"n\":1}"));
    else if (plx_slice_is(event, "track")) {
        track(ch, call, payload, "K2");
        return;
    }
    plx_call_noreply(call);
}

static const plx_backend tracking = {
    .abi = PLX_BACKEND_ABI, .name = "tracking", .join = join, .handle_in = in};

#define JOIN                 "[\"1\",\"1\",\"echo:a\",\"phx_join\",1]"
#define REFUSED              "[\"1\",\"1\",\"echo:a\",\"phx_join\",0]"
#define PUSH(event, payload) "[\"1\",\"3\",\"echo:a\",\"" event "\"," payload "]"
#define DEAD                 "DeadDeadDeadDead"

static char refs[1000]; /* what Redis has, for fake_held */

static int start(void **state)
{
    world_start(state);
    channel_entries[1].backend = &tracking;
    refs[0] = '\0';
    fake_held = refs;
    return 0;
}

static int stop(void **state)
{
    fake_presence_end();
    return world_stop(state);
}

static void work(uint64_t entry, bool again, const char *line)
{
    char body[1000];
    snprintf(body, sizeof body, "n%s", line);
    plx_work w = work_of("S1", entry, entry, PLX_ENTRY_POST, body);
    w.again = again;
    due->work(due, &w);
}

/* Redis takes what is to be tracked, and has it then. */
static void tracks(const char *key)
{
    assert_non_null(fake_changes);
    assert_string_equal(fake_changes->key, key);
    strncat(refs, fake_changes->ref, sizeof refs - strlen(refs) - 1);
    fake_change_answer(0, 0);
}

static void has_also(const char *ref)
{
    strncat(refs, ref, sizeof refs - strlen(refs) - 1);
}

static void is_asked(void)
{
    assert_non_null(fake_changes);
    assert_non_null(fake_changes->held);
    assert_string_equal(fake_changes->topic, "echo:a");
    assert_memory_equal(fake_changes->socket, "S1", 2);
    assert_null(fake_changes->next);
    fake_change_answer(0, 0);
}

static void untracks(const char *ref)
{
    assert_non_null(fake_changes);
    assert_true(fake_changes->untracks);
    assert_false(fake_changes->grace);
    assert_string_equal(fake_changes->topic, "echo:a");
    assert_string_equal(fake_changes->ref, ref);
    fake_change_answer(0, 0);
}

static void is_committed(void)
{
    assert_null(fake_changes); /* not before the commit */
    committed(0);
}

static void a_refused_join_leaves_nobody(void **state)
{
    (void)state;
    has_also(DEAD);
    work(1, true, REFUSED);
    is_asked();
    is_committed();
    untracks(DEAD);
    assert_null(fake_changes);
    assert_false(plx_longpoll_cleaning(lp));
}

static void of_a_join_only_what_it_tracks_stays(void **state)
{
    (void)state;
    has_also(DEAD);
    work(1, true, JOIN);
    positioned(0, 5);
    tracks("K1");
    has_also("Dead2Dead2Dead2-");
    is_asked();
    is_committed();
    untracks(DEAD);
    untracks("Dead2Dead2Dead2-");
    assert_null(fake_changes);
}

/* Nothing is asked of an entry that is handed out for the first time. */
static void the_first_time_costs_nothing(void **state)
{
    (void)state;
    work(1, false, JOIN);
    positioned(0, 5);
    tracks("K1");
    is_committed();
    assert_null(fake_changes);
}

/* The lease is lost: whoever has the session now may hold it. */
static void nothing_goes_when_the_commit_fails(void **state)
{
    (void)state;
    has_also(DEAD);
    work(1, true, REFUSED);
    is_asked();
    committed(PLX_E_BUSY);
    assert_null(fake_changes);
}

static void redis_goes_away_before_it_answers(void **state)
{
    (void)state;
    work(1, true, REFUSED);
    fake_change_answer(PLX_E_DOWN, 0);
    assert_int_equal(plx_longpoll_parked(lp), 0);
    assert_null(first_call); /* no commit */
}

static void the_worker_stops_before_it_is_answered(void **state)
{
    (void)state;
    has_also(DEAD);
    work(1, true, REFUSED);
    plx_longpoll_drain(lp, NULL, NULL);
    plx_lp_works_end(lp);
    fake_change_answer(0, 0);
    assert_int_equal(plx_longpoll_parked(lp), 0);
}

static void joined(void)
{
    work(1, false, JOIN);
    positioned(0, 5);
    tracks("K1");
    committed(0);
}

static void a_push_that_tracks_another_time_nothing(void **state)
{
    (void)state;
    joined();
    has_also(DEAD);
    work(2, true, PUSH("track", "0"));
    is_asked();
    is_committed();
    untracks(DEAD);
    assert_null(fake_changes);
}

/* The dead worker has updated the entry, now it is not: what shows the client stays. */
static void an_update_that_is_none_any_more(void **state)
{
    (void)state;
    joined();
    snprintf(refs, sizeof refs, "%s", DEAD);
    work(2, true, PUSH("leave alone", "0"));
    is_asked();
    is_committed();
    assert_null(fake_changes);
}

static void other_topics_are_left_alone(void **state)
{
    (void)state;
    joined();
    has_also(DEAD);
    work(2, true,
         "[\"1\",\"3\",\"echo:b\",\"track\",1]\n[\"1\",\"3\",\"nowhere\",\"phx_join\",{}]");
    is_committed();
    assert_null(fake_changes);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_refused_join_leaves_nobody),
        TEST(of_a_join_only_what_it_tracks_stays),
        TEST(the_first_time_costs_nothing),
        TEST(nothing_goes_when_the_commit_fails),
        TEST(redis_goes_away_before_it_answers),
        TEST(the_worker_stops_before_it_is_answered),
        TEST(a_push_that_tracks_another_time_nothing),
        TEST(an_update_that_is_none_any_more),
        TEST(other_topics_are_left_alone),
    };
    plx_log_init("test", PLX_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
