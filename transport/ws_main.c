/* pollux-ws: the WebSocket daemon.
 *
 * The parent reads the configuration, opens the channel backends (so that what is
 * wrong with them shows at start) and one listening socket for each worker, and
 * then only keeps the workers alive (base/workers). Each worker is one event loop
 * with its own connections to Redis.
 */
#include "base/alloc.h"
#include "base/config.h"
#include "base/error.h"
#include "base/listen.h"
#include "base/log.h"
#include "base/workers.h"
#include "store/presence.h"
#include "transport/ws_server.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_LISTEN   "127.0.0.1:4001"
#define DEFAULT_DRAIN_MS 5000
#define MAX_DRAIN_MS     600000
/* Beyond the spreading: the peers' part of closing, and then some. */
#define DRAIN_PATIENCE_MS 5000
/* Recent events per topic for watches that start a little behind; most start at the end. */
#define RING_EVENTS 64
#define RING_BYTES  65536
#define LINGER_MS   2000

typedef struct options {
    const char *config_file, *listen;
    unsigned workers;
    uint64_t drain_ms;
} options;

typedef struct daemon {
    options opt;
    plx_config *config;
    plx_channels *channels;
    plx_listen_addr addr;
    int fds[PLX_WORKERS_MAX];
} daemon_state;

static void print_help(void)
{
    puts("usage: pollux-ws [--config FILE] [--listen HOST:PORT | unix:PATH] [--workers N]\n"
         "\n"
         "Serves the WebSocket endpoints (SOCKET-PATH/websocket) of every `socket` section.\n"
         "\n"
         "  --config FILE   the configuration (default: $POLLUX_CONFIG, else\n"
         "                  /etc/pollux/pollux.conf)\n"
         "  --listen ADDR   where to listen (default: " DEFAULT_LISTEN ")\n"
         "  --workers N     worker processes, 1 to 256 (default: 1)\n"
         "  --drain-ms N    over how long a planned stop spreads the closing of many\n"
         "                  connections (default: 5000)\n"
         "  --version       prints the version\n"
         "  --help          prints this\n"
         "\n"
         "SIGTERM closes every connection with 1012 and stops; SIGHUP replaces the workers\n"
         "one after the other.");
}

static int usage(const char *what, const char *value)
{
    fprintf(stderr, "pollux-ws: %s \"%s\" (pollux-ws --help lists the options)\n", what, value);
    return 2;
}

/* A decimal number within bounds; false otherwise. */
static bool read_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || n > max)
            return false;
        n = n * 10 + (uint64_t)(*text - '0');
    }
    *out = n;
    return n >= min && n <= max;
}

/* Returns -1 to go on, or the exit status. */
static int read_options(int argc, char **argv, options *o)
{
    static const struct option known[] = {{"config", required_argument, NULL, 'c'},
                                          {"listen", required_argument, NULL, 'l'},
                                          {"workers", required_argument, NULL, 'w'},
                                          {"drain-ms", required_argument, NULL, 'd'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'v'},
                                          {NULL, 0, NULL, 0}};
    uint64_t n;
    int c;
    *o = (options){NULL, DEFAULT_LISTEN, 1, DEFAULT_DRAIN_MS};
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (c) {
        case 'c':
            o->config_file = optarg;
            break;
        case 'l':
            o->listen = optarg;
            break;
        case 'w':
            if (!read_number(optarg, 1, PLX_WORKERS_MAX, &n))
                return usage("--workers takes a number from 1 to 256, not", optarg);
            o->workers = (unsigned)n;
            break;
        case 'd':
            if (!read_number(optarg, 0, MAX_DRAIN_MS, &o->drain_ms))
                return usage("--drain-ms takes a number from 0 to 600000, not", optarg);
            break;
        case 'h':
            print_help();
            return 0;
        case 'v':
            puts("pollux-ws " PLX_VERSION);
            return 0;
        default:
            fputs("(pollux-ws --help lists the options)\n", stderr);
            return 2;
        }
    }
    return optind < argc ? usage("unexpected argument", argv[optind]) : -1;
}

/* ---- a worker ---- */

typedef struct worker {
    struct ev_loop *loop;
    plx_ws_server *server;
    uint64_t drain_ms;
    ev_timer patience;
    bool stopping;
} worker;

static void on_drained(void *arg)
{
    worker *w = arg;
    ev_break(w->loop, EVBREAK_ALL);
}

static void on_patience(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)events;
    worker *w = t->data;
    plx_warning("%zu connections did not close in time", plx_ws_server_count(w->server));
    ev_break(loop, EVBREAK_ALL);
}

