/* Writing Erlang's external term format, from JSON.
 *
 * A container's element count stands before its elements, so it is left open and
 * filled in afterwards. JSON texts were validated before they come here.
 */
#include "base/error.h"
#include "base/json_scan.h"
#include "channel/etf.h"
#include "channel/etf_take.h"
#include <math.h>
#include <stdlib.h>

static int put_json(plx_buf *out, plx_json_value v, unsigned depth);

static int put_number(plx_buf *out, uint32_t n, size_t width)
{
    uint8_t bytes[4];
    for (size_t i = 0; i < width; i++)
        bytes[i] = (uint8_t)(n >> (8 * (width - 1 - i)));
    return plx_buf_append(out, bytes, width);
}

int plx_etf_put_version(plx_buf *out)
{
    return plx_buf_byte(out, ETF_VERSION);
}

int plx_etf_put_tuple(plx_buf *out, uint8_t arity)
{
    plx_buf_byte(out, ETF_SMALL_TUPLE);
    return plx_buf_byte(out, arity);
}

static int put_big(plx_buf *out, bool negative, const uint8_t *low_first, size_t len)
{
    plx_buf_byte(out, ETF_SMALL_BIG);
    plx_buf_byte(out, (unsigned char)len);
    plx_buf_byte(out, negative);
    return plx_buf_append(out, low_first, len);
}

int plx_etf_put_int(plx_buf *out, int64_t n)
{
    uint8_t bytes[8];
    size_t len = 0;
    if (n >= 0 && n <= 255) {
        plx_buf_byte(out, ETF_SMALL_INTEGER);
        return plx_buf_byte(out, (unsigned char)n);
    }
    if (n >= INT32_MIN && n <= INT32_MAX) {
        plx_buf_byte(out, ETF_INTEGER);
        return put_number(out, (uint32_t)(int32_t)n, 4);
    }
    for (uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n; rest > 0; rest >>= 8)
        bytes[len++] = (uint8_t)rest;
    return put_big(out, n < 0, bytes, len);
}

int plx_etf_put_atom(plx_buf *out, const char *name)
{
    plx_buf_byte(out, ETF_SMALL_ATOM_UTF8);
    plx_buf_byte(out, (unsigned char)strlen(name));
    return plx_buf_str(out, name);
}

static int put_float(plx_buf *out, double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    plx_buf_byte(out, ETF_NEW_FLOAT);
    put_number(out, (uint32_t)(bits >> 32), 4);
    return put_number(out, (uint32_t)bits, 4);
}

/* Decimal digits to bytes, from the lowest to the highest, by multiplying by ten again and again.
 */
static int put_decimal(plx_buf *out, plx_slice digits, bool negative)
{
    uint8_t n[PLX_ETF_BIG];
    size_t len = 0;
    for (size_t i = 0; i < digits.len; i++) {
        unsigned carry = (unsigned)(digits.data[i] - '0');
        for (size_t k = 0; k < len; k++) {
            carry += n[k] * 10u;
            n[k] = (uint8_t)carry;
            carry >>= 8;
        }
        if (carry > 0 && len == sizeof n)
            return PLX_E_INVALID;
        if (carry > 0)
            n[len++] = (uint8_t)carry;
    }
    return put_big(out, negative, n, len);
}

static int put_json_number(plx_buf *out, plx_slice text)
{
    int64_t n;
    if (memchr(text.data, '.', text.len) || memchr(text.data, 'e', text.len) ||
        memchr(text.data, 'E', text.len)) {
        char *copy = plx_slice_dup(text);
        double d = strtod(copy, NULL);
        free(copy);
        return isfinite(d) ? put_float(out, d) : PLX_E_INVALID;
    }
    if (plx_json_int(text, &n) == 0)
        return plx_etf_put_int(out, n);
    bool negative = text.data[0] == '-';
    return put_decimal(out, plx_slice_make(text.data + negative, text.len - negative), negative);
}

/* Fills in the number of four bytes at `at`. */
static void fill_in(plx_buf *out, size_t at, uint32_t n)
{
    for (size_t i = 0; i < 4; i++)
        out->data[at + i] = (char)(n >> (8 * (3 - i)));
}

/* Tag and room for a number of four bytes; *at is where it goes. */
static int begin_counted(plx_buf *out, int tag, size_t *at)
{
    plx_buf_byte(out, (unsigned char)tag);
    *at = out->len;
    return plx_buf_append(out, "\0\0\0\0", 4);
}

static int put_json_string(plx_buf *out, plx_slice string)
{
    size_t at;
    int err = begin_counted(out, ETF_BINARY, &at);
    if (err == 0)
        err = plx_json_unquote(string, out);
    if (err == 0)
        fill_in(out, at, (uint32_t)(out->len - at - 4));
    return err;
}

static int put_json_container(plx_buf *out, plx_json_value v, unsigned depth)
{
    bool map = v.type == PLX_JSON_OBJECT;
    size_t at, pos = 0;
    uint32_t count = 0;
    plx_slice key;
    plx_json_value item;
    if (depth >= PLX_ETF_DEPTH)
        return PLX_E_INVALID;
    int err = begin_counted(out, map ? ETF_MAP : ETF_LIST, &at);
    for (; err == 0 && plx_json_next(v.text, &pos, &key, &item); count++) {
        if (map)
            err = put_json_string(out, key);
        if (err == 0)
            err = put_json(out, item, depth + 1);
    }
    if (err)
        return err;
    fill_in(out, at, count);
    if (map)
        return 0;
    if (count > 0)
        return plx_buf_byte(out, ETF_NIL);
    /* The empty list has no head. */
    out->len = at - 1;
    return plx_buf_byte(out, ETF_NIL);
}

static int put_json(plx_buf *out, plx_json_value v, unsigned depth)
{
    switch (v.type) {
    case PLX_JSON_NONE:
        return PLX_E_INVALID;
    case PLX_JSON_NULL:
        return plx_etf_put_atom(out, "nil");
    case PLX_JSON_FALSE:
        return plx_etf_put_atom(out, "false");
    case PLX_JSON_TRUE:
        return plx_etf_put_atom(out, "true");
    case PLX_JSON_NUMBER:
        return put_json_number(out, v.text);
    case PLX_JSON_STRING:
        return put_json_string(out, v.text);
    case PLX_JSON_ARRAY:
    case PLX_JSON_OBJECT:
        return put_json_container(out, v, depth);
    }
    return PLX_E_INVALID;
}

int plx_etf_put_json(plx_buf *out, plx_slice json)
{
    plx_json_value v;
    if (plx_json_check(json, &v) != 0)
        return PLX_E_INVALID;
    int err = put_json(out, v, 0);
    return err == 0 && !plx_buf_ok(out) ? PLX_E_TOOBIG : err;
}
