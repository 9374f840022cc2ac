/* A topic's log in Redis: publishing, and asking where it stands.
 *
 * Keys (all in the slot of the tag {t:TOPIC}): meta (off, epoch), log (stream,
 * ids <offset>-0), pub/sub channel; see lua/topic.lua and lua/publish.lua. One
 * script call per broadcast whatever the number of subscribers.
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
    /* Retention beyond the delivery log's, 0 for topics without history: so many messages that are
     * no presence diffs stay in the log too (within delivery_log.bytes), and the log lives at least
     * so long after this publication. */
    uint64_t history_size, history_ttl_s;
    /* Not 0: it is remembered as the last message of its event, for so long (plx_topic_latest).
     * Presence diffs are not. */
    uint64_t latest_ttl_s;
} plx_publication;

/* repeated: it had been published before and this is that first position. */
typedef void plx_publish_cb(void *arg, int err, const plx_position *position, bool repeated);

/* Appends to the log, numbers and sends to all workers. Publications of one store take effect in
 * the order of the calls. */
void plx_topic_publish(plx_store *s, const plx_publication *p, plx_publish_cb *cb, void *arg);

/* Reads where the topic stands, creating its epoch when it has none yet. */
typedef void plx_position_cb(void *arg, int err, const plx_position *position);
void plx_topic_position(plx_store *s, plx_slice topic, plx_position_cb *cb, void *arg);

/* Bounds of what plx_topic_latest keeps: events of a topic (a new one past that is not kept), and
 * bytes of a payload (a larger message is not kept, nor the one before it). */
#define PLX_LATEST_EVENTS 64
#define PLX_LATEST_BYTES  16384

/* Where the topic stands, and at that moment the last message of each event, oldest first. events
 * are borrowed. */
typedef void plx_latest_cb(void *arg, int err, const plx_position *position,
                           plx_event *const *events, size_t count);
void plx_topic_latest(plx_store *s, plx_slice topic, plx_latest_cb *cb, void *arg);

/* How far back a topic's history goes: so many messages (presence diffs do not count), and not past
 * so many seconds of silence. The log may keep more; it is not given out. */
typedef struct plx_history {
    uint64_t size, ttl_s;
} plx_history;

/* Where the topic stands now, and whether a client that has everything up to `since` can go on from
 * there. whole: the same epoch, not in the future, and everything after it is in the log, and is no
 * more than history allows; then a watch may be started at `since`. What a client says may be
 * handed over as it is. In a topic whose log was lost `whole` is false, unless nothing came after
 * `since`.
 */
typedef void plx_since_cb(void *arg, int err, const plx_position *position, bool whole);
void plx_topic_since(plx_store *s, plx_slice topic, const plx_position *since,
                     const plx_history *history, plx_since_cb *cb, void *arg);

/* Most bytes of messages that one call gives (one larger message is given alone), and most
 * messages.
 */
#define PLX_HISTORY_BYTES (4u << 20)
#define PLX_HISTORY_LIMIT 1000

/* Messages of the history, oldest first, at most `limit` (1 to PLX_HISTORY_LIMIT): with `since` the
 * first ones after it, without (NULL) the last ones. position: everything of the topic's history up
 * to there has been given, so it is the `since` of the next call. events are borrowed. err: also
 * PLX_E_LOST: `since` is out of reach (position says where the topic stands). */
typedef void plx_history_cb(void *arg, int err, const plx_position *position,
                            plx_event *const *events, size_t count);
void plx_topic_history(plx_store *s, plx_slice topic, const plx_position *since, size_t limit,
                       const plx_history *history, plx_history_cb *cb, void *arg);

#endif
