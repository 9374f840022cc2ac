/* One FastCGI worker: loop, store, channels, transports.
 *
 * It reads the configuration itself rather than inherit its parent's, so that a
 * planned restart (workers.h) takes a changed file into use, and a broken one
 * leaves the old workers where they are.
 */
#include "fcgi/worker.h"
#include "base/log.h"
#include "base/workers.h"
#include "fcgi/acceptor.h"
#include "fcgi/app.h"
#include "fcgi/codec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_FOR_STORE_MS 1000
#define STOP_S            3.5

struct worker {
    struct ev_loop *loop;
    plx_config *config;
    plx_app *app;
    plx_acceptor *acceptor;
    ev_signal signals[3];
    ev_timer deadline;
    unsigned unfinished; /* parts that are still draining */
    bool stopping, ready;
};

/* ---- stopping ---- */

static void on_deadline(struct ev_loop *loop, ev_timer *t, int revents)
{
    struct worker *w = t->data;

    (void)revents;
    plx_warning("stopping with %zu connections still open", plx_acceptor_peers(w->acceptor));
    ev_break(loop, EVBREAK_ALL);
}

static void on_drained(void *arg)
{
    struct worker *w = arg;

    if (--w->unfinished == 0)
        ev_break(w->loop, EVBREAK_ALL);
}

static void on_signal(struct ev_loop *loop, ev_signal *s, int revents)
{
    struct worker *w = s->data;

    (void)revents;
    if (w->stopping) {
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    w->stopping = true;
    w->unfinished = 2;
    plx_debug("stopping");
    ev_timer_init(&w->deadline, on_deadline, STOP_S, 0);
    w->deadline.data = w;
    ev_timer_start(loop, &w->deadline);
    plx_acceptor_drain(w->acceptor, on_drained, w);
    plx_app_drain(w->app, on_drained, w);
}

/* After FCGX_Init, which takes some of them. */
static void watch_signals(struct worker *w)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGUSR1};
    struct sigaction before;

    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        ev_signal_init(&w->signals[i], on_signal, numbers[i]);
        w->signals[i].data = w;
        /* A parent that has SIGINT ignored translates it itself: see workers.h. */
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            ev_signal_start(w->loop, &w->signals[i]);
    }
}

static void unwatch_signals(struct worker *w)
{
    for (size_t i = 0; i < sizeof w->signals / sizeof w->signals[0]; i++)
        ev_signal_stop(w->loop, &w->signals[i]);
}

/* ---- starting ---- */

static void on_ready(void *arg)
{
    struct worker *w = arg;

    if (w->stopping)
        return;
    plx_acceptor_start(w->acceptor);
    plx_worker_ready();
}

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0)
        return 0;
    plx_err("the listening socket can't be used: %s", strerror(errno));
    return -1;
}

static int start(struct worker *w, int listen_fd)
{
    w->app = plx_app_open(w->loop, w->config);
    if (w->app == NULL || set_nonblocking(listen_fd) != 0)
        return -1;
    plx_acceptor_options options = {
        .listen_fd = listen_fd, .config = w->config, .handle = plx_app_handle, .arg = w->app};
    w->acceptor = plx_acceptor_new(w->loop, &options);
    if (w->acceptor == NULL)
        return -1;
    plx_app_wait(w->app, WAIT_FOR_STORE_MS, on_ready, w);
    return 0;
}

int plx_worker_serve(const char *config_path, int listen_fd)
{
    struct worker w = {0};
    int status = 1;

    if (plx_config_open(config_path, false, &w.config) != 0)
        return 1;
    plx_log_init("pollux-fcgi", w.config->log_level);
    w.loop = ev_loop_new(EVFLAG_AUTO);
    if (w.loop != NULL && plx_codec_library() == 0) {
        watch_signals(&w);
        if (start(&w, listen_fd) == 0) {
            ev_run(w.loop, 0);
            status = 0;
        }
        ev_timer_stop(w.loop, &w.deadline);
        plx_acceptor_free(w.acceptor);
        plx_app_close(w.app);
        unwatch_signals(&w);
    }
    if (w.loop != NULL)
        ev_loop_destroy(w.loop);
    plx_config_free(w.config);
    return status;
}
