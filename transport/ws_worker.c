/* A worker's life: everything is opened, served, and closed in reverse. */
#include "transport/ws_worker.h"
#include "base/config.h"
#include "base/error.h"
#include "base/log.h"
#include "base/workers.h"
#include "channel/report.h"
#include "store/presence.h"
#include "transport/ws_server.h"

#include <signal.h>
#include <stdio.h>

/* Beyond the spreading of a drain: the peers' part of closing, and then some. */
#define PATIENCE_S 5.
/* Recent events per topic for watches that start a little behind; most start at the end. */
#define RING_EVENTS 64
#define RING_BYTES  65536
#define LINGER_MS   2000

typedef struct worker {
    plx_config *config;
    plx_channels *channels;
    plx_hooks *hooks;
    struct ev_loop *loop;
    plx_store *store;
    plx_ws_server *server;
    uint64_t drain_ms;
    ev_signal sigterm;
    ev_timer patience;
    bool stopping;
} worker;

/* ---- what the operator wrote ---- */

static int load(worker *w, const char *config_file, bool warnings)
{
    plx_buf problem;
    int rc = plx_config_open(config_file, warnings, &w->config);
    if (rc != 0)
        return rc;
    plx_log_init("pollux-ws", w->config->log_level);
    plx_buf_init(&problem, 0);
    rc = plx_channels_open(w->config, &w->channels, &problem);
    if (rc != 0)
        fputs(plx_buf_cstr(&problem), stderr);
    plx_buf_fini(&problem);
    return rc;
}

static void unload(worker *w)
{
    if (w->channels)
        plx_channels_close(w->channels, w->config->socket_count);
    plx_config_free(w->config);
}

int plx_ws_worker_check(const char *config_file)
{
    worker w = {.config = NULL};
    int rc = load(&w, config_file, true);
    unload(&w);
    return rc;
}

/* ---- stopping ---- */

static void on_drained(void *arg)
{
    worker *w = arg;
    ev_break(w->loop, EVBREAK_ALL);
}

static void on_patience(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)events;
    const worker *w = t->data;
    plx_warning("%zu connections did not close in time", plx_ws_server_count(w->server));
    ev_break(loop, EVBREAK_ALL);
}

static void on_sigterm(struct ev_loop *loop, ev_signal *sig, int events)
{
    (void)events;
    worker *w = sig->data;
    if (w->stopping) {
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    w->stopping = true;
    plx_info("stopping: %zu connections are told to come back", plx_ws_server_count(w->server));
    ev_timer_set(&w->patience, (ev_tstamp)w->drain_ms / 1000. + PATIENCE_S, 0.);
    ev_timer_start(loop, &w->patience);
    plx_ws_server_drain(w->server, w->drain_ms, on_drained, w);
}

/* How long a stopping worker tries to say goodbye to Redis; without it its lease runs out. */
#define GOODBYE_S 2.

static void on_goodbye(void *arg, int err)
{
    const worker *w = arg;
    if (err != 0)
        plx_warning("Redis was not told of this stop: %s", plx_strerror(err));
    ev_break(w->loop, EVBREAK_ALL);
}

static void on_goodbye_late(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)t;
    (void)events;
    ev_break(loop, EVBREAK_ALL);
}

/* Applications are told who has left with the last sockets; whatever takes too long is left to the
 * other workers, who find it with this one's lease. */
static void tell_leaves(worker *w)
{
    ev_timer late;
    ev_timer_init(&late, on_goodbye_late, GOODBYE_S, 0.);
    ev_timer_start(w->loop, &late);
    while (plx_channels_telling(w->channels, w->config->socket_count) && ev_is_active(&late))
        ev_run(w->loop, EVRUN_ONCE);
    ev_timer_stop(w->loop, &late);
}

/* What the sockets had tracked, and this worker's lease. */
static void say_goodbye(worker *w)
{
    ev_timer late;
    ev_timer_init(&late, on_goodbye_late, GOODBYE_S, 0.);
    ev_timer_start(w->loop, &late);
    plx_owner_stop(w->store, on_goodbye, w);
    ev_run(w->loop, 0);
    ev_timer_stop(w->loop, &late);
}

static void report(const plx_ws_server *server)
{
    plx_ws_counters c;
    plx_ws_server_counters(server, &c);
    plx_info("served %llu connections: %llu opened, %llu refused, %llu unavailable, "
             "%llu bad requests; %llu expired, %llu faults, %llu idle, %llu too slow, "
             "%llu messages skipped",
             (unsigned long long)c.accepted, (unsigned long long)c.opened,
             (unsigned long long)c.refused, (unsigned long long)c.unavailable,
             (unsigned long long)c.bad_requests, (unsigned long long)c.expired,
             (unsigned long long)c.faults, (unsigned long long)c.idle, (unsigned long long)c.slow,
             (unsigned long long)c.skipped);
}

/* ---- serving ---- */

static void start(worker *w, int listen_fd)
{
    const plx_store_options options = {.ring_events = RING_EVENTS,
                                       .ring_bytes = RING_BYTES,
                                       .linger_ms = LINGER_MS,
                                       .listen = true};
    signal(SIGPIPE, SIG_IGN);
    ev_signal_init(&w->sigterm, on_sigterm, SIGTERM);
    w->sigterm.data = w;
    ev_signal_start(w->loop, &w->sigterm);
    ev_init(&w->patience, on_patience);
    w->patience.data = w;
    w->hooks = plx_hooks_new(w->loop);
    plx_report_hooks(w->hooks);
    plx_channels_start(w->channels, w->config->socket_count, w->hooks);
    w->store = plx_store_open(w->loop, w->config, &options);
    w->server = plx_ws_server_new(w->store, w->config, w->channels);
    plx_ws_server_listen(w->server, listen_fd);
    plx_worker_ready();
}

static void stop(worker *w)
{
    report(w->server);
    plx_ws_server_free(w->server);
    ev_timer_stop(w->loop, &w->patience);
    tell_leaves(w);
    say_goodbye(w);
    plx_channels_stop(w->channels, w->config->socket_count);
    plx_report_hooks(NULL);
    plx_hooks_free(w->hooks);
    plx_store_close(w->store);
    ev_signal_stop(w->loop, &w->sigterm);
}

int plx_ws_worker_serve(const char *config_file, int listen_fd, uint64_t drain_ms)
{
    worker w = {.drain_ms = drain_ms};
    int rc = load(&w, config_file, false);
    if (rc == 0 && !(w.loop = ev_default_loop(EVFLAG_AUTO)))
        rc = PLX_E_SYSTEM;
    if (rc == 0) {
        start(&w, listen_fd);
        ev_run(w.loop, 0);
        stop(&w);
        ev_loop_destroy(w.loop);
    }
    unload(&w);
    return rc;
}
