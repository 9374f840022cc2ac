/* Calls to all workers by socket id.
 *
 * The call goes to the channel "<prefix>{control}": "1 disconnect WORKER CALL\nID".
 * Each worker answers into the caller's mailbox with a count. Long-poll sessions
 * belong to no worker: the caller finds them in the list of their id and ends them
 * itself. SPUBLISH tells how many workers have received the call, so nobody has to
 * wait for the full half second when all have answered.
 */
#include "store/control.h"
#include "base/alloc.h"
#include "base/error.h"
#include "store/control_internal.h"
#include "store/mailbox.h"
#include "store/session.h"
#include "store/subscriber.h"

#include <limits.h>
#include <stdlib.h>

#define ANSWER_MS 500

typedef struct call {
    plx_list node; /* in calls->open, or in no list when it is answered */
    struct plx_calls *calls;
    uint64_t number;
    plx_slice id; /* owned */
    void (*cb)(void *arg, int err, unsigned sockets);
    void *arg;
    ev_timer timer;
    bool sent, published, answered;
    unsigned in_flight; /* commands that point here */
    uint64_t receivers, answers, sockets;
    int err; /* the first one */
} call;

struct plx_calls {
    plx_store *store;
    plx_control *control; /* what this worker does when called; NULL: nothing */
    plx_subscription *subscription;
    plx_list open;
    uint64_t last_number;
};

static void free_if_done(call *c)
{
    if (!c->answered || c->in_flight > 0)
        return;
    free((void *)c->id.data);
    free(c);
}

static void answer(call *c, int err)
{
    ev_timer_stop(c->calls->store->loop, &c->timer);
    plx_list_remove(&c->node);
    c->answered = true;
    c->cb(c->arg, err, err ? 0 : c->sockets > UINT_MAX ? UINT_MAX : (unsigned)c->sockets);
    free_if_done(c);
}

/* A command of the call was answered, or a worker was. */
static void progress(call *c)
{
    if (c->answered)
        free_if_done(c);
    else if (c->published && c->in_flight == 0 && c->answers >= c->receivers)
        answer(c, c->err);
}

static void command_done(call *c, int err)
{
    c->in_flight--;
    if (err && !c->err)
        c->err = err;
    progress(c);
}

/* ---- the caller */

static void session_ended(void *arg, int err)
{
    call *c = arg;
    if (!err)
        c->sockets++;
    command_done(c, err == PLX_E_GONE ? 0 : err);
}

static void sessions_found(void *arg, int err, const plx_slice *sids, size_t count)
{
    call *c = arg;
    for (size_t i = 0; !c->answered && i < count; i++) {
        c->in_flight++;
        plx_session_end(c->calls->store, sids[i], "disconnected", session_ended, c);
    }
    command_done(c, err);
}

static void published(const plx_done *done, int err, const redisReply *reply)
{
    call *c = done->arg;
    c->published = true;
    if (!err && !plx_reply_u64(reply, &c->receivers))
        err = plx_store_odd("call");
    command_done(c, err);
}

static void send_call(call *c)
{
    plx_store *s = c->calls->store;
    plx_command command;
    plx_buf text;
    c->sent = true;
    plx_buf_init(&text, 0);
    plx_buf_printf(&text, "1 disconnect %s %llu\n", s->worker, (unsigned long long)c->number);
    plx_buf_add(&text, c->id);
    plx_command_init(&command, "SPUBLISH");
    char *channel = plx_asprintf("%s{control}", plx_store_prefix(s));
    plx_command_str(&command, channel);
    free(channel);
    plx_command_add(&command, plx_buf_slice(&text));
    plx_buf_fini(&text);
    c->in_flight += 2;
    plx_conn_send(s->conn, &command, 0, published, PLX_DONE(NULL, c));
    plx_session_by_id(s, c->id, sessions_found, c);
    ev_timer_stop(s->loop, &c->timer);
    ev_timer_set(&c->timer, ANSWER_MS / 1000.0, 0.);
    ev_timer_start(s->loop, &c->timer);
}

