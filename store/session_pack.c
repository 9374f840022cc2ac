/* Packing. Every number that is read is checked against what is left. */
#include "store/session_pack.h"
#include "base/error.h"

#define VERSION 3

static void put_number(plx_buf *out, uint64_t n)
{
    while (n >= 0x80) {
        plx_buf_byte(out, (unsigned char)(n | 0x80));
        n >>= 7;
    }
    plx_buf_byte(out, (unsigned char)n);
}

static void put_slice(plx_buf *out, plx_slice s)
{
    put_number(out, s.len);
    plx_buf_add(out, s);
}

static bool take_number(plx_slice *in, uint64_t *n)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && in->len > 0; shift += 7) {
        unsigned char byte = (unsigned char)in->data[0];
        *in = plx_slice_make(in->data + 1, in->len - 1);
        if (shift == 63 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *n = value;
            return true;
        }
    }
    return false;
}

static bool take_u32(plx_slice *in, uint32_t *n)
{
    uint64_t value;
    if (!take_number(in, &value) || value > UINT32_MAX)
        return false;
    *n = (uint32_t)value;
    return true;
}

static bool take_slice(plx_slice *in, plx_slice *out)
{
    uint64_t len;
    if (!take_number(in, &len) || len > in->len)
        return false;
    *out = plx_slice_make(in->data, (size_t)len);
    *in = plx_slice_make(in->data + len, in->len - (size_t)len);
    return true;
}

static bool take_version(plx_slice *in)
{
    uint64_t version;
    return take_number(in, &version) && version == VERSION;
}

/* A position; the epoch may be empty here (entries that belong to no slot). */
static void put_position(plx_buf *out, const plx_position *p)
{
    put_slice(out, plx_slice_of(p->epoch));
    put_number(out, p->offset);
}

static bool take_position(plx_slice *in, plx_position *p)
{
    plx_slice epoch;
    p->epoch[0] = '\0';
    if (!take_slice(in, &epoch) || !take_number(in, &p->offset))
        return false;
    return epoch.len == 0 || plx_epoch_set(p, epoch) == 0;
}

static void put_reach(plx_buf *out, const plx_slot *slot)
{
    put_number(out, slot->diffs_after);
    put_number(out, slot->goes_back);
}

static bool take_reach(plx_slice *in, plx_slot *slot)
{
    uint64_t goes_back;
    if (!take_number(in, &slot->diffs_after) || !take_number(in, &goes_back))
        return false;
    slot->goes_back = goes_back != 0;
    return true;
}

void plx_slot_pack(plx_buf *out, const plx_slot *slot)
{
    put_number(out, VERSION);
    put_position(out, &slot->start);
    put_slice(out, slot->presence);
    put_reach(out, slot);
    put_slice(out, slot->topic);
}

int plx_slot_unpack(plx_slice bytes, plx_slot *out)
{
    plx_slot slot = {0};
    if (!take_version(&bytes) || !take_position(&bytes, &slot.start) ||
        !take_slice(&bytes, &slot.presence) || !take_reach(&bytes, &slot) ||
        !take_slice(&bytes, &slot.topic) || bytes.len > 0)
        return PLX_E_INVALID;
    *out = slot;
    return 0;
}

void plx_q_pack(plx_buf *out, const plx_q_entry *q)
{
    put_number(out, VERSION);
    plx_buf_byte(out, (unsigned char)q->kind);
    if (q->kind != PLX_Q_PLAIN) {
        put_number(out, q->slot.number);
        put_position(out, &q->slot.start);
        put_reach(out, &q->slot);
        put_slice(out, q->slot.topic);
    }
    if (q->kind == PLX_Q_END) {
        put_number(out, q->end);
        put_slice(out, q->slot.state);
    }
    put_number(out, q->barrier_count);
    for (size_t i = 0; i < q->barrier_count; i++) {
        put_number(out, q->barriers[i].slot);
        put_number(out, q->barriers[i].offset);
    }
    put_slice(out, q->text);
}

static bool take_kind(plx_slice *in, enum plx_q_kind *kind)
{
    if (in->len == 0 ||
        (in->data[0] != PLX_Q_PLAIN && in->data[0] != PLX_Q_OPEN && in->data[0] != PLX_Q_END))
        return false;
    *kind = (enum plx_q_kind)in->data[0];
    *in = plx_slice_make(in->data + 1, in->len - 1);
    return true;
}

static bool take_slot(plx_slice *in, plx_q_entry *q)
{
    if (q->kind != PLX_Q_PLAIN &&
        (!take_u32(in, &q->slot.number) || !take_position(in, &q->slot.start) ||
         !take_reach(in, &q->slot) || !take_slice(in, &q->slot.topic)))
        return false;
    return q->kind != PLX_Q_END || (take_number(in, &q->end) && take_slice(in, &q->slot.state));
}

static bool take_barriers(plx_slice *in, plx_q_entry *q, plx_barrier *barriers)
{
    uint64_t count;
    if (!take_number(in, &count) || count > in->len / 2)
        return false;
    q->barrier_count = (size_t)count;
    q->barriers = barriers;
    for (size_t i = 0; i < q->barrier_count; i++) {
        plx_barrier b;
        if (!take_u32(in, &b.slot) || !take_number(in, &b.offset))
            return false;
        if (barriers)
            barriers[i] = b;
    }
    return true;
}

int plx_q_unpack(plx_slice bytes, plx_q_entry *out, plx_barrier *barriers)
{
    plx_q_entry q = {0};
    if (!take_version(&bytes) || !take_kind(&bytes, &q.kind) || !take_slot(&bytes, &q) ||
        !take_barriers(&bytes, &q, barriers) || !take_slice(&bytes, &q.text) || bytes.len > 0)
        return PLX_E_INVALID;
    *out = q;
    return 0;
}
