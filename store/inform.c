/* See inform.h. */
#include "store/inform.h"

#include "base/alloc.h"
#include "base/error.h"
#include "store/control_internal.h"
#include "store/session_due.h"
#include "store/session_internal.h"

#include <stdlib.h>

typedef struct sending {
    plx_store *store;
    void (*cb)(void *arg, int err);
    void *arg;
    unsigned in_flight; /* commands that point here */
    int err;            /* the first one */
    plx_slice body, digest;
    char bytes[];
} sending;

static void step_done(sending *x, int err)
{
    if (err && !x->err)
        x->err = err;
    if (--x->in_flight > 0)
        return;
    x->cb(x->arg, x->err);
    free(x);
}

static void published(const plx_done *done, int err, const redisReply *reply)
{
    (void)reply;
    step_done(done->arg, err);
}

/* One session of the id. */
typedef struct step {
    sending *sending;
    size_t sid_len;
    char sid[PLX_SID_MAX];
} step;

static void asked(void *arg, int err)
{
    step_done(arg, err);
}

static void appended(void *arg, int err, bool waits, uint64_t entry, plx_slice poller)
{
    step *p = arg;
    sending *x = p->sending;
    (void)entry;
    if (waits)
        plx_control_ask_work(x->store, plx_slice_make(p->sid, p->sid_len), poller, asked, x);
    else
        step_done(x, err == PLX_E_GONE ? 0 : err);
    free(p);
}

/* In this order: whoever is asked finds the entry, and if he dies over it, the session is on the
 * list. */
static void append(sending *x, plx_slice sid)
{
    step *p = plx_alloc(sizeof *p);
    /* A longer one is no session's: nothing is appended, and nobody asked. */
    *p = (step){.sending = x, .sid_len = sid.len < PLX_SID_MAX ? sid.len : PLX_SID_MAX};
    memcpy(p->sid, sid.data, p->sid_len);
    plx_due_list(x->store, sid, PLX_DUE_CLAIM_MS);
    x->in_flight++;
    plx_session_append(x->store, sid, PLX_ENTRY_INFO, x->digest, x->body, appended, p);
}

static void found(void *arg, int err, const plx_slice *sids, size_t count)
{
    sending *x = arg;
    for (size_t i = 0; !err && i < count; i++)
        append(x, sids[i]);
    step_done(x, err);
}

static void tell_sockets(sending *x, plx_slice id)
{
    plx_buf text;
    plx_buf_init(&text, 0);
    plx_buf_printf(&text, "1 inform - 0 %zu\n", id.len);
    plx_buf_add(&text, id);
    plx_buf_add(&text, x->body);
    x->in_flight++;
    plx_control_publish(x->store, plx_buf_slice(&text), published, PLX_DONE(NULL, x));
    plx_buf_fini(&text);
}

void plx_inform(plx_store *s, plx_slice id, plx_slice body, plx_slice digest,
                void (*cb)(void *arg, int err), void *arg)
{
    sending *x = plx_alloc(sizeof *x + body.len + digest.len);
    *x = (sending){.store = s, .cb = cb, .arg = arg};
    x->body = plx_slice_make(x->bytes, body.len);
    x->digest = plx_slice_make(x->bytes + body.len, digest.len);
    if (body.len > 0)
        memcpy(x->bytes, body.data, body.len);
    if (digest.len > 0)
        memcpy(x->bytes + body.len, digest.data, digest.len);
    tell_sockets(x, id);
    x->in_flight++;
    plx_session_by_id(s, id, found, x);
}
