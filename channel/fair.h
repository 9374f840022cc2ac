/* What each of many has under way at the moment, by a name (an address), so that one of them can't
 * have it all. A name is known for as long as it has something. */
#ifndef PLX_CHANNEL_FAIR_H
#define PLX_CHANNEL_FAIR_H

#include "base/slice.h"
#include <stddef.h>

typedef struct plx_fair plx_fair;

typedef struct plx_fair_share {
    size_t count, bytes; /* under way now */
    plx_slice name;      /* its own copy */
} plx_fair_share;

plx_fair *plx_fair_new(void);    /* never NULL */
void plx_fair_free(plx_fair *f); /* everything must have been dropped */

/* What this name has; NULL: nothing. Borrowed until something is dropped. */
const plx_fair_share *plx_fair_find(const plx_fair *f, plx_slice name);
/* One thing more, of so many bytes, is under way. The share is valid until that is dropped. */
plx_fair_share *plx_fair_add(plx_fair *f, plx_slice name, size_t bytes);
/* It is not any more. Frees a share that has nothing left. */
void plx_fair_drop(plx_fair *f, plx_fair_share *share, size_t bytes);

#endif
