/* The long-poll transport's front door: which request is what. See longpoll.h for the flow.
 *
 * The token travels in header X-Phoenix-Longpoll-Token (newer clients; it wins) or as
 * query parameter `token`, a name that applications often use for their own token
 * too: phoenix.js then sends it twice, and the last one is ours.
 */
#include "transport/lp_internal.h"

#include "base/alloc.h"
#include "channel/report.h"

#include <stdlib.h>

#define DRAIN_CHECK_S 0.05

/* ---- finding the session token ---- */

typedef struct found_token {
    unsigned count;
    plx_slice last;
    size_t last_index;
} found_token;

/* Token characters need no percent-decoding; a value that needs it is none of ours. */
static found_token query_tokens(plx_slice query)
{
    found_token f = {.last_index = SIZE_MAX};
    plx_slice name, value;
    for (size_t i = 0; plx_query_next(&query, &name, &value); i++) {
        if (!plx_slice_is(name, "token"))
            continue;
        f.count++;
        f.last = value;
        f.last_index = i;
    }
    return f;
}

static void find_token(plx_lp_request *r)
{
    plx_slice header;
    found_token f = query_tokens(r->http->query);
    r->token_index = SIZE_MAX;
    r->token = plx_slice_make(NULL, 0);
    if (r->http->header(r->http, "x-phoenix-longpoll-token", &header) && header.len > 0) {
        r->token = header;
    } else if (f.count > 1 || (f.count == 1 && plx_lp_token_form(f.last))) {
        r->token = f.last;
        r->token_index = f.last_index;
    }
}

static bool read_token(const plx_lp_request *r, plx_lp_cursor *cursor)
{
    const plx_config *c = r->lp->config;
    return r->token.len > 0 &&
           plx_lp_token_read(r->token, plx_slice_of(c->secret), plx_slice_of(c->previous_secret),
                             plx_slice_of(r->socket->path), cursor) == 0;
}

/* ---- requests ---- */

static void handle_get(plx_lp_request *r)
{
    plx_lp_cursor cursor = {.q = 0};
    if (read_token(r, &cursor))
        plx_lp_poll_start(r, &cursor);
    else
        plx_lp_connect(r);
    plx_lp_cursor_fini(&cursor);
}

static void handle_post(plx_lp_request *r)
{
    plx_lp_cursor cursor = {.q = 0};
    if (read_token(r, &cursor))
        plx_lp_post_start(r, &cursor);
    else
        plx_lp_answer_status(r->http, 410);
    plx_lp_cursor_fini(&cursor);
}

static bool origin_ok(const plx_lp_request *r)
{
    plx_connect c = {.config = r->lp->config, .socket = r->socket, .request = r->http};
    return plx_connect_origin_ok(&c);
}

static void handle(plx_lp_request *r)
{
    plx_slice method = r->http->method;
    bool get = plx_slice_is(method, "GET"), post = plx_slice_is(method, "POST");
    bool options = plx_slice_is(method, "OPTIONS");
    if (!get && !post && !options) {
        plx_lp_answer_method(r->http);
        return;
    }
    if (!origin_ok(r)) {
        plx_lp_refuse(r->lp, r->http);
        return;
    }
    find_token(r);
    if (options)
        plx_lp_answer_preflight(r->http);
    else if (get)
        handle_get(r);
    else
        handle_post(r);
}

bool plx_longpoll_handle(plx_longpoll *lp, plx_http_request *http)
{
    plx_route route;
    plx_buf scratch;
    plx_buf_init(&scratch, PLX_ROUTE_PATH);
    bool ours = plx_route_socket(lp->config, http->path, &route, &scratch) == 0 &&
                route.transport == PLX_ROUTE_LONGPOLL;
    if (ours) {
        plx_lp_request r = {
            .lp = lp,
            .http = http,
            .socket = route.socket,
            .channels = &lp->channels[route.socket - lp->config->sockets],
            .route = &route,
        };
        handle(&r);
    }
    plx_buf_fini(&scratch);
    return ours;
}

