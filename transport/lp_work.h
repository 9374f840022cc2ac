/* The work on a session's inbox, shared by lp_work.c (the core over a session's record) and
 * lp_commit.c (what comes of it goes back to Redis). */
#ifndef PLX_TRANSPORT_LP_WORK_H
#define PLX_TRANSPORT_LP_WORK_H

#include "store/presence.h"
#include "transport/lp_internal.h"
#include "transport/lp_opening.h"

/* What a queue entry of this work still needs, beside the entry itself. */
typedef struct plx_lp_out {
    plx_q_entry q;           /* with its own memory */
    bool end_unknown;        /* END: the topic's offset is to be found before the commit */
    plx_lp_opening *opening; /* OPEN: what its text says, if that may change; owned */
} plx_lp_out;

typedef struct plx_lp_work {
    plx_list node; /* in lp->works */
    plx_longpoll *lp;
    plx_socket *socket; /* NULL between two entries */
    char sid[PLX_SID_LEN + 1];
    enum plx_vsn vsn;
    uint64_t fence, entry;
    unsigned entry_status;
    unsigned outcome; /* of the entry, when it is for the work to say; 0 */
    uint32_t first_new_slot, next_slot;
    bool feeding;       /* messages are still being handed to the core */
    bool settled;       /* all was answered: reading ends, then committing */
    bool committing;    /* the commit is under way; it renews the lease or gives it back */
    bool abandoned;     /* released, but for the calls that still point here */
    unsigned positions; /* reads under way before the commit */
    unsigned calls;     /* store calls that point here */
    plx_lp_out *outs;
    size_t out_count, out_capacity;
    uint32_t *drops;
    size_t drop_count, drop_capacity;
    struct plx_lp_again *again; /* NULL: the entry was never handed out before */
    ev_timer renew;
} plx_lp_work;

/* The session's id, borrowed from the work. */
static inline plx_slice plx_lp_work_sid(const plx_lp_work *w)
{
    return plx_slice_make(w->sid, PLX_SID_LEN);
}

/* lp_work.c */

/* Works an entry of the inbox; the lease is held. */
void plx_lp_work_entry(plx_lp_work *w, const plx_work *work);
/* The session's socket as its record says; NULL when its mount is configured no more. */
plx_socket *plx_lp_work_build(plx_lp_work *w, const plx_work *work);
/* Gives up the session without a word to its channels: their record is in Redis. Frees it when no
 * store call points to it any more; to be called again by the answer of each. */
void plx_lp_work_release(plx_lp_work *w);

/* lp_again.c */

/* The entry was handed out before: from now on it is known which topics it is about. */
void plx_lp_again_begin(plx_lp_work *w, const plx_entry *entry);
/* All is answered: asks what Redis has there. */
void plx_lp_again_read(plx_lp_work *w);
/* Takes back what is nobody's. */
void plx_lp_again_committed(plx_lp_work *w);
/* Forgets it; harmless when there is nothing. */
void plx_lp_again_end(plx_lp_work *w);

/* lp_end.c */

/* Takes back one entry of the session's on a topic, or (empty ref) all of them. */
void plx_lp_untrack(plx_longpoll *lp, plx_slice sid, plx_slice topic, plx_slice ref, bool vanished,
                    plx_presence_cb *cb, void *arg);

/* The session is gone, and whoever cleaned up after it did not know of this entry: what its
 * memberships track goes too, and the backends of those that it joined are told. */
void plx_lp_work_lost(plx_lp_work *w);

/* lp_feed.c */

/* Hands an entry to the session's socket. */
void plx_lp_work_feed(plx_lp_work *w, const plx_entry *entry);

/* lp_timers.c */

/* Timers for a commit; messages lie in `text`, names in the socket. */
typedef struct plx_lp_changes {
    plx_slot_timer *timers;
    size_t count, capacity;
    plx_buf text;
} plx_lp_changes;

/* Tells the memberships which of their timers wait. */
void plx_lp_timers_restore(plx_socket *s, const plx_work *work);
/* What has been set and cancelled by this entry. */
void plx_lp_timers_changes(const plx_socket *s, plx_lp_changes *c);
void plx_lp_changes_fini(plx_lp_changes *c);

/* lp_commit.c */

/* Called whenever something was answered: commits when nothing is pending any more. */
void plx_lp_work_settle(plx_lp_work *w);
/* A read of `positions` was answered. False: the work is given up (and perhaps freed). */
bool plx_lp_work_read(plx_lp_work *w, int err);
/* And made use of: commits after the last one. */
void plx_lp_work_read_done(plx_lp_work *w);

#endif
