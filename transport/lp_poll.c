/* A poll: opened with one script, parked without a thread, answered once.
 *
 *   OPENING  waits for plx_session_poll (or, while Redis is away, for its return)
 *   PARKED   holds the queue's entries and a watch on every joined topic; answered at the end of
 *            the loop turn in which something deliverable came, or at the window's end. When it is
 *            woken, and at the window's end, it looks at the queue once more; an event that came
 *            after a wake waits for what is found there: it may be past its channel's end
 *   OUTDATED a newer poll took over: gets 204, at most one such answer a second
 *
 * Delivery writes nothing to Redis: what an answer holds is covered by the token
 * that comes with it, and the client's next request says whether it arrived.
 */
#include "transport/lp_poll.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "channel/intercept.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Topics that have not caught up by then are left for the next poll when something else is due. */
#define SETTLE_MS 300
/* A state without the own entry is better than none. */
#define PATIENCE_MS(p)                                                                             \
    (PLX_DIFFS_PATIENCE_MS < (p)->socket->lp_window_ms / 2 ? PLX_DIFFS_PATIENCE_MS                 \
                                                           : (p)->socket->lp_window_ms / 2)
/* Redis refused a script though it is there: then again. */
#define RETRY_MS 1000
/* By then a session that was to expire has done so, also by Redis' clock. */
#define EXPIRED_MS 20
/* For the look at the window's end: the client gives up after 20 s. */
#define LAST_LOOK_MS 1000

static void look(lp_poll *p);
static void open_poll(lp_poll *p);

void plx_lp_poll_dirty(lp_poll *p)
{
    if (p->http && plx_list_empty(&p->dirty))
        plx_list_push(&p->lp->dirty, &p->dirty);
}

void plx_lp_poll_release(lp_poll *p)
{
    p->http = NULL;
    ev_timer_stop(p->lp->loop, &p->window);
    ev_timer_stop(p->lp->loop, &p->settle);
    ev_timer_stop(p->lp->loop, &p->patience);
    plx_list_remove(&p->node);
    plx_list_remove(&p->dirty);
    if (plx_map_get(p->lp->poll_by_key, plx_slice_of(p->key)) == p)
        plx_map_remove(p->lp->poll_by_key, plx_slice_of(p->key));
    plx_lp_poll_drop_topics(p);
    plx_lp_merge_fini(&p->merge);
    plx_lp_judge_forget(p);
    if (p->calling || p->reports > 0)
        return;
    plx_lp_cursor_fini(&p->cursor);
    plx_lp_unref(p->lp);
    free(p);
}

static void client_gone(plx_http_request *http)
{
    plx_lp_poll_release(http->handler);
}

static void answer_body(lp_poll *p, unsigned status)
{
    plx_http_request *http = p->http;
    plx_lp_poll_release(p);
    plx_lp_answer_status(http, status);
}

/* Answers 200 or 204 with the next token. */
static void answer(lp_poll *p, unsigned status, plx_slice messages)
{
    plx_buf token;
    plx_buf_init(&token, 0);
    if (p->opened && p->state != OUTDATED)
        plx_lp_merge_cursor(&p->merge, &p->cursor);
    plx_lp_token_make(plx_slice_of(p->lp->config->secret), plx_slice_of(p->socket->path),
                      &p->cursor, &token);
    plx_http_request *http = p->http;
    plx_lp_poll_release(p);
    plx_lp_answer_poll(http, status, plx_buf_slice(&token), messages);
    plx_buf_fini(&token);
}

/* Answers if there is something to deliver now. */
static bool answer_if_any(lp_poll *p)
{
    plx_buf out;
    plx_buf_init(&out, 0);
    size_t n = plx_lp_merge_run(&p->merge, &out);
    if (n > 0)
        answer(p, 200, plx_buf_slice(&out));
    plx_buf_fini(&out);
    return n > 0;
}

/* The end of a poll, whatever is there. What could not be judged stays for the next one. */
static void answer_now(lp_poll *p)
{
    if (p->state != PARKED || !plx_lp_judge_ready(p) || !answer_if_any(p))
        answer(p, 204, plx_slice_make(NULL, 0));
}

