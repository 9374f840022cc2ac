/* Calls by socket id: the long-poll sessions among the sockets.
 *
 * A disconnect decides the end of each session at once. An unsubscribe must keep
 * the order, and only the lease's holder may change a session's record: it becomes
 * an entry of the inbox. The caller takes the lease and has the entry worked here;
 * a process that works no sessions (the command line) asks all others to. The
 * entry's outcome says whether there was such a channel.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "store/control_internal.h"
#include "store/session_due.h"

#include <stdlib.h>

typedef plx_control_call call;

/* An entry whose outcome is awaited. */
typedef struct entry {
    plx_list node; /* in call->entries; in none when the call waits for it no longer */
    call *call;
    plx_slice sid;     /* owned */
    uint64_t number;   /* 0: not known yet */
    bool asked, known; /* a command points here; the outcome is known */
} entry;

static void entry_free(entry *e)
{
    plx_list_remove(&e->node);
    free((void *)e->sid.data);
    free(e);
}

/* The call goes on without the entry. */
static void settle(entry *e, unsigned status)
{
    e->known = true;
    if (status == PLX_CLOSED_ONE)
        e->call->sum++;
    plx_list_remove(&e->node);
    if (!e->asked)
        entry_free(e);
}

/* ---- unsubscribe */

/* A command of the entry was answered. */
static void entry_done(entry *e, int err)
{
    call *c = e->call;
    e->asked = false;
    if (e->known || c->answered || err)
        entry_free(e);
    plx_control_command_done(c, err == PLX_E_GONE ? 0 : err);
}

static void taken(void *arg, int err, enum plx_post_result result, uint64_t number, unsigned status,
                  const plx_work *work)
{
    entry *e = arg;
    plx_calls *cs = e->call->calls;
    (void)number;
    if (!err && result == PLX_POST_DONE && !e->known)
        settle(e, status);
    else if (!err && result == PLX_POST_WORK && cs->control && cs->control->work)
        cs->control->work(cs->control, work);
    entry_done(e, err);
}

static void asked(void *arg, int err)
{
    entry_done(arg, err);
}

static void appended(void *arg, int err, bool waits, uint64_t number, plx_slice poller)
{
    entry *e = arg;
    call *c = e->call;
    (void)waits;  /* without a digest nothing is known to have been done */
    (void)poller; /* it may be busy, and somebody waits for the outcome: whoever is first */
    if (err || c->answered) {
        entry_done(e, err);
        return;
    }
    e->number = number;
    if (c->calls->control && c->calls->control->work)
        plx_session_take(c->calls->store, e->sid, number, taken, e);
    else
        plx_control_ask_work(c->calls->store, e->sid, plx_slice_make(NULL, 0), asked, e);
}

static void close_channel(call *c, plx_slice sid)
{
    entry *e = plx_alloc_zero(1, sizeof *e);
    e->call = c;
    e->sid = plx_slice_copy(sid);
    e->asked = true;
    c->in_flight++;
    plx_list_push(&c->entries, &e->node);
    plx_due_list(c->calls->store, sid, PLX_DUE_CLAIM_MS); /* if this process dies over it */
    plx_session_append(c->calls->store, sid, PLX_ENTRY_CLOSE, plx_slice_make(NULL, 0), c->topic,
                       appended, e);
}

void plx_calls_done(plx_store *s, plx_slice sid, uint64_t number, unsigned status)
{
    plx_list *open = &s->calls->open, *next;
    for (plx_list *n = open->next; n != open; n = n->next) {
        call *c = PLX_CONTAINER(n, call, node);
        for (plx_list *m = c->entries.next; m != &c->entries; m = next) {
            entry *e = PLX_CONTAINER(m, entry, node);
            next = m->next;
            if (e->number == number && plx_slice_eq(e->sid, sid)) {
                settle(e, status);
                plx_control_progress(c);
                return; /* one entry belongs to one call; this one may be gone */
            }
        }
    }
}

void plx_control_sessions_forget(call *c)
{
    plx_list *node;
    while ((node = plx_list_shift(&c->entries)) != NULL) {
        entry *e = PLX_CONTAINER(node, entry, node);
        if (!e->asked)
            entry_free(e);
    }
}

/* ---- disconnect */

static void session_ended(void *arg, int err)
{
    call *c = arg;
    if (!err)
        c->sum++;
    plx_control_command_done(c, err == PLX_E_GONE ? 0 : err);
}

static void sessions_found(void *arg, int err, const plx_slice *sids, size_t count)
{
    call *c = arg;
    for (size_t i = 0; !c->answered && i < count; i++) {
        if (c->verb == PLX_CONTROL_UNSUBSCRIBE) {
            close_channel(c, sids[i]);
        } else {
            c->in_flight++;
            plx_session_end(c->calls->store, sids[i], "disconnected", session_ended, c);
        }
    }
    plx_control_command_done(c, err);
}

void plx_control_sessions(call *c)
{
    c->in_flight++;
    plx_session_by_id(c->calls->store, c->id, sessions_found, c);
}
