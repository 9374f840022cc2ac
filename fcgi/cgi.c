/* Plain CGI. */
#include "fcgi/cgi.h"
#include "base/list.h"
#include "base/log.h"
#include "fcgi/answer.h"
#include "fcgi/app.h"
#include "fcgi/request.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STALL_MS          30000
#define WAIT_FOR_STORE_MS 2000
#define GONE_CHECK_S      0.5
#define ANSWER_S          60.0 /* longer than any window */
#define FINISH_S          3.0  /* for what an answered request leaves to do */
#define SWEPT_CHECK_S     0.02

extern char **environ;

struct cgi {
    plx_request request;
    struct ev_loop *loop;
    plx_app *app;
    ev_timer gone_check, limit, swept_check;
    ev_signal term;
    bool over;     /* answered, or nobody is there to be answered */
    bool draining; /* plx_app_drain was called, which is for once */
};

bool plx_cgi_foreign_arguments(const char *query)
{
    return query != NULL && *query != '\0' && strchr(query, '=') == NULL;
}

/* ---- in ---- */

/* A piece of the body: its length, 0 at the end, -1 when it breaks off or stalls. */
static ssize_t read_piece(int fd, char *to, size_t size, int stall_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n;

    for (;;) {
        int ready = poll(&p, 1, stall_ms);
        if (ready == 0 || (ready < 0 && errno != EINTR))
            return -1;
        n = ready > 0 ? read(fd, to, size) : -1;
        if (n >= 0 || (errno != EINTR && errno != EAGAIN))
            return n;
    }
}

/* Reads up to want bytes (or to the end), keeping max of them. Returns 0, 400 or 413. */
static unsigned read_up_to(int fd, size_t want, bool to_end, size_t max, int stall_ms,
                           plx_buf *body)
{
    char chunk[16384];
    size_t got = 0;

    while (got < want) {
        size_t size = want - got < sizeof chunk ? want - got : sizeof chunk;
        ssize_t n = read_piece(fd, chunk, size, stall_ms);
        if (n < 0 || (n == 0 && !to_end))
            return 400;
        if (n == 0)
            break;
        got += (size_t)n;
        if (got <= max)
            plx_buf_append(body, chunk, (size_t)n);
    }
    return got <= max ? 0 : 413;
}

unsigned plx_cgi_read_body(int fd, const char *length, bool chunked, size_t max, int stall_ms,
                           plx_buf *body)
{
    char *end;
    unsigned long long n;

    if (length == NULL || *length == '\0')
        return chunked ? read_up_to(fd, SIZE_MAX, true, max, stall_ms, body) : 0;
    if (*length < '0' || *length > '9')
        return 400;
    errno = 0;
    n = strtoull(length, &end, 10);
    if (*end != '\0' || errno != 0)
        return 400;
    return read_up_to(fd, n, false, max, stall_ms, body);
}

/* ---- out ---- */

/* To standard output, however long that takes; false: nobody reads it. */
static bool write_all(plx_slice bytes)
{
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};

    while (bytes.len > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes.data, bytes.len);
        if (n < 0 && errno == EAGAIN)
            poll(&p, 1, STALL_MS);
        else if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            bytes = plx_slice_make(bytes.data + n, bytes.len - (size_t)n);
    }
    return true;
}

static void print(const plx_http_response *response)
{
    plx_buf b;

    plx_buf_init(&b, 0);
    plx_answer_head(response, &b);
    plx_buf_add(&b, response->body);
    if (!write_all(plx_buf_slice(&b)))
        plx_debug("the web server did not take the answer: %s", strerror(errno));
    plx_buf_fini(&b);
}

static void end(struct cgi *c)
{
    c->over = true;
    ev_break(c->loop, EVBREAK_ALL);
}

/* plx_http_request.respond */
static void respond(plx_http_request *http, const plx_http_response *response)
{
    struct cgi *c = PLX_CONTAINER(http, struct cgi, request.http);

    if (c->over)
        return;
    print(response);
    /* The web server need not wait for our end. */
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    end(c);
}

/* ---- the request's life ---- */

static void give_up(struct cgi *c)
{
    if (c->over)
        return;
    if (c->request.http.gone != NULL)
        c->request.http.gone(&c->request.http);
    end(c);
}

/* A pipe whose reader is gone says so without being written to. */
static void on_gone_check(struct ev_loop *loop, ev_timer *t, int revents)
{
    struct pollfd p = {.fd = STDOUT_FILENO};

    (void)loop;
    (void)revents;
    if (poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP | POLLNVAL)))
        give_up(t->data);
}

static void on_limit(struct ev_loop *loop, ev_timer *t, int revents)
{
    struct cgi *c = t->data;

    (void)loop;
    (void)revents;
    plx_err("no answer after %.0f s", ANSWER_S);
    print(plx_answer_error(503));
    give_up(c);
}

