/* All connections of a worker: what they may hold together, how long they may stall, their end. */
#include "base/clock.h"
#include "base/log.h"
#include "fcgi/peer_internal.h"

#define SWEEP_S       1.0
#define DRAIN_WAIT_MS 1000 /* for the rest of a request, once we are to stop */
#define DRAIN_IDLE_S  0.3  /* for another request on an idle connection */

/* ---- counting ---- */

/* Puts the node at the list's end, or takes it out; one that is in already keeps its place. */
static void enlist(plx_host *h, plx_list *list, plx_list *node, bool in)
{
    if (!in) {
        plx_list_remove(node);
    } else if (plx_list_empty(node)) {
        plx_list_push(list, node);
        if (!ev_is_active(&h->sweep))
            ev_timer_again(h->loop, &h->sweep);
    }
}

static bool is_incoming(const plx_peer *p)
{
    if (p->state == PLX_PEER_LINGER)
        return true;
    return p->state == PLX_PEER_OPEN && (p->staged > 0 || plx_intake_partial(&p->intake));
}

void plx_host_count_staged(plx_peer *p)
{
    plx_host *h = p->host;
    size_t now = plx_intake_held(&p->intake);

    h->staged += now - p->staged;
    p->staged = now;
    enlist(h, &h->incoming, &p->wait, is_incoming(p));
    while (h->staged > h->staged_max && !plx_list_empty(&h->incoming)) {
        plx_log_limited(PLX_WARNING,
                        "unfinished requests take more than %zu bytes: closing the one that has "
                        "been coming in for longest",
                        h->staged_max);
        plx_peer_lose(PLX_CONTAINER(h->incoming.next, plx_peer, wait));
    }
}

void plx_host_count_unsent(plx_peer *p)
{
    plx_host *h = p->host;
    size_t now = p->out.len - p->sent;

    h->unsent += now - p->unsent;
    p->unsent = now;
    enlist(h, &h->outgoing, &p->wait_out, now > 0);
    while (h->unsent > h->unsent_max && !plx_list_empty(&h->outgoing)) {
        plx_log_limited(PLX_WARNING,
                        "answers that are not taken have more than %zu bytes: closing the one that "
                        "has been going out for longest",
                        h->unsent_max);
        plx_peer_lose(PLX_CONTAINER(h->outgoing.next, plx_peer, wait_out));
    }
}

void plx_host_uncount(plx_peer *p)
{
    p->host->staged -= p->staged;
    p->host->unsent -= p->unsent;
    p->staged = p->unsent = 0;
    plx_list_remove(&p->wait);
    plx_list_remove(&p->wait_out);
}

/* ---- stalled ones ---- */

static uint64_t patience_ms(const plx_host *h, const plx_peer *p)
{
    if (p->state == PLX_PEER_LINGER)
        return PLX_PEER_LINGER_MS;
    return h->draining && h->stall_ms > DRAIN_WAIT_MS ? DRAIN_WAIT_MS : h->stall_ms;
}

static void lose_if_stalled(plx_host *h, plx_peer *p, uint64_t now_ms)
{
    if (now_ms - p->progress_ms >= patience_ms(h, p))
        plx_peer_lose(p);
}

/* Closing a peer calls its handler, and what that does may close others: so each walk takes the
 * nodes one by one off a list of its own, from where closing takes them too. */
void plx_host_sweep(plx_host *h)
{
    uint64_t now = plx_now_ms();
    plx_list rest, *node;

    plx_list_init(&rest);
    plx_list_splice(&rest, &h->incoming);
    while ((node = plx_list_shift(&rest)) != NULL) {
        plx_list_push(&h->incoming, node);
        lose_if_stalled(h, PLX_CONTAINER(node, plx_peer, wait), now);
    }
    plx_list_splice(&rest, &h->outgoing);
    while ((node = plx_list_shift(&rest)) != NULL) {
        plx_list_push(&h->outgoing, node);
        lose_if_stalled(h, PLX_CONTAINER(node, plx_peer, wait_out), now);
    }
    if (plx_list_empty(&h->incoming) && plx_list_empty(&h->outgoing))
        ev_timer_stop(h->loop, &h->sweep);
}

static void on_sweep(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop;
    (void)revents;
    plx_host_sweep(w->data);
}

/* ---- no descriptors ---- */

static bool is_stranger(const plx_peer *p)
{
    return p->state == PLX_PEER_OPEN && !p->known && p->unsent == 0;
}

