/* The guard: two processes, so that whichever is killed with -9, the other one cleans up.
 *
 * The process that was started, the outer one, only waits; everything is done by
 * its child, the inner one. When the outer one is killed, the inner one is told by
 * its parent-death signal, a SIGTERM like any other, and stops in good order. When
 * the inner one is killed, its children are told in the same way; the outer one,
 * to whom the kernel hands them over, waits for them, kills what does not obey and
 * removes what would stay in the state directory.
 */
#include "channel/cli/dev.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STEP_NS    20000000L
#define TERM_STEPS 150 /* 3 s until SIGKILL */
#define KILL_STEPS 50

/* ---- in the outer process ---- */

static void reap_all(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

/* What goes through the pipe: the group that a part has now; 0: none. */
typedef struct notice {
    int part;
    pid_t group;
} notice;

static bool any_left(const pid_t *groups)
{
    size_t i;

    reap_all();
    for (i = 0; i < PLX_DEV_PROCS; i++)
        if (groups[i] > 0 && kill(-groups[i], 0) == 0)
            return true;
    return false;
}

/* Signals every group and waits for their end, at most `steps`; false when some are left. */
static bool end_groups(const pid_t *groups, int sig, int steps)
{
    static const struct timespec step = {0, STEP_NS};
    size_t i;

    for (i = 0; i < PLX_DEV_PROCS; i++)
        if (groups[i] > 0)
            kill(-groups[i], sig);
    while (any_left(groups)) {
        if (steps-- == 0)
            return false;
        nanosleep(&step, NULL);
    }
    return true;
}

/* The inner process was killed: does what it can't do any more. */
static void clean_up(int pipe, const plx_dev_place *place)
{
    pid_t groups[PLX_DEV_PROCS] = {0};
    notice n;

    while (read(pipe, &n, sizeof n) == (ssize_t)sizeof n)
        groups[n.part] = n.group;
    if (!end_groups(groups, SIGTERM, TERM_STEPS))
        end_groups(groups, SIGKILL, KILL_STEPS);
    plx_dev_place_clean(place);
}

/* Hands signals on to the inner process until it has ended; returns its wait status. */
static int attend(pid_t inner, const sigset_t *mask)
{
    int status, sig;

    for (;;) {
        sig = sigwaitinfo(mask, NULL);
        if (sig == SIGTERM || sig == SIGINT || sig == SIGHUP)
            kill(inner, SIGTERM);
        if (sig == SIGCHLD && waitpid(inner, &status, WNOHANG) == inner)
            return status;
    }
}

static int be_outer(pid_t inner, int pipe, const plx_dev_place *place, const sigset_t *mask)
{
    int status = attend(inner, mask);

    if (WIFSIGNALED(status)) {
        plx_dev_complain("was killed by signal %d (%s); stopping the rest", WTERMSIG(status),
                         strsignal(WTERMSIG(status)));
        clean_up(pipe, place);
    }
    close(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* ---- both ---- */

/* Blocks the signals that both processes wait for, each in its own way. */
static void block_signals(sigset_t *mask)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(mask);
    sigaddset(mask, SIGTERM);
    sigaddset(mask, SIGINT);
    sigaddset(mask, SIGHUP);
    sigaddset(mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, mask, NULL);
}

int plx_dev_guard_fork(plx_dev_guard *g, const plx_dev_place *place, int *status)
{
    pid_t outer = getpid(), inner;
    int ends[2];

    block_signals(&g->signals);
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        plx_dev_complain("pipe: %s", strerror(errno));
        return PLX_E_SYSTEM;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    fflush(NULL);
    inner = fork();
    if (inner < 0) {
        plx_dev_complain("fork: %s", strerror(errno));
        close(ends[0]);
        close(ends[1]);
        return PLX_E_SYSTEM;
    }
    if (inner > 0) {
        close(ends[1]);
        *status = be_outer(inner, ends[0], place, &g->signals);
        return 1;
    }
    close(ends[0]);
    g->pipe = ends[1];
    setpgid(0, 0); /* a ^C is the outer process's to hand on */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != outer)
        raise(SIGTERM); /* it died before the line above; blocked, so seen in time */
    return 0;
}

void plx_dev_guard_set(const plx_dev_guard *g, int part, pid_t group)
{
    const notice n = {part, group};

    if (g->pipe >= 0 && write(g->pipe, &n, sizeof n) != (ssize_t)sizeof n)
        plx_dev_complain("note: nobody would clean up after a kill -9: %s", strerror(errno));
}
