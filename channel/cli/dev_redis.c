/* The private Redis of `pollux dev`: started, and started again when it dies.
 *
 *   UNTROUBLED --it ends--> DOWN --start--> STARTING --answers--> UP
 *                            ^-----------------'----- it ends -----'
 *
 * The workers connect again by themselves; polls and WebSockets stay, what Redis
 * held is lost. The first new start comes at once, those soon after it at growing
 * distances; when none of ten in a row came to answer, all ends.
 *
 * Whoever stops our Redis may put one of their own in its place. Who listens on
 * the socket is asked from the kernel: if it is not ours, we stand back for good
 * (FOREIGN) and end ours if it still runs, with SIGKILL, because a Redis that
 * stops in good order would remove the other one's socket.
 */
#include "channel/cli/dev.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define FAILURES_MAX   10
#define FIRST_DELAY_MS 50
#define DELAY_MAX_MS   1000
#define STABLE_MS      5000  /* after so long a life the next start comes at once again */
#define LOOK_MS        25    /* while it starts */
#define WATCH_MS       500   /* while it runs: has somebody taken its place? */
#define ANSWER_MS      30000 /* like at the start; then it is killed, which counts as a failure */

static char *socket_path(const plx_dev *d)
{
    return plx_asprintf("%s/redis.sock", d->place.run);
}

/* ---- starting ---- */

static int spawn(plx_dev *d)
{
    char *sock = socket_path(d);
    char *argv[] = {(char *)"redis-server",
                    (char *)"--port",
                    (char *)"0",
                    (char *)"--unixsocket",
                    sock,
                    (char *)"--unixsocketperm",
                    (char *)"700",
                    (char *)"--save",
                    (char *)"",
                    (char *)"--appendonly",
                    (char *)"no",
                    (char *)"--daemonize",
                    (char *)"no",
                    (char *)"--dir",
                    d->place.tmp,
                    NULL};
    int rc;

    d->redis.started_ms = plx_now_ms();
    rc = plx_dev_start_program(d, PLX_DEV_REDIS, "Debian: apt-get install redis-server", argv);
    free(sock);
    return rc;
}

int plx_dev_redis_start(plx_dev *d)
{
    char *sock = socket_path(d);

    unlink(sock); /* left by a predecessor that was killed */
    free(sock);
    d->procs[PLX_DEV_REDIS].log = plx_asprintf("%s/redis.log", d->place.log);
    return spawn(d);
}

/* ---- starting again ---- */

/* It ended or could not be started. failed: without having answered. */
static void plan_start(plx_dev *d, bool failed)
{
    plx_dev_redis *r = &d->redis;
    uint64_t now = plx_now_ms(), delay = 0;

    r->failures = failed ? r->failures + 1 : 0;
    if (r->failures >= FAILURES_MAX) {
        plx_dev_complain("redis-server could not be started again: %d tries in a row failed, "
                         "stopping the rest",
                         FAILURES_MAX);
        d->failed = d->stopping = true;
        return;
    }
    if (now - r->started_ms > STABLE_MS)
        r->soon = 0;
    if (r->soon > 0)
        delay = r->soon > 5 ? DELAY_MAX_MS : FIRST_DELAY_MS << (r->soon - 1);
    r->soon++;
    r->state = PLX_DEV_REDIS_DOWN;
    r->due_ms = now + (delay < DELAY_MAX_MS ? delay : DELAY_MAX_MS);
}

void plx_dev_redis_ended(plx_dev *d, int status)
{
    plx_dev_proc *p = &d->procs[PLX_DEV_REDIS];

    if (d->redis.state != PLX_DEV_REDIS_FOREIGN) {
        plx_dev_proc_report(p, status);
        plx_dev_proc_signal(p, SIGKILL); /* a child that it left behind */
        plan_start(d, d->redis.state == PLX_DEV_REDIS_STARTING);
    }
    p->pid = p->group = 0;
    plx_dev_guard_set(&d->guard, PLX_DEV_REDIS, 0);
}

/* Whether another process than ours listens on our socket; if so, we stand back. */
static bool give_way(plx_dev *d)
{
    plx_dev_proc *p = &d->procs[PLX_DEV_REDIS];
    char *sock = socket_path(d);
    pid_t who = plx_dev_probe_listener(sock);

    if (who > 0 && who != p->pid && (p->group == 0 || getpgid(who) != p->group)) {
        plx_dev_complain("another Redis (pid %d) listens on %s now: it is used, and left alone",
                         (int)who, sock);
        d->redis.state = PLX_DEV_REDIS_FOREIGN;
        plx_dev_proc_signal(p, SIGKILL);
        plx_dev_proc_fini(p);
    }
    free(sock);
    return d->redis.state == PLX_DEV_REDIS_FOREIGN;
}

static void start_again(plx_dev *d)
{
    plx_dev_redis *r = &d->redis;
    plx_dev_proc *p = &d->procs[PLX_DEV_REDIS];

    r->state = PLX_DEV_REDIS_STARTING;
    r->due_ms = plx_now_ms() + LOOK_MS;
    if (spawn(d) != 0 && p->pid == 0)
        plan_start(d, true);
}

static void look(plx_dev *d)
{
    plx_dev_redis *r = &d->redis;
    uint64_t now = plx_now_ms();
    plx_buf why;

    plx_buf_init(&why, 8192);
    r->due_ms = now + LOOK_MS;
    if (plx_dev_redis_answers(d, &why)) {
        plx_dev_complain("redis-server runs again (pid %d), empty",
                         (int)d->procs[PLX_DEV_REDIS].pid);
        r->state = PLX_DEV_REDIS_UP;
        r->failures = 0;
    } else if (now - r->started_ms > ANSWER_MS) {
        plx_dev_complain("redis-server does not answer and is killed: %s", plx_buf_cstr(&why));
        plx_dev_proc_signal(&d->procs[PLX_DEV_REDIS], SIGKILL);
        r->started_ms = now;
    }
    plx_buf_fini(&why);
}

int plx_dev_redis_tend(plx_dev *d)
{
    plx_dev_redis *r = &d->redis;
    uint64_t now = plx_now_ms();

    if (r->state == PLX_DEV_REDIS_UNTROUBLED || r->state == PLX_DEV_REDIS_FOREIGN)
        return -1;
    if (now < r->due_ms)
        return (int)(r->due_ms - now);
    if (give_way(d))
        return -1;
    if (r->state == PLX_DEV_REDIS_DOWN)
        start_again(d);
    else if (r->state == PLX_DEV_REDIS_STARTING)
        look(d);
    else
        r->due_ms = now + WATCH_MS;
    return LOOK_MS;
}
