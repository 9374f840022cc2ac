/* The public C interface of channel backends: what a Phoenix channel module is in Elixir.
 *
 * A backend decides what happens on a topic: who may join, what a client's push
 * does, what a subscriber gets to see. `relay`, `echo` and `http` are built
 * in; a shared object named in the configuration
 * (backend = "module", path = "...") exports the function pollux_backend, and one
 * named by a socket section (module = "...") the function pollux_socket (both at
 * the end of this page).
 *
 *   Phoenix                                    here
 *   connect/3, id/1                            plx_socket_module: connect
 *   join/3, handle_in/3, terminate/2           join, handle_in, terminate
 *   intercept, handle_out/3                    intercept, handle_out
 *   handle_info/2                              handle_info
 *   Process.send_after, cancel_timer           plx_channel_send_after, _cancel
 *   send(self(), m); send(pid, m)              plx_channel_send_after with 0; plx_channel_send
 *   push, broadcast, broadcast_from            plx_channel_push, _broadcast, _broadcast_from
 *   Endpoint.broadcast                         plx_channel_broadcast_to
 *   assign(socket, :key, v), socket.assigns    plx_channel_put, plx_channel_get
 *   {:reply, {:ok, r}, s}, {:noreply, s}       plx_call_ok, plx_call_noreply
 *   {:stop, reason, reply, s}                  plx_call_stop, plx_call_stop_error
 *   reply(socket_ref, ..) later                plx_call_ok later: the call is the ref
 *   raise                                      plx_call_crash
 *
 * Callbacks run on the worker's event loop and must not block. Each callback that
 * gets a plx_call answers it exactly once with one of the plx_call_* functions,
 * before returning or at any later time from the same loop; until then further
 * messages of this socket on this topic (also timers) wait in order, other topics
 * and sockets go on. With long-polling the next message of the same socket may be
 * handled by another process: what must be kept between messages is kept with
 * plx_channel_assign; nothing else survives. A call may be made again with the
 * same message id after a crash of a worker (at least once).
 *
 * A module can't harm others by failing: what it passes is checked, and a crashed
 * call costs its own channel only (phx_error; the client joins again). That holds
 * for errors that it reports; a module that writes where it should not, or never
 * returns, takes its worker with it.
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

#define PLX_BACKEND_ABI 2

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

typedef struct plx_channel plx_channel;   /* one socket's membership of one topic */
typedef struct plx_call plx_call;         /* one join, push or message that waits for its answer */
typedef struct plx_delivery plx_delivery; /* one broadcast on its way to one subscriber */

enum plx_end_reason {
    PLX_END_LEFT,    /* the client left or joined again */
    PLX_END_CLOSED,  /* the socket was closed (WebSocket), disconnected, or the channel stopped */
    PLX_END_EXPIRED, /* a long-poll session was not heard of any more */
    PLX_END_CRASHED  /* the channel crashed, or its log had a gap */
};

/* Members that are left out (NULL) mean what is said with each. Name them in the initializer: later
 * versions of the interface add some at the end. */
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
    /* Phoenix's terminate/2: the membership has ended; not after a refused join. At least once.
     * There is no call: the broadcasts and plx_channel_send take NULL then; the other verbs are
     * refused without a call (PLX_E_INVALID), and there is nothing to answer or to list. */
    void (*terminate)(void *state, plx_channel *ch, enum plx_end_reason reason);

    /* Phoenix's intercept: names of events, ended by NULL. Broadcasts of these events (from
     * wherever they come: this backend, the server API, another one's broadcast_to) are not
     * delivered as they are; handle_out is asked for each subscriber. NULL: none, and then they
     * cost nothing. What Pollux itself broadcasts (presence_diff, presence_count) is not
     * intercepted. Needs handle_out. */
    const char *const *intercept;
    /* Phoenix's handle_out/3: what does this subscriber get of this broadcast? Answered before
     * returning with one of the plx_delivery_* functions (the last one counts); with none of them
     * it gets nothing, like a handle_out that pushes nothing. The channel is read-only. It may be
     * asked again for the same broadcast (a long-poll answer that was lost is made again, by any
     * worker; a client that joins with `since` gets old messages), may come after terminate for
     * what was broadcast before the end, and keeps no state: it has to decide by what it is given.
     * With long-polling the assigns may be those of up to 100 ms before. */
    void (*handle_out)(void *state, const plx_channel *ch, plx_delivery *delivery, plx_slice event,
                       plx_payload payload);

    /* Phoenix's handle_info/2: a message from plx_channel_send_after or plx_channel_send. A call
     * like a push's, but there is nobody to reply to: plx_call_ok and _error mean the same as
     * _noreply, and the response of _stop is left out. NULL: messages are ignored. */
    void (*handle_info)(void *state, plx_channel *ch, plx_call *call, plx_slice name,
                        plx_payload message);
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

