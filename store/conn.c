/* The connection: connecting, greeting, losing, trying again; reading and writing.
 *
 * Where a command is:
 *   queue   not given to hiredis yet (the write buffer holds at most WRITE_CHUNK)
 *   sent    written or in the write buffer, oldest first: the FIFO of answers
 *   again   answered NOSCRIPT: after SCRIPT FLUSH everything in flight comes back
 *           so; when `sent` has run empty the owner greets again (loads the
 *           scripts) and these go out once more, before anything newer
 *   failed  to be called with an error in the next loop turn
 *
 * hiredis' own asynchronous layer is not used: 0.14 has no time-outs and takes
 * sharded pub/sub messages for answers.
 *
 * The connection is only torn down at the top of its own event handlers, never
 * below a callback: whoever finds something wrong deeper down calls
 * plx_conn_break, and the handler acts on it.
 */
#include "store/conn.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/log.h"
#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <hiredis/sds.h>
#include <stdlib.h>
#include <sys/socket.h>

#define WRITE_CHUNK     (256u << 10) /* bytes given to hiredis at a time */
#define OUTSTANDING_MAX (128u << 20) /* bytes of commands without an answer */
#define INPUT_MAX       (64u << 20)  /* bytes of one reply */
#define ELEMENTS_MAX    (1 << 20)    /* of one array */
#define READS_PER_TURN  16
#define CHECK_S         0.5
#define IDLE_PING_MS    1000
#define BACKOFF_MIN_MS  50
#define BACKOFF_MAX_MS  1000
#define STABLE_MS       2000 /* up for longer than this, the back-off starts over */
#define SCRIPT_TRIES    3

enum state { DOWN, CONNECTING, GREETING, UP };

typedef struct pending {
    plx_list node;
    plx_answer_fn *answer; /* NULL: greeting or ping */
    plx_done done;
    plx_command command;
    uint64_t sent_ms;
    unsigned flags, tries;
    int err;
} pending;

struct plx_conn {
    struct ev_loop *loop;
    plx_laters *laters;
    const plx_redis_url *url;
    const plx_conn_ops *ops;
    void *owner;
    enum state state;
    redisContext *redis;
    ev_io readable, writable;
    ev_timer check, retry;
    ev_prepare flush;
    plx_list queue, sent, again, failed;
    plx_later fail;
    size_t outstanding_bytes;
    uint64_t since_ms; /* of the state */
    uint64_t heard_ms; /* last bytes from Redis */
    uint64_t complained_ms;
    unsigned backoff_ms;
    bool attempted;   /* the first attempt has come to an end */
    bool script_lost; /* NOSCRIPT was seen: queue is held until sent is empty */
    char broken[160]; /* why the connection has to be dropped; empty: it need not */
};

static void lose(plx_conn *c, const char *why, int sent_err);
static void lose_after_reading(plx_conn *c);

/* ---- pending commands */

static void free_pending(plx_conn *c, pending *p)
{
    c->outstanding_bytes -= p->command.bytes.len;
    plx_command_fini(&p->command);
    free(p);
}

static void finish(plx_conn *c, pending *p, int err, const redisReply *reply)
{
    if (p->answer)
        p->answer(&p->done, err, reply);
    free_pending(c, p);
}

static void run_failed(plx_later *item)
{
    plx_conn *c = PLX_CONTAINER(item, plx_conn, fail);
    plx_list now;
    plx_list_init(&now);
    plx_list_splice(&now, &c->failed);
    plx_list *node;
    while ((node = plx_list_shift(&now)) != NULL) {
        pending *p = PLX_CONTAINER(node, pending, node);
        finish(c, p, p->err, NULL);
    }
}

/* The callback comes in the next turn: the caller may still be inside its call. */
static void fail_later(plx_conn *c, pending *p, int err)
{
    p->err = err;
    plx_list_push(&c->failed, &p->node);
    plx_later_add(c->laters, &c->fail);
}

static void fail_all(plx_conn *c, plx_list *list, int err)
{
    plx_list now;
    plx_list_init(&now);
    plx_list_splice(&now, list);
    plx_list *node;
    while ((node = plx_list_shift(&now)) != NULL)
        finish(c, PLX_CONTAINER(node, pending, node), err, NULL);
}

