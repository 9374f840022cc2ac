/* The bare connection against a server whose every byte the test says: scripts forgotten, answers
 * that nobody asked for, a server that is no Redis at all.
 */
#include "conn_world.h"

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
    ping(s, on_ping, &y);
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
        ping(s, on_ping, &x);
        WAIT(&r, x.called == i + 1);
        WAIT(&r, plx_store_up(s));
    }
    plx_store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeated_in_order_after_noscript),
        cmocka_unit_test(test_lost_amid_noscript),
        cmocka_unit_test(test_answer_before_the_end_counts),
        cmocka_unit_test(test_unasked_reply),
        cmocka_unit_test(test_no_redis_at_all),
        cmocka_unit_test(test_closed_again_and_again),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
