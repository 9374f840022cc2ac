/* The head of an HTTP/1.1 request (RFC 9112), read byte by byte as it comes. No I/O.
 *
 * The WebSocket daemon needs nothing more of HTTP: each connection carries one
 * request without a body, and either becomes a WebSocket or ends after the answer.
 */
#ifndef PLX_TRANSPORT_WS_HTTP_H
#define PLX_TRANSPORT_WS_HTTP_H

#include "base/buf.h"

#define PLX_WS_HEAD_MAX    16384 /* bytes, the empty line included */
#define PLX_WS_HEADERS_MAX 100

typedef struct plx_ws_head plx_ws_head;

/* Lives as long as the handshake: about 2 KB and what was received. */
plx_ws_head *plx_ws_head_new(void);
void plx_ws_head_free(plx_ws_head *h); /* NULL is fine */

enum plx_ws_head_state {
    PLX_WS_HEAD_MORE,   /* everything was taken, more is needed */
    PLX_WS_HEAD_DONE,   /* complete; what follows it was not taken */
    PLX_WS_HEAD_REFUSED /* no such request is served: answer plx_ws_head_refusal and close */
};

/* Takes bytes; *used (always written) says how many. To be called no more after DONE or REFUSED. */
enum plx_ws_head_state plx_ws_head_feed(plx_ws_head *h, plx_slice bytes, size_t *used);

/* After REFUSED: 400, 431 (RFC 6585 5) or 505, and a short text for people, static. */
unsigned plx_ws_head_refusal(const plx_ws_head *h, const char **why);

/* After DONE; slices are valid until the head is freed. A target in absolute form (RFC 9112 3.2.2)
 * counts as its path and query. */
plx_slice plx_ws_head_method(const plx_ws_head *h);
plx_slice plx_ws_head_path(const plx_ws_head *h);
plx_slice plx_ws_head_query(const plx_ws_head *h);
/* A header's value without white space around it; lines of the same name are joined with ", " (RFC
 * 9110 5.3). False, and *value empty, when there is none. Host is there exactly once. */
bool plx_ws_head_get(const plx_ws_head *h, const char *name, plx_slice *value);

/* Whether the request announces content. */
bool plx_ws_head_has_body(const plx_ws_head *h);

#endif
