/* Timers of sessions and messages in their inboxes: exactly one worker is given each, also when the
 * one that set it, or the first that was given it, is dead. */
#include "session_fixture.h"

#include "store/control.h"
#include "store/inform.h"
#include "store/session_due.h"

#include <stdlib.h>

typedef struct looker {
    plx_session_due due;
    plx_store *store;
    unsigned count;
    post last;
    uint64_t at_ms;
    char timer[32];
    size_t timers;
} looker;

static looker lookers[3];

static void on_work(plx_session_due *d, const plx_work *work)
{
    looker *l = PLX_CONTAINER(d, looker, due);
    l->count++;
    l->at_ms = fixture_ms();
    memset(&l->last, 0, sizeof l->last);
    take_work(&l->last, work);
    l->timers = work->timer_count;
    l->timer[0] = '\0';
    if (work->timer_count > 0)
        copy(l->timer, sizeof l->timer, work->timers[0].name);
}

static unsigned worked(void)
{
    return lookers[0].count + lookers[1].count + lookers[2].count;
}

static const looker *winner(void)
{
    for (size_t i = 0; i < 3; i++)
        if (lookers[i].count > 0)
            return &lookers[i];
    return NULL;
}

/* The first `count` workers look for what is due. */
static void look(size_t count)
{
    plx_store *stores[] = {a, b, c};
    memset(lookers, 0, sizeof lookers);
    for (size_t i = 0; i < 3; i++) {
        lookers[i] = (looker){.due = {on_work}, .store = stores[i]};
        if (i < count)
            plx_session_due_start(stores[i], &lookers[i].due);
        else
            plx_session_due_stop(stores[i]);
    }
}

/* A session with slots 1 and 2, and the lease for its next entry. */
static post session_with_slots(const char *sid, const char *id)
{
    const plx_slot set[] = {{.number = 1, .topic = PLX_LIT("one"), .start = {"E", 1}},
                            {.number = 2, .topic = PLX_LIT("two"), .start = {"E", 1}}};
    assert_int_equal(create(a, sid, id, LIFE), 0);
    const post p = post_with(a, sid, "", 200, "join");
    assert_int_equal(commit(a, &(plx_commit){.sid = plx_slice_of(sid),
                                             .fence = p.fence,
                                             .entry = p.work_entry,
                                             .set = set,
                                             .set_count = 2})
                         .err,
                     0);
    return post_with(a, sid, "", 200, "push");
}

static post commit_timers(const char *sid, const post *w, const plx_slot_timer *timers,
                          size_t count)
{
    const post next = commit(a, &(plx_commit){.sid = plx_slice_of(sid),
                                              .fence = w->fence,
                                              .entry = w->work_entry,
                                              .timers = timers,
                                              .timer_count = count});
    assert_int_equal(next.err, 0);
    return next;
}

static plx_slot_timer timer(uint32_t slot, const char *name, uint64_t ms, const char *message)
{
    return (plx_slot_timer){slot, plx_slice_of(name), ms, plx_slice_of(message)};
}

/* What a worker does with what it was given. */
static void finish(const looker *l, const char *sid)
{
    const post done = commit(l->store, &(plx_commit){.sid = plx_slice_of(sid),
                                                     .fence = l->last.fence,
                                                     .entry = l->last.work_entry});
    assert_int_equal(done.err, 0);
}

/* Nothing is left of the session among what is due. */
static bool is_listed(const char *sid)
{
    redisReply *score = redis_ask(&r, "ZSCORE plx:timers %s", sid);
    bool listed = score->type != REDIS_REPLY_NIL;
    freeReplyObject(score);
    return listed;
}

static void wait_unlisted(const char *sid)
{
    WAIT(&r, !is_listed(sid));
}

static void on_reply(const plx_done *done, int err, const redisReply *reply)
{
    (void)reply;
    assert_int_equal(err, 0);
    *(bool *)done->arg = true;
}

