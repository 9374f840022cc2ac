/* Who is on a topic: tracked entries in Redis, published as batched diffs.
 *
 * An entry is one meta of one key, named by its phx_ref (unique), held by an owner:
 * a WebSocket worker's or a long-poll session's socket. Changes of a topic are
 * collected in Redis for all workers together and published as one event
 * `presence_diff` (kind 'p': it takes an offset and comes through the topic's feed)
 * for each window; see store/lua/presence_*.lua. The published state is therefore
 * the state *at a position* of the topic's log.
 *
 * What a socket does: track (it chooses the ref), then wait for the event of kind 'p'
 * that plx_diff_joins its ref; in its place it is sent plx_roster_state at that
 * offset, and every event of kind 'p' after the state's offset as it is.
 *
 * Leases: WebSocket workers hold a deadline (plx_owner_start); a long-poll session
 * has its own. Whoever finds an expired worker wins it alone, untracks what its sockets
 * had tracked, and reports their memberships (plx_owner_sweep_start).
 *
 * Callbacks as store.h says: exactly once, never before the call has returned.
 */
#ifndef PLX_STORE_PRESENCE_H
#define PLX_STORE_PRESENCE_H

#include "base/list.h"
#include "store/event.h"
#include "store/store.h"

#define PLX_PHX_REF_LEN 16 /* characters: plx_random_id(..., 16) */
#define PLX_TRACKS_MAX  64 /* entries of one socket on one topic */
#define PLX_META_BYTES  4096
#define PLX_KEY_BYTES   256
/* A topic whose entries are larger than this together is count-only, whatever its rules say. */
#define PLX_PRESENCE_STATE_BYTES (8u << 20)
/* More than this is refused. */
#define PLX_PRESENCE_MAX_BYTES (64u << 20)

/* How a topic's presence is kept; from its channel's configuration, the same in every worker. */
typedef struct plx_presence_rules {
    uint64_t window_ms; /* base of the window, default 50; adaptive up to 1000 under load */
    uint64_t grace_ms;  /* a vanished socket's entries stay for so long; 0: they leave at once */
    uint64_t count_only_above; /* entries; above it `presence_count` events instead of diffs; 0:
                                  only above PLX_PRESENCE_STATE_BYTES */
    uint64_t ttl_s;            /* of the keys, refreshed while a roster is open; at least 60 */
    /* Retention of the topic's log, as in plx_publication. */
    uint64_t history_size, history_ttl_s;
} plx_presence_rules;

typedef struct plx_track {
    plx_slice topic;
    plx_slice ref;    /* PLX_PHX_REF_LEN characters of plx_random_id, chosen by the caller */
    plx_slice prev;   /* update: the ref that this one replaces; else empty */
    plx_slice owner;  /* WebSocket: plx_owner_name; long-poll: the session id. Without a space */
    plx_slice socket; /* unique name of the socket, at most 64 bytes; its entries on this topic
                         count for PLX_TRACKS_MAX, and untrack finds them by it */
    plx_slice key;    /* plain text; any string, also empty */
    plx_slice meta;   /* JSON object without phx_ref and phx_ref_prev; these are put in by this
                         module: {"phx_ref":"..."[,"phx_ref_prev":"..."],...meta's own members as
                         they are}. phx_ref_prev names the last ref that was published. */
} plx_track;

/* What became of it. */
typedef struct plx_tracked {
    /* The entry's phx_ref: the caller's; or another one, when the entry of a vanished socket with
     * the same key and meta was taken over in its grace: nothing changes for anybody, no diff
     * comes. */
    plx_slice ref;
    /* Taken over: the state at this position (of the topic) holds it. Otherwise NULL. */
    const plx_position *taken_at;
} plx_tracked;

/* tracked: NULL unless err is 0. err: also PLX_E_INVALID (meta is no object or forges phx_ref or
 * phx_ref_prev; ref malformed or in use; update of a ref that this socket does not hold),
 * PLX_E_TOOBIG (meta, key, too many entries of this socket or bytes on this topic), PLX_E_BUSY (too
 * many changes wait to be published: try again). Success means: in the next diff, unless the same
 * socket untracks or updates it before that (then the diff with the newer ref comes, or none). */
typedef void plx_track_cb(void *arg, int err, const plx_tracked *tracked);
/* Repeating a call with the same ref is harmless (after PLX_E_TIMEOUT). */
void plx_presence_track(plx_store *s, const plx_presence_rules *rules, const plx_track *t,
                        plx_track_cb *cb, void *arg);

/* Removes entries: ref given: that one; else key given (not NULL data): all of this socket with
 * that key; else all of this socket on the topic. Nothing to remove is no error. It is never lost
 * while this worker lives: when Redis can't be reached, cb is told so, and the store repeats it by
 * itself as soon as possible (before anything that is tracked later). */
typedef struct plx_untrack {
    plx_slice topic, owner, socket, ref, key;
    bool grace; /* the socket vanished, it did not say so (see rules) */
} plx_untrack;
typedef void plx_presence_cb(void *arg, int err);
void plx_presence_untrack(plx_store *s, const plx_presence_rules *rules, const plx_untrack *u,
                          plx_presence_cb *cb, void *arg); /* cb may be NULL */