/* There was nothing to deliver, though events may have been held: handle_out dropped them. */
static void wait_on(lp_poll *p)
{
    if (p->held > 0)
        plx_lp_poll_refill(p);
    plx_lp_poll_chase(p);
}

static void settle_up(lp_poll *p)
{
    bool last = p->window_over && !p->calling;
    if (p->http == NULL || p->state != PARKED)
        return;
    if (p->unsettled > 0 && !last && !p->full)
        return;
    if (!plx_lp_judge_ready(p))
        return;
    if (last)
        answer_now(p);
    else if (!answer_if_any(p))
        wait_on(p);
}

void plx_lp_polls_flush(plx_longpoll *lp)
{
    plx_list now;
    plx_list_init(&now);
    plx_list_splice(&now, &lp->dirty);
    plx_list *n;
    while ((n = plx_list_shift(&now)))
        settle_up(PLX_CONTAINER(n, lp_poll, dirty));
}

/* ---- what the session's scripts give ---- */

static void start_settle(lp_poll *p, uint64_t ms)
{
    ev_timer_stop(p->lp->loop, &p->settle);
    ev_timer_set(&p->settle, plx_lp_seconds(ms), 0.);
    ev_timer_start(p->lp->loop, &p->settle);
}

/* Redis is away: stay parked, its return tries again and the window answers 204. Or it is there and
 * does not like us at the moment. */
static void not_viewed(lp_poll *p)
{
    p->failed = true;
    plx_lp_poll_sure(p, false);
    start_settle(p, RETRY_MS);
    plx_lp_poll_dirty(p); /* for what came while the look was under way */
}

/* The session's end is known: the window ends there, and its last look finds it gone. */
static void end_early(lp_poll *p, uint64_t in_ms)
{
    uint64_t now_ms = plx_now_ms(), left_ms = p->until_ms > now_ms ? p->until_ms - now_ms : 0;
    if (p->window_over || in_ms >= left_ms)
        return;
    p->until_ms = now_ms + in_ms;
    ev_timer_stop(p->lp->loop, &p->window);
    ev_timer_set(&p->window, plx_lp_seconds(in_ms + EXPIRED_MS), 0.);
    ev_timer_start(p->lp->loop, &p->window);
}

static void take_answer(lp_poll *p, int err, const plx_session_view *v)
{
    bool again = p->look_again;
    p->look_again = false;
    if (err == PLX_E_GONE) {
        answer_body(p, 500);
        return;
    }
    if (err != 0) {
        not_viewed(p);
        return;
    }
    plx_lp_judge_forget(p); /* the channels may have changed what they know */
    plx_lp_poll_take_view(p, v);
    plx_lp_poll_sure(p, again);
    if (v->expires_in_ms > 0)
        end_early(p, v->expires_in_ms);
    p->state = PARKED;
    p->opened = true;
    plx_lp_poll_dirty(p);
    /* A wake came while the script ran. What is there goes out nevertheless. */
    if (again && !p->window_over)
        look(p);
}

static void outdate(lp_poll *p);

static void on_polled(void *arg, int err, const plx_session_view *v)
{
    lp_poll *p = arg;
    if (err == 0 && v->old_worker.len > 0) { /* never this one itself */
        plx_slice sid = plx_slice_make(p->cursor.sid, PLX_SID_LEN);
        if (plx_slice_is(v->old_worker, plx_store_worker(p->lp->store)))
            plx_lp_poll_superseded(p->lp, sid, v->old_generation);
        else
            plx_mailbox_supersede(p->lp->store, v->old_worker, sid, v->old_generation);
    }
    p->calling = false;
    if (p->http == NULL)
        plx_lp_poll_release(p);
    else if (p->state != OUTDATED)
        take_answer(p, err, v);
}

