/* A connection's life.
 *
 *   READING_HEAD --> (ASKING) --> OPEN --> CLOSING --> DEAD
 *        |              |`-> REFUSING -------^  ^         ^
 *        `--------------`--- an HTTP answer ----'         |   (any state: the peer is gone)
 *
 * (The way to REFUSING is the same from READING_HEAD.) While ASKING the application decides who it
 * is; the peer's next bytes, should it already send some, wait in the stash and no more is read.
 *
 * CLOSING means: our last bytes (close frame or HTTP answer) are queued. When they
 * are written, our side of the TCP connection is ended at once, or, where the peer
 * may still answer our close frame, after that; then we wait for the peer to end
 * its side, so that the kernel has no unread bytes to answer with a reset, which
 * could overtake what we said. All of that within PLX_WS_CLOSE_S.
 */
#include "transport/ws_internal.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* So many frames are gathered before they are written without waiting for the turn's end. */
#define GATHERED_FRAMES 32

static void on_io(struct ev_loop *loop, ev_io *io, int events);
static void on_timer(struct ev_loop *loop, ev_timer *t, int events);

void plx_ws_conn_attend(plx_ws_conn *c)
{
    if (plx_list_empty(&c->attention))
        plx_list_push(&c->server->attention, &c->attention);
}

void plx_ws_conn_deadline(plx_ws_conn *c, ev_tstamp seconds)
{
    ev_timer_stop(c->server->loop, &c->timer);
    ev_timer_set(&c->timer, seconds, 0.);
    ev_timer_start(c->server->loop, &c->timer);
}

void plx_ws_conn_new(plx_ws_server *s, int fd)
{
    plx_ws_conn *c = plx_alloc_zero(1, sizeof *c);
    c->server = s;
    c->last = ev_now(s->loop);
    plx_list_init(&c->attention);
    plx_list_init(&c->same_id);
    plx_list_init(&c->node);
    plx_list_push(&s->conns, &c->node);
    plx_list_push(&s->strangers, &c->same_id);
    c->head = plx_ws_head_new();
    ev_io_init(&c->io, on_io, fd, EV_READ);
    /* What has arrived is read before a deadline is judged, also after this process was stopped for
     * a while. */
    ev_set_priority(&c->io, 1);
    c->io.data = c;
    ev_timer_init(&c->timer, on_timer, 0., 0.);
    c->timer.data = c;
    ev_io_start(s->loop, &c->io);
    plx_ws_conn_deadline(c, PLX_WS_HEAD_S);
}

static void listen_for(plx_ws_conn *c, int events)
{
    if (c->io.events == events && ev_is_active(&c->io))
        return;
    int fd = c->io.fd;
    ev_io_stop(c->server->loop, &c->io);
    ev_io_set(&c->io, fd, events);
    if (events)
        ev_io_start(c->server->loop, &c->io);
}

static int wanted_events(const plx_ws_conn *c, bool blocked)
{
    bool reads = !c->paused && c->state != PLX_WS_REFUSING;
    return (reads ? EV_READ : 0) | (blocked ? EV_WRITE : 0);
}

static bool is_blocked(const plx_ws_conn *c)
{
    return ev_is_active(&c->io) && (c->io.events & EV_WRITE);
}

/* ---- ending ---- */

/* The state is about to change for good. */
static void leave_state(plx_ws_conn *c)
{
    if (c->state == PLX_WS_READING_HEAD)
        plx_list_remove(&c->same_id);
    if (c->state == PLX_WS_REFUSING)
        c->server->refusing--;
    if (c->state == PLX_WS_OPEN)
        c->server->open--;
    if (c->asking)
        plx_connect_cancel(c->asking);
    c->asking = NULL;
    plx_ws_expiry_stop(c);
}

void plx_ws_conn_kill(plx_ws_conn *c)
{
    if (c->state == PLX_WS_DEAD)
        return;
    leave_state(c);
    c->state = PLX_WS_DEAD;
    ev_io_stop(c->server->loop, &c->io);
    ev_timer_stop(c->server->loop, &c->timer);
    close(c->io.fd);
    plx_ws_server_remove_id(c);
    plx_ws_conn_attend(c);
}

/* Our last bytes are queued. */
static void begin_closing(plx_ws_conn *c)
{
    leave_state(c);
    c->state = PLX_WS_CLOSING;
    c->paused = false;
    plx_ws_server_remove_id(c);
    plx_ws_conn_deadline(c, PLX_WS_CLOSE_S);
    listen_for(c, wanted_events(c, is_blocked(c)));
    plx_ws_conn_attend(c);
}

void plx_ws_conn_close(plx_ws_conn *c, unsigned code, bool wait)
{
    if (c->state != PLX_WS_OPEN)
        return;
    const char *reason = code == PLX_WS_UNAUTHORIZED ? "token expired" : "";
    plx_blob *frame = plx_ws_encode_close(code, plx_slice_of(reason));
    plx_ws_out_push(&c->out, frame);
    plx_blob_unref(frame);
    c->shut_due = !wait;
    c->discard = !wait;
    begin_closing(c);
}