/* The published state as JSON text {KEY:{"metas":[META,...]},...} and its position, for the API.
 * count_only, or the topic is too large for a state: json is empty. */
typedef void plx_presence_state_cb(void *arg, int err, const plx_position *position, plx_slice json,
                                   uint64_t count);
void plx_presence_read(plx_store *s, plx_slice topic, bool count_only, plx_presence_state_cb *cb,
                       void *arg);

/* The refs of all that a socket has on the topic, published or not: PLX_PHX_REF_LEN characters
 * each, one behind the other. What it changes at the same time may be in it or not. */
typedef void plx_presence_held_cb(void *arg, int err, plx_slice refs);
void plx_presence_held(plx_store *s, plx_slice topic, plx_slice socket, plx_presence_held_cb *cb,
                       void *arg);

/* ---- what a worker knows ---- */

/* The worker's copy of one topic's presence: one snapshot, then every diff of the feed applied in
 * order. One per topic and worker, shared by its users: each open wants a close. While one is open
 * this worker also sees to it that changes are published in time when the worker that should has
 * died, and that the keys live on. */
typedef struct plx_roster plx_roster;
plx_roster *plx_roster_open(plx_store *s, plx_slice topic, const plx_presence_rules *rules);
void plx_roster_close(plx_roster *r);

/* Calls `ready` when the roster knows the state at `offset` or later (perhaps at once, but never
 * before this returns). The node belongs to the caller until called or stopped. `epoch` may be
 * empty: then any state will do as soon as there is one. Of an epoch that is not the topic's:
 * called with the state of the present one (the caller's feed watch is lost then, too). */
typedef struct plx_roster_wait {
    plx_list node;
    plx_position position;
    void (*ready)(struct plx_roster_wait *w, plx_roster *r);
} plx_roster_wait;
void plx_roster_wait_start(plx_roster *r, plx_roster_wait *w, const plx_position *position);
/* Harmless when it is not started and its node was initialised, or was called. */
void plx_roster_wait_stop(plx_roster_wait *w);

/* The state as an event to be pushed: `presence_state` {KEY:{"metas":[META,...]},...}, or
 * `presence_count` {"count":n} while the topic is count-only. Its position is that of the last diff
 * in it or of the snapshot: what comes later in this epoch is not in it. Made once for each change,
 * and so are its encodings. Borrowed until the next turn (plx_event_ref to keep). NULL while
 * nothing is known. */
plx_event *plx_roster_state(plx_roster *r);

/* Whether the event (kind 'p') answers the wait for `ref`: it is a diff with `ref` among its joins,
 * or a `presence_count`, or a `presence_state` (broadcast when a topic is not count-only any more;
 * clients sync to it). Cheap also when asked for thousands of refs. */
bool plx_diff_joins(plx_event *e, plx_slice ref);

/* ---- leases of WebSocket workers ---- */

/* Entries of a worker that dies are gone this long after its last sign of life. */
#define PLX_OWNER_LEASE_MS 10000

/* From now on this worker is an owner: its deadline is renewed by itself until plx_store_close.
 * lost: others took this worker for dead (it stood still for longer than the lease), or Redis lost
 * its data. What was tracked and noted until now is gone or will be, and counts as crashed: these
 * memberships are to be ended with phx_error, so that the clients rejoin. plx_owner_name has
 * changed. Borrowed until plx_store_close. */
typedef struct plx_owner_watch {
    void (*lost)(struct plx_owner_watch *w);
} plx_owner_watch;
void plx_owner_start(plx_store *s, plx_owner_watch *w);
/* The name under which to track; valid until `lost`. */
plx_slice plx_owner_name(const plx_store *s);
/* Says goodbye: everything of this worker is due at once (planned stop, after its sockets closed).
 */
void plx_owner_stop(plx_store *s, void (*cb)(void *arg, int err), void *arg);

/* A membership that has to be reported when this worker dies: `record` is opaque (at most 64 KB).
 * One per (topic, socket); a second note replaces the first. Kept with the worker's lease. */
void plx_owner_note(plx_store *s, plx_slice topic, plx_slice socket, plx_slice record);
void plx_owner_forget(plx_store *s, plx_slice topic, plx_slice socket);

/* Sweeping (like plx_session_sweep): exactly one worker wins an expired owner, and another one when
 * that dies over it. It untracks the owner's entries (with the topic's rules, which `rules` gives;
 * NULL: not configured any more, untracked with defaults), and calls `crashed` for each noted
 * membership: at least once, until plx_owner_settle says that it was seen to (in any case at last:
 * the owner is not finished before). At most 64 are unsettled at a time. */
typedef struct plx_owner_sweep {
    void (*crashed)(struct plx_owner_sweep *sweep, plx_slice owner, plx_slice topic,
                    plx_slice socket, plx_slice record);
    const plx_presence_rules *(*rules)(struct plx_owner_sweep *sweep, plx_slice topic);
} plx_owner_sweep;
void plx_owner_sweep_start(plx_store *s, plx_owner_sweep *sweep);
/* Allowed from inside `crashed`. */
void plx_owner_settle(plx_store *s, plx_slice owner, plx_slice topic, plx_slice socket);

#endif
