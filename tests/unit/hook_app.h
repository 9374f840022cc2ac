/* An application for tests of hooks: an HTTP server on the test's own loop that answers each
 * request as the test says, byte by byte if need be. */
#ifndef PLX_TESTS_HOOK_APP_H
#define PLX_TESTS_HOOK_APP_H

#include "base/alloc.h"
#include "base/buf.h"
#include "base/list.h"

#include <arpa/inet.h>
#include <ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

typedef struct app app;
typedef struct visit visit;

/* One connection to the application, and the request that it is at. */
struct visit {
    plx_list node;
    app *app;
    ev_io io;
    plx_buf in; /* headers and body so far */
    plx_slice head, body;
    bool asking; /* a whole request has come, not answered yet */
};

struct app {
    struct ev_loop *loop;
    int fd;
    ev_io io;
    unsigned port;
    char url[64];
    plx_list visits;                 /* visit.node */
    void (*serve)(app *a, visit *v); /* a whole request is there; NULL: it stays unanswered */
    unsigned connections, requests, asking, most_asking;
};

static UNUSED void visit_close(visit *v)
{
    ev_io_stop(v->app->loop, &v->io);
    if (v->asking)
        v->app->asking--;
    plx_list_remove(&v->node);
    close(v->io.fd);
    plx_buf_fini(&v->in);
    free(v);
}

/* Writes as it stands; answers here are small, or the peer reads on the same loop and the test goes
 * on later. */
static UNUSED void visit_write(visit *v, const void *data, size_t len)
{
    ssize_t n = send(v->io.fd, data, len, MSG_NOSIGNAL);
    (void)n;
}

static UNUSED void visit_next(visit *v)
{
    v->asking = false;
    v->app->asking--;
    plx_buf_clear(&v->in);
}

static UNUSED void visit_say(visit *v, const char *raw)
{
    visit_write(v, raw, strlen(raw));
    visit_next(v);
}

static UNUSED void visit_answer(visit *v, unsigned status, const char *body)
{
    char *raw =
        plx_asprintf("HTTP/1.1 %u X\r\ncontent-length: %zu\r\n\r\n%s", status, strlen(body), body);
    visit_say(v, raw);
    free(raw);
}

/* The value of a header of the request, up to its line's end, or an empty slice. */
static UNUSED plx_slice visit_header(const visit *v, const char *name)
{
    char *line = plx_asprintf("\r\n%s: ", name);
    const char *at = memmem(v->head.data, v->head.len, line, strlen(line)), *end;
    size_t skip = strlen(line);

    free(line);
    if (!at)
        return plx_slice_make(NULL, 0);
    at += skip;
    end = memmem(at, (size_t)(v->head.data + v->head.len - at), "\r\n", 2);
    return plx_slice_make(at, (size_t)(end - at));
}

static UNUSED void visit_look(visit *v)
{
    const char *end = memmem(v->in.data, v->in.len, "\r\n\r\n", 4);
    size_t head, length;

    if (!end || v->asking)
        return;
    head = (size_t)(end - v->in.data) + 4;
    v->head = plx_slice_make(v->in.data, head);
    length = (size_t)strtoul(visit_header(v, "Content-Length").data, NULL, 10);
    if (v->in.len < head + length)
        return;
    v->body = plx_slice_make(v->in.data + head, length);
    v->asking = true;
    v->app->requests++;
    if (++v->app->asking > v->app->most_asking)
        v->app->most_asking = v->app->asking;
    if (v->app->serve)
        v->app->serve(v->app, v);
}

static UNUSED void visit_io(struct ev_loop *loop, ev_io *io, int revents)
{
    visit *v = io->data;
    char some[65536];
    ssize_t n = recv(io->fd, some, sizeof some, MSG_DONTWAIT);

    (void)loop;
    (void)revents;
    if (n <= 0) {
        visit_close(v);
        return;
    }
    plx_buf_append(&v->in, some, (size_t)n);
    visit_look(v);
}

static UNUSED void app_io(struct ev_loop *loop, ev_io *io, int revents)
{
    app *a = io->data;
    visit *v = plx_alloc_zero(1, sizeof *v);
    int fd = accept(io->fd, NULL, NULL), one = 1;

    (void)revents;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    v->app = a;
    plx_buf_init(&v->in, 0);
    ev_io_init(&v->io, visit_io, fd, EV_READ);
    v->io.data = v;
    ev_io_start(loop, &v->io);
    plx_list_push(&a->visits, &v->node);
    a->connections++;
}

static UNUSED void app_open(app *a, struct ev_loop *loop)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    memset(a, 0, sizeof *a);
    a->loop = loop;
    plx_list_init(&a->visits);
    a->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(a->fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(a->fd, 1024) != 0 ||
        getsockname(a->fd, (struct sockaddr *)&at, &len) != 0)
        abort();
    a->port = ntohs(at.sin_port);
    snprintf(a->url, sizeof a->url, "http://127.0.0.1:%u/hook", a->port);
    ev_io_init(&a->io, app_io, a->fd, EV_READ);
    a->io.data = a;
    ev_io_start(loop, &a->io);
}

static UNUSED void app_close(app *a)
{
    while (!plx_list_empty(&a->visits))
        visit_close(PLX_CONTAINER(a->visits.next, visit, node));
    ev_io_stop(a->loop, &a->io);
    close(a->fd);
}

/* The n-th request that waits for its answer, oldest connection first, or NULL. */
static UNUSED visit *app_asking(app *a, unsigned n)
{
    for (plx_list *l = a->visits.next; l != &a->visits; l = l->next) {
        visit *v = PLX_CONTAINER(l, visit, node);
        if (v->asking && n-- == 0)
            return v;
    }
    return NULL;
}

static UNUSED void hurry(struct ev_loop *loop, ev_timer *t, int revents)
{
    (void)revents;
    *(bool *)t->data = true;
    ev_break(loop, EVBREAK_ONE);
}

/* Runs the loop until *what is `wanted` or more; false after ten seconds. */
static UNUSED bool run_until(struct ev_loop *loop, const unsigned *what, unsigned wanted)
{
    bool late = false;
    ev_timer t;

    ev_timer_init(&t, hurry, 30, 0);
    t.data = &late;
    ev_now_update(loop);
    ev_timer_start(loop, &t);
    while (*what < wanted && !late)
        ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &t);
    return !late;
}

#endif
