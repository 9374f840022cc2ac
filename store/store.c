/* A worker's store: two connections and whatever stands on them. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/log.h"
#include "store/control_internal.h"
#include "store/feeds.h"
#include "store/mailbox.h"
#include "store/presence_internal.h"
#include "store/rules.h"
#include "store/script.h"
#include "store/session_due.h"
#include "store/subscriber.h"
#include "store/sweep.h"
#include "store/tally.h"

#include <stdlib.h>

int plx_store_odd(const char *what)
{
    plx_log_limited(PLX_ERROR, "redis: unexpected answer: %s", what);
    return PLX_E_STORE;
}

bool plx_store_up(const plx_store *s)
{
    return plx_conn_up(s->conn) && plx_subscriber_up(s->subscriber);
}

const char *plx_store_refusal(const plx_store *s)
{
    return plx_conn_refusal(s->conn);
}

uint64_t plx_store_up_for_ms(const plx_store *s)
{
    if (!plx_store_up(s))
        return 0;
    uint64_t commands = plx_conn_up_since(s->conn);
    uint64_t pubsub = plx_subscriber_up_since(s->subscriber);
    return plx_now_ms() - (commands > pubsub ? commands : pubsub);
}

uint64_t plx_store_writable_for_ms(const plx_store *s)
{
    uint64_t up = plx_store_up_for_ms(s), refused = plx_conn_unwilling_at(s->conn);
    uint64_t since = refused ? plx_now_ms() - refused : up;
    return up < since ? up : since;
}

/* A watch may remove itself, or any other, from inside its callback; then `next` is read before.
 * One that is removed while it is next must not be called: hence the search from the front. */
static void tell_watches(plx_store *s, bool up)
{
    plx_store_watch *w = s->watches;
    while (w) {
        plx_store_watch *next = w->next;
        if (up && w->up)
            w->up(w);
        else if (!up && w->down)
            w->down(w);
        const plx_store_watch *there = s->watches;
        while (there && there != next)
            there = there->next;
        w = there ? next : NULL;
    }
}

void plx_store_changed(plx_store *s)
{
    bool up = plx_store_up(s);
    if (up == s->was_up)
        return;
    s->was_up = up;
    if (!up)
        s->counters.reconnects++;
    tell_watches(s, up);
}

void plx_store_watch_add(plx_store *s, plx_store_watch *w)
{
    w->next = s->watches;
    s->watches = w;
}

void plx_store_watch_remove(plx_store *s, plx_store_watch *w)
{
    plx_store_watch **at = &s->watches;
    while (*at && *at != w)
        at = &(*at)->next;
    if (*at)
        *at = w->next;
}

/* ---- the connection for commands */

static void conn_greet(void *owner)
{
    plx_script_greet(owner);
}

static void conn_up(void *owner)
{
    plx_store *s = owner;
    plx_owner_conn_up(s->owner);
    plx_presence_conn_up(s->presence);
    plx_feeds_conn_up(s->feeds);
    plx_rules_conn_up(s->rules);
    plx_tally_conn_up(s->tally);
    plx_store_changed(s);
}

static void conn_down(void *owner)
{
    plx_store_changed(owner);
}

/* ---- life */

plx_store *plx_store_open(struct ev_loop *loop, const plx_config *config,
                          const plx_store_options *options)
{
    static const plx_conn_ops ops = {"command", conn_greet, conn_up, conn_down, NULL};
    plx_store *s = plx_alloc_zero(1, sizeof *s);
    const char *expected;
    s->opened_ms = plx_now_ms();
    s->loop = loop;
    s->config = config;
    s->options = *options;
    /* plx_config_load has checked it; a URL that is wrong nevertheless leads nowhere. */
    if (plx_redis_url_parse(plx_slice_of(config->redis.url), &s->url, &expected) != 0)
        plx_err("redis: unusable url, expected %s", expected);
    plx_random_id(s->worker, PLX_WORKER_LEN);
    plx_laters_init(&s->laters, loop);
    s->conn = plx_conn_open(loop, &s->laters, &s->url, &ops, s);
    s->subscriber = plx_subscriber_open(s);
    s->feeds = plx_feeds_open(s);
    s->mail = plx_mail_open(s);
    s->calls = plx_calls_open(s);
    s->presence = plx_presence_open(s);
    if (options->listen) {
        s->rules = plx_rules_open(s);
        s->tally = plx_tally_open(s);
    }
    return s;
}

void plx_store_close(plx_store *s)
{
    s->watches = NULL;
    plx_rules_free(s->rules);
    s->rules = NULL;
    plx_tally_close(s->tally);
    s->tally = NULL;
    plx_sweeper_stop(s->sweeper);
    plx_due_stop(s->due);
    plx_owner_sweeper_stop(s->owner_sweeper);
    plx_owner_halt(s->owner);
    plx_calls_stop(s->calls);
    plx_presence_stop(s->presence);
    plx_feeds_stop(s->feeds);
    plx_mail_stop(s->mail);
    /* From here on callbacks of commands find everything in place, but nothing going on. */
    plx_conn_close(s->conn);
    plx_sweeper_free(s->sweeper);
    plx_due_free(s->due);
    plx_owner_sweeper_free(s->owner_sweeper);
    plx_presence_free(s->presence);
    plx_owner_close(s->owner);
    plx_calls_free(s->calls);
    plx_feeds_free(s->feeds);
    plx_mail_free(s->mail);
    plx_subscriber_close(s->subscriber);
    plx_laters_fini(&s->laters);
    plx_redis_url_fini(&s->url);
    free(s);
}

uint64_t plx_store_age_ms(const plx_store *s)
{
    return plx_now_ms() - s->opened_ms;
}

struct ev_loop *plx_store_loop(plx_store *s)
{
    return s->loop;
}

const plx_config *plx_store_config(const plx_store *s)
{
    return s->config;
}

const char *plx_store_worker(const plx_store *s)
{
    return s->worker;
}

const plx_store_counters *plx_store_counters_get(const plx_store *s)
{
    return &s->counters;
}
