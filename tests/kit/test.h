/* Unit tests of channel modules, without a server and without Redis: what Phoenix.ChannelTest is in
 * Elixir.
 *
 * The library runs the real channel core over a store in memory. A test opens its backends,
 * connects sockets, joins, pushes, and asserts what came back:
 *
 *     plx_test *t = plx_test_new();
 *     plx_test_channel(t, "room:*", pollux_backend(), NULL);
 *     plx_test_socket *ann = plx_test_connect(t, &(plx_test_client){.params = "{'user': 'ann'}"});
 *     plx_test_subscribe_and_join(ann, "room:1", "{}");
 *     unsigned ref = plx_test_push(ann, "room:1", "shout", "{'text': 'hi'}");
 *     plx_test_assert_reply(ann, ref, "ok", "{}");
 *     plx_test_assert_push(ann, "room:1", "shout", "{'text': 'hi'}");
 *     plx_test_free(t);
 *
 *     cc -o room_test room_test.c room.c $(pkg-config --cflags --libs pollux-test)
 *
 * A module that is linked into the test is opened by plx_test_channel, one that is a shared object
 * by plx_test_module.
 *
 * Everything has happened when a function returns: replies are there, broadcasts delivered,
 * presence changes published. Only timers wait, until the test lets time pass (plx_test_advance).
 *
 * As in production a message of a long-polling client may be handled by any worker, and only the
 * assigns, the timers and the presence survive from one message to the next: the kit has two
 * workers (each has opened the backend for itself), and gives a long-polling client's messages to
 * them in turn. A WebSocket client stays with one.
 *
 * What the kit does not have is an event loop: watchers of a module's own on plx_channel_loop have
 * no place here. Test such a module with its answers given by the test.
 *
 * Texts of JSON may be written with single quotes. In a pattern an object matches every object that
 * has (at least) its members, as a map does in Elixir's patterns; "_" matches any value; lists and
 * everything else have to be equal. NULL matches every payload.
 *
 * An assertion takes the first message that it matches out of its socket's mailbox. One that fails
 * says what it expected and what there is: see plx_test_on_failure.
 */
#ifndef PLX_TEST_H
#define PLX_TEST_H

#include "channel/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct plx_test plx_test;               /* two workers and what they share */
typedef struct plx_test_socket plx_test_socket; /* a client and its mailbox */

/* ---- the world ---- */

plx_test *plx_test_new(void);
/* Closes every socket (PLX_END_CLOSED) and backend. NULL is fine. */
void plx_test_free(plx_test *t);

/* Opens a backend in each worker, for topics of the pattern. It is an error when it refuses to
 * open. settings: as in the configuration, or NULL. */
#define plx_test_channel(t, pattern, backend, settings)                                            \
    plx_test_channel_at(t, pattern, backend, settings, __FILE__, __LINE__)
/* The same with a shared object, by its path. */
#define plx_test_module(t, pattern, path, settings)                                                \
    plx_test_module_at(t, pattern, path, settings, __FILE__, __LINE__)
/* Opens a socket module (connect/3, id/1) in each worker, which is asked about every connect from
 * now on. The claims and the id of a client are what it has before it is asked. */
#define plx_test_socket_module(t, module, settings)                                                \
    plx_test_socket_module_at(t, module, settings, __FILE__, __LINE__)

/* The channel of this pattern has `history { size = ... }`: clients may join with {"since":
 * POSITION}, the join's response tells positions. */
void plx_test_history(plx_test *t, const char *pattern, unsigned size);

/* Tries to open a backend and closes it again. NULL, or what it says against it (valid until the
 * next call). */
const char *plx_test_refusal(plx_test *t, const char *pattern, const plx_backend *backend,
                             const char *settings);

/* Lets so much time pass: timers come in their order. Time stands still otherwise. */
void plx_test_advance(plx_test *t, uint64_t ms);

/* What the server API's publish does: a broadcast from outside. */
void plx_test_broadcast(plx_test *t, const char *topic, const char *event, const char *json);