/* One member of the assigns (Phoenix: socket.assigns.name, assign(socket, :name, value)). get: the
 * value's JSON text (a string with its quotes), empty when there is no such member; valid until the
 * next change of the assigns. put: a JSON value; the empty slice takes the member out. 0,
 * PLX_E_INVALID (no JSON), PLX_E_TOOBIG (more than 16 KB in all). */
plx_slice plx_channel_get(const plx_channel *ch, const char *name);
int plx_channel_put(plx_channel *ch, const char *name, plx_slice json);

/* The same on any JSON object: a payload's bytes, params, claims. The text points into `object`;
 * empty: no such member, or no object. Of members with one name the last counts. */
plx_slice plx_object_get(plx_slice object, const char *name);
/* A member that is a string, unescaped, into `out` (of `size` bytes, ended by NUL): its length,
 * PLX_E_NOTFOUND (none, or no string), PLX_E_INVALID (it holds a NUL), PLX_E_TOOBIG. */
int plx_object_text(plx_slice object, const char *name, char *out, size_t size);
/* A member that is a number. 0, or PLX_E_NOTFOUND. */
int plx_object_number(plx_slice object, const char *name, double *out);

/* The worker's event loop (libev): a module's own watchers on it may answer calls later. Threads of
 * a module must not call anything here; an ev_async brings their results to the loop. */
struct ev_loop *plx_channel_loop(const plx_channel *ch);

/* Verbs, carried out in the order of the calls while `call` is open; a reply follows the broadcasts
 * that were caused before it (Phoenix: push/3, broadcast/3, broadcast_from/3). A push made by a
 * join goes out after the join's reply, and not at all when it is refused. 0, PLX_E_INVALID (not
 * JSON, empty topic, or binary for a topic with history, which keeps JSON only), or PLX_E_TOOBIG (a
 * name over 1,024 bytes, a payload larger than what a client may send, or over 4,096 broadcasts in
 * one call). A broadcast that then fails in Redis turns the call's answer into an error reply
 * {"reason":"unavailable"}. In terminate, where there is no call, the broadcasts take NULL. */
int plx_channel_push(plx_channel *ch, plx_call *call, plx_slice event, plx_payload payload);
int plx_channel_broadcast(plx_channel *ch, plx_call *call, plx_slice event, plx_payload payload);
int plx_channel_broadcast_from(plx_channel *ch, plx_call *call, plx_slice event,
                               plx_payload payload);
int plx_channel_broadcast_to(plx_channel *ch, plx_call *call, plx_slice topic, plx_slice event,
                             plx_payload payload);

/* Messages to handle_info. name: what it is told as name, 1 to 256 bytes; message: at most 4 KB,
 * else PLX_E_TOOBIG; PLX_E_INVALID: not JSON, or no name.
 *
 * send_after (Process.send_after(self(), message, ms)): to this channel, in `ms` milliseconds (0:
 * as soon as this call is answered; at most a day: PLX_E_TOOBIG). The name is the timer: setting it
 * again replaces the one that has not come yet; at most 16 for a socket and topic (PLX_E_BUSY).
 * Timers end with the membership; those that a join sets begin when it is accepted. WebSocket: they
 * live and die with the connection's worker. Long-polling: they are kept in Redis with the session,
 * come whether or not a poll is there, also when the worker that set them is dead, and usually
 * within 100 ms of their time (up to 5 s late when a worker dies just then); a crash in the middle
 * of handle_info repeats the call (the same message id). A timer of a call that crashes is not set.
 * cancel (Process.cancel_timer): 0, or PLX_E_NOTFOUND: none of this name waits, though its message
 * may still be waiting for its turn. */
#define PLX_TIMERS_MAX    16
#define PLX_INFO_NAME_MAX 256
#define PLX_INFO_MAX      4096
int plx_channel_send_after(plx_channel *ch, plx_call *call, plx_slice name, uint64_t ms,
                           plx_payload message);
int plx_channel_cancel(plx_channel *ch, plx_call *call, plx_slice name);

/* To every channel that sockets with this id (plx_channel_socket_id) have joined on `topic`, in
 * whatever worker they are, this one included (Phoenix: send/2 to a channel's process). Nobody may
 * be there: that is no error. Carried out like a broadcast: the reply follows when Redis took it,
 * it counts as one of the call's broadcasts, and one that fails (Redis is away, a session's inbox
 * is full) makes the answer the same error reply. WebSocket: at most once; long-polling: it waits
 * in the session's inbox, and is handled at least once. PLX_E_INVALID also: no id or topic. */
