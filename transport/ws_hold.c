/* Lanes of waiting messages. m->transport points to the membership's lane while it has one. */
#include "transport/ws_hold.h"
#include "base/alloc.h"
#include "base/error.h"

#include <stdlib.h>

typedef struct item {
    plx_list node; /* in lane->items */
    plx_blob *frame;
    plx_membership *ends; /* that membership ends with it, or NULL */
    bool opens, event;
    size_t barrier_count;
    plx_out_barrier barriers[];
} item;

typedef struct lane {
    plx_list node;     /* in holds->lanes */
    plx_membership *m; /* NULL: messages that belong to no membership */
    plx_list items;
    /* A join reply waits here: events are kept behind it, but for those that its predecessor still
     * has to be given, up to this offset. */
    bool opening;
    uint64_t before;
    size_t events; /* kept ones: later events stay behind them */
} lane;

struct plx_ws_holds {
    const plx_ws_hold_ops *ops;
    void *arg;
    plx_list lanes;
    lane *nobodys; /* the lane with m == NULL, if there is one */
    size_t count, bytes, max_bytes;
};

plx_ws_holds *plx_ws_holds_new(const plx_ws_hold_ops *ops, void *arg, size_t max_bytes)
{
    plx_ws_holds *h = plx_alloc_zero(1, sizeof *h);
    h->ops = ops;
    h->arg = arg;
    h->max_bytes = max_bytes;
    plx_list_init(&h->lanes);
    return h;
}

size_t plx_ws_holds_count(const plx_ws_holds *h)
{
    return h ? h->count : 0;
}

/* ---- lanes ---- */

static lane *lane_of(const plx_ws_holds *h, const plx_membership *m)
{
    return m ? m->transport : h ? h->nobodys : NULL;
}

static lane *lane_make(plx_ws_holds *h, plx_membership *m)
{
    lane *l = lane_of(h, m);
    if (l)
        return l;
    l = plx_alloc_zero(1, sizeof *l);
    l->m = m;
    plx_list_init(&l->items);
    plx_list_push(&h->lanes, &l->node);
    if (m)
        m->transport = l;
    else
        h->nobodys = l;
    return l;
}

static void item_free(plx_ws_holds *h, item *i)
{
    plx_list_remove(&i->node);
    h->count--;
    h->bytes -= i->frame->len;
    plx_blob_unref(i->frame);
    free(i);
}

static void lane_free(plx_ws_holds *h, lane *l)
{
    while (!plx_list_empty(&l->items))
        item_free(h, PLX_CONTAINER(l->items.next, item, node));
    plx_list_remove(&l->node);
    if (l->m)
        l->m->transport = NULL;
    else
        h->nobodys = NULL;
    free(l);
}

void plx_ws_holds_free(plx_ws_holds *h)
{
    if (!h)
        return;
    while (!plx_list_empty(&h->lanes))
        lane_free(h, PLX_CONTAINER(h->lanes.next, lane, node));
    free(h);
}

/* ---- barriers ---- */

/* A watch that does not run will not get any further: nothing waits for it. */
static bool is_met(const plx_out_barrier *b)
{
    return !b->membership || !b->membership->watch.feed || b->membership->watch.after >= b->offset;
}

/* Its own topic's past can't hold back the reply that opens it, unless it takes the place of a
 * membership that still has to be given that past. */
static bool counts(const plx_out *out, const plx_out_barrier *b)
{
    return !(out->opens && b->membership == out->membership && !out->membership->replaces);
}

bool plx_ws_hold_needed(const plx_ws_holds *h, const plx_membership *m, const plx_out *out)
{
    if (m && m->transport)
        return true; /* behind the others of its lane */
    for (size_t i = 0; i < out->barrier_count; i++) {
        if (counts(out, &out->barriers[i]) && !is_met(&out->barriers[i]))
            return true;
    }
    /* What belongs to nobody waits for nobody, unless it has to. */
    return !m && out->barrier_count > 0 && h && h->nobodys;
}

/* ---- keeping ---- */

/* Adds an item before `next`, an item's node or the list itself. */
static item *keep(plx_ws_holds *h, plx_list *next, plx_blob *frame, size_t barriers)
{
    item *i = plx_alloc(sizeof *i + barriers * sizeof i->barriers[0]);
    i->frame = plx_blob_ref(frame);
    i->ends = NULL;
    i->opens = i->event = false;
    i->barrier_count = 0;
    plx_list_push(next, &i->node);
    h->count++;
    h->bytes += frame->len;
    return i;
}

