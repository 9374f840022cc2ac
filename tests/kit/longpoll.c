/* A long-polling client between its messages: no worker has its socket. For each message it is
 * built from the record, in the next worker, and what came of it is written back. */
#include "tests/kit/kit.h"
#include <stdlib.h>

/* The socket leaves its worker; nothing ends. */
void plx_kit_longpoll_forget(plx_test_socket *s)
{
    s->dissolving = true;
    plx_socket_forget(s->core);
    s->dissolving = false;
    s->core = NULL;
}

static void restore(plx_test_socket *s, kit_delivery *d)
{
    const plx_slot slot = {.number = d->slot,
                           .topic = plx_slice_of(d->topic->name),
                           .start = d->start,
                           .diffs_after = d->diffs_after,
                           .goes_back = d->goes_back,
                           .state = plx_slice_make(d->state, d->state_len)};

    d->m = plx_socket_restore(s->core, &slot);
    if (d->m)
        plx_kit_timers_restore(d);
}

void plx_kit_longpoll_build(plx_test_socket *s)
{
    plx_test *t = s->test;

    if (s->core)
        plx_kit_longpoll_forget(s);
    s->worker = &t->workers[t->turn++ % KIT_WORKERS];
    s->core = plx_kit_socket_core(s);
    s->core->entry = ++s->entry;
    for (plx_list *n = s->deliveries.next; n != &s->deliveries; n = n->next)
        restore(s, PLX_CONTAINER(n, kit_delivery, node));
}

static void write_back(kit_delivery *d)
{
    plx_buf state;

    /* A repeated join begins before what it broadcast the first time. */
    if (d->m->start.offset < d->start.offset && d->after == d->start.offset)
        d->after = d->m->start.offset;
    d->start = d->m->start;
    plx_buf_init(&state, 0);
    plx_membership_pack(d->m, &state);
    free(d->state);
    d->state = plx_slice_dup(plx_buf_slice(&state));
    d->state_len = state.len;
    plx_buf_fini(&state);
    plx_kit_timers_write(d);
    free(d->assigns);
    d->assigns = plx_slice_dup(plx_channel_assigns((const plx_channel *)(const void *)d->m));
}

bool plx_kit_longpoll_work(plx_test_socket *s)
{
    if (!s->longpoll || s->closed)
        return false;
    if (!s->core && !plx_list_empty(&s->sent)) {
        if (s->dies)
            plx_kit_rehearse(s);
        plx_kit_longpoll_build(s);
        return plx_kit_socket_handle_next(s, s->rehearses);
    }
    if (!s->core || s->core->pending > 0)
        return false;
    if (s->rehearses) {
        plx_kit_take_back(s);
        return true;
    }
    for (plx_list *n = s->deliveries.next; n != &s->deliveries; n = n->next) {
        kit_delivery *d = PLX_CONTAINER(n, kit_delivery, node);
        if (d->m)
            write_back(d);
    }
    if (s->repeats)
        plx_kit_people_left(s);
    s->repeats = false;
    plx_kit_longpoll_forget(s);
    return true;
}
