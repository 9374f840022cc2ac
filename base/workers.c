/* The parent of N worker processes.
 *
 * One loop: do what is due (start, kill, go on with a planned restart), then wait
 * for a signal, a worker's word that it is ready, or the next deadline. Signals
 * come in through a signalfd, so that nothing runs between two statements.
 *
 * A slot holds up to three processes: the current one, during a planned restart
 * its successor until that is ready, and then the old one until it has ended.
 * Only one slot at a time is being restarted, and the next one waits for the old
 * process to be gone: its clients come back one worker's load at a time.
 */
#include "base/workers.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define SETTLED_MS   1000 /* a worker that lived this long counts as ready and as a good start */
#define PAUSE_MIN_MS 50
#define PAUSE_MAX_MS 1000
#define NEVER        UINT64_MAX

struct slot {
    pid_t pid;            /* the current worker, 0: none */
    uint64_t started_ms;  /* when it was started */
    uint64_t start_at_ms; /* without one: when the next is due */
    uint64_t pause_ms;    /* before the one that followed the last quick death */
    pid_t next;           /* a successor that is not ready yet */
    uint64_t next_started_ms;
    pid_t old; /* was told to stop because its successor is there */
    uint64_t kill_at_ms;
};

struct parent {
    const plx_workers *w;
    struct slot *slots;
    pid_t pid;
    int signals;          /* signalfd */
    int ready[2];         /* a ready worker writes its pid */
    sigset_t caller_mask; /* what workers get back */
    unsigned restarting;  /* the slot of the planned restart, w->count: none under way */
    bool restart_again;   /* SIGHUP came during a planned restart */
    bool ever_ready;
    bool stopping, killed, hopeless;
    uint64_t kill_at_ms;
};

static int ready_fd = -1; /* in a worker: the parent's pipe */

void plx_worker_ready(void)
{
    pid_t pid = getpid();
    ssize_t n;

    if (ready_fd < 0)
        return;
    do
        n = write(ready_fd, &pid, sizeof pid);
    while (n < 0 && errno == EINTR);
    close(ready_fd);
    ready_fd = -1;
}

/* ---- in the worker ---- */

static void default_action(int sig)
{
    struct sigaction sa;

    memset(&sa, 0, sizeof sa);
    sa.sa_handler = sig == SIGINT || sig == SIGHUP ? SIG_IGN : SIG_DFL;
    sigaction(sig, &sa, NULL);
}

static _Noreturn void be_worker(struct parent *p, unsigned index)
{
    /* The signal first, the question second: a parent that died in between is seen by one of them.
     */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != p->pid)
        _exit(0);
    close(p->signals);
    close(p->ready[0]);
    ready_fd = p->ready[1];
    free(p->slots);
    default_action(SIGTERM);
    default_action(SIGCHLD);
    default_action(SIGINT);
    default_action(SIGHUP);
    sigprocmask(SIG_SETMASK, &p->caller_mask, NULL);
    exit(p->w->run(index, p->w->data));
}

/* ---- starting ---- */

static pid_t start(struct parent *p, unsigned index)
{
    pid_t pid;

    fflush(NULL); /* or both processes would write what is buffered */
    pid = fork();
    if (pid == 0)
        be_worker(p, index);
    if (pid < 0)
        plx_log_limited(PLX_ERROR, "can't start worker %u: fork: %s", index, strerror(errno));
    return pid;
}

static void start_due(struct parent *p, uint64_t now)
{
    unsigned i;

    for (i = 0; i < p->w->count; i++) {
        struct slot *s = &p->slots[i];
        pid_t pid;

        if (s->pid != 0 || p->stopping || now < s->start_at_ms)
            continue;
        pid = start(p, i);
        if (pid > 0) {
            s->pid = pid;
            s->started_ms = now;
        } else {
            s->start_at_ms = now + PAUSE_MAX_MS;
        }
    }
}

static void schedule(struct slot *s, uint64_t now)
{
    if (now - s->started_ms >= SETTLED_MS)
        s->pause_ms = 0;
    else if (s->pause_ms == 0)
        s->pause_ms = PAUSE_MIN_MS;
    else
        s->pause_ms = s->pause_ms * 2 < PAUSE_MAX_MS ? s->pause_ms * 2 : PAUSE_MAX_MS;
    s->start_at_ms = now + s->pause_ms;
}

/* ---- planned restart ---- */

static void restart_next_slot(struct parent *p)
{
    p->restarting++;
    if (p->restarting < p->w->count)
        return;
    plx_info("all %u workers were restarted", p->w->count);
    if (p->restart_again)
        p->restarting = 0;
    p->restart_again = false;
}

