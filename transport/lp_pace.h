/* How often a session's older polls are answered at once because a newer one took over.
 *
 * One such answer a second and session, in each worker: two pollers that hold the same token would
 * otherwise chase each other as fast as the network lets them.
 */
#ifndef PLX_TRANSPORT_LP_PACE_H
#define PLX_TRANSPORT_LP_PACE_H

#include "base/list.h"
#include "base/map.h"
#include <stdint.h>

#define PLX_LP_PACE_MS 1000

typedef struct plx_lp_pace {
    plx_map *by_sid;
    plx_list order; /* oldest first; nothing older than a pace stays */
} plx_lp_pace;

/* No answer was given yet. */
void plx_lp_pace_init(plx_lp_pace *p);
void plx_lp_pace_fini(plx_lp_pace *p);

/* How long this answer has to wait, in ms: 0 when none was given within the last second. It counts
 * as given at the end of that time. now_ms: plx_now_ms. */
uint64_t plx_lp_pace_wait(plx_lp_pace *p, plx_slice sid, uint64_t now_ms);

#endif
