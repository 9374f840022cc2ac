/* Wire formats: V1 (JSON object), V2 (JSON array, and binary frames), as phoenix.js has them.
 *
 * No I/O, no state. Payloads are cut out of the incoming text as byte ranges and
 * put into outgoing texts as they are: never re-encoded.
 */
#ifndef PLX_TRANSPORT_SERIALIZER_H
#define PLX_TRANSPORT_SERIALIZER_H

#include "base/buf.h"
#include "channel/message.h"

enum plx_vsn { PLX_V1 = 1, PLX_V2 = 2 };

/* "1.0.x" -> V1, "2.0.x" -> V2 as Elixir's "~> 1.0.0" / "~> 2.0.0" match (pre-releases and build
 * metadata included; see the recordings *_vsn_negotiation). PLX_E_INVALID for anything else.
 * Absent: pass "1.0.0". */
int plx_vsn_parse(plx_slice text, enum plx_vsn *out);

/* Decodes one message. binary: it came as a binary frame (V2: kind 0; V1: the opcode is ignored).
 * Slices of *out point into bytes or scratch (unescaped names; cleared first). PLX_E_INVALID when
 * it is no message: bad JSON, wrong shape, truncated or unknown binary, names over PLX_NAME_MAX. */
int plx_decode(enum plx_vsn vsn, bool binary, plx_slice bytes, plx_buf *scratch, plx_message *out);

/* Appends a ref or topic as JSON. */
void plx_encode_term(plx_term t, plx_buf *to);

/* Encodes a message for one socket, appending to `to`; *binary says which frame it is. With
 * allow_binary false (long-poll, V1) a binary reply becomes the text reply error
 * {"reason":"binary"}, and a binary push returns PLX_E_DENIED with nothing appended (skip it and
 * count it). PLX_E_TOOBIG when `to` is full, or a field is over 255 bytes (binary header). */
int plx_encode(enum plx_vsn vsn, bool allow_binary, const plx_out *out, plx_buf *to, bool *binary);

/* Appends a broadcast; *binary says which frame it is. PLX_E_DENIED when it can't reach this kind
 * of socket (binary on V1 or long-poll, or names too long for a binary header), PLX_E_TOOBIG when
 * `to` is full; nothing is appended then. with_position: the topic has history, ref is the position
 * (see Recovery). */
int plx_encode_broadcast(enum plx_vsn vsn, bool allow_binary, bool with_position,
                         const plx_event *e, plx_buf *to, bool *binary);

/* Which of plx_event.encoded is which; those from PLX_ENC_TRANSPORT on are free for the WebSocket
 * daemon, which keeps whole frames there. */
enum plx_encoding {
    PLX_ENC_V1_QUOTED,
    PLX_ENC_V2_QUOTED,
    PLX_ENC_V1_QUOTED_POSITION, /* the same with a position: sections may differ in history */
    PLX_ENC_V2_QUOTED_POSITION,
    PLX_ENC_TRANSPORT
};
/* The text of a broadcast as a JSON string with its quotes: an element of a long-poll answer. Made
 * once per event and kept there; borrowed. NULL: it can't reach a long-poll client. */
plx_blob *plx_encode_event_quoted(enum plx_vsn vsn, bool with_position, plx_event *e);

#endif