static bool is_full(const plx_ws_holds *h, size_t more)
{
    return h->count >= PLX_WS_HOLD_MAX || (h->count > 0 && h->bytes + more > h->max_bytes);
}

int plx_ws_hold_add(plx_ws_holds *h, plx_membership *m, const plx_out *out, plx_blob *frame)
{
    if (is_full(h, frame->len))
        return PLX_E_BUSY;
    lane *l = lane_make(h, m);
    item *it = keep(h, &l->items, frame, out->barrier_count);
    it->opens = out->opens;
    it->ends = out->ends ? out->membership : NULL;
    if (out->opens) {
        l->opening = true;
        l->before = 0;
    }
    for (size_t i = 0; i < out->barrier_count; i++) {
        const plx_out_barrier *b = &out->barriers[i];
        if (!counts(out, b))
            continue;
        it->barriers[it->barrier_count++] = *b;
        if (out->opens && b->membership == out->membership)
            l->before = b->offset;
        if (!is_met(b))
            h->ops->expect(h->arg, b->membership, b->offset);
    }
    return 0;
}

static bool waits_for(const item *i, const plx_membership *m, uint64_t offset)
{
    for (size_t k = 0; k < i->barrier_count; k++) {
        if (i->barriers[k].membership == m && i->barriers[k].offset >= offset)
            return true;
    }
    return false;
}

int plx_ws_hold_event(plx_ws_holds *h, plx_membership *m, plx_blob *frame)
{
    lane *l = m->transport;
    if (!l || (!l->opening && l->events == 0) || m->watch.after <= l->before)
        return 0;
    if (is_full(h, frame->len))
        return PLX_E_BUSY;
    /* Before the first message that waits for this very event. */
    plx_list *next = l->items.next;
    while (next != &l->items && !waits_for(PLX_CONTAINER(next, item, node), m, m->watch.after))
        next = next->next;
    keep(h, next, frame, 0)->event = true;
    l->events++;
    return 1;
}

/* ---- letting out ---- */

static bool may_go(const lane *l, const item *i)
{
    if (i->ends && i->ends != l->m && i->ends->transport)
        return false; /* the replaced one has something to say yet */
    for (size_t k = 0; k < i->barrier_count; k++) {
        if (!is_met(&i->barriers[k]))
            return false;
    }
    return true;
}

/* Empties a lane as far as it goes. False when that ended a membership: the lanes may be others
 * now. */
static bool run_lane(plx_ws_holds *h, lane *l)
{
    while (!plx_list_empty(&l->items)) {
        item *i = PLX_CONTAINER(l->items.next, item, node);
        plx_membership *ends = i->ends;
        if (!may_go(l, i))
            return true;
        if (i->opens)
            l->opening = false;
        if (i->event)
            l->events--;
        h->ops->send(h->arg, i->frame);
        item_free(h, i);
        if (!ends)
            continue;
        /* Nothing of it goes out after. */
        if (ends == l->m || plx_list_empty(&l->items))
            lane_free(h, l);
        h->ops->ended(h->arg, ends);
        return false;
    }
    lane_free(h, l);
    return true;
}

void plx_ws_hold_release(plx_ws_holds *h)
{
    plx_list *next;
    for (plx_list *n = h->lanes.next; n != &h->lanes; n = next) {
        next = n->next;
        if (!run_lane(h, PLX_CONTAINER(n, lane, node)))
            next = h->lanes.next; /* each time one message less: this comes to an end */
    }
}

static void rename_in(lane *l, const plx_membership *old, plx_membership *now)
{
    for (plx_list *n = l->items.next; n != &l->items; n = n->next) {
        item *i = PLX_CONTAINER(n, item, node);
        for (size_t k = 0; k < i->barrier_count; k++) {
            if (i->barriers[k].membership == old)
                i->barriers[k].membership = now;
        }
    }
}

void plx_ws_hold_rename(plx_ws_holds *h, plx_membership *old, plx_membership *now)
{
    if (!now && old->transport)
        lane_free(h, old->transport);
    for (plx_list *n = h->lanes.next; n != &h->lanes; n = n->next)
        rename_in(PLX_CONTAINER(n, lane, node), old, now);
}
