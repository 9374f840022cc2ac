/* The frame parser: header, payload, message.
 *
 * Faults are found as early as the bytes allow: a header's first byte tells bad
 * opcodes and bits, a length that is too big is refused before anything of it is
 * kept, text that can't become UTF-8 any more before its message is complete.
 */
#include "transport/ws_frame.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/utf8.h"

#include <stdlib.h>

enum { CONTROL_MAX = 125, HEAD_MAX = 14 };

typedef struct frame {
    uint8_t opcode;
    bool fin, rsv1;
    uint8_t key[4];
    unsigned head_len;
    uint64_t len;
} frame;

struct plx_ws_partial {
    uint8_t head[HEAD_MAX];
    unsigned head_len;
    bool in_payload; /* `frame` is valid */
    bool delivered;  /* what is held was handed out: to be freed by the next call */
    frame frame;
    uint64_t got;   /* payload bytes of the frame taken so far */
    uint8_t opcode; /* of the message that is open; 0: none is */
    bool compressed;
    plx_utf8 utf8;
    plx_buf message;
    char control[CONTROL_MAX];
};

static struct plx_ws_partial *partial_of(plx_ws_reader *r, const plx_ws_rules *rules)
{
    if (!r->partial) {
        r->partial = plx_alloc_zero(1, sizeof *r->partial);
        plx_buf_init(&r->partial->message, rules->max_bytes);
    }
    return r->partial;
}

void plx_ws_reader_fini(plx_ws_reader *r)
{
    if (!r->partial)
        return;
    plx_buf_fini(&r->partial->message);
    free(r->partial);
    r->partial = NULL;
}

static enum plx_ws_event fault(plx_ws_message *out, unsigned code)
{
    *out = (plx_ws_message){.code = code};
    return PLX_WS_FAULT;
}

static bool is_control(uint8_t opcode)
{
    return opcode >= PLX_WS_OP_CLOSE;
}

/* ---- headers ---- */

enum head_state { HEAD_MORE, HEAD_OK, HEAD_BAD };

/* RFC 6455 5.2 and 5.5, as far as n bytes tell. */
static enum head_state read_head(const uint8_t *p, size_t n, frame *f)
{
    if (n < 1)
        return HEAD_MORE;
    *f = (frame){.opcode = p[0] & 15, .fin = p[0] & 0x80, .rsv1 = p[0] & 0x40};
    if ((p[0] & 0x30) || (f->opcode > 2 && f->opcode < 8) || f->opcode > 10)
        return HEAD_BAD;
    if (is_control(f->opcode) && (!f->fin || f->rsv1))
        return HEAD_BAD;
    if (n < 2)
        return HEAD_MORE;
    unsigned short_len = p[1] & 0x7F, more = short_len < 126 ? 0 : short_len == 126 ? 2 : 8;
    if (!(p[1] & 0x80) || (is_control(f->opcode) && more > 0))
        return HEAD_BAD;
    f->head_len = 2 + more + 4;
    if (n < 2 + more)
        return HEAD_MORE;
    f->len = more == 0 ? short_len : 0;
    for (unsigned i = 0; i < more; i++)
        f->len = f->len << 8 | p[2 + i];
    /* The minimal form is a must, and the highest bit is none of the length. */
    if ((more == 2 && f->len < 126) || (more == 8 && (f->len <= 0xFFFF || f->len >> 63)))
        return HEAD_BAD;
    if (n < f->head_len)
        return HEAD_MORE;
    memcpy(f->key, p + 2 + more, 4);
    return HEAD_OK;
}

/* What depends on the message that is open. 0, or the code to fail with. */
static unsigned check_place(const plx_ws_reader *r, const plx_ws_rules *rules, const frame *f)
{
    if (is_control(f->opcode))
        return 0;
    uint8_t open = r->partial ? r->partial->opcode : 0;
    size_t so_far = open ? r->partial->message.len : 0;
    if ((f->opcode == PLX_WS_OP_CONTINUATION) != (open != 0))
        return PLX_WS_PROTOCOL_ERROR;
    if (f->rsv1 && (open || !rules->deflate))
        return PLX_WS_PROTOCOL_ERROR;
    /* The key may not have come yet; the length has, or it is 0. */
    if (f->len + f->head_len > rules->max_bytes || f->len > rules->max_bytes - so_far)
        return PLX_WS_TOO_BIG;
    return 0;
}

