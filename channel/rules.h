/* The rules of a channel section that come before its backend: who may join, what may be pushed.
 *
 * All of them are configuration but for capabilities: a ticket, a JWT or a hook may
 * carry the claims `join` and `push`, lists of topic patterns. Where one is there it
 * must allow the topic, too; whatever is no list of patterns allows nothing. (The
 * claims of a Phoenix.Token are the application's own.)
 */
#ifndef PLX_CHANNEL_RULES_H
#define PLX_CHANNEL_RULES_H

#include "base/config.h"
#include "channel/backend.h"

/* Why something is refused. */
enum plx_refusal {
    PLX_ALLOWED = 0,
    PLX_REFUSED_WHO,   /* join, push, only_topic, capabilities */
    PLX_REFUSED_EVENT, /* events */
    PLX_REFUSED_SIZE,  /* max_payload_bytes */
    PLX_REFUSED_RATE   /* rate */
};

/* A socket and the topic that it wants something of. */
typedef struct plx_asker {
    const plx_socket_config *socket;
    const plx_channel_config *channel;
    plx_slice topic;
    plx_slice params, claims; /* JSON objects; an empty text counts as {} */
} plx_asker;

/* join = any | authenticated | none; only_topic: the template must expand and be the topic;
 * capabilities; max_payload_bytes. */
enum plx_refusal plx_rules_join(const plx_asker *a, size_t payload_bytes);

/* push = any | authenticated | none; capabilities; events (with backend http that key says whom to
 * ask, and forbids nothing); max_payload_bytes; rate. bucket: of this socket and topic (see
 * channel/rate), 0 at first; only a push that is allowed takes from it. now_ms: by the bucket's
 * clock, when the push came. */
enum plx_refusal plx_rules_push(const plx_asker *a, plx_slice event, size_t payload_bytes,
                                uint64_t *bucket, uint64_t now_ms);

/* What the client is told: {"reason":"..."}; static. */
plx_payload plx_rules_response(enum plx_refusal refusal);

#endif