static void on_sigterm(struct ev_loop *loop, ev_signal *sig, int events)
{
    (void)events;
    worker *w = sig->data;
    if (w->stopping)
        return;
    w->stopping = true;
    plx_info("stopping: %zu connections are being closed", plx_ws_server_count(w->server));
    ev_timer_init(&w->patience, on_patience, (ev_tstamp)(w->drain_ms + DRAIN_PATIENCE_MS) / 1000.,
                  0.);
    w->patience.data = w;
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

/* What the sockets had tracked, and this worker's lease. */
static void say_goodbye(worker *w, plx_store *store)
{
    ev_timer late;
    ev_timer_init(&late, on_goodbye_late, GOODBYE_S, 0.);
    ev_timer_start(w->loop, &late);
    plx_owner_stop(store, on_goodbye, w);
    ev_run(w->loop, 0);
    ev_timer_stop(w->loop, &late);
}

static void report(const plx_ws_server *server)
{
    plx_ws_counters c;
    plx_ws_server_counters(server, &c);
    plx_info("served %llu connections: %llu opened, %llu refused, %llu bad requests; "
             "%llu faults, %llu idle, %llu too slow, %llu messages skipped",
             (unsigned long long)c.accepted, (unsigned long long)c.opened,
             (unsigned long long)c.refused, (unsigned long long)c.bad_requests,
             (unsigned long long)c.faults, (unsigned long long)c.idle, (unsigned long long)c.slow,
             (unsigned long long)c.skipped);
}

static int run_worker(unsigned index, void *data)
{
    const daemon_state *d = data;
    worker w = {.drain_ms = d->opt.drain_ms};
    ev_signal sigterm;
    const plx_store_options store_options = {.ring_events = RING_EVENTS,
                                             .ring_bytes = RING_BYTES,
                                             .linger_ms = LINGER_MS,
                                             .listen = true};

    for (unsigned i = 0; i < d->opt.workers; i++) {
        if (i != index)
            close(d->fds[i]); /* the parent keeps it open */
    }
    w.loop = ev_default_loop(EVFLAG_AUTO);
    if (!w.loop) {
        plx_err("no event loop");
        return 1;
    }
    ev_signal_init(&sigterm, on_sigterm, SIGTERM);
    sigterm.data = &w;
    ev_signal_start(w.loop, &sigterm);
    plx_store *store = plx_store_open(w.loop, d->config, &store_options);
    w.server = plx_ws_server_new(store, d->config, d->channels);
    plx_ws_server_listen(w.server, d->fds[index]);
    plx_worker_ready();
    ev_run(w.loop, 0);

    report(w.server);
    plx_ws_server_free(w.server);
    ev_timer_stop(w.loop, &w.patience);
    say_goodbye(&w, store);
    plx_store_close(store);
    ev_signal_stop(w.loop, &sigterm);
    ev_loop_destroy(w.loop);
    return 0;
}

/* ---- the parent ---- */

static int complain(plx_buf *problem)
{
    plx_slice text = plx_buf_slice(problem);
    fprintf(stderr, "pollux-ws: %.*s%s", (int)text.len, text.data,
            text.len > 0 && text.data[text.len - 1] == '\n' ? "" : "\n");
    return PLX_E_INVALID;
}

static int load(daemon_state *d, plx_buf *problem)
{
    if (plx_listen_parse(d->opt.listen, &d->addr, problem) != 0)
        return complain(problem);
    if (plx_config_load(plx_config_path(d->opt.config_file), &d->config, problem) != 0)
        return complain(problem);
    if (problem->len > 0)
        complain(problem); /* warnings */
    plx_buf_clear(problem);
    plx_log_init("pollux-ws", d->config->log_level);
    if (plx_channels_open(d->config, &d->channels, problem) != 0)
        return complain(problem);
    if (plx_listen_open_many(&d->addr, PLX_LISTEN_MODE, d->opt.workers, d->fds, problem) != 0)
        return complain(problem);
    return 0;
}

static void unload(daemon_state *d)
{
    if (d->channels)
        plx_channels_close(d->channels, d->config->socket_count);
    plx_config_free(d->config);
}

static int serve(daemon_state *d, plx_buf *name)
{
    const plx_workers workers = {.count = d->opt.workers,
                                 .grace_ms = d->opt.drain_ms + 2 * DRAIN_PATIENCE_MS,
                                 .run = run_worker,
                                 .data = d};
    plx_listen_name(d->fds[0], name);
    plx_info("listening on %s with %u worker%s", plx_buf_cstr(name), d->opt.workers,
             d->opt.workers > 1 ? "s" : "");
    int rc = plx_workers_run(&workers);
    for (unsigned i = 0; i < d->opt.workers; i++)
        close(d->fds[i]);
    plx_listen_cleanup(&d->addr);
    return rc;
}

int main(int argc, char **argv)
{
    static daemon_state d;
    plx_buf text;
    plx_buf_init(&text, 0);
    int status = read_options(argc, argv, &d.opt);
    if (status >= 0)
        return status;
    plx_log_init("pollux-ws", PLX_INFO);
    int rc = load(&d, &text);
    if (rc == 0)
        rc = serve(&d, &text);
    unload(&d);
    plx_buf_fini(&text);
    return rc == 0 ? 0 : 1;
}
