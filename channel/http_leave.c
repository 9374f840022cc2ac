/* See http_leave.h. */
#include "channel/http_leave.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "channel/http_act.h"
#include <stdlib.h>

struct plx_http_leaves {
    plx_hook *hook;
    struct ev_loop *loop;
    size_t at_once, asked, bytes;
    plx_list waiting, flying;  /* leave.node */
    plx_map *by_id, *by_place; /* by_place: the last one of each */
    ev_timer pause;            /* the application could not be reached */
};

typedef struct leave {
    plx_list node;
    plx_http_leaves *leaves;
    plx_parting *parting;
    plx_list same;          /* leave.node of repetitions: they end with this one */
    plx_list waiters;       /* waiter.node */
    plx_question *question; /* NULL while it waits */
    uint64_t deadline_ms;
    plx_slice place;
    size_t len;
    char body[];
} leave;

/* A join that comes after it. */
typedef struct waiter {
    plx_list node;
    void (*cb)(void *arg);
    void *arg;
} waiter;

static void ask_next(plx_http_leaves *l);

/* The application was asked, or can't be: who joins need not wait any longer. */
static void let_join(leave *v)
{
    plx_list now, *n;

    if (plx_map_get(v->leaves->by_place, v->place) == v)
        plx_map_remove(v->leaves->by_place, v->place);
    plx_list_init(&now);
    plx_list_splice(&now, &v->waiters);
    while ((n = plx_list_shift(&now))) {
        waiter *w = PLX_CONTAINER(n, waiter, node);
        w->cb(w->arg);
        free(w);
    }
}

static void leave_end(leave *v, int err)
{
    plx_http_leaves *l = v->leaves;
    plx_list *n;

    plx_map_remove(l->by_id, plx_parting_id(v->parting));
    plx_list_remove(&v->node);
    l->bytes -= v->len;
    let_join(v);
    while ((n = plx_list_shift(&v->same))) {
        leave *same = PLX_CONTAINER(n, leave, node);
        plx_parting_end(same->parting, err);
        free(same);
    }
    plx_parting_end(v->parting, err);
    free(v);
}

static void let_go(leave *v)
{
    plx_parting_let_go(v->parting);
    for (plx_list *n = v->same.next; n != &v->same; n = n->next)
        plx_parting_let_go(PLX_CONTAINER(n, leave, node)->parting);
}

static void carry_out(leave *v, plx_slice json)
{
    plx_http_answer answer;
    const char *why;

    if (plx_http_answer_read(json, PLX_HTTP_LEAVE, &answer, &why) != 0) {
        plx_hook_complain(v->leaves->hook, why);
        return;
    }
    if (plx_http_act_check_parting(v->parting, &answer, &why) != 0)
        plx_hook_complain(v->leaves->hook, why);
    else
        plx_http_act_parting(v->parting, &answer);
    plx_http_answer_fini(&answer);
}

/* It may not have been sent, and there is time to try again. */
static bool is_worth_more(const leave *v, int err)
{
    return (err == PLX_E_DOWN || err == PLX_E_BUSY) && plx_now_ms() < v->deadline_ms;
}

static void wait_again(leave *v)
{
    plx_http_leaves *l = v->leaves;

    plx_list_remove(&v->node);
    plx_list_push(l->waiting.next, &v->node); /* at the head: in front of the first one */
    ev_timer_stop(l->loop, &l->pause);
    ev_timer_set(&l->pause, PLX_LEAVE_RETRY_MS / 1000., 0);
    ev_timer_start(l->loop, &l->pause);
}

static void answered(void *arg, int err, plx_slice json)
{
    leave *v = arg;
    plx_http_leaves *l = v->leaves;

    l->asked--;
    v->question = NULL;
    if (is_worth_more(v, err)) {
        wait_again(v);
        let_join(v);
        let_go(v); /* the last: the session's work may go on at once */
    } else {
        if (err == 0)
            carry_out(v, json);
        else if (err != PLX_E_GONE)
            plx_log_limited(PLX_WARNING, "the end of a membership could not be reported: %s",
                            plx_strerror(err));
        /* What was sent was reported, whatever came of it. */
        leave_end(v, err == PLX_E_GONE ? err : 0);
    }
    if (err != PLX_E_GONE)
        ask_next(l);
}

