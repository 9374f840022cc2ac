/* Appending POSTs, taking the lease, committing.
 *
 * The scripts return whom to tell; the notes are sent from here, because no script
 * touches the keys and channels of two tags. A worker that dies in between costs
 * the others latency only.
 */
#include "base/error.h"
#include "store/mailbox.h"
#include "store/session_due.h"
#include "store/session_internal.h"
#include "store/session_pack.h"

#include <stdlib.h>

static bool read_result(const redisReply *reply, enum plx_post_result *result)
{
    const redisReply *word = plx_reply_at(reply, 0);
    if (plx_reply_is(word, "work"))
        *result = PLX_POST_WORK;
    else if (plx_reply_is(word, "wait"))
        *result = PLX_POST_WAIT;
    else if (plx_reply_is(word, "done"))
        *result = PLX_POST_DONE;
    else
        return false;
    return true;
}

/* {work | wait | done, entry, status, work} */
static void posted(const plx_done *done, int err, const redisReply *reply)
{
    plx_session_call *call = done->arg;
    enum plx_post_result result = PLX_POST_WAIT;
    uint64_t entry = 0, status = 0;
    plx_work work = {0};
    plx_session_memory memory = {0};
    if (!err && !read_result(reply, &result)) {
        err = plx_session_verdict(err, reply);
        if (!err)
            err = plx_store_odd("post");
    }
    if (!err && (!plx_reply_u64(plx_reply_at(reply, 1), &entry) ||
                 !plx_reply_u64(plx_reply_at(reply, 2), &status) || status > PLX_STATUS_MAX))
        err = plx_store_odd("post");
    if (!err && result == PLX_POST_WORK)
        err = plx_session_read_work(plx_reply_at(reply, 3), plx_session_call_sid(call), &work,
                                    &memory);
    ((plx_post_cb *)call->cb)(call->arg, err, result, entry, (unsigned)status,
                              !err && result == PLX_POST_WORK ? &work : NULL);
    plx_session_memory_fini(&memory);
    free(call);
}

typedef struct inbox_entry {
    enum plx_entry_kind kind;
    plx_slice digest, body;
    unsigned status;
} inbox_entry;

/* {wait, entry, 0, nil, the poll's last worker or nil}, {done, ...} */
static void appended(const plx_done *done, int err, const redisReply *reply)
{
    plx_session_call *call = done->arg;
    enum plx_post_result result = PLX_POST_WAIT;
    uint64_t entry = 0;
    bool known = !err && read_result(reply, &result);
    if (!known)
        err = plx_session_verdict(err, reply);
    if (!err &&
        (!known || result == PLX_POST_WORK || !plx_reply_u64(plx_reply_at(reply, 1), &entry)))
        err = plx_store_odd("post");
    ((plx_append_cb *)call->cb)(call->arg, err, !err && result == PLX_POST_WAIT, entry,
                                plx_reply_slice(plx_reply_at(reply, 4)));
    free(call);
}

/* lease_ms 0: it is not taken. */
static void append(plx_store *s, plx_slice sid, const inbox_entry *e, uint64_t life_ms,
                   uint64_t lease_ms, plx_answer_fn *answer, plx_session_call *call)
{
    const char kind_byte = (char)e->kind;
    plx_command c;
    plx_session_begin(&c, s, PLX_SCRIPT_POST, sid);
    plx_command_str(&c, s->worker);
    plx_command_add(&c, plx_slice_make(&kind_byte, 1));
    plx_command_add(&c, e->digest);
    plx_command_u64(&c, e->status);
    plx_command_add(&c, e->body);
    plx_command_u64(&c, life_ms);
    plx_command_u64(&c, lease_ms);
    plx_command_u64(&c, PLX_INBOX_ENTRIES);
    plx_command_u64(&c, PLX_INBOX_BYTES);
    if (e->digest.len > PLX_DIGEST_BYTES || e->status > PLX_STATUS_MAX)
        plx_command_refuse(&c);
    plx_script_send(s, &c, answer, PLX_DONE(NULL, call));
}

void plx_session_post(plx_store *s, plx_slice sid, enum plx_entry_kind kind, plx_slice digest,
                      unsigned status, plx_slice body, uint64_t life_ms, plx_post_cb *cb, void *arg)
{
    const inbox_entry e = {kind, digest, body, status};
    append(s, sid, &e, life_ms, PLX_LEASE_MS, posted,
           plx_session_call_new(s, sid, (void (*)(void))cb, arg));
}

void plx_session_append(plx_store *s, plx_slice sid, enum plx_entry_kind kind, plx_slice digest,
                        plx_slice body, plx_append_cb *cb, void *arg)
{
    const inbox_entry e = {kind, digest, body, 200};
    append(s, sid, &e, 0, 0, appended, plx_session_call_new(s, sid, (void (*)(void))cb, arg));
}

void plx_session_take(plx_store *s, plx_slice sid, uint64_t entry, plx_post_cb *cb, void *arg)
{
    plx_command c;
    plx_session_begin(&c, s, PLX_SCRIPT_TAKE, sid);
    plx_command_str(&c, s->worker);
    plx_command_u64(&c, entry);
    plx_command_u64(&c, PLX_LEASE_MS);
    plx_script_send(s, &c, posted,
                    PLX_DONE(NULL, plx_session_call_new(s, sid, (void (*)(void))cb, arg)));
}

/* ---- commit */

