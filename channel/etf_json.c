/* Erlang's external term format to JSON.
 *
 * The only memory used is the caller's bounded buffer, and a note of each map's
 * names while it is written. Containers are read with recursion, whose depth is
 * checked before it goes down.
 */
#include "base/error.h"
#include "base/json_scan.h"
#include "base/utf8.h"
#include "channel/etf.h"
#include "channel/etf_take.h"
#include <stdio.h>
#include <stdlib.h>

static int write_term(plx_etf *e, plx_buf *out, unsigned depth);

static int write_latin1(plx_slice text, plx_buf *out)
{
    char utf8[2 * 255];
    size_t len = 0;
    if (text.len > 255)
        return PLX_E_INVALID;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = (uint8_t)text.data[i];
        if (c >= 0x80)
            utf8[len++] = (char)(0xc0 | c >> 6);
        utf8[len++] = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
    }
    return plx_json_quote(out, plx_slice_make(utf8, len));
}

/* as_key: an object's member name is always a string. */
static int write_atom(plx_etf *e, int tag, bool as_key, plx_buf *out)
{
    plx_slice name;
    bool latin1;
    if (plx_etf_take_atom(e, tag, &name, &latin1) != 0)
        return PLX_E_INVALID;
    if (!as_key && plx_slice_is(name, "nil"))
        return plx_buf_str(out, "null");
    if (!as_key && (plx_slice_is(name, "true") || plx_slice_is(name, "false")))
        return plx_buf_add(out, name);
    return latin1 ? write_latin1(name, out) : plx_json_quote(out, name);
}

static int write_binary(plx_etf *e, plx_buf *out)
{
    plx_slice text;
    if (plx_etf_take_bytes(e, 4, &text) != 0 || !plx_utf8_valid(text))
        return PLX_E_INVALID;
    return plx_json_quote(out, text);
}

static int write_float(plx_etf *e, plx_buf *out)
{
    double d;
    char text[40];
    if (plx_etf_float(e, &d) != 0)
        return PLX_E_INVALID;
    /* The shortest that reads back as the same number. */
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    int err = plx_buf_str(out, text);
    return err == 0 && !strpbrk(text, ".e") ? plx_buf_str(out, ".0") : err;
}

/* Decimal digits by dividing the number by ten again and again: it is short. */
static int write_big(plx_etf *e, size_t width, plx_buf *out)
{
    uint8_t n[PLX_ETF_BIG];
    char digits[PLX_ETF_BIG * 5 / 2 + 2], *first = digits + sizeof digits;
    bool negative;
    plx_slice bytes;
    if (plx_etf_take_big(e, width, &negative, &bytes) != 0)
        return PLX_E_INVALID;
    size_t len = bytes.len;
    memcpy(n, bytes.data, len);
    do {
        unsigned rest = 0;
        while (len > 0 && n[len - 1] == 0)
            len--;
        for (size_t i = len; i-- > 0;) {
            rest = rest << 8 | n[i];
            n[i] = (uint8_t)(rest / 10);
            rest %= 10;
        }
        *--first = (char)('0' + rest);
    } while (len > 1 || (len == 1 && n[0] > 0));
    if (negative && !(first == digits + sizeof digits - 1 && *first == '0'))
        *--first = '-';
    return plx_buf_append(out, first, (size_t)(digits + sizeof digits - first));
}

static int write_integer(plx_etf *e, int tag, plx_buf *out)
{
    uint32_t n;
    if (tag == ETF_SMALL_BIG || tag == ETF_LARGE_BIG)
        return write_big(e, tag == ETF_SMALL_BIG ? 1 : 4, out);
    if (plx_etf_take_number(e, tag == ETF_SMALL_INTEGER ? 1 : 4, &n) != 0)
        return PLX_E_INVALID;
    return plx_buf_printf(out, "%d", tag == ETF_SMALL_INTEGER ? (int)n : (int)(int32_t)n);
}

/* A list of bytes in its short form: its integers. */
static int write_byte_list(plx_etf *e, plx_buf *out)
{
    plx_slice bytes;
    if (plx_etf_take_bytes(e, 2, &bytes) != 0)
        return PLX_E_INVALID;
    plx_buf_byte(out, '[');
    for (size_t i = 0; i < bytes.len; i++)
        if (plx_buf_printf(out, "%s%u", i > 0 ? "," : "", (unsigned)(uint8_t)bytes.data[i]) != 0)
            return PLX_E_TOOBIG;
    return plx_buf_byte(out, ']');
}

static int write_elements(plx_etf *e, uint32_t count, plx_buf *out, unsigned depth)
{
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            plx_buf_byte(out, ',');
        int err = write_term(e, out, depth);
        if (err)
            return err;
    }
    return 0;
}

