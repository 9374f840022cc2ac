/* The feeds of one store: which topics are followed, and the commands that they need.
 *
 * Inside store/ only; others see feed.h. Three files: feeds.c keeps the registry
 * (following, lingering, timers, the queue of feeds that want a command), feed.c
 * one topic's watches and the order in which they get events, feed_sync.c how a
 * topic is brought up to date with the log.
 */
#ifndef PLX_STORE_FEEDS_H
#define PLX_STORE_FEEDS_H

#include "base/map.h"
#include "store/feed.h"
#include "store/internal.h"
#include "store/ring.h"
#include "store/subscriber.h"

#define PLX_FEED_CHUNK       128          /* entries of the log read at a time */
#define PLX_FEED_CHUNK_BYTES (256u << 10) /* bytes, unless one entry alone is larger */
#define PLX_FEED_READS       4            /* pieces of one log read at the same time */
#define PLX_FEED_BUCKETS     240          /* seconds between two looks at a silent topic */

enum plx_watch_state {
    PLX_WATCH_STOPPED,
    PLX_WATCH_WAITING, /* for the subscription, or for the next loop turn */
    PLX_WATCH_BEHIND,  /* gets a piece of the log read for it */
    PLX_WATCH_LIVE     /* gets what comes in */
};

struct plx_feed {
    struct plx_feeds *feeds;
    plx_slice topic; /* owned */
    plx_subscription *subscription;
    unsigned round;  /* counts confirmations and interruptions of the subscription */
    bool subscribed; /* confirmed */
    bool settled;    /* ... and then the position was read: nothing was missed unnoticed */
    bool known;      /* `at` means something */

    plx_position at;       /* epoch, and the last offset that was given out */
    uint64_t target;       /* the log is known to reach at least here */
    uint64_t filling_from; /* the first offset of the piece that was asked for to fill a hole */
    uint64_t logged_to;    /* up to here a late pub/sub message is nothing strange */
    plx_ring ring;         /* the last events, without holes, up to `at` */
    plx_ring held;         /* came by pub/sub, but something before them is missing */

    plx_list waiting, behind, live; /* plx_feed_watch.node */
    size_t watches;

    bool want_check, checking, filling;
    uint64_t asked_offset; /* what was known to exist when the position was asked for */
    unsigned asked_round;
    uint64_t expected;    /* a caller knows that this offset exists */
    uint64_t expected_ms; /* since when it is waited for */
    plx_list reads;       /* pieces under way for watches that are behind */
    unsigned read_count;
    unsigned in_flight; /* commands whose answers need this feed */
    bool unfollowed;    /* to be freed when nothing is in flight */

    plx_list work_node;   /* in feeds->work or feeds->retry */
    plx_list bucket_node; /* in a bucket */
    plx_list idle_node;   /* in feeds->idle: has no watches */
    plx_list expect_node; /* in feeds->expecting */
    uint64_t idle_ms;
    plx_later admit;
};

typedef struct plx_feeds {
    plx_store *store;
    plx_map *map; /* topic -> plx_feed */
    plx_list work, retry;
    unsigned in_flight;
    ev_timer retry_timer;
    plx_list idle;
    ev_timer idle_timer;
    plx_list expecting;
    ev_timer expect_timer;
    plx_list buckets[PLX_FEED_BUCKETS];
    unsigned bucket;
    ev_timer tick;
    plx_feed_watch *current; /* whose callback runs; cleared when it is stopped there */
    bool stopped;            /* the store is closing */
} plx_feeds;

/* feeds.c */
/* Owned by the store, which stops and frees it. */
plx_feeds *plx_feeds_open(plx_store *s);
/* Stops every watch without a callback and every timer. */
void plx_feeds_stop(plx_feeds *fs);
void plx_feeds_free(plx_feeds *fs);
/* Commands can be sent again: what wants one gets its turn. */
void plx_feeds_conn_up(plx_feeds *fs);
/* The feed wants a command (see plx_feed_issue). */
void plx_feeds_enqueue(plx_feed *f);
/* The same, in a second: something failed. */
void plx_feeds_enqueue_later(plx_feed *f);
/* A command for f was sent; its answer has come (f may be freed). */
void plx_feeds_command_sent(plx_feed *f);
void plx_feeds_command_done(plx_feed *f);
/* The topic's feed, begun if it was not followed; borrowed. */
plx_feed *plx_feeds_follow(plx_feeds *fs, plx_slice topic);
/* The last watch has gone, the first has come. */
void plx_feeds_idle(plx_feed *f);
void plx_feeds_busy(plx_feed *f);

/* feed.c */
extern const plx_subscription_ops plx_feed_subscription_ops;
/* A feed without subscription and watches; copies the topic. fini: it has no watches any more. */
void plx_feed_init(plx_feed *f, plx_feeds *fs, plx_slice topic);
void plx_feed_fini(plx_feed *f);
/* Gives out the next event: e is at.offset + 1. */
void plx_feed_accept(plx_feed *f, plx_event *e);
/* Gives out what was held as far as it follows without a hole; sets target if one remains. */
void plx_feed_take_held(plx_feed *f);
/* Moves waiting watches on, if the feed is settled. */
void plx_feed_admit(plx_feed *f);
/* The topic goes on at `position`; what came before is unknown or belongs to another epoch. Live
 * watches, and with another epoch those that are behind, are lost. */
void plx_feed_jump(plx_feed *f, const plx_position *position);
/* Gives events of the log to the watches that are behind. `first`: the offset that was asked for.
 */
void plx_feed_serve_behind(plx_feed *f, uint64_t first, plx_event *const *events, size_t count);
/* Tells live watches that they have everything. */
void plx_feed_tell_caught_up(plx_feed *f);

/* feed_sync.c */
/* Sends the one command that f needs most; false: it needs none now. */
bool plx_feed_issue(plx_feed *f);

#endif
