/* A store without Redis for unit tests: the linker puts these in the place of store/'s functions
 * (--wrap, see the Makefile). What is asked lies in one queue in the order of the asking, as in the
 * real one; the test answers it when and how it likes. */
#ifndef PLX_TESTS_FAKE_STORE_H
#define PLX_TESTS_FAKE_STORE_H

#include "base/alloc.h"
#include "base/error.h"
#include "store/control.h"
#include "store/feed.h"
#include "store/topic.h"
#include "tests/unit/fake_presence.h"

#include <assert.h>
#include <stdlib.h>

typedef struct fake_request {
    struct fake_request *next;
    bool is_position, answered;
    char *topic, *event, *payload, *from, *producer, *key;
    size_t payload_len;
    enum plx_kind kind;
    uint64_t entry, history_size;
    uint32_t index;
    plx_publish_cb *published;
    plx_position_cb *positioned;
    plx_since_cb *judged; /* of plx_topic_since: answered "whole" when fake_whole says so */
    plx_history_cb *read;
    plx_latest_cb *latest;
    uint64_t latest_ttl_s;
    plx_position since;
    bool has_since;
    size_t limit;
    void *arg;
} fake_request;

static fake_request *fake_first, *fake_last;
static bool fake_whole;
static plx_event *fake_latest[64]; /* what plx_topic_latest gives */
static size_t fake_latest_count;
static uint64_t fake_offset; /* of all topics: enough for tests */
static plx_config fake_config = {.max_body_bytes = 1048576};
static plx_store *const fake_store = (plx_store *)&fake_config;

static fake_request *fake_ask(plx_slice topic, void *arg)
{
    fake_request *r = plx_alloc_zero(1, sizeof *r);

    r->topic = plx_slice_dup(topic);
    r->arg = arg;
    if (fake_last)
        fake_last->next = r;
    else
        fake_first = r;
    fake_last = r;
    return r;
}

void __wrap_plx_topic_publish(plx_store *s, const plx_publication *p, plx_publish_cb *cb,
                              void *arg);
void __wrap_plx_topic_publish(plx_store *s, const plx_publication *p, plx_publish_cb *cb, void *arg)
{
    fake_request *r = fake_ask(p->topic, arg);

    assert(s == fake_store);
    r->event = plx_slice_dup(p->event);
    r->payload = plx_slice_dup(p->payload);
    r->payload_len = p->payload.len;
    r->from = plx_slice_dup(p->from);
    r->producer = plx_slice_dup(p->producer);
    r->key = plx_slice_dup(p->key);
    r->kind = p->kind;
    r->entry = p->entry;
    r->index = p->index;
    r->history_size = p->history_size;
    r->latest_ttl_s = p->latest_ttl_s;
    r->published = cb;
}

void __wrap_plx_topic_position(plx_store *s, plx_slice topic, plx_position_cb *cb, void *arg);
void __wrap_plx_topic_position(plx_store *s, plx_slice topic, plx_position_cb *cb, void *arg)
{
    fake_request *r = fake_ask(topic, arg);

    assert(s == fake_store);
    r->is_position = true;
    r->positioned = cb;
}

static const char *fake_refusal = "";

const char *__wrap_plx_store_refusal(const plx_store *s);
const char *__wrap_plx_store_refusal(const plx_store *s)
{
    assert(s == fake_store);
    return fake_refusal;
}

void __wrap_plx_topic_since(plx_store *s, plx_slice topic, const plx_position *since,
                            const plx_history *history, plx_since_cb *cb, void *arg);
void __wrap_plx_topic_since(plx_store *s, plx_slice topic, const plx_position *since,
                            const plx_history *history, plx_since_cb *cb, void *arg)
{
    fake_request *r = fake_ask(topic, arg);

    assert(s == fake_store);
    r->judged = cb;
    r->since = *since;
    r->history_size = history->size;
}

void __wrap_plx_topic_history(plx_store *s, plx_slice topic, const plx_position *since,
                              size_t limit, const plx_history *history, plx_history_cb *cb,
                              void *arg);
void __wrap_plx_topic_history(plx_store *s, plx_slice topic, const plx_position *since,
                              size_t limit, const plx_history *history, plx_history_cb *cb,
                              void *arg)
{
    fake_request *r = fake_ask(topic, arg);

    assert(s == fake_store);
    r->read = cb;
    r->has_since = since != NULL;
    if (since)
        r->since = *since;
    r->limit = limit;
    r->history_size = history->size;
}

void __wrap_plx_topic_latest(plx_store *s, plx_slice topic, plx_latest_cb *cb, void *arg);
void __wrap_plx_topic_latest(plx_store *s, plx_slice topic, plx_latest_cb *cb, void *arg)
{
    assert(s == fake_store);
    fake_ask(topic, arg)->latest = cb;
}

const plx_config *__wrap_plx_store_config(const plx_store *s);
const plx_config *__wrap_plx_store_config(const plx_store *s)
{
    assert(s == fake_store);
    return &fake_config;
}

/* ---- what only the server API asks ---- */

