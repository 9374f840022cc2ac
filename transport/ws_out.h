/* What waits to be written to one connection: a queue of shared frames.
 *
 * A frame that goes to thousands is one blob with a reference from each queue;
 * only the place in the first frame is the connection's own. An empty queue holds
 * no memory.
 */
#ifndef PLX_TRANSPORT_WS_OUT_H
#define PLX_TRANSPORT_WS_OUT_H

#include "base/blob.h"
#include <stdint.h>

struct plx_ws_chunk;

/* All zero at first. */
typedef struct plx_ws_out {
    struct plx_ws_chunk *head, *tail;
    size_t bytes;    /* not written yet */
    uint32_t offset; /* of the head, written already */
    uint32_t count;  /* frames */
} plx_ws_out;

/* Adds a frame at the end; takes a reference of its own. */
void plx_ws_out_push(plx_ws_out *q, plx_blob *frame);

/* Writes as much as the socket takes now. Returns 0 when nothing is left, PLX_E_BUSY when the
 * socket is full, PLX_E_SYSTEM when the connection is broken (errno says how; never SIGPIPE). */
int plx_ws_out_flush(plx_ws_out *q, int fd);

/* Drops everything. */
void plx_ws_out_fini(plx_ws_out *q);

#endif