static void on_looked(void *arg, int err, const plx_session_view *v)
{
    lp_poll *p = arg;
    p->calling = false;
    if (p->http == NULL)
        plx_lp_poll_release(p);
    else if (err == PLX_E_BUSY && p->state != OUTDATED)
        outdate(p);
    else if (p->state != OUTDATED)
        take_answer(p, err, v);
}

static void look(lp_poll *p)
{
    if (p->calling) {
        p->look_again = true;
        return;
    }
    p->calling = true;
    p->failed = false;
    plx_session_look(p->lp->store, plx_slice_make(p->cursor.sid, PLX_SID_LEN), p->merge.q,
                     p->generation, on_looked, p);
}

static void open_poll(lp_poll *p)
{
    p->calling = true;
    p->failed = false;
    plx_session_poll(p->lp->store, plx_slice_make(p->cursor.sid, PLX_SID_LEN), p->cursor.q,
                     p->generation, p->socket->lp_window_ms, plx_lp_life_ms(p->socket), on_polled,
                     p);
}

void plx_lp_poll_look(lp_poll *p)
{
    if (p->state == PARKED)
        look(p);
}

void plx_lp_poll_unread(lp_poll *p, int err)
{
    if (p->state != PARKED)
        return;
    if (err == PLX_E_GONE)
        answer_body(p, 500);
    else if (p->window_over && !p->calling)
        answer(p, 204, plx_slice_make(NULL, 0));
    else
        start_settle(p, RETRY_MS);
}

/* ---- time, wakes, ends ---- */

static void on_window(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)events;
    lp_poll *p = t->data;
    if (p->window_over || p->state == OUTDATED || !p->opened || !plx_store_up(p->lp->store)) {
        answer_now(p);
        return;
    }
    p->window_over = true;
    ev_timer_set(t, plx_lp_seconds(LAST_LOOK_MS), 0.);
    ev_timer_start(loop, t);
    look(p); /* once more, so that a lost wake costs only latency */
}

static void try_again(lp_poll *p)
{
    if (p->calling || p->state == OUTDATED || !plx_store_up(p->lp->store))
        return; /* an answer, or Redis' return, goes on */
    if (p->opened)
        look(p);
    else
        open_poll(p);
}

static void on_settle(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)loop;
    (void)events;
    lp_poll *p = t->data;
    p->full = true;
    plx_lp_poll_dirty(p);
    if (p->failed)
        try_again(p);
}

static void on_patience(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)loop;
    (void)events;
    plx_lp_poll_impatient(t->data);
}

static void outdate(lp_poll *p)
{
    uint64_t now_ms = plx_now_ms(), left_ms = p->until_ms > now_ms ? p->until_ms - now_ms : 0;
    uint64_t wait_ms =
        plx_lp_pace_wait(&p->lp->pace, plx_slice_make(p->cursor.sid, PLX_SID_LEN), now_ms);
    if (wait_ms > left_ms)
        wait_ms = left_ms; /* of a crowd of pollers each is answered in its window */
    p->state = OUTDATED;
    plx_lp_poll_drop_topics(p);
    plx_list_remove(&p->dirty);
    if (wait_ms == 0) {
        answer(p, 204, plx_slice_make(NULL, 0));
        return;
    }
    ev_timer_stop(p->lp->loop, &p->window);
    ev_timer_set(&p->window, plx_lp_seconds(wait_ms), 0.);
    ev_timer_start(p->lp->loop, &p->window);
}

static void make_key(char *key, size_t size, plx_slice sid, uint64_t generation)
{
    snprintf(key, size, "%.*s:%" PRIu64, (int)sid.len, sid.data, generation);
}

static lp_poll *find(plx_longpoll *lp, plx_slice sid, uint64_t generation)
{
    char key[PLX_SID_LEN + 24];
    make_key(key, sizeof key, sid, generation);
    return plx_map_get(lp->poll_by_key, plx_slice_of(key));
}

void plx_lp_poll_wake(plx_longpoll *lp, plx_slice sid, uint64_t generation)
{
    lp_poll *p = find(lp, sid, generation);
    if (p == NULL)
        return;
    plx_lp_poll_unsure(p);
    if (p->state == PARKED)
        look(p);
    else
        p->look_again = true;
}

