/* Accepting.
 *
 * Several workers may watch one listening socket; each takes a few connections
 * for each time it wakes, so that a burst is shared out.
 */
#include "fcgi/acceptor.h"
#include "base/alloc.h"
#include "base/log.h"
#include "fcgi/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH      16
#define PAUSE_S    0.1
#define STALL_MS   30000
#define STAGED_MAX ((size_t)64 << 20)
#define UNSENT_MAX ((size_t)128 << 20)

struct plx_acceptor {
    plx_host host;
    int listen_fd;
    ev_io io;
    ev_timer pause;
    bool starved;        /* no descriptors: said so in the log */
    const char *allowed; /* FCGI_WEB_SERVER_ADDRS, or NULL */
    void (*emptied)(void *arg);
    void *emptied_arg;
};

/* The text of a peer's IPv4 address, also when it came to an IPv6 socket; "" for any other. */
static void ipv4_text(const struct sockaddr_storage *ss, char out[INET_ADDRSTRLEN])
{
    const struct sockaddr_in *in = (const void *)ss;
    const struct sockaddr_in6 *in6 = (const void *)ss;

    out[0] = '\0';
    if (ss->ss_family == AF_INET)
        inet_ntop(AF_INET, &in->sin_addr, out, INET_ADDRSTRLEN);
    else if (ss->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], out, INET_ADDRSTRLEN);
}

/* FastCGI 3.2: when the variable says something, only these IPv4 addresses may connect over TCP.
 * libfcgi checks it in its own accept, which we don't use. */
static bool is_allowed(const plx_acceptor *a, const struct sockaddr_storage *ss)
{
    plx_slice rest = plx_slice_of(a->allowed), one;
    char text[INET_ADDRSTRLEN];

    if (a->allowed == NULL || *a->allowed == '\0' || ss->ss_family == AF_UNIX)
        return true;
    ipv4_text(ss, text);
    while (text[0] != '\0' && plx_slice_split(&rest, ',', &one))
        if (plx_slice_is(plx_slice_trim(one), text))
            return true;
    return false;
}

static void welcome(plx_acceptor *a, int fd, const struct sockaddr_storage *ss)
{
    int on = 1;

    if (!is_allowed(a, ss)) {
        plx_log_limited(PLX_WARNING, "a connection from an address that is not in "
                                     "FCGI_WEB_SERVER_ADDRS was closed");
        close(fd);
        return;
    }
    if (ss->ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    plx_peer_open(&a->host, fd);
}

static bool is_exhausted(int err)
{
    return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

static void starve(plx_acceptor *a, int err)
{
    if (!a->starved)
        plx_log_limited(PLX_ERROR, "accept: %s; trying again every 100 ms", strerror(err));
    a->starved = true;
    ev_io_stop(a->host.loop, &a->io);
    ev_timer_again(a->host.loop, &a->pause);
}

/* False: no more for now. */
static bool accept_one(plx_acceptor *a)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof ss;
    int fd = accept4(a->listen_fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        if (a->starved)
            plx_log_limited(PLX_INFO, "accepting again");
        a->starved = false;
        welcome(a, fd, &ss);
        return true;
    }
    switch (errno) {
    case EAGAIN:
        return false;
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM: /* a packet filter's verdict */
        return true;
    default: /* no descriptors, no memory, or a listener that somebody broke */
        break;
    }
    int err = errno;
    if (is_exhausted(err) && plx_host_make_room(&a->host))
        return true;
    starve(a, err);
    return false;
}

static void on_accept(struct ev_loop *loop, ev_io *w, int revents)
{
    plx_acceptor *a = w->data;

    (void)loop;
    (void)revents;
    for (int i = 0; i < BATCH && accept_one(a); i++)
        ;
}

static void on_pause_end(struct ev_loop *loop, ev_timer *w, int revents)
{
    plx_acceptor *a = w->data;

    (void)revents;
    ev_timer_stop(loop, w);
    ev_io_start(loop, &a->io);
}

static void on_emptied(plx_host *h)
{
    plx_acceptor *a = PLX_CONTAINER(h, plx_acceptor, host);

    a->emptied(a->emptied_arg);
}

static size_t or_default(size_t given, size_t standard)
{
    return given > 0 ? given : standard;
}

/* 0 or -1. */
static int start_host(plx_acceptor *a, const plx_acceptor_options *o)
{
    plx_pool_calls calls = {.work = plx_call_work, .done = plx_call_done, .arg = &a->host};
    size_t largest = PLX_INTAKE_OVERHEAD * (o->config->max_body_bytes + PLX_INTAKE_PARAMS_MAX);
    plx_host *h = &a->host;

    h->config = o->config;
    h->handle = o->handle;
    h->arg = o->arg;
    h->stall_ms = o->stall_ms > 0 ? o->stall_ms : STALL_MS;
    h->staged_max = or_default(o->staged_max, STAGED_MAX > 4 * largest ? STAGED_MAX : 4 * largest);
    h->unsent_max = or_default(o->unsent_max, UNSENT_MAX);
    h->codec = plx_codec_new();
    if (h->codec != NULL)
        h->pool = plx_pool_new(h->loop, o->config->reader_threads, &calls);
    if (h->pool == NULL)
        return -1;
    plx_host_start(h);
    return 0;
}

plx_acceptor *plx_acceptor_new(struct ev_loop *loop, const plx_acceptor_options *options)
{
    plx_acceptor *a = plx_alloc_zero(1, sizeof *a);

    a->host.loop = loop;
    a->listen_fd = options->listen_fd;
    a->allowed = getenv("FCGI_WEB_SERVER_ADDRS");
    ev_io_init(&a->io, on_accept, a->listen_fd, EV_READ);
    a->io.data = a;
    ev_init(&a->pause, on_pause_end);
    a->pause.repeat = PAUSE_S;
    a->pause.data = a;
    if (start_host(a, options) == 0)
        return a;
    plx_codec_free(a->host.codec);
    free(a);
    return NULL;
}

void plx_acceptor_start(plx_acceptor *a)
{
    ev_io_start(a->host.loop, &a->io);
}

static void stop_accepting(plx_acceptor *a)
{
    ev_io_stop(a->host.loop, &a->io);
    ev_timer_stop(a->host.loop, &a->pause);
}

void plx_acceptor_drain(plx_acceptor *a, void (*emptied)(void *arg), void *arg)
{
    stop_accepting(a);
    a->emptied = emptied;
    a->emptied_arg = arg;
    a->host.emptied = on_emptied;
    plx_host_drain(&a->host);
}

size_t plx_acceptor_peers(const plx_acceptor *a)
{
    return a->host.peer_count;
}

void plx_acceptor_sweep(plx_acceptor *a)
{
    plx_host_sweep(&a->host);
}

void plx_acceptor_free(plx_acceptor *a)
{
    if (a == NULL)
        return;
    stop_accepting(a);
    plx_pool_free(a->host.pool);
    plx_host_stop(&a->host);
    plx_codec_free(a->host.codec);
    free(a);
}
