/* See timers.h. */
#include "channel/timers.h"

#include "base/error.h"
#include "channel/socket_core.h"
#include "store/store.h"

#include <stdlib.h>

#define LONGEST_MS 86400000
/* When the topic has no room for one more message that waits. */
#define AGAIN_MS 100

static bool lasts(const plx_membership *m)
{
    return m->socket->ops->lasting;
}

static plx_timers *timers_of(plx_membership *m)
{
    if (!m->timers) {
        m->timers = plx_alloc_zero(1, sizeof *m->timers);
        plx_list_init(&m->timers->list);
    }
    return m->timers;
}

static plx_timer *find(const plx_membership *m, plx_slice name)
{
    for (plx_list *n = m->timers ? m->timers->list.next : NULL; n && n != &m->timers->list;
         n = n->next) {
        plx_timer *t = PLX_CONTAINER(n, plx_timer, node);
        if (plx_slice_eq(t->name, name))
            return t;
    }
    return NULL;
}

/* Out of the list; the memory stays. */
static void take_out(plx_timer *t)
{
    plx_membership *m = t->m;

    plx_list_remove(&t->node);
    ev_timer_stop(plx_store_loop(m->socket->store), &t->ev);
    if (t->change != PLX_TIMER_CANCELLED)
        m->timers->count--;
    if (plx_list_empty(&m->timers->list)) {
        free(m->timers);
        m->timers = NULL;
    }
}

static void put_in(plx_timer *t)
{
    plx_timers *timers = timers_of(t->m);

    plx_list_push(&timers->list, &t->node);
    timers->count++;
}

static void start(plx_timer *t, uint64_t ms)
{
    ev_timer_set(&t->ev, (ev_tstamp)ms / 1000.0, 0.);
    ev_timer_start(plx_store_loop(t->m->socket->store), &t->ev);
}

/* Of a lasting socket. The backend may set a timer of this name again from inside. */
static void fired(struct ev_loop *loop, ev_timer *w, int events)
{
    plx_timer *t = w->data;
    plx_membership *m = t->m;

    (void)loop;
    (void)events;
    m->refs++;
    take_out(t);
    if (plx_socket_inform(m->socket, m->topic, m, t->name, t->message) != 0) {
        put_in(t);
        start(t, AGAIN_MS);
    } else {
        free(t);
    }
    plx_membership_unref(m);
}

static plx_timer *timer_new(plx_membership *m, plx_slice name, plx_payload message)
{
    plx_timer *t = plx_alloc(sizeof *t + name.len + message.bytes.len);
    char *text = t->bytes + name.len;

    memset(t, 0, sizeof *t);
    plx_list_init(&t->node);
    t->m = m;
    memcpy(t->bytes, name.data, name.len);
    if (message.bytes.len > 0)
        memcpy(text, message.bytes.data, message.bytes.len);
    t->name = plx_slice_make(t->bytes, name.len);
    t->message = (plx_payload){message.kind, plx_slice_make(text, message.bytes.len)};
    ev_init(&t->ev, fired);
    t->ev.data = t;
    put_in(t);
    return t;
}

void plx_timers_restore(plx_membership *m, plx_slice name)
{
    const plx_payload none = {PLX_PAYLOAD_JSON, {NULL, 0}};

    if (name.len > 0 && !find(m, name))
        timer_new(m, name, none);
}

void plx_timers_begin(plx_membership *m)
{
    for (plx_list *n = m->timers ? m->timers->list.next : NULL; n && n != &m->timers->list;
         n = n->next) {
        plx_timer *t = PLX_CONTAINER(n, plx_timer, node);
        if (lasts(m))
            start(t, t->ms);
    }
}

void plx_timers_free(plx_membership *m)
{
    while (m->timers) {
        plx_timer *t = PLX_CONTAINER(m->timers->list.next, plx_timer, node);
        take_out(t);
        free(t);
    }
}

/* ---- the verbs ---- */

int plx_call_check_info(const plx_call *call, plx_slice name, plx_payload message)
{
    if (name.len == 0)
        return PLX_E_INVALID;
    if (name.len > PLX_INFO_NAME_MAX || message.bytes.len > PLX_INFO_MAX)
        return PLX_E_TOOBIG;
    return plx_call_check_payload(call, message);
}

int plx_channel_send_after(plx_channel *ch, plx_call *call, plx_slice name, uint64_t ms,
                           plx_payload message)
{
    plx_membership *m = (plx_membership *)ch;
    plx_timer *old, *t;
    int err = call ? plx_call_check_info(call, name, message) : PLX_E_INVALID;

    if (err == 0 && ms > LONGEST_MS)
        err = PLX_E_TOOBIG;
    if (err != 0 || m->state == PLX_ENDED)
        return err;
    old = find(m, name);
    if ((!old || old->change == PLX_TIMER_CANCELLED) && m->timers &&
        m->timers->count >= PLX_TIMERS_MAX)
        return PLX_E_BUSY;
    t = timer_new(m, name, message); /* before the old one goes: the name may be its */
    t->change = PLX_TIMER_SET;
    t->ms = ms;
    if (old) {
        take_out(old);
        free(old);
    }
    if (lasts(m) && m->state == PLX_JOINED)
        start(t, ms);
    return 0;
}

int plx_channel_cancel(plx_channel *ch, plx_call *call, plx_slice name)
{
    plx_membership *m = (plx_membership *)ch;
    plx_timer *t = find(m, name);

    if (!call || !t || t->change == PLX_TIMER_CANCELLED)
        return call ? PLX_E_NOTFOUND : PLX_E_INVALID;
    if (lasts(m)) {
        take_out(t);
        free(t);
        return 0;
    }
    /* Also one that this very entry has set: its predecessor may still wait in Redis. */
    t->change = PLX_TIMER_CANCELLED;
    m->timers->count--;
    return 0;
}
