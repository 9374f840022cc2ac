/* What the files of the WebSocket daemon share; nothing for others.
 *
 *   ws_server  accepting, the ids, draining, and the one place per loop turn where
 *              connections that want attention get it: written to, freed
 *   ws_conn    a connection's life: reading, queueing, closing, its timer
 *   ws_open    from a request head to an open socket, or to an HTTP answer
 *   ws_expiry  the end of sockets whose token runs out
 *   ws_socket  between a connection and the channel core
 *   ws_presence  the states that memberships wait for, and the worker's lease
 *
 * A connection is freed by the server alone, between two loop turns. Whoever finds
 * out that it has to go marks it (plx_ws_conn_kill, plx_ws_conn_close), which takes
 * effect at once for what it does and later for its memory.
 */
#ifndef PLX_TRANSPORT_WS_INTERNAL_H
#define PLX_TRANSPORT_WS_INTERNAL_H

#include "base/map.h"
#include "channel/record.h"
#include "channel/socket.h"
#include "channel/track.h"
#include "store/control.h"
#include "transport/connect.h"
#include "transport/ws_encode.h"
#include "transport/ws_frame.h"
#include "transport/ws_hold.h"
#include "transport/ws_http.h"
#include "transport/ws_out.h"
#include "transport/ws_server.h"

#include <ev.h>

#define PLX_WS_READ_BYTES 65536
#define PLX_WS_HEAD_S     10.  /* for the whole request head */
#define PLX_WS_CLOSE_S    1.   /* for the peer's part of the closing handshake */
#define PLX_WS_SILENT_S   .1   /* a new connection has so long to say something in any case */
#define PLX_WS_REFUSALS   1000 /* refusals delayed at a time; more are told at once */

enum plx_ws_state {
    PLX_WS_READING_HEAD, /* until the request head is complete */
    PLX_WS_ASKING,       /* until the application has said who it is */
    PLX_WS_REFUSING,     /* the answer 403 or 503 waits for its time */
    PLX_WS_OPEN,         /* frames both ways */
    PLX_WS_CLOSING,      /* our last bytes are queued; the peer's are awaited */
    PLX_WS_DEAD          /* the descriptor is closed; to be freed */
};

typedef struct plx_ws_expiry plx_ws_expiry;

typedef struct plx_ws_conn {
    ev_io io;
    ev_timer timer; /* the deadline of the state; an open one's is looked at, and moved, lazily */
    plx_ws_server *server;
    plx_list node;      /* in server->conns */
    plx_list attention; /* in server->attention, or in none */
    plx_list same_id;   /* ring of the connections with one socket id; READING_HEAD: in strangers */
    plx_socket *socket; /* from OPEN on; freed soon after */
    const plx_socket_config *config; /* of its mount, once known */
    plx_ws_head *head;               /* while READING_HEAD and ASKING */
    plx_connecting *asking;          /* while ASKING */
    plx_ws_expiry *expiry;           /* NULL: its token never runs out */
    plx_ws_holds *holds;             /* NULL until something had to wait */
    plx_buf *stash;                  /* bytes read while ASKING or the core is busy; else NULL */
    plx_ws_reader reader;
    plx_ws_out out;
    ev_tstamp last; /* bytes came from the client */
    plx_ws_deflate deflate;
    uint8_t state, vsn;
    bool in_id_map : 1;
    bool phoenix : 1;     /* the subprotocol to be answered */
    bool unavailable : 1; /* REFUSING: with 503 */
    bool paused : 1;      /* not reading: too much is under way */
    bool relieved : 1;    /* not any more */
    bool discard : 1;     /* CLOSING: nothing that comes is looked at */
    bool shut_due : 1;    /* CLOSING: end our side as soon as everything is written */
    bool shut : 1;        /* done */
} plx_ws_conn;

