/* Work for the next turn of the event loop.
 *
 * A call must not call back before it has returned; what it already knows
 * (Redis is down, the note is for this worker) waits here for a moment. The
 * loop does not block while something waits, and other events are not starved.
 */
#ifndef PLX_STORE_LATER_H
#define PLX_STORE_LATER_H

#include "base/list.h"
#include <ev.h>

/* Embedded in whatever wants to be run; belongs to its owner. */
typedef struct plx_later {
    plx_list node;
    void (*run)(struct plx_later *item);
} plx_later;

typedef struct plx_laters {
    struct ev_loop *loop;
    ev_check check; /* runs the items after the loop has polled */
    ev_idle idle;   /* only keeps the loop from blocking */
    plx_list items;
} plx_laters;

/* The loop is borrowed and must outlive it. */
void plx_laters_init(plx_laters *l, struct ev_loop *loop);
/* Forgets what waits, without running it. */
void plx_laters_fini(plx_laters *l);

/* An item that does not wait; it belongs to the caller, who cancels it before freeing it. */
void plx_later_init(plx_later *item, void (*run)(plx_later *item));
/* Has item->run called once in the next turn. Harmless when it waits already. */
void plx_later_add(plx_laters *l, plx_later *item);
/* Harmless when it does not wait. */
void plx_later_cancel(plx_later *item);

#endif
