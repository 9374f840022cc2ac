/* Immutable reference-counted bytes: what is encoded once and queued to many.
 *
 * Not thread-safe: a blob belongs to the event loop.
 */
#ifndef PLX_BASE_BLOB_H
#define PLX_BASE_BLOB_H

#include "base/slice.h"

typedef struct plx_blob {
    unsigned refs;
    unsigned tag; /* free for the maker, e.g. a WebSocket opcode */
    size_t len;
    char data[];
} plx_blob;

/* A blob with one reference and a copy of the bytes (or uninitialised when bytes.data is NULL and
 * len > 0: the maker fills it before sharing). */
plx_blob *plx_blob_new(plx_slice bytes);
plx_blob *plx_blob_ref(plx_blob *b);
/* Drops a reference (NULL is fine); the last one frees. */
void plx_blob_unref(plx_blob *b);

#endif
