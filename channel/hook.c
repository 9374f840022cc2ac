/* The queue before an application: sharing, the bound of questions in flight, deadlines, breaker.
 *
 * A *trip* is one body that goes to the application, with the questions that wait for its answer
 * (more than one where they are shared). It waits, flies, or is refused:
 *
 *   ask -> shared with a trip that is under way
 *       -> in flight -> judged -> callbacks
 *       -> waiting (FIFO, those that yield apart; all have the same timeout, so the first one is
 *          the first that is late)
 *       -> refused: callbacks in the next turn of the loop
 *
 * A trip whose questions were all cancelled flies on, so that in_flight is what the application
 * works on. Callbacks may ask again; nothing here is touched after the last of them but the hook,
 * which must not be closed from inside one.
 */
#include "channel/hook_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "channel/hook_wire.h"

#include <stdlib.h>

typedef plx_hook_queue queue;

enum trip_state { WAITING, FLYING, REFUSED, ENDING };

typedef struct plx_trip {
    plx_list node; /* in one of the hook's lists */
    enum trip_state state;
    plx_hook *hook;
    plx_list questions; /* plx_question.node */
    plx_http_post *post;
    plx_fair_share *who;            /* NULL: nobody in particular */
    uint64_t deadline_ms, begun_ms; /* begun: sent */
    int err;                        /* of a refused one */
    bool repeatable, yields, trial;
    plx_slice body, share;
    char bytes[];
} plx_trip;

struct plx_question {
    plx_list node;
    plx_trip *trip;
    plx_hook_cb *cb;
    void *arg;
};

/* ---- trips ---- */

static plx_trip *trip_new(plx_hook *h, plx_slice body, plx_slice share, unsigned flags)
{
    plx_trip *t = plx_alloc(sizeof *t + body.len + share.len);

    memset(t, 0, sizeof *t);
    plx_list_init(&t->node);
    plx_list_init(&t->questions);
    t->hook = h;
    t->deadline_ms = plx_now_ms() + h->config.timeout_ms;
    t->repeatable = flags & PLX_HOOK_REPEATABLE;
    t->yields = flags & PLX_HOOK_YIELDS;
    t->body = plx_slice_make(t->bytes, body.len);
    t->share = plx_slice_make(t->bytes + body.len, share.len);
    if (body.len > 0)
        memcpy(t->bytes, body.data, body.len);
    if (share.len > 0) {
        memcpy(t->bytes + body.len, share.data, share.len);
        plx_map_put(h->shared, t->share, t);
    }
    return t;
}

/* Nobody can share it from now on. */
static void unshare(plx_trip *t)
{
    if (t->share.len > 0 && plx_map_get(t->hook->shared, t->share) == t)
        plx_map_remove(t->hook->shared, t->share);
}

/* Tells all who wait for it, and frees it. */
static void end(plx_trip *t, int err, plx_slice json)
{
    plx_list *n;

    unshare(t);
    if (t->who)
        plx_fair_drop(t->hook->asking, t->who, 0);
    t->state = ENDING;
    plx_list_remove(&t->node);
    while ((n = plx_list_shift(&t->questions))) {
        plx_question *q = PLX_CONTAINER(n, plx_question, node);
        q->cb(q->arg, err, json);
        free(q);
    }
    free(t);
}

static void end_failed(plx_trip *t, int err)
{
    end(t, err, plx_slice_make(NULL, 0));
}

static void refuse(plx_trip *t, int err)
{
    plx_hook *h = t->hook;

    h->counters.refused++;
    t->err = err;
    t->state = REFUSED;
    unshare(t);
    plx_list_push(&h->refused, &t->node);
    plx_later_add(&h->hooks->laters, &h->later);
}

/* Tells those who were refused; who is refused meanwhile is told in the next turn. */
static void tell_refused(plx_later *item)
{
    plx_hook *h = PLX_CONTAINER(item, plx_hook, later);
    plx_list now, *n;

    plx_list_init(&now);
    plx_list_splice(&now, &h->refused);
    while ((n = now.next) != &now) {
        plx_trip *t = PLX_CONTAINER(n, plx_trip, node);
        end_failed(t, t->err);
    }
}

/* ---- waiting ---- */

static plx_trip *first_of(const queue *q)
{
    return plx_list_empty(&q->list) ? NULL : PLX_CONTAINER(q->list.next, plx_trip, node);
}

/* The one whose time is over first. */
static plx_trip *first_waiting(const plx_hook *h)
{
    plx_trip *a = first_of(&h->waiting[0]), *b = first_of(&h->waiting[1]);

    return !b || (a && a->deadline_ms <= b->deadline_ms) ? a : b;
}

