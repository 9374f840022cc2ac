/* What the channel core and the server API count, for metrics: of this process, since its start
 * (`memberships`: now). A worker is one process with one thread that counts. */
#ifndef PLX_CHANNEL_COUNTERS_H
#define PLX_CHANNEL_COUNTERS_H

#include <stdint.h>

typedef struct plx_counters {
    uint64_t joins, joins_refused; /* by rules, backends, or because Redis was away */
    uint64_t pushes;               /* messages of clients to channels that they had joined */
    uint64_t rule_refusals;        /* of them and of joins: by rules; */
    uint64_t rate_refusals;        /* ... by `rate` */
    uint64_t broadcasts;           /* of backends */
    uint64_t infos;                /* messages to handle_info, timers among them */
    uint64_t intercepted;          /* broadcasts that handle_out judged, each for one subscriber */
    uint64_t crashes;              /* channels whose backend failed */
    uint64_t closed;               /* channels that the server API closed */
    uint64_t memberships;          /* live ones of the sockets that are in memory */
    uint64_t auth_cached;          /* connects judged by an application's earlier answer */
    uint64_t api_requests;         /* with a right key */
    uint64_t api_errors;           /* of them: answered with 400 or more */
    uint64_t api_refused;          /* without one */
} plx_counters;

extern plx_counters plx_counted;

#endif
