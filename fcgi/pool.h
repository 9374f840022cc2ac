/* The reader threads: they decode complete requests with libfcgi (codec.h), off the event loop.
 *
 * The loop's thread owns all state; a job belongs to the pool from its submission
 * until `done` gets it back on the loop. The queue has no bound of its own: a
 * connection has at most one job, and what its bytes may take together is bounded
 * where they are read (peer.h).
 *
 *   loop                       thread
 *   submit --> queue ---------> work
 *   done  <-- finished <------- (wakes the loop when it was empty)
 *
 * One mutex guards both lists; nothing is called with it held.
 */
#ifndef PLX_FCGI_POOL_H
#define PLX_FCGI_POOL_H

#include "base/list.h"
#include "fcgi/codec.h"
#include <ev.h>

typedef struct plx_pool plx_pool;

/* The head of whatever the caller wants worked on. */
typedef struct plx_pool_job {
    plx_list link; /* the pool's while it has the job */
} plx_pool_job;

typedef struct plx_pool_calls {
    void (*work)(plx_pool_job *job, plx_codec *codec); /* in a thread, with that thread's codec */
    void (*done)(void *arg, plx_pool_job *job); /* on the loop; the job is the caller's again */
    void *arg;
} plx_pool_calls;

/* Starts 1..64 threads, with all signals blocked. NULL when the system gives none, or no
 * descriptors (logged). */
plx_pool *plx_pool_new(struct ev_loop *loop, size_t threads, const plx_pool_calls *calls);

/* On the loop's thread only. */
void plx_pool_submit(plx_pool *p, plx_pool_job *job);

/* Waits for the jobs that are being worked on right now, ends the threads, frees (NULL is fine).
 * `done` is not called any more: jobs submitted and not given back are the caller's again. Not from
 * inside `done`. */
void plx_pool_free(plx_pool *p);

#endif
