/* The opening handshake (RFC 6455 4.2): judging the request, composing the answers. No I/O. */
#ifndef PLX_TRANSPORT_WS_HANDSHAKE_H
#define PLX_TRANSPORT_WS_HANDSHAKE_H

#include "base/buf.h"
#include "transport/ws_deflate.h"
#include "transport/ws_http.h"

/* What the subprotocols say (Sec-WebSocket-Protocol): phoenix.js 1.8 sends its authToken as
 * "base64url.bearer.phx.<token>" beside "phoenix". */
typedef struct plx_ws_subprotocol {
    bool has_token; /* exactly one was offered; its decoded text was appended to `token`, or as it
                       came when it is no Base64: it will be refused like any wrong token */
    bool phoenix;   /* to be answered: offered together with a token (recorded: not alone) */
} plx_ws_subprotocol;
void plx_ws_read_subprotocols(plx_slice offered, plx_ws_subprotocol *out, plx_buf *token);

/* Whether a GET asks for a WebSocket (RFC 6455 4.2.1). NULL, or a short text that says what is
 * wrong: 400. As recorded, any (single) key is accepted. */
const char *plx_ws_handshake_check(const plx_ws_head *h);

/* Appends the answer 101. deflate: what was agreed on, with its answer's text. */
void plx_ws_handshake_answer(const plx_ws_head *h, bool phoenix, plx_slice extensions,
                             plx_buf *out);

/* Appends any other answer, after which the connection ends. type: of the body, or NULL.
 * head_only: the request was HEAD. */
void plx_ws_http_answer(unsigned status, const char *type, plx_slice body, bool head_only,
                        plx_buf *out);

/* Sec-WebSocket-Accept for a key, NUL-terminated (RFC 6455 4.2.2). */
#define PLX_WS_ACCEPT_LEN 28
void plx_ws_accept(plx_slice key, char out[PLX_WS_ACCEPT_LEN + 1]);

#endif
