/* One connection from a web server: bytes in, bytes out. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "fcgi/peer_internal.h"
#include "fcgi/answer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

void plx_peer_lose(plx_peer *p)
{
    if (p->state == PLX_PEER_DEAD)
        return;
    p->state = PLX_PEER_DEAD;
    ev_io_stop(p->host->loop, &p->io);
    close(p->fd);
    plx_host_uncount(p);
    plx_list_remove(&p->link);
    plx_list_push(&p->host->dead_peers, &p->link);
    p->host->peer_count--;
    if (p->call != NULL)
        plx_call_cut_off(p->call);
}

void plx_peer_free(plx_peer *p)
{
    plx_list_remove(&p->link);
    plx_intake_fini(&p->intake);
    plx_buf_fini(&p->out);
    free(p);
}

/* ---- out ---- */

static void watch(plx_peer *p)
{
    /* A peer that does not take our records need not send us more to answer, nor one whose next
     * request has to wait. */
    bool enough = p->unsent > PLX_PEER_READ_BYTES ||
                  (p->intake.waiting && plx_intake_held(&p->intake) > PLX_PEER_READ_BYTES);
    int events = (enough ? 0 : EV_READ) | (p->unsent > 0 ? EV_WRITE : 0);

    if (p->state == PLX_PEER_DEAD || p->io.events == events)
        return;
    ev_io_stop(p->host->loop, &p->io);
    ev_io_set(&p->io, p->fd, events);
    ev_io_start(p->host->loop, &p->io);
}

/* Sends what the socket takes. False: the connection is broken. */
static bool send_some(plx_peer *p)
{
    while (p->sent < p->out.len) {
        ssize_t n =
            send(p->fd, p->out.data + p->sent, p->out.len - p->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        p->sent += (size_t)n;
        p->progress_ms = plx_now_ms();
    }
    plx_buf_fini(&p->out);
    p->sent = 0;
    return true;
}

static void linger(plx_peer *p)
{
    shutdown(p->fd, SHUT_WR);
    p->state = PLX_PEER_LINGER;
    p->progress_ms = plx_now_ms();
    plx_host_count_staged(p);
}

static void flush(plx_peer *p)
{
    if (p->state == PLX_PEER_DEAD)
        return;
    if (!send_some(p)) {
        plx_peer_lose(p);
        return;
    }
    plx_host_count_unsent(p);
    if (p->state == PLX_PEER_CLOSING && p->unsent == 0)
        linger(p);
    watch(p);
}

static void close_after(plx_peer *p)
{
    p->state = PLX_PEER_CLOSING;
    plx_intake_fini(&p->intake);
    plx_host_count_staged(p);
}

/* The request has all of its answer in `out`. */
static void finish(plx_peer *p)
{
    bool stay = p->intake.keep && !p->host->draining;

    plx_intake_done(&p->intake);
    p->progress_ms = plx_now_ms();
    if (!stay)
        close_after(p);
    flush(p);
}

void plx_peer_answer(plx_peer *p, const plx_http_response *response)
{
    plx_buf head;
    int rc;

    plx_buf_init(&head, 0);
    plx_answer_head(response, &head);
    rc = plx_codec_encode(p->host->codec, p->intake.id, plx_buf_slice(&head), response->body,
                          &p->out);
    plx_buf_fini(&head);
    if (rc == 0)
        finish(p);
    else
        plx_peer_lose(p);
}

/* ---- in ---- */

static void on_request(plx_peer *p)
{
    if (p->host->in_calls <= p->host->staged_max) {
        plx_call_start(p);
        return;
    }
    plx_log_limited(PLX_WARNING, "requests under way hold %zu bytes: answering 503",
                    p->host->in_calls);
    plx_peer_answer(p, plx_answer_error(503));
}

static void on_abort(plx_peer *p)
{
    if (p->call != NULL)
        plx_call_cut_off(p->call);
    plx_record_end(&p->out, p->intake.id, FCGI_REQUEST_COMPLETE);
    finish(p);
}

/* One event of the intake; false: no more for now. */
static bool step(plx_peer *p)
{
    switch (plx_intake_next(&p->intake, &p->out)) {
    case PLX_INTAKE_MORE:
        return false;
    case PLX_INTAKE_REQUEST:
        p->known = true;
        on_request(p);
        break;
    case PLX_INTAKE_REFUSED:
        p->known = true;
        plx_peer_answer(p, plx_answer_error(p->intake.refused));
        break;
    case PLX_INTAKE_ABORTED:
        on_abort(p);
        break;
    case PLX_INTAKE_CLOSE:
        close_after(p);
        break;
    case PLX_INTAKE_BROKEN:
        plx_log_limited(PLX_WARNING, "what a connection sent is no FastCGI: closed");
        plx_peer_lose(p);
        break;
    }
    return p->state == PLX_PEER_OPEN;
}

static void work(plx_peer *p)
{
    while (step(p))
        ;
    if (p->state == PLX_PEER_DEAD)
        return;
    plx_host_count_staged(p);
    flush(p);
}

void plx_peer_read(plx_peer *p)
{
    plx_host *h = p->host;
    ssize_t n = recv(p->fd, h->scratch, sizeof h->scratch, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (n <= 0) {
        plx_peer_lose(p);
        return;
    }
    if (p->state != PLX_PEER_OPEN)
        return;
    p->progress_ms = plx_now_ms();
    plx_intake_feed(&p->intake, h->scratch, (size_t)n);
    work(p);
}

void plx_peer_resume(plx_peer *p)
{
    if (p->state == PLX_PEER_OPEN && plx_intake_held(&p->intake) > 0)
        work(p);
}

static void on_io(struct ev_loop *loop, ev_io *w, int revents)
{
    plx_peer *p = w->data;

    (void)loop;
    if (revents & EV_WRITE)
        flush(p);
    if ((revents & EV_READ) && p->state != PLX_PEER_DEAD)
        plx_peer_read(p);
}

void plx_peer_open(plx_host *h, int fd)
{
    plx_peer *p = plx_alloc_zero(1, sizeof *p);

    p->host = h;
    p->fd = fd;
    p->progress_ms = plx_now_ms();
    plx_list_init(&p->wait);
    plx_list_init(&p->wait_out);
    plx_list_init(&p->link);
    plx_list_push(&h->peers, &p->link);
    h->peer_count++;
    plx_intake_init(&p->intake, h->config->max_body_bytes);
    plx_buf_init(&p->out, 0);
    ev_io_init(&p->io, on_io, fd, EV_READ);
    p->io.data = p;
    ev_io_start(h->loop, &p->io);
}
