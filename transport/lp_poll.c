/* A poll: opened with one script, parked without a thread, answered once.
 *
 *   OPENING  waits for plx_session_poll (or, while Redis is away, for its return)
 *   PARKED   holds the queue's entries and a watch on every joined topic; answered at the end of
 *            the loop turn in which something deliverable came, or at the window's end
 *   LOOKING  woken, or at the window's end: reads the queue once more
 *   OUTDATED a newer poll took over: gets 204, at most one such answer a second
 *
 * Delivery writes nothing to Redis: what an answer holds is covered by the token
 * that comes with it, and the client's next request says whether it arrived.
 */
#include "transport/lp_internal.h"
#include "transport/lp_merge.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json_scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Two pollers on one session must not chase each other faster than this. */
#define OUTDATED_MIN_MS 1000
/* Topics that have not caught up by then are left for the next poll when something else is due. */
#define SETTLE_MS 300

enum poll_state { OPENING, PARKED, LOOKING, OUTDATED };

typedef struct lp_poll lp_poll;

/* A watched topic of a poll. */
typedef struct poll_topic {
    plx_lp_topic merge;
    plx_feed_watch watch;
    lp_poll *poll;
    plx_position start;
    bool settling;  /* counted in poll->unsettled */
    bool reporting; /* its gap is being told to the inbox */
} poll_topic;

struct lp_poll {
    plx_list node;  /* in lp->polls */
    plx_list dirty; /* in lp->dirty, or alone */
    plx_longpoll *lp;
    plx_http_request *http; /* NULL once answered or gone */
    const plx_socket_config *socket;
    plx_lp_cursor cursor; /* what the client has */
    uint64_t generation, arrived_ms;
    char key[PLX_SID_LEN + 24];
    enum poll_state state;
    bool opened;    /* plx_session_poll succeeded */
    bool calling;   /* a store call is under way */
    bool look_again, window_over, full;
    unsigned unsettled;
    unsigned reports; /* store calls of poll_topic.reporting */
    plx_lp_merge merge;
    ev_timer window, settle;
};

static void look(lp_poll *p);

static poll_topic *topic_of(plx_feed_watch *w)
{
    return PLX_CONTAINER(w, poll_topic, watch);
}

static void mark_dirty(lp_poll *p)
{
    if (p->http && plx_list_empty(&p->dirty))
        plx_list_push(&p->lp->dirty, &p->dirty);
}

static void topic_free(poll_topic *t)
{
    plx_feed_watch_stop(&t->watch);
    plx_lp_topic_fini(&t->merge);
    free(t);
}

static void drop_topics(lp_poll *p)
{
    while (!plx_list_empty(&p->merge.topics))
        topic_free(PLX_CONTAINER(p->merge.topics.next, poll_topic, merge.node));
    p->unsettled = 0;
}

/* Lets go of everything but the memory, and of that too when no store call is under way. */
static void release(lp_poll *p)
{
    p->http = NULL;
    ev_timer_stop(p->lp->loop, &p->window);
    ev_timer_stop(p->lp->loop, &p->settle);
    plx_list_remove(&p->node);
    plx_list_remove(&p->dirty);
    if (plx_map_get(p->lp->poll_by_key, plx_slice_of(p->key)) == p)
        plx_map_remove(p->lp->poll_by_key, plx_slice_of(p->key));
    drop_topics(p);
    plx_lp_merge_fini(&p->merge);
    if (p->calling || p->reports > 0)
        return;
    plx_lp_cursor_fini(&p->cursor);
    plx_lp_unref(p->lp);
    free(p);
}

static void client_gone(plx_http_request *http)
{
    release(http->handler);
}

