/* Presence without Redis for unit tests, for the fake stores (--wrap, see the Makefile): what is
 * tracked and untracked lies in a queue until the test answers it; one roster, played by the test.
 */
#ifndef PLX_TESTS_FAKE_PRESENCE_H
#define PLX_TESTS_FAKE_PRESENCE_H

#include "base/alloc.h"
#include "base/error.h"
#include "store/presence.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define FAKE_PRESENCE __attribute__((unused))

typedef struct fake_change {
    struct fake_change *next;
    bool untracks, grace;
    char *topic, *ref, *prev, *owner, *socket, *key, *meta;
    plx_track_cb *tracked;
    plx_presence_cb *done;
    plx_presence_state_cb *listed;
    plx_presence_held_cb *held;
    void *arg;
} fake_change;

static fake_change *fake_changes;  /* oldest first; also those without a callback */
static const char *fake_held = ""; /* what Redis has, as plx_presence_held gives it */
static unsigned fake_notes, fake_rosters;
static plx_roster_wait *fake_wait;
static plx_event *fake_state;

static fake_change *fake_change_add(plx_slice topic, void *arg)
{
    fake_change *c = plx_alloc_zero(1, sizeof *c), **at = &fake_changes;

    c->topic = plx_slice_dup(topic);
    c->arg = arg;
    while (*at)
        at = &(*at)->next;
    *at = c;
    return c;
}

static FAKE_PRESENCE void fake_change_free(fake_change *c)
{
    char *const strings[] = {c->topic, c->ref, c->prev, c->owner, c->socket, c->key, c->meta};

    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        free(strings[i]);
    free(c);
}

/* Takes the oldest. NULL: there is none. */
static FAKE_PRESENCE fake_change *fake_change_take(void)
{
    fake_change *c = fake_changes;

    if (c)
        fake_changes = c->next;
    return c;
}

/* Answers the oldest and frees it. taken: the offset at which its entry was taken over, or 0. */
static FAKE_PRESENCE void fake_change_answer(int err, uint64_t taken)
{
    fake_change *c = fake_change_take();
    const plx_position at = {"e1", taken};
    const plx_tracked result = {plx_slice_of(taken > 0 ? "TakenTakenTaken0"
                                             : c->ref  ? c->ref
                                                       : ""),
                                taken > 0 ? &at : NULL};
    const plx_position nowhere = {"e1", 0};

    if (c->tracked)
        c->tracked(c->arg, err, err == 0 ? &result : NULL);
    else if (c->done)
        c->done(c->arg, err);
    else if (c->listed)
        c->listed(c->arg, err, &nowhere, plx_slice_of("{\"k\":{\"metas\":[]}}"), 1);
    else if (c->held)
        c->held(c->arg, err, plx_slice_of(err == 0 ? fake_held : ""));
    fake_change_free(c);
}

void __wrap_plx_presence_track(plx_store *s, const plx_presence_rules *rules, const plx_track *t,
                               plx_track_cb *cb, void *arg);
void __wrap_plx_presence_track(plx_store *s, const plx_presence_rules *rules, const plx_track *t,
                               plx_track_cb *cb, void *arg)
{
    fake_change *c = fake_change_add(t->topic, arg);

    (void)s;
    assert(rules);
    c->ref = plx_slice_dup(t->ref);
    c->prev = plx_slice_dup(t->prev);
    c->owner = plx_slice_dup(t->owner);
    c->socket = plx_slice_dup(t->socket);
    c->key = plx_slice_dup(t->key);
    c->meta = plx_slice_dup(t->meta);
    c->tracked = cb;
}

void __wrap_plx_presence_untrack(plx_store *s, const plx_presence_rules *rules,
                                 const plx_untrack *u, plx_presence_cb *cb, void *arg);
void __wrap_plx_presence_untrack(plx_store *s, const plx_presence_rules *rules,
                                 const plx_untrack *u, plx_presence_cb *cb, void *arg)
{
    fake_change *c = fake_change_add(u->topic, arg);

    (void)s;
    assert(rules);
    c->untracks = true;
    c->grace = u->grace;
    c->ref = plx_slice_dup(u->ref);
    c->owner = plx_slice_dup(u->owner);
    c->socket = plx_slice_dup(u->socket);
    c->done = cb;
}

