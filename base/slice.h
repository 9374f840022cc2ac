/* A borrowed range of bytes: pointer and length, not terminated, never owned.
 *
 * Whoever hands out a slice says how long it stays valid. An empty slice may
 * have a NULL pointer.
 */
#ifndef PLX_BASE_SLICE_H
#define PLX_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct plx_slice {
    const char *data;
    size_t len;
} plx_slice;

/* A slice of a string literal, usable as an initializer of a static or automatic object. */
#define PLX_LIT(s)                                                                                 \
    {                                                                                              \
        (s), sizeof(s) - 1                                                                         \
    }

/* The bytes of a NUL-terminated string (NULL gives the empty slice). */
static inline plx_slice plx_slice_of(const char *s)
{
    plx_slice out = {s, s ? strlen(s) : 0};
    return out;
}

/* A slice of len bytes at data. */
static inline plx_slice plx_slice_make(const void *data, size_t len)
{
    plx_slice out = {(const char *)data, len};
    return out;
}

/* Whether both hold the same bytes. */
static inline bool plx_slice_eq(plx_slice a, plx_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Whether the slice holds exactly the bytes of the NUL-terminated string s. */
static inline bool plx_slice_is(plx_slice a, const char *s)
{
    return plx_slice_eq(a, plx_slice_of(s));
}

/* Whether the slice begins with the bytes of prefix. */
static inline bool plx_slice_starts(plx_slice a, plx_slice prefix)
{
    return a.len >= prefix.len && plx_slice_eq(plx_slice_make(a.data, prefix.len), prefix);
}

/* ASCII case-insensitive equality (HTTP names and tokens). */
bool plx_slice_ieq(plx_slice a, plx_slice b);

/* A without spaces and tabs at its ends. */
plx_slice plx_slice_trim(plx_slice a);

/* A NUL-terminated copy, owned by the caller (free with free()). Inner NUL bytes are copied as they
 * are. */
char *plx_slice_dup(plx_slice a);
/* The same as a slice: the caller frees its data, which is never NULL. */
plx_slice plx_slice_copy(plx_slice a);
/* Copies to *end, where there has to be room for it, and moves *end past the copy. */
plx_slice plx_slice_place(char **end, plx_slice a);

/* Whether it is one of the names. */
bool plx_slice_among(plx_slice a, const char *const *names, size_t count);

/* Splits off what stands before the first `sep` in *rest into *part and moves *rest past it. The
 * last part is what remains. Returns false when *rest was already used up (data == NULL). */
bool plx_slice_split(plx_slice *rest, char sep, plx_slice *part);

#ifdef __cplusplus
}
#endif

#endif
