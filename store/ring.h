/* A queue of events, bounded by number and bytes: when full the oldest goes. */
#ifndef PLX_STORE_RING_H
#define PLX_STORE_RING_H

#include "store/event.h"
#include <stddef.h>

typedef struct plx_ring {
    plx_event **events; /* circular, `cap` (a power of two) places; NULL while it never held any */
    size_t cap, head, count, bytes;
    size_t max_events, max_bytes;
} plx_ring;

/* Empty, without memory of its own until the first push. */
void plx_ring_init(plx_ring *r, size_t max_events, size_t max_bytes);
/* Drops everything; usable again. */
void plx_ring_clear(plx_ring *r);
/* Adds a reference to e at the end; then drops from the front until the bounds hold. */
void plx_ring_push(plx_ring *r, plx_event *e);
/* The i-th, 0 being the oldest; borrowed, i < count. */
plx_event *plx_ring_at(const plx_ring *r, size_t i);
/* Removes the oldest; its reference becomes the caller's. NULL when empty. */
plx_event *plx_ring_shift(plx_ring *r);

#endif