/* The successor is there: the old worker may go. */
static void hand_over(struct parent *p, struct slot *s, uint64_t now)
{
    s->old = s->pid;
    s->pid = s->next;
    s->started_ms = s->next_started_ms;
    s->next = 0;
    kill(s->old, SIGTERM);
    s->kill_at_ms = now + p->w->grace_ms;
}

static void start_successor(struct parent *p, struct slot *s, uint64_t now)
{
    s->next = start(p, p->restarting);
    s->next_started_ms = now;
    if (s->next < 0) {
        s->next = 0;
        p->restarting = p->w->count;
        plx_err("planned restart given up");
    }
}

static void restart_step(struct parent *p, uint64_t now)
{
    struct slot *s;

    for (; !p->stopping && p->restarting < p->w->count; restart_next_slot(p)) {
        s = &p->slots[p->restarting];
        if (s->pid == 0 && s->old == 0)
            continue; /* has just died: what will be started there is a new one anyway */
        if (s->next != 0 && now - s->next_started_ms >= SETTLED_MS)
            hand_over(p, s, now);
        else if (s->next == 0 && s->old == 0)
            start_successor(p, s, now);
        return;
    }
}

static void worker_is_ready(struct parent *p, pid_t pid, uint64_t now)
{
    unsigned i;

    p->ever_ready = true;
    for (i = 0; i < p->w->count; i++)
        if (p->slots[i].next == pid && !p->stopping)
            hand_over(p, &p->slots[i], now);
}

/* ---- stopping ---- */

static void signal_all(struct parent *p, int sig)
{
    unsigned i;

    for (i = 0; i < p->w->count; i++) {
        struct slot *s = &p->slots[i];

        if (s->pid != 0)
            kill(s->pid, sig);
        if (s->next != 0)
            kill(s->next, sig);
        if (s->old != 0)
            kill(s->old, sig);
    }
}

static unsigned alive(const struct parent *p)
{
    unsigned i, n = 0;

    for (i = 0; i < p->w->count; i++)
        n += (p->slots[i].pid != 0) + (p->slots[i].next != 0) + (p->slots[i].old != 0);
    return n;
}

static void stop(struct parent *p, int sig, uint64_t now)
{
    if (p->stopping) {
        if (sig == SIGINT)
            p->kill_at_ms = now;
        return;
    }
    p->stopping = true;
    p->kill_at_ms = now + p->w->grace_ms;
    signal_all(p, SIGTERM);
}

static void kill_overdue(struct parent *p, uint64_t now)
{
    unsigned i;

    if (p->stopping && now >= p->kill_at_ms) {
        plx_warning("%u workers did not stop in time and are killed", alive(p));
        signal_all(p, SIGKILL);
        p->killed = true;
        p->kill_at_ms = NEVER;
    }
    for (i = 0; i < p->w->count; i++) {
        struct slot *s = &p->slots[i];

        if (s->old == 0 || now < s->kill_at_ms)
            continue;
        plx_warning("worker %u (pid %d) did not stop in time and is killed", i, (int)s->old);
        kill(s->old, SIGKILL);
        s->kill_at_ms = NEVER;
    }
}

/* ---- deaths ---- */

static const char *describe(int status, char *out, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(out, size, "was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(out, size, "exited with status %d", WEXITSTATUS(status));
    return out;
}

static void current_died(struct parent *p, unsigned i, int status, uint64_t now)
{
    struct slot *s = &p->slots[i];
    char how[80];
    pid_t pid = s->pid;

    s->pid = 0;
    if (p->stopping)
        return;
    describe(status, how, sizeof how);
    if (s->next != 0) { /* its successor takes over without being asked whether it is ready */
        plx_warning("worker %u (pid %d) %s; its successor takes over", i, (int)pid, how);
        s->pid = s->next;
        s->started_ms = s->next_started_ms;
        s->next = 0;
        restart_next_slot(p);
        return;
    }
    if (now - s->started_ms >= SETTLED_MS)
        p->ever_ready = true;
    if (!p->ever_ready && WIFEXITED(status) && WEXITSTATUS(status) == PLX_WORKER_HOPELESS) {
        p->hopeless = true;
        stop(p, SIGTERM, now);
        return;
    }
    schedule(s, now);
    plx_warning("worker %u (pid %d) %s; the next one starts in %u ms", i, (int)pid, how,
                (unsigned)s->pause_ms);
}

static void successor_died(struct parent *p, unsigned i, int status)
{
    char how[80];

    p->slots[i].next = 0;
    if (p->stopping)
        return;
    plx_err("the successor of worker %u %s before it was ready; planned restart given up, the "
            "old workers stay",
            i, describe(status, how, sizeof how));
    p->restarting = p->w->count;
    p->restart_again = false;
}

static void reap(struct parent *p, uint64_t now)
{
    unsigned i;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (i = 0; i < p->w->count; i++) {
            struct slot *s = &p->slots[i];

            if (s->pid == pid) {
                current_died(p, i, status, now);
            } else if (s->next == pid) {
                successor_died(p, i, status);
            } else if (s->old == pid) {
                s->old = 0;
                if (p->restarting == i)
                    restart_next_slot(p);
            }
        }
    }
}

