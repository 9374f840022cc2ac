/* permessage-deflate (RFC 7692) without context takeover: negotiation, inflating, deflating.
 *
 * Because no message refers to an earlier one, connections have no compression
 * state of their own: a worker shares one inflater and one deflater, and a
 * broadcast is compressed once for all.
 */
#ifndef PLX_TRANSPORT_WS_DEFLATE_H
#define PLX_TRANSPORT_WS_DEFLATE_H

#include "base/buf.h"
#include <stdint.h>

/* What was agreed on. */
typedef struct plx_ws_deflate {
    bool on;
    /* log2 of the largest distance that the client can look back, 8..15: a message that is longer
     * than that is sent uncompressed, which is always allowed (RFC 7692 6). */
    uint8_t window_bits;
} plx_ws_deflate;

/* Reads the value of Sec-WebSocket-Extensions and takes the first acceptable offer of
 * permessage-deflate (RFC 7692 5.1, 7.1); unknown, repeated or malformed parameters decline that
 * offer (never the handshake). answer: gets the value to send back, when out->on. */
void plx_ws_deflate_negotiate(plx_slice offers, plx_ws_deflate *out, plx_buf *answer);

typedef struct plx_ws_zip plx_ws_zip;

/* One per worker: about 300 KB from its first use on. */
plx_ws_zip *plx_ws_zip_new(void);
void plx_ws_zip_free(plx_ws_zip *z); /* NULL is fine */

/* Inflates a message. *out is valid until the next call. PLX_E_TOOBIG when it would have more than
 * max bytes (nothing beyond them is produced), PLX_E_INVALID when it is no deflate stream. */
int plx_ws_inflate(plx_ws_zip *z, plx_slice message, size_t max, plx_slice *out);

/* Deflates a message. *out is valid until the next call. PLX_E_TOOBIG when it would not become
 * smaller: send it as it is. */
int plx_ws_deflate_message(plx_ws_zip *z, plx_slice message, plx_slice *out);

/* Whether compressing a message of this size is worth trying, for this connection. */
#define PLX_WS_DEFLATE_MIN 256
static inline bool plx_ws_deflate_wanted(const plx_ws_deflate *d, size_t len)
{
    return d->on && len >= PLX_WS_DEFLATE_MIN && len <= (size_t)1 << d->window_bits;
}

#endif