void plx_ws_conn_answer(plx_ws_conn *c, plx_slice answer)
{
    plx_blob *bytes = plx_blob_new(answer);
    plx_ws_out_push(&c->out, bytes);
    plx_blob_unref(bytes);
    plx_ws_head_free(c->head);
    c->head = NULL;
    c->shut_due = c->discard = true;
    begin_closing(c);
}

/* The peer broke a rule. */
static void fail(plx_ws_conn *c, unsigned code)
{
    if (c->state == PLX_WS_OPEN) {
        c->server->counters.faults++;
        plx_ws_conn_close(c, code, false);
    } else {
        c->discard = c->shut_due = true;
        plx_ws_conn_attend(c);
    }
}

/* The peer's close frame: an answer to ours, or to be answered (always with 1000, as recorded). */
static void peer_closes(plx_ws_conn *c)
{
    plx_ws_conn_close(c, PLX_WS_NORMAL, false);
    c->discard = c->shut_due = true;
    plx_ws_conn_attend(c);
}

/* ---- writing ---- */

static void flush(plx_ws_conn *c)
{
    int rc = plx_ws_out_flush(&c->out, c->io.fd);
    if (rc == PLX_E_SYSTEM) {
        plx_ws_conn_kill(c);
        return;
    }
    listen_for(c, wanted_events(c, rc == PLX_E_BUSY));
    if (c->paused && c->socket)
        plx_ws_socket_relieve(c);
    if (rc == 0 && c->shut_due && !c->shut) {
        shutdown(c->io.fd, SHUT_WR);
        c->shut = true;
    }
}

static void drop_slow(plx_ws_conn *c)
{
    c->server->counters.slow++;
    plx_log_limited(PLX_WARNING, "%s: a connection was dropped, %zu bytes wait for it to read",
                    c->config->path, c->out.bytes);
    plx_ws_conn_kill(c);
}

void plx_ws_conn_send(plx_ws_conn *c, plx_blob *frame)
{
    const size_t max = c->server->config->queue_bytes;
    if (c->state != PLX_WS_OPEN)
        return;
    bool over = c->out.bytes > 0 && c->out.bytes + frame->len > max;
    if ((over || c->out.count >= GATHERED_FRAMES) && !is_blocked(c)) {
        flush(c);
        over = c->out.bytes > 0 && c->out.bytes + frame->len > max;
    }
    if (c->state == PLX_WS_OPEN && over)
        drop_slow(c);
    if (c->state != PLX_WS_OPEN)
        return;
    plx_ws_out_push(&c->out, frame);
    plx_ws_conn_attend(c);
}

/* ---- reading ---- */

static void take_message(plx_ws_conn *c, bool binary, const plx_ws_message *frame)
{
    plx_ws_server *s = c->server;
    plx_slice bytes = frame->payload;
    plx_message message;
    if (frame->compressed) {
        int rc = plx_ws_inflate(s->encoder.zip, bytes, c->config->ws_max_frame_bytes, &bytes);
        if (rc != 0 || (!binary && !plx_utf8_valid(bytes))) {
            fail(c, rc == PLX_E_TOOBIG ? PLX_WS_TOO_BIG : PLX_WS_BAD_TEXT);
            return;
        }
    }
    if (plx_decode(c->vsn, binary, bytes, &s->message, &message) != 0)
        fail(c, PLX_WS_SERVER_ERROR);
    else
        plx_socket_handle(c->socket, &message);
}

static void take_event(plx_ws_conn *c, enum plx_ws_event event, const plx_ws_message *frame)
{
    switch (event) {
    case PLX_WS_CLOSE:
        peer_closes(c);
        return;
    case PLX_WS_FAULT:
        fail(c, frame->code);
        return;
    case PLX_WS_PING:
        if (c->state == PLX_WS_OPEN) {
            plx_blob *pong = plx_ws_encode_control(PLX_WS_OP_PONG, frame->payload);
            plx_ws_conn_send(c, pong);
            plx_blob_unref(pong);
        }
        return;
    case PLX_WS_TEXT:
    case PLX_WS_BINARY:
        if (c->state == PLX_WS_OPEN)
            take_message(c, event == PLX_WS_BINARY, frame);
        return;
    case PLX_WS_PONG:
    case PLX_WS_MORE:
        return;
    }
}

/* The core, or the application, has enough for now: what was read already is kept, and no more is
 * read. */
static void pause_reading(plx_ws_conn *c, const char *bytes, size_t len)
{
    c->paused = true;
    c->relieved = false;
    if (len > 0) {
        c->stash = plx_alloc(sizeof *c->stash);
        plx_buf_init(c->stash, 0); /* no more than one read */
        plx_buf_append(c->stash, bytes, len);
    }
    listen_for(c, wanted_events(c, is_blocked(c)));
}