int plx_channel_send(plx_channel *ch, plx_call *call, plx_slice socket_id, plx_slice topic,
                     plx_slice name, plx_payload message);

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
 * topic is count-only) and an empty text; the call must be open until then. When the channel or its
 * socket ends first it comes all the same, at the latest when the worker stops (before close); what
 * is said and answered then comes to nothing. Don't ask again at once because of an error. */
typedef void plx_presences_cb(void *arg, plx_channel *ch, plx_call *call, int err, plx_slice json);
void plx_channel_presences(plx_channel *ch, plx_call *call, plx_presences_cb *cb, void *arg);

/* The answers. */
void plx_call_ok(plx_call *call, plx_payload response);    /* {:ok, ..}, also as a reply */
void plx_call_error(plx_call *call, plx_payload response); /* {:error, ..}, also as a reply */
void plx_call_noreply(plx_call *call);                     /* {:noreply, ..}; of a join: ok {} */
/* {:stop, reason}: the channel ends with phx_close. response: NULL, or an ok reply before it. */
void plx_call_stop(plx_call *call, const plx_payload *response);
/* {:stop, reason, {:error, response}, socket}. */
void plx_call_stop_error(plx_call *call, plx_payload response);
/* The channel process raised: phx_error; of a join: reply "join crashed". why: for the log. */
void plx_call_crash(plx_call *call, const char *why);

/* The same for every repetition of this message after a crash: "<session>:<entry>:<index>". */
plx_slice plx_call_message_id(const plx_call *call);

/* The answers of handle_out. pass: the broadcast as it is (costs less than a push of the same
 * bytes: it is encoded once for all). push: this in its place, a position of the topic's history
 * stays with it. 0, PLX_E_INVALID (not JSON), PLX_E_TOOBIG (as for plx_channel_push); the earlier
 * answer then stands. crash: the channel crashed, as plx_call_crash. */
void plx_delivery_pass(plx_delivery *delivery);
int plx_delivery_push(plx_delivery *delivery, plx_slice event, plx_payload payload);
void plx_delivery_crash(plx_delivery *delivery, const char *why);

/* What a channel module exports; called once, when the module is loaded. What it returns stays
 * valid for as long as the module is loaded; NULL refuses to start. */
const plx_backend *pollux_backend(void);

/* ---- sockets: what Phoenix.Socket's connect/3 and id/1 are in Elixir ---- */

/* Who asks to connect. Valid until connect returns. */
typedef struct plx_connect_info {
    plx_slice path;      /* of the socket section, "/socket" */
    plx_slice transport; /* "websocket" | "longpoll" */
    plx_slice remote_ip; /* text; the client's, as far as trusted_proxies tell it */
    plx_slice params;    /* JSON object: connect parameters, without the auth token */
    plx_slice claims;    /* JSON object: of the verified token; {} without one */
} plx_connect_info;

typedef struct plx_admission plx_admission; /* the answer in the making */

typedef struct plx_socket_module {
    unsigned abi;     /* PLX_BACKEND_ABI */
    const char *name; /* for the log */
    /* Once per socket section at start: as a backend's. May be NULL. */
    int (*open)(const char *path, const char *settings, void **state, const char **error);
    void (*close)(void *state);
    /* Asked about every connect after the origin was found good and the section's `auth` has let it
     * pass; answers before it returns, must not block. With none of the functions below the socket
     * is let in with the claims and the id that it has. */
    void (*connect)(void *state, const plx_connect_info *info, plx_admission *admission);
} plx_socket_module;

/* The value of a request header by its lower-case name; empty: absent. With auth type "hook", whose
 * answer comes later, those that its `headers` names only. */
plx_slice plx_admission_header(const plx_admission *a, const char *name);
/* The client gets 403; why: for the log. */
void plx_admission_refuse(plx_admission *a, const char *why);
/* Replaces the claims with this JSON object (at most 16 KB). 0, PLX_E_INVALID, PLX_E_TOOBIG. */
int plx_admission_claims(plx_admission *a, plx_slice json_object);
/* Sets the socket id in place of the section's `id` (empty: none). 0, PLX_E_TOOBIG (over 1,024
 * bytes), PLX_E_INVALID (not UTF-8, or a control character). */
int plx_admission_id(plx_admission *a, plx_slice id);

/* What a socket module exports; as pollux_backend. One shared object may export both. */
const plx_socket_module *pollux_socket(void);

#ifdef __cplusplus
}
#endif

#endif
