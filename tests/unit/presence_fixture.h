/* For the tests of presence: three workers on a private Redis, calls that wait for their answers, a
 * follower that keeps a topic's events, and pictures of a state that can be compared.
 */
#ifndef PLX_TESTS_PRESENCE_FIXTURE_H
#define PLX_TESTS_PRESENCE_FIXTURE_H

#include "redis_fixture.h"

#include "base/crypto.h"
#include "base/error.h"
#include "store/feed.h"
#include "store/people.h"
#include "store/presence_internal.h"
#include "store/topic.h"

static redis r;
static plx_store *a, *b, *c;
static plx_presence_rules rules = {.window_ms = 50, .ttl_s = 3600};

#define S plx_slice_of

/* ---- the workers */

static UNUSED int workers_up(void **state)
{
    (void)state;
    redis_start(&r);
    a = store_up(&r);
    b = store_up(&r);
    c = store_up(&r);
    return 0;
}

static UNUSED int workers_down(void **state)
{
    (void)state;
    plx_store_close(a);
    plx_store_close(b);
    plx_store_close(c);
    redis_stop(&r);
    return 0;
}

/* ---- calls */

typedef struct answer {
    unsigned called;
    int err;
    char ref[PLX_PHX_REF_LEN + 1];
    bool taken;
    plx_position at;
} answer;

static void on_tracked(void *arg, int err, const plx_tracked *t)
{
    answer *x = arg;
    x->called++;
    x->err = err;
    assert_true((err == 0) == (t != NULL));
    if (!t)
        return;
    assert_int_equal(t->ref.len, PLX_PHX_REF_LEN);
    memcpy(x->ref, t->ref.data, PLX_PHX_REF_LEN);
    x->taken = t->taken_at != NULL;
    if (t->taken_at)
        x->at = *t->taken_at;
}

static UNUSED void on_untracked(void *arg, int err)
{
    answer *x = arg;
    x->called++;
    x->err = err;
}

/* A ref that says what it is: "name" filled up with dashes. */
static plx_slice ref_of(const char *name)
{
    static char out[8][PLX_PHX_REF_LEN + 1];
    static unsigned next;
    char *ref = out[next++ % 8];
    size_t len = strlen(name);
    memset(ref, '-', PLX_PHX_REF_LEN);
    memcpy(ref, name, len < PLX_PHX_REF_LEN ? len : PLX_PHX_REF_LEN);
    ref[PLX_PHX_REF_LEN] = '\0';
    return plx_slice_make(ref, PLX_PHX_REF_LEN);
}

static plx_track track_of(plx_store *s, const char *topic, const char *socket, const char *ref,
                          const char *key, const char *meta)
{
    return (plx_track){.topic = S(topic),
                       .ref = ref_of(ref),
                       .owner = plx_owner_name(s),
                       .socket = S(socket),
                       .key = S(key),
                       .meta = S(meta)};
}

static UNUSED answer track_with(plx_store *s, const plx_track *t)
{
    answer x = {0};
    plx_presence_track(s, &rules, t, on_tracked, &x);
    assert_int_equal(x.called, 0);
    WAIT(&r, x.called);
    return x;
}

static UNUSED int track(plx_store *s, const char *topic, const char *socket, const char *ref,
                        const char *key, const char *meta)
{
    plx_track t = track_of(s, topic, socket, ref, key, meta);
    return track_with(s, &t).err;
}

static UNUSED int update(plx_store *s, const char *topic, const char *socket, const char *ref,
                         const char *prev, const char *key, const char *meta)
{
    plx_track t = track_of(s, topic, socket, ref, key, meta);
    t.prev = ref_of(prev);
    return track_with(s, &t).err;
}

/* ref and key: NULL where not given. */
static UNUSED int untrack(plx_store *s, const char *topic, const char *socket, const char *ref,
                          const char *key, bool grace)
{
    answer x = {0};
    plx_untrack u = {.topic = S(topic),
                     .owner = plx_owner_name(s),
                     .socket = S(socket),
                     .key = S(key),
                     .grace = grace};
    if (ref)
        u.ref = ref_of(ref);
    plx_presence_untrack(s, &rules, &u, on_untracked, &x);
    assert_int_equal(x.called, 0);
    WAIT(&r, x.called);
    return x.err;
}

static UNUSED void on_position(void *arg, int err, const plx_position *position)
{
    answer *x = arg;
    assert_int_equal(err, 0);
    x->called++;
    x->at = *position;
}

static UNUSED plx_position position_of(plx_store *s, const char *topic)
{
    answer x = {0};
    plx_topic_position(s, S(topic), on_position, &x);
    WAIT(&r, x.called);
    return x.at;
}

/* ---- following a topic */

#define EVENTS_MAX 4096

typedef struct follower {
    plx_feed_watch watch;
    plx_event *event[EVENTS_MAX];
    uint64_t ms[EVENTS_MAX]; /* when it came */
    size_t count;
    unsigned lost, caught_up;
} follower;

