/* See lp_token.h for the layout. */
#include "transport/lp_token.h"

#include "base/alloc.h"
#include "base/base64.h"
#include "base/crypto.h"
#include "base/error.h"

#include <stdlib.h>

#define VERSION   1
#define MAC_LEN   16
#define FIXED_LEN (2 + PLX_SID_LEN) /* version, vsn, session id */
#define MIN_LEN   (FIXED_LEN + 1 + MAC_LEN)

void plx_lp_cursor_fini(plx_lp_cursor *c)
{
    free(c->marks);
    c->marks = NULL;
    c->mark_count = 0;
}

const plx_lp_mark *plx_lp_cursor_mark(const plx_lp_cursor *c, uint32_t slot)
{
    size_t low = 0, high = c->mark_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->marks[middle].slot < slot)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < c->mark_count && c->marks[low].slot == slot;
    return found ? &c->marks[low] : NULL;
}

uint64_t plx_lp_cursor_offset(const plx_lp_cursor *c, uint32_t slot, uint64_t start)
{
    const plx_lp_mark *m = plx_lp_cursor_mark(c, slot);
    return m && m->offset > start ? m->offset : start;
}

/* FNV-1a. Epochs are random and long: of a session's few topics no two are alike. */
uint32_t plx_lp_life(const char *epoch)
{
    uint32_t h = 2166136261u;
    for (const char *c = epoch; *c; c++)
        h = (h ^ (unsigned char)*c) * 16777619u;
    return h;
}

uint64_t plx_lp_cursor_past(const plx_lp_cursor *c, uint32_t life)
{
    for (size_t i = 0; i < c->past_count; i++)
        if (c->past[i].life == life)
            return c->past[i].offset;
    return 0;
}

void plx_lp_cursor_keep(plx_lp_cursor *c, uint32_t life, uint64_t offset)
{
    size_t n = 0;
    for (size_t i = 0; i < c->past_count; i++)
        if (c->past[i].life != life)
            c->past[n++] = c->past[i];
    if (offset > 0 && n == PLX_LP_PAST_MAX)
        memmove(c->past, c->past + 1, --n * sizeof *c->past);
    if (offset > 0)
        c->past[n++] = (plx_lp_past){life, offset};
    c->past_count = n;
}

static void put_varint(plx_buf *b, uint64_t n)
{
    while (n >= 0x80) {
        plx_buf_byte(b, (unsigned char)(n | 0x80));
        n >>= 7;
    }
    plx_buf_byte(b, (unsigned char)n);
}

/* Takes a varint off *rest; PLX_E_INVALID when it is cut off or does not fit 64 bits. */
static int take_varint(plx_slice *rest, uint64_t *out)
{
    uint64_t n = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (rest->len == 0)
            return PLX_E_INVALID;
        unsigned char c = (unsigned char)*rest->data;
        rest->data++;
        rest->len--;
        if (shift == 63 && c > 1)
            return PLX_E_INVALID;
        n |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80)) {
            *out = n;
            return 0;
        }
    }
    return PLX_E_INVALID;
}

static void mac(plx_slice secret, plx_slice mount, plx_slice bytes, uint8_t out[MAC_LEN])
{
    uint8_t full[PLX_DIGEST_MAX];
    plx_buf text;
    plx_buf_init(&text, 0);
    plx_buf_str(&text, "pollux long-poll token");
    plx_buf_byte(&text, 0);
    plx_buf_add(&text, mount);
    plx_buf_byte(&text, 0);
    plx_buf_add(&text, bytes);
    plx_hmac(PLX_SHA256, secret, plx_buf_slice(&text), full);
    plx_buf_fini(&text);
    memcpy(out, full, MAC_LEN);
}

int plx_lp_token_make(plx_slice secret, plx_slice mount, const plx_lp_cursor *c, plx_buf *out)
{
    plx_buf raw;
    plx_buf_init(&raw, 0);
    plx_buf_byte(&raw, VERSION);
    plx_buf_byte(&raw, (unsigned char)c->vsn);
    plx_buf_append(&raw, c->sid, PLX_SID_LEN);
    put_varint(&raw, c->q);
    for (size_t i = 0; i < c->mark_count; i++) {
        const plx_lp_mark *m = &c->marks[i];
        put_varint(&raw, (uint64_t)m->slot << 2 | m->state);
        put_varint(&raw, m->offset);
        if (m->state != PLX_LP_STATE_NONE)
            put_varint(&raw, m->state_at > m->offset ? m->state_at - m->offset : 0);
    }
    for (size_t i = 0; i < c->past_count; i++) {
        put_varint(&raw, 0); /* no slot has this number */
        put_varint(&raw, c->past[i].offset);
        put_varint(&raw, c->past[i].life);
    }
    uint8_t tag[MAC_LEN];
    mac(secret, mount, plx_buf_slice(&raw), tag);
    plx_buf_append(&raw, tag, MAC_LEN);
    int err = plx_base64_encode(out, plx_buf_slice(&raw), PLX_B64_URL | PLX_B64_NOPAD);
    plx_buf_fini(&raw);
    return err;
}