/* Disconnects the sockets with this id by force; returns how many there were. */
unsigned plx_test_disconnect(plx_test *t, const char *socket_id);

/* ---- clients ---- */

enum plx_test_transport { PLX_TEST_WEBSOCKET, PLX_TEST_LONGPOLL };

typedef struct plx_test_client {
    const char *name;   /* for messages; NULL: "socket 1" and so on */
    const char *params; /* connect parameters; NULL: {} */
    const char *claims; /* of the verified token; NULL: {} */
    const char *id;     /* socket id, plain text; NULL: none */
    enum plx_test_transport transport;
    /* What a socket module may ask about. */
    const char *headers;   /* JSON object of texts, names in lower case; NULL: {} */
    const char *remote_ip; /* NULL: 127.0.0.1 */
} plx_test_client;

/* Connects; it is an error when the socket module refuses. The client: a pointer, as in
 * plx_test_connect(t, &(plx_test_client){.id = "ann"}), or NULL for all defaults. The socket is
 * freed with the world. */
#define plx_test_connect(t, ...) plx_test_connect_at(t, __VA_ARGS__, __FILE__, __LINE__)
/* Connects; it is an error when it is let in. Returns what the socket module says. */
#define plx_test_assert_refused(t, ...)                                                            \
    plx_test_assert_refused_at(t, __VA_ARGS__, __FILE__, __LINE__)
/* The connection is closed (of a long-polling client: it is not heard of any more, and its session
 * expires). The mailbox stays. */
void plx_test_close(plx_test_socket *s);

/* The worker that handles the next message of this long-polling client dies before what became of
 * it is kept. Another one handles the message again, with the same plx_call_message_id: "at least
 * once". What the first one broadcast and tracked is not doubled (what only it tracked is
 * taken back), and what it told the client was never sent; but its backend's function was called.
 */
void plx_test_worker_dies(plx_test_socket *s);

/* These send a message; what comes of it is in the mailbox. Each returns the message's ref. */
unsigned plx_test_join(plx_test_socket *s, const char *topic, const char *json);
unsigned plx_test_push(plx_test_socket *s, const char *topic, const char *event, const char *json);
unsigned plx_test_push_payload(plx_test_socket *s, const char *topic, const char *event,
                               plx_payload payload);
unsigned plx_test_leave(plx_test_socket *s, const char *topic);

/* Joins and asserts the reply "ok". Returns its response. */
#define plx_test_subscribe_and_join(s, topic, json)                                                \
    plx_test_subscribe_and_join_at(s, topic, json, __FILE__, __LINE__)

/* ---- assertions ----
 *
 * Each returns the payload of the message that it took (of a reply: the response), NUL-terminated,
 * valid until plx_test_free; NULL when it failed and the hook returned. topic: NULL matches any.
 */
#define plx_test_assert_reply(s, ref, status, pattern)                                             \
    plx_test_assert_reply_at(s, ref, status, pattern, __FILE__, __LINE__)
/* The client was sent this event, by a push or a broadcast. */
#define plx_test_assert_push(s, topic, event, pattern)                                             \
    plx_test_assert_push_at(s, topic, event, pattern, __FILE__, __LINE__)
/* The event was broadcast on the topic, whoever got it. */
#define plx_test_assert_broadcast(t, topic, event, pattern)                                        \
    plx_test_assert_broadcast_at(t, topic, event, pattern, __FILE__, __LINE__)
/* The channel ended: phx_close, phx_error. */
#define plx_test_assert_close(s, topic) plx_test_assert_close_at(s, topic, __FILE__, __LINE__)
#define plx_test_assert_crash(s, topic) plx_test_assert_crash_at(s, topic, __FILE__, __LINE__)
/* The backend's terminate was called with this reason. */
#define plx_test_assert_terminate(s, topic, reason)                                                \
    plx_test_assert_terminate_at(s, topic, reason, __FILE__, __LINE__)

