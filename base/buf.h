/* A growable byte buffer with an upper bound.
 *
 * Appending past `max` fails with PLX_E_TOOBIG, changes nothing and marks the
 * buffer, so that a sequence of appends may be checked once at its end with
 * plx_buf_ok. At rest (empty) a buffer holds no memory after plx_buf_fini.
 */
#ifndef PLX_BASE_BUF_H
#define PLX_BASE_BUF_H

#include "base/slice.h"
#include <stdarg.h>
#include <stdint.h>

typedef struct plx_buf {
    char *data;
    size_t len, cap, max;
    bool failed; /* an append did not fit */
} plx_buf;

/* Prepares an empty buffer that may grow to max bytes (0: only size_t bounds it). No allocation. */
void plx_buf_init(plx_buf *b, size_t max);
/* Frees the memory; the buffer is empty and usable again with the same bound. */
void plx_buf_fini(plx_buf *b);
/* Empties without freeing; clears `failed`. */
void plx_buf_clear(plx_buf *b);
/* Whether every append since then did fit. */
static inline bool plx_buf_ok(const plx_buf *b)
{
    return !b->failed;
}
/* What is in it; valid until the next change. */
static inline plx_slice plx_buf_slice(const plx_buf *b)
{
    return plx_slice_make(b->data, b->len);
}

/* Each append returns 0 or PLX_E_TOOBIG. */
int plx_buf_append(plx_buf *b, const void *data, size_t len);
int plx_buf_add(plx_buf *b, plx_slice s);
int plx_buf_str(plx_buf *b, const char *s);
int plx_buf_byte(plx_buf *b, unsigned char c);
int plx_buf_u64(plx_buf *b, uint64_t n); /* decimal */
int plx_buf_printf(plx_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
int plx_buf_vprintf(plx_buf *b, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* Room for `len` more bytes at the end, uninitialised and counted by plx_buf_commit; NULL when past
 * the bound. */
char *plx_buf_reserve(plx_buf *b, size_t len);
void plx_buf_commit(plx_buf *b, size_t len);
/* Adds a NUL (not counted in len) and returns the data; valid until the next change. */
const char *plx_buf_cstr(plx_buf *b);

#endif
