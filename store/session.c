/* Creating and ending sessions, leases, lists of sessions; what the other session_*.c share. */
#include "store/session.h"
#include "base/alloc.h"
#include "base/error.h"
#include "store/mailbox.h"
#include "store/session_internal.h"

#include <stdlib.h>

/* Lists live longer than any key of a session; members past their deadline for this long go. */
#define ID_LIST_TTL_S      7200
#define ID_LIST_DROP_MS    3600000
#define SWEEP_LIST_TTL_S   172800
#define SWEEP_LIST_DROP_MS 86400000
#define SESSIONS_OF_ID_MAX 10000
/* Over three thousand years: the scripts' numbers are doubles. */
#define FAR_MS UINT64_C(100000000000000)

/* ---- shared */

plx_session_call *plx_session_call_new(plx_store *s, plx_slice sid, void (*cb)(void), void *arg)
{
    plx_session_call *call = plx_alloc_zero(1, sizeof *call);
    call->store = s;
    call->cb = cb;
    call->arg = arg;
    call->sid_len = sid.len < PLX_SID_MAX ? sid.len : PLX_SID_MAX;
    if (call->sid_len > 0)
        memcpy(call->sid, sid.data, call->sid_len);
    return call;
}

plx_slice plx_session_call_sid(const plx_session_call *call)
{
    return plx_slice_make(call->sid, call->sid_len);
}

void plx_session_begin(plx_command *c, const plx_store *s, enum plx_script script, plx_slice sid)
{
    static const char *const suffixes[] = {"",   ":slots", ":state", ":in",
                                           ":q", ":seen",  ":due",   ":timers"};
    const size_t count = sizeof suffixes / sizeof suffixes[0];
    plx_script_begin(c, script, count);
    for (size_t i = 0; i < count; i++)
        plx_script_key(c, s, 's', sid, suffixes[i]);
    if (sid.len == 0 || sid.len > PLX_SID_MAX)
        plx_command_refuse(c);
}

int plx_session_verdict(int err, const redisReply *reply)
{
    const redisReply *word = plx_reply_at(reply, 0);
    if (err)
        return err;
    if (plx_reply_is(word, "ok"))
        return 0;
    if (plx_reply_is(word, "gone"))
        return PLX_E_GONE;
    if (plx_reply_is(word, "busy"))
        return PLX_E_BUSY;
    return plx_store_odd("session");
}

void plx_session_tell(plx_store *s, const char *verb, plx_slice sid, const redisReply *worker,
                      const redisReply *generation)
{
    uint64_t number;
    if (plx_reply_u64(generation, &number))
        plx_mail_send(s, plx_reply_slice(worker), verb, sid, number, 0);
}

/* ---- lists */

static void ignored(const plx_done *done, int err, const redisReply *reply)
{
    (void)done, (void)err, (void)reply;
}

static void add_sweep_key(plx_command *c, const plx_store *s)
{
    char *key = plx_asprintf("%ssweep", plx_store_prefix(s));
    plx_command_str(c, key);
    free(key);
}

static void send_listed(plx_store *s, plx_command *c, plx_slice sid, uint64_t at, uint64_t delay_ms,
                        uint64_t ttl_s, uint64_t drop_ms)
{
    plx_command_add(c, sid);
    plx_command_u64(c, at);
    plx_command_u64(c, delay_ms);
    plx_command_u64(c, ttl_s);
    plx_command_u64(c, drop_ms);
    plx_script_send(s, c, ignored, PLX_DONE(NULL, NULL));
}

void plx_sweep_list(plx_store *s, plx_slice sid, uint64_t at, uint64_t delay_ms)
{
    plx_command c;
    plx_script_begin(&c, PLX_SCRIPT_LISTED, 1);
    add_sweep_key(&c, s);
    send_listed(s, &c, sid, at, delay_ms, SWEEP_LIST_TTL_S, SWEEP_LIST_DROP_MS);
}

void plx_sweep_unlist(plx_store *s, plx_slice sid)
{
    plx_command c;
    plx_command_init(&c, "ZREM");
    add_sweep_key(&c, s);
    plx_command_add(&c, sid);
    plx_conn_send(s->conn, &c, 0, ignored, PLX_DONE(NULL, NULL));
}

void plx_id_list(plx_store *s, plx_slice id, plx_slice sid, uint64_t at, uint64_t delay_ms)
{
    if (id.len == 0)
        return;
    plx_command c;
    plx_script_begin(&c, PLX_SCRIPT_LISTED, 1);
    plx_script_key(&c, s, 'i', id, "");
    send_listed(s, &c, sid, at, delay_ms, ID_LIST_TTL_S, ID_LIST_DROP_MS);
}

void plx_id_unlist(plx_store *s, plx_slice id, plx_slice sid)
{
    if (id.len == 0)
        return;
    plx_command c;
    plx_command_init(&c, "ZREM");
    plx_script_key(&c, s, 'i', id, "");
    plx_command_add(&c, sid);
    plx_conn_send(s->conn, &c, 0, ignored, PLX_DONE(NULL, NULL));
}

