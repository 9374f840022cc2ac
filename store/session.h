/* A long-poll session in Redis: record, inbox, private queue, lease. Any worker serves it.
 *
 * Keys (tag {s:SID}): the hash (record), `:in` (stream: POSTs to be worked, ids
 * <n>-0), `:q` (stream: what is for this socket alone, ids <n>-0). Every change is
 * one script; only `create` makes a record, every other script answers GONE when
 * there is none or its end is decided. All deadlines are by Redis' own clock.
 *
 * Life of a POST: plx_session_post appends it and, when the lease is free, hands
 * the caller the work (record and entries) with a fencing number. The holder works
 * the entries in order and commits each: queue entries, slot changes and the
 * stored outcome in one script; the commit gives the next entry, or gives the
 * lease back. A holder that dies loses the lease after PLX_LEASE_MS; whoever asks
 * next takes it and works the same entry again (broadcasts carry the entry as
 * producer, so they are not doubled). A commit with an old fence changes nothing.
 *
 * Life of a poll: plx_session_poll reads slots and queue after a cursor,
 * registers the caller as holder (worker name and generation), trims what is
 * acknowledged and extends the session's life. Who writes to the queue wakes the
 * holder through its worker's mailbox.
 */
#ifndef PLX_STORE_SESSION_H
#define PLX_STORE_SESSION_H

#include "store/store.h"
#include "store/event.h"

#define PLX_SID_LEN  22   /* characters: plx_random_id(…, 22) */
#define PLX_LEASE_MS 4000 /* a holder renews it at half time when its work takes longer */
/* With either of these unfetched, the next commit with messages ends the session, reason
 * "overflow"; what one entry adds always fits. */
#define PLX_Q_ENTRIES 1000
#define PLX_Q_BYTES   1048576
#define PLX_Q_MESSAGE (PLX_Q_BYTES - 65536) /* longest text of one: names come on top */

typedef struct plx_session_init {
    plx_slice sid;
    plx_slice mount;          /* path of the socket section */
    unsigned vsn;             /* 1 | 2 */
    plx_slice params, claims; /* JSON objects */
    plx_slice id;             /* socket id, empty: none. Listed in a set for plx_session_by_id */
    uint64_t life_ms;         /* without a poll or POST */
    uint64_t expires_in_ms;   /* its end whatever its client does; 0: never */
} plx_session_init;

/* Creates the session, which lives life_ms without a poll or POST, and expires_in_ms at most: from
 * then on every script answers GONE, and it is swept with reason "token expired". cb, never before
 * the return: 0, PLX_E_BUSY when there is one of this sid, or the store's errors (it may exist all
 * the same). */
void plx_session_create(plx_store *s, const plx_session_init *init, void (*cb)(void *arg, int err),
                        void *arg);

/* A joined topic. Numbers are never reused within a session. */
typedef struct plx_slot {
    uint32_t number;
    plx_slice topic;
    plx_position start;   /* deliveries begin after it */
    uint64_t diffs_after; /* presence diffs up to there are not for it */
    bool goes_back;       /* it begins at start whatever the socket was given before */
    plx_slice presence;   /* opaque to the store: what a poll has to know of its presence */
    plx_slice state;      /* opaque to the store: join refs, assigns */
} plx_slot;

enum plx_q_kind {
    PLX_Q_PLAIN = 'p',
    PLX_Q_OPEN = 'o', /* this message opens slot.number: nothing of it before */
    PLX_Q_END = 'e' /* this message ends slot.number: everything up to `end` first, nothing after */
};

typedef struct plx_barrier {
    uint32_t slot;
    uint64_t offset; /* not before this topic was delivered up to here */
} plx_barrier;

typedef struct plx_q_entry {
    uint64_t id; /* when writing: assigned by the script */
    enum plx_q_kind kind;
    plx_slot slot; /* OPEN and END: number, topic, start; state only of an END whose last events
                    * are still to be judged (empty: none is needed) */
    uint64_t end;  /* END */
    const plx_barrier *barriers;
    size_t barrier_count;
    plx_slice text; /* the encoded message */
} plx_q_entry;

enum plx_entry_kind {
    PLX_ENTRY_POST = 'p',  /* a client's POST: lines */
    PLX_ENTRY_LOST = 'l',  /* body = slot number in decimal: its log has a gap */
    PLX_ENTRY_CRASH = 'x', /* body = slot number in decimal: its handle_out crashed */
    PLX_ENTRY_INFO = 'i',  /* body: a message to handle_info; see channel/info.h */
    PLX_ENTRY_CLOSE = 'c'  /* body = topic: its channel is to be closed; see PLX_CLOSED_ONE */
};

/* Outcomes of a PLX_ENTRY_CLOSE. */
#define PLX_CLOSED_ONE  200
#define PLX_CLOSED_NONE 404

typedef struct plx_entry {
    uint64_t id;
    enum plx_entry_kind kind;
    unsigned status; /* the body status that the POST gets when all is handled: 200 or 400 */
    plx_slice body;
    uint64_t came_ms; /* when it was appended, by Redis' clock; 0: an older version wrote it */
} plx_entry;

