/* Workers that die over what they had tracked, and those that sweep. */
#ifndef PLX_TESTS_OWNER_WORLD_H
#define PLX_TESTS_OWNER_WORLD_H

#include "presence_fixture.h"

#define SWEEPERS 3

typedef struct sweeper {
    plx_owner_sweep sweep;
    plx_store *store;
    unsigned crashed;
    bool settles; /* at once */
    bool has_rules;
    char owner[32], topic[32], socket[32], record[64]; /* of the last report */
} sweeper;

static sweeper sweepers[SWEEPERS];

static void copy(char *out, size_t size, plx_slice s)
{
    snprintf(out, size, "%.*s", (int)s.len, s.data ? s.data : "");
}

static void on_crashed(plx_owner_sweep *x, plx_slice owner, plx_slice topic, plx_slice socket,
                       plx_slice record)
{
    sweeper *w = PLX_CONTAINER(x, sweeper, sweep);
    w->crashed++;
    copy(w->owner, sizeof w->owner, owner);
    copy(w->topic, sizeof w->topic, topic);
    copy(w->socket, sizeof w->socket, socket);
    copy(w->record, sizeof w->record, record);
    if (w->settles)
        plx_owner_settle(w->store, owner, topic, socket);
}

static const plx_presence_rules *on_rules(plx_owner_sweep *x, plx_slice topic)
{
    (void)topic;
    return PLX_CONTAINER(x, sweeper, sweep)->has_rules ? &rules : NULL;
}

static void sweep_with(sweeper *w, plx_store *s)
{
    *w = (sweeper){.sweep = {on_crashed, on_rules}, .store = s, .settles = true, .has_rules = true};
    plx_owner_sweep_start(s, &w->sweep);
}

static unsigned crashed(void)
{
    return sweepers[0].crashed + sweepers[1].crashed + sweepers[2].crashed;
}

static uint64_t swept(void)
{
    uint64_t n = 0;
    for (size_t i = 0; i < SWEEPERS; i++)
        n += plx_store_counters_get(sweepers[i].store)->owners_swept;
    return n;
}

/* ---- a worker that will die */

typedef struct victim {
    plx_owner_watch watch;
    plx_store *store;
    char name[32];
    unsigned lost;
} victim;

static void on_lost(plx_owner_watch *w)
{
    PLX_CONTAINER(w, victim, watch)->lost++;
}

/* -1: not there, or the list is none. */
static long long score_of(const char *list, const char *name)
{
    redisReply *score = redisCommand(r.admin, "ZSCORE plx:{owners}%s %s", list, name);
    assert_non_null(score);
    long long n = score->type == REDIS_REPLY_STRING ? atoll(score->str) : -1;
    freeReplyObject(score);
    return n;
}

static void be_born(victim *v)
{
    *v = (victim){.watch = {on_lost}, .store = store_up(&r)};
    plx_owner_start(v->store, &v->watch);
    copy(v->name, sizeof v->name, plx_owner_name(v->store));
    WAIT(&r, score_of("", v->name) > 0);
}

/* kill -9, and its lease has run out. */
static void die(victim *v)
{
    plx_store_close(v->store);
    redis_do(&r, "ZADD plx:{owners} XX 1 %s", v->name);
}

static void note(victim *v, const char *topic, const char *socket, const char *record)
{
    plx_owner_note(v->store, S(topic), S(socket), S(record));
}

static void expect_nothing_left(const char *name)
{
    WAIT(&r, score_of("", name) < 0 && score_of(":dead", name) < 0);
    assert_int_equal(redis_do(&r, "EXISTS plx:{o:%s}:topics plx:{o:%s}:members", name, name), 0);
}

static int setup(void **state)
{
    workers_up(state);
    plx_store *stores[] = {a, b, c};
    for (size_t i = 0; i < SWEEPERS; i++)
        sweep_with(&sweepers[i], stores[i]);
    return 0;
}

#endif
