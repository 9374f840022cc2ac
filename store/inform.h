/* Messages to the channels of a socket id, on both transports.
 *
 * WebSocket workers hear of them through the control channel, at most once. For each long-poll
 * session of the id it becomes an entry of the inbox (PLX_ENTRY_INFO), which is worked like a
 * POST, in its turn, by the worker that holds its poll, or by whichever gets the lease first.
 */
#ifndef PLX_STORE_INFORM_H
#define PLX_STORE_INFORM_H

#include "store/store.h"

/* body: opaque here (channel/info.h). digest: as of plx_session_post, the same whenever this
 * message is sent again; empty: it never is. cb, never before the return: 0 when Redis has taken it
 * for all, whether anybody is there or not; else the first error (some may get it). */
void plx_inform(plx_store *s, plx_slice id, plx_slice body, plx_slice digest,
                void (*cb)(void *arg, int err), void *arg);

#endif