/* There is no such message. */
#define plx_test_refute_reply(s, ref) plx_test_refute_reply_at(s, ref, __FILE__, __LINE__)
#define plx_test_refute_push(s, topic, event, pattern)                                             \
    plx_test_refute_push_at(s, topic, event, pattern, __FILE__, __LINE__)
#define plx_test_refute_broadcast(t, topic, event, pattern)                                        \
    plx_test_refute_broadcast_at(t, topic, event, pattern, __FILE__, __LINE__)

/* Who is present on the topic, {"KEY":{"metas":[...]}}, matches. Takes nothing. */
#define plx_test_assert_presence(t, topic, pattern)                                                \
    plx_test_assert_presence_at(t, topic, pattern, __FILE__, __LINE__)
/* The assigns of a socket's channel match. Takes nothing. */
#define plx_test_assert_assigns(s, topic, pattern)                                                 \
    plx_test_assert_assigns_at(s, topic, pattern, __FILE__, __LINE__)

/* Forgets what is in the mailbox, or what was broadcast. */
void plx_test_flush(plx_test_socket *s);
void plx_test_flush_broadcasts(plx_test *t);

/* Called by an assertion that failed, with a text of several lines. It may leave the test (cmocka's
 * _fail); when it returns, the assertion does. NULL: the default, which prints and aborts. With
 * cmocka:
 *
 *     static void on_failure(const char *file, int line, const char *what)
 *     {
 *         print_error("%s", what);
 *         _fail(file, line);
 *     }
 */
typedef void plx_test_failure(const char *file, int line, const char *what);
void plx_test_on_failure(plx_test_failure *hook);

/* ---- behind the macros ---- */

void plx_test_channel_at(plx_test *t, const char *pattern, const plx_backend *backend,
                         const char *settings, const char *file, int line);
void plx_test_module_at(plx_test *t, const char *pattern, const char *path, const char *settings,
                        const char *file, int line);
void plx_test_socket_module_at(plx_test *t, const plx_socket_module *module, const char *settings,
                               const char *file, int line);
plx_test_socket *plx_test_connect_at(plx_test *t, const plx_test_client *client, const char *file,
                                     int line);
const char *plx_test_assert_refused_at(plx_test *t, const plx_test_client *client, const char *file,
                                       int line);
const char *plx_test_subscribe_and_join_at(plx_test_socket *s, const char *topic, const char *json,
                                           const char *file, int line);
const char *plx_test_assert_reply_at(plx_test_socket *s, unsigned ref, const char *status,
                                     const char *pattern, const char *file, int line);
const char *plx_test_assert_push_at(plx_test_socket *s, const char *topic, const char *event,
                                    const char *pattern, const char *file, int line);
const char *plx_test_assert_broadcast_at(plx_test *t, const char *topic, const char *event,
                                         const char *pattern, const char *file, int line);
const char *plx_test_assert_close_at(plx_test_socket *s, const char *topic, const char *file,
                                     int line);
const char *plx_test_assert_crash_at(plx_test_socket *s, const char *topic, const char *file,
                                     int line);
void plx_test_assert_terminate_at(plx_test_socket *s, const char *topic, enum plx_end_reason reason,
                                  const char *file, int line);
void plx_test_refute_reply_at(plx_test_socket *s, unsigned ref, const char *file, int line);
void plx_test_refute_push_at(plx_test_socket *s, const char *topic, const char *event,
                             const char *pattern, const char *file, int line);
void plx_test_refute_broadcast_at(plx_test *t, const char *topic, const char *event,
                                  const char *pattern, const char *file, int line);
const char *plx_test_assert_presence_at(plx_test *t, const char *topic, const char *pattern,
                                        const char *file, int line);
const char *plx_test_assert_assigns_at(plx_test_socket *s, const char *topic, const char *pattern,
                                       const char *file, int line);

#ifdef __cplusplus
}
#endif

#endif
