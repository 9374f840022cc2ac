/* The connection to a Redis that is not there, dies, stands still, forgets its scripts, wants a
 * password, or is no Redis at all. */
#include "redis_fixture.h"

#include "base/error.h"
#include "base/list.h"
#include "store/conn.h"
#include "store/topic.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

static redis r;

typedef struct answer {
    unsigned called, ok, down, timeout, other;
} answer;

static void count(answer *x, int err)
{
    x->called++;
    x->ok += err == 0;
    x->down += err == PLX_E_DOWN;
    x->timeout += err == PLX_E_TIMEOUT;
    x->other += err != 0 && err != PLX_E_DOWN && err != PLX_E_TIMEOUT;
}

static void on_ping(void *arg, int err)
{
    count(arg, err);
}

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

static int setup(void **state)
{
    (void)state;
    redis_start(&r);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    plx_clock_real();
    redis_stop(&r);
    return 0;
}

static void jump_ahead(uint64_t ms)
{
    plx_clock_fake(fixture_ms() + ms, 0);
}

static void test_commands_before_the_first_connect_wait(void **state)
{
    (void)state;
    answer x = {0};
    plx_store *s = store_open(&r);
    assert_false(plx_store_up(s));
    assert_int_equal(plx_store_up_for_ms(s), 0);
    plx_store_ping(s, on_ping, &x);
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
    plx_store_ping(s, on_ping, &x);
    assert_int_equal(x.called, 0);
    WAIT(&r, x.called == 1);
    assert_int_equal(x.down, 1);
    plx_store_ping(s, on_ping, &x); /* known to be down: told in the next turn */
    assert_int_equal(x.called, 1);
    ev_run(r.loop, EVRUN_NOWAIT);
    ev_run(r.loop, EVRUN_NOWAIT);
    assert_int_equal(x.down, 2);
    redis_launch(&r);
    WAIT(&r, plx_store_up(s));
    plx_store_ping(s, on_ping, &x);
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
    plx_store_ping(s, on_ping, &x);
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
    assert_true(plx_store_up_for_ms(s) < 1000);
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
    plx_store_ping(s, on_ping, &x);
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
        plx_store_ping(s, on_ping, &x);
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
        plx_store_ping(closing, again, x);
}

/* A module that asks for a list of presences again whenever it is refused. */
static void ask_for_ever(void *arg, int err)
{
    answer *x = arg;
    count(x, err);
    plx_store_ping(closing, ask_for_ever, x);
}

static void test_close_comes_to_an_end(void **state)
{
    (void)state;
    answer x = {0}, y = {0};
    closing = store_up(&r);
    for (unsigned i = 0; i < 3; i++)
        plx_store_ping(closing, ask_for_ever, &x);
    plx_store_ping(closing, ask_again, &y);
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
        plx_store_ping(s, ask_again, &y);
    }
    ev_run(r.loop, EVRUN_NOWAIT);
    publish(s, 100, &x);
    plx_store_close(s);
    assert_int_equal(x.called, 6);
    assert_int_equal(y.called, 10);
    s = closing = store_open(&r); /* never connected */
    x = y = (answer){0};
    publish(s, 100, &x);
    plx_store_ping(s, ask_again, &y);
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

/* ---- a server that is no Redis */

typedef struct impostor {
    ev_io io;
    const char *says;
    bool hang;
    unsigned accepted;
    int fds[256];
} impostor;

static void on_accept(struct ev_loop *loop, ev_io *w, int revents)
{
    impostor *x = PLX_CONTAINER(w, impostor, io);
    (void)loop, (void)revents;
    int fd = accept(w->fd, NULL, NULL);
    if (fd < 0)
        return;
    x->accepted++;
    if (x->says)
        assert_true(write(fd, x->says, strlen(x->says)) > 0);
    if (x->hang && x->accepted < 256)
        x->fds[x->accepted] = fd;
    else
        close(fd);
}

