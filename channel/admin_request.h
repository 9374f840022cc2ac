/* Reading the bodies of the server API, strictly: what is not known is refused, so that a typing
 * error is seen and not ignored. No I/O. */
#ifndef PLX_CHANNEL_ADMIN_REQUEST_H
#define PLX_CHANNEL_ADMIN_REQUEST_H

#include "base/config.h"
#include "base/json.h"
#include "base/json_scan.h"
#include "store/topic.h"

#define PLX_ADMIN_KEY_MAX 256

/* One publication out of a body. */
typedef struct plx_admin_publication {
    json_object *members; /* those that are strings, as json-c reads them */
    plx_buf binary;
    plx_publication p; /* its slices point into the above and into the body */
} plx_admin_publication;

/* Before it is read into, and afterwards in any case. */
void plx_admin_publication_init(plx_admin_publication *a);
void plx_admin_publication_fini(plx_admin_publication *a);

/* Checks the text of a body. 0, or 400 with the error put into the document `error`. */
unsigned plx_admin_read_body(plx_slice body, plx_json_value *value, json_object *error);

/* Reads {"topic","event","payload" | "payload_base64","key"?}. body: what plx_json_check gave; the
 * payload stays the range that the scanner cuts. Returns 0, or the HTTP status with the error put
 * into the document `error`: 422, or 404 for a topic that no socket section routes. */
unsigned plx_admin_read_publication(const plx_config *config, plx_json_value body,
                                    plx_admin_publication *out, json_object *error);

/* Reads {"topic","count"?} as a query string has them (count: present, whatever its value); appends
 * the topic. The same. */
unsigned plx_admin_read_presence(const plx_config *config, plx_json_value query, plx_buf *topic,
                                 bool *count, json_object *error);

/* What is asked of a topic's history. */
typedef struct plx_admin_history_query {
    json_object *members; /* owned by the caller, whatever reading returned */
    plx_slice topic;      /* points into them */
    bool has_since;
    plx_position since;
    size_t limit;
    plx_history history; /* of the topic */
} plx_admin_history_query;

/* Reads {"topic","since"?,"limit"?}, all of them strings, as a query string has them; limit: 1 to
 * PLX_HISTORY_LIMIT, 100 without one. The same; 422 also for a topic without history. */
unsigned plx_admin_read_history(const plx_config *config, plx_json_value query,
                                plx_admin_history_query *out, json_object *error);

/* Reads {"id","topic"} and appends both. The same. */
unsigned plx_admin_read_unsubscribe(const plx_config *config, plx_json_value body, plx_buf *id,
                                    plx_buf *topic, json_object *error);

/* Reads {}, {"topic"} or {"id"} and appends what a report is to be about (channel/report.h). The
 * same. */
unsigned plx_admin_read_info(plx_json_value query, plx_buf *about, json_object *error);

/* Reads {"id"} and appends it to id. The same. */
unsigned plx_admin_read_id(plx_json_value body, plx_buf *id, json_object *error);

#endif
