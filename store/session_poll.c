/* Opening a poll, looking at the queue again, and what its answer needs to know. */
#include "base/alloc.h"
#include "base/error.h"
#include "store/session_internal.h"

#include <stdlib.h>

/* call->number: the life of the poll, for the list of the socket id when that wants renewal. */
static void viewed(const plx_done *done, int err, const redisReply *reply)
{
    plx_session_call *call = done->arg;
    plx_session_view view = {0};
    plx_session_memory memory = {0};
    err = plx_session_verdict(err, reply);
    if (!err)
        err = plx_session_read_view(reply, &view, &memory);
    if (!err)
        plx_reply_u64(plx_reply_at(reply, 6), &view.expires_in_ms); /* absent in a look's */
    if (!err)
        plx_id_list(call->store, plx_reply_slice(plx_reply_at(reply, 5)),
                    plx_session_call_sid(call), 0, call->number);
    ((plx_view_cb *)call->cb)(call->arg, err, &view);
    plx_session_memory_fini(&memory);
    free(call);
}

void plx_session_poll(plx_store *s, plx_slice sid, uint64_t q_cursor, uint64_t generation,
                      uint64_t window_ms, uint64_t life_ms, plx_view_cb *cb, void *arg)
{
    plx_command c;
    plx_session_call *call = plx_session_call_new(s, sid, (void (*)(void))cb, arg);
    call->number = window_ms + life_ms;
    plx_session_begin(&c, s, PLX_SCRIPT_POLL, sid);
    plx_command_u64(&c, q_cursor);
    plx_command_str(&c, s->worker);
    plx_command_u64(&c, generation);
    plx_command_u64(&c, window_ms);
    plx_command_u64(&c, life_ms);
    plx_script_send(s, &c, viewed, PLX_DONE(NULL, call));
}

void plx_session_look(plx_store *s, plx_slice sid, uint64_t q_cursor, uint64_t generation,
                      plx_view_cb *cb, void *arg)
{
    plx_command c;
    plx_session_call *call = plx_session_call_new(s, sid, (void (*)(void))cb, arg);
    plx_session_begin(&c, s, PLX_SCRIPT_LOOK, sid);
    plx_command_u64(&c, q_cursor);
    plx_command_str(&c, s->worker);
    plx_command_u64(&c, generation);
    plx_script_send(s, &c, viewed, PLX_DONE(NULL, call));
}

/* call->number: the slots that were asked about. */
static void recalled(const plx_done *done, int err, const redisReply *reply)
{
    plx_session_call *call = done->arg;
    const redisReply *found = plx_reply_at(reply, 4);
    plx_session_recalled r = {.params = plx_reply_slice(plx_reply_at(reply, 1)),
                              .claims = plx_reply_slice(plx_reply_at(reply, 2)),
                              .id = plx_reply_slice(plx_reply_at(reply, 3))};
    plx_slice *states = plx_alloc_zero(call->number + 1, sizeof *states);
    err = plx_session_verdict(err, reply);
    if (!err && !plx_reply_is_array(found))
        err = plx_store_odd("record of a session");
    for (size_t i = 0; !err && i < call->number; i++)
        states[i] = plx_reply_slice(plx_reply_at(found, i));
    r.states = states;
    ((plx_recall_cb *)call->cb)(call->arg, err, err ? NULL : &r);
    free(states);
    free(call);
}

void plx_session_recall(plx_store *s, plx_slice sid, const uint32_t *slots, size_t count,
                        plx_recall_cb *cb, void *arg)
{
    plx_command c;
    plx_session_call *call = plx_session_call_new(s, sid, (void (*)(void))cb, arg);
    call->number = count;
    plx_session_begin(&c, s, PLX_SCRIPT_RECALL, sid);
    for (size_t i = 0; i < count && i < PLX_RECALL_MAX; i++)
        plx_command_u64(&c, slots[i]);
    plx_script_send(s, &c, recalled, PLX_DONE(NULL, call));
}
