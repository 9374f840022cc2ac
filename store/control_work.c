/* Asking for a session's inbox to be worked.
 *
 * Where nobody waits for what comes of it, the worker that holds the session's poll,
 * or last did, is asked first: one call, however many workers there are, and when
 * the work wakes that poll, the note of it stays within the worker. Only when it
 * does not hear are all of them asked, and the first one to take the lease does it.
 * Nobody need: the session is on the list of those with something due.
 */
#include "base/alloc.h"
#include "store/control_internal.h"
#include "store/mailbox.h"
#include "store/session_internal.h"

#include <assert.h>
#include <stdlib.h>

typedef struct asking {
    plx_store *store;
    void (*cb)(void *arg, int err);
    void *arg;
    size_t sid_len;
    char sid[PLX_SID_MAX];
} asking;

static void asked_all(const plx_done *done, int err, const redisReply *reply)
{
    asking *a = done->arg;
    (void)reply;
    a->cb(a->arg, err);
    free(a);
}

static void ask_all(asking *a)
{
    plx_buf text;
    plx_buf_init(&text, 0);
    plx_buf_str(&text, "1 work - 0\n");
    plx_buf_append(&text, a->sid, a->sid_len);
    plx_control_publish(a->store, plx_buf_slice(&text), asked_all, PLX_DONE(NULL, a));
    plx_buf_fini(&text);
}

static void asked_one(const plx_done *done, int err, const redisReply *reply)
{
    uint64_t heard = 0;
    if (!err && (!plx_reply_u64(reply, &heard) || heard == 0))
        ask_all(done->arg);
    else
        asked_all(done, err, reply);
}

void plx_control_ask_work(plx_store *s, plx_slice sid, plx_slice poller,
                          void (*cb)(void *arg, int err), void *arg)
{
    asking *a = plx_alloc(sizeof *a);
    assert(sid.len <= PLX_SID_MAX);
    *a = (asking){.store = s, .cb = cb, .arg = arg, .sid_len = sid.len};
    memcpy(a->sid, sid.data, sid.len);
    if (poller.len > 0)
        plx_mail_ask_work(s, poller, sid, asked_one, PLX_DONE(NULL, a));
    else
        ask_all(a);
}
