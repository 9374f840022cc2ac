/* What slices do beyond comparing: trimming, splitting, copying. */
#include "base/slice.h"
#include "base/alloc.h"

/* Not tolower(): that depends on the locale, and HTTP is ASCII everywhere. */
static unsigned char lower(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? (unsigned char)(u + ('a' - 'A')) : u;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool plx_slice_ieq(plx_slice a, plx_slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    }
    return true;
}

plx_slice plx_slice_trim(plx_slice a)
{
    while (a.len > 0 && is_blank(a.data[0])) {
        a.data++;
        a.len--;
    }
    while (a.len > 0 && is_blank(a.data[a.len - 1]))
        a.len--;
    return a;
}

char *plx_slice_dup(plx_slice a)
{
    char *copy = plx_alloc(a.len + 1);
    if (a.len > 0)
        memcpy(copy, a.data, a.len);
    copy[a.len] = '\0';
    return copy;
}

plx_slice plx_slice_copy(plx_slice a)
{
    return plx_slice_make(plx_slice_dup(a), a.len);
}

plx_slice plx_slice_place(char **end, plx_slice a)
{
    plx_slice copy = plx_slice_make(*end, a.len);
    if (a.len > 0)
        memcpy(*end, a.data, a.len);
    *end += a.len;
    return copy;
}

bool plx_slice_among(plx_slice a, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (plx_slice_is(a, names[i]))
            return true;
    return false;
}

bool plx_slice_split(plx_slice *rest, char sep, plx_slice *part)
{
    if (!rest->data)
        return false;
    const char *at = rest->len > 0 ? memchr(rest->data, sep, rest->len) : NULL;
    if (!at) {
        *part = *rest;
        *rest = plx_slice_make(NULL, 0);
        return true;
    }
    size_t before = (size_t)(at - rest->data);
    *part = plx_slice_make(rest->data, before);
    *rest = plx_slice_make(at + 1, rest->len - before - 1);
    return true;
}
