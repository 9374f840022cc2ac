/* The order of a poll's answer: pure bookkeeping, no I/O.
 *
 * Two kinds of sources are merged: the session's queue (replies, pushes, ends: for
 * this socket alone, in order) and, for each joined topic, the events after the
 * cursor. The rules (promise 4):
 *   - the queue entry that opens a slot comes before any event of it;
 *   - an entry with barriers waits until those slots were delivered up to there;
 *   - the entry that ends a slot waits for everything up to `end`, nothing follows;
 *   - a slot goes on where the one before it of the same topic stands, which may be past its end
 *     when events were faster than the news of the end: nothing is delivered twice;
 *   - what is past `sure` waits: it may be from behind an end that the queue is being asked for;
 *   - a presence_state goes out as soon as it is there, before the diffs that follow it;
 *   - otherwise events of open slots follow the queue, each topic in log order, also while an entry
 *     waits for something.
 * What does not fit an answer stays for the next poll; what is taken moves the
 * cursor, so that the next token covers exactly what is in the answer.
 */
#ifndef PLX_TRANSPORT_LP_MERGE_H
#define PLX_TRANSPORT_LP_MERGE_H

#include "base/buf.h"
#include "base/list.h"
#include "channel/diffs.h"
#include "store/session.h"
#include "transport/lp_token.h"

#define PLX_LP_MESSAGES 500     /* messages in one answer */
#define PLX_LP_BYTES    1048576 /* and their bytes; one larger message still goes alone */

/* One joined topic as a poll sees it. */
typedef struct plx_lp_topic {
    plx_list node;
    uint32_t slot;
    uint32_t follows;   /* the slot that was this topic's before, when it is still here; 0: none */
    bool open;          /* its opening was delivered */
    bool ended;         /* its end was delivered */
    bool lost;          /* nothing more can come from its log */
    bool with_position; /* its broadcasts carry their positions */
    uint32_t life;      /* plx_lp_life of the topic's epoch */
    uint64_t start;     /* where the slot begins */
    uint64_t delivered; /* cursor: events up to here are covered */
    uint64_t seen;      /* `events` holds everything up to here that is for this socket */
    uint64_t last;      /* the end that waits in the queue; UINT64_MAX: none is known */
    uint64_t sure; /* up to here nothing can be past an end that is not known; UINT64_MAX: all */
    plx_event **events; /* owned references, in order; [head, count) are to be delivered */
    size_t head, count, capacity;
    size_t bytes;       /* of the payloads waiting */
    plx_diffs diffs;    /* what it has of its topic's presence */
    plx_event *state;   /* its presence_state, to be given next; owned reference */
    plx_slice join_ref; /* of pushes to it, as text inside a JSON string; empty: V1; borrowed */
} plx_lp_topic;

/* start: where the slot begins; delivered: the client's cursor, not before that. */
void plx_lp_topic_init(plx_lp_topic *t, uint32_t slot, uint64_t start, uint64_t delivered,
                       bool open);
void plx_lp_topic_fini(plx_lp_topic *t);
/* Adds the next event; takes a reference. */
void plx_lp_topic_add(plx_lp_topic *t, plx_event *e);

/* A copy of a queue entry. */
typedef struct plx_lp_entry {
    plx_list node;
    uint64_t id;
    enum plx_q_kind kind;
    uint32_t slot;
    uint64_t end;
    size_t barrier_count;
    plx_barrier *barriers; /* these point into the same allocation */
    plx_slice text;
} plx_lp_entry;

/* With copies of all that it has; owned, in no list. */
plx_lp_entry *plx_lp_entry_copy(const plx_q_entry *e);

typedef struct plx_lp_merge {
    plx_list topics;  /* plx_lp_topic.node */
    plx_list entries; /* plx_lp_entry.node, in order; delivered ones are freed */
    uint64_t q;       /* cursor in the queue */
    /* The text of an event of `t` for this socket as an element (a quoted JSON string); borrowed.
     * NULL: it can't reach this socket (skipped and counted). */
    plx_blob *(*encode)(void *arg, const plx_lp_topic *t, plx_event *e);
    void *arg;
    /* What a blocked run waits for: this slot has to be seen up to there. 0: nothing. */
    uint32_t blocked_slot;
    uint64_t blocked_offset;
} plx_lp_merge;

void plx_lp_merge_init(plx_lp_merge *m);
void plx_lp_merge_fini(plx_lp_merge *m); /* frees entries; topics are their owner's */

/* The topic of a slot, or NULL. */
plx_lp_topic *plx_lp_merge_topic(plx_lp_merge *m, uint32_t slot);

/* Moves what can be delivered now into out, as elements of a JSON array separated by commas.
 * Returns how many; 0 changes nothing but cursors over events that are not for this socket. */
size_t plx_lp_merge_run(plx_lp_merge *m, plx_buf *out);

/* The cursor after the last run: replaces the marks of *c. */
void plx_lp_merge_cursor(const plx_lp_merge *m, plx_lp_cursor *c);

#endif
