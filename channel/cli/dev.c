/* pollux dev: everything on one machine.
 *
 * Starts Redis, the FastCGI workers, the WebSocket workers and a web server, each
 * when the one before it answers, says "ready URL", and then waits: for a signal,
 * or for one of them to end, which is the end of all. Only Redis is started again
 * (dev_redis.c); for the workers their own parents do that.
 *
 * Stopping goes from the workers to what they need: they answer their parked polls
 * and say goodbye to their sockets through the web server and Redis.
 */
#include "base/buf.h"
#include "channel/cli/dev.h"
#include "channel/cli/cli.h"
#include "base/clock.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define RETRY_MS   25
#define WORKERS_MS 2500 /* for the workers to stop, then the rest: less than 5 s in all */
#define REST_MS    800
#define KILL_MS    500

void plx_dev_complain(const char *format, ...)
{
    va_list args;
    plx_buf line;

    /* In one write: the parts write to the same place meanwhile. */
    plx_buf_init(&line, 0);
    plx_buf_str(&line, "pollux dev: ");
    va_start(args, format);
    plx_buf_vprintf(&line, format, args);
    va_end(args);
    plx_buf_byte(&line, '\n');
    fwrite(line.data, 1, line.len, stderr);
    plx_buf_fini(&line);
}

/* ---- waiting ---- */

static void part_ended(plx_dev *d, plx_dev_proc *p, int status)
{
    if (!d->stopping && d->ready && p == &d->procs[PLX_DEV_REDIS]) {
        plx_dev_redis_ended(d, status);
    } else if (!d->stopping) {
        plx_dev_proc_report(p, status);
        d->failed = d->stopping = true;
    }
    p->pid = 0;
}

static void reap(plx_dev *d)
{
    int status, i;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (i = 0; i < PLX_DEV_PROCS; i++)
            if (d->procs[i].pid == pid)
                part_ended(d, &d->procs[i], status);
}

/* Waits for signals (ours and children's ends), at most `ms` (-1: for ever), and handles them. */
static void wait_signals(plx_dev *d, int ms)
{
    struct pollfd p = {.fd = d->signals, .events = POLLIN};
    struct signalfd_siginfo si;

    poll(&p, 1, ms);
    while (read(d->signals, &si, sizeof si) == (ssize_t)sizeof si)
        if (si.ssi_signo != SIGCHLD)
            d->stopping = true;
    reap(d);
}

/* Calls `answers` until it is true. Returns 0, PLX_E_BUSY when all is to stop meanwhile, or
 * PLX_E_TIMEOUT (told). */
int plx_dev_wait_until(plx_dev *d, const char *what, uint64_t ms,
                       bool (*answers)(plx_dev *d, plx_buf *why))
{
    uint64_t until_ms = plx_now_ms() + ms;
    plx_buf why;
    bool ok = false;

    plx_buf_init(&why, 8192);
    while (!d->stopping && !(ok = answers(d, &why)) && plx_now_ms() < until_ms) {
        wait_signals(d, RETRY_MS);
        if (!d->stopping)
            plx_buf_clear(&why);
    }
    if (!ok && !d->stopping) {
        plx_buf_clear(&why); /* the last try's complaint may still stand there */
        answers(d, &why);
        plx_dev_complain("%s does not answer: %s", what, plx_buf_cstr(&why));
    }
    plx_buf_fini(&why);
    return ok ? 0 : d->stopping ? PLX_E_BUSY : PLX_E_TIMEOUT;
}

/* ---- stopping ---- */

static bool running(const plx_dev *d, int first, int last)
{
    int i;

    for (i = first; i <= last; i++)
        if (plx_dev_proc_alive(&d->procs[i]))
            return true;
    return false;
}

