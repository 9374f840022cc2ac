/* The public C interface of channel backends: what a Phoenix channel module is in Elixir.
 *
 * A backend decides what happens on a topic: who may join, what a client's push
 * does. `relay` and `echo` are built in and use nothing but this header; a shared
 * object named in the configuration (backend = "module", path = "...") exports the
 * function pollux_backend (at the end of this page).
 *
 * Callbacks run on the worker's event loop and must not block. Each callback that
 * gets a plx_call answers it exactly once with one of the plx_call_* functions,
 * before returning or at any later time from the same loop; until then further
 * messages of this socket on this topic wait in order, other topics and sockets go
 * on. With long-polling the next message of the same socket may be handled by
 * another process: what must be kept between messages is kept with
 * plx_channel_assign; nothing else survives. A call may be made again with the
 * same message id after a crash of a worker (at least once).
 *
 * Lifetimes: plx_channel and plx_call are valid until the call is answered (a
 * plx_channel without a call: only during the callback). Slices handed to a callback
 * are valid until it returns; those passed to functions are copied.
 */
#ifndef PLX_CHANNEL_BACKEND_H
#define PLX_CHANNEL_BACKEND_H

#include "base/error.h"
#include "base/slice.h"
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PLX_BACKEND_ABI 1

/* A payload: JSON text (already validated when it comes from a client), or the data of a V2 binary
 * message. What a backend passes as JSON is validated again; invalid JSON crashes its channel. */
enum plx_payload_kind { PLX_PAYLOAD_JSON, PLX_PAYLOAD_BINARY };
typedef struct plx_payload {
    enum plx_payload_kind kind;
    plx_slice bytes;
} plx_payload;

#ifdef __cplusplus
#define PLX_JSON_PAYLOAD(text) (plx_payload{PLX_PAYLOAD_JSON, {(text), sizeof(text) - 1}})
#else
#define PLX_JSON_PAYLOAD(text) ((plx_payload){PLX_PAYLOAD_JSON, {(text), sizeof(text) - 1}})
#endif

typedef struct plx_channel plx_channel; /* one socket's membership of one topic */
typedef struct plx_call plx_call;       /* one join or push that waits for its answer */

enum plx_end_reason {
    PLX_END_LEFT,    /* the client left or joined again */
    PLX_END_CLOSED,  /* the socket was closed (WebSocket), disconnected, or the channel stopped */
    PLX_END_EXPIRED, /* a long-poll session was not heard of any more */
    PLX_END_CRASHED  /* the channel crashed, or its log had a gap */
};

typedef struct plx_backend {
    unsigned abi;     /* PLX_BACKEND_ABI */
    const char *name; /* for the log */

    /* Once per channel section at start. settings: the section's `settings` text, or NULL. 0 and
     * *state (handed to every callback), or an error text in *error (static or leaked) and -1: the
     * server does not start. May be NULL. */
    int (*open)(const char *pattern, const char *settings, void **state, const char **error);
    void (*close)(void *state);

    /* Phoenix's join/3. plx_call_ok joins with that response, plx_call_error refuses. NULL:
     * everybody may join, response {}. */
    void (*join)(void *state, plx_channel *ch, plx_call *call, plx_payload payload);
    /* Phoenix's handle_in/3. NULL: no reply. */
    void (*handle_in)(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                      plx_payload payload);
    /* Phoenix's terminate/2: the membership has ended; not after a refused join. At least once. */
    void (*terminate)(void *state, plx_channel *ch, enum plx_end_reason reason);
} plx_backend;

/* About the channel. JSON texts of objects unless said otherwise. */
plx_slice plx_channel_topic(const plx_channel *ch);
plx_slice plx_channel_params(const plx_channel *ch);    /* connect parameters */
plx_slice plx_channel_claims(const plx_channel *ch);    /* of the verified token; {} without one */
plx_slice plx_channel_socket_id(const plx_channel *ch); /* plain text; empty: none */
plx_slice plx_channel_session(const plx_channel *ch);   /* plain text, unique per socket */
plx_slice plx_channel_transport(const plx_channel *ch); /* "websocket" | "longpoll" */
plx_slice plx_channel_assigns(const plx_channel *ch);   /* {} at first */

