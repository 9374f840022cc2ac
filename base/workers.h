/* The parent of N worker processes.
 *
 * The parent opens what all generations of workers share (listening sockets)
 * before it calls plx_workers_run, and from then on only starts, watches and
 * stops processes: it serves nobody, holds no state and writes no file, so that
 * nothing is lost when it has to be killed, and then takes its workers along
 * (parent-death signal).
 *
 *   a worker dies           another one is started: at once if it had lived for a
 *                           second, else after a pause that doubles up to one second
 *   SIGTERM, SIGINT         SIGTERM to every worker; SIGKILL to what is left after
 *                           grace_ms, or at once at a second SIGINT (an impatient ^C)
 *   SIGHUP                  planned restart, one worker after the other: a successor
 *                           is started, and only when it is ready does the old one get
 *                           SIGTERM (and SIGKILL grace_ms later); a successor that
 *                           dies first is reported and the old workers stay
 */
#ifndef PLX_BASE_WORKERS_H
#define PLX_BASE_WORKERS_H

#include <stdint.h>

#define PLX_WORKERS_MAX 256

/* Exit status of a worker that another try could not help (a configuration that can't be loaded).
 * As long as no worker has been ready yet, the parent then stops instead of trying for ever. */
#define PLX_WORKER_HOPELESS 78

typedef struct plx_workers {
    unsigned count;    /* 1 .. PLX_WORKERS_MAX */
    uint64_t grace_ms; /* between SIGTERM and SIGKILL */
    /* The worker's life, called in a fresh process (fork without exec) with its slot, 0 .. count-1;
     * a successor has the slot of the one that it replaces and runs beside it for a while. Returns
     * the exit status. On entry SIGTERM has its default action and the signal mask of the caller of
     * plx_workers_run is back; SIGINT and SIGHUP are ignored, because a terminal sends them to the
     * whole process group and the parent translates them. */
    int (*run)(unsigned index, void *data);
    void *data; /* borrowed, handed to run */
} plx_workers;

/* Runs until a signal says stop and every worker has ended. The calling process must have one
 * thread only. Returns 0 when all workers ended by themselves, PLX_E_TIMEOUT when one had to be
 * killed, PLX_E_INVALID for an impossible count or when the first workers were hopeless,
 * PLX_E_SYSTEM when not even the parent's own descriptors could be had (logged). A failing fork
 * counts as a worker that died. */
int plx_workers_run(const plx_workers *w);

/* Called by a worker once it serves: tells the parent that the one that it replaces may go. Without
 * it, or when there is no parent, nothing breaks: a worker that has lived for a second counts as
 * ready. */
void plx_worker_ready(void);

#endif