/* Takes a header's bytes. HEAD_OK: *f is the frame and *bytes stands at its payload. */
static enum head_state take_head(plx_ws_reader *r, const plx_ws_rules *rules, char **bytes,
                                 size_t *len, frame *f, unsigned *code)
{
    struct plx_ws_partial *p = r->partial;
    unsigned had = p ? p->head_len : 0;
    uint8_t joined[HEAD_MAX];
    const uint8_t *head = (const uint8_t *)*bytes;
    size_t n = *len;
    if (had > 0) {
        n = n < HEAD_MAX - had ? n : HEAD_MAX - had;
        memcpy(joined, p->head, had);
        memcpy(joined + had, *bytes, n);
        head = joined;
        n += had;
    }
    enum head_state state = read_head(head, n, f);
    *code = state == HEAD_BAD ? PLX_WS_PROTOCOL_ERROR : n > 0 ? check_place(r, rules, f) : 0;
    if (*code != 0)
        return HEAD_BAD;
    size_t used = state == HEAD_OK ? f->head_len - had : *len;
    if (state == HEAD_MORE && used > 0) {
        p = partial_of(r, rules);
        memcpy(p->head + had, *bytes, used);
        p->head_len = had + (unsigned)used;
    } else if (state == HEAD_OK && p) {
        p->head_len = 0;
    }
    *bytes += used;
    *len -= used;
    return state;
}

/* ---- payloads ---- */

void plx_ws_unmask(char *bytes, size_t len, const uint8_t key[4], uint64_t at)
{
    uint8_t turned[8];
    uint64_t wide, chunk;
    for (unsigned i = 0; i < 8; i++)
        turned[i] = key[(at + i) % 4];
    memcpy(&wide, turned, 8);
    size_t i = 0;
    for (; len - i >= 8; i += 8) {
        memcpy(&chunk, bytes + i, 8);
        chunk ^= wide;
        memcpy(bytes + i, &chunk, 8);
    }
    for (; i < len; i++)
        bytes[i] = (char)(bytes[i] ^ turned[i % 8]);
}