static void by_id_read(const plx_done *done, int err, const redisReply *reply)
{
    void (*cb)(void *, int, const plx_slice *, size_t) =
        (void (*)(void *, int, const plx_slice *, size_t))done->fn;
    size_t count = plx_reply_count(reply);
    if (!err && !plx_reply_is_array(reply))
        err = plx_store_odd("sessions of a socket id");
    plx_slice *sids = plx_alloc_zero(count > 0 ? count : 1, sizeof *sids);
    for (size_t i = 0; i < count; i++)
        sids[i] = plx_reply_slice(plx_reply_at(reply, i));
    cb(done->arg, err, sids, err ? 0 : count);
    free(sids);
}

void plx_session_by_id(plx_store *s, plx_slice id,
                       void (*cb)(void *arg, int err, const plx_slice *sids, size_t count),
                       void *arg)
{
    plx_command c;
    plx_command_init(&c, "ZREVRANGE");
    plx_script_key(&c, s, 'i', id, "");
    plx_command_u64(&c, 0);
    plx_command_u64(&c, SESSIONS_OF_ID_MAX - 1);
    plx_conn_send(s->conn, &c, 0, by_id_read, PLX_DONE(cb, arg));
}

/* ---- calls with a plain answer */

typedef void plain_cb(void *arg, int err);

static void answered(const plx_done *done, int err, const redisReply *reply)
{
    ((plain_cb *)done->fn)(done->arg, plx_session_verdict(err, reply));
}

void plx_session_create(plx_store *s, const plx_session_init *init, plain_cb *cb, void *arg)
{
    plx_command c;
    uint64_t life_ms = init->life_ms;
    if (init->expires_in_ms > 0 && init->expires_in_ms < life_ms)
        life_ms = init->expires_in_ms;
    /* Into the lists first: a session that exists is in them, whatever happens in between. */
    plx_sweep_list(s, init->sid, 0, life_ms);
    plx_id_list(s, init->id, init->sid, 0, init->life_ms);
    plx_session_begin(&c, s, PLX_SCRIPT_CREATE, init->sid);
    plx_command_add(&c, init->mount);
    plx_command_u64(&c, init->vsn);
    plx_command_add(&c, init->params);
    plx_command_add(&c, init->claims);
    plx_command_add(&c, init->id);
    plx_command_u64(&c, init->life_ms);
    plx_command_u64(&c, init->expires_in_ms < FAR_MS ? init->expires_in_ms : FAR_MS);
    plx_script_send(s, &c, answered, PLX_DONE(cb, arg));
}

void plx_session_renew(plx_store *s, plx_slice sid, uint64_t fence, plain_cb *cb, void *arg)
{
    plx_command c;
    plx_session_begin(&c, s, PLX_SCRIPT_RENEW, sid);
    plx_command_u64(&c, fence);
    plx_command_u64(&c, PLX_LEASE_MS);
    plx_script_send(s, &c, answered, PLX_DONE(cb, arg));
}

static void ended(const plx_done *done, int err, const redisReply *reply)
{
    plx_session_call *call = done->arg;
    plx_slice sid = plx_session_call_sid(call);
    err = plx_session_verdict(err, reply);
    if (!err) {
        plx_sweep_list(call->store, sid, 0, 0);
        plx_session_tell(call->store, "gone", sid, plx_reply_at(reply, 1), plx_reply_at(reply, 2));
    }
    ((plain_cb *)call->cb)(call->arg, err);
    free(call);
}

void plx_session_end(plx_store *s, plx_slice sid, const char *reason, plain_cb *cb, void *arg)
{
    plx_command c;
    plx_session_call *call = plx_session_call_new(s, sid, (void (*)(void))cb, arg);
    plx_session_begin(&c, s, PLX_SCRIPT_END, sid);
    plx_command_str(&c, reason);
    plx_script_send(s, &c, ended, PLX_DONE(NULL, call));
}

static void dropped(const plx_done *done, int err, const redisReply *reply)
{
    plx_session_call *call = done->arg;
    plx_slice sid = plx_session_call_sid(call);
    err = plx_session_verdict(err, reply);
    if (!err)
        plx_id_unlist(call->store, plx_reply_slice(plx_reply_at(reply, 1)), sid);
    if (!err || err == PLX_E_GONE)
        plx_sweep_unlist(call->store, sid);
    ((plain_cb *)call->cb)(call->arg, err);
    free(call);
}

void plx_session_drop(plx_store *s, plx_slice sid, uint64_t fence, plain_cb *cb, void *arg)
{
    plx_command c;
    plx_session_call *call = plx_session_call_new(s, sid, (void (*)(void))cb, arg);
    plx_session_begin(&c, s, PLX_SCRIPT_DROP, sid);
    plx_command_u64(&c, fence);
    plx_script_send(s, &c, dropped, PLX_DONE(NULL, call));
}
