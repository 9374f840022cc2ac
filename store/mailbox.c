/* The mailbox of a worker.
 *
 * wake SID GENERATION 0, superseded SID GENERATION 0, gone SID GENERATION 0,
 * done SID ENTRY STATUS, work SID 0 0, and answers to calls (see control.c): count - CALL
 * COUNT, report - CALL 0\nREPORT.
 * A note may be lost; nothing but latency depends on one.
 */
#include "store/mailbox.h"
#include "base/alloc.h"
#include "store/control_internal.h"
#include "store/subscriber.h"

#include <stdlib.h>

#define WORDS          4
#define NAME_MAX_BYTES 64

typedef struct note {
    plx_list node;
    plx_slice text; /* owned */
} note;

struct plx_mail {
    plx_store *store;
    plx_mailbox *box; /* the upper layer's, or NULL */
    plx_subscription *subscription;
    bool listening;
    plx_list local; /* notes for this worker itself */
    plx_later deliver;
};

static unsigned status_of(uint64_t n)
{
    return n > 999 ? 0 : (unsigned)n;
}

/* Whether it was an answer to a call. */
static bool tell_calls(plx_store *s, plx_slice verb, uint64_t a, uint64_t b, plx_slice text)
{
    if (plx_slice_is(verb, "count"))
        plx_calls_count(s, a, b);
    else if (plx_slice_is(verb, "report"))
        plx_calls_report(s, a, text);
    else
        return false;
    return true;
}

static void tell(plx_mail *m, plx_slice verb, plx_slice sid, uint64_t a, uint64_t b)
{
    plx_mailbox *box = m->box;
    if (plx_slice_is(verb, "done"))
        plx_calls_done(m->store, sid, a, status_of(b));
    if (plx_slice_is(verb, "work"))
        plx_calls_work(m->store, sid);
    if (!box) {
        /* nobody is interested */
    } else if (plx_slice_is(verb, "wake") && box->wake) {
        box->wake(box, sid, a);
    } else if (plx_slice_is(verb, "superseded") && box->superseded) {
        box->superseded(box, sid, a);
    } else if (plx_slice_is(verb, "gone") && box->gone) {
        box->gone(box, sid, a);
    } else if (plx_slice_is(verb, "done") && box->done) {
        box->done(box, sid, a, status_of(b));
    }
}

static void take_note(plx_mail *m, plx_slice line)
{
    plx_slice text = line, rest = {NULL, 0}, word[WORDS];
    uint64_t a, b;
    plx_slice_split(&text, '\n', &rest);
    for (size_t i = 0; i < WORDS; i++) {
        if (!plx_slice_split(&rest, ' ', &word[i])) {
            plx_store_odd("note");
            return;
        }
    }
    if (rest.data || !plx_decimal_parse(word[2], &a) || !plx_decimal_parse(word[3], &b))
        plx_store_odd("note");
    else if (!tell_calls(m->store, word[0], a, b, text))
        tell(m, word[0], word[1], a, b);
}

static void deliver_local(plx_later *item)
{
    plx_mail *m = PLX_CONTAINER(item, plx_mail, deliver);
    plx_list now, *node;
    plx_list_init(&now);
    plx_list_splice(&now, &m->local);
    while ((node = plx_list_shift(&now)) != NULL) {
        note *n = PLX_CONTAINER(node, note, node);
        take_note(m, n->text);
        free((void *)n->text.data);
        free(n);
    }
}

static void sent(const plx_done *done, int err, const redisReply *reply)
{
    (void)done, (void)err, (void)reply;
}

static void publish(plx_store *s, plx_slice worker, plx_slice text, plx_answer_fn *answer,
                    plx_done done)
{
    plx_command c;
    plx_command_init(&c, "SPUBLISH");
    plx_command_key(&c, plx_store_prefix(s), 'w', worker, "");
    plx_command_add(&c, text);
    plx_conn_send(s->conn, &c, 0, answer, done);
}