static pending *new_pending(plx_conn *c, plx_command *command, unsigned flags,
                            plx_answer_fn *answer, plx_done done)
{
    pending *p = plx_alloc_zero(1, sizeof *p);
    plx_list_init(&p->node);
    p->answer = answer;
    p->done = done;
    p->flags = flags;
    p->command = *command;
    c->outstanding_bytes += p->command.bytes.len;
    return p;
}

void plx_conn_send(plx_conn *c, plx_command *command, unsigned flags, plx_answer_fn *answer,
                   plx_done done)
{
    int err = plx_command_finish(command);
    pending *p = new_pending(c, command, flags, answer, done);
    if (err) {
        fail_later(c, p, err);
    } else if (c->state != UP && c->attempted) {
        fail_later(c, p, PLX_E_DOWN);
    } else if (c->outstanding_bytes > OUTSTANDING_MAX) {
        plx_log_limited(PLX_WARNING, "redis: too much waits for an answer, commands are refused");
        fail_later(c, p, PLX_E_DOWN);
    } else {
        plx_list_push(&c->queue, &p->node);
    }
}

/* ---- writing */

static void write_pending(plx_conn *c, pending *p)
{
    plx_slice wire = plx_command_wire(&p->command);
    redisAppendFormattedCommand(c->redis, wire.data, wire.len);
    p->sent_ms = plx_now_ms();
    if (p->flags & PLX_SEND_NO_REPLY)
        free_pending(c, p);
    else
        plx_list_push(&c->sent, &p->node);
}

static void fill_write_buffer(plx_conn *c)
{
    if (c->state != UP || c->script_lost)
        return;
    while (!plx_list_empty(&c->queue) && sdslen(c->redis->obuf) < WRITE_CHUNK)
        write_pending(c, PLX_CONTAINER(plx_list_shift(&c->queue), pending, node));
}

