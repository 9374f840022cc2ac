/* The connection to a Redis that is not there, dies, stands still, or wants a password. */
#include "conn_world.h"

static void on_published(void *arg, int err, const plx_position *at, bool repeated)
{
    (void)at, (void)repeated;
    count(arg, err);
}

static void publish(plx_store *s, size_t bytes, answer *x)
{
    static char payload[1 << 20];
    memset(payload, 'x', sizeof payload);
    plx_publication p = {.topic = PLX_LIT("room:a"),
                         .event = PLX_LIT("msg"),
                         .payload = {payload, bytes},
                         .kind = PLX_KIND_JSON};
    plx_topic_publish(s, &p, on_published, x);
}

static void test_commands_before_the_first_connect_wait(void **state)
{
    (void)state;
    answer x = {0};
    plx_store *s = store_open(&r);
    assert_false(plx_store_up(s));
    assert_int_equal(plx_store_up_for_ms(s), 0);
    ping(s, on_ping, &x);
    publish(s, 10, &x);
    assert_int_equal(x.called, 0);
    WAIT(&r, x.called == 2);
    assert_int_equal(x.ok, 2);
    plx_store_close(s);
}

typedef struct refusal {
    plx_store *store;
    answer x;
    char text[160];
} refusal;

static void on_refused(void *arg, int err, const plx_position *at, bool repeated)
{
    refusal *f = arg;
    (void)at, (void)repeated;
    count(&f->x, err);
    snprintf(f->text, sizeof f->text, "%s", plx_store_refusal(f->store));
}

static void test_refusal_is_told(void **state)
{
    (void)state;
    refusal f = {.store = store_up(&r)};
    plx_publication p = {.topic = PLX_LIT("room:refused"),
                         .event = PLX_LIT("msg"),
                         .payload = PLX_LIT("1"),
                         .kind = PLX_KIND_JSON};
    redis_do(&r, "CONFIG SET maxmemory 1");
    plx_topic_publish(f.store, &p, on_refused, &f);
    WAIT(&r, f.x.called == 1);
    redis_do(&r, "CONFIG SET maxmemory 0");
    assert_int_equal(f.x.other, 1);
    assert_memory_equal(f.text, "OOM ", 4);
    plx_topic_publish(f.store, &p, on_refused, &f);
    WAIT(&r, f.x.called == 2);
    assert_int_equal(f.x.ok, 1);
    assert_string_equal(f.text, "");
    plx_store_close(f.store);
}

static void test_redis_down_at_start(void **state)
{
    (void)state;
    answer x = {0};
    redis_crash(&r);
    plx_store *s = store_open(&r);
    ping(s, on_ping, &x);
    assert_int_equal(x.called, 0);
    WAIT(&r, x.called == 1);
    assert_int_equal(x.down, 1);
    ping(s, on_ping, &x); /* known to be down: told in the next turn */
    assert_int_equal(x.called, 1);
    ev_run(r.loop, EVRUN_NOWAIT);
    ev_run(r.loop, EVRUN_NOWAIT);
    assert_int_equal(x.down, 2);
    redis_launch(&r);
    WAIT(&r, plx_store_up(s));
    ping(s, on_ping, &x);
    WAIT(&r, x.ok == 1);
    plx_store_close(s);
}

typedef struct watch {
    plx_store_watch watch;
    plx_store *store;
    unsigned up, down;
    struct watch *remove;
} watch;

static void on_up(plx_store_watch *w)
{
    watch *x = PLX_CONTAINER(w, watch, watch);
    x->up++;
    assert_true(plx_store_up(x->store));
    if (x->remove)
        plx_store_watch_remove(x->store, &x->remove->watch);
}

static void on_down(plx_store_watch *w)
{
    watch *x = PLX_CONTAINER(w, watch, watch);
    x->down++;
    assert_false(plx_store_up(x->store));
}

static void test_watches(void **state)
{
    (void)state;
    plx_store *s = store_open(&r);
    watch x = {{on_up, on_down, NULL}, s, 0, 0, NULL}, y = x, z = x;
    x.remove = &x;
    plx_store_watch_add(s, &y.watch);
    plx_store_watch_add(s, &x.watch);
    plx_store_watch_add(s, &z.watch);
    WAIT(&r, y.up == 1);
    assert_true(x.up == 1 && z.up == 1);
    /* Only a connection that has subscribed counts as one for pub/sub. */
    WAIT(&r, redis_do(&r, "PUBSUB SHARDCHANNELS") == 2);
    redis_do(&r, "CLIENT KILL TYPE pubsub");
    WAIT(&r, y.down == 1);
    WAIT(&r, y.up == 2);
    assert_true(x.up == 1 && x.down == 0 && z.up == 2 && z.down == 1);
    assert_int_equal(plx_store_counters_get(s)->reconnects, 1);
    z.remove = &y;
    redis_do(&r, "CLIENT KILL TYPE normal");
    WAIT(&r, z.up == 3);
    assert_true(y.up == 2 && y.down == 2);
    plx_store_close(s);
    redis_admin_close(&r);
    redis_admin_open(&r);
}

