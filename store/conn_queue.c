/* The FIFO of commands: from plx_conn_send to the answer. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "store/conn_internal.h"

#include <hiredis/sds.h>
#include <stdlib.h>

#define WRITE_CHUNK     (256u << 10) /* bytes given to hiredis at a time */
#define OUTSTANDING_MAX (128u << 20) /* bytes of commands without an answer */
#define SCRIPT_TRIES    3

static void free_pending(plx_conn *c, plx_pending *p)
{
    c->outstanding_bytes -= p->len;
    free(p->wire);
    free(p);
}

static void finish(plx_conn *c, plx_pending *p, int err, const redisReply *reply)
{
    if (p->answer)
        p->answer(&p->done, err, reply);
    free_pending(c, p);
}

void plx_conn_run_failed(plx_later *item)
{
    plx_conn *c = PLX_CONTAINER(item, plx_conn, fail);
    plx_list now;
    plx_list_init(&now);
    plx_list_splice(&now, &c->failed);
    plx_list *node;
    while ((node = plx_list_shift(&now)) != NULL) {
        plx_pending *p = PLX_CONTAINER(node, plx_pending, node);
        finish(c, p, p->err, NULL);
    }
}

/* The callback comes in the next turn: the caller may still be inside its call. */
static void fail_later(plx_conn *c, plx_pending *p, int err)
{
    p->err = err;
    plx_list_push(&c->failed, &p->node);
    plx_later_add(c->laters, &c->fail);
}

void plx_conn_fail_all(plx_conn *c, plx_list *list, int err)
{
    plx_list now;
    plx_list_init(&now);
    plx_list_splice(&now, list);
    plx_list *node;
    while ((node = plx_list_shift(&now)) != NULL)
        finish(c, PLX_CONTAINER(node, plx_pending, node), err, NULL);
}

void plx_conn_drop_failed(plx_conn *c)
{
    plx_list *node;
    while ((node = plx_list_shift(&c->failed)) != NULL)
        free_pending(c, PLX_CONTAINER(node, plx_pending, node));
}

plx_pending *plx_conn_new_pending(plx_conn *c, plx_command *command, unsigned flags,
                                  plx_answer_fn *answer, plx_done done)
{
    int err = plx_command_finish(command);
    plx_slice wire = err == 0 ? plx_command_wire(command) : plx_slice_make("", 0);
    plx_pending *p = plx_alloc(sizeof *p);
    memset(p, 0, sizeof *p);
    plx_list_init(&p->node);
    p->answer = answer;
    p->done = done;
    p->flags = flags;
    p->err = err;
    p->len = wire.len;
    /* In a small block of its own: what is larger leaves, when the answer has come, gaps between
     * the blocks that a join makes meanwhile for long, and these fill them badly. */
    p->wire = plx_alloc(wire.len);
    memcpy(p->wire, wire.data, wire.len);
    c->outstanding_bytes += wire.len;
    plx_command_fini(command);
    return p;
}

void plx_conn_send(plx_conn *c, plx_command *command, unsigned flags, plx_answer_fn *answer,
                   plx_done done)
{
    plx_pending *p = plx_conn_new_pending(c, command, flags, answer, done);
    if (p->err) {
        fail_later(c, p, p->err);
    } else if (c->state != PLX_CONN_UP && c->attempted) {
        fail_later(c, p, PLX_E_DOWN);
    } else if (c->outstanding_bytes > OUTSTANDING_MAX) {
        plx_log_limited(PLX_WARNING, "redis: too much waits for an answer, commands are refused");
        fail_later(c, p, PLX_E_DOWN);
    } else {
        plx_list_push(&c->queue, &p->node);
    }
}

/* ---- writing */

void plx_conn_write_pending(plx_conn *c, plx_pending *p)
{
    redisAppendFormattedCommand(c->redis, p->wire, p->len);
    p->sent_ms = plx_now_ms();
    if (p->flags & PLX_SEND_NO_REPLY)
        free_pending(c, p);
    else
        plx_list_push(&c->sent, &p->node);
}

void plx_conn_fill(plx_conn *c)
{
    if (c->state != PLX_CONN_UP || c->script_lost)
        return;
    while (!plx_list_empty(&c->queue) && sdslen(c->redis->obuf) < WRITE_CHUNK)
        plx_conn_write_pending(c, PLX_CONTAINER(plx_list_shift(&c->queue), plx_pending, node));
}

/* ---- answers */

static bool is_noscript(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOSCRIPT", 8) == 0;
}

/* Redis may quote what it was sent: only what is safe to show anywhere is kept. */
static void keep_refusal(plx_conn *c, const char *text)
{
    size_t n = 0;
    for (; text[n] != '\0' && n < sizeof c->refused - 1; n++)
        c->refused[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
    c->refused[n] = '\0';
}

/* Whether the error says that no write would have been taken, whoever had asked. */
static bool is_unwilling(const char *text)
{
    static const char *const words[] = {"READONLY ", "OOM ",  "MISCONF ",    "NOREPLICAS ",
                                        "LOADING ",  "BUSY ", "MASTERDOWN ", "CLUSTERDOWN "};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(text, words[i], strlen(words[i])) == 0)
            return true;
    return false;
}

static void answer_error(plx_conn *c, plx_pending *p, const redisReply *reply)
{
    if (is_unwilling(reply->str))
        c->unwilling_ms = plx_now_ms();
    if (p->flags & PLX_SEND_GREETING)
        plx_conn_break(c, reply->str);
    else
        plx_log_limited(PLX_ERROR, "redis: %s", reply->str);
    keep_refusal(c, reply->str);
    finish(c, p, PLX_E_STORE, NULL);
    c->refused[0] = '\0';
}

void plx_conn_take_reply(plx_conn *c, const redisReply *reply)
{
    if (c->state == PLX_CONN_UP && c->ops->push && c->ops->push(c->owner, reply))
        return;
    plx_list *node = plx_list_shift(&c->sent);
    if (!node) {
        plx_conn_break(c, reply->type == REDIS_REPLY_ERROR ? reply->str : "unasked reply");
        return;
    }
    plx_pending *p = PLX_CONTAINER(node, plx_pending, node);
    if (is_noscript(reply) && (p->flags & PLX_SEND_SCRIPT) && p->tries++ < SCRIPT_TRIES) {
        plx_list_push(&c->again, &p->node);
        c->script_lost = true;
    } else if (reply->type == REDIS_REPLY_ERROR) {
        answer_error(c, p, reply);
    } else {
        finish(c, p, 0, reply);
    }
    if (c->script_lost && plx_list_empty(&c->sent) && c->broken[0] == '\0')
        plx_conn_repeat_scripts(c);
}
