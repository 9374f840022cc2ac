/* Accepting, ids, draining, and the look at connections between two loop turns. */
#include "transport/ws_server.h"
#include "transport/ws_internal.h"

#include "base/alloc.h"
#include "base/log.h"
#include "channel/counters.h"
#include "channel/info.h"
#include "channel/report.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#define ACCEPT_TURN    64 /* connections accepted before others get a turn */
#define ACCEPT_PAUSE_S .1 /* when there are no descriptors */
#define DRAIN_STEP_S   .05
#define DRAIN_AT_ONCE  20 /* connections in one step that need no spreading */

/* ---- accepting ---- */

static void set_options(int fd)
{
    int on = 1;
    /* Fails on a Unix socket, where neither is needed. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

/* Whether accepting again can't succeed for a while: no descriptors or no memory for one. */
static bool is_exhausted(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Without descriptors, whoever has said nothing for longest, of those whose request is not there
 * yet, gives way. False: there is nobody. */
static bool make_room(plx_ws_server *s)
{
    char byte;
    if (plx_list_empty(&s->strangers))
        return false;
    plx_ws_conn *c = PLX_CONTAINER(s->strangers.next, plx_ws_conn, same_id);
    if (ev_now(s->loop) - c->last < PLX_WS_SILENT_S ||
        recv(c->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
        return false;
    plx_log_limited(PLX_WARNING, "no descriptor is left: closing the connection that has waited "
                                 "for longest without a request");
    plx_ws_conn_kill(c);
    return true;
}

static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    plx_ws_server *s = io->data;
    for (int i = 0; i < ACCEPT_TURN; i++) {
        int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            set_options(fd);
            s->counters.accepted++;
            plx_ws_conn_new(s, fd);
        } else if (is_exhausted(errno)) {
            int err = errno;
            if (make_room(s))
                continue;
            /* Waiting peers stay in the kernel's queue; trying again at once would only spin. */
            plx_log_limited(PLX_ERROR, "no descriptor for a new connection (%zu are open): %s",
                            plx_ws_server_count(s), strerror(err));
            ev_io_stop(loop, io);
            ev_timer_set(&s->accept_pause, ACCEPT_PAUSE_S, 0.);
            ev_timer_start(loop, &s->accept_pause);
            return;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } /* else: that one connection is gone already */
    }
}

static void on_accept_again(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)events;
    plx_ws_server *s = t->data;
    if (!s->draining)
        ev_io_start(loop, &s->accept);
}

void plx_ws_server_listen(plx_ws_server *s, int fd)
{
    ev_io_set(&s->accept, fd, EV_READ);
    ev_io_start(s->loop, &s->accept);
}

/* ---- ids: one entry for each id, the rest in a ring ---- */

void plx_ws_server_add_id(plx_ws_conn *c)
{
    plx_slice id = c->socket->id;
    if (id.len == 0)
        return;
    plx_ws_conn *other = plx_map_get(c->server->ids, id);
    c->in_id_map = true;
    if (other)
        plx_list_push(&other->same_id, &c->same_id);
    else
        plx_map_put(c->server->ids, id, c);
}

void plx_ws_server_remove_id(plx_ws_conn *c)
{
    if (!c->in_id_map)
        return;
    plx_map *ids = c->server->ids;
    c->in_id_map = false;
    if (plx_map_get(ids, c->socket->id) == c) {
        if (plx_list_empty(&c->same_id)) {
            plx_map_remove(ids, c->socket->id);
        } else {
            plx_ws_conn *other = PLX_CONTAINER(c->same_id.next, plx_ws_conn, same_id);
            plx_map_put(ids, other->socket->id, other);
        }
    }
    plx_list_remove(&c->same_id);
}

static unsigned on_disconnect(plx_control *control, plx_slice id)
{
    plx_ws_server *s = PLX_CONTAINER(control, plx_ws_server, control);
    unsigned closed = 0;
    plx_ws_conn *c;
    while ((c = plx_map_get(s->ids, id))) {
        plx_ws_conn_close(c, PLX_WS_GOING_AWAY, true);
        assert(!c->in_id_map); /* only open ones are in it, and closing takes them out */
        closed++;
    }
    return closed;
}

/* Closing may drop a connection that does not read: then it has left the ring. */
static unsigned on_unsubscribe(plx_control *control, plx_slice id, plx_slice topic,
                               const plx_position *after)
{
    plx_ws_server *s = PLX_CONTAINER(control, plx_ws_server, control);
    plx_ws_conn *first = plx_map_get(s->ids, id);
    plx_list *n = first ? &first->same_id : NULL;
    unsigned closed = 0;
    for (size_t left = first ? plx_list_count(n) + 1 : 0; left > 0; left--) {
        plx_ws_conn *c = PLX_CONTAINER(n, plx_ws_conn, same_id);
        plx_membership *m = plx_socket_find(c->socket, topic);
        n = n->next;
        if (!m)
            continue;
        plx_membership_close(m, after);
        plx_ws_socket_release(c);
        closed++;
    }
    return closed;
}

/* The channels of this topic that are joined. */
static uint64_t channels_of(const plx_ws_server *s, plx_slice topic)
{
    uint64_t count = 0;
    for (const plx_list *n = s->conns.next; n != &s->conns; n = n->next) {
        const plx_ws_conn *c = PLX_CONTAINER(n, plx_ws_conn, node);
        const plx_membership *m = c->socket ? plx_socket_find(c->socket, topic) : NULL;
        count += m && m->state == PLX_JOINED;
    }
    return count;
}

static void tell_about(const plx_ws_server *s, plx_slice about, json_object *report)
{
    plx_slice what;
    const plx_ws_conn *c;
    if (plx_report_is_about(about, PLX_ABOUT_TOPIC, &what))
        plx_report_count(report, "about", channels_of(s, what));
    else if (plx_report_is_about(about, PLX_ABOUT_ID, &what) && (c = plx_map_get(s->ids, what)))
        plx_report_count(report, "about", plx_list_count(&c->same_id) + 1);
}

static json_object *report_of(const plx_ws_server *s)
{
    json_object *report = plx_report_new(s->store, "websocket");
    plx_ws_counters c;
    plx_ws_server_counters(s, &c);
    plx_report_count(report, "websockets", s->open);
    plx_report_count(report, "channels", plx_counted.memberships);
    plx_report_count(report, "accepted", c.accepted);
    plx_report_count(report, "opened", c.opened);
    plx_report_count(report, "refused", c.refused);
    plx_report_count(report, "unavailable", c.unavailable);
    plx_report_count(report, "expired", c.expired);
    plx_report_count(report, "bad_requests", c.bad_requests);
    plx_report_count(report, "slow", c.slow);
    plx_report_count(report, "faults", c.faults);
    plx_report_count(report, "idle", c.idle);
    plx_report_count(report, "skipped", c.skipped);
    return report;
}

static void on_report(plx_control *control, plx_slice about, plx_buf *out)
{
    const plx_ws_server *s = PLX_CONTAINER(control, plx_ws_server, control);
    json_object *report = report_of(s);
    tell_about(s, about, report);
    plx_report_finish(report, out);
}

static void on_tally(plx_control *control, plx_buf *out)
{
    plx_report_finish_summary(report_of(PLX_CONTAINER(control, plx_ws_server, control)), out);
}

static void on_inform(plx_control *control, plx_slice id, plx_slice body)
{
    plx_ws_server *s = PLX_CONTAINER(control, plx_ws_server, control);
    plx_ws_conn *first = plx_map_get(s->ids, id);
    plx_list *n = first ? &first->same_id : NULL;
    plx_info info;
    if (!first || plx_info_unpack(body, &info) != 0 || info.slot > 0)
        return;
    for (size_t left = plx_list_count(n) + 1; left > 0; left--) {
        plx_ws_conn *c = PLX_CONTAINER(n, plx_ws_conn, same_id);
        n = n->next;
        if (plx_socket_inform(c->socket, info.topic, NULL, info.name, info.message) != 0)
            plx_log_limited(PLX_WARNING, "%s: a message to handle_info was dropped, too many wait",
                            c->config->path);
    }
}

/* ---- draining ---- */

static void finish_drain(plx_ws_server *s)
{
    if (!s->drained || !plx_list_empty(&s->conns))
        return;
    void (*done)(void *arg) = s->drained;
    s->drained = NULL;
    ev_timer_stop(s->loop, &s->drain);
    done(s->drained_arg);
}

/* Closes the next few; connections that are still at their head get until the end of the spreading
 * to become a WebSocket, which is then told the same. */
static void on_drain(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)events;
    plx_ws_server *s = t->data;
    unsigned left = s->drain_batch;
    bool overdue = ev_now(loop) >= s->drain_end;
    plx_list *next;
    for (plx_list *n = s->conns.next; n != &s->conns && (left > 0 || overdue); n = next) {
        plx_ws_conn *c = PLX_CONTAINER(n, plx_ws_conn, node);
        next = n->next;
        if (c->state == PLX_WS_OPEN) {
            plx_ws_conn_close(c, PLX_WS_RESTART, true);
            left -= left > 0;
        } else if (overdue && c->state == PLX_WS_ASKING) {
            plx_ws_open_timeout(c);
        } else if (overdue && c->state < PLX_WS_OPEN) {
            plx_ws_conn_kill(c);
        }
    }
    finish_drain(s);
}

