/* The connections from web servers, and what all of a worker's share.
 *
 *             bytes                complete request            request
 *   socket ----------> intake ---------------------> pool -----------------> handler
 *          <---------- out    <------------------------------------------- respond
 *             as it takes them                codec
 *
 * But for the pool's threads everything runs on the loop's thread and never waits. It never
 * stops reading either: an end of file or an FCGI_ABORT_REQUEST is seen while
 * the request is parked. What a web server that stalls can cost is its descriptor and the
 * bytes that it has sent or not taken. Those are bounded for the worker as a whole
 * (staged_max, unsent_max), and the connection that has held some for longest
 * gives way; a request that finds too much under way already gets a 503. A connection
 * that makes no progress for stall_ms is closed; one that waits for a request to come, or for our
 * answer, is not.
 */
#ifndef PLX_FCGI_PEER_H
#define PLX_FCGI_PEER_H

#include "base/config.h"
#include "base/list.h"
#include "fcgi/intake.h"
#include "fcgi/pool.h"
#include "fcgi/request.h"
#include <ev.h>

#define PLX_PEER_READ_BYTES 65536 /* at most, from one connection in a loop turn */
#define PLX_PEER_LINGER_MS  2000  /* how long a finished connection waits for the peer's close */
#define PLX_PEER_SILENT_MS  100   /* a new connection has so long to say something in any case */

typedef struct plx_host {
    /* Set by the owner before plx_host_start. */
    struct ev_loop *loop;
    const plx_config *config;
    void (*handle)(void *arg, plx_http_request *r); /* answers it, now or later */
    void *arg;
    plx_pool *pool; /* runs plx_call_work and plx_call_done, the latter with this host as arg */
    plx_codec *codec;
    uint64_t stall_ms;
    size_t staged_max; /* bytes in all intakes, and again in all requests under way */
    size_t unsent_max; /* bytes of all answers that were not taken yet */
    void (*emptied)(struct plx_host *h); /* draining, and the last peer is gone; may be NULL */

    size_t staged, in_calls, unsent; /* bytes now */
    size_t peer_count;
    plx_list peers;
    plx_list incoming; /* peers in the middle of a request, oldest first */
    plx_list outgoing; /* peers with unsent bytes, oldest first */
    plx_list calls;    /* requests under way */
    plx_list dead_peers, dead_calls;
    ev_prepare reap;   /* frees the dead before the loop waits */
    ev_timer sweep;    /* once a second while something is incoming or outgoing */
    ev_timer idle_end; /* draining: closes what is idle */
    bool draining;
    char scratch[PLX_PEER_READ_BYTES];
} plx_host;

void plx_host_start(plx_host *h);
/* A planned stop: each connection is closed after its next answer, and those that stay idle a
 * moment later. */
void plx_host_drain(plx_host *h);
/* Closes everything: handlers that hold requests are told `gone`; those without `gone` may still
 * answer, into nothing. The pool must have been freed. */
void plx_host_stop(plx_host *h);
/* Closes the connections whose time is over by plx_now_ms; the timer's work. */
void plx_host_sweep(plx_host *h);

/* No descriptor is left: closes the connection that has said nothing for longest (and for
 * PLX_PEER_SILENT_MS at least), of those that have not sent a whole request yet. False: there is
 * none. Costs a walk over all connections. */
bool plx_host_make_room(plx_host *h);

/* Takes a connected, non-blocking socket and begins to watch it. */
void plx_peer_open(plx_host *h, int fd);

/* The pool's two calls. */
void plx_call_work(plx_pool_job *job, plx_codec *codec);
void plx_call_done(void *arg, plx_pool_job *job);

#endif
