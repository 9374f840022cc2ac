/* pollux-ws: the WebSocket daemon.
 *
 * The parent checks what the operator wrote, opens one listening socket for each
 * worker, and then only keeps the workers alive (base/workers). Each worker loads
 * the configuration by itself, so that a planned restart brings a new one.
 */
#include "base/log.h"
#include "base/service.h"
#include "transport/ws_worker.h"

#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#define DEFAULT_LISTEN   "127.0.0.1:4100"
#define DEFAULT_DRAIN_MS 5000
#define MAX_DRAIN_MS     600000
#define GRACE_MS         10000 /* beyond the spreading of a drain; a worker needs less */

typedef struct options {
    const char *config_file, *listen;
    unsigned workers;
    uint64_t drain_ms;
} options;

typedef struct service {
    options opt;
    plx_listen_addr addr;
    int fds[PLX_WORKERS_MAX];
} service;

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
         "SIGTERM closes every connection with 1012 and stops. SIGHUP replaces the workers\n"
         "one after the other, with the configuration as it is then.");
}

static int usage(const char *what, const char *value)
{
    fprintf(stderr, "pollux-ws: %s \"%s\" (pollux-ws --help lists the options)\n", what, value);
    return 2;
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
            if (!plx_service_number(optarg, 1, PLX_WORKERS_MAX, &n))
                return usage("--workers takes a number from 1 to 256, not", optarg);
            o->workers = (unsigned)n;
            break;
        case 'd':
            if (!plx_service_number(optarg, 0, MAX_DRAIN_MS, &o->drain_ms))
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

static int run_worker(unsigned index, void *data)
{
    const service *s = data;
    for (unsigned i = 0; i < s->opt.workers; i++) {
        if (i != index)
            close(s->fds[i]); /* the parent keeps it open */
    }
    /* It fails before it serves or not at all: trying again at once would not help. */
    int rc = plx_ws_worker_serve(s->opt.config_file, s->fds[index], s->opt.drain_ms);
    return rc == 0 ? 0 : PLX_WORKER_HOPELESS;
}

static int run(service *s)
{
    const plx_workers workers = {.count = s->opt.workers,
                                 .grace_ms = s->opt.drain_ms + GRACE_MS,
                                 .run = run_worker,
                                 .data = s};
    plx_buf problem;
    plx_buf_init(&problem, 0);
    int err = plx_listen_parse(s->opt.listen, &s->addr, &problem);
    if (err != 0)
        fprintf(stderr, "pollux-ws: %s\n", plx_buf_cstr(&problem));
    plx_buf_fini(&problem);
    if (err == 0)
        err = plx_ws_worker_check(s->opt.config_file);
    return err == 0 ? plx_service_run(&s->addr, &workers, s->fds) : err;
}

int main(int argc, char **argv)
{
    static service s;
    int status = read_options(argc, argv, &s.opt);
    if (status >= 0)
        return status;
    plx_log_init("pollux-ws", PLX_INFO);
    plx_service_raise_limit();
    return run(&s) == 0 ? 0 : 1;
}
