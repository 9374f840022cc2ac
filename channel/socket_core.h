/* What the files of the core share; nothing for transports or backends.
 *
 * A *lane* (plx_membership_core) is the order of one topic on one socket. It holds
 * the calls whose outputs are not all out yet, oldest first, and the messages that
 * wait. At most one call is open (not answered); while one is, messages wait. An
 * answered call may stay in the lane because its broadcasts have no place in the
 * log yet; later calls are made nevertheless and queue their outputs behind it.
 * The lane belongs to the topic's newest membership: a rejoin takes it over from
 * the one that it replaces, so that what the old one still has to say comes first.
 * It exists only while there is something in it.
 *
 * Lifetimes: a call is kept by its lane, by the backend until it answers, and by
 * each broadcast or position that is under way; it keeps its membership, which
 * keeps its socket. So nothing that comes late finds freed memory; it finds
 * `closing` or PLX_ENDED and is ignored.
 *
 * Every entry from outside (a message, an answer, a callback of the store or the
 * transport) is bracketed by plx_socket_enter and plx_socket_exit. What is over is
 * freed, and idle and relieved are called, when the outermost one leaves.
 */
#ifndef PLX_CHANNEL_SOCKET_CORE_H
#define PLX_CHANNEL_SOCKET_CORE_H

#include "base/alloc.h"
#include "channel/parting.h"
#include "channel/recovery.h"
#include "channel/socket.h"
#include "channel/record.h"
#include "channel/timers.h"
#include "channel/track.h"
#include "store/topic.h"

#define PLX_ASSIGNS_MAX 16384

enum plx_call_kind {
    PLX_CALL_JOIN,
    PLX_CALL_PUSH,
    PLX_CALL_INFO, /* like a push, but nobody waits for a reply */
    PLX_CALL_OWN   /* no backend is asked: a leave, a refusal, an end */
};

typedef struct plx_membership_core {
    plx_membership *owner;
    plx_list calls;   /* plx_call.node */
    plx_list waiting; /* plx_waiting.node */
    unsigned waiting_count;
    plx_call *open; /* the last one in calls, while it is not answered (a join: not decided) */
    bool running;   /* somebody up the stack sees to it that it goes on */
    bool dead;      /* whoever runs it frees it */
} plx_lane;

/* Something that a call says to the client. */
typedef struct plx_note {
    enum plx_out_kind kind;
    bool failed;        /* REPLY: status "error" */
    bool opens, ends;   /* see plx_out */
    plx_membership *of; /* whom it belongs to, or NULL */
    plx_slice event;    /* PUSH */
    plx_payload payload;
} plx_note;

/* One that can't go out yet, with its strings behind it. */
typedef struct plx_kept {
    plx_list node;
    unsigned after; /* not before this many of the call's broadcasts are settled */
    plx_note note;
    char bytes[];
} plx_kept;

typedef struct plx_broadcast {
    struct plx_broadcast *next;
    plx_call *call;
    plx_membership *target; /* this socket's membership of that topic (a reference), or NULL */
    uint64_t offset;        /* 0: failed, or nothing that this socket will see */
    uint32_t bytes;
    bool settled;
} plx_broadcast;

struct plx_call {
    plx_list node;     /* in lane->calls; in none once it is done or dropped */
    plx_membership *m; /* a reference */
    plx_lane *lane;    /* NULL once it is done or dropped */
    enum plx_call_kind kind;
    unsigned refs;
    uint32_t number;        /* of the message in its entry */
    plx_term join_ref, ref; /* of its reply */
    plx_payload own;        /* the message's payload, during the backend's callback only */
    plx_list kept;          /* plx_kept.node */
    plx_broadcast *broadcasts, *last_broadcast, *unsettled; /* the first that is not settled */
    unsigned issued, settled; /* broadcasts; settled: so many from the first on, without a break */
    bool answered;            /* by the backend */
    bool decided;             /* a join: its reply may go out */
    bool complete;            /* nothing will be added to its notes */
    bool unavailable;         /* a broadcast failed */
    bool wants_error;         /* noreply to a message with a ref: say so when a broadcast failed */
    char *id;                 /* plx_call_message_id */
    plx_since since;          /* a join's; */
    bool recovered;           /* ... and it is gone on from there */
    char bytes[];
};

