/* Calls to all workers by socket id. */
#include "redis_fixture.h"

#include "base/error.h"
#include "base/list.h"
#include "store/control.h"
#include "store/session.h"

static redis r;
static plx_store *a, *b;

typedef struct worker {
    plx_control control;
    unsigned sockets, called, worked, outcome;
    char id[64], topic[64];
    const char *report;
    plx_position after;
} worker;

static worker workers[2];

static unsigned on_disconnect(plx_control *c, plx_slice id)
{
    worker *w = PLX_CONTAINER(c, worker, control);
    w->called++;
    snprintf(w->id, sizeof w->id, "%.*s", (int)id.len, id.data);
    return w->sockets;
}

static unsigned on_unsubscribe(plx_control *c, plx_slice id, plx_slice topic,
                               const plx_position *after)
{
    worker *w = PLX_CONTAINER(c, worker, control);
    w->called++;
    w->after = *after;
    snprintf(w->id, sizeof w->id, "%.*s", (int)id.len, id.data);
    snprintf(w->topic, sizeof w->topic, "%.*s", (int)topic.len, topic.data);
    return w->sockets;
}

static void on_committed(void *arg, int err, const plx_work *next)
{
    (void)arg;
    assert_int_equal(err, 0);
    assert_null(next);
}

/* Works the entry as a long-poll worker would, and says whether there was such a channel. */
static void on_work(plx_control *c, const plx_work *work)
{
    worker *w = PLX_CONTAINER(c, worker, control);
    plx_commit commit = {
        .sid = work->sid, .fence = work->fence, .entry = work->entry.id, .status = w->outcome};
    w->worked++;
    assert_int_equal(work->entry.kind, PLX_ENTRY_CLOSE);
    snprintf(w->topic, sizeof w->topic, "%.*s", (int)work->entry.body.len, work->entry.body.data);
    plx_session_commit(w == workers ? a : b, &commit, on_committed, NULL);
}

static void on_report(plx_control *c, plx_slice about, plx_buf *out)
{
    assert_true(plx_slice_is(about, "about\n\"this\""));
    plx_buf_str(out, PLX_CONTAINER(c, worker, control)->report);
}

typedef struct answer {
    unsigned called, sockets;
    int err;
} answer;

static void on_answer(void *arg, int err, unsigned sockets)
{
    answer *x = arg;
    x->called++;
    x->err = err;
    x->sockets = sockets;
}

static answer disconnect(plx_store *s, const char *id)
{
    answer x = {0};
    plx_control_disconnect(s, plx_slice_of(id), on_answer, &x);
    assert_int_equal(x.called, 0);
    WAIT(&r, x.called);
    return x;
}

static answer unsubscribe(plx_store *s, const char *id, const char *topic)
{
    answer x = {0};
    plx_control_unsubscribe(s, plx_slice_of(id), plx_slice_of(topic), on_answer, &x);
    assert_int_equal(x.called, 0);
    WAIT(&r, x.called);
    return x;
}

