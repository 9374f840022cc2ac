/* Who may open a socket: origin, vsn, authentication, socket id; the same for both transports.
 *
 * Asynchronous by its signature, because an authentication hook will ask the
 * application; today the callback always comes before the return.
 */
#ifndef PLX_TRANSPORT_CONNECT_H
#define PLX_TRANSPORT_CONNECT_H

#include "base/config.h"
#include "transport/http.h"
#include "transport/query.h"
#include "transport/serializer.h"

typedef struct plx_connect {
    const plx_config *config;
    const plx_socket_config *socket;
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
} plx_connected;

/* err: 0, PLX_E_DENIED (403: logged with its reason), PLX_E_INVALID (400: the query is no text). */
typedef void plx_connect_cb(void *arg, int err, const plx_connected *connected);
void plx_connect_start(const plx_connect *c, plx_connect_cb *cb, void *arg);

/* Whether the request's Origin may use this socket (channel/origin). Judged before everything. */
bool plx_connect_origin_ok(const plx_connect *c);

#endif