static void run_against(const char *says, bool hang)
{
    char path[100], url[140];
    snprintf(path, sizeof path, "%s/impostor.sock", r.dir);
    snprintf(url, sizeof url, "unix:%s", path);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    assert_int_equal(listen(fd, 10), 0);
    impostor x = {.says = says, .hang = hang};
    ev_io_init(&x.io, on_accept, fd, EV_READ);
    ev_io_start(r.loop, &x.io);
    plx_config config = r.config;
    config.redis.url = url;
    plx_store_options options = {.listen = true};
    plx_store *s = plx_store_open(r.loop, &config, &options);
    answer y = {0};
    plx_store_ping(s, on_ping, &y);
    if (hang && !says) {
        redis_idle(&r, 100);
        jump_ahead(PLX_STORE_TIMEOUT_MS + 1);
    }
    WAIT(&r, y.called);
    assert_int_equal(y.down + y.timeout, 1);
    plx_clock_real();
    redis_idle(&r, 500);
    assert_false(plx_store_up(s));
    assert_in_range(x.accepted, 2, 30); /* it tries again, but does not hammer */
    plx_store_close(s);
    ev_io_stop(r.loop, &x.io);
    for (unsigned i = 0; i < 256; i++)
        if (x.fds[i])
            close(x.fds[i]);
    close(fd);
    unlink(path);
}

/* ---- the bare connection against a server whose every byte the test says */

typedef struct bare {
    plx_laters laters;
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    plx_redis_url url;
    plx_conn *conn;
    int listener, peer;
    unsigned greetings;
    char errors[8]; /* answers in their order, a letter each */
} bare;

static void on_bare_change(void *owner)
{
    (void)owner;
}

static void on_bare_greet(void *owner)
{
    ((bare *)owner)->greetings++;
}

static void on_bare_answer(const plx_done *done, int err, const redisReply *reply)
{
    char letter = err == 0               ? '0'
                  : err == PLX_E_DOWN    ? 'D'
                  : err == PLX_E_TIMEOUT ? 'T'
                  : err == PLX_E_STORE   ? 'S'
                                         : '?';
    char *errors = done->arg;
    assert_true((err == 0) == (reply != NULL));
    errors[strlen(errors)] = letter;
}

static void bare_send(bare *x, const char *verb, unsigned flags)
{
    plx_command c;
    plx_command_init(&c, verb);
    plx_conn_send(x->conn, &c, flags, on_bare_answer, PLX_DONE(NULL, x->errors));
}

