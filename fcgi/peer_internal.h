/* What connections, requests under way and their host share; nobody else includes this. */
#ifndef PLX_FCGI_PEER_INTERNAL_H
#define PLX_FCGI_PEER_INTERNAL_H

#include "fcgi/peer.h"

/* The life of a connection:
 *   open      reads requests, one at a time, and answers them
 *   closing   the last answer is going out; what comes in is thrown away
 *   linger    all is sent and our side shut down: the peer closes now, or time does. (Closing at
 *             once would reset the connection if a byte were still coming, and the answer with it.)
 *   dead      closed; freed before the loop waits */
enum plx_peer_state { PLX_PEER_OPEN, PLX_PEER_CLOSING, PLX_PEER_LINGER, PLX_PEER_DEAD };

struct plx_call;

typedef struct plx_peer {
    plx_list link;     /* host->peers, or host->dead_peers */
    plx_list wait;     /* host->incoming */
    plx_list wait_out; /* host->outgoing */
    plx_host *host;
    enum plx_peer_state state;
    bool known; /* it has sent a whole request */
    int fd;
    ev_io io;
    plx_intake intake;
    plx_buf out;
    size_t sent;           /* of out */
    size_t staged, unsent; /* as counted in the host */
    uint64_t progress_ms;  /* when the peer last gave or took something */
    struct plx_call *call; /* the request under way, or NULL */
} plx_peer;

/* A request under way. Its peer holds it, and the pool or a handler. When the connection goes first
 * the call is cut off (its peer is NULL), and buried by whoever holds it last: the pool's return,
 * the handler's answer, or plx_call_cut_off when the handler takes `gone`. */
typedef struct plx_call {
    plx_pool_job job;
    plx_list link;  /* host->calls, or host->dead_calls */
    plx_host *host; /* NULL: it has stopped */
    plx_peer *peer; /* NULL: nobody wants the answer */
    bool handled;   /* a handler has it; otherwise the pool */
    size_t bytes;   /* as counted in the host */
    /* What the thread works on; while it does, nobody else touches these. */
    plx_buf records;
    size_t body_len;
    plx_request request;
    int decoded, loaded; /* what plx_codec_decode and plx_request_load returned */
} plx_call;

/* ---- call.c ---- */

/* Takes the complete request out of the peer's intake and sends it to the pool. */
void plx_call_start(plx_peer *p);
/* The answer is not wanted any more: parts the call from its peer and tells the handler. */
void plx_call_cut_off(plx_call *c);
void plx_call_free(plx_call *c);

/* ---- peer.c ---- */

/* Queues a whole answer to the request that the intake is busy with, and ends that. */
void plx_peer_answer(plx_peer *p, const plx_http_response *response);
/* After an answer from outside plx_peer_read: goes on with a request that waited for it. */
void plx_peer_resume(plx_peer *p);
/* Closes now. The memory stays until the loop's turn ends. Harmless on a dead one. */
void plx_peer_lose(plx_peer *p);
/* Reads what is there, without waiting. */
void plx_peer_read(plx_peer *p);
void plx_peer_free(plx_peer *p);

/* ---- host.c ---- */

/* Tells what the peer holds now, after any change; both may close peers that hold too much, this
 * one too. */
void plx_host_count_staged(plx_peer *p);
void plx_host_count_unsent(plx_peer *p);
/* Takes a peer out of all counts. */
void plx_host_uncount(plx_peer *p);

#endif