void plx_lp_poll_superseded(plx_longpoll *lp, plx_slice sid, uint64_t generation)
{
    lp_poll *p = find(lp, sid, generation);
    if (p && p->state != OUTDATED)
        outdate(p);
}

void plx_lp_poll_gone(plx_longpoll *lp, plx_slice sid, uint64_t generation)
{
    lp_poll *p = find(lp, sid, generation);
    if (p)
        answer_body(p, 500);
}

void plx_lp_poll_up(plx_longpoll *lp)
{
    for (plx_list *n = lp->polls.next; n != &lp->polls; n = n->next)
        try_again(PLX_CONTAINER(n, lp_poll, node));
}

static plx_blob *encode(void *arg, const plx_lp_topic *t, plx_event *e)
{
    lp_poll *p = arg;
    poll_topic *topic = PLX_CONTAINER(t, poll_topic, merge);
    if (topic->judged && plx_intercepts(topic->entry, e))
        e = plx_lp_judge_event(p, topic, e);
    if (e == NULL || topic->crashed)
        return NULL;
    plx_blob *text = plx_encode_event_quoted(p->cursor.vsn, t->with_position, e);
    if (text == NULL)
        p->lp->skipped_binary++;
    return text;
}

void plx_lp_poll_start(const plx_lp_request *r, plx_lp_cursor *cursor)
{
    plx_longpoll *lp = r->lp;
    lp_poll *p = plx_alloc_zero(1, sizeof *p);
    p->lp = plx_lp_ref(lp);
    p->http = r->http;
    p->socket = r->socket;
    p->channels = r->channels;
    p->cursor = *cursor;
    *cursor = (plx_lp_cursor){.q = 0};
    p->generation = ++lp->generation;
    p->until_ms = plx_now_ms() + r->socket->lp_window_ms;
    plx_lp_merge_init(&p->merge);
    p->merge.q = p->cursor.q;
    p->merge.encode = encode;
    p->merge.arg = p;
    plx_list_init(&p->dirty);
    plx_list_init(&p->node);
    plx_list_push(&lp->polls, &p->node);
    make_key(p->key, sizeof p->key, plx_slice_make(p->cursor.sid, PLX_SID_LEN), p->generation);
    plx_map_put(lp->poll_by_key, plx_slice_of(p->key), p);
    r->http->handler = p;
    r->http->gone = client_gone;
    ev_timer_init(&p->window, on_window, plx_lp_seconds(r->socket->lp_window_ms), 0.);
    p->window.data = p;
    ev_timer_start(lp->loop, &p->window);
    ev_init(&p->settle, on_settle);
    p->settle.data = p;
    start_settle(p, SETTLE_MS);
    ev_timer_init(&p->patience, on_patience, plx_lp_seconds(PATIENCE_MS(p)), 0.);
    p->patience.data = p;
    if (lp->draining)
        answer(p, 204, plx_slice_make(NULL, 0));
    else if (plx_store_up(lp->store))
        open_poll(p);
}

void plx_lp_polls_end(plx_longpoll *lp)
{
    plx_list *n;
    while ((n = lp->polls.next) != &lp->polls)
        answer_now(PLX_CONTAINER(n, lp_poll, node));
}

static bool is_topic(const plx_list *node, plx_slice topic)
{
    const plx_lp_topic *merge = PLX_CONTAINER(node, plx_lp_topic, node);
    const poll_topic *t = PLX_CONTAINER(merge, poll_topic, merge);
    return plx_slice_eq(plx_slice_make(t->name, t->name_len), topic);
}

size_t plx_lp_polls_with(const plx_longpoll *lp, plx_slice topic)
{
    size_t n = 0;
    for (const plx_list *l = lp->polls.next; l != &lp->polls; l = l->next) {
        const plx_list *topics = &PLX_CONTAINER(l, lp_poll, node)->merge.topics;
        for (const plx_list *t = topics->next; t != topics; t = t->next)
            n += is_topic(t, topic);
    }
    return n;
}
