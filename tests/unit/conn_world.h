/* What the tests of the connection share: one Redis, and counted answers. */
#ifndef PLX_TESTS_CONN_WORLD_H
#define PLX_TESTS_CONN_WORLD_H

#include "redis_fixture.h"

#include "base/error.h"
#include "base/list.h"
#include "store/conn.h"
#include "store/internal.h"
#include "store/topic.h"

#include <arpa/inet.h>
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

static void on_pong(const plx_done *done, int err, const redisReply *reply)
{
    (void)reply;
    ((void (*)(void *, int))done->fn)(done->arg, err);
}

/* A plain round trip. */
static void ping(plx_store *s, void (*cb)(void *arg, int err), void *arg)
{
    plx_command c;
    plx_command_init(&c, "PING");
    plx_conn_send(s->conn, &c, 0, on_pong, PLX_DONE(cb, arg));
}

static void on_ping(void *arg, int err)
{
    count(arg, err);
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

#endif
