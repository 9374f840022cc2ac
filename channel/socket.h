/* The channel core: what a socket does with its messages, whatever carried them.
 *
 * A plx_socket exists as long as a WebSocket connection, or, with long-polling,
 * while a worker holds the session's lease and works its inbox (built from the
 * session's record, thrown away after the commit). It knows memberships, routes,
 * rules and backends; it does not know frames, HTTP, or how events are delivered.
 *
 *   transport --plx_socket_handle--> core --> backend --plx_call_ok--> core --emit--> transport
 *                                      |--broadcast--> store/topic
 *   store/feed --event--> transport (broadcasts go from the log to the client without the core)
 *
 * Per topic messages are handled one after the other; what a call emits goes out
 * in the order of the calls, each after the broadcasts it caused have a place in
 * the log. Behaviour follows Phoenix 1.8.12 (see the recordings under
 * tests/vectors, and "Where Pollux differs from Phoenix" in the README).
 *
 * Files: socket (life, lookup, routing of a message), socket_join (how a membership
 * begins), farewell (how it ends), lane (the order of a topic's calls and outputs),
 * socket_call (answers), socket_verbs, assigns, timers (what a backend may ask),
 * intercept (handle_out), rules, membership_pack.
 */
#ifndef PLX_CHANNEL_SOCKET_H
#define PLX_CHANNEL_SOCKET_H

#include "base/list.h"
#include "channel/backends.h"
#include "channel/diffs.h"
#include "channel/message.h"
#include "channel/spent.h"
#include "store/feed.h"
#include "store/session.h"
#include "store/store.h"

/* Messages kept for a topic whose join or call is pending; the next one is refused. Not with
 * long-polling: a POST was bounded when it was received, and all of its messages are handled. */
#define PLX_JOIN_WAITING 64
/* Bytes of waiting messages per socket, and of broadcasts that have no place in the log yet: past
 * the first a message is refused like the 65th, past the second messages wait. One message alone
 * may be larger. */
#define PLX_WAITING_BYTES  1048576
#define PLX_INFLIGHT_BYTES 1048576

typedef struct plx_socket plx_socket;
typedef struct plx_membership plx_membership;

enum plx_membership_state {
    PLX_JOINING, /* the backend has not answered, or the position is being read */
    PLX_OPENING, /* accepted; the transport prepares deliveries */
    PLX_JOINED,
    PLX_ENDED /* nothing more is handled; freed when the last call is answered */
};

/* A membership. The first part is the core's and read-only for transports, the last is theirs. */
struct plx_membership {
    plx_list node; /* in socket->memberships */
    plx_socket *socket;
    const plx_channel_entry *entry;
    enum plx_membership_state state;
    plx_slice topic;      /* owned */
    plx_term join_ref;    /* as sent: the join's reply and phx_close carry it; owned */
    plx_term ref;         /* of the join; stands in for a null join_ref later; owned */
    plx_slice assigns;    /* JSON object; owned */
    bool assigns_changed; /* or anything else of its record since plx_socket_restore / the join */
    uint64_t bucket;      /* of the rule `rate`: see channel/rate.h */
    plx_position start;   /* deliveries begin after it; final when nothing is pending */
    /* Presence diffs up to this offset (of start's epoch) are not for it: the state that it joined
     * with holds them. It is where the topic stood at the join. */
    uint64_t diffs_after;
    plx_membership *replaces; /* while opening: the old membership of the same topic, or NULL */
    struct plx_membership_core *core; /* call queue and such; NULL while nothing goes on */
    uint64_t caused; /* last offset of this socket's own broadcasts on this topic; 0: none known */
    struct plx_tracks *tracks; /* its presence; NULL: it never tracked anything */
    struct plx_timers *timers; /* NULL: it has none; see timers.h */
    plx_diffs diffs;           /* which diffs are for it; WebSocket: kept by the transport */
    unsigned refs;
    uint32_t joined_as; /* the number of its join in its inbox entry */
    bool restored;      /* plx_socket_restore made it */
    bool noted;         /* plx_owner_note */
    bool accepted;      /* by the backend: terminate is due at the end */
    bool opened;        /* ops->open was called: ops->closed is due */
    bool shown;         /* the message that opens it was emitted */
    bool over;          /* its last message was emitted */
    bool held;          /* plx_membership_hold */
    bool gone;          /* ops->closed was called, or never will be */
    bool replaced;      /* its deliveries have gone over to a newer membership */
    bool goes_back;     /* it begins at start, whatever the one that it replaces was given */
    bool continues;     /* the one that it replaced delivers everything up to where it was found */

