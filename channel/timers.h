/* The timers of a membership: what plx_channel_send_after has set and has not come yet.
 *
 * A lasting socket's (WebSocket) run on the worker's loop and cost nothing but their
 * own memory. With long-polling nothing lasts between two inbox entries: the list then
 * holds the names that wait in Redis, and what the entry changes; the transport writes
 * the changes down with its commit.
 */
#ifndef PLX_CHANNEL_TIMERS_H
#define PLX_CHANNEL_TIMERS_H

#include "base/list.h"
#include "channel/socket.h"
#include <ev.h>

enum plx_timer_change {
    PLX_TIMER_KEPT, /* as it came from Redis; only its name is known */
    PLX_TIMER_SET,
    PLX_TIMER_CANCELLED
};

typedef struct plx_timer {
    plx_list node;
    plx_membership *m;
    ev_timer ev;                  /* lasting sockets */
    enum plx_timer_change change; /* others */
    uint64_t ms;
    plx_slice name; /* lies behind this struct, like the message */
    plx_payload message;
    char bytes[];
} plx_timer;

typedef struct plx_timers {
    unsigned count; /* those that are not cancelled */
    plx_list list;  /* plx_timer.node */
} plx_timers;

/* Long-poll: a timer that waits in Redis. */
void plx_timers_restore(plx_membership *m, plx_slice name);
/* The membership is joined: those that its join set begin. */
void plx_timers_begin(plx_membership *m);
/* Stops and frees all; harmless when there are none. */
void plx_timers_free(plx_membership *m);

#endif
