/* Reading Erlang's external term format: the pieces of terms.
 *
 * A term is a tag byte and what belongs to it. Every read goes through take(), which
 * compares the declared length with what is there before anything else happens.
 */
#include "channel/etf.h"
#include "base/error.h"
#include "base/utf8.h"
#include "channel/etf_take.h"
#include <math.h>
#include <stdlib.h>

int plx_etf_open(plx_etf *e, plx_slice bytes)
{
    const uint8_t *p = (const uint8_t *)bytes.data;
    if (bytes.len < 2 || p[0] != ETF_VERSION || p[1] == ETF_COMPRESSED)
        return PLX_E_INVALID;
    e->next = p + 1;
    e->end = p + bytes.len;
    return 0;
}

bool plx_etf_at_end(const plx_etf *e)
{
    return e->next == e->end;
}

/* The next n bytes, or NULL when there are fewer. */
static const uint8_t *take(plx_etf *e, size_t n)
{
    if ((size_t)(e->end - e->next) < n)
        return NULL;
    const uint8_t *p = e->next;
    e->next += n;
    return p;
}

int plx_etf_take_number(plx_etf *e, size_t width, uint32_t *out)
{
    const uint8_t *p = take(e, width);
    uint32_t n = 0;
    if (!p)
        return PLX_E_INVALID;
    for (size_t i = 0; i < width; i++)
        n = n << 8 | p[i];
    *out = n;
    return 0;
}

int plx_etf_take_tag(plx_etf *e)
{
    const uint8_t *p = take(e, 1);
    return p ? *p : PLX_E_INVALID;
}

int plx_etf_take_bytes(plx_etf *e, size_t width, plx_slice *out)
{
    uint32_t len;
    if (plx_etf_take_number(e, width, &len) != 0)
        return PLX_E_INVALID;
    const uint8_t *p = take(e, len);
    if (!p)
        return PLX_E_INVALID;
    *out = plx_slice_make(p, len);
    return 0;
}

int plx_etf_take_big(plx_etf *e, size_t width, bool *negative, plx_slice *digits)
{
    uint32_t len;
    const uint8_t *sign, *p;
    if (plx_etf_take_number(e, width, &len) != 0 || len > PLX_ETF_BIG || !(sign = take(e, 1)) ||
        *sign > 1 || !(p = take(e, len)))
        return PLX_E_INVALID;
    *negative = *sign == 1;
    *digits = plx_slice_make(p, len);
    return 0;
}

static int big_to_int(plx_slice digits, bool negative, int64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < digits.len; i++) {
        uint8_t byte = (uint8_t)digits.data[i];
        if (byte != 0 && i >= 8)
            return PLX_E_INVALID;
        if (i < 8)
            n |= (uint64_t)byte << (8 * i);
    }
    if (n > (uint64_t)INT64_MAX)
        return PLX_E_INVALID;
    *out = negative ? -(int64_t)n : (int64_t)n;
    return 0;
}

static int read_int(plx_etf *e, int64_t *out)
{
    uint32_t n;
    bool negative;
    plx_slice digits;
    int tag = plx_etf_take_tag(e);
    if (tag == ETF_SMALL_INTEGER && plx_etf_take_number(e, 1, &n) == 0) {
        *out = n;
        return 0;
    }
    if (tag == ETF_INTEGER && plx_etf_take_number(e, 4, &n) == 0) {
        *out = (int32_t)n;
        return 0;
    }
    if ((tag == ETF_SMALL_BIG || tag == ETF_LARGE_BIG) &&
        plx_etf_take_big(e, tag == ETF_SMALL_BIG ? 1 : 4, &negative, &digits) == 0)
        return big_to_int(digits, negative, out);
    return PLX_E_INVALID;
}

int plx_etf_int(plx_etf *e, int64_t *out)
{
    plx_etf ahead = *e;
    int err = read_int(&ahead, out);
    if (err == 0)
        *e = ahead;
    return err;
}

static int read_new_float(plx_etf *e, double *out)
{
    const uint8_t *p = take(e, 8);
    uint64_t bits = 0;
    if (!p)
        return PLX_E_INVALID;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | p[i];
    memcpy(out, &bits, sizeof bits);
    return isfinite(*out) ? 0 : PLX_E_INVALID;
}

/* The old form: 31 bytes of text, filled up with NULs. Digits and what goes with them only, because
 * strtod reads more than numbers ("inf", "0x1p3"). */
static int read_old_float(plx_etf *e, double *out)
{
    char text[32] = {0}, *end;
    const uint8_t *p = take(e, 31);
    if (!p)
        return PLX_E_INVALID;
    memcpy(text, p, 31);
    size_t len = strlen(text);
    if (len == 0 || strspn(text, "+-.0123456789eE") != len)
        return PLX_E_INVALID;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out) ? 0 : PLX_E_INVALID;
}

int plx_etf_float(plx_etf *e, double *out)
{
    plx_etf ahead = *e;
    double d = 0;
    int tag = plx_etf_take_tag(&ahead), err = PLX_E_INVALID;
    if (tag == ETF_NEW_FLOAT)
        err = read_new_float(&ahead, &d);
    else if (tag == ETF_FLOAT)
        err = read_old_float(&ahead, &d);
    if (err)
        return err;
    *out = d;
    *e = ahead;
    return 0;
}

int plx_etf_tuple(plx_etf *e, uint32_t *arity)
{
    plx_etf ahead = *e;
    int tag = plx_etf_take_tag(&ahead);
    uint32_t n;
    if ((tag != ETF_SMALL_TUPLE && tag != ETF_LARGE_TUPLE) ||
        plx_etf_take_number(&ahead, tag == ETF_SMALL_TUPLE ? 1 : 4, &n) != 0)
        return PLX_E_INVALID;
    *arity = n;
    *e = ahead;
    return 0;
}

int plx_etf_take_atom(plx_etf *e, int tag, plx_slice *name, bool *latin1)
{
    size_t width = tag == ETF_SMALL_ATOM || tag == ETF_SMALL_ATOM_UTF8 ? 1 : 2;
    if (plx_etf_take_bytes(e, width, name) != 0 || name->len > 4 * 255)
        return PLX_E_INVALID;
    *latin1 = tag == ETF_ATOM || tag == ETF_SMALL_ATOM;
    return *latin1 || plx_utf8_valid(*name) ? 0 : PLX_E_INVALID;
}

bool plx_etf_is_atom(int tag)
{
    return tag == ETF_ATOM || tag == ETF_SMALL_ATOM || tag == ETF_ATOM_UTF8 ||
           tag == ETF_SMALL_ATOM_UTF8;
}

int plx_etf_atom_is(plx_etf *e, const char *name)
{
    plx_etf ahead = *e;
    plx_slice have;
    bool latin1;
    int tag = plx_etf_take_tag(&ahead);
    if (!plx_etf_is_atom(tag) || plx_etf_take_atom(&ahead, tag, &have, &latin1) != 0 ||
        !plx_slice_is(have, name))
        return PLX_E_INVALID;
    *e = ahead;
    return 0;
}
