/* A topic's log in Redis: publishing, and asking where it stands.
 *
 * Keys (all in the slot of the tag {t:TOPIC}): meta (off, epoch), log (stream,
 * ids <offset>-0), pub/sub channel; see DESIGN. One script call per broadcast
 * whatever the number of subscribers.
 */
#ifndef PLX_STORE_TOPIC_H
#define PLX_STORE_TOPIC_H

#include "store/event.h"
#include "store/store.h"

typedef struct plx_publication {
    plx_slice topic, event, payload;
    enum plx_kind kind;
    plx_slice from; /* empty, or the session that is not to receive it */
    /* Repetition safety; both empty: none.
     * producer: a session; entry and index: which of its inbox entries and which broadcast of that
     * entry. The same (producer, entry, index) again gives the first result and publishes nothing;
     * so does one with an entry before the last: entries of a producer never go back. */
    plx_slice producer;
    uint64_t entry;
    uint32_t index;
    /* key: an idempotency key of the server API, remembered for 5 minutes. */
    plx_slice key;
    /* Retention beyond the delivery log's: 0 for topics without history. */
    uint64_t history_size, history_ttl_s;
} plx_publication;

/* repeated: it had been published before and this is that first position. */
typedef void plx_publish_cb(void *arg, int err, const plx_position *position, bool repeated);

/* Appends to the log, numbers and sends to all workers. Publications of one store take effect in
 * the order of the calls. */
void plx_topic_publish(plx_store *s, const plx_publication *p, plx_publish_cb *cb, void *arg);

/* Reads where the topic stands, creating its epoch when it has none yet. */
typedef void plx_position_cb(void *arg, int err, const plx_position *position);
void plx_topic_position(plx_store *s, plx_slice topic, plx_position_cb *cb, void *arg);

#endif