    plx_feed_watch watch; /* WebSocket: its deliveries */
    uint32_t slot;        /* long-poll: its slot number */
    void *transport;      /* free for the transport; NULL at first, which frees it in `closed` */
    plx_roster *roster;   /* WebSocket: of a topic on which it tracks something; the transport's */
    void *presence;       /* like `transport`: the state that it waits for */
};

/* join_ref that pushes and later replies carry: the one sent, or the join's ref when it was null.
 */
plx_term plx_membership_join_ref(const plx_membership *m);

typedef struct plx_socket_ops {
    const char *name; /* "websocket" | "longpoll" */
    bool leased;      /* what it tracks is held by this worker's lease, not by the session's own */
    bool lasting;     /* the socket lives as long as its client is there: its timers run here */
    /* The next message for this socket. The transport copies or encodes it at once. */
    void (*emit)(plx_socket *s, const plx_out *out);
    /* The join was accepted at m->start. The transport arranges deliveries from there on and calls
     * plx_membership_ready (now or later); only then the join's reply (out.opens) is emitted. When
     * m->replaces is set, deliveries continue from where that one stands (m->start is then set to
     * it), unless m->goes_back; and barriers that name that one mean m from then on. */
    void (*open)(plx_socket *s, plx_membership *m);
    /* m tracks something from its join on, and m->diffs says what it waits for (called again when
     * that became DUE without an event). May be NULL. */
    void (*tracks)(plx_socket *s, plx_membership *m);
    /* m is about to be freed: no pointer to it may be kept. (Its end was emitted before, or the
     * whole socket is being closed.) Called for every membership that was opened or restored, once.
     */
    void (*closed)(plx_socket *s, plx_membership *m);
    /* Nothing is pending any more (long-poll: time to commit). Never from inside plx_socket_handle
     * or plx_membership_lost: their caller looks at `pending` afterwards. May be NULL. */
    void (*idle)(plx_socket *s);
    /* plx_socket_busy is false again; the same limits. May be NULL. */
    void (*relieved)(plx_socket *s);
} plx_socket_ops;

struct plx_socket {
    const plx_socket_ops *ops;
    void *transport; /* the transport's */
    plx_store *store;
    const plx_channels *channels; /* of this socket section */
    plx_slice session;            /* unique text; events with this `from` are not for it; owned */
    plx_slice id;                 /* socket id, may be empty; owned */
    plx_slice params, claims;     /* JSON objects; owned */
    plx_list memberships;         /* plx_membership.node, oldest first */
    unsigned membership_count;    /* live ones */
    size_t max_channels;          /* the transport's own bound; 0: none */
    unsigned pending;             /* calls, positions and broadcasts without an answer */
    bool closing;                 /* freed by its transport; calls still refer to it */
    bool keeps_presence;          /* its end untracks nothing: the transport does */
    plx_membership *leaving;      /* whose terminate is being called, and the call on which */
    struct plx_call *farewell;    /* ... its broadcasts hang; NULL: it made none so far */
    /* Who waits for the partings at its end (channel/parting.h), or NULL. */
    struct plx_partings *partings;
    /* Long-poll: what makes broadcasts repeatable; set for each inbox entry, with next_index = 0.
     * entry 0: WebSocket, no producer. */
    uint64_t entry;
    uint64_t entry_ms; /* and when it came, by Redis' clock; the same when it is worked again */
    uint32_t
        next_index; /* of the next message of the entry (its broadcasts are numbered below it) */
    /* The core's own. */
    unsigned refs;
    plx_spent spent;            /* buckets of topics that were left */
    uint64_t message_ms;        /* when the message that is handled came: entry_ms, or plx_now_ms */
    uint16_t depth;             /* entered this often: memberships are freed at depth 0 */
    bool reap;                  /* a membership is over */
    bool was_busy, was_pending; /* when it was entered */
    uint32_t waiting_bytes, inflight_bytes;
    /* Redis could not be asked for a position or a broadcast (PLX_E_DOWN, PLX_E_TIMEOUT). A
     * long-poll transport then drops this socket and works the same inbox entry again later:
     * broadcasts that did take effect are known by their producer. */
    bool unavailable;
};

