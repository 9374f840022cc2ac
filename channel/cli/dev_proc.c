/* Child processes of `pollux dev` that die with it.
 *
 * redis-server and lighttpd do not notice when their parent is gone, so the kernel
 * is asked to tell them: the parent-death signal is set between fork and exec and
 * survives exec. Each child leads a process group: a ^C at the terminal then
 * reaches only us, and a child's own children can be ended with it.
 */
#include "channel/cli/dev.h"
#include "base/alloc.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAIL_BYTES 4096
#define TAIL_LINES 15

/* ---- in the child ---- */

static void default_signals(void)
{
    static const int handled[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGPIPE};
    struct sigaction sa;
    sigset_t none;
    size_t i;

    memset(&sa, 0, sizeof sa);
    sa.sa_handler = SIG_DFL;
    for (i = 0; i < sizeof handled / sizeof *handled; i++)
        sigaction(handled[i], &sa, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int redirect(const plx_dev_proc *p)
{
    int in = open("/dev/null", O_RDONLY), out = STDERR_FILENO;

    if (p->log != NULL)
        out = open(p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (in < 0 || out < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
        return -1;
    return out == STDERR_FILENO || dup2(out, STDERR_FILENO) >= 0 ? 0 : -1;
}

static _Noreturn void become(const plx_dev_proc *p, char *const argv[], pid_t parent, int tell)
{
    int err;

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* died before the line above */
        _exit(0);
    default_signals();
    if (redirect(p) == 0)
        execv(argv[0], argv);
    err = errno;
    if (write(tell, &err, sizeof err) != (ssize_t)sizeof err)
        _exit(126);
    _exit(127);
}

/* ---- in the parent ---- */

static int write_pid_file(plx_dev_proc *p, const plx_dev_place *place)
{
    char text[24];

    snprintf(text, sizeof text, "%d\n", (int)p->pid);
    free(p->pid_file);
    p->pid_file = plx_asprintf("%s/%s.pid", place->run, p->name);
    return plx_dev_write_file(p->pid_file, plx_slice_of(text));
}

int plx_dev_proc_start(plx_dev_proc *p, const plx_dev_place *place, char *const argv[])
{
    pid_t parent = getpid();
    int tell[2], err = 0;

    if (pipe2(tell, O_CLOEXEC) != 0) {
        plx_dev_complain("pipe: %s", strerror(errno));
        return PLX_E_SYSTEM;
    }
    if (p->log != NULL)
        unlink(p->log); /* what it says about an earlier run would only confuse */
    fflush(NULL);
    p->pid = fork();
    if (p->pid == 0)
        become(p, argv, parent, tell[1]);
    close(tell[1]);
    if (p->pid < 0)
        err = errno;
    else if (read(tell[0], &err, sizeof err) != (ssize_t)sizeof err)
        err = 0; /* closed by exec */
    close(tell[0]);
    if (err != 0) {
        plx_dev_complain("can't start %s: %s", argv[0], strerror(err));
        if (p->pid > 0)
            waitpid(p->pid, NULL, 0);
        p->pid = 0;
        return PLX_E_SYSTEM;
    }
    p->group = p->pid; /* it made itself the leader before exec */
    return write_pid_file(p, place);
}

/* The last lines of a file, each with a margin. */
static void show_tail(const char *path)
{
    char text[TAIL_BYTES + 1], *line, *rest;
    int fd = open(path, O_RDONLY | O_CLOEXEC), lines = 0;
    ssize_t n = -1;

    if (fd >= 0) {
        if (lseek(fd, -TAIL_BYTES, SEEK_END) < 0)
            lseek(fd, 0, SEEK_SET);
        n = read(fd, text, TAIL_BYTES);
        close(fd);
    }
    if (n <= 0)
        return;
    text[n] = '\0';
    for (line = text + n; line > text; line--)
        if (line[-1] == '\n' && line < text + n && ++lines == TAIL_LINES)
            break;
    for (; (rest = strchr(line, '\n')) != NULL; line = rest + 1)
        fprintf(stderr, "    | %.*s\n", (int)(rest - line), line);
    if (*line != '\0')
        fprintf(stderr, "    | %s\n", line);
}

void plx_dev_proc_report(const plx_dev_proc *p, int status)
{
    if (WIFSIGNALED(status))
        plx_dev_complain("%s (pid %d) was killed by signal %d (%s)", p->title, (int)p->pid,
                         WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        plx_dev_complain("%s (pid %d) ended unexpectedly with status %d", p->title, (int)p->pid,
                         WEXITSTATUS(status));
    if (p->log == NULL) {
        plx_dev_complain("what it said is above");
        return;
    }
    plx_dev_complain("the end of %s:", p->log);
    show_tail(p->log);
}

bool plx_dev_proc_alive(const plx_dev_proc *p)
{
    return p->group != 0 && kill(-p->group, 0) == 0;
}

void plx_dev_proc_signal(const plx_dev_proc *p, int sig)
{
    if (p->group != 0)
        kill(-p->group, sig);
}

void plx_dev_proc_fini(plx_dev_proc *p)
{
    if (p->pid_file != NULL)
        unlink(p->pid_file);
    free(p->pid_file);
    free(p->log);
    p->pid_file = p->log = NULL;
}