/* Codes that may stand in a close frame: RFC 6455 7.4 and what was registered later. */
static bool is_close_code(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static enum plx_ws_event finish_close(plx_slice payload, plx_ws_message *out)
{
    *out = (plx_ws_message){.code = PLX_WS_NO_CODE};
    if (payload.len == 0)
        return PLX_WS_CLOSE;
    const uint8_t *p = (const uint8_t *)payload.data;
    unsigned code = payload.len < 2 ? 0 : (unsigned)p[0] << 8 | p[1];
    if (!is_close_code(code))
        return fault(out, PLX_WS_PROTOCOL_ERROR);
    out->code = code;
    out->payload = plx_slice_make(payload.data + 2, payload.len - 2);
    return plx_utf8_valid(out->payload) ? PLX_WS_CLOSE : fault(out, PLX_WS_BAD_TEXT);
}

static enum plx_ws_event finish_control(uint8_t opcode, plx_slice payload, plx_ws_message *out)
{
    if (opcode == PLX_WS_OP_CLOSE)
        return finish_close(payload, out);
    *out = (plx_ws_message){.payload = payload};
    return opcode == PLX_WS_OP_PING ? PLX_WS_PING : PLX_WS_PONG;
}

static enum plx_ws_event finish_data(uint8_t opcode, bool compressed, plx_slice payload,
                                     plx_ws_message *out)
{
    *out = (plx_ws_message){.payload = payload, .compressed = compressed};
    return opcode == PLX_WS_OP_TEXT ? PLX_WS_TEXT : PLX_WS_BINARY;
}

/* A frame that lies complete in the bytes and is a message by itself. */
static enum plx_ws_event take_whole(const frame *f, char **bytes, size_t *len, plx_ws_message *out)
{
    plx_slice payload = plx_slice_make(*bytes, (size_t)f->len);
    plx_ws_unmask(*bytes, payload.len, f->key, 0);
    *bytes += payload.len;
    *len -= payload.len;
    if (is_control(f->opcode))
        return finish_control(f->opcode, payload, out);
    if (f->opcode == PLX_WS_OP_TEXT && !f->rsv1 && !plx_utf8_valid(payload))
        return fault(out, PLX_WS_BAD_TEXT);
    return finish_data(f->opcode, f->rsv1, payload, out);
}

/* Remembers a frame whose payload is still to come, or that is one of several. */
static void begin_frame(plx_ws_reader *r, const plx_ws_rules *rules, const frame *f)
{
    struct plx_ws_partial *p = partial_of(r, rules);
    p->frame = *f;
    p->got = 0;
    p->in_payload = true;
    if (f->opcode == PLX_WS_OP_TEXT || f->opcode == PLX_WS_OP_BINARY) {
        p->opcode = f->opcode;
        p->compressed = f->rsv1;
        p->utf8 = (plx_utf8){0};
    }
}

/* Keeps a piece of the payload. False when a text can't be UTF-8 any more. */
static bool keep(struct plx_ws_partial *p, plx_slice piece)
{
    if (is_control(p->frame.opcode)) {
        if (piece.len > 0)
            memcpy(p->control + p->got, piece.data, piece.len);
        return true;
    }
    plx_buf_add(&p->message, piece);
    return p->opcode != PLX_WS_OP_TEXT || p->compressed || plx_utf8_feed(&p->utf8, piece);
}

static enum plx_ws_event finish_frame(struct plx_ws_partial *p, plx_ws_message *out)
{
    p->in_payload = false;
    if (is_control(p->frame.opcode)) {
        p->delivered = p->opcode == 0;
        return finish_control(p->frame.opcode, plx_slice_make(p->control, (size_t)p->got), out);
    }
    if (!p->frame.fin)
        return PLX_WS_MORE;
    p->delivered = true;
    if (p->opcode == PLX_WS_OP_TEXT && !p->compressed && !plx_utf8_complete(&p->utf8))
        return fault(out, PLX_WS_BAD_TEXT);
    return finish_data(p->opcode, p->compressed, plx_buf_slice(&p->message), out);
}

/* Takes what there is of the payload of the frame begun. */
static enum plx_ws_event take_piece(struct plx_ws_partial *p, char **bytes, size_t *len,
                                    plx_ws_message *out)
{
    uint64_t left = p->frame.len - p->got;
    size_t n = *len < left ? *len : (size_t)left;
    plx_ws_unmask(*bytes, n, p->frame.key, p->got);
    if (!keep(p, plx_slice_make(*bytes, n)))
        return fault(out, PLX_WS_BAD_TEXT);
    p->got += n;
    *bytes += n;
    *len -= n;
    return p->got == p->frame.len ? finish_frame(p, out) : PLX_WS_MORE;
}

enum plx_ws_event plx_ws_read(plx_ws_reader *r, const plx_ws_rules *rules, char **bytes,
                              size_t *len, plx_ws_message *out)
{
    if (r->partial && r->partial->delivered)
        plx_ws_reader_fini(r);
    for (;;) {
        frame f;
        unsigned code;
        if (!r->partial || !r->partial->in_payload) {
            switch (take_head(r, rules, bytes, len, &f, &code)) {
            case HEAD_MORE:
                return PLX_WS_MORE;
            case HEAD_BAD:
                return fault(out, code);
            case HEAD_OK:
                break;
            }
            bool open = r->partial && r->partial->opcode;
            if (*len >= f.len && (is_control(f.opcode) || (f.fin && !open))) {
                if (r->partial && !open)
                    r->partial->delivered = true; /* it held a piece of the header */
                return take_whole(&f, bytes, len, out);
            }
            begin_frame(r, rules, &f);
        }
        enum plx_ws_event event = take_piece(r->partial, bytes, len, out);
        if (event != PLX_WS_MORE || *len == 0)
            return event;
    }
}

size_t plx_ws_header(char out[PLX_WS_HEADER_MAX], enum plx_ws_opcode opcode, bool compressed,
                     size_t payload_len)
{
    uint64_t n = payload_len;
    unsigned more = n < 126 ? 0 : n <= 0xFFFF ? 2 : 8;
    out[0] = (char)(0x80 | (compressed ? 0x40 : 0) | opcode);
    out[1] = (char)(more == 0 ? n : more == 2 ? 126 : 127);
    for (unsigned i = 0; i < more; i++)
        out[2 + i] = (char)(n >> 8 * (more - 1 - i));
    return 2 + more;
}
