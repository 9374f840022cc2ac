/* The connection: connecting, losing, trying again, reading.
 *
 * hiredis' own asynchronous layer is not used: 0.14 has no time-outs and takes
 * sharded pub/sub messages for answers.
 *
 * The connection is only torn down at the top of its own event handlers, never
 * below a callback: whoever finds something wrong deeper down calls
 * plx_conn_break, and the handler acts on it.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/log.h"
#include "store/conn_internal.h"
#include "store/store.h"

#include <errno.h>
#include <hiredis/sds.h>
#include <stdlib.h>
#include <sys/socket.h>

#define INPUT_MAX      (64u << 20) /* bytes of one reply */
#define ELEMENTS_MAX   (1 << 20)   /* of one array */
#define READS_PER_TURN 16
#define CHECK_S        0.5
#define IDLE_PING_MS   1000
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 1000
#define STABLE_MS      2000 /* up for longer than this, the back-off starts over */
#define LAST_ROUNDS    100  /* of callbacks that ask again while it is closed */

static void lose_after_reading(plx_conn *c);

/* ---- connecting and losing */

static void schedule_retry(plx_conn *c)
{
    unsigned half = c->backoff_ms / 2;
    unsigned delay_ms = half + plx_random_below(half + 1);
    c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
    ev_timer_stop(c->loop, &c->retry);
    ev_timer_set(&c->retry, delay_ms / 1000.0, 0.);
    ev_timer_start(c->loop, &c->retry);
}

/* One line when the trouble begins, then one every ten seconds. */
static void complain(plx_conn *c, const char *what, const char *why)
{
    uint64_t now = plx_now_ms();
    if (c->complained_ms != 0 && now - c->complained_ms < 10000)
        return;
    c->complained_ms = now;
    plx_warning("redis: %s connection: %s: %s", c->ops->label, what, why[0] ? why : "closed");
}

static void disconnect(plx_conn *c)
{
    ev_io_stop(c->loop, &c->readable);
    ev_io_stop(c->loop, &c->writable);
    ev_timer_stop(c->loop, &c->check);
    if (c->redis)
        redisFree(c->redis);
    c->redis = NULL;
    c->script_lost = false;
    c->broken[0] = '\0';
}

/* sent_err: what commands get that were sent and not answered. */
static void lose(plx_conn *c, const char *why, int sent_err)
{
    bool was_up = c->state == PLX_CONN_UP;
    complain(c, was_up ? "lost" : "can't connect", why);
    if (was_up && plx_now_ms() - c->since_ms > STABLE_MS)
        c->backoff_ms = BACKOFF_MIN_MS;
    disconnect(c);
    c->state = PLX_CONN_DOWN;
    c->since_ms = plx_now_ms();
    c->attempted = true;
    schedule_retry(c);
    if (was_up)
        c->ops->down(c->owner);
    /* What was answered NOSCRIPT certainly had no effect. */
    plx_conn_fail_all(c, &c->sent, sent_err);
    plx_conn_fail_all(c, &c->again, PLX_E_DOWN);
    plx_conn_fail_all(c, &c->queue, PLX_E_DOWN);
}

/* hiredis would allocate whatever the head of an array announces. */
static void *create_array(const redisReadTask *task, int elements)
{
    const redisReplyObjectFunctions *original = task->privdata;
    return elements > ELEMENTS_MAX ? NULL : original->createArray(task, elements);
}

static void bound_arrays(redisReader *reader)
{
    static redisReplyObjectFunctions bounded;
    static redisReplyObjectFunctions *original;
    if (!original) {
        original = reader->fn;
        bounded = *original;
        bounded.createArray = create_array;
    }
    reader->fn = &bounded;
    reader->privdata = original;
}

static void connect_now(plx_conn *c)
{
    if (!c->url->unix_path && !c->url->host) {
        lose(c, "no usable address", PLX_E_DOWN);
        return;
    }
    c->redis = c->url->unix_path ? redisConnectUnixNonBlock(c->url->unix_path)
                                 : redisConnectNonBlock(c->url->host, c->url->port);
    if (!c->redis || c->redis->err) {
        char why[160];
        snprintf(why, sizeof why, "%s", c->redis ? c->redis->errstr : "no memory");
        lose(c, why, PLX_E_DOWN);
        return;
    }
    if (!c->url->unix_path)
        redisEnableKeepAlive(c->redis);
    bound_arrays(c->redis->reader);
    c->state = PLX_CONN_CONNECTING;
    c->since_ms = c->heard_ms = plx_now_ms();
    ev_io_set(&c->readable, c->redis->fd, EV_READ);
    ev_io_set(&c->writable, c->redis->fd, EV_WRITE);
    ev_io_start(c->loop, &c->writable);
    ev_timer_again(c->loop, &c->check);
}