struct plx_ws_server {
    struct ev_loop *loop;
    plx_store *store;
    const plx_config *config;
    const plx_channels *channels;
    plx_ws_encoder encoder;
    plx_map *ids; /* socket id -> one plx_ws_conn of the ring */
    plx_list conns, attention;
    plx_list strangers; /* READING_HEAD, by same_id: who has said nothing for longest first */
    ev_prepare prepare;
    ev_io accept;
    ev_timer accept_pause;
    ev_timer drain;
    plx_control control;
    void (*drained)(void *arg);
    void *drained_arg;
    bool draining;
    ev_tstamp drain_end;
    unsigned drain_batch;
    unsigned refusing; /* connections in that state */
    unsigned open;     /* the same */
    uint64_t sessions; /* counts up: names of sessions */
    plx_ws_counters counters;
    plx_list waiting; /* for a state: who has waited longest first */
    ev_timer patience;
    plx_owner_watch owner;
    plx_record_sweep sweep;
    plx_buf message;               /* the decoder's scratch */
    char bytes[PLX_WS_READ_BYTES]; /* what was just read, of whichever connection */
};

/* ws_conn.c */
/* Takes the descriptor. */
void plx_ws_conn_new(plx_ws_server *s, int fd);
/* Queues a frame for an open connection; on any other this does nothing. A peer that does not read
 * is dropped here. */
void plx_ws_conn_send(plx_ws_conn *c, plx_blob *frame);
/* Begins to close an open connection with this code. wait: for the peer's close frame, before our
 * side of the TCP connection ends. */
void plx_ws_conn_close(plx_ws_conn *c, unsigned code, bool wait);
/* Queues an HTTP answer, after which the connection ends. */
void plx_ws_conn_answer(plx_ws_conn *c, plx_slice answer);
/* Drops the connection without a word. */
void plx_ws_conn_kill(plx_ws_conn *c);
/* The state is OPEN now: starts the idle timer, goes on with what came behind the head. */
void plx_ws_conn_opened(plx_ws_conn *c);
/* Replaces the deadline of the state. */
void plx_ws_conn_deadline(plx_ws_conn *c, ev_tstamp seconds);
/* Asks the server to look at the connection before it waits for events again. */
void plx_ws_conn_attend(plx_ws_conn *c);
/* That look. May free it. */
void plx_ws_conn_look(plx_ws_conn *c);
/* Frees a connection at once, whatever its state: the server is going. */
void plx_ws_conn_free(plx_ws_conn *c);

/* ws_open.c */
/* Takes bytes of the head; leaves those behind it. Changes the state when it is complete. */
void plx_ws_open_feed(plx_ws_conn *c, char **bytes, size_t *len);
/* The time for the head, for the application's answer, or of a refusal, has come. */
void plx_ws_open_timeout(plx_ws_conn *c);

/* ws_expiry.c */
/* The connection is closed with PLX_WS_UNAUTHORIZED at this time of the wall clock, also when that
 * clock is set meanwhile. Once for each connection. */
void plx_ws_expiry_start(plx_ws_conn *c, uint64_t expires_ms);
/* It is not open any more. */
void plx_ws_expiry_stop(plx_ws_conn *c);
/* With the connection. */
void plx_ws_expiry_free(plx_ws_conn *c);

/* ws_socket.c */
void plx_ws_socket_open(plx_ws_conn *c, const plx_connected *connected,
                        const plx_channels *channels);
/* Whether so much of what the client sent is under way, or waits for it to read, that no more
 * should be read from it: asked after each message. */
bool plx_ws_socket_busy(const plx_ws_conn *c);
/* Marks a paused connection for reading again if that is over. */
void plx_ws_socket_relieve(plx_ws_conn *c);
/* Ends and frees it; not from inside a callback of the core. */
void plx_ws_socket_close(plx_ws_conn *c);

/* Lets out what waited for the deliveries that were just made. */
void plx_ws_socket_release(plx_ws_conn *c);
/* Sends what takes an event's place for m, behind what m still has to say. Takes both parts. */
void plx_ws_socket_send(plx_membership *m, plx_blob *parts[2]);

/* ws_presence.c */
void plx_ws_presence_init(plx_ws_server *s);
void plx_ws_presence_fini(plx_ws_server *s);
/* m waits for a state, as m->diffs says. */
void plx_ws_presence_wait(plx_membership *m);
/* Whether an event of kind 'p' is for m now. */
bool plx_ws_presence_take(plx_membership *m, plx_event *e);
/* m is given no more of its topic's presence. */
void plx_ws_presence_stop(plx_membership *m);

/* ws_server.c */
void plx_ws_server_add_id(plx_ws_conn *c);
void plx_ws_server_remove_id(plx_ws_conn *c);

#endif