static double listed_at(const char *sid)
{
    redisReply *score = redis_ask(&r, "ZSCORE plx:timers %s", sid);
    double at = strtod(score->str, NULL);
    freeReplyObject(score);
    return at;
}

/* What a worker says when it has looked at a session that it had claimed. */
static void next_is(const char *claim, const char *sid, const char *delay)
{
    plx_command x;
    bool called = false;
    plx_script_begin(&x, PLX_SCRIPT_TIMERS_NEXT, 1);
    plx_command_str(&x, "plx:timers");
    plx_command_str(&x, sid);
    plx_command_str(&x, claim);
    plx_command_str(&x, delay);
    plx_script_send(b, &x, on_reply, PLX_DONE(NULL, &called));
    WAIT(&r, called);
}

static void test_timer(void **state)
{
    (void)state;
    look(3);
    const post w = session_with_slots("t-one", "");
    const plx_slot_timer timers[] = {timer(1, "a:b", 150, "hello"), timer(2, "far", 3600000, "x")};
    const uint64_t begun = fixture_ms();
    commit_timers("t-one", &w, timers, 2);
    WAIT(&r, worked() > 0);
    assert_true(winner()->at_ms - begun >= 149);
    if (winner()->at_ms - begun > 600)
        fprintf(stderr, "a timer of 150 ms took %d\n", (int)(winner()->at_ms - begun));
    assert_int_equal(winner()->last.kind, PLX_ENTRY_INFO);
    assert_string_equal(winner()->last.body, "t1:hello");
    assert_string_equal(winner()->last.sid, "t-one");
    assert_string_equal(winner()->last.topic, "one");
    assert_int_equal(winner()->timers, 1); /* the other one waits on */
    assert_string_equal(winner()->timer, "far");
    finish(winner(), "t-one");
    redis_idle(&r, 300);
    assert_int_equal(worked(), 1);
    assert_int_equal(redis_do(&r, "ZCARD plx:{s:t-one}:due"), 1);
    assert_int_equal(end(a, "t-one", "over"), 0);
    assert_int_equal(redis_do(&r, "EXISTS plx:{s:t-one}:due plx:{s:t-one}:timers"), 0);
}

static void test_replaced_and_cancelled(void **state)
{
    (void)state;
    look(2);
    post w = session_with_slots("t-two", "");
    const plx_slot_timer first[] = {timer(1, "x", 1500, "old"), timer(1, "y", 1500, "never"),
                                    timer(2, "x", 1500, "gone")};
    commit_timers("t-two", &w, first, 3);
    w = post_with(a, "t-two", "", 200, "again");
    const uint32_t drop[] = {2};
    const plx_slot_timer then[] = {timer(1, "x", 2000, "new"), timer(1, "y", 0, ""),
                                   timer(1, "never was", 0, "")};
    const post next = commit(a, &(plx_commit){.sid = PLX_LIT("t-two"),
                                              .fence = w.fence,
                                              .entry = w.work_entry,
                                              .drop = drop,
                                              .drop_count = 1,
                                              .timers = then,
                                              .timer_count = 3});
    assert_int_equal(next.err, 0);
    assert_int_equal(redis_do(&r, "HLEN plx:{s:t-two}:timers"), 1);
    WAIT(&r, worked() > 0);
    assert_string_equal(winner()->last.body, "t1:new");
    finish(winner(), "t-two");
    wait_unlisted("t-two");
    assert_int_equal(worked(), 1);
}

/* One of 0 ms is the next entry; the committer goes on with it. */
static void test_at_once(void **state)
{
    (void)state;
    look(1);
    const post w = session_with_slots("t-now", "");
    const plx_slot_timer now = timer(1, "x", 0, "now");
    const post next = commit_timers("t-now", &w, &now, 1);
    assert_true(next.has_work);
    assert_int_equal(next.kind, PLX_ENTRY_INFO);
    assert_string_equal(next.body, "t1:now");
    assert_int_equal(redis_do(&r, "ZCARD plx:{s:t-now}:due"), 0);
    assert_false(commit_messages(a, "t-now", &next, 0, "").has_work);
}