static int setup(void **state)
{
    (void)state;
    redis_start(&r);
    a = store_up(&r);
    b = store_up(&r);
    workers[0].control.disconnect = workers[1].control.disconnect = on_disconnect;
    plx_control_set(a, &workers[0].control);
    plx_control_set(b, &workers[1].control);
    WAIT(&r, redis_do(&r, "SPUBLISH plx:{control} nonsense") == 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    plx_store_close(a);
    plx_store_close(b);
    redis_stop(&r);
    return 0;
}

static void on_created(void *arg, int err)
{
    assert_int_equal(err, 0);
    ++*(unsigned *)arg;
}

static void create(const char *sid, const char *id)
{
    unsigned called = 0;
    plx_session_init init = {.sid = plx_slice_of(sid),
                             .mount = PLX_LIT("/socket"),
                             .vsn = 2,
                             .params = PLX_LIT("{}"),
                             .claims = PLX_LIT("{}"),
                             .id = plx_slice_of(id),
                             .life_ms = 30000};
    plx_session_create(a, &init, on_created, &called);
    WAIT(&r, called);
}

/* Nobody had to wait for the time-out: not each time, that is. One may be this machine's fault. */
static void expect_soon(uint64_t start, plx_store *s, const char *id, const char *topic)
{
    for (unsigned i = 0; i < 10 && fixture_ms() - start >= 400; i++) {
        start = fixture_ms();
        if (topic)
            unsubscribe(s, id, topic);
        else
            disconnect(s, id);
    }
    assert_true(fixture_ms() - start < 400);
}

static void test_sum_of_all(void **state)
{
    (void)state;
    workers[0].sockets = 2;
    workers[1].sockets = 3;
    create("s1", "user:1");
    create("s2", "user:1");
    create("s3", "user:2");
    uint64_t start = fixture_ms();
    answer x = disconnect(a, "user:1");
    assert_int_equal(x.err, 0);
    assert_int_equal(x.sockets, 7);
    assert_string_equal(workers[1].id, "user:1");
    assert_int_equal(workers[0].called, 1);
    assert_int_equal(redis_do(&r, "HEXISTS plx:{s:s1} ended"), 1);
    assert_int_equal(redis_do(&r, "HEXISTS plx:{s:s3} ended"), 0);
    expect_soon(start, b, "user:1", NULL);
    /* Once more: the sessions have ended already. */
    assert_int_equal(disconnect(b, "user:1").sockets, 5);
    /* Any bytes but none harms. */
    assert_int_equal(disconnect(b, "a b\nc {}").sockets, 5);
    assert_string_equal(workers[0].id, "a b\nc {}");
}

#define TICKET "0123456789abcdef0123456789abcdef01234567"
#define TAKEN  "plx:{call:" TICKET "}:by"
#define COUNT  "plx:{call:" TICKET "}"

/* A program that has only a Redis client: one worker makes the call, once. */
static void test_errand(void **state)
{
    (void)state;
    workers[0].sockets = 2;
    workers[1].sockets = 3;
    workers[0].called = workers[1].called = 0;
    assert_int_equal(
        redis_do(&r, "SPUBLISH plx:{control} %s", "1 errand - 0 " TICKET " disconnect 6\nuser:7"),
        2);
    WAIT(&r, redis_do(&r, "LLEN " COUNT) == 1);
    assert_int_equal(
        redis_do(&r, "EVAL %s 1 " COUNT, "return tonumber(redis.call('LPOP', KEYS[1]))"), 5);
    assert_int_equal(workers[0].called, 1);
    assert_int_equal(workers[1].called, 1);
    assert_string_equal(workers[1].id, "user:7");
    assert_true(redis_do(&r, "TTL " TAKEN) > 50);
    /* The same ticket again is nobody's. */
    redis_do(&r, "SPUBLISH plx:{control} %s", "1 errand - 0 " TICKET " disconnect 6\nuser:7");
    redis_idle(&r, 100);
    assert_int_equal(workers[0].called, 1);
    assert_int_equal(redis_do(&r, "DEL " TAKEN), 1);
    workers[0].control.unsubscribe = workers[1].control.unsubscribe = on_unsubscribe;
    redis_do(&r, "SPUBLISH plx:{control} %s",
             "1 errand - 0 " TICKET " unsubscribe 6\nuser:7room:1");
    WAIT(&r, redis_do(&r, "LLEN " COUNT) == 1);
    assert_string_equal(workers[0].topic, "room:1");
    assert_true(redis_do(&r, "TTL " COUNT) > 50);
    redis_do(&r, "DEL " TAKEN " " COUNT);
    workers[0].control.unsubscribe = workers[1].control.unsubscribe = NULL;
}

/* What is no errand does nothing and harms nobody. */
static void test_bad_errands(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "1 errand - 0 " TICKET " disconnect 7\nuser:7",
        "1 errand - 0 " TICKET " disconnect 0\n",
        "1 errand - 0 " TICKET " disconnect 5\nuser:7",
        "1 errand - 0 " TICKET " unsubscribe 6\nuser:7",
        "1 errand - 0 " TICKET " disconnect -6\nuser:7",
        "1 errand - 0 " TICKET " disconnect 18446744073709551615\nuser:7",
        "1 errand - 0 " TICKET " shutdown 6\nuser:7",
        "1 errand - 0 0123 disconnect 6\nuser:7",
        "1 errand - 0 0123456789ABCDEF0123456789ABCDEF01234567 disconnect 6\nuser:7",
        "1 errand - 0 " TICKET " disconnect\nuser:7",
        "1 errand - 0 " TICKET " disconnect 6 7\nuser:7",
        "1 errand - 0 " TICKET " disconnect 6",
    };
    workers[0].called = workers[1].called = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        redis_do(&r, "SPUBLISH plx:{control} %s", bad[i]);
    assert_int_equal(disconnect(a, "user:8").err, 0); /* comes after them */
    assert_int_equal(workers[0].called, 1);
    assert_int_equal(workers[1].called, 1);
    assert_int_equal(redis_do(&r, "EXISTS " TAKEN), 0);
}