static void say(bare *x, const char *bytes)
{
    assert_int_equal(write(x->peer, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
}

/* What has arrived so far, emptied. */
static const char *heard(bare *x)
{
    static char text[4096];
    ev_run(r.loop, EVRUN_NOWAIT);
    ssize_t n = recv(x->peer, text, sizeof text - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void bare_open(bare *x, const plx_conn_ops *ops)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memset(x, 0, sizeof *x);
    snprintf(un.sun_path, sizeof un.sun_path, "%s/bare.sock", r.dir);
    x->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(x->listener, (struct sockaddr *)&un, sizeof un), 0);
    assert_int_equal(listen(x->listener, 10), 0);
    memcpy(x->path, un.sun_path, sizeof x->path);
    x->url.unix_path = x->path;
    plx_laters_init(&x->laters, r.loop);
    x->conn = plx_conn_open(r.loop, &x->laters, &x->url, ops, x);
    loop_turn(r.loop);
    x->peer = accept(x->listener, NULL, NULL);
    loop_turn(r.loop);
    say(x, "+PONG\r\n");
    WAIT(&r, plx_conn_up(x->conn));
    heard(x);
    unlink(un.sun_path);
}

static void bare_close(bare *x)
{
    plx_conn_close(x->conn);
    plx_laters_fini(&x->laters);
    close(x->listener);
    close(x->peer);
}

static const plx_conn_ops bare_ops = {"bare", on_bare_greet, on_bare_change, on_bare_change, NULL};

static void test_repeated_in_order_after_noscript(void **state)
{
    (void)state;
    bare x;
    bare_open(&x, &bare_ops);
    bare_send(&x, "A", PLX_SEND_SCRIPT);
    bare_send(&x, "B", 0);
    bare_send(&x, "C", PLX_SEND_SCRIPT);
    heard(&x);
    say(&x, "-NOSCRIPT\r\n");
    WAIT(&r, *heard(&x) == '\0' && x.greetings == 1);
    bare_send(&x, "D", 0); /* must not overtake */
    assert_string_equal(heard(&x), "");
    say(&x, "+B\r\n-NOSCRIPT\r\n");
    WAIT(&r, x.greetings == 2);
    assert_string_equal(heard(&x), "*1\r\n$1\r\nA\r\n*1\r\n$1\r\nC\r\n*1\r\n$1\r\nD\r\n");
    say(&x, "+A\r\n+C\r\n+D\r\n");
    WAIT(&r, strcmp(x.errors, "0000") == 0);
    /* One that stays unknown is given up. */
    bare_send(&x, "E", PLX_SEND_SCRIPT);
    for (unsigned i = 3; i <= 5; i++) {
        assert_string_equal(heard(&x), "*1\r\n$1\r\nE\r\n");
        say(&x, "-NOSCRIPT\r\n");
        WAIT(&r, x.greetings == i);
    }
    assert_string_equal(heard(&x), "*1\r\n$1\r\nE\r\n");
    say(&x, "-NOSCRIPT\r\n");
    WAIT(&r, strcmp(x.errors, "0000S") == 0);
    bare_close(&x);
}

static void test_lost_amid_noscript(void **state)
{
    (void)state;
    bare x;
    bare_open(&x, &bare_ops);
    bare_send(&x, "A", PLX_SEND_SCRIPT);
    bare_send(&x, "B", 0);
    heard(&x);
    bare_send(&x, "C", 0);
    say(&x, "-NOSCRIPT\r\n");
    loop_turn(r.loop);
    bare_send(&x, "D", 0);
    loop_turn(r.loop);
    shutdown(x.peer, SHUT_RDWR);
    WAIT(&r, strlen(x.errors) == 4);
    assert_string_equal(x.errors, "TTDD"); /* B, C: unknown; A, D: certainly not */
    bare_close(&x);
}

/* What was answered before the other side closed counts, even when writing fails first. */
static void test_answer_before_the_end_counts(void **state)
{
    (void)state;
    bare x;
    bare_open(&x, &bare_ops);
    bare_send(&x, "A", 0);
    bare_send(&x, "B", 0);
    heard(&x);
    say(&x, "+A\r\n");
    close(x.peer);
    bare_send(&x, "C", 0);
    WAIT(&r, strlen(x.errors) == 3);
    assert_string_equal(x.errors, "0TT");
    x.peer = dup(x.listener);
    bare_close(&x);
}

static void test_unasked_reply(void **state)
{
    (void)state;
    bare x;
    bare_open(&x, &bare_ops);
    say(&x, "+SURPRISE\r\n");
    WAIT(&r, !plx_conn_up(x.conn));
    bare_close(&x);
}

static void test_no_redis_at_all(void **state)
{
    (void)state;
    run_against(NULL, false); /* closes at once */
    run_against("HTTP/1.1 400 Bad Request\r\n\r\n", true);
    run_against("-ERR unknown command\r\n", true);
    run_against("-LOADING Redis is loading the dataset in memory\r\n", true);
    run_against("*-2\r\n", true);
    run_against("*2000000000\r\n", true);
    run_against("$99999999999999999999\r\n", true);
    run_against(NULL, true); /* says nothing */
}

static void test_closed_again_and_again(void **state)
{
    (void)state;
    plx_store *s = store_up(&r);
    answer x = {0};
    for (unsigned i = 0; i < 5; i++) {
        redis_do(&r, "CLIENT KILL TYPE normal SKIPME yes");
        plx_store_ping(s, on_ping, &x);
        WAIT(&r, x.called == i + 1);
        WAIT(&r, plx_store_up(s));
    }
    plx_store_close(s);
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
        cmocka_unit_test(test_repeated_in_order_after_noscript),
        cmocka_unit_test(test_lost_amid_noscript),
        cmocka_unit_test(test_answer_before_the_end_counts),
        cmocka_unit_test(test_unasked_reply),
        cmocka_unit_test(test_no_redis_at_all),
        cmocka_unit_test(test_closed_again_and_again),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
