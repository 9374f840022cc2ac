/* Open addressing with linear probing; a removed entry leaves a tombstone.
 *
 * Tombstones, not backward shifting: nothing moves when an entry goes, so a walk
 * may remove what it was just given. Only an insertion rebuilds the table, larger
 * or smaller, whichever the number of entries asks for; the last removal frees it.
 * A tombstone at the end of a run is turned back into an empty slot at once, so
 * they hardly pile up.
 *
 * Hashing is SipHash-1-3 under a random key drawn once per process: clients choose
 * topics and ids, and must not be able to choose collisions.
 */
#include "base/map.h"
#include "base/alloc.h"
#include "base/crypto.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#define SMALLEST 8

/* Small, because half of a table is empty. */
typedef struct slot {
    const char *key; /* value NULL: NULL here is an empty slot, `tombstone` a removed entry */
    void *value;
    uint32_t key_len, hash;
} slot;

struct plx_map {
    slot *slots;
    size_t cap;   /* a power of two, or 0 */
    size_t count; /* entries */
    size_t used;  /* entries and tombstones */
};

static const char tombstone[1];
static uint64_t hash_key[2];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void draw_hash_key(void)
{
    plx_random(hash_key, sizeof hash_key);
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein), but for the byte order of words: the values never leave the
 * process. */
static uint32_t hash_of(plx_slice key)
{
    uint64_t v[4] = {hash_key[0] ^ 0x736f6d6570736575u, hash_key[1] ^ 0x646f72616e646f6du,
                     hash_key[0] ^ 0x6c7967656e657261u, hash_key[1] ^ 0x7465646279746573u};
    const char *p = key.data;
    uint64_t word, last = (uint64_t)key.len << 56;
    for (size_t left = key.len; left >= 8; left -= 8, p += 8) {
        memcpy(&word, p, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < key.len % 8; i++)
        last |= (uint64_t)(unsigned char)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

plx_map *plx_map_new(void)
{
    pthread_once(&hash_key_once, draw_hash_key);
    return plx_alloc_zero(1, sizeof(plx_map));
}

void plx_map_free(plx_map *m)
{
    if (!m)
        return;
    free(m->slots);
    free(m);
}

size_t plx_map_count(const plx_map *m)
{
    return m->count;
}

/* The entry with this key, or NULL. There is always an empty slot to stop at. */
static slot *find(const plx_map *m, plx_slice key, uint32_t hash)
{
    if (m->count == 0)
        return NULL;
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        slot *s = &m->slots[i];
        if (s->value) {
            if (s->hash == hash && plx_slice_eq(plx_slice_make(s->key, s->key_len), key))
                return s;
        } else if (!s->key) {
            return NULL;
        }
    }
}

/* The first slot of the key's run that is free, empty or tombstone. */
static slot *find_free(const plx_map *m, uint32_t hash)
{
    size_t i = hash & (m->cap - 1);
    while (m->slots[i].value)
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

/* Moves all entries into a table that one more fills to a half at most. */
static void rebuild(plx_map *m)
{
    plx_map to = {.cap = SMALLEST, .count = m->count, .used = m->count};
    while (to.cap < (m->count + 1) * 2)
        to.cap *= 2;
    to.slots = plx_alloc_zero(to.cap, sizeof *to.slots);
    for (size_t i = 0; i < m->cap; i++) {
        if (m->slots[i].value)
            *find_free(&to, m->slots[i].hash) = m->slots[i];
    }
    free(m->slots);
    *m = to;
}

/* Full to three quarters (counting tombstones), or to less than a sixteenth. */
static bool wants_rebuild(const plx_map *m)
{
    return (m->used + 1) * 4 > m->cap * 3 || (m->cap > SMALLEST && m->count < m->cap / 16);
}

void *plx_map_get(const plx_map *m, plx_slice key)
{
    const slot *s = m->count > 0 ? find(m, key, hash_of(key)) : NULL;
    return s ? s->value : NULL;
}

void *plx_map_put(plx_map *m, plx_slice key, void *value)
{
    assert(value && key.len <= UINT32_MAX);
    uint32_t hash = hash_of(key);
    slot *s = find(m, key, hash);
    if (s) {
        void *before = s->value;
        s->key = key.data;
        s->value = value;
        return before;
    }
    if (wants_rebuild(m))
        rebuild(m);
    s = find_free(m, hash);
    if (!s->key)
        m->used++;
    /* An empty key may come without a pointer, which in a slot means something else; but then the
     * value says that the slot is taken. */
    *s = (slot){.hash = hash, .key = key.data, .key_len = (uint32_t)key.len, .value = value};
    m->count++;
    return NULL;
}

/* Turns tombstones in front of an empty slot into empty slots. */
static void sweep_back(plx_map *m, size_t i)
{
    size_t mask = m->cap - 1;
    const slot *next = &m->slots[(i + 1) & mask];
    if (next->value || next->key)
        return;
    while (!m->slots[i].value && m->slots[i].key == tombstone) {
        m->slots[i].key = NULL;
        m->used--;
        i = (i - 1) & mask;
    }
}

void *plx_map_remove(plx_map *m, plx_slice key)
{
    slot *s = m->count > 0 ? find(m, key, hash_of(key)) : NULL;
    if (!s)
        return NULL;
    void *value = s->value;
    *s = (slot){.key = tombstone};
    if (--m->count == 0) {
        free(m->slots);
        *m = (plx_map){0};
    } else {
        sweep_back(m, (size_t)(s - m->slots));
    }
    return value;
}

void *plx_map_next(const plx_map *m, size_t *cursor)
{
    while (*cursor < m->cap) {
        const slot *s = &m->slots[(*cursor)++];
        if (s->value)
            return s->value;
    }
    return NULL;
}
