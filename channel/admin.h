/* The server API's operations, shared by the HTTP API and the command line.
 *
 * Each takes the request as its words on the wire say (README, "Server API") and
 * answers with a JSON document and an HTTP status. Errors are
 * {"error":{"code":"...","message":"...","hint":"..."}}: a name for programs, what is wrong, and
 * what to do about it.
 */
#ifndef PLX_CHANNEL_ADMIN_H
#define PLX_CHANNEL_ADMIN_H

#include "base/config.h"
#include "base/slice.h"
#include "store/store.h"

/* Called once; json is valid until it returns. It may come before the operation has returned. */
typedef void plx_admin_cb(void *arg, unsigned status, plx_slice json);

/* body: {"topic","event","payload" | "payload_base64","key"?} or an array of them (at most 1,000,
 * in order; one failing does not stop the others: its place in the answer holds its error object
 * and the status is 207). 200 with {"position":"<epoch>:<offset>"} or an array of such. 400
 * invalid_json, 422 with a code for what is wrong in it, 404 unknown_topic (no socket section
 * routes it), 503 unavailable (Redis away: safe to repeat with a key). */
void plx_admin_publish(plx_store *s, plx_slice body, plx_admin_cb *cb, void *arg);

/* query: {"topic","count"?} -> {"KEY":{"metas":[...]},...}; with `count` (whatever its value, but
 * false) {"count":n}, the number of metas. 404 unknown_topic, 422 (also count_only: the topic is
 * too large for a list), 503 as above. */
void plx_admin_presence(plx_store *s, plx_slice query, plx_admin_cb *cb, void *arg);

/* query: {"topic","since"?,"limit"?} -> {"messages":[{"position","event","payload"}, ...],
 * "position":"<epoch>:<offset>"}, oldest first: after `since` the first ones, else the last ones.
 * `position` is the `since` of the next call. A message kept from before the topic had history may
 * be binary: "payload_base64". 410 gone (`since` is out of reach: another epoch, trimmed, or not
 * there yet), 404 unknown_topic, 422, 503 as above. */
void plx_admin_history(plx_store *s, plx_slice query, plx_admin_cb *cb, void *arg);

/* body: {"id":"..."} -> {"sockets":n}: closes every socket of that id. 422, 503 as above. */
void plx_admin_disconnect(plx_store *s, plx_slice body, plx_admin_cb *cb, void *arg);

/* body: {"id":"...","topic":"..."} -> {"channels":n}: closes the topic's channel on every socket of
 * that id. 404 unknown_topic, 422, 503 as above. */
void plx_admin_unsubscribe(plx_store *s, plx_slice body, plx_admin_cb *cb, void *arg);

/* What runs, as JSON: {"version","redis":{...},"sockets":{"websocket","longpoll"},"channels":{...},
 * "polls_waiting","workers":[{...}],"workers_silent","config":{...}}; 503 when Redis is away.
 * query: {}, {"topic"} or {"id"}: then also "about":{"topic"|"id","websocket":n,"longpoll":n}, how
 * many channels of it or sockets there are; 422. */
void plx_admin_info(plx_store *s, plx_slice query, plx_admin_cb *cb, void *arg);

/* The same as metrics (channel/metrics.h), open: in OpenMetrics. Always 200: without Redis it is
 * this worker's alone, and pollux_redis_up is 0. */
void plx_admin_metrics(plx_store *s, bool open, plx_admin_cb *cb, void *arg);

/* {"status":"ok","redis":"up","worker":...} 200, or 503 with what is wrong: proves a round trip of
 * a message through Redis pub/sub back to this worker, not only a PING. */
void plx_admin_health(plx_store *s, plx_admin_cb *cb, void *arg);

/* Whether a key is one of the configured ones, in constant time for each. */
bool plx_admin_key_ok(const plx_config *config, plx_slice key);

#endif