typedef struct plx_socket_init {
    const plx_socket_ops *ops;
    void *transport;
    plx_store *store;
    const plx_channels *channels;
    plx_slice session, id, params, claims; /* copied */
    size_t max_channels;                   /* the transport's own bound; 0: none */
} plx_socket_init;

/* The slices are copied, the rest is borrowed for as long as the socket lives. It is given back
 * with plx_socket_free or plx_socket_forget. Never NULL. */
plx_socket *plx_socket_new(const plx_socket_init *init);

/* Handles one message (heartbeat, join, leave, or a push). The message is copied where it has to
 * wait. Emits and opens may happen before it returns. */
void plx_socket_handle(plx_socket *s, const plx_message *m);

/* A message for handle_info of the live membership of `topic` (m: and only if it is this one still
 * when its turn comes; NULL: whichever it is). The slices are copied where it has to wait. Nothing
 * happens where there is none. PLX_E_BUSY: too much waits for this topic, the message was not
 * taken. From outside the core only; idle may be called. */
int plx_socket_inform(plx_socket *s, plx_slice topic, const plx_membership *m, plx_slice name,
                      plx_payload message);

/* Whether so much of what this socket broadcast waits for a place in the log that its transport
 * should stop reading from the client (until ops->relieved). Messages handed over nevertheless wait
 * like those behind a pending call. */
static inline bool plx_socket_busy(const plx_socket *s)
{
    return s->inflight_bytes > PLX_INFLIGHT_BYTES;
}

/* Long-poll: puts back a membership as the session's record has it (slot: number, topic, start and
 * diffs_after, state as plx_membership_pack wrote it), without asking the backend. Returns NULL
 * when it is damaged or its topic is no longer routed (the caller then ends that slot). */
plx_membership *plx_socket_restore(plx_socket *s, const plx_slot *slot);
/* Appends join refs and assigns in the form that plx_socket_restore reads. */
void plx_membership_pack(const plx_membership *m, plx_buf *out);

/* The transport is ready to deliver (see open). */
void plx_membership_ready(plx_membership *m);

/* A transport that must deliver up to a barrier before it may let out the message that ends m calls
 * hold from inside that emit: m then stays, with its watch, until release (or the socket's end).
 * Release may call ops->closed before it returns. */
void plx_membership_hold(plx_membership *m);
void plx_membership_release(plx_membership *m);

/* The log has a gap for this membership: terminate(CRASHED), then phx_error {"reason":"gap"} (the
 * client rejoins). While it is still opening: its join is refused with {"reason":"unavailable"}. */
void plx_membership_lost(plx_membership *m);

/* Its handle_out crashed: terminate(CRASHED), then phx_error {"reason":"channel_crash"}. */
void plx_membership_crash(plx_membership *m);

/* The server closes this channel: terminate(CLOSED), then phx_close, on which phoenix.js does not
 * join again (Phoenix: a channel that stops with reason :normal). It follows what the topic held at
 * `after` (NULL, or of another epoch: what the transport's own order says), and nothing follows it.
 * A push that the backend has not answered gets no reply. While the join is under way it is refused
 * with {"reason":"unsubscribed"}. */
void plx_membership_close(plx_membership *m, const plx_position *after);

/* Ends the socket: terminate(reason) for every membership, then frees it at once; answers to calls
 * that are still open are ignored when they come (the broadcasts of a WebSocket's open calls are
 * still carried out: the client sent them before it went away). Emits nothing. Not from inside a
 * callback of this socket's ops, but for idle and relieved. */
void plx_socket_free(plx_socket *s, enum plx_end_reason reason);

/* Terminates (PLX_END_CLOSED) the memberships that did not come from a record: their long-poll
 * session is gone, and nobody else knows of them. Emits and untracks nothing. */
void plx_socket_end_new(plx_socket *s);

/* Frees without terminating anything: a long-poll session's copy after its commit. The same limits.
 */
void plx_socket_forget(plx_socket *s);

/* The live membership of a topic, or NULL. */
plx_membership *plx_socket_find(plx_socket *s, plx_slice topic);

#endif