static void set_late(plx_hook *h)
{
    uint64_t now = plx_now_ms(), at;
    const plx_trip *first = first_waiting(h);

    ev_timer_stop(h->hooks->loop, &h->late);
    if (!first)
        return;
    at = first->deadline_ms;
    ev_timer_set(&h->late, at > now ? (ev_tstamp)(at - now) / 1000 : 0, 0);
    ev_timer_start(h->hooks->loop, &h->late);
}

static void wait_for_place(plx_trip *t)
{
    plx_hook *h = t->hook;
    queue *q = &h->waiting[t->yields];

    t->state = WAITING;
    plx_list_push(&q->list, &t->node);
    q->count++;
    q->bytes += t->body.len;
    if (++h->counters.waiting == 1)
        set_late(h);
}

static void stop_waiting(plx_trip *t)
{
    queue *q = &t->hook->waiting[t->yields];

    plx_list_remove(&t->node);
    q->count--;
    q->bytes -= t->body.len;
    t->hook->counters.waiting--;
}

static void refuse_waiting(plx_trip *t, int err)
{
    stop_waiting(t);
    refuse(t, err);
}

static bool is_full(const queue *q, size_t len)
{
    return q->count >= PLX_HOOK_WAITING_MAX ||
           (q->count > 0 && q->bytes + len > PLX_HOOK_WAITING_BYTES);
}

static void on_late(struct ev_loop *loop, ev_timer *timer, int revents)
{
    plx_hook *h = timer->data;
    uint64_t now = plx_now_ms();
    plx_trip *t;

    (void)loop;
    (void)revents;
    while ((t = first_waiting(h)) && t->deadline_ms <= now) {
        plx_log_limited(PLX_WARNING, "hook \"%s\": too busy: a question found no place in %llu ms",
                        h->config.name, (unsigned long long)h->config.timeout_ms);
        refuse_waiting(t, PLX_E_TIMEOUT);
    }
    set_late(h);
}

/* ---- in flight ---- */

static void answered(void *arg, const plx_http_result *result);

static void fly(plx_trip *t)
{
    plx_hook *h = t->hook;
    uint64_t now = plx_now_ms();
    char signature[PLX_HOOK_SIGNATURE_SIZE];
    plx_http_question request = {.url = h->config.url,
                                 .signature = signature,
                                 .body = t->body,
                                 .timeout_ms = t->deadline_ms > now ? t->deadline_ms - now : 1,
                                 .answer_max = PLX_HOOK_ANSWER_MAX,
                                 .repeatable = t->repeatable};

    t->begun_ms = now;
    plx_hook_sign(plx_slice_of(h->config.secret), t->body, signature);
    t->state = FLYING;
    plx_list_push(&h->flying, &t->node);
    h->counters.asked++;
    h->yielding += t->yields;
    if (++h->counters.in_flight > h->counters.most_in_flight)
        h->counters.most_in_flight = h->counters.in_flight;
    t->post = plx_http_client_post(h->hooks->client, &request, answered, t);
}

static bool has_room(const plx_hook *h, bool yields)
{
    size_t most = h->config.max_in_flight, others = most > 1 ? (most + 3) / 4 : 0;

    return h->counters.in_flight < most && (!yields || h->yielding < most - others);
}

/* Lets the first ones of a queue go on as far as there is room; while the application is down they
 * fail. */
static void let_go_on(plx_hook *h, queue *q)
{
    plx_trip *t;

    while ((t = first_of(q)) && (has_room(h, t->yields) || h->breaker.open)) {
        stop_waiting(t);
        if (has_room(h, t->yields) && plx_breaker_pass(&h->breaker, plx_now_ms(), &t->trial))
            fly(t);
        else
            refuse(t, PLX_E_DOWN);
    }
}

static void go_on(plx_hook *h)
{
    let_go_on(h, &h->waiting[0]);
    let_go_on(h, &h->waiting[1]);
    set_late(h);
}

/* What was sent at the end of a long wait had too little time: in a crowd the last ones run out of
 * theirs one after the other, however well the application answers. A trial may not be silent. */
static bool is_fair(const plx_trip *t)
{
    return t->trial || plx_now_ms() - t->begun_ms >= t->hook->config.timeout_ms / 2;
}

static void report(plx_hook *h, const plx_http_result *r, const char *why)
{
    h->counters.failed++;
    if (r->status > 0)
        plx_log_limited(PLX_WARNING, "hook \"%s\" failed: %s (status %u)", h->config.name, why,
                        r->status);
    else
        plx_log_limited(PLX_WARNING, "hook \"%s\" failed: %s", h->config.name, why);
}

static void tell_breaker(plx_trip *t, bool sick)
{
    plx_hook *h = t->hook;

    if (!sick) {
        if (h->breaker.open)
            plx_info("hook \"%s\" answers again", h->config.name);
        plx_breaker_good(&h->breaker, plx_now_ms());
    } else if (plx_breaker_bad(&h->breaker, plx_now_ms(), t->begun_ms, t->trial)) {
        h->counters.opened++;
        plx_log_limited(PLX_WARNING, "hook \"%s\" is down: questions fail at once while it is",
                        h->config.name);
    }
    h->counters.down = h->breaker.open;
}

