/* Who may open a socket: origin, vsn, CSRF parameter, authentication, socket id, the section's
 * module; the same for both transports.
 *
 * All but one of these are decided at once. An authentication hook asks the application: then the
 * answer comes later, and whoever waits for it holds a handle to cancel it by. A section's own
 * module is asked last, when everything else is known.
 */
#ifndef PLX_TRANSPORT_CONNECT_H
#define PLX_TRANSPORT_CONNECT_H

#include "base/config.h"
#include "channel/admission.h"
#include "channel/auth_hook.h"
#include "transport/http.h"
#include "transport/query.h"
#include "transport/serializer.h"

typedef struct plx_connect {
    const plx_config *config;
    const plx_socket_config *socket;
    plx_auth_hook *hook;          /* auth type hook: the section's; else not looked at */
    const plx_admitter *admitter; /* the section's module; NULL, or without one: not asked */
    const char *transport;        /* "websocket" | "longpoll" */
    const plx_http_request *request;
    const plx_pair *path_vars; /* of "/socket/:room" */
    size_t path_var_count;
    plx_slice auth_token; /* phoenix.js authToken as it was carried, decoded; may be empty */
    /* Query pairs that are not connect parameters (the session token). */
    bool (*skip)(void *arg, size_t index, plx_slice name, plx_slice value);
    void *skip_arg;
} plx_connect;

typedef struct plx_connected {
    enum plx_vsn vsn;
    plx_slice params, claims; /* JSON objects; params without the auth and the CSRF parameter */
    plx_slice id;             /* may be empty */
    uint64_t expires_ms; /* the socket is to be closed at this time of the wall clock; 0: never */
} plx_connected;

/* err: 0, PLX_E_DENIED (403: logged with its reason), PLX_E_INVALID (400: the query is no text, or
 * too large), or
 * PLX_E_DOWN (the application could not be asked, or answered wrongly: come again). */
typedef void plx_connect_cb(void *arg, int err, const plx_connected *connected);

typedef struct plx_connecting plx_connecting;

/* Judges. NULL: cb was called. Else the application is asked, and cb is called once it has answered
 * or its time (auth.timeout_ms) is over, unless that is cancelled; the handle is valid until then.
 * c, its request, path_vars and token are borrowed until the return only; its socket and what asks
 * for it (configuration, hook, module) until the callback or the cancel. */
plx_connecting *plx_connect_start(const plx_connect *c, plx_connect_cb *cb, void *arg);
/* The callback will not come. */
void plx_connect_cancel(plx_connecting *connecting);

/* Whether the request's Origin may use this socket (channel/origin). Judged before everything. */
bool plx_connect_origin_ok(const plx_connect *c);

#endif
