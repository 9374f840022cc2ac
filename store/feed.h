/* Following a topic: one subscription per topic and worker, every message once, in order.
 *
 * A feed is the worker's view of one topic: sharded subscription, last offset
 * seen, a ring of recent events. Offsets are dense, so a lost publication is seen
 * as a gap (or by looking at the topic's meta after a reconnect and every few
 * minutes) and filled from the log before anything newer is given out. When it
 * can't be filled, or the epoch changed, or the offset went back, the watchers
 * are told `lost`: never silence.
 *
 * A watch is one listener at its own place in the log. A feed gives it every
 * event after `after`, whether that is in the ring, in the log, or yet to come;
 * it moves `after` forward itself, also over events that the watcher ignores.
 *
 * Callbacks are never called from inside plx_feed_watch_start. From inside its
 * callbacks a watcher may stop or start any watch, its own too.
 */
#ifndef PLX_STORE_FEED_H
#define PLX_STORE_FEED_H

#include "base/list.h"
#include "store/event.h"
#include "store/store.h"

typedef struct plx_feed plx_feed;
typedef struct plx_feed_watch plx_feed_watch;

typedef struct plx_feed_ops {
    /* The subscription is confirmed; called once, before the first event. */
    void (*ready)(plx_feed_watch *w);
    /* The next event; borrowed (plx_event_ref to keep). w->after is already its offset. */
    void (*event)(plx_feed_watch *w, plx_event *e);
    /* w has been given everything that the log held when the watch became ready, or (called again
     * after a reconnect's gap) everything known now. May be NULL. */
    void (*caught_up)(plx_feed_watch *w);
    /* The events after w->after can't be had any more (another epoch, trimmed log, offset went
     * back). The watch has been stopped. */
    void (*lost)(plx_feed_watch *w);
} plx_feed_ops;

struct plx_feed_watch {
    plx_list node;
    plx_feed *feed; /* NULL when not started */
    const plx_feed_ops *ops;
    uint64_t after;
    char epoch[PLX_EPOCH_MAX + 1]; /* of `after` */
    uint8_t state;                 /* the feed's own */
};

/* Starts watching `topic` after `position` (its epoch must be the topic's, or `lost` follows).
 * The position is believed: one past the end of the log is taken as proof that the log went back,
 * which ends its epoch for everybody. So it has to come from plx_topic_position, an event, or
 * something that we signed; what a client merely says is compared with plx_topic_position first.
 * The caller owns w, which must stay in place until `lost` or plx_feed_watch_stop; it sets w->ops
 * before. While Redis is down the watch simply waits. */
void plx_feed_watch_start(plx_store *s, plx_feed_watch *w, plx_slice topic,
                          const plx_position *position);
/* Harmless on a watch that is not started. */
void plx_feed_watch_stop(plx_feed_watch *w);

/* The last offset that the feed has seen (0: nothing known yet). */
uint64_t plx_feed_last(const plx_feed *f);
/* Asks the feed to make sure that it has seen `offset`, because the caller knows that it exists: if
 * the pub/sub message does not come within a moment, the log is read. */
void plx_feed_expect(plx_feed *f, uint64_t offset);

/* For metrics and tests: number of followed topics. */
size_t plx_feed_count(const plx_store *s);

#endif