static void test_from_the_command_line(void **state)
{
    (void)state;
    plx_store_options options = {.listen = false};
    plx_store *cli = plx_store_open(r.loop, &r.config, &options);
    workers[0].sockets = 1;
    workers[1].sockets = 0;
    answer x = disconnect(cli, "user:9"); /* not even connected yet */
    assert_int_equal(x.err, 0);
    assert_int_equal(x.sockets, 1);
    plx_store_close(cli);
}

static void test_unsubscribe(void **state)
{
    (void)state;
    workers[0].control.unsubscribe = workers[1].control.unsubscribe = on_unsubscribe;
    workers[0].control.work = on_work;
    workers[0].outcome = PLX_CLOSED_ONE;
    workers[0].sockets = 2;
    workers[1].sockets = 1;
    workers[0].worked = 0;
    create("u1", "user:u");
    create("u2", "user:u");
    create("u3", "user:v");
    redis_do(&r, "HSET plx:{t:room:1}:meta epoch eee off 12 bytes 0 base 0 hist 0");
    uint64_t start = fixture_ms();
    answer x = unsubscribe(a, "user:u", "room:1");
    assert_int_equal(x.err, 0);
    assert_int_equal(x.sockets, 5);
    assert_string_equal(workers[1].id, "user:u");
    assert_string_equal(workers[1].topic, "room:1");
    assert_string_equal(workers[1].after.epoch, "eee");
    assert_int_equal(workers[1].after.offset, 12);
    assert_int_equal(workers[0].worked, 2);
    assert_int_equal(redis_do(&r, "HEXISTS plx:{s:u1} ended"), 0);
    assert_int_equal(redis_do(&r, "XLEN plx:{s:u1}:in"), 0);
    expect_soon(start, a, "user:u", "room:1");
    /* No such channel in the sessions. */
    workers[0].outcome = PLX_CLOSED_NONE;
    assert_int_equal(unsubscribe(a, "user:u", "room:1").sockets, 3);
    /* Called by a process that works no sessions: another one does. */
    workers[0].outcome = PLX_CLOSED_ONE;
    workers[0].worked = 0;
    x = unsubscribe(b, "user:u", "a b\nc {}");
    assert_int_equal(x.sockets, 5);
    assert_int_equal(workers[0].worked, 2);
    assert_string_equal(workers[0].topic, "a b\nc {}");
}

/* The entry stays in the inbox, in its turn; the caller does not wait for ever. */
static void test_unsubscribe_while_a_session_is_held(void **state)
{
    (void)state;
    workers[0].worked = 0;
    redis_do(&r, "HSET plx:{s:u1} lease 99999999999999 fence 7");
    redis_do(
        &r, "EVAL %s 1 plx:{s:u1}",
        "local t = redis.call('TIME') redis.call('HSET', KEYS[1], 'lease', t[1] * 1000 + 3900)");
    uint64_t start = fixture_ms();
    answer x = unsubscribe(a, "user:u", "room:1");
    assert_int_equal(x.err, 0);
    assert_int_equal(x.sockets, 4); /* u2's, and those of the workers */
    assert_in_range(fixture_ms() - start, 450, 20000);
    assert_int_equal(redis_do(&r, "XLEN plx:{s:u1}:in"), 1);
    assert_int_equal(workers[0].worked, 1);
    redis_do(&r, "DEL plx:{s:u1} plx:{s:u1}:in");
}

typedef struct reports {
    unsigned called;
    int err;
    size_t count, silent;
    char text[256];
} reports;

static void on_reports(void *arg, int err, const plx_slice *texts, size_t count, size_t silent)
{
    reports *x = arg;
    x->called++;
    x->err = err;
    x->count = count;
    x->silent = silent;
    for (size_t i = 0; i < count; i++)
        strncat(x->text, plx_slice_is(texts[i], "one\ntwo") ? "[1]" : "[2]", 8);
}