/* ---- the loop ---- */

static void handle_signal(struct parent *p, int sig, uint64_t now)
{
    if (sig == SIGTERM || sig == SIGINT) {
        stop(p, sig, now);
    } else if (sig == SIGHUP && !p->stopping) {
        if (p->restarting < p->w->count)
            p->restart_again = true;
        else
            p->restarting = 0;
        plx_info("planned restart of %u workers", p->w->count);
    }
}

static void earlier(uint64_t *deadline, uint64_t candidate)
{
    if (candidate < *deadline)
        *deadline = candidate;
}

static int wait_ms(const struct parent *p, uint64_t now)
{
    uint64_t at = p->stopping ? p->kill_at_ms : NEVER;
    unsigned i;

    for (i = 0; i < p->w->count; i++) {
        const struct slot *s = &p->slots[i];

        if (s->pid == 0 && !p->stopping)
            earlier(&at, s->start_at_ms);
        if (s->next != 0)
            earlier(&at, s->next_started_ms + SETTLED_MS);
        if (s->old != 0)
            earlier(&at, s->kill_at_ms);
    }
    if (at == NEVER)
        return -1;
    return at <= now ? 0 : at - now > 60000 ? 60000 : (int)(at - now);
}

static void wait_and_handle(struct parent *p)
{
    struct pollfd fds[2] = {{.fd = p->signals, .events = POLLIN},
                            {.fd = p->ready[0], .events = POLLIN}};
    struct signalfd_siginfo si;
    uint64_t now = plx_now_ms();
    pid_t pid;

    poll(fds, 2, wait_ms(p, now));
    now = plx_now_ms();
    while (read(p->signals, &si, sizeof si) == (ssize_t)sizeof si)
        handle_signal(p, (int)si.ssi_signo, now);
    while (read(p->ready[0], &pid, sizeof pid) == (ssize_t)sizeof pid)
        worker_is_ready(p, pid, now);
    reap(p, now);
}

static int prepare(struct parent *p, const plx_workers *w)
{
    sigset_t mask;

    memset(p, 0, sizeof *p);
    p->w = w;
    p->pid = getpid();
    p->restarting = w->count;
    if (pipe2(p->ready, O_CLOEXEC | O_NONBLOCK) != 0) {
        plx_err("pipe: %s", strerror(errno));
        return PLX_E_SYSTEM;
    }
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGHUP);
    sigaddset(&mask, SIGCHLD);
    p->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (p->signals < 0) {
        plx_err("signalfd: %s", strerror(errno));
        close(p->ready[0]);
        close(p->ready[1]);
        return PLX_E_SYSTEM;
    }
    default_action(SIGCHLD); /* were it ignored, the kernel would keep deaths from us */
    sigprocmask(SIG_BLOCK, &mask, &p->caller_mask);
    p->slots = plx_alloc_zero(w->count, sizeof *p->slots);
    return 0;
}

int plx_workers_run(const plx_workers *w)
{
    struct parent p;
    int rc;

    if (w->count < 1 || w->count > PLX_WORKERS_MAX)
        return PLX_E_INVALID;
    rc = prepare(&p, w);
    if (rc != 0)
        return rc;
    while (!p.stopping || alive(&p) > 0) {
        uint64_t now = plx_now_ms();

        start_due(&p, now);
        restart_step(&p, now);
        kill_overdue(&p, now);
        if (!p.stopping || alive(&p) > 0)
            wait_and_handle(&p);
    }
    close(p.signals);
    close(p.ready[0]);
    close(p.ready[1]);
    free(p.slots);
    sigprocmask(SIG_SETMASK, &p.caller_mask, NULL);
    if (p.hopeless)
        return PLX_E_INVALID;
    return p.killed ? PLX_E_TIMEOUT : 0;
}