/* ---- what the store tells ---- */

static plx_longpoll *of_mailbox(plx_mailbox *m)
{
    return PLX_CONTAINER(m, plx_longpoll, mailbox);
}

static void on_wake(plx_mailbox *m, plx_slice sid, uint64_t generation)
{
    plx_lp_poll_wake(of_mailbox(m), sid, generation);
}

static void on_superseded(plx_mailbox *m, plx_slice sid, uint64_t generation)
{
    plx_lp_poll_superseded(of_mailbox(m), sid, generation);
}

static void on_gone(plx_mailbox *m, plx_slice sid, uint64_t generation)
{
    plx_lp_poll_gone(of_mailbox(m), sid, generation);
    plx_lp_post_gone(of_mailbox(m), sid);
}

static void on_done(plx_mailbox *m, plx_slice sid, uint64_t entry, unsigned status)
{
    plx_lp_post_done(of_mailbox(m), sid, entry, status);
}

static void on_ended(plx_session_sweep *sweep, const plx_work *work, const char *reason)
{
    plx_lp_work_sweep(PLX_CONTAINER(sweep, plx_longpoll, sweep), work, reason);
}

static void on_work(plx_control *c, const plx_work *work)
{
    plx_lp_work_start(PLX_CONTAINER(c, plx_longpoll, control), work);
}

static json_object *report_of(const plx_longpoll *lp)
{
    json_object *report = plx_report_new(lp->store, "longpoll");
    plx_report_count(report, "polls", plx_map_count(lp->poll_by_key));
    plx_report_count(report, "posts", plx_list_count(&lp->posts));
    plx_report_count(report, "channels", lp->topics);
    plx_report_count(report, "opened", lp->opened);
    plx_report_count(report, "refused", lp->refused);
    plx_report_count(report, "unavailable", lp->unavailable);
    plx_report_count(report, "expired", lp->expired);
    plx_report_count(report, "skipped", lp->skipped_binary);
    return report;
}

static void on_report(plx_control *c, plx_slice about, plx_buf *out)
{
    const plx_longpoll *lp = PLX_CONTAINER(c, plx_longpoll, control);
    json_object *report = report_of(lp);
    plx_slice topic;
    if (plx_report_is_about(about, PLX_ABOUT_TOPIC, &topic))
        plx_report_count(report, "about", plx_lp_polls_with(lp, topic));
    plx_report_finish(report, out);
}

static void on_tally(plx_control *c, plx_buf *out)
{
    plx_report_finish_summary(report_of(PLX_CONTAINER(c, plx_longpoll, control)), out);
}

static void on_due(plx_session_due *due, const plx_work *work)
{
    plx_lp_work_start(PLX_CONTAINER(due, plx_longpoll, due), work);
}

static void on_up(plx_store_watch *w)
{
    plx_longpoll *lp = PLX_CONTAINER(w, plx_longpoll, up);
    plx_lp_connect_up(lp);
    plx_lp_poll_up(lp);
    plx_lp_post_up(lp);
}

static void on_down(plx_store_watch *w)
{
    (void)w;
}

static void on_flush(struct ev_loop *loop, ev_prepare *p, int events)
{
    (void)loop;
    (void)events;
    plx_longpoll *lp = p->data;
    if (!plx_list_empty(&lp->dirty))
        plx_lp_polls_flush(lp);
}

/* ---- life ---- */

plx_longpoll *plx_lp_ref(plx_longpoll *lp)
{
    lp->refs++;
    return lp;
}

void plx_lp_unref(plx_longpoll *lp)
{
    if (--lp->refs > 0)
        return;
    plx_map_free(lp->poll_by_key);
    plx_lp_pace_fini(&lp->pace);
    plx_map_free(lp->posts_by_sid);
    free(lp);
}

