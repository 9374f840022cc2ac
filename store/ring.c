/* The ring of recent events: grows by doubling up to its bound, so that the many topics with few
 * messages cost little.
 */
#include "store/ring.h"
#include "base/alloc.h"

#include <stdlib.h>

#define SMALLEST 4

void plx_ring_init(plx_ring *r, size_t max_events, size_t max_bytes)
{
    *r = (plx_ring){.max_events = max_events, .max_bytes = max_bytes};
}

static size_t cost(const plx_event *e)
{
    return sizeof *e + e->topic.len + e->event.len + e->payload.len + e->from.len;
}

plx_event *plx_ring_at(const plx_ring *r, size_t i)
{
    return r->events[(r->head + i) & (r->cap - 1)];
}

plx_event *plx_ring_shift(plx_ring *r)
{
    if (r->count == 0)
        return NULL;
    plx_event *e = r->events[r->head];
    r->head = (r->head + 1) & (r->cap - 1);
    r->count--;
    r->bytes -= cost(e);
    return e;
}

void plx_ring_clear(plx_ring *r)
{
    while (r->count > 0)
        plx_event_unref(plx_ring_shift(r));
    free(r->events);
    plx_ring_init(r, r->max_events, r->max_bytes);
}

static void grow(plx_ring *r)
{
    size_t cap = r->cap > 0 ? r->cap * 2 : SMALLEST;
    plx_event **events = plx_alloc_zero(cap, sizeof *events);
    for (size_t i = 0; i < r->count; i++)
        events[i] = plx_ring_at(r, i);
    free(r->events);
    r->events = events;
    r->cap = cap;
    r->head = 0;
}

void plx_ring_push(plx_ring *r, plx_event *e)
{
    if (r->count == r->cap)
        grow(r);
    r->events[(r->head + r->count) & (r->cap - 1)] = plx_event_ref(e);
    r->count++;
    r->bytes += cost(e);
    while (r->count > r->max_events || (r->bytes > r->max_bytes && r->count > 0))
        plx_event_unref(plx_ring_shift(r));
}