typedef struct plx_waiting {
    plx_list node;
    plx_message message;
    uint64_t came_ms;
    uint32_t number;
    uint32_t bytes;
    char text[];
} plx_waiting;

static const plx_payload plx_empty_object = {PLX_PAYLOAD_JSON, PLX_LIT("{}")};

/* socket.c */
void plx_socket_enter(plx_socket *s);
void plx_socket_exit(plx_socket *s);
/* The same, but idle and relieved are not called: the caller looks itself. */
void plx_socket_exit_quietly(plx_socket *s);
void plx_socket_unref(plx_socket *s);
/* Handles a message whose turn has come. */
void plx_socket_route(plx_socket *s, const plx_message *m, uint32_t number);
/* Says something that belongs to no membership, after what the topic's lane still has to say. */
void plx_socket_answer(plx_socket *s, const plx_message *m, plx_term join_ref, bool failed,
                       plx_payload response);
/* Memory for a membership of `topic` in one piece; in no list yet; one reference. */
plx_membership *plx_membership_new(plx_socket *s, const plx_channel_entry *entry, plx_slice topic,
                                   plx_term join_ref, plx_term ref);
void plx_membership_unref(plx_membership *m);

/* farewell.c */
/* Ends it: terminate when it was accepted, no more handling. Emits nothing. */
void plx_membership_end(plx_membership *m, enum plx_end_reason reason);
/* Calls the backend's terminate. */
void plx_membership_terminate(plx_membership *m, enum plx_end_reason reason);
/* The call on which a verb hangs: the given one, or in terminate one of its own. NULL: the backend
 * gave none where it has to. */
plx_call *plx_call_of(plx_channel *ch, plx_call *given);

/* socket_join.c */
void plx_socket_join(plx_socket *s, const plx_message *m, uint32_t number);
void plx_socket_part(plx_membership *m, const plx_message *message, uint32_t number);
/* Any other event: rules, then the backend. */
void plx_socket_push(plx_membership *m, const plx_message *message, uint32_t number);
/* A message for handle_info. */
void plx_socket_tell(plx_membership *m, const plx_message *message, uint32_t number);
/* The backend's answer to a join. */
void plx_join_accept(plx_call *call, plx_payload response);
void plx_join_refuse(plx_call *call, plx_payload response);

/* lane.c */
/* The lane in which a topic's outputs are ordered now, or NULL. */
plx_lane *plx_lane_find(plx_socket *s, plx_slice topic);
/* The membership's lane, made when it has none. */
plx_lane *plx_lane_of(plx_membership *m);
/* Gives m the lane of its topic, if there is one. */
void plx_lane_take_over(plx_membership *m);
/* Whether a message of this topic must wait now. */
bool plx_lane_busy(const plx_socket *s, const plx_lane *lane);
/* Keeps a copy until its turn; PLX_E_BUSY when too much waits. */
int plx_lane_wait(plx_socket *s, plx_lane *lane, const plx_message *m, uint32_t number);
/* Lets out what can go out, handles what waited, frees the lane when nothing is left in it. */
void plx_lane_run(plx_lane *lane);
/* Runs every lane of the socket: it is not busy any more. */
void plx_lane_run_all(plx_socket *s);
/* While held, a lane does not run and is not freed. letgo runs it (when it was not held before). */
bool plx_lane_hold(plx_lane *lane);
void plx_lane_letgo(plx_lane *lane, bool was_held);
/* Drops everything in m's lane and the lane: the socket is going away. */
void plx_lane_drop(plx_membership *m);
/* Takes a call out of its lane; what it had to say is forgotten, its answer will be ignored. */
void plx_lane_abandon(plx_call *call);