static void on_swept_check(struct ev_loop *loop, ev_timer *t, int revents)
{
    const struct cgi *c = t->data;

    (void)revents;
    if (!plx_app_sweeping(c->app))
        ev_break(loop, EVBREAK_ALL);
}

static void on_drained(void *arg)
{
    struct cgi *c = arg;

    ev_timer_init(&c->swept_check, on_swept_check, 0, SWEPT_CHECK_S);
    c->swept_check.data = c;
    ev_timer_start(c->loop, &c->swept_check);
}

static void drain(struct cgi *c)
{
    if (!c->draining)
        plx_app_drain(c->app, on_drained, c);
    c->draining = true;
}

/* The web server wants the process gone: the poll is answered at once, with its token. */
static void on_term(struct ev_loop *loop, ev_signal *s, int revents)
{
    struct cgi *c = s->data;

    (void)loop;
    (void)revents;
    drain(c);
}

static void on_ready(void *arg)
{
    struct cgi *c = arg;

    plx_app_sweep(c->app); /* where there is no daemon nobody else does */
    plx_app_handle(c->app, &c->request.http);
}

static void on_finish_limit(struct ev_loop *loop, ev_timer *t, int revents)
{
    (void)t;
    (void)revents;
    ev_break(loop, EVBREAK_ALL);
}

/* The answer is out; other workers may still have to hear of what it did. */
static void finish(struct cgi *c)
{
    ev_timer_stop(c->loop, &c->gone_check);
    ev_timer_stop(c->loop, &c->limit);
    ev_timer_init(&c->limit, on_finish_limit, FINISH_S, 0);
    ev_timer_start(c->loop, &c->limit);
    drain(c);
    ev_run(c->loop, 0);
    ev_timer_stop(c->loop, &c->limit);
    ev_timer_stop(c->loop, &c->swept_check);
    ev_signal_stop(c->loop, &c->term);
}

static void run(struct cgi *c)
{
    ev_timer_init(&c->gone_check, on_gone_check, GONE_CHECK_S, GONE_CHECK_S);
    c->gone_check.data = c;
    ev_timer_start(c->loop, &c->gone_check);
    ev_timer_init(&c->limit, on_limit, ANSWER_S, 0);
    c->limit.data = c;
    ev_timer_start(c->loop, &c->limit);
    ev_signal_init(&c->term, on_term, SIGTERM);
    c->term.data = c;
    ev_signal_start(c->loop, &c->term);
    plx_app_wait(c->app, WAIT_FOR_STORE_MS, on_ready, c);
    ev_run(c->loop, 0);
    if (!c->over) /* told to stop before there was anything to do */
        respond(&c->request.http, plx_answer_error(503));
    finish(c);
}

/* 0, or the status that the request gets without being handled. */
static unsigned read_request(struct cgi *c, const plx_config *config)
{
    bool chunked = getenv("HTTP_TRANSFER_ENCODING") != NULL;
    plx_buf body;
    unsigned status;

    plx_buf_init(&body, 0);
    status = plx_cgi_read_body(STDIN_FILENO, getenv("CONTENT_LENGTH"), chunked,
                               config->max_body_bytes, STALL_MS, &body);
    if (status == 0 && plx_request_load(&c->request, environ, plx_buf_slice(&body)) != 0)
        status = 400;
    plx_buf_fini(&body);
    if (status == 0)
        plx_request_trust(&c->request, config);
    c->request.http.respond = respond;
    return status;
}

static int serve(struct cgi *c, const plx_config *config)
{
    unsigned refusal = read_request(c, config);

    if (refusal != 0) {
        print(plx_answer_error(refusal));
        return 0;
    }
    c->app = plx_app_open(c->loop, config);
    if (c->app == NULL) {
        print(plx_answer_error(500));
        return 1;
    }
    plx_app_unlisted(c->app);
    run(c);
    plx_app_close(c->app);
    return 0;
}

int plx_cgi_serve(const char *config_path)
{
    struct cgi c = {0};
    plx_config *config;
    int status = 1;

    signal(SIGPIPE, SIG_IGN);
    if (plx_config_open(config_path, false, &config) != 0) {
        print(plx_answer_error(500));
        return 1;
    }
    /* What is news from a daemon (connected to Redis) would be a line for every request here. */
    plx_log_init("pollux-fcgi", config->log_level == PLX_INFO ? PLX_WARNING : config->log_level);
    c.loop = ev_loop_new(EVFLAG_AUTO);
    if (c.loop != NULL) {
        status = serve(&c, config);
        ev_loop_destroy(c.loop);
    }
    plx_request_fini(&c.request);
    plx_config_free(config);
    return status;
}
