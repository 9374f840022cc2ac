/* What the files about sessions share. */
#ifndef PLX_STORE_SESSION_INTERNAL_H
#define PLX_STORE_SESSION_INTERNAL_H

#include "store/script.h"
#include "store/session.h"

#define PLX_SID_MAX       64 /* bytes of a session's name that are accepted */
#define PLX_INBOX_ENTRIES 1000
#define PLX_INBOX_BYTES   (4u << 20)
#define PLX_DIGEST_BYTES  64 /* longest digest of a POST */
#define PLX_STATUS_MAX    999

/* A call under way: freed by its answer. */
typedef struct plx_session_call {
    plx_store *store;
    void (*cb)(void);
    void *arg;
    uint64_t number; /* the call's own */
    size_t sid_len;
    char sid[PLX_SID_MAX];
} plx_session_call;

/* cb is called, in its own type, by the answer that frees the call; a name that is too long is cut
 * (and refused by plx_session_begin). */
plx_session_call *plx_session_call_new(plx_store *s, plx_slice sid, void (*cb)(void), void *arg);
/* Borrowed from the call. */
plx_slice plx_session_call_sid(const plx_session_call *call);

/* Begins a script with the eight keys of a session; refuses the command when the name is
 * impossible.
 */
void plx_session_begin(plx_command *c, const plx_store *s, enum plx_script script, plx_slice sid);

/* 0 for an answer {"ok", ...}, PLX_E_GONE or PLX_E_BUSY for {"gone"} and {"busy"}, PLX_E_STORE for
 * anything else; err is handed on when it is not 0. */
int plx_session_verdict(int err, const redisReply *reply);

/* The sweep list: sid is to be looked at by `at` (ms by Redis' clock; 0: now) + delay_ms. */
void plx_sweep_list(plx_store *s, plx_slice sid, uint64_t at, uint64_t delay_ms);
void plx_sweep_unlist(plx_store *s, plx_slice sid);
/* The same for the list of a socket id (nothing is done when the id is empty). */
void plx_id_list(plx_store *s, plx_slice id, plx_slice sid, uint64_t at, uint64_t delay_ms);
void plx_id_unlist(plx_store *s, plx_slice id, plx_slice sid);

/* Tells a poll's holder (a name as it came from Redis, maybe empty). */
void plx_session_tell(plx_store *s, const char *verb, plx_slice sid, const redisReply *worker,
                      const redisReply *generation);

/* ---- session_view.c */

/* What a reply was read into; slices point into the reply. */
typedef struct plx_session_memory {
    plx_slot *slots;
    plx_q_entry *q;
    plx_barrier *barriers;
    plx_slot_timer *timers;
} plx_session_memory;
/* Frees the arrays, not the reply. */
void plx_session_memory_fini(plx_session_memory *m);

/* {ok, worker, generation, slots, queue, ...} */
int plx_session_read_view(const redisReply *reply, plx_session_view *view, plx_session_memory *m);
/* {fence, mount, vsn, params, claims, id, next slot, slots, state, entry or nil, note, names of
 * timers}
 */
int plx_session_read_work(const redisReply *reply, plx_slice sid, plx_work *work,
                          plx_session_memory *m);

#endif
