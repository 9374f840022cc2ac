/* The connection of one worker to Redis, shared by everything in store/.
 *
 * Two non-blocking hiredis contexts on one libev loop: one for commands (a FIFO:
 * answers come in the order of the commands, writes are gathered and go out once
 * per loop turn), one for sharded pub/sub. Both reconnect by themselves with a
 * back-off and jitter. hiredis 0.14 knows no timeouts: an answer outstanding for
 * longer than PLX_STORE_TIMEOUT_MS (also because Redis is SIGSTOPped) breaks the
 * connection, and every pending command fails.
 *
 * Rule for every call in store/ that takes a callback: the callback is called
 * exactly once, never before the call has returned, with err = 0 or PLX_E_DOWN
 * (not sent), PLX_E_TIMEOUT (sent; whether it took effect is unknown), PLX_E_STORE
 * (Redis answered with an error; logged) or an error that the call names. Slices
 * handed to callbacks are valid until they return. Arguments are copied.
 * plx_store_close calls what is outstanding with PLX_E_DOWN, and what is asked from
 * inside these callbacks, and so on a hundred times; then it is through.
 */
#ifndef PLX_STORE_STORE_H
#define PLX_STORE_STORE_H

#include "base/config.h"
#include "base/slice.h"
#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#define PLX_STORE_TIMEOUT_MS 5000

typedef struct plx_store plx_store;

typedef struct plx_store_options {
    /* How many recent events a followed topic remembers, for cursors that are a little behind. */
    size_t ring_events; /* e.g. 256 */
    size_t ring_bytes;  /* e.g. 262144 */
    /* How long a topic without watchers stays followed. */
    uint64_t linger_ms;
    /* Subscribe to this worker's mailbox and the control channel (not needed by the command line).
     */
    bool listen;
} plx_store_options;

/* Starts connecting and returns at once; Redis need not be there. Calls made before the first
 * attempt to connect has come to an end wait for it; later they fail at once while Redis is down.
 * Borrows config until closed. */
plx_store *plx_store_open(struct ev_loop *loop, const plx_config *config,
                          const plx_store_options *options);
/* Fails what is outstanding, disconnects, frees. Not from inside a callback of the store. */
void plx_store_close(plx_store *s);

/* What it was opened with. */
struct ev_loop *plx_store_loop(plx_store *s);
const plx_config *plx_store_config(const plx_store *s);
/* This worker's random name (16 characters), new at every start. */
const char *plx_store_worker(const plx_store *s);

/* For how long this worker has been there. */
uint64_t plx_store_age_ms(const plx_store *s);

/* Whether both connections work now (authenticated, answered). */
bool plx_store_up(const plx_store *s);
/* For how long both have worked without a break, in ms; 0 when down. Leases of others may be judged
 * only after a whole lease period of that (an outage of Redis ends nobody). */
uint64_t plx_store_up_for_ms(const plx_store *s);
/* The same, and for how long Redis hasn't refused to write: the living could give no sign of life.
 * Whoever ends others asks this, after something that would have been refused. */
uint64_t plx_store_writable_for_ms(const plx_store *s);

/* From inside a callback with PLX_E_STORE: the error that Redis answered with, shortened and in
 * printable ASCII; empty when its answer was odd instead. Valid until the callback returns. */
const char *plx_store_refusal(const plx_store *s);

/* Calls up/down on every change of plx_store_up. The node belongs to the caller until removed. */
typedef struct plx_store_watch {
    void (*up)(struct plx_store_watch *w);
    void (*down)(struct plx_store_watch *w);
    struct plx_store_watch *next;
} plx_store_watch;
void plx_store_watch_add(plx_store *s, plx_store_watch *w);
void plx_store_watch_remove(plx_store *s, plx_store_watch *w);

/* Counters for metrics, since the store was opened. */
typedef struct plx_store_counters {
    uint64_t reconnects;         /* times that plx_store_up became false */
    uint64_t events;             /* events given out by feeds, once per feed */
    uint64_t gaps;               /* publications that did not come by pub/sub: read from the log */
    uint64_t lost;               /* watches that were told `lost` */
    uint64_t sessions_swept;     /* ended or expired sessions that this worker won */
    uint64_t sessions_overflown; /* ended because their queue was full */
    uint64_t owners_swept;       /* dead WebSocket workers that this one won */
} plx_store_counters;
const plx_store_counters *plx_store_counters_get(const plx_store *s);

#endif