static void send_note(plx_store *s, plx_slice worker, plx_slice text)
{
    if (plx_slice_is(worker, s->worker)) {
        note *n = plx_alloc(sizeof *n);
        n->text = plx_slice_copy(text);
        plx_list_push(&s->mail->local, &n->node);
        plx_later_add(&s->laters, &s->mail->deliver);
        return;
    }
    publish(s, worker, text, sent, PLX_DONE(NULL, NULL));
}

void plx_mail_ask_work(plx_store *s, plx_slice worker, plx_slice sid, plx_answer_fn *answer,
                       plx_done done)
{
    char *text = plx_asprintf("work %.*s 0 0", (int)sid.len, sid.data);
    publish(s, worker, plx_slice_of(text), answer, done);
    free(text);
}

void plx_mail_send(plx_store *s, plx_slice worker, const char *verb, plx_slice sid, uint64_t a,
                   uint64_t b)
{
    if (worker.len == 0 || worker.len > NAME_MAX_BYTES || sid.len > NAME_MAX_BYTES)
        return;
    char *text = plx_asprintf("%s %.*s %llu %llu", verb, (int)sid.len, sid.data,
                              (unsigned long long)a, (unsigned long long)b);
    send_note(s, worker, plx_slice_of(text));
    free(text);
}

void plx_mail_send_text(plx_store *s, plx_slice worker, const char *verb, uint64_t a,
                        plx_slice text)
{
    plx_buf note_text;
    if (worker.len == 0 || worker.len > NAME_MAX_BYTES)
        return;
    plx_buf_init(&note_text, 0);
    plx_buf_printf(&note_text, "%s - %llu 0\n", verb, (unsigned long long)a);
    plx_buf_add(&note_text, text);
    send_note(s, worker, plx_buf_slice(&note_text));
    plx_buf_fini(&note_text);
}

void plx_mailbox_supersede(plx_store *s, plx_slice worker, plx_slice sid, uint64_t generation)
{
    plx_mail_send(s, worker, "superseded", sid, generation, 0);
}

void plx_mailbox_set(plx_store *s, plx_mailbox *m)
{
    s->mail->box = m;
}

/* ---- the subscription */

static void on_confirmed(void *owner)
{
    plx_mail *m = owner;
    m->listening = true;
    plx_calls_ready(m->store);
}

static void on_interrupted(void *owner)
{
    ((plx_mail *)owner)->listening = false;
}

static void on_message(void *owner, plx_slice payload)
{
    take_note(owner, payload);
}

void plx_mail_listen(plx_mail *m)
{
    static const plx_subscription_ops ops = {on_confirmed, on_interrupted, on_message};
    if (m->subscription)
        return;
    char *channel = plx_asprintf("%s{w:%s}", plx_store_prefix(m->store), m->store->worker);
    m->subscription = plx_subscription_begin(m->store->subscriber, plx_slice_of(channel), &ops, m);
    free(channel);
}

bool plx_mail_listening(const plx_mail *m)
{
    return m->listening;
}

plx_mail *plx_mail_open(plx_store *s)
{
    plx_mail *m = plx_alloc_zero(1, sizeof *m);
    m->store = s;
    plx_list_init(&m->local);
    plx_later_init(&m->deliver, deliver_local);
    if (s->options.listen)
        plx_mail_listen(m);
    return m;
}

void plx_mail_stop(plx_mail *m)
{
    m->box = NULL;
    m->listening = false;
}

void plx_mail_free(plx_mail *m)
{
    plx_list *node;
    plx_later_cancel(&m->deliver);
    while ((node = plx_list_shift(&m->local)) != NULL) {
        note *n = PLX_CONTAINER(node, note, node);
        free((void *)n->text.data);
        free(n);
    }
    if (m->subscription)
        plx_subscription_end(m->store->subscriber, m->subscription);
    free(m);
}
