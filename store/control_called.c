/* Calls to all workers: the side of those who are called.
 *
 *   "1 disconnect WORKER CALL\nID"
 *   "1 unsubscribe WORKER CALL LEN(ID) EPOCH OFFSET\nIDTOPIC"
 *   "1 report WORKER CALL\nABOUT"
 *   "1 inform - 0 LEN(ID)\nIDBODY"  plx_inform's; nobody waits for an answer
 *   "1 errand - 0 TICKET VERB LEN(ID)\nIDTOPIC"  somebody wants this call made: control_errand.c
 *   "1 work - 0\nSID"              a session's inbox has something; nobody waits for an answer
 *
 * WORKER is who calls; the answer goes into its mailbox with CALL, its number for it.
 */
#include "store/control_internal.h"
#include "store/mailbox.h"
#include "store/session_internal.h"

#define WORDS_MAX 7

typedef struct question {
    plx_slice word[WORDS_MAX];
    size_t words;
    plx_slice worker, body;
    uint64_t call;
} question;

static bool read_question(plx_slice message, question *q)
{
    plx_slice head;
    q->body = message;
    if (!plx_slice_split(&q->body, '\n', &head) || !q->body.data)
        return false;
    for (q->words = 0; q->words < WORDS_MAX && head.data; q->words++)
        plx_slice_split(&head, ' ', &q->word[q->words]);
    if (head.data || q->words < 4 || !plx_slice_is(q->word[0], "1"))
        return false;
    q->worker = q->word[2];
    return plx_decimal_parse(q->word[3], &q->call);
}

static bool verb_is(const question *q, const char *verb, size_t words)
{
    return q->words == words && plx_slice_is(q->word[1], verb);
}

static void send_count(const plx_calls *cs, const question *q, unsigned count)
{
    plx_mail_send(cs->store, q->worker, "count", plx_slice_of("-"), q->call, count);
}

static void disconnect(const plx_calls *cs, const question *q)
{
    plx_control *c = cs->control;
    send_count(cs, q, c && c->disconnect ? c->disconnect(c, q->body) : 0);
}

static bool unsubscribe(const plx_calls *cs, const question *q)
{
    plx_control *c = cs->control;
    plx_slice id, topic;
    plx_position after;
    uint64_t len;
    if (!plx_decimal_parse(q->word[4], &len) || len > q->body.len ||
        plx_epoch_set(&after, q->word[5]) != 0 || !plx_decimal_parse(q->word[6], &after.offset))
        return false;
    id = plx_slice_make(q->body.data, (size_t)len);
    topic = plx_slice_make(q->body.data + len, q->body.len - (size_t)len);
    send_count(cs, q, c && c->unsubscribe ? c->unsubscribe(c, id, topic, &after) : 0);
    return true;
}

void plx_control_own_report(const plx_store *s, plx_buf *out)
{
    plx_control *c = s->calls->control;
    if (c && c->report)
        c->report(c, plx_slice_make(NULL, 0), out);
}

void plx_control_own_tally(const plx_store *s, plx_buf *out)
{
    plx_control *c = s->calls->control;
    if (c && c->tally)
        c->tally(c, out);
}

static void report(const plx_calls *cs, const question *q)
{
    plx_control *c = cs->control;
    plx_buf text;
    plx_buf_init(&text, PLX_REPORT_BYTES);
    if (c && c->report)
        c->report(c, q->body, &text);
    plx_mail_send_text(cs->store, q->worker, "report", q->call, plx_buf_slice(&text));
    plx_buf_fini(&text);
}

static void taken(void *arg, int err, enum plx_post_result result, uint64_t entry, unsigned status,
                  const plx_work *work)
{
    plx_calls *cs = arg;
    (void)entry, (void)status;
    if (!err && result == PLX_POST_WORK && cs->control && cs->control->work)
        cs->control->work(cs->control, work);
}

void plx_calls_work(plx_store *s, plx_slice sid)
{
    plx_calls *cs = s->calls;
    if (cs->control && cs->control->work && sid.len > 0 && sid.len <= PLX_SID_MAX)
        plx_session_take(cs->store, sid, 0, taken, cs);
}

static bool inform(const plx_calls *cs, const question *q)
{
    plx_control *c = cs->control;
    uint64_t len;
    if (!plx_decimal_parse(q->word[4], &len) || len > q->body.len)
        return false;
    if (c && c->inform)
        c->inform(c, plx_slice_make(q->body.data, (size_t)len),
                  plx_slice_make(q->body.data + len, q->body.len - (size_t)len));
    return true;
}

static bool errand(plx_calls *cs, const question *q)
{
    uint64_t len;
    return plx_decimal_parse(q->word[6], &len) &&
           plx_control_errand(cs, q->word[4], q->word[5], len, q->body);
}

void plx_control_called(plx_calls *cs, plx_slice message)
{
    question q;
    bool known = read_question(message, &q);
    if (known && verb_is(&q, "disconnect", 4))
        disconnect(cs, &q);
    else if (known && verb_is(&q, "report", 4))
        report(cs, &q);
    else if (known && verb_is(&q, "work", 4))
        plx_calls_work(cs->store, q.body);
    else if (known && verb_is(&q, "inform", 5))
        known = inform(cs, &q);
    else if (known && verb_is(&q, "unsubscribe", 7))
        known = unsubscribe(cs, &q);
    else if (known && verb_is(&q, "errand", 7))
        known = errand(cs, &q);
    else
        known = false;
    if (!known)
        plx_store_odd("call");
}
