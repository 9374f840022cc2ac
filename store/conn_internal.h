/* What the conn*.c files share: conn.c connects, loses and reads; conn_queue.c keeps the commands
 * and hands out answers; conn_greet.c greets.
 *
 * Where a command is:
 *   queue   not given to hiredis yet (the write buffer holds a bounded piece only)
 *   sent    written or in the write buffer, oldest first: the FIFO of answers
 *   again   answered NOSCRIPT: after SCRIPT FLUSH everything in flight comes back
 *           so; when `sent` has run empty the owner greets again (loads the
 *           scripts) and these go out once more, before anything newer
 *   failed  to be called with an error in the next loop turn
 */
#ifndef PLX_STORE_CONN_INTERNAL_H
#define PLX_STORE_CONN_INTERNAL_H

#include "store/conn.h"

/* Beside enum plx_send_flags: its failure breaks the connection. */
#define PLX_SEND_GREETING 0x100u

enum plx_conn_state { PLX_CONN_DOWN, PLX_CONN_CONNECTING, PLX_CONN_GREETING, PLX_CONN_UP };

typedef struct plx_pending {
    plx_list node;
    plx_answer_fn *answer; /* may be NULL */
    plx_done done;
    uint64_t sent_ms;
    unsigned flags, tries;
    int err;
    size_t len;
    char *wire; /* the command: kept until its answer, in case it has to be sent again */
} plx_pending;

struct plx_conn {
    struct ev_loop *loop;
    plx_laters *laters;
    const plx_redis_url *url;
    const plx_conn_ops *ops;
    void *owner;
    enum plx_conn_state state;
    redisContext *redis;
    ev_io readable, writable;
    ev_timer check, retry;
    ev_prepare flush;
    plx_list queue, sent, again, failed;
    plx_later fail;
    size_t outstanding_bytes;
    uint64_t since_ms;     /* of the state */
    uint64_t heard_ms;     /* last bytes from Redis */
    uint64_t unwilling_ms; /* when it last refused whatever writes; 0: never */
    uint64_t complained_ms;
    unsigned backoff_ms;
    bool attempted;    /* the first attempt has come to an end */
    bool script_lost;  /* NOSCRIPT was seen: queue is held until sent is empty */
    char refused[160]; /* the error reply that is being handed out; empty: it is none */
    char broken[160];  /* why the connection has to be dropped; empty: it need not */
};

/* conn_queue.c */
/* Takes the command, completed or not: p->err is 0, or why it can't be sent. */
plx_pending *plx_conn_new_pending(plx_conn *c, plx_command *command, unsigned flags,
                                  plx_answer_fn *answer, plx_done done);
/* Gives it to hiredis; it then waits in `sent`. */
void plx_conn_write_pending(plx_conn *c, plx_pending *p);
/* Gives hiredis the next commands, up to a bounded amount. */
void plx_conn_fill(plx_conn *c);
/* Calls everything in the list with the error. */
void plx_conn_fail_all(plx_conn *c, plx_list *list, int err);
/* Forgets what has failed without a call. */
void plx_conn_drop_failed(plx_conn *c);
/* Runs what waits in `failed`. */
void plx_conn_run_failed(plx_later *item);
/* Hands a reply to whom it belongs. */
void plx_conn_take_reply(plx_conn *c, const redisReply *reply);

/* conn_greet.c */
void plx_conn_start_greeting(plx_conn *c);
void plx_conn_send_ping(plx_conn *c);
/* After NOSCRIPT, once everything in flight is answered. */
void plx_conn_repeat_scripts(plx_conn *c);

#endif