/* The worker that set it never looks: another one finds it. */
static void test_the_setter_is_gone(void **state)
{
    (void)state;
    look(0);
    const post w = session_with_slots("t-gone", "");
    const plx_slot_timer soon = timer(2, "x", 30, "soon");
    commit_timers("t-gone", &w, &soon, 1);
    lookers[2] = (looker){.due = {on_work}, .store = c};
    plx_session_due_start(c, &lookers[2].due);
    WAIT(&r, worked() > 0);
    assert_string_equal(winner()->last.body, "t2:soon");
    finish(winner(), "t-gone");
    wait_unlisted("t-gone");
}

/* Whoever was given the work does nothing about it: it is given again when its lease is over. */
static void test_a_worker_dies_over_it(void **state)
{
    (void)state;
    look(1);
    const post w = session_with_slots("t-dies", "");
    const plx_slot_timer soon = timer(1, "x", 20, "soon");
    commit_timers("t-dies", &w, &soon, 1);
    WAIT(&r, lookers[0].count == 1);
    plx_session_due_stop(a);
    plx_session_due_start(b, &lookers[1].due);
    WAIT(&r, lookers[1].count == 1);
    assert_true(lookers[1].at_ms - lookers[0].at_ms >= PLX_LEASE_MS - 100);
    assert_string_equal(lookers[1].last.body, "t1:soon");
    assert_int_equal(lookers[1].last.work_entry, lookers[0].last.work_entry);
    assert_true(lookers[1].last.fence > lookers[0].last.fence);
    finish(&lookers[1], "t-dies");
    wait_unlisted("t-dies");
}

/* A planned stop in the middle of a look: what that has claimed is worked, and nothing after it. */
static void test_a_worker_drains_over_it(void **state)
{
    (void)state;
    look(0);
    const post w = session_with_slots("t-drains", "");
    const plx_slot_timer timers[] = {timer(1, "x", 1, "soon"), timer(1, "y", 400, "later")};
    commit_timers("t-drains", &w, timers, 2);
    redis_idle(&r, 20);
    plx_session_due_start(a, &lookers[0].due);
    lookers[0] = (looker){.due = {on_work}, .store = a};
    WAIT(&r, plx_session_due_busy(a));
    assert_int_equal(worked(), 0);
    plx_session_due_drain(a);
    WAIT(&r, !plx_session_due_busy(a));
    assert_int_equal(lookers[0].count, 1);
    assert_string_equal(lookers[0].last.body, "t1:soon");
    finish(&lookers[0], "t-drains");
    redis_idle(&r, 1500);
    assert_int_equal(worked(), 1); /* the other one is for others */
    plx_session_due_start(b, &lookers[1].due);
    lookers[1] = (looker){.due = {on_work}, .store = b};
    WAIT(&r, lookers[1].count == 1);
    assert_string_equal(lookers[1].last.body, "t1:later");
    finish(&lookers[1], "t-drains");
    wait_unlisted("t-drains");
}

/* The lease is held: the entry waits for its turn, and the holder is given it. */
static void test_behind_a_lease(void **state)
{
    (void)state;
    look(3);
    post w = session_with_slots("t-behind", "");
    const plx_slot_timer soon = timer(1, "x", 1, "soon");
    commit_timers("t-behind", &w, &soon, 1);
    WAIT(&r, worked() > 0);
    const looker *holder = winner();
    const post held = holder->last;
    assert_false(post_with(b, "t-behind", "", 200, "later").has_work);
    const post next = commit(holder->store, &(plx_commit){.sid = PLX_LIT("t-behind"),
                                                          .fence = held.fence,
                                                          .entry = held.work_entry,
                                                          .timers = &soon,
                                                          .timer_count = 1});
    assert_string_equal(next.body, "later");
    redis_idle(&r, 100); /* it is due now */
    const post last = commit(
        holder->store,
        &(plx_commit){.sid = PLX_LIT("t-behind"), .fence = next.fence, .entry = next.work_entry});
    assert_string_equal(last.body, "t1:soon");
    commit(
        holder->store,
        &(plx_commit){.sid = PLX_LIT("t-behind"), .fence = last.fence, .entry = last.work_entry});
    assert_int_equal(worked(), 1);
}