static void write_out(plx_conn *c)
{
    if (!c->redis || c->state == CONNECTING)
        return;
    for (;;) {
        fill_write_buffer(c);
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

/* ---- greeting */

static void greeted(const plx_done *done, int err, const redisReply *reply)
{
    plx_conn *c = done->arg;
    (void)reply;
    if (err || c->state != GREETING)
        return; /* lost meanwhile, or a PING of later days */
    c->state = UP;
    c->since_ms = plx_now_ms();
    c->attempted = true;
    c->complained_ms = 0;
    plx_info("redis: %s connection is up", c->ops->label);
    c->ops->up(c->owner);
}

static void greet(plx_conn *c, plx_command *command, plx_answer_fn *answer)
{
    int err = plx_command_finish(command);
    assert(err == 0);
    (void)err;
    write_pending(c, new_pending(c, command, 0, answer, PLX_DONE(NULL, c)));
}

void plx_conn_greet(plx_conn *c, plx_command *command)
{
    greet(c, command, NULL);
}

static void send_ping(plx_conn *c)
{
    plx_command ping;
    plx_command_init(&ping, "PING");
    greet(c, &ping, greeted);
}

static void send_auth(plx_conn *c)
{
    if (!c->url->password)
        return;
    plx_command auth;
    plx_command_init(&auth, "AUTH");
    if (c->url->user && c->url->user[0] != '\0')
        plx_command_str(&auth, c->url->user);
    plx_command_str(&auth, c->url->password);
    plx_conn_greet(c, &auth);
}

static void send_select(plx_conn *c)
{
    if (c->url->db == 0)
        return;
    plx_command select;
    plx_command_init(&select, "SELECT");
    plx_command_u64(&select, (uint64_t)c->url->db);
    plx_conn_greet(c, &select);
}

static void start_greeting(plx_conn *c)
{
    c->state = GREETING;
    send_auth(c);
    send_select(c);
    if (c->ops->greet)
        c->ops->greet(c->owner);
    send_ping(c);
    write_out(c);
}

/* After NOSCRIPT, once everything in flight is answered. */
static void repeat_scripts(plx_conn *c)
{
    c->script_lost = false;
    c->ops->greet(c->owner);
    plx_list_splice(&c->again, &c->queue);
    plx_list_splice(&c->queue, &c->again);
}

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
    bool was_up = c->state == UP;
    complain(c, was_up ? "lost" : "can't connect", why);
    if (was_up && plx_now_ms() - c->since_ms > STABLE_MS)
        c->backoff_ms = BACKOFF_MIN_MS;
    disconnect(c);
    c->state = DOWN;
    c->since_ms = plx_now_ms();
    c->attempted = true;
    schedule_retry(c);
    if (was_up)
        c->ops->down(c->owner);
    /* What was answered NOSCRIPT certainly had no effect. */
    fail_all(c, &c->sent, sent_err);
    fail_all(c, &c->again, PLX_E_DOWN);
    fail_all(c, &c->queue, PLX_E_DOWN);
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
    redisReaderSetPrivdata(reader, original);
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
    c->state = CONNECTING;
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

/* ---- reading */

static bool is_noscript(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOSCRIPT", 8) == 0;
}

static void answer_error(plx_conn *c, pending *p, const redisReply *reply)
{
    if (!p->answer || p->answer == greeted)
        plx_conn_break(c, reply->str);
    else
        plx_log_limited(PLX_ERROR, "redis: %s", reply->str);
    finish(c, p, PLX_E_STORE, NULL);
}

static void take_reply(plx_conn *c, const redisReply *reply)
{
    if (c->state == UP && c->ops->push && c->ops->push(c->owner, reply))
        return;
    plx_list *node = plx_list_shift(&c->sent);
    if (!node) {
        plx_conn_break(c, reply->type == REDIS_REPLY_ERROR ? reply->str : "unasked reply");
        return;
    }
    pending *p = PLX_CONTAINER(node, pending, node);
    if (is_noscript(reply) && (p->flags & PLX_SEND_SCRIPT) && p->tries++ < SCRIPT_TRIES) {
        plx_list_push(&c->again, &p->node);
        c->script_lost = true;
    } else if (reply->type == REDIS_REPLY_ERROR) {
        answer_error(c, p, reply);
    } else {
        finish(c, p, 0, reply);
    }
    if (c->script_lost && plx_list_empty(&c->sent) && c->broken[0] == '\0')
        repeat_scripts(c);
}

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
            take_reply(c, reply);
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

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop, (void)revents;
    pump(w->data);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
    plx_conn *c = w->data;
    (void)revents;
    if (c->state != CONNECTING) {
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
    start_greeting(c);
}

static void on_prepare(struct ev_loop *loop, ev_prepare *w, int revents)
{
    plx_conn *c = w->data;
    (void)loop, (void)revents;
    if (c->state == UP && c->broken[0] != '\0')
        lose(c, c->broken, PLX_E_TIMEOUT);
    else
        write_out(c);
}

static bool answer_overdue(const plx_conn *c)
{
    uint64_t now = plx_now_ms();
    if (c->state == CONNECTING || c->state == GREETING)
        return now - c->since_ms > PLX_STORE_TIMEOUT_MS;
    if (plx_list_empty(&c->sent))
        return false;
    const pending *oldest = PLX_CONTAINER(c->sent.next, pending, node);
    return now - oldest->sent_ms > PLX_STORE_TIMEOUT_MS;
}

static void on_check(struct ev_loop *loop, ev_timer *w, int revents)
{
    plx_conn *c = w->data;
    (void)loop, (void)revents;
    if (answer_overdue(c)) {
        /* Perhaps it was this process that stood still, and the answer is there. */
        if (c->state != CONNECTING && !pump(c))
            return;
        if (answer_overdue(c)) {
            lose(c, "no answer in time", PLX_E_TIMEOUT);
            return;
        }
    }
    if (c->state == UP && plx_list_empty(&c->sent) && plx_now_ms() - c->heard_ms >= IDLE_PING_MS) {
        send_ping(c);
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
    plx_later_init(&c->fail, run_failed);
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

void plx_conn_close(plx_conn *c)
{
    ev_prepare_stop(c->loop, &c->flush);
    ev_timer_stop(c->loop, &c->retry);
    /* What was given in this loop turn still goes out, as far as the socket takes it: the notes
     * that a short-lived process (command line, CGI) sends after its last answer. */
    if (c->state == UP)
        write_out(c);
    disconnect(c);
    c->state = DOWN;
    c->attempted = true;
    /* Callbacks may give new commands, which then fail as well. */
    do {
        fail_all(c, &c->failed, PLX_E_DOWN);
        fail_all(c, &c->sent, PLX_E_DOWN);
        fail_all(c, &c->again, PLX_E_DOWN);
        fail_all(c, &c->queue, PLX_E_DOWN);
    } while (!plx_list_empty(&c->failed));
    plx_later_cancel(&c->fail);
    free(c);
}

bool plx_conn_up(const plx_conn *c)
{
    return c->state == UP;
}

uint64_t plx_conn_up_since(const plx_conn *c)
{
    return c->since_ms;
}
