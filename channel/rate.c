/* A token bucket in one number. */
#include "channel/rate.h"

#define MS_NS 1000000u
#define S_NS  1000000000u

bool plx_rate_take(uint64_t *full_ns, uint64_t per_s, uint64_t burst, uint64_t now_ms)
{
    uint64_t now = now_ms * MS_NS, each = S_NS / per_s;
    uint64_t room = each * (burst > 0 ? burst : per_s);
    uint64_t full = *full_ns > now ? *full_ns : now;
    if (full > now + room)
        *full_ns = full = now + room; /* the clock has gone back */
    if (full + each > now + room)
        return false;
    *full_ns = full + each;
    return true;
}
