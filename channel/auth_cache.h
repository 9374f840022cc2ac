/* What an application said about a guest, kept for as long as it said: least recently used goes
 * first. Bounded in entries and in bytes (of keys, texts and bookkeeping). */
#ifndef PLX_CHANNEL_AUTH_CACHE_H
#define PLX_CHANNEL_AUTH_CACHE_H

#include "base/slice.h"
#include <stdint.h>

typedef struct plx_auth_cache plx_auth_cache;

/* Empty; with max_entries 0 nothing is ever kept. */
plx_auth_cache *plx_auth_cache_new(size_t max_entries, size_t max_bytes);
void plx_auth_cache_free(plx_auth_cache *c); /* NULL is fine */

/* Keeps a text under a key (both copied; found again by all of its bytes) until until_ms of the
 * monotonic clock, in the place of what was there. What is larger than the whole cache is not kept,
 * and what was there under its key goes all the same. */
void plx_auth_cache_put(plx_auth_cache *c, plx_slice key, bool accepted, plx_slice text,
                        uint64_t until_ms);
/* False: nothing is kept, or not any more. *text is valid until the next call. */
bool plx_auth_cache_get(plx_auth_cache *c, plx_slice key, uint64_t now_ms, bool *accepted,
                        plx_slice *text);

/* What is kept now, also what is over and was not looked for since; bytes as they are bounded. */
size_t plx_auth_cache_count(const plx_auth_cache *c);
size_t plx_auth_cache_bytes(const plx_auth_cache *c);

#endif