static plx_peer *most_silent(const plx_host *h)
{
    plx_peer *found = NULL;

    for (const plx_list *node = h->peers.next; node != &h->peers; node = node->next) {
        plx_peer *p = PLX_CONTAINER((plx_list *)node, plx_peer, link);
        if (is_stranger(p) && (found == NULL || p->progress_ms < found->progress_ms))
            found = p;
    }
    return found;
}

bool plx_host_make_room(plx_host *h)
{
    plx_peer *p;
    uint64_t now = plx_now_ms(), asked_ms;

    while ((p = most_silent(h)) != NULL && p->progress_ms + PLX_PEER_SILENT_MS <= now) {
        asked_ms = p->progress_ms;
        plx_peer_read(p); /* something may be there: this loop's turn may have been long */
        if (p->state == PLX_PEER_DEAD)
            return true;
        if (p->known || p->progress_ms != asked_ms)
            continue;
        plx_log_limited(PLX_WARNING, "no descriptors are left: closing the connection that has "
                                     "waited for longest without sending a request");
        plx_peer_lose(p);
        return true;
    }
    return false;
}

/* ---- beginning and end ---- */

static void reap(plx_host *h)
{
    plx_list *node;

    while ((node = plx_list_shift(&h->dead_calls)) != NULL)
        plx_call_free(PLX_CONTAINER(node, plx_call, link));
    while ((node = plx_list_shift(&h->dead_peers)) != NULL)
        plx_peer_free(PLX_CONTAINER(node, plx_peer, link));
}

static void on_reap(struct ev_loop *loop, ev_prepare *w, int revents)
{
    plx_host *h = w->data;
    void (*emptied)(plx_host *) = h->emptied;

    (void)loop;
    (void)revents;
    reap(h);
    if (!h->draining || h->peer_count > 0 || emptied == NULL)
        return;
    h->emptied = NULL;
    emptied(h);
}

static bool is_idle(const plx_peer *p)
{
    return p->state == PLX_PEER_OPEN && p->call == NULL && p->unsent == 0 &&
           !plx_intake_partial(&p->intake);
}

static void close_idle(plx_host *h)
{
    plx_list rest, *node;

    plx_list_init(&rest);
    plx_list_splice(&rest, &h->peers);
    while ((node = plx_list_shift(&rest)) != NULL) {
        plx_peer *p = PLX_CONTAINER(node, plx_peer, link);
        plx_list_push(&h->peers, node);
        plx_peer_read(p); /* a request may be there already */
        if (is_idle(p))
            plx_peer_lose(p);
    }
}

static void on_idle_end(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop;
    (void)revents;
    close_idle(w->data);
}

void plx_host_start(plx_host *h)
{
    plx_list *lists[] = {&h->peers, &h->incoming,   &h->outgoing,
                         &h->calls, &h->dead_peers, &h->dead_calls};

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        plx_list_init(lists[i]);
    ev_prepare_init(&h->reap, on_reap);
    h->reap.data = h;
    ev_prepare_start(h->loop, &h->reap);
    ev_init(&h->sweep, on_sweep);
    h->sweep.repeat = SWEEP_S;
    h->sweep.data = h;
    ev_timer_init(&h->idle_end, on_idle_end, DRAIN_IDLE_S, 0);
    h->idle_end.data = h;
}

/* A request and our close may cross on the way, and FastCGI has no word for "this is the last one".
 * So connections in use are closed right after an answer, and only those that nobody wanted for a
 * while just so. */
void plx_host_drain(plx_host *h)
{
    h->draining = true;
    ev_timer_start(h->loop, &h->idle_end);
}

void plx_host_stop(plx_host *h)
{
    plx_list *node;

    while (!plx_list_empty(&h->peers))
        plx_peer_lose(PLX_CONTAINER(h->peers.next, plx_peer, link));
    reap(h);
    while ((node = plx_list_shift(&h->calls)) != NULL) {
        plx_call *c = PLX_CONTAINER(node, plx_call, link);
        if (c->handled)
            c->host = NULL; /* its handler answers it yet, or never */
        else
            plx_call_free(c); /* the pool had it, and is no more */
    }
    ev_prepare_stop(h->loop, &h->reap);
    ev_timer_stop(h->loop, &h->sweep);
    ev_timer_stop(h->loop, &h->idle_end);
}
