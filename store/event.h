/* One message of a topic's log, as it came out of Redis: immutable, reference-counted.
 *
 * `encoded` are slots for the layers above: a message is encoded once per
 * serializer and the same bytes are handed to every socket.
 */
#ifndef PLX_STORE_EVENT_H
#define PLX_STORE_EVENT_H

#include "base/blob.h"
#include "base/slice.h"
#include <stdint.h>

enum plx_kind {
    PLX_KIND_JSON = 'j',
    PLX_KIND_BINARY = 'b',
    PLX_KIND_PRESENCE = 'p' /* a diff: JSON; carries no position, is not replayed */
};

#define PLX_EVENT_ENCODINGS 14
/* The slot after those of the layers above is presence.c's: which refs a diff joins. */
#define PLX_EVENT_REFS PLX_EVENT_ENCODINGS

/* A place in a topic's log: "<epoch>:<offset>" in text form. */
#define PLX_EPOCH_MAX 24
typedef struct plx_position {
    char epoch[PLX_EPOCH_MAX + 1]; /* NUL-terminated, no colon; "" = unknown */
    uint64_t offset;               /* of the last message; the next one gets offset + 1 */
} plx_position;

typedef struct plx_event {
    unsigned refs;
    enum plx_kind kind;
    plx_position position; /* its own offset */
    plx_slice topic, event, payload;
    plx_slice from; /* session that is not to receive it; empty: everybody */
    plx_blob *encoded[PLX_EVENT_ENCODINGS + 1]; /* NULL until somebody needs it */
    char bytes[];
} plx_event;

/* Copies everything; the caller owns one reference. Never NULL. */
plx_event *plx_event_new(plx_slice topic, const plx_position *position, enum plx_kind kind,
                         plx_slice event, plx_slice payload, plx_slice from);
plx_event *plx_event_ref(plx_event *e); /* e itself */
void plx_event_unref(plx_event *e); /* NULL is fine; drops the encodings with the last reference */

/* Text form into out (at least PLX_POSITION_TEXT bytes), and back (PLX_E_INVALID). */
#define PLX_POSITION_TEXT (PLX_EPOCH_MAX + 22)
void plx_position_format(const plx_position *p, char *out);
int plx_position_parse(plx_slice text, plx_position *out);
/* Sets p->epoch: 1 to PLX_EPOCH_MAX characters of A-Z a-z 0-9 - _, else PLX_E_INVALID and nothing
 * is changed. */
int plx_epoch_set(plx_position *p, plx_slice epoch);

#endif
