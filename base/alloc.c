/* Allocation that cannot fail: see the header for why it aborts.
 *
 * The last words go to fd 2 with write(2) alone: the log formats on the stack
 * but calls into libc, and there is no memory to spare at this point.
 */
#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void out_of_memory(void)
{
    static const char words[] = "pollux: out of memory\n";
    ssize_t ignored = write(2, words, sizeof words - 1);
    (void)ignored;
    abort();
}

void *plx_alloc_check(void *p)
{
    if (!p)
        out_of_memory();
    return p;
}

void *plx_alloc(size_t size)
{
    return plx_alloc_check(malloc(size > 0 ? size : 1));
}

void *plx_alloc_zero(size_t n, size_t size)
{
    /* calloc checks the multiplication; only a product of zero needs help. */
    return plx_alloc_check(n > 0 && size > 0 ? calloc(n, size) : calloc(1, 1));
}

void *plx_realloc(void *p, size_t size)
{
    return plx_alloc_check(realloc(p, size > 0 ? size : 1));
}

char *plx_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    return memcpy(plx_alloc(size), s, size);
}

char *plx_asprintf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *out;
    int len = vasprintf(&out, format, args);
    va_end(args);
    if (len < 0)
        out_of_memory();
    return out;
}
