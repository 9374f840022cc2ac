/* What all workers and Redis say of themselves at this moment: the source of info and metrics.
 * Costs something only when it is asked for. */
#ifndef PLX_CHANNEL_CENSUS_H
#define PLX_CHANNEL_CENSUS_H

#include "base/json.h"
#include "store/redis_info.h"

typedef struct plx_census {
    int err; /* not 0: Redis could not be asked, and there is this worker's report only */
    json_object **reports; /* of plx_report_read, by kind and name */
    size_t count, silent;  /* silent: workers that did not answer within half a second */
    bool redis_known;      /* false: Redis is away, or does not allow INFO */
    plx_redis_info redis;
    uint64_t
        sessions; /* about an id: its long-poll sessions, those that are over not long ago too */
} plx_census;

/* The callback comes once, after the return; what it is given is valid until it returns. about:
 * what each worker is to tell besides (channel/report.h), or empty. */
typedef void plx_census_cb(void *arg, const plx_census *census);
void plx_census_take(plx_store *s, plx_slice about, plx_census_cb *cb, void *arg);

#endif
