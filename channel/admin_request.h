/* Reading the bodies of the server API, strictly: what is not known is refused, so that a typing
 * error is seen and not ignored. No I/O. */
#ifndef PLX_CHANNEL_ADMIN_REQUEST_H
#define PLX_CHANNEL_ADMIN_REQUEST_H

#include "base/config.h"
#include "store/topic.h"

#define PLX_ADMIN_KEY_MAX 256

/* One publication out of a body: strings are kept unescaped in it. */
typedef struct plx_admin_publication {
    plx_buf topic, event, key, binary;
    plx_publication p; /* its slices point into the buffers and the body */
} plx_admin_publication;

void plx_admin_publication_init(plx_admin_publication *a);
void plx_admin_publication_fini(plx_admin_publication *a);

/* Reads {"topic","event","payload" | "payload_base64","key"?}, a valid JSON value. Returns 0, or
 * the HTTP status with the error document appended to `error`: 422, or 404 for a topic that no
 * socket section routes. */
unsigned plx_admin_read_publication(const plx_config *config, plx_slice json,
                                    plx_admin_publication *out, plx_buf *error);

/* Reads {"topic","count"?}. The same. */
unsigned plx_admin_read_presence(const plx_config *config, plx_slice json, plx_buf *topic,
                                 bool *count, plx_buf *error);

/* What is asked of a topic's history. */
typedef struct plx_admin_history_query {
    plx_buf topic;
    bool has_since;
    plx_position since;
    size_t limit;
    plx_history history; /* of the topic */
} plx_admin_history_query;

/* Reads {"topic","since"?,"limit"?}; a limit may be a number or its text (as a query string has
 * it), 1 to PLX_HISTORY_LIMIT, 100 without one. The same; 422 also for a topic without history. The
 * caller initializes and frees out->topic. */
unsigned plx_admin_read_history(const plx_config *config, plx_slice json,
                                plx_admin_history_query *out, plx_buf *error);

/* Reads {"id"}. The same. */
unsigned plx_admin_read_id(plx_slice json, plx_buf *id, plx_buf *error);

#endif
