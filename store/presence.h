/* Who is on a topic: tracked entries in Redis, published as batched diffs.
 *
 * An entry is one meta of one key, named by its phx_ref (unique), held by an owner:
 * a WebSocket worker's or a long-poll session's socket. Changes of a topic are
 * collected in Redis for all workers together and published as one event
 * `presence_diff` (kind 'p': it takes an offset and comes through the topic's feed)
 * for each window; see store/lua/presence_*.lua. The published state is therefore
 * the state *at a position* of the topic's log.
 *
 * Leases: WebSocket workers hold a deadline (plx_owner_start); a long-poll session
 * has its own. Whoever finds an expired worker wins it alone, untracks what its sockets
 * had tracked, and reports their memberships (plx_owner_sweep).
 */
#ifndef PLX_STORE_PRESENCE_H
#define PLX_STORE_PRESENCE_H

#include "base/list.h"
#include "store/event.h"
#include "store/store.h"

#define PLX_PHX_REF_LEN   16   /* characters: plx_random_id(…, 16) */
#define PLX_TRACKS_MAX    64   /* entries of one socket on one topic */
#define PLX_META_BYTES    4096
#define PLX_KEY_BYTES     256

/* How a topic's presence is kept; from its channel's configuration, the same in every worker. */
typedef struct plx_presence_rules {
    uint64_t window_ms;        /* base of the window, default 50; adaptive up to 1000 under load */
    uint64_t grace_ms;         /* a vanished socket's entries stay for so long; 0: they leave at once */
    uint64_t count_only_above; /* entries; above it `presence_count` events instead of diffs; 0: never */
    uint64_t ttl_s;            /* of the keys, refreshed while followed */
} plx_presence_rules;

typedef struct plx_track {
    plx_slice topic;
    plx_slice ref;   /* PLX_PHX_REF_LEN characters, chosen by the caller */
    plx_slice prev;  /* update: the ref that this one replaces; else empty */
    plx_slice owner; /* WebSocket: the worker's name; long-poll: the session id */
    plx_slice socket; /* unique name of the socket: its entries on this topic count for PLX_TRACKS_MAX */
    plx_slice key;   /* plain text; any string, also empty */
    plx_slice meta;  /* JSON object without phx_ref and phx_ref_prev; these are put in by this module:
                        {"phx_ref":"…"[,"phx_ref_prev":"…"],…meta's own members as they are} */
} plx_track;

/* err: also PLX_E_INVALID (meta is no object, forges phx_ref, update of an unknown ref),
 * PLX_E_TOOBIG (meta, key, too many entries). Success means: accepted, in the next diff. */
typedef void plx_presence_cb(void *arg, int err);
void plx_presence_track(plx_store *s, const plx_presence_rules *rules, const plx_track *t,
                        plx_presence_cb *cb, void *arg);
/* Removes entries: ref given: that one; else key given (not NULL data): all of this socket with that
 * key; else all of this socket on the topic. grace: the socket vanished (see rules). */
typedef struct plx_untrack {
    plx_slice topic, owner, socket, ref, key;
    bool grace;
} plx_untrack;
void plx_presence_untrack(plx_store *s, const plx_presence_rules *rules, const plx_untrack *u,
                          plx_presence_cb *cb, void *arg);

/* The published state as JSON text {KEY:{"metas":[META,…]},…} and its position, for the API. */
typedef void plx_presence_state_cb(void *arg, int err, const plx_position *position, plx_slice json,
                                   uint64_t count);
void plx_presence_read(plx_store *s, plx_slice topic, bool count_only, plx_presence_state_cb *cb,
                       void *arg);

/* ---- what a worker knows ---- */

/* The worker's copy of one topic's presence: one snapshot, then every diff of the feed applied in
 * order. One per topic and worker, shared by its users. */
typedef struct plx_roster plx_roster;
plx_roster *plx_roster_open(plx_store *s, plx_slice topic, const plx_presence_rules *rules);
void plx_roster_close(plx_roster *r);

/* Calls `ready` when the roster knows the state at `offset` or later (perhaps at once, but never before
 * this returns). The node belongs to the caller until called or cancelled. */
typedef struct plx_roster_wait {
    plx_list node;
    uint64_t offset;
    void (*ready)(struct plx_roster_wait *w, plx_roster *r);
} plx_roster_wait;
void plx_roster_wait_start(plx_roster *r, plx_roster_wait *w, uint64_t offset);
void plx_roster_wait_stop(plx_roster_wait *w);

/* The state as JSON text and the offset of the last diff in it (0 before the first); encoded once for
 * each change. Borrowed until the next loop turn. count_only: {"count":n} above the threshold. */
plx_slice plx_roster_json(plx_roster *r, uint64_t *offset, bool *count_only);

/* Whether the diff event (kind 'p') holds `ref` among its joins / leaves. */
bool plx_diff_joins(const plx_event *e, plx_slice ref);

/* ---- leases of WebSocket workers ---- */

#define PLX_OWNER_LEASE_MS 10000

/* From now on this worker is an owner: its deadline is renewed by itself until plx_store_close. */
void plx_owner_start(plx_store *s);
/* Says goodbye: everything of this worker is due at once (planned stop, after its sockets closed). */
void plx_owner_stop(plx_store *s, void (*cb)(void *arg, int err), void *arg);

/* A membership that has to be reported when this worker dies: `record` is opaque. One per (topic,
 * socket). Kept with the worker's lease. */
void plx_owner_note(plx_store *s, plx_slice topic, plx_slice socket, plx_slice record);
void plx_owner_forget(plx_store *s, plx_slice topic, plx_slice socket);

/* Sweeping (like plx_session_sweep): exactly one worker wins an expired owner; `crashed` is called for
 * each noted membership, at least once; its presence entries are untracked by this module (with the
 * topic's rules, which `rules` gives; NULL: not configured any more, untracked at once). */
typedef struct plx_owner_sweep {
    void (*crashed)(struct plx_owner_sweep *sweep, plx_slice topic, plx_slice socket,
                    plx_slice record);
    const plx_presence_rules *(*rules)(struct plx_owner_sweep *sweep, plx_slice topic);
} plx_owner_sweep;
void plx_owner_sweep_start(plx_store *s, plx_owner_sweep *sweep);

#endif
