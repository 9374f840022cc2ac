/* zlib's two streams, shared by all connections of a worker, and the extension's offers. */
#include "transport/ws_deflate.h"
#include "base/alloc.h"
#include "base/error.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

/* Larger output buffers are given back after their message. */
#define KEPT_BYTES ((size_t)65536)
#define CHUNK      ((size_t)16384)

struct plx_ws_zip {
    z_stream in, out;
    bool in_ready, out_ready;
    plx_buf inflated, deflated;
};

/* ---- offers ---- */

/* A parameter: name, and value without its quotes (data NULL: none). */
typedef struct param {
    plx_slice name, value;
} param;

/* Takes the next part up to `sep`, trimmed. No value of this extension holds a separator, so a
 * quoted one needs no more care: it declines its offer. */
static bool next_part(plx_slice *rest, char sep, plx_slice *part)
{
    if (!plx_slice_split(rest, sep, part))
        return false;
    *part = plx_slice_trim(*part);
    return true;
}

static param read_param(plx_slice text)
{
    param p = {plx_slice_make(NULL, 0), plx_slice_make(NULL, 0)};
    plx_slice rest = text;
    if (!plx_slice_split(&rest, '=', &p.name))
        return p;
    p.name = plx_slice_trim(p.name);
    p.value = rest.data ? plx_slice_trim(rest) : rest;
    if (p.value.len >= 2 && p.value.data[0] == '"' && p.value.data[p.value.len - 1] == '"')
        p.value = plx_slice_make(p.value.data + 1, p.value.len - 2);
    return p;
}

/* 8..15 without leading zeros (RFC 7692 7.1.2), or 0. */
static unsigned read_bits(plx_slice v)
{
    if (v.len == 1 && (v.data[0] == '8' || v.data[0] == '9'))
        return (unsigned)(v.data[0] - '0');
    if (v.len == 2 && v.data[0] == '1' && v.data[1] >= '0' && v.data[1] <= '5')
        return 10 + (unsigned)(v.data[1] - '0');
    return 0;
}

enum { SERVER_NO_CONTEXT = 1, CLIENT_NO_CONTEXT = 2, SERVER_BITS = 4, CLIENT_BITS = 8 };

/* Judges one parameter; returns which it is, or 0 when the offer has to be declined. */
static unsigned judge(const param *p, unsigned *server_bits)
{
    bool has_value = p->value.data != NULL;
    if (plx_slice_ieq(p->name, plx_slice_of("server_no_context_takeover")))
        return has_value ? 0 : SERVER_NO_CONTEXT;
    if (plx_slice_ieq(p->name, plx_slice_of("client_no_context_takeover")))
        return has_value ? 0 : CLIENT_NO_CONTEXT;
    if (plx_slice_ieq(p->name, plx_slice_of("server_max_window_bits"))) {
        *server_bits = read_bits(p->value);
        return *server_bits ? SERVER_BITS : 0;
    }
    if (plx_slice_ieq(p->name, plx_slice_of("client_max_window_bits")))
        return !has_value || read_bits(p->value) ? CLIENT_BITS : 0;
    return 0;
}

/* Whether this offer can be accepted, and the window that it leaves us. */
static bool acceptable(plx_slice offer, unsigned *seen, unsigned *server_bits)
{
    plx_slice part;
    *seen = 0;
    *server_bits = 15;
    if (!next_part(&offer, ';', &part) || !plx_slice_ieq(part, plx_slice_of("permessage-deflate")))
        return false;
    while (next_part(&offer, ';', &part)) {
        const param p = read_param(part);
        unsigned which = judge(&p, server_bits);
        if (which == 0 || (*seen & which))
            return false;
        *seen |= which;
    }
    return true;
}

void plx_ws_deflate_negotiate(plx_slice offers, plx_ws_deflate *out, plx_buf *answer)
{
    plx_slice offer;
    unsigned seen, bits;
    *out = (plx_ws_deflate){.on = false};
    while (next_part(&offers, ',', &offer)) {
        if (!acceptable(offer, &seen, &bits))
            continue;
        *out = (plx_ws_deflate){.on = true, .window_bits = (uint8_t)bits};
        plx_buf_str(answer, "permessage-deflate; server_no_context_takeover; "
                            "client_no_context_takeover");
        if (seen & SERVER_BITS)
            plx_buf_printf(answer, "; server_max_window_bits=%u", bits);
        return;
    }
}

/* ---- streams ---- */