static bool fake_up = true;
static struct ev_loop *fake_loop;
static plx_feed_watch *fake_watch; /* the one that is started */
static char *fake_disconnect_id;
static void (*fake_disconnect_cb)(void *arg, int err, unsigned sockets);
static void *fake_disconnect_arg;
static char *fake_unsubscribe_topic; /* and fake_disconnect_id, _cb, _arg */

bool __wrap_plx_store_up(const plx_store *s);
bool __wrap_plx_store_up(const plx_store *s)
{
    return s == fake_store && fake_up;
}

const char *__wrap_plx_store_worker(const plx_store *s);
const char *__wrap_plx_store_worker(const plx_store *s)
{
    return s == fake_store ? "worker-1" : "";
}

struct ev_loop *__wrap_plx_store_loop(plx_store *s);
struct ev_loop *__wrap_plx_store_loop(plx_store *s)
{
    return s == fake_store ? fake_loop : NULL;
}

void __wrap_plx_feed_watch_start(plx_store *s, plx_feed_watch *w, plx_slice topic,
                                 const plx_position *position);
void __wrap_plx_feed_watch_start(plx_store *s, plx_feed_watch *w, plx_slice topic,
                                 const plx_position *position)
{
    assert(s == fake_store && topic.len > 0);
    w->after = position->offset;
    fake_watch = w;
}

void __wrap_plx_feed_watch_stop(plx_feed_watch *w);
void __wrap_plx_feed_watch_stop(plx_feed_watch *w)
{
    if (fake_watch == w)
        fake_watch = NULL;
}

void __wrap_plx_control_disconnect(plx_store *s, plx_slice id,
                                   void (*cb)(void *arg, int err, unsigned sockets), void *arg);
void __wrap_plx_control_disconnect(plx_store *s, plx_slice id,
                                   void (*cb)(void *arg, int err, unsigned sockets), void *arg)
{
    assert(s == fake_store);
    free(fake_disconnect_id);
    fake_disconnect_id = plx_slice_dup(id);
    fake_disconnect_cb = cb;
    fake_disconnect_arg = arg;
}

void __wrap_plx_control_unsubscribe(plx_store *s, plx_slice id, plx_slice topic, plx_count_cb *cb,
                                    void *arg);
void __wrap_plx_control_unsubscribe(plx_store *s, plx_slice id, plx_slice topic, plx_count_cb *cb,
                                    void *arg)
{
    free(fake_unsubscribe_topic);
    fake_unsubscribe_topic = plx_slice_dup(topic);
    __wrap_plx_control_disconnect(s, id, cb, arg);
}

/* Nobody waits for a timer in a test: it is invoked. */
static ev_timer *fake_timer; /* the one that was started last */
void __real_ev_timer_start(struct ev_loop *loop, ev_timer *w);
void __wrap_ev_timer_start(struct ev_loop *loop, ev_timer *w);
void __wrap_ev_timer_start(struct ev_loop *loop, ev_timer *w)
{
    fake_timer = w;
    __real_ev_timer_start(loop, w);
}

/* ---- the test's side ---- */

static void fake_free(fake_request *r)
{
    free(r->topic);
    free(r->event);
    free(r->payload);
    free(r->from);
    free(r->producer);
    free(r->key);
    free(r);
}

/* Takes a request out of the queue: the n-th that waits (0: the oldest). */
static fake_request *fake_take(unsigned n)
{
    fake_request **at = &fake_first, *r, *before = NULL;

    for (; n > 0; n--) {
        assert(*at);
        before = *at;
        at = &(*at)->next;
    }
    assert(*at);
    r = *at;
    *at = r->next;
    if (fake_last == r)
        fake_last = before;
    return r;
}

/* Answers the n-th request that waits with this error, or (err 0) a position. */
static void fake_answer(unsigned n, int err)
{
    fake_request *r = fake_take(n);
    plx_position p = {.epoch = "e", .offset = fake_offset};

    if (r->is_position) {
        r->positioned(r->arg, err, err ? NULL : &p);
    } else if (r->judged) {
        r->judged(r->arg, err, err ? NULL : &p, !err && fake_whole);
    } else if (r->latest) {
        r->latest(r->arg, err, err ? NULL : &p, fake_latest, err ? 0 : fake_latest_count);
    } else if (r->read) {
        r->read(r->arg, err, err ? NULL : &p, NULL, 0);
    } else {
        if (!err)
            p.offset = ++fake_offset;
        r->published(r->arg, err, err ? NULL : &p, false);
    }
    fake_free(r);
}

static inline unsigned fake_waiting(void)
{
    unsigned n = 0;

    for (fake_request *r = fake_first; r; r = r->next)
        n++;
    return n;
}

static inline fake_request *fake_peek(unsigned n)
{
    fake_request *r = fake_first;

    while (n-- > 0)
        r = r->next;
    return r;
}

static inline void fake_answer_all(void)
{
    while (fake_first)
        fake_answer(0, 0);
}

/* As when the store is closed. */
static inline void fake_reset(void)
{
    while (fake_first)
        fake_answer(0, PLX_E_DOWN);
    fake_offset = 0;
}

#endif