static bool token_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

bool plx_lp_token_form(plx_slice text)
{
    if (text.len < (MIN_LEN * 4 + 2) / 3 || text.len > PLX_LP_TOKEN_MAX)
        return false;
    /* The version byte 1 is 'A' and one of the 16 characters from 'Q'. */
    if (text.data[0] != 'A' || text.data[1] < 'Q' || text.data[1] > 'f' ||
        (text.data[1] > 'Z' && text.data[1] < 'a'))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!token_char(text.data[i]))
            return false;
    return true;
}

static int read_mark(plx_slice *rest, plx_lp_mark *m)
{
    uint64_t slot;
    *m = (plx_lp_mark){.slot = 0};
    if (take_varint(rest, &slot) || take_varint(rest, &m->offset) || slot >> 2 > UINT32_MAX ||
        (slot & 3) > PLX_LP_STATE_SENT)
        return PLX_E_INVALID;
    m->slot = (uint32_t)(slot >> 2);
    m->state = (enum plx_lp_state)(slot & 3);
    if (m->state == PLX_LP_STATE_NONE)
        return 0;
    if (take_varint(rest, &m->state_at) || m->state_at > UINT64_MAX - m->offset)
        return PLX_E_INVALID;
    m->state_at += m->offset;
    return 0;
}

static int read_marks(plx_slice rest, plx_lp_cursor *c)
{
    uint64_t life;
    /* A mark takes two bytes at least. */
    c->marks = plx_alloc_zero(rest.len / 2 + 1, sizeof *c->marks);
    while (rest.len > 0) {
        plx_lp_mark *mark = &c->marks[c->mark_count];
        if (read_mark(&rest, mark))
            return PLX_E_INVALID;
        if (mark->slot != 0)
            c->mark_count++;
        else if (take_varint(&rest, &life) || life > UINT32_MAX)
            return PLX_E_INVALID;
        else
            plx_lp_cursor_keep(c, (uint32_t)life, mark->offset);
    }
    return 0;
}

/* The signed bytes, once their MAC was found right. */
static int read_signed(plx_slice raw, plx_lp_cursor *out)
{
    plx_lp_cursor c = {.q = 0};
    unsigned vsn = (unsigned char)raw.data[1];
    if (raw.data[0] != VERSION || (vsn != PLX_V1 && vsn != PLX_V2))
        return PLX_E_INVALID;
    c.vsn = (enum plx_vsn)vsn;
    memcpy(c.sid, raw.data + 2, PLX_SID_LEN);
    plx_slice rest = plx_slice_make(raw.data + FIXED_LEN, raw.len - FIXED_LEN);
    if (take_varint(&rest, &c.q) || read_marks(rest, &c)) {
        plx_lp_cursor_fini(&c);
        return PLX_E_INVALID;
    }
    *out = c;
    return 0;
}

static bool signed_by(plx_slice secret, plx_slice mount, plx_slice raw, plx_slice tag)
{
    uint8_t want[MAC_LEN];
    if (secret.len == 0)
        return false;
    mac(secret, mount, raw, want);
    return plx_equal_secret(plx_slice_make(want, MAC_LEN), tag);
}

int plx_lp_token_read(plx_slice text, plx_slice secret, plx_slice previous, plx_slice mount,
                      plx_lp_cursor *out)
{
    if (!plx_lp_token_form(text))
        return PLX_E_INVALID;
    plx_buf bytes;
    plx_buf_init(&bytes, PLX_LP_TOKEN_MAX);
    int err = PLX_E_DENIED;
    if (plx_base64_decode(&bytes, text, PLX_B64_URL | PLX_B64_NOPAD) == 0 && bytes.len >= MIN_LEN) {
        plx_slice raw = plx_slice_make(bytes.data, bytes.len - MAC_LEN);
        plx_slice tag = plx_slice_make(bytes.data + raw.len, MAC_LEN);
        if (signed_by(secret, mount, raw, tag) || signed_by(previous, mount, raw, tag))
            err = read_signed(raw, out);
    }
    plx_buf_fini(&bytes);
    return err;
}
