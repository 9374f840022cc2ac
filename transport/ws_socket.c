/* Between a connection and the channel core: what the core says becomes frames, what a feed gives
 * goes straight from the log to the client. */
#include "transport/ws_internal.h"

#include "base/error.h"
#include "base/log.h"
#include "channel/intercept.h"

#include <stdio.h>

/* What one client may have under way: calls and broadcasts without an answer, messages that wait,
 * and broadcasts of its own that have not come back to it. Redis answers faster than the broadcasts
 * themselves arrive, so a client that sends thousands of pushes in one go has to be read no faster
 * than they come back, or it would be drowned in what it caused. */
#define UNDER_WAY_MAX 128
#define UNDER_WAY_LOW 64

static plx_ws_conn *conn_of(const plx_socket *s)
{
    return s->transport;
}

static plx_membership *membership_of(plx_feed_watch *w)
{
    return PLX_CONTAINER(w, plx_membership, watch);
}

/* ---- back pressure ---- */

static uint64_t under_way(const plx_ws_conn *c)
{
    const plx_list *all = &c->socket->memberships;
    uint64_t n = c->socket->pending + plx_ws_holds_count(c->holds);
    for (const plx_list *l = all->next; l != all; l = l->next) {
        const plx_membership *m = PLX_CONTAINER(l, plx_membership, node);
        if (m->watch.feed && m->caused > m->watch.after)
            n += m->caused - m->watch.after;
    }
    return n;
}

bool plx_ws_socket_busy(const plx_ws_conn *c)
{
    return plx_socket_busy(c->socket) || c->out.bytes > c->server->config->queue_bytes / 2 ||
           under_way(c) >= UNDER_WAY_MAX;
}

void plx_ws_socket_relieve(plx_ws_conn *c)
{
    if (!c->paused || c->relieved || plx_socket_busy(c->socket) ||
        c->out.bytes > c->server->config->queue_bytes / 4 || under_way(c) > UNDER_WAY_LOW)
        return;
    c->relieved = true;
    plx_ws_conn_attend(c);
}

static void relieved(plx_socket *s)
{
    plx_ws_socket_relieve(conn_of(s));
}

/* ---- waiting for barriers ---- */

static void hold_send(void *arg, plx_blob *frame)
{
    plx_ws_conn_send(arg, frame);
}

static void hold_expect(void *arg, plx_membership *m, uint64_t offset)
{
    (void)arg;
    plx_feed_expect(m->watch.feed, offset);
}

/* Nothing of m goes out after this. */
static void hold_ended(void *arg, plx_membership *m)
{
    (void)arg;
    plx_feed_watch_stop(&m->watch);
    plx_membership_release(m);
}

static const plx_ws_hold_ops hold_ops = {hold_send, hold_expect, hold_ended};

/* A client that pushes on and on while its topics' messages don't arrive (Redis pub/sub is away).
 */
static void too_much_held(plx_ws_conn *c)
{
    c->server->counters.slow++;
    plx_log_limited(PLX_WARNING, "%s: a connection was dropped, %zu messages wait for broadcasts",
                    c->config->path, plx_ws_holds_count(c->holds));
    plx_ws_conn_kill(c);
}

static void hold(plx_ws_conn *c, const plx_out *out, plx_blob *frame)
{
    if (!c->holds)
        c->holds = plx_ws_holds_new(&hold_ops, c, c->server->config->queue_bytes);
    if (plx_ws_hold_add(c->holds, out, frame) != 0)
        too_much_held(c);
    else if (out->ends)
        plx_membership_hold(out->membership);
}

void plx_ws_socket_release(plx_ws_conn *c)
{
    if (plx_ws_holds_count(c->holds) > 0)
        plx_ws_hold_release(c->holds);
    plx_ws_socket_relieve(c);
}

/* ---- what the core asks for ---- */

static void emit(plx_socket *s, const plx_out *out)
{
    plx_ws_conn *c = conn_of(s);
    if (c->state != PLX_WS_OPEN)
        return;
    plx_blob *frame = plx_ws_encode_out(&c->server->encoder, c->vsn, &c->deflate, out);
    if (!frame)
        return;
    if (plx_ws_hold_needed(c->holds, out)) {
        hold(c, out, frame);
    } else {
        plx_ws_conn_send(c, frame);
        if (out->ends && out->membership)
            plx_feed_watch_stop(&out->membership->watch);
        plx_ws_socket_relieve(c);
    }
    plx_blob_unref(frame);
}

static const plx_feed_ops feed_ops;