static void tell_waiters(plx_session_call *call, plx_slice workers, const redisReply *status)
{
    uint64_t outcome;
    plx_slice worker;
    if (!plx_reply_u64(status, &outcome))
        return;
    while (plx_slice_split(&workers, ' ', &worker))
        plx_mail_send(call->store, worker, "done", plx_session_call_sid(call), call->number,
                      outcome);
}

/* {over, waiting workers, the poll's worker, generation}: the queue was full. */
static void overflowed(plx_session_call *call, const redisReply *reply)
{
    plx_slice sid = plx_session_call_sid(call);
    call->store->counters.sessions_overflown++;
    plx_sweep_list(call->store, sid, 0, 0);
    plx_session_tell(call->store, "gone", sid, plx_reply_at(reply, 2), plx_reply_at(reply, 3));
}

/* {ok, outcome, waiting workers, the poll's worker, generation, next work} */
static void committed(const plx_done *done, int err, const redisReply *reply)
{
    plx_session_call *call = done->arg;
    plx_slice sid = plx_session_call_sid(call);
    const redisReply *next = plx_reply_at(reply, 5);
    plx_work work = {0};
    plx_session_memory memory = {0};
    bool more = false;
    if (!err && plx_reply_is(plx_reply_at(reply, 0), "over")) {
        overflowed(call, reply);
        err = PLX_E_GONE;
    } else {
        err = plx_session_verdict(err, reply);
    }
    if (!err) {
        plx_session_tell(call->store, "wake", sid, plx_reply_at(reply, 3), plx_reply_at(reply, 4));
        tell_waiters(call, plx_reply_slice(plx_reply_at(reply, 2)), plx_reply_at(reply, 1));
        more = plx_reply_is_array(next);
    }
    if (more)
        err = plx_session_read_work(next, sid, &work, &memory);
    ((void (*)(void *, int, const plx_work *))call->cb)(call->arg, err,
                                                        more && !err ? &work : NULL);
    plx_session_memory_fini(&memory);
    free(call);
}

static void add_packed(plx_command *command, const plx_commit *c)
{
    plx_buf packed;
    plx_buf_init(&packed, 0);
    for (size_t i = 0; i < c->set_count; i++) {
        plx_buf_clear(&packed);
        plx_slot_pack(&packed, &c->set[i]);
        plx_command_u64(command, c->set[i].number);
        plx_command_add(command, plx_buf_slice(&packed));
        plx_command_add(command, c->set[i].state);
    }
    for (size_t i = 0; i < c->drop_count; i++)
        plx_command_u64(command, c->drop[i]);
    for (size_t i = 0; i < c->timer_count; i++) {
        plx_buf_clear(&packed);
        plx_buf_printf(&packed, "%u:", (unsigned)c->timers[i].slot);
        plx_buf_add(&packed, c->timers[i].name);
        plx_command_add(command, plx_buf_slice(&packed));
        plx_command_u64(command, c->timers[i].ms);
        plx_command_add(command, c->timers[i].message);
    }
    for (size_t i = 0; i < c->q_count; i++) {
        plx_buf_clear(&packed);
        plx_q_pack(&packed, &c->q[i]);
        plx_command_add(command, plx_buf_slice(&packed));
    }
    plx_buf_fini(&packed);
}

/* Before the commit is sent: whatever happens to this worker, somebody looks for its timers. One
 * that is due at once becomes an entry with the commit, and this worker goes on with it. */
static void list_timers(plx_store *s, const plx_commit *c)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < c->timer_count; i++) {
        const plx_slot_timer *t = &c->timers[i];
        uint64_t ms = t->ms > 0 ? t->ms : PLX_DUE_CLAIM_MS;
        if (t->message.len > 0 && ms < first)
            first = ms;
    }
    if (first == UINT64_MAX)
        return;
    plx_due_list(s, c->sid, first);
    plx_due_expect(s, first);
}

/* "=" and the note, or nothing. */
static void add_note(plx_command *command, const plx_slice *note)
{
    plx_buf text;
    plx_buf_init(&text, 0);
    if (note) {
        plx_buf_byte(&text, '=');
        plx_buf_add(&text, *note);
    }
    plx_command_add(command, plx_buf_slice(&text));
    plx_buf_fini(&text);
}

void plx_session_commit(plx_store *s, const plx_commit *c,
                        void (*cb)(void *arg, int err, const plx_work *next), void *arg)
{
    plx_command command;
    plx_session_call *call = plx_session_call_new(s, c->sid, (void (*)(void))cb, arg);
    call->number = c->entry;
    list_timers(s, c);
    plx_session_begin(&command, s, PLX_SCRIPT_COMMIT, c->sid);
    plx_command_str(&command, s->worker);
    plx_command_u64(&command, c->fence);
    plx_command_u64(&command, c->entry);
    plx_command_u64(&command, PLX_LEASE_MS);
    plx_command_u64(&command, PLX_Q_ENTRIES);
    plx_command_u64(&command, PLX_Q_BYTES);
    plx_command_u64(&command, c->set_count);
    plx_command_u64(&command, c->drop_count);
    plx_command_u64(&command, c->q_count);
    plx_command_u64(&command, c->status);
    add_note(&command, c->note);
    plx_command_u64(&command, c->timer_count);
    add_packed(&command, c);
    plx_script_send(s, &command, committed, PLX_DONE(NULL, call));
}
