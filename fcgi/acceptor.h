/* The FastCGI side of a worker: listener, connections, reader threads, behind one callback.
 *
 * The loop accepts; what happens to a connection then is peer.h's. When no descriptor is left for
 * another connection, the one that has been silent for longest without having sent a whole request
 * gives way; while there is none, accepting pauses for 100 ms at a time (one line in the log), and
 * connections wait in the listener's queue.
 */
#ifndef PLX_FCGI_ACCEPTOR_H
#define PLX_FCGI_ACCEPTOR_H

#include "base/config.h"
#include "transport/http.h"
#include <ev.h>

typedef struct plx_acceptor plx_acceptor;

typedef struct plx_acceptor_options {
    int listen_fd;            /* listening and non-blocking; borrowed, never closed */
    const plx_config *config; /* max_body_bytes, reader_threads, trusted_proxies; borrowed */
    void (*handle)(void *arg, plx_http_request *r); /* answers it, now or later */
    void *arg;
    uint64_t stall_ms; /* 0: 30 s; see peer.h for this and the next two */
    size_t staged_max; /* 0: 64 MB, and room for four of the largest requests in any case */
    size_t unsent_max; /* 0: 128 MB */
} plx_acceptor_options;

/* Starts the reader threads; accepts nothing yet. plx_codec_library must have been called. NULL
 * when threads or descriptors can't be had (logged). */
plx_acceptor *plx_acceptor_new(struct ev_loop *loop, const plx_acceptor_options *options);

/* Accepts from now on. */
void plx_acceptor_start(plx_acceptor *a);

/* Stops accepting; each connection is closed after its next answer, those that stay idle 0.3 s
 * later. `emptied` is called (not before the return) when the last one is gone. The handler must
 * answer what it holds. */
void plx_acceptor_drain(plx_acceptor *a, void (*emptied)(void *arg), void *arg);

/* Open connections now. */
size_t plx_acceptor_peers(const plx_acceptor *a);

/* Closes connections that stalled for too long by plx_now_ms; a timer does the same once a second.
 */
void plx_acceptor_sweep(plx_acceptor *a);

/* Closes everything (NULL is fine). Handlers that hold requests are told `gone`. Not from inside a
 * callback of the acceptor. */
void plx_acceptor_free(plx_acceptor *a);

#endif
