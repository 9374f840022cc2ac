/* Reference-counted bytes in one allocation. */
#include "base/blob.h"
#include "base/alloc.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

plx_blob *plx_blob_new(plx_slice bytes)
{
    assert(bytes.len <= SIZE_MAX - sizeof(plx_blob));
    plx_blob *b = plx_alloc(sizeof *b + bytes.len);
    b->refs = 1;
    b->tag = 0;
    b->len = bytes.len;
    if (bytes.data && bytes.len > 0)
        memcpy(b->data, bytes.data, bytes.len);
    return b;
}

plx_blob *plx_blob_ref(plx_blob *b)
{
    b->refs++;
    return b;
}

void plx_blob_unref(plx_blob *b)
{
    if (!b)
        return;
    assert(b->refs > 0);
    if (--b->refs == 0)
        free(b);
}