void plx_ws_server_drain(plx_ws_server *s, uint64_t spread_ms, void (*done)(void *arg), void *arg)
{
    ev_tstamp spread = (ev_tstamp)spread_ms / 1000.;
    size_t count = plx_ws_server_count(s);
    size_t steps = (size_t)(spread / DRAIN_STEP_S) + 1;
    s->draining = true;
    s->drained = done;
    s->drained_arg = arg;
    s->drain_batch = (unsigned)(count / steps) + 1;
    if (s->drain_batch < DRAIN_AT_ONCE)
        s->drain_batch = DRAIN_AT_ONCE;
    ev_tstamp needed = (ev_tstamp)count / s->drain_batch * DRAIN_STEP_S;
    s->drain_end = ev_now(s->loop) + needed + PLX_WS_CLOSE_S;
    ev_io_stop(s->loop, &s->accept);
    ev_timer_stop(s->loop, &s->accept_pause);
    ev_timer_set(&s->drain, 0., DRAIN_STEP_S);
    ev_timer_start(s->loop, &s->drain);
}

/* ---- between two loop turns ---- */

static void on_prepare(struct ev_loop *loop, ev_prepare *p, int events)
{
    (void)loop;
    (void)events;
    plx_ws_server *s = p->data;
    plx_list *n;
    while ((n = plx_list_shift(&s->attention)))
        plx_ws_conn_look(PLX_CONTAINER(n, plx_ws_conn, attention));
}

