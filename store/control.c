/* Calls to all workers: the caller's side.
 *
 * A call goes to the channel "<prefix>{control}" (see control_called.c for its
 * form). Each worker answers into the caller's mailbox. Long-poll sessions belong
 * to no worker: the caller finds them in the list of their id (control_sessions.c).
 * SPUBLISH tells how many workers have received the call, so nobody has to wait for
 * the full half second when all have answered.
 *
 * Before an unsubscribe is sent the caller reads where the topic stands: what was
 * published before the call is delivered before the channel is closed.
 */
#include "store/control.h"
#include "base/alloc.h"
#include "base/error.h"
#include "store/control_internal.h"
#include "store/mailbox.h"
#include "store/subscriber.h"
#include "store/topic.h"

#include <limits.h>
#include <stdlib.h>

#define ANSWER_MS 500

typedef plx_control_call call;

/* ---- the end of a call */

static void free_if_done(call *c)
{
    if (!c->answered || c->in_flight > 0)
        return;
    for (size_t i = 0; i < c->report_count; i++)
        free((void *)c->reports[i].data);
    free(c->reports);
    free((void *)c->id.data);
    free((void *)c->topic.data);
    free(c);
}

static void tell(call *c, int err)
{
    unsigned count = c->sum > UINT_MAX ? UINT_MAX : (unsigned)c->sum;
    uint64_t silent = c->receivers > c->answers ? c->receivers - c->answers : 0;
    if (c->verb == PLX_CONTROL_REPORT)
        ((plx_reports_cb *)c->cb)(c->arg, err, c->reports, err ? 0 : c->report_count,
                                  (size_t)silent);
    else
        ((plx_count_cb *)c->cb)(c->arg, err, err ? 0 : count);
}

static void answer(call *c, int err)
{
    ev_timer_stop(c->calls->store->loop, &c->timer);
    plx_list_remove(&c->node);
    plx_control_sessions_forget(c);
    c->answered = true;
    tell(c, err);
    free_if_done(c);
}

void plx_control_progress(call *c)
{
    if (c->answered)
        free_if_done(c);
    else if (c->published && c->in_flight == 0 && plx_list_empty(&c->entries) &&
             c->answers >= c->receivers)
        answer(c, c->err);
}

void plx_control_command_done(call *c, int err)
{
    c->in_flight--;
    if (err && !c->err)
        c->err = err;
    plx_control_progress(c);
}

/* ---- sending */

static void published(const plx_done *done, int err, const redisReply *reply)
{
    call *c = done->arg;
    c->published = true;
    if (!err && !plx_reply_u64(reply, &c->receivers))
        err = plx_store_odd("call");
    plx_control_command_done(c, err);
}

void plx_control_publish(plx_store *s, plx_slice text, plx_answer_fn *fn, plx_done done)
{
    char *channel = plx_asprintf("%s{control}", plx_store_prefix(s));
    plx_command command;
    plx_command_init(&command, "SPUBLISH");
    plx_command_str(&command, channel);
    plx_command_add(&command, text);
    plx_conn_send(s->conn, &command, 0, fn, done);
    free(channel);
}

static void write_call(const call *c, plx_buf *text)
{
    static const char *const verbs[] = {"disconnect", "unsubscribe", "report"};
    plx_buf_printf(text, "1 %s %s %llu", verbs[c->verb], c->calls->store->worker,
                   (unsigned long long)c->number);
    if (c->verb == PLX_CONTROL_UNSUBSCRIBE)
        plx_buf_printf(text, " %zu %s %llu", c->id.len, c->after.epoch,
                       (unsigned long long)c->after.offset);
    plx_buf_byte(text, '\n');
    plx_buf_add(text, c->id);
    plx_buf_add(text, c->topic);
}

static void send_call(call *c)
{
    plx_store *s = c->calls->store;
    plx_buf text;
    c->sent = true;
    plx_buf_init(&text, 0);
    write_call(c, &text);
    c->in_flight++;
    plx_control_publish(s, plx_buf_slice(&text), published, PLX_DONE(NULL, c));
    plx_buf_fini(&text);
    if (c->verb != PLX_CONTROL_REPORT)
        plx_control_sessions(c);
    ev_timer_stop(s->loop, &c->timer);
    ev_timer_set(&c->timer, ANSWER_MS / 1000.0, 0.);
    ev_timer_start(s->loop, &c->timer);
}

