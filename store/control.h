/* Calls to all workers by socket id: disconnect (later: unsubscribe, info).
 *
 * One control channel that every worker listens to. A call carries a reply
 * channel; each WebSocket worker answers with its local count, long-poll sessions
 * are found through the set of their id and ended by the caller itself; the caller
 * sums what arrives within 500 ms (earlier when as many have answered as received
 * the call).
 */
#ifndef PLX_STORE_CONTROL_H
#define PLX_STORE_CONTROL_H

#include "store/store.h"

/* Disconnects every socket with this id, on both transports. cb(arg, err, number of sockets). */
void plx_control_disconnect(plx_store *s, plx_slice id,
                            void (*cb)(void *arg, int err, unsigned sockets), void *arg);

/* What a worker does when called. disconnect returns how many local sockets it closed. */
typedef struct plx_control {
    unsigned (*disconnect)(struct plx_control *c, plx_slice id);
} plx_control;
void plx_control_set(plx_store *s, plx_control *c);

#endif
