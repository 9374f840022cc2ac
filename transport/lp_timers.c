/* A session's timers between its record and the core: names come in with the work, changes go out
 * with the commit. */
#include "transport/lp_work.h"

#include "base/alloc.h"
#include "channel/info.h"
#include "channel/timers.h"

#include <stdlib.h>

void plx_lp_timers_restore(plx_socket *s, const plx_work *work)
{
    for (plx_list *n = s->memberships.next; n != &s->memberships; n = n->next) {
        plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        for (size_t i = 0; i < work->timer_count; i++)
            if (work->timers[i].slot == m->slot)
                plx_timers_restore(m, work->timers[i].name);
    }
}

static void add(plx_lp_changes *c, const plx_timer *t)
{
    plx_slot_timer *out;
    size_t before = c->text.len;
    if (c->count == c->capacity) {
        c->capacity = c->capacity > 0 ? 2 * c->capacity : 8;
        c->timers = plx_realloc(c->timers, c->capacity * sizeof *c->timers);
    }
    out = &c->timers[c->count++];
    *out = (plx_slot_timer){.slot = t->m->slot, .name = t->name, .ms = t->ms};
    if (t->change == PLX_TIMER_SET)
        plx_info_pack_rest(&c->text, t->name, t->message);
    out->message.len = c->text.len - before; /* for now: the buffer may still move */
}

void plx_lp_timers_changes(const plx_socket *s, plx_lp_changes *c)
{
    size_t at = 0;
    *c = (plx_lp_changes){.count = 0};
    plx_buf_init(&c->text, 0);
    for (const plx_list *n = s->memberships.next; n != &s->memberships; n = n->next) {
        const plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        const plx_list *list = m->timers && m->state == PLX_JOINED ? &m->timers->list : NULL;
        for (const plx_list *l = list ? list->next : NULL; l != list; l = l->next) {
            const plx_timer *t = PLX_CONTAINER(l, plx_timer, node);
            if (t->change != PLX_TIMER_KEPT)
                add(c, t);
        }
    }
    for (size_t i = 0; i < c->count; i++) {
        c->timers[i].message.data = c->text.data + at;
        at += c->timers[i].message.len;
    }
}

void plx_lp_changes_fini(plx_lp_changes *c)
{
    free(c->timers);
    plx_buf_fini(&c->text);
}