/* It came while the entry that cancels it was worked: its message does not follow. The one that is
 * being worked, and others, do. */
static void test_cancelled_as_it_comes(void **state)
{
    (void)state;
    look(0);
    post w = session_with_slots("t-late", "");
    const plx_slot_timer timers[] = {timer(1, "x", 1, "x"), timer(1, "xy", 1, "xy"),
                                     timer(2, "x", 1, "two")};
    const plx_slot_timer none = timer(1, "x", 0, "");
    commit_timers("t-late", &w, timers, 3);
    w = post_with(a, "t-late", "", 200, "cancels");
    assert_true(w.has_work);
    look(1);
    WAIT(&r, redis_do(&r, "EXISTS plx:{s:t-late}:due") == 0);
    post next = commit_timers("t-late", &w, &none, 1);
    assert_string_equal(next.body, "t1:xy");
    next = commit_messages(a, "t-late", &next, 0, "");
    assert_string_equal(next.body, "t2:two");
    next = commit_timers("t-late", &next, &(plx_slot_timer){2, PLX_LIT("x"), 0, PLX_LIT("")}, 1);
    assert_false(next.has_work);
    redisReply *bytes = redis_ask(&r, "HGET plx:{s:t-late} ibytes");
    assert_string_equal(bytes->str, "0");
    freeReplyObject(bytes);
    assert_int_equal(worked(), 0);
}

/* Whoever looked found nothing more, and says so only after somebody else has set a timer: that one
 * stays listed. (By hand what two workers do whose commands meet like this.) */
static void test_set_while_another_worker_looks(void **state)
{
    char claim[32];
    (void)state;
    look(0);
    const post w = session_with_slots("t-meet", "");
    redis_do(&r, "ZADD plx:timers 1 t-meet"); /* as after a timer that came */
    redisReply *time = redis_ask(&r, "TIME");
    snprintf(claim, sizeof claim, "%lld", atoll(time->element[0]->str) * 1000 + PLX_DUE_CLAIM_MS);
    freeReplyObject(time);
    redis_do(&r, "ZADD plx:timers %s t-meet", claim);
    const plx_slot_timer later = timer(1, "x", 60000, "later");
    commit_timers("t-meet", &w, &later, 1);
    next_is(claim, "t-meet", "-1");
    assert_true(is_listed("t-meet"));
    assert_true(listed_at("t-meet") <= strtod(claim, NULL)); /* not later than it was */
    assert_int_equal(end(a, "t-meet", "over"), 0);
    redis_do(&r, "ZREM plx:timers t-meet");
}

static void test_a_session_that_ended(void **state)
{
    (void)state;
    look(0);
    const post w = session_with_slots("t-over", "");
    const plx_slot_timer soon = timer(1, "x", 1, "soon");
    commit_timers("t-over", &w, &soon, 1);
    assert_int_equal(end(a, "t-over", "over"), 0);
    redis_do(&r, "ZADD plx:timers 1 never-was 1 %b", "", (size_t)0);
    look(2);
    wait_unlisted("t-over");
    wait_unlisted("never-was");
    assert_int_equal(worked(), 0);
}

/* A timer is set while the same worker's look is under way, and not in what that will find. */
static void test_set_while_looking(void **state)
{
    (void)state;
    look(1);
    const post w = session_with_slots("t-looks", "");
    const plx_slot_timer soon = timer(1, "x", 100, "soon");
    post done = {.called = false};
    kill(r.pid, SIGSTOP);
    plx_due_expect(a, 0);
    redis_idle(&r, 50); /* the look waits in Redis' input */
    plx_session_commit(a,
                       &(plx_commit){.sid = PLX_LIT("t-looks"),
                                     .fence = w.fence,
                                     .entry = w.work_entry,
                                     .timers = &soon,
                                     .timer_count = 1},
                       on_commit, &done);
    const uint64_t begun = fixture_ms();
    kill(r.pid, SIGCONT);
    WAIT(&r, worked() > 0);
    assert_true(winner()->at_ms - begun < 800); /* not only at the next look of every second */
    finish(winner(), "t-looks");
}

