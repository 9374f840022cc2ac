/* How many messages a second: a token bucket in one number.
 *
 * The number is the time at which the bucket will be full again (the generic cell
 * rate algorithm's theoretical arrival time). It needs no timer, may lie anywhere
 * between two messages, and 0 is a full bucket. Times come from the caller: of one
 * clock, which may stand or jump. After a jump back a bucket counts as empty at
 * worst, never as worse than that.
 */
#ifndef PLX_CHANNEL_RATE_H
#define PLX_CHANNEL_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* Takes a message out of the bucket at *full_ns: true, or false when it is empty (and then nothing
 * is changed, unless the clock has gone back). per_s: 1..1000000; burst: how many it holds, 0: as
 * many as per_s. now_ms: since the clock's beginning, below 2^44. */
bool plx_rate_take(uint64_t *full_ns, uint64_t per_s, uint64_t burst, uint64_t now_ms);

#endif