static void answered(void *arg, const plx_http_result *result)
{
    plx_trip *t = arg;
    plx_hook *h = t->hook;
    plx_slice json = {NULL, 0};
    const char *why;
    int err = plx_hook_judge(result, &json, &why);

    h->counters.in_flight--;
    h->yielding -= t->yields;
    if (err != 0)
        report(h, result, why);
    if (result->err != PLX_E_TIMEOUT || is_fair(t))
        tell_breaker(t, plx_hook_is_sick(result));
    end(t, err, json);
    go_on(h);
}

/* ---- questions ---- */

static plx_question *join(plx_trip *t, plx_hook_cb *cb, void *arg)
{
    plx_question *q = plx_alloc(sizeof *q);

    q->trip = t;
    q->cb = cb;
    q->arg = arg;
    plx_list_push(&t->questions, &q->node);
    return q;
}

/* Somebody waits for the place that has just become free: whoever asks from inside the callback for
 * it is behind them, or a few busy sockets would keep all others from being heard. (At other times
 * nobody waits while there is room.) */
static bool is_behind(const plx_hook *h, bool yields)
{
    return h->waiting[0].count > 0 || (yields && h->waiting[1].count > 0);
}

static void send(plx_trip *t)
{
    plx_hook *h = t->hook;

    if (t->who && t->who->count > PLX_HOOK_EACH_MAX) {
        refuse(t, PLX_E_BUSY);
    } else if (!has_room(h, t->yields) || is_behind(h, t->yields)) {
        if (h->breaker.open)
            refuse(t, PLX_E_DOWN);
        else if (is_full(&h->waiting[t->yields], t->body.len))
            refuse(t, PLX_E_BUSY);
        else
            wait_for_place(t);
    } else if (plx_breaker_pass(&h->breaker, plx_now_ms(), &t->trial)) {
        fly(t);
    } else {
        refuse(t, PLX_E_DOWN);
    }
}

plx_question *plx_hook_ask_for(plx_hook *hook, plx_slice who, plx_slice body, plx_slice share,
                               unsigned flags, plx_hook_cb *cb, void *arg)
{
    plx_trip *t = share.len > 0 ? plx_map_get(hook->shared, share) : NULL;
    plx_question *q;

    if (t) {
        hook->counters.shared++;
        return join(t, cb, arg);
    }
    t = trip_new(hook, body, share, flags);
    if (who.len > 0) {
        t->who = plx_fair_add(hook->asking, who, 0);
        t->yields = t->yields || t->who->count > 1;
    }
    q = join(t, cb, arg);
    send(t);
    return q;
}

plx_question *plx_hook_ask(plx_hook *hook, plx_slice body, plx_slice share, unsigned flags,
                           plx_hook_cb *cb, void *arg)
{
    static const plx_slice nobody = {NULL, 0};

    return plx_hook_ask_for(hook, nobody, body, share, flags, cb, arg);
}

void plx_question_cancel(plx_question *question)
{
    plx_trip *t = question->trip;

    plx_list_remove(&question->node);
    free(question);
    if (t->state == WAITING && plx_list_empty(&t->questions)) {
        stop_waiting(t);
        end_failed(t, PLX_E_GONE);
    }
}

/* ---- the whole queue ---- */

void plx_hook_queue_init(plx_hook *h)
{
    plx_list_init(&h->waiting[0].list);
    plx_list_init(&h->waiting[1].list);
    plx_list_init(&h->flying);
    plx_list_init(&h->refused);
    ev_timer_init(&h->late, on_late, 0, 0);
    h->late.data = h;
    plx_later_init(&h->later, tell_refused);
}

static void end_all(plx_list *list)
{
    plx_list *n;

    while ((n = list->next) != list) {
        plx_trip *t = PLX_CONTAINER(n, plx_trip, node);
        if (t->post)
            plx_http_post_drop(t->post);
        end_failed(t, PLX_E_GONE);
    }
}

void plx_hook_queue_end(plx_hook *h)
{
    /* Whoever asks again from inside its callback is refused, and told as well. */
    h->config.max_in_flight = 0;
    h->breaker.open = true;
    while (!plx_list_empty(&h->flying) || h->counters.waiting > 0 || !plx_list_empty(&h->refused)) {
        end_all(&h->flying);
        for (plx_trip *t; (t = first_waiting(h));)
            refuse_waiting(t, PLX_E_GONE);
        end_all(&h->refused);
    }
    plx_later_cancel(&h->later);
    ev_timer_stop(h->hooks->loop, &h->late);
}