plx_ws_zip *plx_ws_zip_new(void)
{
    plx_ws_zip *z = plx_alloc_zero(1, sizeof *z);
    plx_buf_init(&z->inflated, 0);
    plx_buf_init(&z->deflated, 0);
    return z;
}

void plx_ws_zip_free(plx_ws_zip *z)
{
    if (!z)
        return;
    if (z->in_ready)
        inflateEnd(&z->in);
    if (z->out_ready)
        deflateEnd(&z->out);
    plx_buf_fini(&z->inflated);
    plx_buf_fini(&z->deflated);
    free(z);
}

/* Empties a buffer for the next message; a large one is given back first. */
static void reuse(plx_buf *b)
{
    if (b->cap > KEPT_BYTES)
        plx_buf_fini(b);
    plx_buf_clear(b);
}

/* zlib fails here only for want of memory, without which nothing else goes on either. */
static void begin_inflate(plx_ws_zip *z)
{
    int rc = z->in_ready ? inflateReset(&z->in) : inflateInit2(&z->in, -15);
    if (rc != Z_OK)
        abort();
    z->in_ready = true;
    reuse(&z->inflated);
}

/* Feeds one piece of input and takes all output that it gives, max + 1 bytes at most: one more than
 * allowed tells "exactly max" from "too much". 0 or a PLX_E*. */
static int inflate_piece(plx_ws_zip *z, plx_slice piece, size_t max)
{
    assert(piece.len <= UINT_MAX);
    z->in.next_in = (z_const Bytef *)piece.data;
    z->in.avail_in = (uInt)piece.len;
    do {
        size_t left = max + 1 - z->inflated.len, room = left < CHUNK ? left : CHUNK;
        if (room == 0)
            return PLX_E_TOOBIG;
        z->in.next_out = (Bytef *)plx_buf_reserve(&z->inflated, room);
        z->in.avail_out = (uInt)room;
        int rc = inflate(&z->in, Z_SYNC_FLUSH);
        plx_buf_commit(&z->inflated, room - z->in.avail_out);
        /* A final block may be followed by others (RFC 7692 7.2.3.4). */
        if (rc == Z_STREAM_END && inflateReset(&z->in) != Z_OK)
            abort();
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return PLX_E_INVALID;
    } while (z->in.avail_in > 0 || z->in.avail_out == 0);
    return z->inflated.len <= max ? 0 : PLX_E_TOOBIG;
}

int plx_ws_inflate(plx_ws_zip *z, plx_slice message, size_t max, plx_slice *out)
{
    static const char tail[4] = {0, 0, (char)0xFF, (char)0xFF}; /* RFC 7692 7.2.2 */
    begin_inflate(z);
    int rc = inflate_piece(z, message, max);
    if (rc == 0)
        rc = inflate_piece(z, plx_slice_make(tail, sizeof tail), max);
    /* After the tail a whole stream stands between two blocks (zlib.h: data_type). */
    if (rc == 0 && !(z->in.data_type & 128))
        rc = PLX_E_INVALID;
    if (rc == 0)
        *out = plx_buf_slice(&z->inflated);
    return rc;
}

static void begin_deflate(plx_ws_zip *z)
{
    int rc = z->out_ready ? deflateReset(&z->out)
                          : deflateInit2(&z->out, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8,
                                         Z_DEFAULT_STRATEGY);
    if (rc != Z_OK)
        abort();
    z->out_ready = true;
    reuse(&z->deflated);
}

int plx_ws_deflate_message(plx_ws_zip *z, plx_slice message, plx_slice *out)
{
    if (message.len < 8 || message.len > UINT_MAX)
        return PLX_E_TOOBIG;
    begin_deflate(z);
    /* No more room than makes it worth sending; the last four bytes are cut off again. */
    size_t room = message.len - 1 + 4;
    z->out.next_in = (z_const Bytef *)message.data;
    z->out.avail_in = (uInt)message.len;
    z->out.next_out = (Bytef *)plx_buf_reserve(&z->deflated, room);
    z->out.avail_out = (uInt)(room < UINT_MAX ? room : UINT_MAX);
    if (deflate(&z->out, Z_SYNC_FLUSH) != Z_OK || z->out.avail_out == 0)
        return PLX_E_TOOBIG;
    plx_buf_commit(&z->deflated, room - z->out.avail_out);
    assert(z->deflated.len >= 4);
    *out = plx_slice_make(z->deflated.data, z->deflated.len - 4);
    return 0;
}
