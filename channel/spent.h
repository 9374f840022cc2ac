/* What is left of the rule `rate` when a topic is left: joining again must not fill the bucket.
 *
 * A socket remembers the buckets that are not full yet of its last topics with a
 * rate; with long-polling they are the note in the session's record.
 */
#ifndef PLX_CHANNEL_SPENT_H
#define PLX_CHANNEL_SPENT_H

#include "base/buf.h"
#include <stdbool.h>

/* So many topics; of more, those whose buckets are full the soonest are forgotten. */
#define PLX_SPENT_MAX 32

typedef struct plx_spent {
    struct plx_spent_bucket *items; /* owned */
    unsigned count;
    bool changed; /* since plx_spent_unpack */
} plx_spent;

/* Remembers a topic's bucket (channel/rate), unless it is full at now_ms. */
void plx_spent_keep(plx_spent *s, plx_slice topic, uint64_t full_ns, uint64_t now_ms);
/* Gives it back and forgets it; 0: nothing is remembered. */
uint64_t plx_spent_take(plx_spent *s, plx_slice topic);
void plx_spent_fini(plx_spent *s);

/* Appends what is remembered as text; nothing when that is nothing. */
void plx_spent_pack(const plx_spent *s, plx_buf *out);
/* Reads such a text into an empty one; from where it is damaged on, it is passed over. */
void plx_spent_unpack(plx_spent *s, plx_slice text);

#endif