static void test_killed_with_commands_under_way(void **state)
{
    (void)state;
    answer x = {0};
    plx_store *s = store_up(&r);
    kill(r.pid, SIGSTOP);
    for (unsigned i = 0; i < 100; i++)
        publish(s, 100000, &x); /* 10 MB: most of it can't even be written */
    ev_run(r.loop, EVRUN_NOWAIT);
    assert_int_equal(x.called, 0);
    redis_crash(&r);
    WAIT(&r, x.called == 100);
    assert_true(x.timeout > 0); /* sent: nobody knows */
    assert_true(x.down > 0);    /* not sent */
    assert_int_equal(x.timeout + x.down, 100);
    assert_false(plx_store_up(s));
    redis_launch(&r);
    WAIT(&r, plx_store_up(s));
    publish(s, 10, &x);
    WAIT(&r, x.ok == 1);
    plx_store_close(s);
}

static void test_stopped_for_longer_than_the_timeout(void **state)
{
    (void)state;
    answer x = {0};
    plx_store *s = store_up(&r);
    kill(r.pid, SIGSTOP);
    ping(s, on_ping, &x);
    ev_run(r.loop, EVRUN_NOWAIT);
    redis_idle(&r, 600);
    assert_int_equal(x.called, 0);
    assert_true(plx_store_up(s));
    jump_ahead(PLX_STORE_TIMEOUT_MS + 1);
    WAIT(&r, x.called == 1);
    assert_int_equal(x.timeout, 1);
    WAIT(&r, !plx_store_up(s));
    assert_int_equal(plx_store_up_for_ms(s), 0);
    /* Its socket accepts connections all the same: that alone is not "up". */
    plx_clock_real();
    redis_idle(&r, 1500);
    assert_false(plx_store_up(s));
    kill(r.pid, SIGCONT);
    WAIT(&r, plx_store_up(s));
    assert_true(plx_store_up_for_ms(s) < 2000); /* it was up 600 ms and more before */
    plx_store_close(s);
}

/* Idle, it notices by itself: "up" is never older than a ping. */
static void test_stopped_while_idle(void **state)
{
    (void)state;
    plx_store *s = store_up(&r);
    kill(r.pid, SIGSTOP);
    redis_idle(&r, 2000);
    jump_ahead(PLX_STORE_TIMEOUT_MS + 1);
    WAIT(&r, !plx_store_up(s));
    plx_clock_real();
    kill(r.pid, SIGCONT);
    WAIT(&r, plx_store_up(s));
    plx_store_close(s);
}

/* It was this process that stood still, not Redis: the answer is there and counts. */
static void test_own_standstill(void **state)
{
    (void)state;
    answer x = {0};
    plx_store *s = store_up(&r);
    ping(s, on_ping, &x);
    ev_run(r.loop, EVRUN_NOWAIT);
    redis_do(&r, "PING");
    jump_ahead(60000);
    WAIT(&r, x.called == 1);
    assert_int_equal(x.ok, 1);
    redis_idle(&r, 1500);
    assert_true(plx_store_up(s));
    plx_clock_real();
    plx_store_close(s);
}

static void test_large_pipeline(void **state)
{
    (void)state;
    answer x = {0};
    plx_store *s = store_up(&r);
    for (unsigned i = 0; i < 30; i++)
        publish(s, 1 << 20, &x); /* many times the write buffer */
    for (unsigned i = 0; i < 20000; i++)
        ping(s, on_ping, &x);
    WAIT(&r, x.called == 20030);
    assert_int_equal(x.ok, 20030);
    plx_store_close(s);
}

/* More than may wait: refused, not buffered for ever. */
static void test_outstanding_is_bounded(void **state)
{
    (void)state;
    answer x = {0};
    plx_store *s = store_up(&r);
    kill(r.pid, SIGSTOP);
    for (unsigned i = 0; i < 200; i++)
        publish(s, 1 << 20, &x);
    redis_idle(&r, 50);
    assert_in_range(x.down, 60, 100);
    kill(r.pid, SIGCONT);
    WAIT(&r, x.called == 200);
    assert_int_equal(x.ok + x.down, 200);
    plx_store_close(s);
}

