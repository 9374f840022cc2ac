/* A poll and its topics, shared by lp_poll.c (life, scripts, time) and lp_poll_topics.c (what the
 * feeds and the queue bring). */
#ifndef PLX_TRANSPORT_LP_POLL_H
#define PLX_TRANSPORT_LP_POLL_H

#include "store/presence.h"
#include "transport/lp_internal.h"
#include "transport/lp_judge.h"
#include "transport/lp_merge.h"

enum poll_state { OPENING, PARKED, OUTDATED };

typedef struct lp_poll lp_poll;
typedef struct poll_topic poll_topic;

/* A topic of a poll; watched, unless everything that it still owes was delivered. */
struct poll_topic {
    plx_lp_topic merge;
    plx_feed_watch watch;
    lp_poll *poll;
    plx_roster *roster; /* NULL until its state is due */
    plx_roster_wait state;
    bool asked;     /* the roster answers */
    bool deaf;      /* ended before this poll, without a state: no diffs any more */
    bool owed;      /* counted in poll->unsettled: its state */
    bool settling;  /* counted in poll->unsettled */
    bool reporting; /* its gap is being told to the inbox */
    bool judged;    /* the channel's backend intercepts events */
    char awaited[PLX_PHX_REF_LEN + 1]; /* the entry whose diff the state replaces */
    char *join_ref;                    /* owned, or NULL */
    uint64_t sure_next;                /* merge.sure, when another look follows that under way */
    uint64_t diffs_after;              /* presence diffs up to there are not for this socket */
    char epoch[PLX_EPOCH_MAX + 1];
    size_t name_len;
    const plx_channel_entry *entry; /* its channel; NULL: configured no more */
    bool missed;      /* its state was not in the record: the queue was looked at for its end */
    bool crashed;     /* its handle_out: nothing of it any more */
    char *last_state; /* owned: of a membership whose end waits in the queue */
    size_t last_state_len;
    char name[];
};

struct lp_poll {
    plx_list node;  /* in lp->polls */
    plx_list dirty; /* in lp->dirty, or alone */
    plx_longpoll *lp;
    plx_http_request *http; /* NULL once answered or gone */
    const plx_socket_config *socket;
    const plx_channels *channels;  /* of this socket section */
    plx_lp_cursor cursor;          /* what the client has */
    uint64_t generation, until_ms; /* end of its window */
    char key[PLX_SID_LEN + 24];
    enum poll_state state;
    bool opened;      /* plx_session_poll succeeded */
    bool calling;     /* plx_session_poll or plx_session_look is under way */
    bool look_again;  /* a wake came meanwhile */
    bool failed;      /* the last one failed: tried again after a while */
    bool window_over; /* only the last look is waited for */
    bool full;        /* topics that have not caught up are not waited for any more */
    unsigned unsettled;
    unsigned reports;  /* store calls of poll_topic.reporting */
    unsigned ending;   /* topics whose end waits in the queue */
    uint32_t known_to; /* all slots up to this number have been looked at */
    size_t held;       /* events that the topics hold for the answer */
    size_t held_bytes; /* of their payloads */
    plx_lp_merge merge;
    plx_lp_judge judge;
    ev_timer window, settle, patience;
};

/* lp_poll.c */

/* Lets go of everything but the memory, and of that too when no store call is under way. */
void plx_lp_poll_release(lp_poll *p);
/* Something may be deliverable: looked at once at the end of the loop turn. */
void plx_lp_poll_dirty(lp_poll *p);

/* The session's record could not be read (err): answers 500 when it is gone, else tries again. */
void plx_lp_poll_unread(lp_poll *p, int err);
/* Looks at the queue once more. */
void plx_lp_poll_look(lp_poll *p);

/* lp_poll_presence.c */

/* Reads what the slot and the cursor say of its presence. */
void plx_lp_presence_init(poll_topic *t, plx_slice hint);
void plx_lp_presence_fini(poll_topic *t);
/* Its state is asked for, if it is due. */
void plx_lp_presence_ask(poll_topic *t);
/* Whether an event of kind 'p' is for this socket now. */
bool plx_lp_presence_take(poll_topic *t, plx_event *e);

/* lp_poll_topics.c */

/* Adds the queue entries and topics of a view that the poll does not know yet. */
void plx_lp_poll_take_view(lp_poll *p, const plx_session_view *v);
void plx_lp_poll_drop_topics(lp_poll *p);
/* Whoever waits for the diff with its own entry is given a state without. */
void plx_lp_poll_impatient(lp_poll *p);
/* A wake: events that are seen from now on wait for a look that begins after it. */
void plx_lp_poll_unsure(lp_poll *p);
/* A look is over. again: a wake came while it was under way, and another one follows. */
void plx_lp_poll_sure(lp_poll *p, bool again);
/* Tells the inbox that a slot is to be ended: only the lease's holder may do it. Once, however many
 * polls find it. */
void plx_lp_poll_report(poll_topic *t, enum plx_entry_kind why);
/* A barrier waits for an event that surely exists: makes the feed fetch it. */
void plx_lp_poll_chase(lp_poll *p);
/* What was held is not delivered: as much may be held again, and topics that were stopped for want
 * of room are watched on. */
void plx_lp_poll_refill(lp_poll *p);

#endif
