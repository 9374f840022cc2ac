/* What the files of store/ share about a plx_store. Nothing outside includes this. */
#ifndef PLX_STORE_INTERNAL_H
#define PLX_STORE_INTERNAL_H

#include "store/conn.h"
#include "store/later.h"
#include "store/store.h"

struct plx_feeds;
struct plx_mail;
struct plx_calls;
struct plx_sweeper;
struct plx_due_look;
struct plx_subscriber;
struct plx_presence;
struct plx_owner;
struct plx_rules;
struct plx_tally;
struct plx_owner_sweeper;

#define PLX_WORKER_LEN 16

/* Characters of a new epoch: enough that none comes twice. */
#define PLX_EPOCH_LEN 10
/* So many are drawn at a time: every publication takes one along, and few topics are new. */
#define PLX_EPOCHS 32

struct plx_store {
    struct ev_loop *loop;
    const plx_config *config;
    plx_store_options options;
    plx_redis_url url;
    char worker[PLX_WORKER_LEN + 1];
    plx_laters laters;
    plx_conn *conn; /* commands */
    struct plx_subscriber *subscriber;
    struct plx_mail *mail;                   /* mailbox.c */
    struct plx_feeds *feeds;                 /* feeds.c */
    struct plx_calls *calls;                 /* control.c */
    struct plx_sweeper *sweeper;             /* sweep.c; NULL until plx_session_sweep_start */
    struct plx_due_look *due;                /* session_due.c; NULL until plx_session_due_start */
    struct plx_presence *presence;           /* presence.c */
    struct plx_owner *owner;                 /* owner.c; NULL until plx_owner_start */
    struct plx_owner_sweeper *owner_sweeper; /* owner_sweep.c; NULL until plx_owner_sweep_start */
    struct plx_rules *rules;                 /* rules.c; NULL: does not listen */
    struct plx_tally *tally;                 /* tally.c; the same */
    plx_store_watch *watches;
    uint64_t opened_ms;
    bool was_up; /* what the watches were told last */
    size_t epochs_left;
    char epochs[PLX_EPOCHS * PLX_EPOCH_LEN + 1]; /* the first ones are not taken yet */
    plx_store_counters counters;
};

/* What every key begins with. */
static inline const char *plx_store_prefix(const plx_store *s)
{
    return s->config->redis.prefix;
}

/* Seconds by which a topic's meta outlives its log. */
#define PLX_META_EXTRA_S 86400

/* One of the two connections came up or was lost. */
void plx_store_changed(plx_store *s);

/* Notes the answer's wrong shape (the key may have been tampered with), at a limited rate. Returns
 * PLX_E_STORE. */
int plx_store_odd(const char *what);

#endif
