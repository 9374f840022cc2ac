/* The growable buffer. Memory doubles, from 64 bytes on, so that appending byte
 * by byte stays linear; `max` bounds the content, not the allocation, which may
 * be one byte larger for plx_buf_cstr.
 */
#include "base/buf.h"
#include "base/alloc.h"
#include "base/error.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define SMALLEST 64

void plx_buf_init(plx_buf *b, size_t max)
{
    *b = (plx_buf){.max = max};
}

void plx_buf_fini(plx_buf *b)
{
    free(b->data);
    plx_buf_init(b, b->max);
}

void plx_buf_clear(plx_buf *b)
{
    b->len = 0;
    b->failed = false;
}

static size_t room_left(const plx_buf *b)
{
    /* One less than SIZE_MAX leaves space for the NUL of plx_buf_cstr. */
    size_t bound = b->max > 0 ? b->max : SIZE_MAX - 1;
    return bound > b->len ? bound - b->len : 0;
}

/* Makes the allocation at least `need` bytes. */
static void grow(plx_buf *b, size_t need)
{
    if (need <= b->cap)
        return;
    size_t cap = b->cap > 0 ? b->cap : SMALLEST;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    /* Doubling past the bound would only waste memory. */
    if (b->max > 0 && b->max < SIZE_MAX && cap > b->max + 1)
        cap = need > b->max + 1 ? need : b->max + 1;
    b->data = plx_realloc(b->data, cap);
    b->cap = cap;
}

char *plx_buf_reserve(plx_buf *b, size_t len)
{
    if (len > room_left(b)) {
        b->failed = true;
        return NULL;
    }
    grow(b, b->len + (len > 0 ? len : 1));
    return b->data + b->len;
}

void plx_buf_commit(plx_buf *b, size_t len)
{
    assert(len <= b->cap - b->len);
    b->len += len;
}

int plx_buf_append(plx_buf *b, const void *data, size_t len)
{
    if (len == 0)
        return 0;
    char *at = plx_buf_reserve(b, len);
    if (!at)
        return PLX_E_TOOBIG;
    memcpy(at, data, len);
    b->len += len;
    return 0;
}

int plx_buf_add(plx_buf *b, plx_slice s)
{
    return plx_buf_append(b, s.data, s.len);
}

int plx_buf_str(plx_buf *b, const char *s)
{
    return plx_buf_append(b, s, strlen(s));
}

int plx_buf_byte(plx_buf *b, unsigned char c)
{
    return plx_buf_append(b, &c, 1);
}

int plx_buf_u64(plx_buf *b, uint64_t n)
{
    char digits[20]; /* 2^64 has 20 */
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return plx_buf_append(b, digits + at, sizeof digits - at);
}

int plx_buf_vprintf(plx_buf *b, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    int rc = PLX_E_TOOBIG;
    if (len >= 0 && (size_t)len <= room_left(b)) {
        /* vsnprintf writes its NUL too, which is not content. */
        grow(b, b->len + (size_t)len + 1);
        vsnprintf(b->data + b->len, (size_t)len + 1, format, again);
        b->len += (size_t)len;
        rc = 0;
    } else {
        b->failed = true;
    }
    va_end(again);
    return rc;
}

int plx_buf_printf(plx_buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int rc = plx_buf_vprintf(b, format, args);
    va_end(args);
    return rc;
}

const char *plx_buf_cstr(plx_buf *b)
{
    grow(b, b->len + 1);
    b->data[b->len] = '\0';
    return b->data;
}