static void on_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    connect_now(w->data);
}

void plx_conn_break(plx_conn *c, const char *why)
{
    if (c->broken[0] == '\0')
        snprintf(c->broken, sizeof c->broken, "%s", why[0] ? why : "broken");
}

/* ---- reading and writing */

/* Returns false when the connection is of no use any more (c->broken says why). */
static bool take_replies(plx_conn *c)
{
    void *reply = NULL;
    while (c->broken[0] == '\0') {
        if (redisGetReplyFromReader(c->redis, &reply) != REDIS_OK) {
            plx_conn_break(c, c->redis->errstr);
        } else if (!reply) {
            break;
        } else {
            plx_conn_take_reply(c, reply);
            freeReplyObject(reply);
        }
    }
    if (c->redis->reader->len > INPUT_MAX)
        plx_conn_break(c, "reply too large");
    return c->broken[0] == '\0';
}

static bool read_in(plx_conn *c)
{
    for (int i = 0; i < READS_PER_TURN; i++) {
        size_t before = c->redis->reader->len;
        if (redisBufferRead(c->redis) != REDIS_OK) {
            plx_conn_break(c, c->redis->errstr);
            return false;
        }
        if (c->redis->reader->len == before)
            return true; /* nothing more for now */
        c->heard_ms = plx_now_ms();
        if (!take_replies(c))
            return false;
    }
    return true;
}

/* Writing failed: the other side has closed, but may have answered before. */
static void lose_after_reading(plx_conn *c)
{
    char why[sizeof c->redis->errstr];
    memcpy(why, c->redis->errstr, sizeof why);
    c->redis->err = 0;
    read_in(c);
    lose(c, why, PLX_E_TIMEOUT);
}

/* Reads what there is, and drops the connection when it turned out to be broken. */
static bool pump(plx_conn *c)
{
    if (read_in(c))
        return true;
    char why[sizeof c->broken];
    snprintf(why, sizeof why, "%s", c->broken);
    lose(c, why, PLX_E_TIMEOUT);
    return false;
}

