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
    unsigned sockets, called;
    char id[64];
} worker;

static worker workers[2];

static unsigned on_disconnect(plx_control *c, plx_slice id)
{
    worker *w = PLX_CONTAINER(c, worker, control);
    w->called++;
    snprintf(w->id, sizeof w->id, "%.*s", (int)id.len, id.data);
    return w->sockets;
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
    assert_true(fixture_ms() - start < 400); /* nobody had to wait for the time-out */
    assert_string_equal(workers[1].id, "user:1");
    assert_int_equal(workers[0].called, 1);
    assert_int_equal(redis_do(&r, "HEXISTS plx:{s:s1} ended"), 1);
    assert_int_equal(redis_do(&r, "HEXISTS plx:{s:s3} ended"), 0);
    /* Once more: the sessions have ended already. */
    assert_int_equal(disconnect(b, "user:1").sockets, 5);
    /* Any bytes but none harms. */
    assert_int_equal(disconnect(b, "a b\nc {}").sockets, 5);
    assert_string_equal(workers[0].id, "a b\nc {}");
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
    assert_in_range(fixture_ms() - start, 450, 3000);
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
                                       "1 disconnect w 1 2\nid"};
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
        cmocka_unit_test(test_from_the_command_line),
        cmocka_unit_test(test_a_worker_that_does_not_answer),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_redis_down),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