static void follower_event(plx_feed_watch *w, plx_event *e)
{
    follower *f = PLX_CONTAINER(w, follower, watch);
    assert_true(f->count < EVENTS_MAX);
    f->ms[f->count] = fixture_ms();
    f->event[f->count++] = plx_event_ref(e);
}

static void follower_ready(plx_feed_watch *w)
{
    (void)w;
}

static void follower_caught_up(plx_feed_watch *w)
{
    PLX_CONTAINER(w, follower, watch)->caught_up++;
}

static void follower_lost(plx_feed_watch *w)
{
    PLX_CONTAINER(w, follower, watch)->lost++;
}

/* From where the topic stands now. */
static UNUSED void follow(follower *f, plx_store *s, const char *topic)
{
    static const plx_feed_ops ops = {follower_ready, follower_event, follower_caught_up,
                                     follower_lost};
    plx_position position = position_of(s, topic);
    memset(f, 0, sizeof *f);
    f->watch.ops = &ops;
    plx_feed_watch_start(s, &f->watch, S(topic), &position);
    WAIT(&r, f->caught_up);
}

static UNUSED void unfollow(follower *f)
{
    plx_feed_watch_stop(&f->watch);
    for (size_t i = 0; i < f->count; i++)
        plx_event_unref(f->event[i]);
    f->count = 0;
}

/* Waits for the next event and compares it, name and payload. */
static UNUSED void expect_event(follower *f, size_t *seen, const char *event, const char *payload)
{
    WAIT(&r, f->count > *seen);
    const plx_event *e = f->event[(*seen)++];
    assert_int_equal(e->kind, PLX_KIND_PRESENCE);
    assert_slice(e->event, event);
    if (e->payload.len != strlen(payload) || memcmp(e->payload.data, payload, e->payload.len) != 0)
        fail_msg("expected %s\n     got %.*s", payload, (int)e->payload.len, e->payload.data);
}

/* ---- pictures of a state */

typedef struct picture {
    plx_position at;
    uint64_t count, hash; /* of refs, keys and metas, whatever their order */
    uint64_t refs;        /* the same of the refs alone */
} picture;

static uint64_t fnv(uint64_t h, plx_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.data[i]) * 1099511628211u;
    return h;
}

static uint64_t mixed(uint64_t h)
{
    h ^= h >> 31;
    h *= 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static void picture_visit(void *arg, plx_slice ref, plx_slice key, plx_slice meta)
{
    picture *p = arg;
    uint64_t h = fnv(14695981039346656037u, ref);
    p->count++;
    p->refs += mixed(h);
    p->hash += mixed(fnv(fnv(h, key), meta));
}

static UNUSED picture picture_of(plx_slice state)
{
    picture p = {0};
    assert_int_equal(plx_people_walk(state, picture_visit, &p), 0);
    return p;
}

static UNUSED picture picture_of_people(const plx_people *people)
{
    plx_buf json;
    plx_buf_init(&json, 0);
    plx_people_json(people, &json);
    picture p = picture_of(plx_buf_slice(&json));
    plx_buf_fini(&json);
    return p;
}

static UNUSED bool same(picture x, picture y)
{
    return x.count == y.count && x.hash == y.hash && x.refs == y.refs;
}

typedef struct reading_ {
    unsigned called;
    int err;
    picture picture;
    char *json;
} reading_;

static void on_read(void *arg, int err, const plx_position *position, plx_slice json,
                    uint64_t count)
{
    reading_ *x = arg;
    x->called++;
    x->err = err;
    if (err)
        return;
    if (json.len > 0) {
        x->picture = picture_of(json);
        assert_int_equal(x->picture.count, count);
        free(x->json);
        x->json = plx_slice_dup(json);
    }
    x->picture.count = count;
    x->picture.at = *position;
}

static UNUSED picture read_state(plx_store *s, const char *topic)
{
    reading_ x = {0};
    plx_presence_read(s, S(topic), false, on_read, &x);
    WAIT(&r, x.called);
    assert_int_equal(x.err, 0);
    free(x.json);
    return x.picture;
}

/* ---- rosters */

typedef struct waiter {
    plx_roster_wait wait;
    unsigned ready;
} waiter;

static void on_roster_ready(plx_roster_wait *w, plx_roster *roster)
{
    (void)roster;
    PLX_CONTAINER(w, waiter, wait)->ready++;
}

/* Waits until the roster has reached the topic's position, gives its state (borrowed). */
static UNUSED plx_event *roster_state(plx_store *s, plx_roster *roster, const char *topic)
{
    plx_position position = position_of(s, topic);
    waiter w = {.wait = {.ready = on_roster_ready}};
    plx_roster_wait_start(roster, &w.wait, &position);
    assert_int_equal(w.ready, 0);
    WAIT(&r, w.ready);
    assert_int_equal(w.ready, 1);
    plx_event *e = plx_roster_state(roster);
    assert_non_null(e);
    return e;
}

static UNUSED picture roster_picture(plx_store *s, plx_roster *roster, const char *topic)
{
    plx_event *e = roster_state(s, roster, topic);
    assert_slice(e->event, "presence_state");
    picture p = picture_of(e->payload);
    p.at = e->position;
    return p;
}

#endif