void __wrap_plx_presence_read(plx_store *s, plx_slice topic, bool count_only,
                              plx_presence_state_cb *cb, void *arg);
void __wrap_plx_presence_read(plx_store *s, plx_slice topic, bool count_only,
                              plx_presence_state_cb *cb, void *arg)
{
    (void)s;
    (void)count_only;
    fake_change_add(topic, arg)->listed = cb;
}

void __wrap_plx_presence_held(plx_store *s, plx_slice topic, plx_slice socket,
                              plx_presence_held_cb *cb, void *arg);
void __wrap_plx_presence_held(plx_store *s, plx_slice topic, plx_slice socket,
                              plx_presence_held_cb *cb, void *arg)
{
    fake_change *c = fake_change_add(topic, arg);

    (void)s;
    c->socket = plx_slice_dup(socket);
    c->held = cb;
}

plx_slice __wrap_plx_owner_name(const plx_store *s);
plx_slice __wrap_plx_owner_name(const plx_store *s)
{
    (void)s;
    return plx_slice_of("owner-1");
}

void __wrap_plx_owner_note(plx_store *s, plx_slice topic, plx_slice socket, plx_slice record);
void __wrap_plx_owner_note(plx_store *s, plx_slice topic, plx_slice socket, plx_slice record)
{
    (void)s;
    (void)topic;
    (void)socket;
    (void)record;
    fake_notes++;
}

void __wrap_plx_owner_forget(plx_store *s, plx_slice topic, plx_slice socket);
void __wrap_plx_owner_forget(plx_store *s, plx_slice topic, plx_slice socket)
{
    (void)s;
    (void)topic;
    (void)socket;
    fake_notes--;
}

void __wrap_plx_owner_sweep_start(plx_store *s, plx_owner_sweep *sweep);
void __wrap_plx_owner_sweep_start(plx_store *s, plx_owner_sweep *sweep)
{
    (void)s;
    (void)sweep;
}

plx_roster *__wrap_plx_roster_open(plx_store *s, plx_slice topic, const plx_presence_rules *rules);
plx_roster *__wrap_plx_roster_open(plx_store *s, plx_slice topic, const plx_presence_rules *rules)
{
    (void)s;
    (void)topic;
    assert(rules);
    fake_rosters++;
    return (plx_roster *)(void *)&fake_rosters;
}

void __wrap_plx_roster_close(plx_roster *r);
void __wrap_plx_roster_close(plx_roster *r)
{
    (void)r;
    fake_rosters--;
}

void __wrap_plx_roster_wait_start(plx_roster *r, plx_roster_wait *w, const plx_position *position);
void __wrap_plx_roster_wait_start(plx_roster *r, plx_roster_wait *w, const plx_position *position)
{
    (void)r;
    w->position = *position;
    fake_wait = w;
}

void __wrap_plx_roster_wait_stop(plx_roster_wait *w);
void __wrap_plx_roster_wait_stop(plx_roster_wait *w)
{
    if (fake_wait == w)
        fake_wait = NULL;
}

plx_event *__wrap_plx_roster_state(plx_roster *r);
plx_event *__wrap_plx_roster_state(plx_roster *r)
{
    (void)r;
    return fake_state;
}

/* The roster answers whoever waits with the state at an offset. */
static FAKE_PRESENCE void fake_roster_ready(const char *topic, const char *epoch, uint64_t offset,
                                            const char *json)
{
    plx_roster_wait *w = fake_wait;
    plx_position at = {.offset = offset};
    static const plx_slice none = {NULL, 0};

    snprintf(at.epoch, sizeof at.epoch, "%s", epoch);
    plx_event_unref(fake_state);
    fake_state = plx_event_new(plx_slice_of(topic), &at, PLX_KIND_PRESENCE,
                               plx_slice_of("presence_state"), plx_slice_of(json), none);
    fake_wait = NULL;
    w->ready(w, (plx_roster *)(void *)&fake_rosters);
}

static FAKE_PRESENCE void fake_presence_end(void)
{
    fake_change *c;

    while ((c = fake_change_take()))
        fake_change_free(c);
    plx_event_unref(fake_state);
    fake_state = NULL;
    fake_wait = NULL;
}

#endif
