/* Reading what the session scripts return. A wrong shape anywhere fails the whole reply. */
#include "base/alloc.h"
#include "base/error.h"
#include "store/session_internal.h"
#include "store/session_pack.h"

#include <stdlib.h>
#include <string.h>

void plx_session_memory_fini(plx_session_memory *m)
{
    free(m->slots);
    free(m->q);
    free(m->barriers);
    free(m->timers);
}

static bool read_number(const redisReply *r, uint32_t *out)
{
    uint64_t n;
    if (!plx_reply_u64(r, &n) || n > UINT32_MAX)
        return false;
    *out = (uint32_t)n;
    return true;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = ((const plx_slot *)a)->number, y = ((const plx_slot *)b)->number;
    return x < y ? -1 : x > y;
}

/* HGETALL of the slots: number, packed, number, packed, ... */
static int read_slots(const redisReply *reply, plx_session_memory *m, size_t *count)
{
    size_t n = plx_reply_count(reply) / 2;
    if (!plx_reply_is_array(reply))
        return PLX_E_STORE;
    m->slots = plx_alloc_zero(n > 0 ? n : 1, sizeof *m->slots);
    for (size_t i = 0; i < n; i++) {
        plx_slice packed = plx_reply_slice(plx_reply_at(reply, 2 * i + 1));
        if (plx_slot_unpack(packed, &m->slots[i]) != 0 ||
            !read_number(plx_reply_at(reply, 2 * i), &m->slots[i].number))
            return PLX_E_STORE;
    }
    qsort(m->slots, n, sizeof *m->slots, by_number);
    *count = n;
    return 0;
}

/* HGETALL of the states; one without a slot is ignored. */
static int read_states(const redisReply *reply, plx_slot *slots, size_t slot_count)
{
    for (size_t i = 0; i + 1 < plx_reply_count(reply); i += 2) {
        plx_slot key = {0};
        if (!read_number(plx_reply_at(reply, i), &key.number))
            return PLX_E_STORE;
        plx_slot *slot = bsearch(&key, slots, slot_count, sizeof *slots, by_number);
        if (slot)
            slot->state = plx_reply_slice(plx_reply_at(reply, i + 1));
    }
    return plx_reply_is_array(reply) ? 0 : PLX_E_STORE;
}

/* One entry of the queue as XRANGE gives it: id, {"m", packed, "c", bytes}. */
static int read_message(const redisReply *entry, plx_q_entry *out, plx_barrier *barriers)
{
    const redisReply *fields = plx_reply_at(entry, 1);
    uint64_t id;
    if (!plx_stream_id_parse(plx_reply_slice(plx_reply_at(entry, 0)), &id) ||
        !plx_reply_is(plx_reply_at(fields, 0), "m") ||
        plx_q_unpack(plx_reply_slice(plx_reply_at(fields, 1)), out, barriers) != 0)
        return PLX_E_STORE;
    out->id = id;
    return 0;
}

static int read_queue(const redisReply *reply, plx_session_memory *m, size_t *count)
{
    size_t n = plx_reply_count(reply), barriers = 0;
    if (!plx_reply_is_array(reply))
        return PLX_E_STORE;
    m->q = plx_alloc_zero(n > 0 ? n : 1, sizeof *m->q);
    /* The first pass counts the barriers, the second has a place for them. */
    for (size_t i = 0; i < n; i++) {
        if (read_message(plx_reply_at(reply, i), &m->q[i], NULL) != 0)
            return PLX_E_STORE;
        barriers += m->q[i].barrier_count;
    }
    m->barriers = plx_alloc_zero(barriers > 0 ? barriers : 1, sizeof *m->barriers);
    barriers = 0;
    for (size_t i = 0; i < n; i++) {
        read_message(plx_reply_at(reply, i), &m->q[i], m->barriers + barriers);
        barriers += m->q[i].barrier_count;
    }
    *count = n;
    return 0;
}

