/* The modules of a configuration, loaded on trial.
 *
 * A file that is cut off ends the process with SIGBUS, and a module's constructors may do anything:
 * so a child loads them, and says by its status how that went. A status that is not one of ours is
 * the module's.
 */
#include "base/error.h"
#include "channel/backends.h"
#include "channel/cli/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum outcome { GOOD = 81, BAD = 82 };

/* Every module whose file is not there. */
static bool readable(const plx_config *c, const char *path, unsigned line)
{
    if (!path || access(path, R_OK) == 0)
        return true;
    fprintf(stderr, "%s:%u: the module \"%s\" can't be read (expected a shared object)\n", c->file,
            line, path);
    return false;
}

static bool all_readable(const plx_config *c)
{
    bool good = true;
    for (size_t i = 0; i < c->socket_count; i++) {
        good = readable(c, c->sockets[i].module, c->sockets[i].line) && good;
        for (size_t k = 0; k < c->sockets[i].channel_count; k++) {
            const plx_channel_config *ch = &c->sockets[i].channels[k];
            good = readable(c, ch->path, ch->line) && good;
        }
    }
    return good;
}

/* Loads and opens them, as the workers do at start. */
static enum outcome try(const plx_config *c)
{
    plx_channels *channels = NULL;
    plx_buf problem;
    bool good;

    plx_buf_init(&problem, 0);
    good = plx_channels_open(c, &channels, &problem) == 0;
    if (problem.len > 0)
        fwrite(problem.data, 1, problem.len, stderr);
    plx_buf_fini(&problem);
    plx_channels_close(channels, c->socket_count);
    return good ? GOOD : BAD;
}

static bool judge(const plx_config *c, int status)
{
    if (WIFEXITED(status) && (WEXITSTATUS(status) == GOOD || WEXITSTATUS(status) == BAD))
        return WEXITSTATUS(status) == GOOD;
    fprintf(stderr, "%s: loading its modules ended the process", c->file);
    if (WIFSIGNALED(status))
        fprintf(stderr, " with signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    fprintf(stderr, " (expected whole shared objects)\n");
    return false;
}

bool plx_check_modules(const plx_config *c)
{
    pid_t pid;
    int status;

    if (!all_readable(c))
        return false;
    fflush(NULL); /* else the child would print it once more */
    pid = fork();
    if (pid == 0)
        _exit(try(c));
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (pid > 0)
        return judge(c, status);
    fprintf(stderr, "%s: its modules can't be tried: %s\n", c->file, strerror(errno));
    return false;
}