plx_longpoll *plx_longpoll_new(plx_store *store, const plx_config *config,
                               const plx_channels *channels)
{
    plx_longpoll *lp = plx_alloc_zero(1, sizeof *lp);
    lp->refs = 1;
    lp->store = store;
    lp->config = config;
    lp->channels = channels;
    lp->loop = plx_store_loop(store);
    lp->poll_by_key = plx_map_new();
    plx_lp_pace_init(&lp->pace);
    lp->posts_by_sid = plx_map_new();
    plx_list_init(&lp->connects);
    plx_list_init(&lp->polls);
    plx_list_init(&lp->posts);
    plx_list_init(&lp->works);
    plx_list_init(&lp->dirty);
    lp->mailbox = (plx_mailbox){on_wake, on_superseded, on_gone, on_done};
    plx_mailbox_set(store, &lp->mailbox);
    lp->control.work = on_work;
    lp->control.report = on_report;
    lp->control.tally = on_tally;
    plx_control_set(store, &lp->control);
    lp->sweep.ended = on_ended;
    plx_session_sweep_start(store, &lp->sweep);
    lp->due.work = on_due;
    plx_session_due_start(store, &lp->due);
    plx_record_sweep_start(&lp->owners, store, channels);
    lp->up.up = on_up;
    lp->up.down = on_down;
    plx_store_watch_add(store, &lp->up);
    ev_prepare_init(&lp->flush, on_flush);
    ev_set_priority(&lp->flush, 1); /* before the store writes out what was given in this turn */
    lp->flush.data = lp;
    ev_prepare_start(lp->loop, &lp->flush);
    ev_unref(lp->loop); /* it alone keeps no loop running */
    return lp;
}

void plx_longpoll_unlisted(plx_longpoll *lp)
{
    lp->control.report = NULL;
    lp->control.tally = NULL;
}

size_t plx_longpoll_parked(const plx_longpoll *lp)
{
    const plx_list *lists[] = {&lp->connects, &lp->polls, &lp->posts, &lp->works};
    size_t n = 0;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        n += plx_list_count(lists[i]);
    return n;
}

bool plx_longpoll_cleaning(const plx_longpoll *lp)
{
    return lp->cleanups > 0;
}

static void on_drain_check(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)events;
    plx_longpoll *lp = t->data;
    if (plx_longpoll_parked(lp) > 0 || plx_session_due_busy(lp->store))
        return;
    ev_timer_stop(loop, t);
    lp->drained(lp->drained_arg);
}

void plx_longpoll_drain(plx_longpoll *lp, void (*done)(void *arg), void *arg)
{
    lp->draining = true;
    plx_session_due_drain(lp->store);
    lp->drained = done;
    lp->drained_arg = arg;
    plx_lp_polls_end(lp);
    plx_lp_posts_drain(lp);
    plx_lp_connects_drain(lp);
    ev_timer_init(&lp->drain_check, on_drain_check, 0., DRAIN_CHECK_S);
    lp->drain_check.data = lp;
    ev_timer_start(lp->loop, &lp->drain_check);
}

void plx_longpoll_free(plx_longpoll *lp)
{
    if (lp == NULL)
        return;
    lp->draining = true;
    plx_session_due_stop(lp->store);
    /* An answer may let in the next request of its connection. */
    while (plx_longpoll_parked(lp) > 0) {
        plx_lp_polls_end(lp);
        plx_lp_posts_end(lp);
        plx_lp_connects_end(lp);
        plx_lp_works_end(lp);
    }
    plx_store_watch_remove(lp->store, &lp->up);
    plx_mailbox_set(lp->store, NULL);
    plx_control_set(lp->store, NULL);
    ev_ref(lp->loop);
    ev_prepare_stop(lp->loop, &lp->flush);
    ev_timer_stop(lp->loop, &lp->drain_check);
    plx_lp_unref(lp);
}
