/* Hash map from byte strings to pointers.
 *
 * Keys are borrowed: normally they live in the value. Hashing is keyed with a
 * per-process random (SipHash or equal), because clients choose topics and ids.
 */
#ifndef PLX_BASE_MAP_H
#define PLX_BASE_MAP_H

#include "base/slice.h"

typedef struct plx_map plx_map;

plx_map *plx_map_new(void); /* costs little while empty */
/* Frees the table, not the values (NULL is fine). */
void plx_map_free(plx_map *m);
size_t plx_map_count(const plx_map *m);
/* The value, or NULL. */
void *plx_map_get(const plx_map *m, plx_slice key);
/* Stores value (not NULL) under key, whose bytes must stay valid until it is removed. Returns the
 * value that was there before (its key is replaced by the new one), or NULL. */
void *plx_map_put(plx_map *m, plx_slice key, void *value);
/* Removes and returns the value, or NULL. */
void *plx_map_remove(plx_map *m, plx_slice key);
/* Walks all values: start with *cursor = 0; returns NULL at the end. The map may lose the entry
 * just returned during the walk, but must not grow. */
void *plx_map_next(const plx_map *m, size_t *cursor);

#endif