static void open_membership(plx_socket *s, plx_membership *m)
{
    plx_ws_conn *c = conn_of(s);
    plx_membership *old = m->replaces;
    /* What old still waits for it is given itself; its end, behind m's reply, stops it. */
    bool both = old && old->watch.feed && m->goes_back && old->caused > old->watch.after;
    if (old && old->watch.feed && !both) {
        if (!m->goes_back) {
            memcpy(m->start.epoch, old->watch.epoch, sizeof m->start.epoch);
            m->start.offset = old->watch.after;
        }
        plx_feed_watch_stop(&old->watch);
    }
    m->watch.ops = &feed_ops;
    plx_feed_watch_start(s->store, &m->watch, m->topic, &m->start);
    if (old && c->holds && !both) {
        plx_ws_hold_rename(c->holds, old, m);
        plx_ws_socket_release(c);
    }
}

static void closed(plx_socket *s, plx_membership *m)
{
    plx_ws_conn *c = conn_of(s);
    plx_ws_presence_stop(m);
    plx_feed_watch_stop(&m->watch);
    if (c->holds)
        plx_ws_hold_rename(c->holds, m, NULL);
}

static void tracks(plx_socket *s, plx_membership *m)
{
    (void)s;
    plx_ws_presence_wait(m);
}

static const plx_socket_ops socket_ops = {
    .name = "websocket",
    .leased = true,
    .lasting = true,
    .tracks = tracks,
    .emit = emit,
    .open = open_membership,
    .closed = closed,
    .idle = relieved,
    .relieved = relieved,
};

/* ---- what a feed gives ---- */

static void on_ready(plx_feed_watch *w)
{
    plx_membership_ready(membership_of(w));
}

static bool is_for(plx_membership *m, plx_event *e)
{
    if (e->kind == PLX_KIND_PRESENCE)
        return plx_ws_presence_take(m, e) && e->position.offset > m->diffs_after;
    return e->from.len == 0 || !plx_slice_eq(e->from, m->socket->session);
}

/* Sends a frame in the order of m's events. False: the connection is gone. */
static bool deliver(plx_ws_conn *c, plx_membership *m, plx_blob *frame)
{
    int kept = c->holds ? plx_ws_hold_event(c->holds, m, frame) : 0;
    if (kept < 0)
        too_much_held(c);
    else if (kept == 0)
        plx_ws_conn_send(c, frame);
    return kept >= 0;
}

void plx_ws_socket_send(plx_membership *m, plx_blob *parts[2])
{
    plx_ws_conn *c = conn_of(m->socket);
    if (c->state == PLX_WS_OPEN && deliver(c, m, parts[0]) && parts[1])
        plx_ws_conn_send(c, parts[1]);
    plx_blob_unref(parts[0]);
    plx_blob_unref(parts[1]);
}

static void send_event(plx_ws_conn *c, plx_membership *m, plx_event *e)
{
    plx_blob *frame = plx_ws_encode_event(&c->server->encoder, c->vsn, &c->deflate,
                                          m->entry->config->has_history, e);
    if (frame)
        deliver(c, m, frame);
}

/* An event that the channel's backend judges for this subscriber. */
static void send_intercepted(plx_ws_conn *c, plx_membership *m, plx_event *e)
{
    bool crashed = false;
    plx_event *seen = plx_intercept(m, e, &crashed);
    if (seen)
        send_event(c, m, seen);
    plx_event_unref(seen);
    if (crashed) {
        plx_ws_presence_stop(m);
        plx_membership_crash(m);
    }
}

static void on_event(plx_feed_watch *w, plx_event *e)
{
    plx_membership *m = membership_of(w);
    plx_ws_conn *c = conn_of(m->socket);
    if (c->state != PLX_WS_OPEN)
        return;
    if (is_for(m, e))
        (plx_intercepts(m->entry, e) ? send_intercepted : send_event)(c, m, e);
    plx_ws_socket_release(c);
}

static void on_lost(plx_feed_watch *w)
{
    plx_membership *m = membership_of(w);
    plx_ws_conn *c = conn_of(m->socket);
    plx_ws_presence_stop(m);
    plx_membership_lost(m);
    plx_ws_socket_release(c);
}

static const plx_feed_ops feed_ops = {.ready = on_ready, .event = on_event, .lost = on_lost};

/* ---- life ---- */

void plx_ws_socket_open(plx_ws_conn *c, const plx_connected *connected,
                        const plx_channels *channels)
{
    plx_ws_server *s = c->server;
    char session[64];
    snprintf(session, sizeof session, "%s-%llx", plx_store_worker(s->store),
             (unsigned long long)++s->sessions);
    const plx_socket_init init = {.ops = &socket_ops,
                                  .transport = c,
                                  .store = s->store,
                                  .channels = channels,
                                  .session = plx_slice_of(session),
                                  .id = connected->id,
                                  .params = connected->params,
                                  .claims = connected->claims};
    c->socket = plx_socket_new(&init);
    plx_ws_server_add_id(c);
}

void plx_ws_socket_close(plx_ws_conn *c)
{
    plx_socket *s = c->socket;
    if (!s)
        return;
    plx_socket_free(s, PLX_END_CLOSED); /* calls `closed`, which needs the connection */
    c->socket = NULL;
}