/* What a poll or a look at the queue gives. */
typedef struct plx_session_view {
    const plx_slot *slots; /* the open ones (state empty here) */
    size_t slot_count;
    const plx_q_entry *q; /* all after the cursor, in order: a slot whose end is among them
                           * is not listed above any more */
    size_t q_count;
    plx_slice old_worker; /* previous holder of the poll (poll only), empty: none */
    uint64_t old_generation;
    uint64_t expires_in_ms; /* poll only: until the session expires for good; 0: never */
} plx_session_view;

typedef void plx_view_cb(void *arg, int err, const plx_session_view *view);

/* Opens a poll (see above). generation: the caller's number for it, increasing in this worker.
 * window_ms + life_ms from now the session would expire. err: also PLX_E_GONE. */
void plx_session_poll(plx_store *s, plx_slice sid, uint64_t q_cursor, uint64_t generation,
                      uint64_t window_ms, uint64_t life_ms, plx_view_cb *cb, void *arg);
/* Looks at the queue again for a poll that is parked here; PLX_E_BUSY when another poll took over.
 */
void plx_session_look(plx_store *s, plx_slice sid, uint64_t q_cursor, uint64_t generation,
                      plx_view_cb *cb, void *arg);

/* What a session's channels know, for whoever answers its poll: no lease is taken. states: of the
 * slots that were asked about, in their order; empty: there is none such any more. */
typedef struct plx_session_recalled {
    plx_slice params, claims, id;
    const plx_slice *states;
} plx_session_recalled;
typedef void plx_recall_cb(void *arg, int err, const plx_session_recalled *recalled);

/* At most PLX_RECALL_MAX slots (more are not asked about: their states are empty). err: also
 * PLX_E_GONE. */
#define PLX_RECALL_MAX 1000
void plx_session_recall(plx_store *s, plx_slice sid, const uint32_t *slots, size_t count,
                        plx_recall_cb *cb, void *arg);

/* A timer of a slot. When it is due it becomes an entry of the inbox, PLX_ENTRY_INFO, whose body is
 * "t" SLOT ":" followed by message. Of one slot and name there is one. */
typedef struct plx_slot_timer {
    uint32_t slot;
    plx_slice name;
    uint64_t ms;       /* when writing: from the commit; 0: at once */
    plx_slice message; /* when writing; empty: cancelled. Opaque to the store */
} plx_slot_timer;

/* The lease's holder's view. */
typedef struct plx_work {
    plx_slice sid;
    uint64_t fence;
    plx_slice mount, params, claims, id;
    unsigned vsn;
    uint32_t next_slot; /* first unused slot number */
    plx_slice note;     /* of the last commit that had one; may be empty */
    const plx_slot *slots;
    size_t slot_count;
    const plx_slot_timer *timers; /* those that wait: slot and name */
    size_t timer_count;
    plx_entry entry; /* the one to work now */
    bool again;      /* it was handed out before: whoever had it may have died over it */
} plx_work;

enum plx_post_result {
    PLX_POST_WORK, /* the caller holds the lease: work->entry first (not always its own POST) */
    PLX_POST_WAIT, /* another worker works it: a mailbox note "done" comes, or take the lease later
                    */
    PLX_POST_DONE  /* a repetition of a finished POST: *status is its stored outcome */
};
typedef void plx_post_cb(void *arg, int err, enum plx_post_result result, uint64_t entry,
                         unsigned status, const plx_work *work);

/* Appends a POST. digest: of body and kind when all its messages carry refs, else empty (then it is
 * never taken for a repetition). A repetition of a POST that still waits gives that entry's number;
 * one of the last 16 finished ones, or of those of the last minute (at most 256), the stored
 * outcome. status: see plx_entry. err: also PLX_E_GONE, PLX_E_BUSY (more than 1,000 entries or 4 MB
 * wait).
 */
void plx_session_post(plx_store *s, plx_slice sid, enum plx_entry_kind kind, plx_slice digest,
                      unsigned status, plx_slice body, uint64_t life_ms, plx_post_cb *cb,
                      void *arg);

/* Appends an entry for others to work: the lease is not taken and the session's life not extended.
 * digest as above. `waits` with its number; a "done" note comes. Or it was done before. poller: the
 * worker that holds the session's poll, or last did; empty when none ever has. err: as above. */
typedef void plx_append_cb(void *arg, int err, bool waits, uint64_t entry, plx_slice poller);
void plx_session_append(plx_store *s, plx_slice sid, enum plx_entry_kind kind, plx_slice digest,
                        plx_slice body, plx_append_cb *cb, void *arg);

/* For somebody who waits for `entry` (its worker may have died): DONE with the outcome, WORK when
 * the lease was free, else WAIT. entry 0: take the lease whatever is in the inbox (WAIT when it is
 * empty). */
