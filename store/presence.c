/* What this worker has to do with the presence of topics: a record for each, which
 * exists while there is something to be sent, published or known. The work is in
 * presence_ask.c, presence_change.c, presence_flush.c and roster.c.
 */
#include "base/alloc.h"
#include "store/presence_internal.h"

#include <stdlib.h>

#define TICK_S 60.

/* ---- the record of a topic */

static void free_topic(plx_pres_topic *t)
{
    plx_later_cancel(&t->reap);
    plx_later_cancel(&t->send);
    ev_timer_stop(t->presence->store->loop, &t->again);
    ev_timer_stop(t->presence->store->loop, &t->flush);
    plx_map_remove(t->presence->topics, t->name);
    free((void *)t->name.data);
    free(t);
}

static void reap(plx_later *item)
{
    plx_pres_topic *t = PLX_CONTAINER(item, plx_pres_topic, reap);
    if (plx_list_empty(&t->changes) && !t->sending && !t->flushing && !t->roster &&
        t->in_flight == 0 && !plx_pres_running(&t->flush) && !plx_pres_running(&t->again))
        free_topic(t);
}

void plx_pres_topic_release(plx_pres_topic *t)
{
    if (!t->presence->stopped)
        plx_later_add(&t->presence->store->laters, &t->reap);
}

static uint64_t within(uint64_t n, uint64_t lo, uint64_t hi)
{
    return n < lo ? lo : n > hi ? hi : n;
}

plx_presence_rules plx_pres_rules(const plx_presence_rules *rules)
{
    static const plx_presence_rules defaults = {.window_ms = 50, .ttl_s = 3600};
    plx_presence_rules out = rules ? *rules : defaults;
    out.window_ms = within(out.window_ms, 1, 1000);
    out.grace_ms = within(out.grace_ms, 0, 600000);
    out.ttl_s = within(out.ttl_s, 60, 365 * 86400u);
    return out;
}

plx_pres_topic *plx_pres_topic_get(plx_presence *p, plx_slice topic,
                                   const plx_presence_rules *rules)
{
    plx_pres_topic *t = plx_map_get(p->topics, topic);
    if (!t) {
        t = plx_alloc_zero(1, sizeof *t);
        t->presence = p;
        t->name = plx_slice_copy(topic);
        plx_list_init(&t->walk_node);
        plx_later_init(&t->reap, reap);
        plx_pres_changes_init(t);
        plx_pres_flush_init(t);
        plx_map_put(p->topics, t->name, t);
        t->rules = plx_pres_rules(NULL);
    }
    if (rules)
        t->rules = plx_pres_rules(rules);
    return t;
}

/* ---- commands */

void plx_pres_begin(plx_command *c, const plx_store *s, enum plx_script script, plx_slice topic,
                    size_t keys)
{
    static const char *const suffixes[] = {":pres",       ":pres:fresh", ":pres:pend",
                                           ":pres:own",   ":pres:win",   ":pres:grace",
                                           ":pres:alike", ":meta",       ":log"};
    plx_script_begin(c, script, keys);
    for (size_t i = 0; i < keys; i++)
        plx_script_key(c, s, 't', topic, suffixes[i]);
}

void plx_pres_add_rules(plx_command *c, const plx_store *s, plx_slice topic,
                        const plx_presence_rules *rules, bool grace)
{
    plx_script_key(c, s, 't', topic, "");
    plx_command_u64(c, rules->window_ms);
    plx_command_u64(c, grace ? rules->grace_ms : 0);
    plx_command_u64(c, rules->ttl_s);
}

/* ---- life */

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
    plx_presence *p = w->data;
    plx_pres_topic *t;
    size_t cursor = 0;
    (void)loop, (void)revents;
    while ((t = plx_map_next(p->topics, &cursor)) != NULL) {
        if (t->roster)
            plx_roster_tick(t->roster);
    }
}

plx_presence *plx_presence_open(plx_store *s)
{
    plx_presence *p = plx_alloc_zero(1, sizeof *p);
    p->store = s;
    p->topics = plx_map_new();
    ev_timer_init(&p->tick, on_tick, TICK_S, TICK_S);
    p->tick.data = p;
    return p;
}

void plx_presence_conn_up(plx_presence *p)
{
    plx_pres_topic *t;
    plx_list *node, walk;
    size_t cursor = 0;
    /* Two walks: callbacks may add topics, and maps must not grow in a walk. */
    plx_list_init(&walk);
    while ((t = plx_map_next(p->topics, &cursor)) != NULL) {
        if (!plx_list_empty(&t->changes))
            plx_list_push(&walk, &t->walk_node);
    }
    while ((node = plx_list_shift(&walk)) != NULL)
        plx_pres_changes_send(PLX_CONTAINER(node, plx_pres_topic, walk_node));
}

void plx_presence_stop(plx_presence *p)
{
    plx_pres_topic *t;
    plx_list now;
    size_t cursor = 0;
    p->stopped = true;
    ev_timer_stop(p->store->loop, &p->tick);
    plx_list_init(&now);
    while ((t = plx_map_next(p->topics, &cursor)) != NULL) {
        plx_list_splice(&now, &t->changes);
        ev_timer_stop(p->store->loop, &t->again);
        ev_timer_stop(p->store->loop, &t->flush);
    }
    plx_pres_changes_fail(&now);
}

void plx_presence_free(plx_presence *p)
{
    plx_pres_topic *t;
    size_t cursor = 0;
    plx_presence_stop(p); /* callbacks of the closing may have added something */
    while ((t = plx_map_next(p->topics, &cursor)) != NULL) {
        plx_pres_changes_drop(&t->changes);
        if (t->roster)
            plx_roster_orphan(t->roster);
        free_topic(t);
    }
    plx_map_free(p->topics);
    free(p);
}
