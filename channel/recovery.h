/* What a client says about the place it has reached (`since` in its join's payload), and what it is
 * told (`position` and `recovered` in the join's response). No I/O. README "History and recovery".
 */
#ifndef PLX_CHANNEL_RECOVERY_H
#define PLX_CHANNEL_RECOVERY_H

#include "base/buf.h"
#include "channel/backend.h"
#include "store/event.h"

typedef struct plx_since {
    bool given;            /* a member "since" that is not null */
    plx_position position; /* epoch "": it is no position */
} plx_since;

/* Reads a join's payload. */
plx_since plx_recovery_read(plx_payload payload);

/* Appends the response with its members as they are (their texts are copied), then "position"
 * (unless it is NULL) and, when since was given, "recovered". Members of the response with these
 * names are left out: only Pollux knows them. Returns false, and appends nothing, when there is
 * nothing to add or the response is no JSON object. */
bool plx_recovery_respond(plx_payload response, const plx_position *position, bool given,
                          bool recovered, plx_buf *out);

#endif