/* What others have written into the list, or where a session's record should be, goes away, and
 * what is listed behind it is found. */
static void test_garbage(void **state)
{
    char name[200];
    (void)state;
    look(0);
    const post w = session_with_slots("t-clean", "");
    const plx_slot_timer soon = timer(1, "x", 1, "soon");
    memset(name, 'n', sizeof name);
    redis_do(&r, "SET plx:{s:no-hash} rubbish");
    redis_do(&r, "ZADD plx:timers 1 no-hash 2 %b 3 %b", "", (size_t)0, name, sizeof name);
    commit_timers("t-clean", &w, &soon, 1);
    look(1);
    WAIT(&r, worked() > 0);
    finish(winner(), "t-clean");
    wait_unlisted("t-clean");
    WAIT(&r, redis_do(&r, "ZCARD plx:timers") == 0);
    assert_int_equal(worked(), 1);
    redis_do(&r, "DEL plx:{s:no-hash}");
}

/* The list itself is of another type. */
static void test_no_list(void **state)
{
    (void)state;
    look(1);
    const post w = session_with_slots("t-list", "");
    const plx_slot_timer soon = timer(1, "x", 50, "soon");
    redis_do(&r, "SET plx:timers rubbish");
    commit_timers("t-list", &w, &soon, 1);
    WAIT(&r, worked() > 0);
    assert_string_equal(winner()->last.body, "t1:soon");
    redis_do(&r, "SET plx:timers rubbish");
    finish(winner(), "t-list");
    look(2); /* nobody lists anything: who looks throws it away */
    WAIT(&r, redis_do(&r, "EXISTS plx:timers") == 0);
}

/* A timer does not keep its session alive. */
static void test_it_is_no_sign_of_life(void **state)
{
    (void)state;
    look(1);
    const post w = session_with_slots("t-life", "");
    const plx_slot_timer soon = timer(1, "x", 20, "soon");
    redisReply *before = redis_ask(&r, "HGET plx:{s:t-life} until"), *after;
    commit_timers("t-life", &w, &soon, 1);
    WAIT(&r, worked() > 0);
    finish(winner(), "t-life");
    after = redis_ask(&r, "HGET plx:{s:t-life} until");
    assert_string_equal(before->str, after->str);
    freeReplyObject(before);
    freeReplyObject(after);
}

/* ---- messages to a socket id ---- */

static struct {
    plx_control control;
    unsigned count;
    char id[32], body[64];
} called;

static void on_inform(plx_control *control, plx_slice id, plx_slice body)
{
    (void)control;
    called.count++;
    copy(called.id, sizeof called.id, id);
    copy(called.body, sizeof called.body, body);
}

static plain inform(const char *id, const char *body, const char *digest)
{
    plain out = {.called = false};
    plx_inform(b, plx_slice_of(id), plx_slice_of(body), plx_slice_of(digest), on_plain, &out);
    assert_false(out.called);
    WAIT(&r, out.called);
    return out;
}