void plx_session_take(plx_store *s, plx_slice sid, uint64_t entry, plx_post_cb *cb, void *arg);

typedef struct plx_commit {
    plx_slice sid;
    uint64_t fence;
    uint64_t entry;
    unsigned status;      /* the entry's outcome; 0: the one that it came with */
    const plx_q_entry *q; /* messages for this socket, in order */
    size_t q_count;
    const plx_slot *set; /* slots to write: new ones, or with changed state */
    size_t set_count;
    const uint32_t *drop; /* slot numbers to remove, with their timers */
    size_t drop_count;
    const plx_slot_timer *timers; /* to set or cancel; of slots that stay */
    size_t timer_count;
    const plx_slice *note; /* opaque to the store, kept for the next worker; NULL: as it is */
} plx_commit;

/* Ends the work on an entry. Wakes the poll's holder and the worker whose POST waited. On success
 * `next` is the next entry with the lease kept, or NULL when the lease was given back. err: also
 * PLX_E_GONE, PLX_E_BUSY (the fence is old: somebody else works it; nothing was changed). */
void plx_session_commit(plx_store *s, const plx_commit *c,
                        void (*cb)(void *arg, int err, const plx_work *next), void *arg);

/* Keeps the lease for another PLX_LEASE_MS. */
void plx_session_renew(plx_store *s, plx_slice sid, uint64_t fence, void (*cb)(void *arg, int err),
                       void *arg);

/* Decides the session's end: from now every script answers GONE, a parked poll is woken with
 * "gone", and its clean-up becomes due at once. 0, or PLX_E_GONE when there was nothing to end. */
void plx_session_end(plx_store *s, plx_slice sid, const char *reason,
                     void (*cb)(void *arg, int err), void *arg);

/* The sessions with this socket id: cb for all at once; stale ones may be among them. */
void plx_session_by_id(plx_store *s, plx_slice id,
                       void (*cb)(void *arg, int err, const plx_slice *sids, size_t count),
                       void *arg);

/* Clean-up of ended and expired sessions. Every worker looks at the list of due sessions once a
 * second (only after Redis answered for a whole lease period without a break); exactly one wins
 * each and is called with its slots, runs what has to be run (terminate of backends: at least once:
 * if this worker dies before plx_session_drop, another one wins it again), and drops it. reason:
 * "expired", "token expired", or what plx_session_end was given. */
typedef struct plx_session_sweep {
    void (*ended)(struct plx_session_sweep *sweep, const plx_work *work, const char *reason);
} plx_session_sweep;
void plx_session_sweep_start(plx_store *s, plx_session_sweep *sweep);
/* For a process that ends before it would sweep (CGI), once, soon after the start: looks at a few
 * due sessions, provided that processes like this one found Redis answering for a whole lease
 * period. done(arg), never before the return, when there is nothing more to ask; those that were
 * won have been given to `ended` then. */
void plx_session_sweep_once(plx_store *s, void (*done)(void *arg), void *arg);
void plx_session_drop(plx_store *s, plx_slice sid, uint64_t fence, void (*cb)(void *arg, int err),
                      void *arg);

/* Sessions with something due: a timer, or an entry that no client waits for. Every worker looks
 * when it knows of one, and once a second; exactly one gets the lease and is called with the work,
 * to be done like that of plx_session_take. drain: no more looks; what this worker has claimed
 * already comes yet, while it is busy. stop: none is begun any more, whatever was claimed (others
 * get that when the claim is over, after some seconds). */
typedef struct plx_session_due {
    void (*work)(struct plx_session_due *due, const plx_work *work);
} plx_session_due;
void plx_session_due_start(plx_store *s, plx_session_due *due);
void plx_session_due_drain(plx_store *s);
bool plx_session_due_busy(const plx_store *s);
void plx_session_due_stop(plx_store *s);
/* No client waits any more for what is in this session's inbox, which the holder of its lease
 * works. Should that one die, a look at what is due goes on with it. */
void plx_session_unattended(plx_store *s, plx_slice sid);

/* What comes through this worker's mailbox. A lost note costs only latency. */
typedef struct plx_mailbox {
    /* The queue of a session whose poll is parked here has something. */
    void (*wake)(struct plx_mailbox *m, plx_slice sid, uint64_t generation);
    /* A newer poll took over, here or elsewhere. */
    void (*superseded)(struct plx_mailbox *m, plx_slice sid, uint64_t generation);
    /* The session's end was decided. */
    void (*gone)(struct plx_mailbox *m, plx_slice sid, uint64_t generation);
    /* An entry that a POST of this worker waits for is finished. */
    void (*done)(struct plx_mailbox *m, plx_slice sid, uint64_t entry, unsigned status);
} plx_mailbox;
void plx_mailbox_set(plx_store *s, plx_mailbox *m);
/* Tells another worker that its parked poll was superseded (plx_session_poll's old holder). */
void plx_mailbox_supersede(plx_store *s, plx_slice worker, plx_slice sid, uint64_t generation);

#endif
