/* Lanes of waiting messages, one for each topic that has any. */
#include "transport/ws_hold.h"
#include "base/alloc.h"
#include "base/error.h"

#include <stdlib.h>

typedef struct item {
    plx_list node; /* in lane->items */
    plx_blob *frame;
    plx_membership *m; /* whose it is; NULL: nobody's (any more) */
    bool opens, ends, event;
    uint64_t before; /* opens: events up to here still belong to the membership replaced */
    size_t barrier_count;
    plx_out_barrier barriers[];
} item;

typedef struct lane {
    plx_list node; /* in holds->lanes */
    plx_list items;
    unsigned openers, events; /* how many items are join replies, and events behind them */
    size_t topic_len;
    char topic[];
} lane;

struct plx_ws_holds {
    const plx_ws_hold_ops *ops;
    void *arg;
    plx_list lanes;
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

static lane *lane_find(const plx_ws_holds *h, plx_slice topic)
{
    for (const plx_list *n = h->lanes.next; n != &h->lanes; n = n->next) {
        lane *l = PLX_CONTAINER(n, lane, node);
        if (plx_slice_eq(plx_slice_make(l->topic, l->topic_len), topic))
            return l;
    }
    return NULL;
}

static lane *lane_make(plx_ws_holds *h, plx_slice topic)
{
    lane *l = lane_find(h, topic);
    if (l)
        return l;
    l = plx_alloc(sizeof *l + topic.len);
    *l = (lane){.topic_len = topic.len};
    if (topic.len > 0)
        memcpy(l->topic, topic.data, topic.len);
    plx_list_init(&l->items);
    plx_list_push(&h->lanes, &l->node);
    return l;
}

static void item_free(plx_ws_holds *h, lane *l, item *i)
{
    plx_list_remove(&i->node);
    l->openers -= i->opens;
    l->events -= i->event;
    h->count--;
    h->bytes -= i->frame->len;
    plx_blob_unref(i->frame);
    free(i);
}

static void lane_free(plx_ws_holds *h, lane *l)
{
    while (!plx_list_empty(&l->items))
        item_free(h, l, PLX_CONTAINER(l->items.next, item, node));
    plx_list_remove(&l->node);
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

/* Who is given the events that a barrier's membership waits for: when that one was replaced, the
 * one that was, or the newest of several. */
static plx_membership *carrier(plx_membership *m)
{
    plx_list *all = &m->socket->memberships;
    for (plx_list *n = all->prev; !m->watch.feed && n != all; n = n->prev) {
        plx_membership *other = PLX_CONTAINER(n, plx_membership, node);
        if (other->watch.feed && plx_slice_eq(other->topic, m->topic))
            return other;
    }
    return m;
}

/* The reply that opens a membership in the place of another one follows the broadcasts that this
 * socket still caused on that one. They are given to the new one; but if it goes back, still to the
 * old one, and by the new one once more behind its reply. Offset 0: no such barrier. */
static plx_out_barrier past_of(const plx_out *out)
{
    plx_membership *m = out->membership, *old = m && out->opens ? m->replaces : NULL;
    if (old && m->goes_back)
        m = old;
    return (plx_out_barrier){m, old ? m->caused : 0};
}

static bool takes_over(const plx_out *out)
{
    return past_of(out).membership == out->membership;
}

/* A topic that is no string is none that anybody joined: nothing of it waits. */
static bool has_lane(const plx_ws_holds *h, const plx_out *out)
{
    return h && h->count > 0 && out->topic.kind == PLX_TERM_STRING && lane_find(h, out->topic.text);
}

bool plx_ws_hold_needed(const plx_ws_holds *h, const plx_out *out)
{
    for (size_t i = 0; i < out->barrier_count; i++) {
        const plx_out_barrier b = {carrier(out->barriers[i].membership), out->barriers[i].offset};
        if (!is_met(&b))
            return true;
    }
    const plx_out_barrier past = past_of(out);
    if (past.offset > 0 && !is_met(&past))
        return true;
    return has_lane(h, out);
}

/* ---- keeping ---- */

/* Adds an item before `next`, an item's node or the list itself. */
static item *keep(plx_ws_holds *h, plx_list *next, plx_membership *m, plx_blob *frame,
                  size_t barriers)
{
    item *i = plx_alloc(sizeof *i + barriers * sizeof i->barriers[0]);
    *i = (item){.frame = plx_blob_ref(frame), .m = m};
    plx_list_push(next, &i->node);
    h->count++;
    h->bytes += frame->len;
    return i;
}

static bool is_full(const plx_ws_holds *h, size_t more)
{
    return h->count >= PLX_WS_HOLD_MAX || (h->count > 0 && h->bytes + more > h->max_bytes);
}

static void add_barrier(plx_ws_holds *h, item *i, plx_membership *m, uint64_t offset)
{
    const plx_out_barrier b = {m, offset};
    i->barriers[i->barrier_count++] = b;
    if (!is_met(&b))
        h->ops->expect(h->arg, m, offset);
}

int plx_ws_hold_add(plx_ws_holds *h, const plx_out *out, plx_blob *frame)
{
    if (is_full(h, frame->len))
        return PLX_E_BUSY;
    lane *l = lane_make(h, out->topic.text);
    item *it = keep(h, &l->items, out->membership, frame, out->barrier_count + 1);
    it->opens = out->opens;
    it->ends = out->ends;
    l->openers += out->opens;
    for (size_t i = 0; i < out->barrier_count; i++)
        add_barrier(h, it, carrier(out->barriers[i].membership), out->barriers[i].offset);
    const plx_out_barrier past = past_of(out);
    if (past.offset > 0)
        add_barrier(h, it, past.membership, past.offset);
    it->before = takes_over(out) ? past.offset : 0;
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

/* Where an event of m has its place among the messages that wait; NULL: before all of them. */
static plx_list *place_of(lane *l, const plx_membership *m, uint64_t offset, bool *over)
{
    bool behind = false;
    *over = false;
    for (plx_list *n = l->items.next; n != &l->items; n = n->next) {
        const item *i = PLX_CONTAINER(n, item, node);
        if (waits_for(i, m, offset))
            return behind ? n : NULL;
        if (i->m != m)
            continue;
        behind = behind || (i->opens && offset > i->before) || i->event;
        *over = *over || i->ends;
    }
    return behind ? &l->items : NULL;
}

int plx_ws_hold_event(plx_ws_holds *h, plx_membership *m, plx_blob *frame)
{
    bool over;
    lane *l = h->count > 0 ? lane_find(h, m->topic) : NULL;
    if (!l || (l->openers == 0 && l->events == 0))
        return 0;
    plx_list *next = place_of(l, m, m->watch.after, &over);
    if (!next)
        return 0;
    if (over)
        return 1; /* nothing goes out after its end, and that waits already */
    if (is_full(h, frame->len))
        return PLX_E_BUSY;
    keep(h, next, m, frame, 0)->event = true;
    l->events++;
    return 1;
}

/* ---- letting out ---- */

static bool may_go(const item *i)
{
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
        plx_membership *ended = i->ends ? i->m : NULL;
        if (!may_go(i))
            return true;
        h->ops->send(h->arg, i->frame);
        item_free(h, l, i);
        if (ended) {
            h->ops->ended(h->arg, ended);
            return false;
        }
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
        if (!now && i->m == old)
            i->m = NULL;
    }
}

void plx_ws_hold_rename(plx_ws_holds *h, plx_membership *old, plx_membership *now)
{
    for (plx_list *n = h->lanes.next; n != &h->lanes; n = n->next)
        rename_in(PLX_CONTAINER(n, lane, node), old, now);
}
