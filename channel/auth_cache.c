/* A map for finding, a list for order: the least recently used is first in it. What has run out is
 * found out when it is asked for, or pushed out by what is new. */
#include "channel/auth_cache.h"

#include "base/alloc.h"
#include "base/list.h"
#include "base/map.h"
#include <stdlib.h>

typedef struct kept {
    plx_list node;
    uint64_t until_ms;
    plx_slice key, text; /* both in bytes */
    bool accepted;
    char bytes[];
} kept;

struct plx_auth_cache {
    plx_map *by_key;
    plx_list order;
    size_t max_entries, max_bytes, bytes;
};

/* With its part of the map, roughly. */
static size_t size_of(size_t key_len, size_t text_len)
{
    return sizeof(kept) + 64 + key_len + text_len;
}

plx_auth_cache *plx_auth_cache_new(size_t max_entries, size_t max_bytes)
{
    plx_auth_cache *c = plx_alloc_zero(1, sizeof *c);

    c->by_key = plx_map_new();
    plx_list_init(&c->order);
    c->max_entries = max_entries;
    c->max_bytes = max_bytes;
    return c;
}

static void drop(plx_auth_cache *c, kept *k)
{
    plx_map_remove(c->by_key, k->key);
    plx_list_remove(&k->node);
    c->bytes -= size_of(k->key.len, k->text.len);
    free(k);
}

static kept *oldest(plx_auth_cache *c)
{
    return PLX_CONTAINER(c->order.next, kept, node);
}

void plx_auth_cache_free(plx_auth_cache *c)
{
    if (!c)
        return;
    while (!plx_list_empty(&c->order))
        drop(c, oldest(c));
    plx_map_free(c->by_key);
    free(c);
}

static plx_slice copy(char *to, plx_slice s)
{
    if (s.len > 0)
        memcpy(to, s.data, s.len);
    return plx_slice_make(to, s.len);
}

void plx_auth_cache_put(plx_auth_cache *c, plx_slice key, bool accepted, plx_slice text,
                        uint64_t until_ms)
{
    size_t size = size_of(key.len, text.len);
    kept *k = plx_map_get(c->by_key, key);

    if (k)
        drop(c, k);
    if (size > c->max_bytes || c->max_entries == 0)
        return;
    while (c->bytes + size > c->max_bytes || plx_map_count(c->by_key) >= c->max_entries)
        drop(c, oldest(c));
    k = plx_alloc(sizeof *k + key.len + text.len);
    k->until_ms = until_ms;
    k->accepted = accepted;
    k->key = copy(k->bytes, key);
    k->text = copy(k->bytes + key.len, text);
    plx_list_init(&k->node);
    plx_list_push(&c->order, &k->node);
    plx_map_put(c->by_key, k->key, k);
    c->bytes += size;
}

bool plx_auth_cache_get(plx_auth_cache *c, plx_slice key, uint64_t now_ms, bool *accepted,
                        plx_slice *text)
{
    kept *k = plx_map_get(c->by_key, key);

    if (!k)
        return false;
    if (now_ms >= k->until_ms) {
        drop(c, k);
        return false;
    }
    plx_list_remove(&k->node);
    plx_list_push(&c->order, &k->node);
    *accepted = k->accepted;
    *text = k->text;
    return true;
}

size_t plx_auth_cache_count(const plx_auth_cache *c)
{
    return plx_map_count(c->by_key);
}

size_t plx_auth_cache_bytes(const plx_auth_cache *c)
{
    return c->bytes;
}