static void positioned(void *arg, int err, const plx_position *position)
{
    call *c = arg;
    c->in_flight--;
    if (c->answered) {
        free_if_done(c);
    } else if (err) {
        answer(c, err);
    } else {
        c->after = *position;
        send_call(c);
    }
}

/* Answers can reach us. */
static void begin(call *c)
{
    if (c->verb != PLX_CONTROL_UNSUBSCRIBE) {
        send_call(c);
        return;
    }
    ev_timer_stop(c->calls->store->loop, &c->timer); /* the answer of this comes in any case */
    c->sent = true;
    c->in_flight++;
    plx_topic_position(c->calls->store, c->topic, positioned, c);
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

static call *call_new(plx_store *s, enum plx_control_verb verb, void (*cb)(void), void *arg)
{
    call *c = plx_alloc_zero(1, sizeof *c);
    c->calls = s->calls;
    c->verb = verb;
    c->number = ++s->calls->last_number;
    c->cb = cb;
    c->arg = arg;
    plx_list_init(&c->entries);
    ev_timer_init(&c->timer, on_timeout, 0., 0.);
    c->timer.data = c;
    plx_list_push(&s->calls->open, &c->node);
    return c;
}

static void start(call *c)
{
    plx_store *s = c->calls->store;
    if (plx_mail_listening(s->mail)) {
        begin(c);
        return;
    }
    /* Answers could not reach us yet. A worker that was listening a moment ago does not wait long;
     * the command line has to connect first. */
    unsigned wait_ms = s->options.listen ? ANSWER_MS : PLX_STORE_TIMEOUT_MS;
    ev_timer_set(&c->timer, wait_ms / 1000.0, 0.);
    ev_timer_start(s->loop, &c->timer);
    plx_mail_listen(s->mail);
}

void plx_control_disconnect(plx_store *s, plx_slice id, plx_count_cb *cb, void *arg)
{
    call *c = call_new(s, PLX_CONTROL_DISCONNECT, (void (*)(void))cb, arg);
    c->id = plx_slice_copy(id);
    start(c);
}

void plx_control_unsubscribe(plx_store *s, plx_slice id, plx_slice topic, plx_count_cb *cb,
                             void *arg)
{
    call *c = call_new(s, PLX_CONTROL_UNSUBSCRIBE, (void (*)(void))cb, arg);
    c->id = plx_slice_copy(id);
    c->topic = plx_slice_copy(topic);
    start(c);
}

void plx_control_reports(plx_store *s, plx_slice about, plx_reports_cb *cb, void *arg)
{
    call *c = call_new(s, PLX_CONTROL_REPORT, (void (*)(void))cb, arg);
    c->topic = plx_slice_copy(about);
    start(c);
}

void plx_calls_ready(plx_store *s)
{
    plx_list *open = &s->calls->open;
    for (plx_list *n = open->next; n != open; n = n->next) {
        call *c = PLX_CONTAINER(n, call, node);
        if (!c->sent)
            begin(c);
    }
}

/* ---- answers */

static call *find_call(plx_store *s, uint64_t number)
{
    plx_list *open = &s->calls->open;
    for (plx_list *n = open->next; n != open; n = n->next) {
        call *c = PLX_CONTAINER(n, call, node);
        if (c->number == number)
            return c;
    }
    return NULL;
}

void plx_calls_count(plx_store *s, uint64_t number, uint64_t count)
{
    call *c = find_call(s, number);
    if (!c)
        return;
    c->answers++;
    c->sum += count < UINT_MAX ? count : UINT_MAX;
    plx_control_progress(c);
}

void plx_calls_report(plx_store *s, uint64_t number, plx_slice report)
{
    call *c = find_call(s, number);
    if (!c || c->verb != PLX_CONTROL_REPORT)
        return;
    c->answers++;
    if (report.len > 0 && report.len <= PLX_REPORT_BYTES && c->report_count < PLX_REPORTS_MAX) {
        c->reports = plx_realloc(c->reports, (c->report_count + 1) * sizeof *c->reports);
        c->reports[c->report_count++] = plx_slice_copy(report);
    }
    plx_control_progress(c);
}

/* ---- life */

void plx_control_set(plx_store *s, plx_control *c)
{
    s->calls->control = c;
}

static void on_message(void *owner, plx_slice payload)
{
    plx_control_called(owner, payload);
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
