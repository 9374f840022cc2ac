/* One connection to Redis that keeps itself alive: a FIFO of commands on a
 * non-blocking hiredis context, on libev.
 *
 *   DOWN --connect--> CONNECTING --writable--> GREETING --PONG--> UP
 *     ^---------- any failure, or no answer in PLX_STORE_TIMEOUT_MS ---'
 *
 * Greeting is AUTH, SELECT, what the owner adds (scripts), and a PING; only its
 * answer makes the connection up. Commands given before the first attempt has
 * come to an end wait for it; later, while the connection is not up, they fail at
 * once (that is, in the next loop turn) with PLX_E_DOWN.
 *
 * Writes are gathered and go out once per loop turn. While nothing else happens a
 * PING every second keeps "up" true to its word.
 */
#ifndef PLX_STORE_CONN_H
#define PLX_STORE_CONN_H

#include "base/redis_url.h"
#include "store/command.h"
#include "store/later.h"
#include "store/reply.h"

typedef struct plx_conn plx_conn;

/* Whom the answer is for: the function pointer is cast back by the answer's handler. */
typedef struct plx_done {
    void (*fn)(void);
    void *arg;
} plx_done;

#define PLX_DONE(cb, arg) ((plx_done){(void (*)(void))(cb), (arg)})

/* Called exactly once per command and never before plx_conn_send has returned. err is 0 (reply is
 * then no error reply and valid until the return), PLX_E_DOWN, PLX_E_TIMEOUT, PLX_E_STORE (Redis
 * answered with an error, which was logged) or PLX_E_TOOBIG. */
typedef void plx_answer_fn(const plx_done *done, int err, const redisReply *reply);

typedef struct plx_conn_ops {
    const char *label; /* for the log */
    /* Adds to the greeting with plx_conn_greet. May be NULL. */
    void (*greet)(void *owner);
    void (*up)(void *owner);
    void (*down)(void *owner);
    /* Offered every reply first once the connection is up; true: it was no answer to a command (a
     * pub/sub message). May be NULL. */
    bool (*push)(void *owner, const redisReply *reply);
} plx_conn_ops;

enum plx_send_flags {
    PLX_SEND_SCRIPT = 1,  /* after NOSCRIPT: greet again, then repeat it, in order */
    PLX_SEND_NO_REPLY = 2 /* nothing comes back in the FIFO (SSUBSCRIBE); answer is not called */
};

/* Starts connecting. Borrows url, ops, owner and laters until freed. */
plx_conn *plx_conn_open(struct ev_loop *loop, plx_laters *laters, const plx_redis_url *url,
                        const plx_conn_ops *ops, void *owner);
/* Fails what is outstanding with PLX_E_DOWN and frees. Not from inside one of its callbacks. */
void plx_conn_close(plx_conn *c);

/* Finishes the command and takes it over, whatever happens. */
void plx_conn_send(plx_conn *c, plx_command *command, unsigned flags, plx_answer_fn *answer,
                   plx_done done);
/* Only from inside ops->greet: a command whose failure fails the greeting. */
void plx_conn_greet(plx_conn *c, plx_command *command);

bool plx_conn_up(const plx_conn *c);
/* plx_now_ms() when it came up; meaningful while it is up. */
uint64_t plx_conn_up_since(const plx_conn *c);
/* plx_now_ms() when Redis last answered that it takes no writes at present (out of memory, a
 * replica, loading, ...); 0: never. */
uint64_t plx_conn_unwilling_at(const plx_conn *c);
/* From inside a callback with PLX_E_STORE: the error that Redis answered with, shortened and in
 * printable ASCII; empty otherwise. Valid until the callback returns. */
const char *plx_conn_refusal(const plx_conn *c);
/* From inside a callback: the connection is of no use (why: for the log); it is dropped as soon as
 * the callback has returned, and tried again. */
void plx_conn_break(plx_conn *c, const char *why);

#endif