static int write_list(plx_etf *e, plx_buf *out, unsigned depth)
{
    uint32_t count;
    if (plx_etf_take_number(e, 4, &count) != 0)
        return PLX_E_INVALID;
    plx_buf_byte(out, '[');
    int err = write_elements(e, count, out, depth);
    if (err)
        return err;
    /* The tail; anything else than the empty list makes an improper one. */
    if (plx_etf_take_tag(e) != ETF_NIL)
        return PLX_E_INVALID;
    return plx_buf_byte(out, ']');
}

static int write_tuple(plx_etf *e, int tag, plx_buf *out, unsigned depth)
{
    uint32_t arity;
    if (plx_etf_take_number(e, tag == ETF_SMALL_TUPLE ? 1 : 4, &arity) != 0)
        return PLX_E_INVALID;
    plx_buf_byte(out, '[');
    int err = write_elements(e, arity, out, depth);
    return err ? err : plx_buf_byte(out, ']');
}

static int write_key(plx_etf *e, plx_buf *out)
{
    int tag = plx_etf_take_tag(e);
    if (tag == ETF_BINARY)
        return write_binary(e, out);
    if (plx_etf_is_atom(tag))
        return write_atom(e, tag, true, out);
    if (tag != ETF_SMALL_INTEGER && tag != ETF_INTEGER && tag != ETF_SMALL_BIG &&
        tag != ETF_LARGE_BIG)
        return PLX_E_INVALID;
    plx_buf_byte(out, '"');
    int err = write_integer(e, tag, out);
    return err ? err : plx_buf_byte(out, '"');
}

/* Where a member's name stands in the output: offsets, because the buffer moves as it grows. */
typedef struct span {
    size_t at, len;
} span;

/* Writes one "name": and remembers it in `seen`. Names are all written by plx_json_quote, so equal
 * names are equal bytes; one that was there before is refused. */
static int write_name(plx_etf *e, plx_buf *seen, plx_buf *out)
{
    span name = {.at = out->len};
    int err = write_key(e, out);
    if (err)
        return err;
    name.len = out->len - name.at;
    for (size_t i = 0; i + sizeof name <= seen->len; i += sizeof name) {
        span other;
        memcpy(&other, seen->data + i, sizeof other);
        if (other.len == name.len &&
            memcmp(out->data + other.at, out->data + name.at, name.len) == 0)
            return PLX_E_INVALID;
    }
    plx_buf_append(seen, &name, sizeof name);
    return plx_buf_byte(out, ':');
}

static int write_map(plx_etf *e, plx_buf *out, unsigned depth)
{
    uint32_t count;
    plx_buf seen;
    int err = 0;
    if (plx_etf_take_number(e, 4, &count) != 0)
        return PLX_E_INVALID;
    plx_buf_init(&seen, 0);
    plx_buf_byte(out, '{');
    for (uint32_t i = 0; i < count && err == 0; i++) {
        if (i > 0)
            plx_buf_byte(out, ',');
        err = write_name(e, &seen, out);
        if (err == 0)
            err = write_term(e, out, depth);
    }
    plx_buf_fini(&seen);
    return err ? err : plx_buf_byte(out, '}');
}

static int write_container(plx_etf *e, int tag, plx_buf *out, unsigned depth)
{
    if (depth >= PLX_ETF_DEPTH)
        return PLX_E_INVALID;
    if (tag == ETF_NIL)
        return plx_buf_str(out, "[]");
    if (tag == ETF_BYTE_LIST)
        return write_byte_list(e, out);
    if (tag == ETF_LIST)
        return write_list(e, out, depth + 1);
    if (tag == ETF_MAP)
        return write_map(e, out, depth + 1);
    return write_tuple(e, tag, out, depth + 1);
}

static int write_term(plx_etf *e, plx_buf *out, unsigned depth)
{
    const plx_etf whole = *e;
    int tag = plx_etf_take_tag(e);
    switch (tag) {
    case ETF_SMALL_INTEGER:
    case ETF_INTEGER:
    case ETF_SMALL_BIG:
    case ETF_LARGE_BIG:
        return write_integer(e, tag, out);
    case ETF_NEW_FLOAT:
    case ETF_FLOAT:
        *e = whole;
        return write_float(e, out);
    case ETF_ATOM:
    case ETF_SMALL_ATOM:
    case ETF_ATOM_UTF8:
    case ETF_SMALL_ATOM_UTF8:
        return write_atom(e, tag, false, out);
    case ETF_BINARY:
        return write_binary(e, out);
    case ETF_NIL:
    case ETF_BYTE_LIST:
    case ETF_LIST:
    case ETF_MAP:
    case ETF_SMALL_TUPLE:
    case ETF_LARGE_TUPLE:
        return write_container(e, tag, out, depth);
    }
    return PLX_E_INVALID;
}

int plx_etf_json(plx_etf *e, plx_buf *out)
{
    plx_etf ahead = *e;
    int err = write_term(&ahead, out, 0);
    /* Commas and brackets were appended unchecked. */
    if (err == 0 && !plx_buf_ok(out))
        err = PLX_E_TOOBIG;
    if (err == 0)
        *e = ahead;
    return err;
}