/* Replaces the assigns with this JSON object (at most 16 KB; else PLX_E_TOOBIG / PLX_E_INVALID). */
int plx_channel_assign(plx_channel *ch, plx_slice json_object);

/* Verbs, carried out in the order of the calls while `call` is open; a reply follows the broadcasts
 * that were caused before it (Phoenix: push/3, broadcast/3, broadcast_from/3). A push made by a
 * join goes out after the join's reply, and not at all when it is refused. 0, PLX_E_INVALID (not
 * JSON, empty topic, or binary for a topic with history, which keeps JSON only), or PLX_E_TOOBIG (a
 * name over 1,024 bytes, a payload larger than what a client may send, or over 4,096 broadcasts in
 * one call). A broadcast that then fails in Redis turns the call's answer into an error reply
 * {"reason":"unavailable"}. */
int plx_channel_push(plx_channel *ch, plx_call *call, plx_slice event, plx_payload payload);
int plx_channel_broadcast(plx_channel *ch, plx_call *call, plx_slice event, plx_payload payload);
int plx_channel_broadcast_from(plx_channel *ch, plx_call *call, plx_slice event,
                               plx_payload payload);
int plx_channel_broadcast_to(plx_channel *ch, plx_call *call, plx_slice topic, plx_slice event,
                             plx_payload payload);

/* Presence (Phoenix: track/3, update/4, untrack/2). key: plain text of at most 256 bytes; meta: a
 * JSON object of at most 4 KB without phx_ref and phx_ref_prev. One entry for each key, at most 64
 * for a socket and topic; they end with the membership. What a join tracks counts once it is
 * accepted: its client is then pushed `presence_state`, and gets each `presence_diff` after it; a
 * membership that tracked nothing at its join gets the diffs as they come. 0, PLX_E_INVALID (no
 * such object), PLX_E_TOOBIG, PLX_E_DENIED (track: the key is tracked already), PLX_E_NOTFOUND
 * (update, untrack: it is not). A reply follows when Redis has taken the change; the diff may come
 * before it or after; when that fails the answer is an error reply as for broadcasts. */
int plx_channel_track(plx_channel *ch, plx_call *call, plx_slice key, plx_slice meta);
int plx_channel_update(plx_channel *ch, plx_call *call, plx_slice key, plx_slice meta);
int plx_channel_untrack(plx_channel *ch, plx_call *call, plx_slice key);

/* Who is on the topic, {"KEY":{"metas":[META,...]},...} as last published (Phoenix: list/1). The
 * callback comes once, after the return, with err = 0 and json, or an error (Redis is away, the
 * topic is count-only) and an empty text; the call must be open until then. */
typedef void plx_presences_cb(void *arg, plx_channel *ch, plx_call *call, int err, plx_slice json);
void plx_channel_presences(plx_channel *ch, plx_call *call, plx_presences_cb *cb, void *arg);

/* The answers. */
void plx_call_ok(plx_call *call, plx_payload response);    /* {:ok, ..}, also as a reply */
void plx_call_error(plx_call *call, plx_payload response); /* {:error, ..}, also as a reply */
void plx_call_noreply(plx_call *call);                     /* {:noreply, ..}; of a join: ok {} */
/* {:stop, reason}: the channel ends with phx_close. response: NULL, or an ok reply before it. */
void plx_call_stop(plx_call *call, const plx_payload *response);
/* The channel process raised: phx_error; of a join: reply "join crashed". why: for the log. */
void plx_call_crash(plx_call *call, const char *why);

/* The same for every repetition of this message after a crash: "<session>:<entry>:<index>". */
plx_slice plx_call_message_id(const plx_call *call);

/* What a module exports; called once, when the module is loaded. What it returns stays valid for as
 * long as the module is loaded; NULL refuses to start. */
const plx_backend *pollux_backend(void);

#ifdef __cplusplus
}
#endif

#endif