static void test_reports(void **state)
{
    (void)state;
    reports x = {0}, y = {0};
    workers[0].report = "one\ntwo";
    workers[1].report = ""; /* has nothing to report: it has answered all the same */
    workers[0].control.report = workers[1].control.report = on_report;
    plx_control_reports(b, plx_slice_of("about\n\"this\""), on_reports, &x);
    WAIT(&r, x.called);
    assert_int_equal(x.err, 0);
    assert_int_equal(x.count, 1);
    assert_int_equal(x.silent, 0);
    assert_string_equal(x.text, "[1]");
    workers[1].report = "x";
    redisContext *deaf = redisConnectUnix(r.socket);
    freeReplyObject(redisCommand(deaf, "SSUBSCRIBE plx:{control}"));
    plx_control_reports(a, plx_slice_of("about\n\"this\""), on_reports, &y);
    WAIT(&r, y.called);
    assert_int_equal(y.count, 2);
    assert_int_equal(y.silent, 1);
    redisFree(deaf);
}

static void test_a_worker_that_does_not_answer(void **state)
{
    (void)state;
    redisContext *deaf = redisConnectUnix(r.socket);
    freeReplyObject(redisCommand(deaf, "SSUBSCRIBE plx:{control}"));
    workers[0].sockets = 1;
    workers[1].sockets = 1;
    uint64_t start = fixture_ms();
    answer x = disconnect(a, "user:1");
    assert_int_equal(x.err, 0);
    assert_int_equal(x.sockets, 2);
    assert_in_range(fixture_ms() - start, 450, 20000);
    redisFree(deaf);
}

static void test_garbage(void **state)
{
    (void)state;
    static const char *const junk[] = {"",
                                       "1",
                                       "1 disconnect",
                                       "1 disconnect w 1",
                                       "2 x y 1\nid",
                                       "\n",
                                       "1 disconnect w x\nid",
                                       "1 disconnect w 1 2\nid",
                                       "1 unsubscribe w 1\nid",
                                       "1 unsubscribe w 1 3 e 1\nid",
                                       "1 unsubscribe w 1 2 e x\nidtopic",
                                       "1 unsubscribe w 1 2 e: 1\nidtopic",
                                       "1 unsubscribe w 1 2 e 1 1\nidtopic",
                                       "1 work w 1\n",
                                       "1 report w\n"};
    unsigned before = workers[0].called;
    for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++)
        redis_do(&r, "SPUBLISH plx:{control} %s", junk[i]);
    disconnect(a, "user:1");
    assert_int_equal(workers[0].called, before + 1);
    redis_do(&r, "SPUBLISH plx:{control} %s", "1 disconnect  1\nid"); /* nobody to answer */
    WAIT(&r, workers[0].called == before + 2);
}

static void test_redis_down(void **state)
{
    (void)state;
    answer x = {0}, y = {0};
    kill(r.pid, SIGSTOP);
    plx_control_disconnect(a, plx_slice_of("user:1"), on_answer, &x);
    WAIT(&r, x.called);
    assert_int_equal(x.err, PLX_E_TIMEOUT);
    kill(r.pid, SIGCONT);
    redis_crash(&r);
    WAIT(&r, !plx_store_up(a));
    plx_control_disconnect(a, plx_slice_of("user:1"), on_answer, &y);
    WAIT(&r, y.called);
    assert_int_equal(y.err, PLX_E_DOWN);
    redis_launch(&r);
    WAIT(&r, plx_store_up(a) && plx_store_up(b));
    WAIT(&r, disconnect(a, "user:1").sockets == 2);
    /* Closing answers what is open. */
    plx_store *s = store_up(&r);
    answer z = {0};
    plx_control_disconnect(s, plx_slice_of("user:1"), on_answer, &z);
    ev_run(r.loop, EVRUN_NOWAIT);
    plx_store_close(s);
    assert_int_equal(z.called, 1);
    s = store_open(&r);
    z = (answer){0};
    plx_control_disconnect(s, plx_slice_of("user:1"), on_answer, &z);
    plx_store_close(s);
    assert_int_equal(z.err, PLX_E_DOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum_of_all),
        cmocka_unit_test(test_errand),
        cmocka_unit_test(test_bad_errands),
        cmocka_unit_test(test_from_the_command_line),
        cmocka_unit_test(test_unsubscribe),
        cmocka_unit_test(test_unsubscribe_while_a_session_is_held),
        cmocka_unit_test(test_reports),
        cmocka_unit_test(test_a_worker_that_does_not_answer),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_redis_down),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