static void ask_next(plx_http_leaves *l)
{
    while (l->asked < l->at_once && !ev_is_active(&l->pause) && !plx_list_empty(&l->waiting)) {
        leave *v = PLX_CONTAINER(plx_list_shift(&l->waiting), leave, node);
        plx_list_push(&l->flying, &v->node);
        l->asked++;
        v->question =
            plx_hook_ask(l->hook, plx_slice_make(v->body, v->len), plx_slice_make(NULL, 0),
                         PLX_HOOK_REPEATABLE | PLX_HOOK_YIELDS, answered, v);
    }
}

static void on_pause(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    ask_next(timer->data);
}

plx_http_leaves *plx_http_leaves_new(plx_hook *hook, struct ev_loop *loop, size_t at_once)
{
    plx_http_leaves *l = plx_alloc_zero(1, sizeof *l);

    l->hook = hook;
    l->loop = loop;
    l->at_once = at_once;
    plx_list_init(&l->waiting);
    plx_list_init(&l->flying);
    l->by_id = plx_map_new();
    l->by_place = plx_map_new();
    ev_timer_init(&l->pause, on_pause, 0, 0);
    l->pause.data = l;
    return l;
}

void plx_http_leaves_free(plx_http_leaves *l)
{
    plx_list *n;

    if (!l)
        return;
    ev_timer_stop(l->loop, &l->pause);
    plx_list_splice(&l->flying, &l->waiting);
    while ((n = l->flying.next) != &l->flying) {
        leave *v = PLX_CONTAINER(n, leave, node);
        if (v->question)
            plx_question_cancel(v->question);
        leave_end(v, PLX_E_GONE);
    }
    plx_map_free(l->by_id);
    plx_map_free(l->by_place);
    free(l);
}

static bool is_full(const plx_http_leaves *l, size_t len)
{
    return plx_map_count(l->by_id) >= PLX_LEAVES_MAX || l->bytes + len > PLX_LEAVES_BYTES;
}

void plx_http_leaves_add(plx_http_leaves *l, plx_parting *parting, plx_slice place, plx_slice body)
{
    leave *other = plx_map_get(l->by_id, plx_parting_id(parting));
    leave *v;

    if (!other && is_full(l, body.len)) {
        plx_log_limited(PLX_WARNING, "ends of memberships are not reported: %zu wait already",
                        plx_map_count(l->by_id));
        plx_parting_end(parting, PLX_E_BUSY);
        return;
    }
    v = plx_alloc(sizeof *v + body.len + place.len);
    memset(v, 0, sizeof *v);
    v->leaves = l;
    v->parting = parting;
    v->len = body.len;
    v->deadline_ms = plx_now_ms() + PLX_LEAVE_PATIENCE_MS;
    memcpy(v->body, body.data, body.len);
    memcpy(v->body + body.len, place.data, place.len);
    v->place = plx_slice_make(v->body + body.len, place.len);
    plx_list_init(&v->same);
    plx_list_init(&v->waiters);
    if (other) {
        plx_list_push(&other->same, &v->node);
        return;
    }
    plx_list_push(&l->waiting, &v->node);
    plx_map_put(l->by_id, plx_parting_id(parting), v);
    plx_map_put(l->by_place, v->place, v);
    l->bytes += v->len;
    ask_next(l);
}

bool plx_http_leaves_wait(plx_http_leaves *l, plx_slice place, void (*cb)(void *arg), void *arg)
{
    leave *v = plx_map_get(l->by_place, place);
    waiter *w;

    if (!v || (!v->question && ev_is_active(&l->pause)))
        return false;
    w = plx_alloc(sizeof *w);
    w->cb = cb;
    w->arg = arg;
    plx_list_push(&v->waiters, &w->node);
    if (!v->question) { /* before those for whom nobody waits */
        plx_list_remove(&v->node);
        plx_list_push(l->waiting.next, &v->node);
    }
    return true;
}

size_t plx_http_leaves_count(const plx_http_leaves *l)
{
    return l ? plx_map_count(l->by_id) : 0;
}

bool plx_http_leaves_telling(const plx_http_leaves *l)
{
    return l && (l->asked > 0 || (plx_map_count(l->by_id) > 0 && !ev_is_active(&l->pause)));
}
