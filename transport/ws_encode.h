/* Messages as complete WebSocket frames: header, serialized text or binary, perhaps deflated.
 *
 * A broadcast's frame is made once for each serializer and form and kept with the
 * event (plx_event.encoded), so that each subscriber costs no more than a reference
 * and a write.
 */
#ifndef PLX_TRANSPORT_WS_ENCODE_H
#define PLX_TRANSPORT_WS_ENCODE_H

#include "transport/serializer.h"
#include "transport/ws_deflate.h"
#include "transport/ws_frame.h"

/* Shared by all connections of a worker. */
typedef struct plx_ws_encoder {
    plx_ws_zip *zip;
    plx_buf scratch;
    uint64_t skipped; /* messages that could not be encoded for their socket */
} plx_ws_encoder;

/* One of a worker; fini after its last connection. */
void plx_ws_encoder_init(plx_ws_encoder *e);
void plx_ws_encoder_fini(plx_ws_encoder *e);

/* A message of the core for one socket; owned by the caller. NULL: it can't reach this kind of
 * socket (counted). */
plx_blob *plx_ws_encode_out(plx_ws_encoder *e, enum plx_vsn vsn, const plx_ws_deflate *deflate,
                            const plx_out *out);

/* A broadcast; borrowed from the event. NULL as above. */
plx_blob *plx_ws_encode_event(plx_ws_encoder *e, enum plx_vsn vsn, const plx_ws_deflate *deflate,
                              bool with_position, plx_event *event);

/* From so many bytes of payload on a frame is sent in two parts. */
#define PLX_WS_SHARED_BYTES 4096

/* An event as a push to one socket. A large one is made once and shared: parts[0] is the frame's
 * head with the socket's own join_ref, parts[1] the rest, to be sent directly after it (NULL: there
 * is none). Both are the caller's. whole: in one part in any case. False: it can't be encoded. */
bool plx_ws_encode_pushed(plx_ws_encoder *e, enum plx_vsn vsn, const plx_ws_deflate *deflate,
                          plx_term join_ref, plx_event *event, bool whole, plx_blob *parts[2]);

/* A control frame (payload of at most 125 bytes), and a close frame (reason: at most 123
 * bytes of UTF-8, or empty). */
plx_blob *plx_ws_encode_control(enum plx_ws_opcode opcode, plx_slice payload);
plx_blob *plx_ws_encode_close(unsigned code, plx_slice reason);

#endif