static void test_inform(void **state)
{
    (void)state;
    look(0);
    called.control = (plx_control){.inform = on_inform};
    called.count = 0;
    plx_control_set(c, &called.control);
    assert_int_equal(create(a, "i-one", "u:1", LIFE), 0);
    assert_int_equal(create(a, "i-two", "u:1", LIFE), 0);
    assert_int_equal(create(a, "i-other", "u:2", LIFE), 0);
    assert_int_equal(inform("u:1", "a\nbody", "x:1:0:0").err, 0);
    WAIT(&r, called.count == 1);
    assert_string_equal(called.id, "u:1");
    assert_string_equal(called.body, "a\nbody");
    assert_int_equal(inform("u:1", "a\nbody", "x:1:0:0").err, 0); /* the same one, again */
    assert_int_equal(inform("u:1", "more", "").err, 0);
    assert_int_equal(redis_do(&r, "XLEN plx:{s:i-one}:in"), 2);
    assert_int_equal(redis_do(&r, "XLEN plx:{s:i-other}:in"), 0);
    look(3); /* nobody had heard of it: the list knows */
    WAIT(&r, worked() == 2);
    assert_int_equal(winner()->last.kind, PLX_ENTRY_INFO);
    assert_string_equal(winner()->last.body, "a\nbody");
    assert_int_equal(inform("nobody", "x", "").err, 0);
    plx_control_set(c, NULL);
}

typedef struct helper {
    plx_control control;
    unsigned works;
    char sid[32], body[32];
} helper;

static void on_help(plx_control *control, const plx_work *work)
{
    helper *h = PLX_CONTAINER(control, helper, control);
    h->works++;
    copy(h->sid, sizeof h->sid, work->sid);
    copy(h->body, sizeof h->body, work->entry.body);
}

/* One call, to the worker that holds the session's poll: no other one takes the lease. */
static void test_inform_asks_one_worker(void **state)
{
    (void)state;
    helper first = {.control = {.work = on_help}}, second = first;
    look(0);
    plx_control_set(a, &first.control);
    plx_control_set(c, &second.control);
    for (unsigned i = 1; i <= 20; i++) {
        char sid[16], id[16];
        snprintf(sid, sizeof sid, "h-%u", i);
        snprintf(id, sizeof id, "help:%u", i);
        assert_int_equal(create(a, sid, id, LIFE), 0);
        assert_int_equal(poll_of(i % 2 ? a : c, sid, 0, i)->err, 0);
        assert_int_equal(inform(id, sid, "").err, 0);
        WAIT(&r, first.works + second.works == i);
        assert_int_equal(first.works, (i + 1) / 2);
        assert_string_equal(i % 2 ? first.sid : second.sid, sid);
        assert_string_equal(i % 2 ? first.body : second.body, sid);
    }
    plx_control_set(a, NULL);
    plx_control_set(c, NULL);
}

/* The worker of its last poll is gone, or it has never polled: somebody is found. */
static void test_inform_where_nobody_polls(void **state)
{
    (void)state;
    helper only = {.control = {.work = on_help}};
    look(0);
    plx_control_set(c, &only.control);
    assert_int_equal(create(a, "h-new", "help:new", LIFE), 0);
    assert_int_equal(inform("help:new", "1", "").err, 0);
    WAIT(&r, only.works == 1);
    assert_int_equal(create(a, "h-dead", "help:dead", LIFE), 0);
    redis_do(&r, "HSET plx:{s:h-dead} pw nobody pg 1");
    assert_int_equal(inform("help:dead", "2", "").err, 0);
    WAIT(&r, only.works == 2);
    assert_string_equal(only.sid, "h-dead");
    plx_control_set(c, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timer),
        cmocka_unit_test(test_replaced_and_cancelled),
        cmocka_unit_test(test_at_once),
        cmocka_unit_test(test_the_setter_is_gone),
        cmocka_unit_test(test_a_worker_dies_over_it),
        cmocka_unit_test(test_a_worker_drains_over_it),
        cmocka_unit_test(test_behind_a_lease),
        cmocka_unit_test(test_cancelled_as_it_comes),
        cmocka_unit_test(test_set_while_another_worker_looks),
        cmocka_unit_test(test_set_while_looking),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_no_list),
        cmocka_unit_test(test_a_session_that_ended),
        cmocka_unit_test(test_it_is_no_sign_of_life),
        cmocka_unit_test(test_inform),
        cmocka_unit_test(test_inform_asks_one_worker),
        cmocka_unit_test(test_inform_where_nobody_polls),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
