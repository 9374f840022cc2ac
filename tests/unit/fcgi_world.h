/* A FastCGI worker with a handler made for tests, and connections to it. */
#ifndef PLX_TESTS_FCGI_WORLD_H
#define PLX_TESTS_FCGI_WORLD_H

#include "base/alloc.h"
#include "fcgi/acceptor.h"
#include "fcgi/codec.h"
#include "tests/unit/fcgi_client.h"

#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PARKED_MAX 4096

typedef struct world {
    struct ev_loop *loop;
    plx_config config;
    plx_acceptor *acceptor;
    plx_acceptor_options options;
    int listener;
    char dir[64];
    struct sockaddr_un addr;
    plx_http_request *parked[PARKED_MAX];
    unsigned parked_count;
    unsigned handled, gone;
    bool timed_out, emptied;
} world;

/* ---- the handler ----
 *   /echo...     answers "METHOD path query remote_ip body"
 *   /size?N      answers N bytes of 'z'
 *   /park        is kept until world_release
 *   /keep        the same, and does not want to hear that its client went away
 *   /release     answers everything that is parked, then itself */

static UNUSED void world_respond(plx_http_request *r, plx_slice body)
{
    plx_http_response response = {.status = 200,
                                  .content_type = "text/plain",
                                  .headers = plx_slice_of("x-test: yes\r\n"),
                                  .body = body};

    r->respond(r, &response);
}

static UNUSED void world_release(world *w)
{
    while (w->parked_count > 0) {
        plx_http_request *r = w->parked[--w->parked_count];
        r->handler = NULL;
        world_respond(r, plx_slice_of("released"));
    }
}

static UNUSED void world_gone(plx_http_request *r)
{
    world *w = r->handler;

    w->gone++;
    for (unsigned i = 0; i < w->parked_count; i++)
        if (w->parked[i] == r)
            w->parked[i--] = w->parked[--w->parked_count];
}

static UNUSED void world_echo(plx_http_request *r)
{
    plx_buf b;

    plx_buf_init(&b, 0);
    plx_buf_add(&b, r->method);
    plx_buf_byte(&b, ' ');
    plx_buf_add(&b, r->path);
    plx_buf_byte(&b, ' ');
    plx_buf_add(&b, r->query);
    plx_buf_byte(&b, ' ');
    plx_buf_add(&b, r->remote_ip);
    plx_buf_byte(&b, ' ');
    plx_buf_add(&b, r->body);
    world_respond(r, plx_buf_slice(&b));
    plx_buf_fini(&b);
}

static UNUSED void world_size(plx_http_request *r)
{
    size_t n = strtoul(r->query.data, NULL, 10);
    char *z = plx_alloc(n);

    memset(z, 'z', n);
    world_respond(r, plx_slice_make(z, n));
    free(z);
}

static UNUSED void world_handle(void *arg, plx_http_request *r)
{
    world *w = arg;

    w->handled++;
    if (plx_slice_is(r->path, "/park") || plx_slice_is(r->path, "/keep")) {
        w->parked[w->parked_count++] = r;
        r->handler = w;
        if (plx_slice_is(r->path, "/park"))
            r->gone = world_gone;
    } else if (plx_slice_is(r->path, "/size")) {
        world_size(r);
    } else {
        if (plx_slice_is(r->path, "/release"))
            world_release(w);
        world_echo(r);
    }
}

/* ---- the world ---- */

static UNUSED void world_open_listener(world *w)
{
    strcpy(w->dir, "/tmp/plx-fcgi-XXXXXX");
    if (!mkdtemp(w->dir))
        abort();
    w->addr.sun_family = AF_UNIX;
    snprintf(w->addr.sun_path, sizeof w->addr.sun_path, "%s/s", w->dir);
    w->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(w->listener, (struct sockaddr *)&w->addr, sizeof w->addr) != 0 ||
        listen(w->listener, 1024) != 0)
        abort();
}

/* Before world_start, the caller may change w->options and w->config. */
static UNUSED void world_init(world *w)
{
    memset(w, 0, sizeof *w);
    world_open_listener(w);
    w->loop = ev_loop_new(EVFLAG_AUTO);
    w->config.max_body_bytes = 600000;
    w->config.reader_threads = 3;
    w->options = (plx_acceptor_options){
        .listen_fd = w->listener, .config = &w->config, .handle = world_handle, .arg = w};
}

static UNUSED void world_start(world *w)
{
    w->acceptor = plx_acceptor_new(w->loop, &w->options);
    if (!w->acceptor)
        abort();
    plx_acceptor_start(w->acceptor);
}

static UNUSED void world_fini(world *w)
{
    plx_acceptor_free(w->acceptor);
    ev_loop_destroy(w->loop);
    close(w->listener);
    unlink(w->addr.sun_path);
    rmdir(w->dir);
}

static UNUSED int world_connect(const world *w)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)&w->addr, sizeof w->addr) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Writes everything (blocking socket); false when the connection is broken. */
static UNUSED bool fc_write(int fd, plx_slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = plx_slice_make(bytes.data + n, bytes.len - (size_t)n);
    }
    return true;
}

#endif