static void again(void *arg, int err)
{
    answer *x = arg;
    count(x, err);
}

static plx_store *closing;

static void ask_again(void *arg, int err)
{
    answer *x = arg;
    count(x, err);
    if (x->called < 10)
        ping(closing, again, x);
}

/* A module that asks for a list of presences again whenever it is refused. */
static void ask_for_ever(void *arg, int err)
{
    answer *x = arg;
    count(x, err);
    ping(closing, ask_for_ever, x);
}

static void test_close_comes_to_an_end(void **state)
{
    (void)state;
    answer x = {0}, y = {0};
    closing = store_up(&r);
    for (unsigned i = 0; i < 3; i++)
        ping(closing, ask_for_ever, &x);
    ping(closing, ask_again, &y);
    plx_store_close(closing);
    assert_true(x.down >= 300);
    assert_int_equal(y.called, 2); /* whoever does not is told everything */
}

static void test_close_answers_everything(void **state)
{
    (void)state;
    answer x = {0}, y = {0};
    plx_store *s = closing = store_up(&r);
    for (unsigned i = 0; i < 5; i++) {
        publish(s, 100, &x);
        ping(s, ask_again, &y);
    }
    ev_run(r.loop, EVRUN_NOWAIT);
    publish(s, 100, &x);
    plx_store_close(s);
    assert_int_equal(x.called, 6);
    assert_int_equal(y.called, 10);
    s = closing = store_open(&r); /* never connected */
    x = y = (answer){0};
    publish(s, 100, &x);
    ping(s, ask_again, &y);
    plx_store_close(s);
    assert_int_equal(x.down, 1);
    assert_int_equal(y.down, 2);
    s = store_open(&r);
    plx_store_close(s);
}

/* ---- greeting */

static int free_port(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    close(fd);
    return ntohs(in.sin_port);
}

static void test_password_and_database(void **state)
{
    (void)state;
    int port = free_port();
    char url[128], wrong[128];
    plx_config config = r.config;
    redis_do(&r, "CONFIG SET port %d", port);
    redis_do(&r, "CONFIG SET requirepass s%%3cret");
    redis_do(&r, "AUTH s%%3cret");
    snprintf(url, sizeof url, "redis://default:s%%253cret@127.0.0.1:%d/3", port);
    snprintf(wrong, sizeof wrong, "redis://:wrong@127.0.0.1:%d/3", port);
    plx_store_options options = {.listen = true};
    answer x = {0};
    config.redis.url = url;
    plx_store *s = plx_store_open(r.loop, &config, &options);
    publish(s, 10, &x);
    WAIT(&r, x.called && plx_store_up(s));
    assert_int_equal(x.ok, 1);
    redis_do(&r, "SELECT 3");
    assert_int_equal(redis_do(&r, "EXISTS plx:{t:room:a}:log"), 1);
    redis_do(&r, "SELECT 0");
    plx_store_close(s);

    config.redis.url = wrong;
    s = plx_store_open(r.loop, &config, &options);
    publish(s, 10, &x);
    WAIT(&r, x.called == 2);
    assert_int_equal(x.down, 1);
    redis_idle(&r, 300);
    assert_false(plx_store_up(s));
    plx_store_close(s);

    config.redis.url = r.url; /* no password at all */
    s = plx_store_open(r.loop, &config, &options);
    publish(s, 10, &x);
    WAIT(&r, x.called == 3);
    assert_int_equal(x.down, 2);
    plx_store_close(s);
    redis_do(&r, "CONFIG SET requirepass %b", "", (size_t)0);
    redis_do(&r, "CONFIG SET port 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands_before_the_first_connect_wait),
        cmocka_unit_test(test_refusal_is_told),
        cmocka_unit_test(test_redis_down_at_start),
        cmocka_unit_test(test_watches),
        cmocka_unit_test(test_killed_with_commands_under_way),
        cmocka_unit_test(test_stopped_for_longer_than_the_timeout),
        cmocka_unit_test(test_stopped_while_idle),
        cmocka_unit_test(test_own_standstill),
        cmocka_unit_test(test_large_pipeline),
        cmocka_unit_test(test_outstanding_is_bounded),
        cmocka_unit_test(test_close_answers_everything),
        cmocka_unit_test(test_close_comes_to_an_end),
        cmocka_unit_test(test_password_and_database),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
