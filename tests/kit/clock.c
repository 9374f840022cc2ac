/* Time, which stands still but for plx_test_advance; and the event loop's timers, in the place of
 * libev's. */
#include "base/clock.h"
#include "tests/kit/kit.h"
#include <stdio.h>
#include <stdlib.h>

/* A timer of the core that runs, or one of a long-polling client's channel. */
typedef struct running {
    plx_list node; /* in test->timers, in the order in which they were started */
    uint64_t due_ms;
    ev_timer *w;     /* or NULL: */
    kit_delivery *d; /* whose */
    char *name, *message;
} running;

void plx_kit_clock_set(plx_test *t, uint64_t now_ms)
{
    t->now_ms = now_ms;
    plx_clock_fake(now_ms, KIT_WALL_MS + now_ms);
}

/* The handle by which the core knows its loop is the world. */
struct ev_loop *plx_store_loop(plx_store *s)
{
    return (struct ev_loop *)(void *)s->test;
}

static running *find(plx_test *t, const ev_timer *w)
{
    for (plx_list *n = t->timers.next; n != &t->timers; n = n->next)
        if (PLX_CONTAINER(n, running, node)->w == w)
            return PLX_CONTAINER(n, running, node);
    return NULL;
}

static void drop(running *r)
{
    plx_list_remove(&r->node);
    free(r->name);
    free(r->message);
    free(r);
}

/* ---- of the event loop ---- */

void ev_timer_start(struct ev_loop *loop, ev_timer *w) EV_THROW
{
    plx_test *t = (plx_test *)(void *)loop;
    running *r = find(t, w);

    if (!r) {
        r = plx_alloc_zero(1, sizeof *r);
        plx_list_push(&t->timers, &r->node);
    }
    r->w = w;
    r->due_ms = t->now_ms + (uint64_t)(w->at * 1000. + .5);
    w->active = 1;
}

void ev_timer_stop(struct ev_loop *loop, ev_timer *w) EV_THROW
{
    running *r = find((plx_test *)(void *)loop, w);

    w->active = 0;
    if (r)
        drop(r);
}

/* ---- of channels at rest ---- */

static running *find_name(const kit_delivery *d, plx_slice name)
{
    plx_list *all = &d->socket->test->timers;

    for (plx_list *n = all->next; n != all; n = n->next) {
        running *r = PLX_CONTAINER(n, running, node);
        if (!r->w && r->d == d && plx_slice_is(name, r->name))
            return r;
    }
    return NULL;
}

static void write_timer(kit_delivery *d, const plx_timer *timer)
{
    running *r = find_name(d, timer->name);
    plx_test *t = d->socket->test;

    if (timer->change == PLX_TIMER_KEPT)
        return;
    if (r)
        drop(r);
    if (timer->change == PLX_TIMER_CANCELLED)
        return;
    r = plx_alloc_zero(1, sizeof *r);
    r->d = d;
    r->due_ms = t->now_ms + timer->ms;
    r->name = plx_slice_dup(timer->name);
    r->message = plx_slice_dup(timer->message.bytes);
    plx_list_push(&t->timers, &r->node);
}

void plx_kit_timers_write(kit_delivery *d)
{
    const plx_timers *timers = d->m->timers;

    for (plx_list *n = timers ? timers->list.next : NULL; n && n != &timers->list; n = n->next)
        write_timer(d, PLX_CONTAINER(n, plx_timer, node));
}

void plx_kit_timers_restore(kit_delivery *d)
{
    plx_list *all = &d->socket->test->timers;

    for (plx_list *n = all->next; n != all; n = n->next) {
        const running *r = PLX_CONTAINER(n, running, node);
        if (!r->w && r->d == d)
            plx_timers_restore(d->m, plx_slice_of(r->name));
    }
}

void plx_kit_timers_drop(kit_delivery *d)
{
    plx_list *all = &d->socket->test->timers, *next;

    for (plx_list *n = all->next; n != all; n = next) {
        running *r = PLX_CONTAINER(n, running, node);
        next = n->next;
        if (!r->w && r->d == d)
            drop(r);
    }
}

/* Its message waits with those of the client. */
static void bring(running *r)
{
    kit_sent *sent = plx_alloc_zero(1, sizeof *sent);

    sent->info = r->d->slot;
    sent->topic = plx_strdup(r->d->topic->name);
    sent->event = r->name;
    sent->payload = r->message;
    sent->payload_len = strlen(r->message);
    r->name = r->message = NULL;
    plx_list_push(&r->d->socket->sent, &sent->node);
    drop(r);
}

/* ---- time passes ---- */

/* The timer that is due first, and of several the one that was started first. */
static running *first_due(plx_test *t, uint64_t until_ms)
{
    running *first = NULL;

    for (plx_list *n = t->timers.next; n != &t->timers; n = n->next) {
        running *r = PLX_CONTAINER(n, running, node);
        if (r->due_ms <= until_ms && (!first || r->due_ms < first->due_ms))
            first = r;
    }
    return first;
}

static void fire(plx_test *t, running *r)
{
    ev_timer *w = r->w;

    if (!w) {
        bring(r);
        return;
    }
    if (w->repeat > 0.) {
        r->due_ms += (uint64_t)(w->repeat * 1000. + .5);
    } else {
        w->active = 0;
        drop(r);
    }
    w->cb((struct ev_loop *)(void *)t, w, EV_TIMER);
}

void plx_test_advance(plx_test *t, uint64_t ms)
{
    uint64_t end = t->now_ms + ms;
    unsigned steps = 0;
    running *r;

    plx_kit_settle(t);
    while ((r = first_due(t, end))) {
        if (r->due_ms > t->now_ms)
            plx_kit_clock_set(t, r->due_ms);
        plx_kit_count(&steps);
        fire(t, r);
        plx_kit_settle(t);
    }
    plx_kit_clock_set(t, end);
    plx_kit_settle(t);
}

void plx_test_broadcast(plx_test *t, const char *topic, const char *event, const char *json)
{
    char *text = plx_kit_json(json ? json : "{}");

    if (!text) {
        fprintf(stderr, "pollux-test: what is broadcast must be JSON, not %s\n", json);
        abort();
    }
    plx_kit_append(t, plx_kit_topic(t, plx_slice_of(topic)), PLX_KIND_JSON, plx_slice_of(event),
                   plx_slice_of(text), plx_slice_of(NULL));
    free(text);
    plx_kit_settle(t);
}
