/* Health: a message of our own makes the way that every broadcast makes.
 *
 *   position of this worker's health topic -> follow it -> subscription confirmed -> publish
 *   -> the event comes back through pub/sub
 *
 * Redis that answers a PING may still have lost our subscriber connection, or be
 * unable to write; this would not get through. The topic is the worker's own, its
 * log expires like any other.
 */
#include "channel/admin.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "channel/admin_error.h"
#include "store/feed.h"
#include "store/topic.h"
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUND_TRIP_S 2.0

typedef struct health {
    plx_store *store;
    plx_admin_cb *cb;
    void *arg;
    plx_feed_watch watch;
    ev_timer timer;
    uint64_t started_ms;
    unsigned under_way; /* callbacks that will still come; the timer's is one */
    bool answered;
    char topic[64], mark[32]; /* the mark, a JSON number, tells our message from others */
} health;

static void health_unref(health *h)
{
    if (--h->under_way == 0)
        free(h);
}

static void set_timer(health *h, double seconds)
{
    struct ev_loop *loop = plx_store_loop(h->store);

    ev_timer_stop(loop, &h->timer);
    ev_timer_set(&h->timer, seconds, 0.);
    ev_timer_start(loop, &h->timer);
}

static void put(json_object *document, const char *name, const char *text)
{
    plx_json_put(document, name, plx_json_new_text(plx_slice_of(text)));
}

/* Answers once; the timer then lets go of the object, outside of everybody's callbacks. */
static void answer(health *h, const char *problem)
{
    json_object *document;

    if (h->answered)
        return;
    h->answered = true;
    plx_feed_watch_stop(&h->watch);
    set_timer(h, 0.);
    document = plx_json_new_object();
    put(document, "status", problem ? "error" : "ok");
    put(document, "redis", plx_store_up(h->store) ? "up" : "down");
    put(document, "worker", plx_store_worker(h->store));
    if (problem)
        plx_admin_error(document, "unavailable", "Look at this worker's log, and at Redis.", "%s",
                        problem);
    else
        plx_json_put(document, "round_trip_ms", plx_json_new_number(plx_now_ms() - h->started_ms));
    plx_admin_answer(h->cb, h->arg, problem ? 503 : 200, document);
}

/* A Redis that answers, but not as it should, needs something else than one that is silent. */
static void answer_failure(health *h, int err)
{
    const char *refusal = plx_store_refusal(h->store);
    char text[256];

    if (err != PLX_E_STORE)
        snprintf(text, sizeof text, "Redis did not answer");
    else if (*refusal != '\0')
        snprintf(text, sizeof text, "Redis refused: %s", refusal);
    else
        snprintf(text, sizeof text, "Redis answered oddly");
    answer(h, text);
}

static void published(void *arg, int err, const plx_position *position, bool repeated)
{
    health *h = arg;

    (void)position;
    (void)repeated;
    if (err != 0)
        answer_failure(h, err);
    health_unref(h);
}

static health *of(plx_feed_watch *w)
{
    return PLX_CONTAINER(w, health, watch);
}

static void on_ready(plx_feed_watch *w)
{
    health *h = of(w);
    plx_publication p = {.topic = plx_slice_of(h->topic),
                         .event = PLX_LIT("health"),
                         .payload = plx_slice_of(h->mark),
                         .kind = PLX_KIND_JSON};

    h->under_way++;
    plx_topic_publish(h->store, &p, published, h);
}

static void on_event(plx_feed_watch *w, plx_event *e)
{
    health *h = of(w);

    if (plx_slice_is(e->payload, h->mark))
        answer(h, NULL);
}

static void on_lost(plx_feed_watch *w)
{
    answer(of(w), "the log of the health topic was lost");
}

static void positioned(void *arg, int err, const plx_position *position)
{
    static const plx_feed_ops ops = {.ready = on_ready, .event = on_event, .lost = on_lost};
    health *h = arg;

    if (err != 0) {
        answer_failure(h, err);
    } else if (!h->answered) {
        h->watch.ops = &ops;
        plx_feed_watch_start(h->store, &h->watch, plx_slice_of(h->topic), position);
    }
    health_unref(h);
}

static void on_timeout(struct ev_loop *loop, ev_timer *timer, int revents)
{
    health *h = timer->data;

    (void)loop;
    (void)revents;
    if (h->answered)
        health_unref(h);
    else
        answer(h, "a message did not come back from Redis within 2 s");
}

void plx_admin_health(plx_store *s, plx_admin_cb *cb, void *arg)
{
    static uint64_t marks;
    health *h = plx_alloc_zero(1, sizeof *h);

    h->store = s;
    h->cb = cb;
    h->arg = arg;
    h->started_ms = plx_now_ms();
    h->under_way = 1;
    plx_list_init(&h->watch.node);
    snprintf(h->topic, sizeof h->topic, "pollux:health:%s", plx_store_worker(s));
    snprintf(h->mark, sizeof h->mark, "%llu", (unsigned long long)++marks);
    ev_init(&h->timer, on_timeout);
    h->timer.data = h;
    if (!plx_store_up(s)) {
        answer(h, "Redis can't be reached");
        return;
    }
    set_timer(h, ROUND_TRIP_S);
    h->under_way++;
    plx_topic_position(s, plx_slice_of(h->topic), positioned, h);
}