static void answer_body(lp_poll *p, unsigned status)
{
    plx_http_request *http = p->http;
    release(p);
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
    release(p);
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

/* A barrier that waits for an event which surely exists: make the feed fetch it. */
static void chase_barrier(lp_poll *p)
{
    if (p->merge.blocked_offset == 0)
        return;
    plx_lp_topic *m = plx_lp_merge_topic(&p->merge, p->merge.blocked_slot);
    poll_topic *t = m ? PLX_CONTAINER(m, poll_topic, merge) : NULL;
    if (t && t->watch.feed)
        plx_feed_expect(t->watch.feed, p->merge.blocked_offset);
}

static void settle_up(lp_poll *p)
{
    if (p->http == NULL || p->state != PARKED)
        return;
    if (p->unsettled > 0 && !p->window_over && !p->full)
        return;
    if (answer_if_any(p))
        return;
    if (p->window_over)
        answer(p, 204, plx_slice_make(NULL, 0));
    else
        chase_barrier(p);
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

/* ---- what the feeds tell ---- */

static void settled(poll_topic *t)
{
    if (t->settling) {
        t->settling = false;
        t->poll->unsettled--;
    }
    mark_dirty(t->poll);
}

static void feed_ready(plx_feed_watch *w)
{
    (void)w;
}

static void feed_event(plx_feed_watch *w, plx_event *e)
{
    poll_topic *t = topic_of(w);
    lp_poll *p = t->poll;
    plx_slice sid = plx_slice_make(p->cursor.sid, PLX_SID_LEN);
    t->merge.seen = e->position.offset;
    if (!plx_slice_eq(e->from, sid))
        plx_lp_topic_add(&t->merge, e);
    if (t->merge.count - t->merge.head >= PLX_LP_MESSAGES || t->merge.bytes >= PLX_LP_BYTES) {
        p->full = true; /* as much as an answer holds: the rest follows with the next poll */
        plx_feed_watch_stop(w);
        settled(t);
    }
    if (p->unsettled == 0 || p->full)
        mark_dirty(p);
}

static void feed_caught_up(plx_feed_watch *w)
{
    settled(topic_of(w));
}

static void reported(void *arg, int err, enum plx_post_result result, uint64_t entry,
                     unsigned status, const plx_work *work)
{
    lp_poll *p = arg;
    (void)entry;
    (void)status;
    p->reports--;
    if (err == 0 && result == PLX_POST_WORK)
        plx_lp_work_start(p->lp, work);
    if (p->http == NULL)
        release(p);
}

/* The log of a joined topic has a gap. Only the lease's holder may end the slot, so it is told
 * through the inbox; the slot's phx_error then comes through the queue. */
static void feed_lost(plx_feed_watch *w)
{
    poll_topic *t = topic_of(w);
    lp_poll *p = t->poll;
    t->merge.lost = true;
    settled(t);
    if (t->merge.open && !t->reporting) {
        char slot[16];
        int n = snprintf(slot, sizeof slot, "%" PRIu32, t->merge.slot);
        t->reporting = true;
        p->reports++;
        plx_session_post(p->lp->store, plx_slice_make(p->cursor.sid, PLX_SID_LEN), PLX_ENTRY_LOST,
                         plx_slice_make(slot, (size_t)n), 200, plx_slice_make(slot, (size_t)n),
                         plx_lp_life_ms(p->socket), reported, p);
    }
}

static const plx_feed_ops feed_ops = {
    .ready = feed_ready,
    .event = feed_event,
    .caught_up = feed_caught_up,
    .lost = feed_lost,
};

/* ---- what the session's scripts give ---- */

static void watch_topic(lp_poll *p, const plx_slot *slot, bool open)
{
    if (plx_lp_merge_topic(&p->merge, slot->number))
        return;
    poll_topic *t = plx_alloc_zero(1, sizeof *t);
    plx_position from = slot->start;
    from.offset = plx_lp_cursor_offset(&p->cursor, slot->number, slot->start.offset);
    plx_lp_topic_init(&t->merge, slot->number, from.offset, open);
    t->poll = p;
    t->watch.ops = &feed_ops;
    plx_list_push(&p->merge.topics, &t->merge.node);
    if (p->state == OPENING) {
        t->settling = true;
        p->unsettled++;
    }
    plx_feed_watch_start(p->lp->store, &t->watch, slot->topic, &from);
}

/* Whether the queue still holds the entry that opens this slot. */
static bool opens_later(const plx_session_view *v, uint32_t slot)
{
    for (size_t i = 0; i < v->q_count; i++)
        if (v->q[i].kind == PLX_Q_OPEN && v->q[i].slot.number == slot)
            return true;
    return false;
}

static void take_view(lp_poll *p, const plx_session_view *v)
{
    uint64_t last = p->merge.q;
    if (!plx_list_empty(&p->merge.entries))
        last = PLX_CONTAINER(p->merge.entries.prev, plx_lp_entry, node)->id;
    for (size_t i = 0; i < v->q_count; i++) {
        const plx_q_entry *e = &v->q[i];
        if (e->id <= last)
            continue;
        plx_lp_entry *copy = plx_lp_entry_copy(e);
        plx_list_push(&p->merge.entries, &copy->node);
        /* A slot that ended meanwhile is not listed any more; what it still owes is read. */
        if (e->kind == PLX_Q_END &&
            plx_lp_cursor_offset(&p->cursor, e->slot.number, e->slot.start.offset) < e->end)
            watch_topic(p, &e->slot, !opens_later(v, e->slot.number));
    }
    /* Begin at another topic each time, so that a busy one does not starve those behind it. */
    for (size_t i = 0; i < v->slot_count; i++) {
        const plx_slot *s = &v->slots[(i + p->generation) % v->slot_count];
        watch_topic(p, s, !opens_later(v, s->number));
    }
}

static void viewed(lp_poll *p, int err, const plx_session_view *v)
{
    if (err == PLX_E_GONE) {
        answer_body(p, 500);
        return;
    }
    if (err != 0) {
        /* Redis is away: stay parked; its return looks again, the window answers 204. */
        if (p->opened)
            p->state = PARKED;
        if (p->window_over)
            answer(p, 204, plx_slice_make(NULL, 0));
        return;
    }
    take_view(p, v);
    p->state = PARKED;
    p->opened = true;
    mark_dirty(p);
}

/* viewed, and once more when a wake came while the script ran. */
static void take_answer(lp_poll *p, int err, const plx_session_view *v)
{
    bool again = p->look_again;
    p->look_again = false;
    viewed(p, err, v);
    if (err == 0 && again && p->state == PARKED && !p->window_over)
        look(p);
}

static void outdate(lp_poll *p);

static void on_polled(void *arg, int err, const plx_session_view *v)
{
    lp_poll *p = arg;
    p->calling = false;
    if (err == 0 && v->old_worker.len > 0 && v->old_generation != p->generation) {
        plx_slice sid = plx_slice_make(p->cursor.sid, PLX_SID_LEN);
        if (plx_slice_is(v->old_worker, plx_store_worker(p->lp->store)))
            plx_lp_poll_superseded(p->lp, sid, v->old_generation);
        else
            plx_mailbox_supersede(p->lp->store, v->old_worker, sid, v->old_generation);
    }
    if (p->http == NULL)
        release(p);
    else if (p->state != OUTDATED)
        take_answer(p, err, v);
}

static void on_looked(void *arg, int err, const plx_session_view *v)
{
    lp_poll *p = arg;
    p->calling = false;
    if (p->http == NULL)
        release(p);
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
    p->state = LOOKING;
    p->calling = true;
    uint64_t q = p->merge.q;
    plx_session_look(p->lp->store, plx_slice_make(p->cursor.sid, PLX_SID_LEN), q, p->generation,
                     on_looked, p);
}

static void open_poll(lp_poll *p)
{
    p->calling = true;
    p->state = OPENING;
    plx_session_poll(p->lp->store, plx_slice_make(p->cursor.sid, PLX_SID_LEN), p->cursor.q,
                     p->generation, p->socket->lp_window_ms, plx_lp_life_ms(p->socket), on_polled,
                     p);
}

/* ---- time, wakes, ends ---- */

static void on_window(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)loop;
    (void)events;
    lp_poll *p = t->data;
    p->window_over = true;
    if (p->state == OUTDATED || !p->opened || !plx_store_up(p->lp->store))
        answer(p, 204, plx_slice_make(NULL, 0));
    else
        look(p); /* once more, so that a lost wake costs only latency */
}

static void on_settle(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)loop;
    (void)events;
    lp_poll *p = t->data;
    p->full = true;
    mark_dirty(p);
}

