/* WebSocket frames (RFC 6455 5): bytes in, messages out. No I/O.
 *
 * A message whose frame lies complete in the bytes given is unmasked in place and
 * handed out without copying. Memory is held only while a message (or a header) is
 * incomplete, and only for what has arrived of it.
 */
#ifndef PLX_TRANSPORT_WS_FRAME_H
#define PLX_TRANSPORT_WS_FRAME_H

#include "base/slice.h"
#include <stdint.h>

/* Opcodes (RFC 6455 5.2). */
enum plx_ws_opcode {
    PLX_WS_OP_CONTINUATION = 0,
    PLX_WS_OP_TEXT = 1,
    PLX_WS_OP_BINARY = 2,
    PLX_WS_OP_CLOSE = 8,
    PLX_WS_OP_PING = 9,
    PLX_WS_OP_PONG = 10
};

/* Close codes that we send (RFC 6455 7.4.1 and IANA's registry). */
enum plx_ws_code {
    PLX_WS_NORMAL = 1000, /* only as the answer to a client's close */
    PLX_WS_GOING_AWAY = 1001,
    PLX_WS_PROTOCOL_ERROR = 1002,
    PLX_WS_NO_CODE = 1005, /* never on the wire: the peer's close frame held none */
    PLX_WS_BAD_TEXT = 1007,
    PLX_WS_TOO_BIG = 1009,
    PLX_WS_SERVER_ERROR = 1011,
    PLX_WS_RESTART = 1012,
    PLX_WS_UNAUTHORIZED = 3000
};

/* What arrives on one connection. All zero at first. */
typedef struct plx_ws_reader {
    struct plx_ws_partial *partial; /* NULL while nothing is incomplete */
} plx_ws_reader;
/* Frees what an incomplete message holds. */
void plx_ws_reader_fini(plx_ws_reader *r);

/* The same for every message of a connection. */
typedef struct plx_ws_rules {
    size_t max_bytes; /* of a whole message (as it came, if compressed), and of a frame with its
                         header, as the recorded server counts */
    bool deflate;     /* permessage-deflate was agreed on: RSV1 may be set (RFC 7692 6) */
} plx_ws_rules;

enum plx_ws_event {
    PLX_WS_MORE, /* all bytes were taken; nothing is complete */
    PLX_WS_TEXT, /* valid UTF-8, unless compressed */
    PLX_WS_BINARY,
    PLX_WS_PING,
    PLX_WS_PONG,
    PLX_WS_CLOSE, /* well-formed (RFC 6455 5.5.1); code is the peer's, PLX_WS_NO_CODE without one */
    PLX_WS_FAULT  /* the connection has to be failed with `code`; read no more */
};

typedef struct plx_ws_message {
    plx_slice payload; /* valid until the next plx_ws_read or plx_ws_reader_fini, and as long as the
                          bytes given stay; of a close frame: the reason */
    bool compressed;   /* TEXT, BINARY: to be inflated first */
    unsigned code;     /* CLOSE, FAULT */
} plx_ws_message;

/* Takes the next event out of *bytes (which are changed: unmasking) and moves *bytes and *len past
 * it. To be called until it says MORE. *out is written for every event but MORE. */
enum plx_ws_event plx_ws_read(plx_ws_reader *r, const plx_ws_rules *rules, char **bytes,
                              size_t *len, plx_ws_message *out);

/* Writes the header of an unfragmented frame from the server (never masked); returns its size. */
#define PLX_WS_HEADER_MAX 10
size_t plx_ws_header(char out[PLX_WS_HEADER_MAX], enum plx_ws_opcode opcode, bool compressed,
                     size_t payload_len);

/* XORs bytes with the masking key, the first of them with key[at % 4] (RFC 6455 5.3). */
void plx_ws_unmask(char *bytes, size_t len, const uint8_t key[4], uint64_t at);

#endif