/* SIGTERM, time to obey, SIGKILL. */
static void stop_range(plx_dev *d, int first, int last, uint64_t ms)
{
    static const int rounds[] = {SIGTERM, SIGKILL};
    uint64_t until_ms, now;
    size_t round;
    int i;

    for (round = 0; round < 2 && running(d, first, last); round++) {
        for (i = first; i <= last; i++) {
            if (rounds[round] == SIGKILL && plx_dev_proc_alive(&d->procs[i]))
                plx_dev_complain("%s does not stop and is killed", d->procs[i].title);
            plx_dev_proc_signal(&d->procs[i], rounds[round]);
        }
        until_ms = plx_now_ms() + (rounds[round] == SIGTERM ? ms : KILL_MS);
        while (running(d, first, last) && (now = plx_now_ms()) < until_ms)
            wait_signals(d, (int)(until_ms - now));
    }
}

static void stop_all(plx_dev *d)
{
    int i;

    d->stopping = true;
    stop_range(d, PLX_DEV_FCGI, PLX_DEV_WS, WORKERS_MS);
    stop_range(d, PLX_DEV_REDIS, PLX_DEV_LIGHTTPD, REST_MS);
    for (i = 0; i < PLX_DEV_PROCS; i++)
        plx_dev_proc_fini(&d->procs[i]);
    plx_dev_place_clean(&d->place);
}

/* ---- the command ---- */

static void fini(plx_dev *d)
{
    plx_dev_place_close(&d->place);
    if (d->config != NULL)
        plx_config_free(d->config);
    free(d->config_file);
    free(d->redis_url);
    free(d->demo);
    free(d->phoenix);
    if (d->signals >= 0)
        close(d->signals);
}

/* Whoever reads our output must not have to wait for us when the outer process is killed. */
static void announce(const plx_dev *d)
{
    int null;

    printf("ready http://127.0.0.1:%u/\n", d->port);
    fflush(stdout);
    null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDOUT_FILENO);
        close(null);
    }
}

static void init(plx_dev *d)
{
    static const char *const names[][2] = {[PLX_DEV_REDIS] = {"redis", "redis-server"},
                                           [PLX_DEV_FCGI] = {"fcgi", "pollux-fcgi"},
                                           [PLX_DEV_WS] = {"ws", "pollux-ws"},
                                           [PLX_DEV_LIGHTTPD] = {"lighttpd", "lighttpd"}};
    int i;

    memset(d, 0, sizeof *d);
    for (i = 0; i < PLX_DEV_PROCS; i++) {
        d->procs[i].name = names[i][0];
        d->procs[i].title = names[i][1];
    }
    d->guard.pipe = d->place.lock = d->signals = -1;
}

/* The inner process's life; returns the exit status. */
static int run(plx_dev *d, const char *config_path)
{
    int rc;

    d->signals = signalfd(-1, &d->guard.signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (d->signals < 0) {
        plx_dev_complain("signalfd: %s", strerror(errno));
        return PLX_CLI_REFUSED;
    }
    rc = plx_dev_prepare(d, config_path);
    if (rc == 0)
        rc = plx_dev_start(d);
    d->ready = rc == 0;
    if (d->ready)
        announce(d);
    while (rc == 0 && !d->stopping)
        wait_signals(d, plx_dev_redis_tend(d));
    rc = d->stopping && !d->failed ? PLX_CLI_OK : PLX_CLI_REFUSED;
    stop_all(d);
    return rc;
}

int plx_cli_dev(int argc, char **argv, const char *config_path)
{
    int rc, status = PLX_CLI_REFUSED;
    plx_dev d;

    init(&d);
    rc = plx_dev_options_read(argc, argv, &d.opt);
    if (rc != 0)
        return rc - 1;
    rc = plx_dev_place_open(&d.place, d.opt.state);
    if (rc == 0)
        rc = plx_dev_guard_fork(&d.guard, &d.place, &status);
    if (rc == 0)
        status = run(&d, config_path);
    if (rc < 0)
        plx_dev_place_clean(&d.place);
    fini(&d);
    return status;
}
