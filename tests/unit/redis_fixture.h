/* A private redis-server on a Unix socket in a temporary directory, for unit tests of store/.
 *
 * Each test program that includes this starts as many as it likes; a server dies with the test
 * (parent-death signal), its directory is removed by redis_stop. Waiting is done by running the
 * event loop until a condition holds, never by sleeping for a guess.
 */
#ifndef PLX_TESTS_REDIS_FIXTURE_H
#define PLX_TESTS_REDIS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "store/store.h"

#include <ev.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

typedef struct redis {
    char dir[64], socket[96], url[112];
    pid_t pid;
    redisContext *admin; /* blocking */
    plx_config config;
    struct ev_loop *loop;
} redis;

static void redis_admin_close(redis *r)
{
    if (r->admin)
        redisFree(r->admin);
    r->admin = NULL;
}

/* Connects the blocking connection and waits until the server answers. */
static void redis_admin_open(redis *r)
{
    for (int i = 0; i < 2000; i++) {
        r->admin = redisConnectUnix(r->socket);
        if (r->admin && !r->admin->err) {
            redisReply *pong = redisCommand(r->admin, "PING");
            bool good = pong && pong->type == REDIS_REPLY_STATUS;
            if (pong)
                freeReplyObject(pong);
            if (good)
                return;
        }
        redis_admin_close(r);
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    fail_msg("redis-server does not answer");
}

static void redis_launch(redis *r)
{
    pid_t parent = getpid();
    r->pid = fork();
    assert_true(r->pid >= 0);
    if (r->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", r->socket, "--dir",
               r->dir, "--save", "", "--appendonly", "no", "--logfile", "redis.log",
               "--enable-debug-command", "yes", (char *)NULL);
        _exit(127);
    }
    redis_admin_open(r);
}

static UNUSED void redis_start(redis *r)
{
    memset(r, 0, sizeof *r);
    signal(SIGPIPE, SIG_IGN);
    strcpy(r->dir, "/tmp/plx-redis-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    snprintf(r->socket, sizeof r->socket, "%s/redis.sock", r->dir);
    snprintf(r->url, sizeof r->url, "unix:%s", r->socket);
    r->config.redis.url = r->url;
    r->config.redis.prefix = "plx:";
    r->config.delivery_log.messages = 1024;
    r->config.delivery_log.bytes = 8388608;
    r->config.delivery_log.ttl_s = 3600;
    r->loop = ev_loop_new(EVFLAG_AUTO);
    redis_launch(r);
}

/* kill -9; what was not saved is gone. */
static UNUSED void redis_crash(redis *r)
{
    redis_admin_close(r);
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
}

static UNUSED void redis_stop(redis *r)
{
    char path[160];
    static const char *const files[] = {"redis.sock", "redis.log", "dump.rdb"};
    redis_crash(r);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", r->dir, files[i]);
        unlink(path);
    }
    rmdir(r->dir);
    ev_loop_destroy(r->loop);
}

/* A command on the blocking connection; the reply is freed by the caller. */
static UNUSED redisReply *redis_ask(redis *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    redisReply *reply = redisvCommand(r->admin, format, args);
    va_end(args);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, reply->str);
    return reply;
}

/* The same for answers that are numbers, or for their effect. */
static UNUSED long long redis_do(redis *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    redisReply *reply = redisvCommand(r->admin, format, args);
    va_end(args);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, reply->str);
    long long n = reply->type == REDIS_REPLY_INTEGER ? reply->integer : (long long)reply->elements;
    freeReplyObject(reply);
    return n;
}

static void fixture_woken(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)w, (void)revents;
}

/* One turn of the loop that blocks for at most 20 ms. */
static UNUSED void loop_turn(struct ev_loop *loop)
{
    ev_timer t;
    ev_timer_init(&t, fixture_woken, 0.02, 0.);
    ev_timer_start(loop, &t);
    ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &t);
}

static UNUSED uint64_t fixture_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Runs the loop until the condition holds; fails the test after 30 s. */
#define WAIT(r, condition)                                                                         \
    do {                                                                                           \
        uint64_t until_ = fixture_ms() + 30000;                                                    \
        while (!(condition)) {                                                                     \
            if (fixture_ms() > until_)                                                             \
                fail_msg("waited in vain for: %s", #condition);                                    \
            loop_turn((r)->loop);                                                                  \
        }                                                                                          \
    } while (0)

/* Runs the loop for a while: for what must not happen. */
static UNUSED void redis_idle(redis *r, unsigned ms)
{
    uint64_t until = fixture_ms() + ms;
    while (fixture_ms() < until)
        loop_turn(r->loop);
}

static UNUSED plx_store *store_open(redis *r)
{
    plx_store_options options = {
        .ring_events = 64, .ring_bytes = 262144, .linger_ms = 60000, .listen = true};
    return plx_store_open(r->loop, &r->config, &options);
}

static UNUSED plx_store *store_up(redis *r)
{
    plx_store *s = store_open(r);
    WAIT(r, plx_store_up(s));
    return s;
}

/* Compares a slice with a string literal or NUL-terminated string. */
#define assert_slice(slice, text)                                                                  \
    do {                                                                                           \
        plx_slice s_ = (slice);                                                                    \
        assert_int_equal(s_.len, strlen(text));                                                    \
        assert_memory_equal(s_.data, text, s_.len);                                                \
    } while (0)

#endif