static void on_timeout(struct ev_loop *loop, ev_timer *w, int revents)
{
    call *c = w->data;
    (void)loop, (void)revents;
    if (!c->sent)
        answer(c, PLX_E_DOWN);
    else if (!c->published)
        answer(c, PLX_E_TIMEOUT);
    else
        answer(c, c->err);
}

void plx_control_disconnect(plx_store *s, plx_slice id,
                            void (*cb)(void *arg, int err, unsigned sockets), void *arg)
{
    call *c = plx_alloc_zero(1, sizeof *c);
    c->calls = s->calls;
    c->number = ++s->calls->last_number;
    c->id = plx_slice_make(plx_slice_dup(id), id.len);
    c->cb = cb;
    c->arg = arg;
    ev_timer_init(&c->timer, on_timeout, 0., 0.);
    c->timer.data = c;
    plx_list_push(&s->calls->open, &c->node);
    if (plx_mail_listening(s->mail)) {
        send_call(c);
        return;
    }
    /* Answers could not reach us yet. A worker that was listening a moment ago does not wait long;
     * the command line has to connect first. */
    unsigned wait_ms = s->options.listen ? ANSWER_MS : PLX_STORE_TIMEOUT_MS;
    ev_timer_set(&c->timer, wait_ms / 1000.0, 0.);
    ev_timer_start(s->loop, &c->timer);
    plx_mail_listen(s->mail);
}

void plx_calls_ready(plx_store *s)
{
    plx_list *open = &s->calls->open;
    for (plx_list *n = open->next; n != open; n = n->next) {
        call *c = PLX_CONTAINER(n, call, node);
        if (!c->sent)
            send_call(c);
    }
}

void plx_calls_count(plx_store *s, uint64_t number, uint64_t sockets)
{
    plx_list *open = &s->calls->open;
    for (plx_list *n = open->next; n != open; n = n->next) {
        call *c = PLX_CONTAINER(n, call, node);
        if (c->number == number) {
            c->answers++;
            c->sockets += sockets < UINT_MAX ? sockets : UINT_MAX;
            progress(c);
            return;
        }
    }
}

/* ---- the called */

void plx_control_set(plx_store *s, plx_control *c)
{
    s->calls->control = c;
}

static void on_message(void *owner, plx_slice payload)
{
    plx_calls *cs = owner;
    plx_slice id = payload, head, word[4];
    uint64_t number;
    bool good = plx_slice_split(&id, '\n', &head) && id.data;
    for (size_t i = 0; good && i < 4; i++)
        good = plx_slice_split(&head, ' ', &word[i]);
    if (!good || head.data || !plx_slice_is(word[0], "1") || !plx_slice_is(word[1], "disconnect") ||
        !plx_decimal_parse(word[3], &number)) {
        plx_store_odd("call");
        return;
    }
    unsigned sockets = 0;
    if (cs->control && cs->control->disconnect)
        sockets = cs->control->disconnect(cs->control, id);
    plx_mail_send(cs->store, word[2], "count", plx_slice_of("-"), number, sockets);
}

static void on_confirmed(void *owner)
{
    (void)owner;
}

plx_calls *plx_calls_open(plx_store *s)
{
    static const plx_subscription_ops ops = {on_confirmed, NULL, on_message};
    plx_calls *cs = plx_alloc_zero(1, sizeof *cs);
    cs->store = s;
    plx_list_init(&cs->open);
    if (s->options.listen) {
        char *channel = plx_asprintf("%s{control}", plx_store_prefix(s));
        cs->subscription = plx_subscription_begin(s->subscriber, plx_slice_of(channel), &ops, cs);
        free(channel);
    }
    return cs;
}

void plx_calls_stop(plx_calls *cs)
{
    plx_list now, *node;
    plx_list_init(&now);
    plx_list_splice(&now, &cs->open);
    while ((node = plx_list_shift(&now)) != NULL)
        answer(PLX_CONTAINER(node, call, node), PLX_E_DOWN);
}

void plx_calls_free(plx_calls *cs)
{
    plx_calls_stop(cs);
    if (cs->subscription)
        plx_subscription_end(cs->store->subscriber, cs->subscription);
    free(cs);
}