int plx_session_read_view(const redisReply *reply, plx_session_view *view, plx_session_memory *m)
{
    plx_session_view v = {0};
    v.old_worker = plx_reply_slice(plx_reply_at(reply, 1));
    if (!plx_reply_u64(plx_reply_at(reply, 2), &v.old_generation) ||
        read_slots(plx_reply_at(reply, 3), m, &v.slot_count) != 0 ||
        read_queue(plx_reply_at(reply, 4), m, &v.q_count) != 0)
        return plx_store_odd("view of a session");
    v.slots = m->slots;
    v.q = m->q;
    *view = v;
    return 0;
}

/* An entry of the inbox: id, {"k", kind, "s", status, "d", digest, "b", body, "t", time};
 * of a timer "n", "slot:name" in place of the time. */
static int read_entry(const redisReply *reply, plx_entry *out)
{
    const redisReply *fields = plx_reply_at(reply, 1);
    plx_slice kind = plx_reply_slice(plx_reply_at(fields, 1));
    uint64_t status;
    if (!plx_stream_id_parse(plx_reply_slice(plx_reply_at(reply, 0)), &out->id) || kind.len != 1 ||
        !memchr("plcxi", kind.data[0], 5) || !plx_reply_u64(plx_reply_at(fields, 3), &status) ||
        status > PLX_STATUS_MAX || !plx_reply_is(plx_reply_at(fields, 6), "b") ||
        !plx_reply_at(fields, 7))
        return PLX_E_STORE;
    out->kind = (enum plx_entry_kind)kind.data[0];
    out->status = (unsigned)status;
    out->body = plx_reply_slice(plx_reply_at(fields, 7));
    if (!plx_reply_u64(plx_reply_at(fields, 9), &out->came_ms))
        out->came_ms = 0;
    return 0;
}

/* "slot:name" each. */
static int read_timers(const redisReply *reply, plx_session_memory *m, size_t *count)
{
    size_t n = plx_reply_count(reply);
    if (!plx_reply_is_array(reply))
        return PLX_E_STORE;
    m->timers = plx_alloc_zero(n > 0 ? n : 1, sizeof *m->timers);
    for (size_t i = 0; i < n; i++) {
        plx_slice name = plx_reply_slice(plx_reply_at(reply, i)), slot;
        uint64_t number;
        if (!plx_slice_split(&name, ':', &slot) || !name.data ||
            !plx_decimal_parse(slot, &number) || number > UINT32_MAX)
            return PLX_E_STORE;
        m->timers[i] = (plx_slot_timer){.slot = (uint32_t)number, .name = name};
    }
    *count = n;
    return 0;
}

int plx_session_read_work(const redisReply *reply, plx_slice sid, plx_work *work,
                          plx_session_memory *m)
{
    plx_work w = {.sid = sid};
    uint64_t vsn;
    const redisReply *entry = plx_reply_at(reply, 9);
    w.mount = plx_reply_slice(plx_reply_at(reply, 1));
    w.params = plx_reply_slice(plx_reply_at(reply, 3));
    w.claims = plx_reply_slice(plx_reply_at(reply, 4));
    w.id = plx_reply_slice(plx_reply_at(reply, 5));
    w.note = plx_reply_slice(plx_reply_at(reply, 10));
    if (!plx_reply_u64(plx_reply_at(reply, 0), &w.fence) ||
        !plx_reply_u64(plx_reply_at(reply, 2), &vsn) || vsn < 1 || vsn > 2 ||
        !read_number(plx_reply_at(reply, 6), &w.next_slot) ||
        read_slots(plx_reply_at(reply, 7), m, &w.slot_count) != 0 ||
        read_states(plx_reply_at(reply, 8), m->slots, w.slot_count) != 0 ||
        read_timers(plx_reply_at(reply, 11), m, &w.timer_count) != 0 ||
        (plx_reply_is_array(entry) && read_entry(entry, &w.entry) != 0))
        return plx_store_odd("record of a session");
    w.vsn = (unsigned)vsn;
    w.again = plx_reply_is(plx_reply_at(reply, 12), "1");
    w.slots = m->slots;
    w.timers = m->timers;
    *work = w;
    return 0;
}
