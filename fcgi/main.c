/* pollux-fcgi: long-poll and the HTTP API as a FastCGI or CGI program.
 *
 * How it serves is decided here. A listening socket on descriptor 0 is how a web
 * server starts a FastCGI program (FastCGI 2.2); a connected one there means
 * nothing (Apache's mod_cgid passes one). --listen is for running beside the web
 * server. Else GATEWAY_INTERFACE tells that this is one CGI request.
 */
#include "base/config.h"
#include "base/log.h"
#include "base/service.h"
#include "fcgi/cgi.h"
#include "fcgi/worker.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GRACE_MS 5000 /* a worker stops by itself in less */

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct options {
    const char *config, *listen;
    unsigned workers; /* 0: not given */
};

static int help(void)
{
    puts(
        "Usage: pollux-fcgi [--config FILE] [--listen ADDRESS] [--workers N]\n"
        "\n"
        "Serves Pollux's long-poll transport and HTTP API to a web server over FastCGI, or as a\n"
        "plain CGI program. Started by the web server it needs no option.\n"
        "\n"
        "  --config FILE     the configuration; else $POLLUX_CONFIG, else /etc/pollux/pollux.conf\n"
        "  --listen ADDRESS  unix:PATH or HOST:PORT: listen there for the web server\n"
        "  --workers N       1 to 256 processes, default 1\n"
        "  --version         print the version\n"
        "  --help            this page\n"
        "\n"
        "SIGTERM stops: waiting polls are answered, requests finished. SIGHUP (with --listen)\n"
        "replaces the workers one by one, with the configuration as it is then.");
    return EXIT_OK;
}

static int version(void)
{
    puts("pollux-fcgi " PLX_VERSION);
    return EXIT_OK;
}

static int usage_error(const char *what, const char *text)
{
    fprintf(stderr, "pollux-fcgi: %s%s (--help tells the options)\n", what, text);
    return EXIT_USAGE;
}

/* Returns -1 to go on, or the exit status. */
static int read_options(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},  {"listen", required_argument, NULL, 'l'},
        {"workers", required_argument, NULL, 'w'}, {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},          {0}};
    uint64_t n;
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'c':
            o->config = optarg;
            break;
        case 'l':
            o->listen = optarg;
            break;
        case 'w':
            if (!plx_service_number(optarg, 1, PLX_WORKERS_MAX, &n))
                return usage_error("--workers must be a number from 1 to 256, not ", optarg);
            o->workers = (unsigned)n;
            break;
        case 'v':
            return version();
        case 'h':
            return help();
        default:
            return usage_error("wrong option", "");
        }
    }
    if (optind < argc)
        return usage_error("unexpected argument ", argv[optind]);
    return -1;
}

/* ---- serving ---- */

struct service {
    const char *config;
    const int *fds; /* one for each worker, or the same for all */
    bool shared;
};

static int run_worker(unsigned index, void *data)
{
    const struct service *s = data;

    /* It fails before it serves or not at all: trying again at once would not help. */
    return plx_worker_serve(s->config, s->fds[s->shared ? 0 : index]) == 0 ? EXIT_OK
                                                                           : PLX_WORKER_HOPELESS;
}

static plx_workers workers_of(struct service *s, unsigned count)
{
    return (plx_workers){
        .count = count > 0 ? count : 1, .grace_ms = GRACE_MS, .run = run_worker, .data = s};
}

/* Each worker reads it again: this is for telling mistakes once, and before anything starts. */
static bool check_config(const char *file)
{
    plx_config *config;

    if (plx_config_open(file, true, &config) != 0)
        return false;
    plx_log_init("pollux-fcgi", config->log_level);
    plx_config_free(config);
    return true;
}

static int serve_listen(const struct options *o)
{
    int fds[PLX_WORKERS_MAX];
    struct service s = {.config = o->config, .fds = fds};
    plx_workers workers = workers_of(&s, o->workers);
    plx_listen_addr addr;
    plx_buf problem;

    plx_buf_init(&problem, 0);
    if (plx_listen_parse(o->listen, &addr, &problem) != 0) {
        usage_error("--listen: ", plx_buf_cstr(&problem));
        plx_buf_fini(&problem);
        return EXIT_USAGE;
    }
    if (!check_config(o->config))
        return EXIT_FAILED;
    return plx_service_run(&addr, &workers, fds) == 0 ? EXIT_OK : EXIT_FAILED;
}

/* The web server's listening socket on descriptor 0. It supervises this process; workers of our own
 * only when asked for. */
static int serve_inherited(const struct options *o)
{
    const int fds[1] = {STDIN_FILENO};
    struct service s = {.config = o->config, .fds = fds, .shared = true};
    plx_workers workers = workers_of(&s, o->workers);

    if (o->listen != NULL)
        plx_warning("--listen is ignored: descriptor 0 is a listening socket already");
    if (!check_config(o->config))
        return EXIT_FAILED;
    if (o->workers == 0)
        return plx_worker_serve(o->config, fds[0]);
    return plx_workers_run(&workers) == 0 ? EXIT_OK : EXIT_FAILED;
}

static bool is_listening(int fd)
{
    int on = 0;
    socklen_t len = sizeof on;

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on != 0;
}

int main(int argc, char **argv)
{
    bool inherited = is_listening(STDIN_FILENO), cgi = getenv("GATEWAY_INTERFACE") != NULL;
    struct options o = {0};
    int status;

    plx_log_init("pollux-fcgi", PLX_INFO);
    if (cgi && !inherited && plx_cgi_foreign_arguments(getenv("QUERY_STRING")))
        argc = 1;
    status = read_options(argc, argv, &o);
    if (status >= 0)
        return status;
    plx_service_raise_limit();
    if (inherited)
        return serve_inherited(&o);
    if (o.listen != NULL)
        return serve_listen(&o);
    if (cgi)
        return plx_cgi_serve(o.config);
    return usage_error("not started by a web server, and without --listen", "");
}