static void write_out(plx_conn *c)
{
    if (!c->redis || c->state == PLX_CONN_CONNECTING)
        return;
    for (;;) {
        plx_conn_fill(c);
        if (sdslen(c->redis->obuf) == 0) {
            ev_io_stop(c->loop, &c->writable);
            return;
        }
        int done = 0;
        if (redisBufferWrite(c->redis, &done) != REDIS_OK) {
            lose_after_reading(c);
            return;
        }
        if (!done) {
            ev_io_start(c->loop, &c->writable);
            return;
        }
    }
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop, (void)revents;
    pump(w->data);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
    plx_conn *c = w->data;
    (void)revents;
    if (c->state != PLX_CONN_CONNECTING) {
        write_out(c);
        return;
    }
    int err = 0;
    socklen_t len = sizeof err;
    if (getsockopt(c->redis->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
        err = errno;
    if (err) {
        lose(c, strerror(err), PLX_E_DOWN);
        return;
    }
    ev_io_start(loop, &c->readable);
    plx_conn_start_greeting(c);
    write_out(c);
}

static void on_prepare(struct ev_loop *loop, ev_prepare *w, int revents)
{
    plx_conn *c = w->data;
    (void)loop, (void)revents;
    if (c->state == PLX_CONN_UP && c->broken[0] != '\0')
        lose(c, c->broken, PLX_E_TIMEOUT);
    else
        write_out(c);
}

static bool answer_overdue(const plx_conn *c)
{
    uint64_t now = plx_now_ms();
    if (c->state == PLX_CONN_CONNECTING || c->state == PLX_CONN_GREETING)
        return now - c->since_ms > PLX_STORE_TIMEOUT_MS;
    if (plx_list_empty(&c->sent))
        return false;
    const plx_pending *oldest = PLX_CONTAINER(c->sent.next, plx_pending, node);
    return now - oldest->sent_ms > PLX_STORE_TIMEOUT_MS;
}

static void on_check(struct ev_loop *loop, ev_timer *w, int revents)
{
    plx_conn *c = w->data;
    (void)loop, (void)revents;
    if (answer_overdue(c)) {
        /* Perhaps it was this process that stood still, and the answer is there. */
        if (c->state != PLX_CONN_CONNECTING && !pump(c))
            return;
        if (answer_overdue(c)) {
            lose(c, "no answer in time", PLX_E_TIMEOUT);
            return;
        }
    }
    if (c->state == PLX_CONN_UP && plx_list_empty(&c->sent) &&
        plx_now_ms() - c->heard_ms >= IDLE_PING_MS) {
        plx_conn_send_ping(c);
        write_out(c);
    }
}

/* ---- life */

plx_conn *plx_conn_open(struct ev_loop *loop, plx_laters *laters, const plx_redis_url *url,
                        const plx_conn_ops *ops, void *owner)
{
    plx_conn *c = plx_alloc_zero(1, sizeof *c);
    c->loop = loop;
    c->laters = laters;
    c->url = url;
    c->ops = ops;
    c->owner = owner;
    c->backoff_ms = BACKOFF_MIN_MS;
    plx_list_init(&c->queue);
    plx_list_init(&c->sent);
    plx_list_init(&c->again);
    plx_list_init(&c->failed);
    plx_later_init(&c->fail, plx_conn_run_failed);
    ev_io_init(&c->readable, on_readable, -1, EV_READ);
    ev_io_init(&c->writable, on_writable, -1, EV_WRITE);
    ev_timer_init(&c->check, on_check, 0., CHECK_S);
    ev_timer_init(&c->retry, on_retry, 0., 0.);
    ev_prepare_init(&c->flush, on_prepare);
    c->readable.data = c->writable.data = c->check.data = c->retry.data = c->flush.data = c;
    ev_prepare_start(loop, &c->flush);
    /* The first attempt is made by the loop too, so that its failure finds everything in place. */
    ev_timer_start(loop, &c->retry);
    return c;
}

/* What was given in this loop turn still goes out, as far as the socket takes it: the notes that a
 * short-lived process (command line, CGI) sends after its last answer. Nobody is told of a failure:
 * the owner is half gone by now. */
static void write_last(plx_conn *c)
{
    int done = 0;
    while (c->state == PLX_CONN_UP && c->redis && !done) {
        plx_conn_fill(c);
        if (sdslen(c->redis->obuf) == 0 || redisBufferWrite(c->redis, &done) != REDIS_OK)
            return;
        if (!done)
            return; /* the socket is full */
        done = plx_list_empty(&c->queue);
    }
}

void plx_conn_close(plx_conn *c)
{
    write_last(c);
    ev_prepare_stop(c->loop, &c->flush);
    ev_timer_stop(c->loop, &c->retry);
    disconnect(c);
    c->state = PLX_CONN_DOWN;
    c->attempted = true;
    /* Callbacks may give new commands, which then fail as well; but not for ever. */
    for (unsigned round = 0; round == 0 || !plx_list_empty(&c->failed); round++) {
        if (round == LAST_ROUNDS) {
            plx_err("redis: somebody asks again whenever it is refused: given up at the end");
            plx_conn_drop_failed(c);
            break;
        }
        plx_conn_fail_all(c, &c->failed, PLX_E_DOWN);
        plx_conn_fail_all(c, &c->sent, PLX_E_DOWN);
        plx_conn_fail_all(c, &c->again, PLX_E_DOWN);
        plx_conn_fail_all(c, &c->queue, PLX_E_DOWN);
    }
    plx_later_cancel(&c->fail);
    free(c);
}

bool plx_conn_up(const plx_conn *c)
{
    return c->state == PLX_CONN_UP;
}

const char *plx_conn_refusal(const plx_conn *c)
{
    return c->refused;
}

uint64_t plx_conn_unwilling_at(const plx_conn *c)
{
    return c->unwilling_ms;
}

uint64_t plx_conn_up_since(const plx_conn *c)
{
    return c->since_ms;
}
