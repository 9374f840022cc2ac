/* See lp_pace.h. */
#include "transport/lp_pace.h"

#include "base/alloc.h"

#include <stdlib.h>

typedef struct pace_mark {
    plx_list node;
    uint64_t at_ms; /* when the last answer was, or will be, given */
    size_t len;
    char sid[];
} pace_mark;

static plx_slice sid_of(const pace_mark *m)
{
    return plx_slice_make(m->sid, m->len);
}

static void drop(plx_lp_pace *p, pace_mark *m)
{
    plx_map_remove(p->by_sid, sid_of(m));
    plx_list_remove(&m->node);
    free(m);
}

static void forget_old(plx_lp_pace *p, uint64_t now_ms)
{
    while (!plx_list_empty(&p->order)) {
        pace_mark *m = PLX_CONTAINER(p->order.next, pace_mark, node);
        if (m->at_ms + PLX_LP_PACE_MS > now_ms)
            return;
        drop(p, m);
    }
}

void plx_lp_pace_init(plx_lp_pace *p)
{
    p->by_sid = plx_map_new();
    plx_list_init(&p->order);
}

void plx_lp_pace_fini(plx_lp_pace *p)
{
    forget_old(p, UINT64_MAX);
    plx_map_free(p->by_sid);
}

static pace_mark *mark(plx_lp_pace *p, plx_slice sid)
{
    pace_mark *m = plx_alloc(sizeof *m + sid.len);
    m->len = sid.len;
    memcpy(m->sid, sid.data, sid.len);
    plx_list_init(&m->node);
    plx_map_put(p->by_sid, sid_of(m), m);
    return m;
}

uint64_t plx_lp_pace_wait(plx_lp_pace *p, plx_slice sid, uint64_t now_ms)
{
    uint64_t wait = 0;
    forget_old(p, now_ms);
    pace_mark *m = plx_map_get(p->by_sid, sid);
    if (m == NULL)
        m = mark(p, sid);
    else if (m->at_ms + PLX_LP_PACE_MS > now_ms)
        wait = m->at_ms + PLX_LP_PACE_MS - now_ms;
    m->at_ms = now_ms + wait;
    plx_list_remove(&m->node);
    plx_list_push(&p->order, &m->node);
    return wait;
}