/* socket_call.c */
/* A call in m's lane with copies of the refs. The lane holds the only reference. */
plx_call *plx_call_new(plx_membership *m, enum plx_call_kind kind, plx_term join_ref, plx_term ref,
                       uint32_t number);
/* A call in no lane: what is said on it goes nowhere. The caller's reference. */
plx_call *plx_call_loose(plx_membership *m, uint32_t number);
plx_call *plx_call_ref(plx_call *call);
void plx_call_unref(plx_call *call);
/* Emits the note now if it is its turn, else keeps a copy. */
void plx_call_say(plx_call *call, const plx_note *note);
/* Keeps a copy in any case; first: before everything that was kept so far. */
void plx_call_keep(plx_call *call, const plx_note *note, bool first);
/* Forgets what was kept. */
void plx_call_forget(plx_call *call);
/* Emits what was kept and may go out. True when the call has nothing more to wait for. */
bool plx_call_flush(plx_call *call);
/* The call has said all; its lane goes on (when nobody up the stack sees to it). */
void plx_call_complete(plx_call *call);
/* phx_error for the call's membership; phx_close for that one or the one that it replaced. */
void plx_call_say_error(plx_call *call, plx_payload reason);
void plx_call_say_close(plx_call *call, plx_membership *of);
/* Emits a note that belongs to no lane. */
void plx_socket_emit(plx_socket *s, plx_out *out);

/* Calls the backend with the call's message. `own` is its payload. */
void plx_call_ask(plx_call *call, const plx_slice *event, plx_payload own);

/* Broadcasts of a call: their numbers as a producer's index are below the call's. Numbers of calls
 * end below PLX_FAREWELLS, those of calls in terminate below twice that. */
#define PLX_BROADCASTS 4096u
#define PLX_FAREWELLS  (UINT32_MAX / PLX_BROADCASTS / 2)

/* socket_verbs.c */
/* The barriers of a note: what this call and its membership broadcast. Returns the count; *out is
 * `room` (of PLX_BARRIERS) or allocated, then to be freed. */
#define PLX_BARRIERS 8
size_t plx_call_barriers(const plx_call *call, unsigned after, const plx_membership *whose,
                         plx_out_barrier *room, plx_out_barrier **out);
void plx_broadcasts_free(plx_call *call);
/* Something of the call that Redis has to take before what follows it goes out: a broadcast, or a
 * change of its presence. Keeps the call until it is done (position: NULL for a change). */
plx_broadcast *plx_broadcast_new(plx_call *call, size_t bytes);
void plx_broadcast_done(plx_broadcast *b, int err, const plx_position *position, bool repeated);
/* Whether the call may have one more thing under way, and whether `topic` can be its place. 0,
 * PLX_E_INVALID, PLX_E_TOOBIG. */
int plx_call_check_room(const plx_call *call, plx_slice topic);
/* Whether another worker has taken the long-poll session over and makes this call itself. */
bool plx_call_is_elsewhere(const plx_call *call);
/* Whether name and message are what handle_info can be told. 0, PLX_E_INVALID, PLX_E_TOOBIG. */
int plx_call_check_info(const plx_call *call, plx_slice name, plx_payload message);
/* The longest payload that may be said to a client. */
size_t plx_socket_payload_max(const plx_socket *s);
/* How long the log of a topic keeps what is published there: as any section wants that knows it
 * (the socket's own is one of those in the store's configuration). */
void plx_socket_retain(const plx_socket *s, plx_slice topic, plx_publication *p);
/* What plx_channel_broadcast_to would say of names and lengths, and of a binary message. */
int plx_socket_check_broadcast(const plx_socket *s, plx_slice topic, plx_slice event,
                               plx_payload payload);
/* 0, or PLX_E_INVALID when it is JSON for which nobody vouches and that is invalid. */
int plx_call_check_payload(const plx_call *call, plx_payload payload);

#endif