static void outdate(lp_poll *p)
{
    uint64_t held = plx_now_ms() - p->arrived_ms;
    p->state = OUTDATED;
    drop_topics(p);
    plx_list_remove(&p->dirty);
    if (held >= OUTDATED_MIN_MS) {
        answer(p, 204, plx_slice_make(NULL, 0));
        return;
    }
    ev_timer_stop(p->lp->loop, &p->window);
    ev_timer_set(&p->window, plx_lp_seconds(OUTDATED_MIN_MS - held), 0.);
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
    if (p && p->opened && p->state != OUTDATED && p->state != OPENING)
        look(p);
    else if (p)
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
    for (plx_list *n = lp->polls.next; n != &lp->polls; n = n->next) {
        lp_poll *p = PLX_CONTAINER(n, lp_poll, node);
        if (p->calling || p->state == OUTDATED)
            continue;
        if (p->opened)
            look(p);
        else
            open_poll(p);
    }
}

static bool encode(void *arg, plx_event *e, plx_buf *out)
{
    lp_poll *p = arg;
    plx_blob *text = plx_encode_event(p->cursor.vsn, false, false, e);
    if (text == NULL) {
        p->lp->skipped_binary++;
        return false;
    }
    plx_json_quote(out, plx_slice_make(text->data, text->len));
    return true;
}

void plx_lp_poll_start(const plx_lp_request *r, plx_lp_cursor *cursor)
{
    plx_longpoll *lp = r->lp;
    lp_poll *p = plx_alloc_zero(1, sizeof *p);
    p->lp = plx_lp_ref(lp);
    p->http = r->http;
    p->socket = r->socket;
    p->cursor = *cursor;
    *cursor = (plx_lp_cursor){.q = 0};
    p->generation = ++lp->generation;
    p->arrived_ms = plx_now_ms();
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
    ev_timer_init(&p->settle, on_settle, plx_lp_seconds(SETTLE_MS), 0.);
    p->settle.data = p;
    ev_timer_start(lp->loop, &p->settle);
    if (lp->draining)
        answer(p, 204, plx_slice_make(NULL, 0));
    else if (plx_store_up(lp->store))
        open_poll(p);
}

void plx_lp_polls_end(plx_longpoll *lp)
{
    plx_list *n;
    while ((n = lp->polls.next) != &lp->polls) {
        lp_poll *p = PLX_CONTAINER(n, lp_poll, node);
        if (p->state != PARKED || !answer_if_any(p))
            answer(p, 204, plx_slice_make(NULL, 0));
    }
}
