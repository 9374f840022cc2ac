/* The WebSocket server of one worker: all its connections on one event loop. */
#ifndef PLX_TRANSPORT_WS_SERVER_H
#define PLX_TRANSPORT_WS_SERVER_H

#include "channel/backends.h"
#include "store/store.h"

typedef struct plx_ws_server plx_ws_server;

/* channels: an array parallel to config->sockets. Takes the store's control channel for itself.
 * Borrows everything until freed. */
plx_ws_server *plx_ws_server_new(plx_store *store, const plx_config *config,
                                 const plx_channels *channels);

/* Begins to accept from a listening, non-blocking socket, which stays the caller's. */
void plx_ws_server_listen(plx_ws_server *s, int fd);

/* Planned stop: accepts no more and closes every connection with 1012, few at once, many spread
 * over spread_ms, because each client will be back at once. `done` is called when none is left; the
 * caller sets a limit to its patience. */
void plx_ws_server_drain(plx_ws_server *s, uint64_t spread_ms, void (*done)(void *arg), void *arg);

typedef struct plx_ws_counters {
    uint64_t accepted;     /* TCP connections */
    uint64_t opened;       /* WebSockets */
    uint64_t refused;      /* connects: 403 */
    uint64_t unavailable;  /* connects: 503, the application did not say who it is */
    uint64_t bad_requests; /* other HTTP answers than these */
    uint64_t expired;      /* closed because their token ran out */
    uint64_t slow;         /* dropped because they did not read what was sent */
    uint64_t faults;       /* closed with 1002, 1007, 1009 or 1011 for what they sent */
    uint64_t idle;         /* closed because they said nothing for too long */
    uint64_t skipped;      /* messages that could not be told to a socket (binary on V1) */
} plx_ws_counters;
void plx_ws_server_counters(const plx_ws_server *s, plx_ws_counters *out);

/* Connections that exist now, in whatever state. */
size_t plx_ws_server_count(const plx_ws_server *s);

/* Drops what is left. Not from inside a callback of the store or the server. */
void plx_ws_server_free(plx_ws_server *s);

#endif