/* ---- life ---- */

plx_ws_server *plx_ws_server_new(plx_store *store, const plx_config *config,
                                 const plx_channels *channels)
{
    plx_ws_server *s = plx_alloc_zero(1, sizeof *s);
    s->loop = plx_store_loop(store);
    s->store = store;
    s->config = config;
    s->channels = channels;
    s->ids = plx_map_new();
    plx_ws_encoder_init(&s->encoder);
    plx_buf_init(&s->message, 0);
    plx_list_init(&s->conns);
    plx_list_init(&s->attention);
    plx_list_init(&s->strangers);
    ev_init(&s->accept, on_accept);
    s->accept.data = s;
    ev_init(&s->accept_pause, on_accept_again);
    s->accept_pause.data = s;
    ev_init(&s->drain, on_drain);
    s->drain.data = s;
    ev_prepare_init(&s->prepare, on_prepare);
    /* Before the store's: closing a socket may make it publish. */
    ev_set_priority(&s->prepare, EV_MAXPRI);
    s->prepare.data = s;
    ev_prepare_start(s->loop, &s->prepare);
    s->control.disconnect = on_disconnect;
    s->control.unsubscribe = on_unsubscribe;
    s->control.inform = on_inform;
    s->control.report = on_report;
    s->control.tally = on_tally;
    plx_control_set(store, &s->control);
    plx_ws_presence_init(s);
    return s;
}

void plx_ws_server_counters(const plx_ws_server *s, plx_ws_counters *out)
{
    *out = s->counters;
    out->skipped = s->encoder.skipped;
}

size_t plx_ws_server_count(const plx_ws_server *s)
{
    return plx_list_count(&s->conns);
}

void plx_ws_server_free(plx_ws_server *s)
{
    while (!plx_list_empty(&s->conns))
        plx_ws_conn_free(PLX_CONTAINER(s->conns.next, plx_ws_conn, node));
    plx_control_set(s->store, NULL);
    plx_ws_presence_fini(s);
    ev_io_stop(s->loop, &s->accept);
    ev_timer_stop(s->loop, &s->accept_pause);
    ev_timer_stop(s->loop, &s->drain);
    ev_prepare_stop(s->loop, &s->prepare);
    plx_map_free(s->ids);
    plx_ws_encoder_fini(&s->encoder);
    plx_buf_fini(&s->message);
    free(s);
}