static void take_frames(plx_ws_conn *c, char *bytes, size_t len)
{
    const plx_ws_rules rules = {c->config->ws_max_frame_bytes, c->deflate.on};
    plx_ws_message frame;
    while (c->state != PLX_WS_DEAD && !c->discard) {
        enum plx_ws_event event = plx_ws_read(&c->reader, &rules, &bytes, &len, &frame);
        if (event == PLX_WS_MORE)
            return;
        take_event(c, event, &frame);
        if (c->state == PLX_WS_OPEN && plx_ws_socket_busy(c)) {
            pause_reading(c, bytes, len);
            return;
        }
    }
}

static void take(plx_ws_conn *c, char *bytes, size_t len)
{
    if (c->state == PLX_WS_READING_HEAD)
        plx_ws_open_feed(c, &bytes, &len);
    if (c->state == PLX_WS_ASKING && len > 0)
        pause_reading(c, bytes, len);
    if ((c->state == PLX_WS_OPEN || c->state == PLX_WS_CLOSING) && !c->discard)
        take_frames(c, bytes, len);
}

static void read_some(plx_ws_conn *c)
{
    plx_ws_server *s = c->server;
    ssize_t n = recv(c->io.fd, s->bytes, sizeof s->bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (n <= 0) {
        plx_ws_conn_kill(c);
        return;
    }
    c->last = ev_now(s->loop);
    if (c->state == PLX_WS_READING_HEAD)
        plx_list_remove(&c->same_id);
    take(c, s->bytes, (size_t)n);
    if (c->state == PLX_WS_READING_HEAD)
        plx_list_push(&s->strangers, &c->same_id);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    plx_ws_conn *c = io->data;
    if (events & EV_WRITE)
        flush(c);
    if ((events & EV_READ) && c->state != PLX_WS_DEAD && !c->paused)
        read_some(c);
}

/* The core is no longer busy. */
static void go_on_reading(plx_ws_conn *c)
{
    plx_buf *stash = c->stash;
    c->relieved = c->paused = false;
    c->stash = NULL;
    if (stash) {
        take_frames(c, stash->data, stash->len);
        plx_buf_fini(stash);
        free(stash);
    }
    if (c->state != PLX_WS_DEAD)
        listen_for(c, wanted_events(c, is_blocked(c)));
}

/* ---- deadlines ---- */

void plx_ws_conn_opened(plx_ws_conn *c)
{
    c->state = PLX_WS_OPEN;
    c->server->open++;
    plx_ws_head_free(c->head);
    c->head = NULL;
    plx_ws_conn_deadline(c, (ev_tstamp)c->config->ws_timeout_ms / 1000.);
}

/* Only what the client says counts. The timer was not moved then: it is now. */
static void judge_silence(plx_ws_conn *c)
{
    ev_tstamp timeout = (ev_tstamp)c->config->ws_timeout_ms / 1000.;
    ev_tstamp left = c->last + timeout - ev_now(c->server->loop);
    if (c->paused)
        left = timeout; /* it may have said something that we did not want to hear */
    if (left > 0.001) {
        plx_ws_conn_deadline(c, left);
        return;
    }
    c->server->counters.idle++;
    plx_ws_conn_close(c, PLX_WS_PROTOCOL_ERROR, true);
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)loop;
    (void)events;
    plx_ws_conn *c = t->data;
    switch ((enum plx_ws_state)c->state) {
    case PLX_WS_READING_HEAD:
    case PLX_WS_ASKING:
    case PLX_WS_REFUSING:
        plx_ws_open_timeout(c);
        break;
    case PLX_WS_OPEN:
        judge_silence(c);
        break;
    case PLX_WS_CLOSING:
        plx_ws_conn_kill(c);
        break;
    case PLX_WS_DEAD:
        break;
    }
}

/* ---- between two loop turns ---- */

void plx_ws_conn_free(plx_ws_conn *c)
{
    plx_ws_conn_kill(c);
    plx_ws_socket_close(c);
    plx_list_remove(&c->attention);
    plx_list_remove(&c->node);
    plx_ws_head_free(c->head);
    plx_ws_expiry_free(c);
    plx_ws_holds_free(c->holds);
    plx_ws_reader_fini(&c->reader);
    plx_ws_out_fini(&c->out);
    if (c->stash)
        plx_buf_fini(c->stash);
    free(c->stash);
    free(c);
}

void plx_ws_conn_look(plx_ws_conn *c)
{
    if (c->state != PLX_WS_DEAD && c->relieved && c->paused)
        go_on_reading(c);
    if (c->state != PLX_WS_DEAD)
        flush(c);
    if (c->state >= PLX_WS_CLOSING)
        plx_ws_socket_close(c);
    if (c->state == PLX_WS_DEAD)
        plx_ws_conn_free(c);
}
