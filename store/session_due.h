/* Sessions with something due: timers, and inbox entries for which no client waits. Inside store/
 * only; plx_session_due_start is in session.h.
 *
 * A timer lies with its session (`:due`, `:timers`), where only one script turns it into an inbox
 * entry. A list over all sessions, "<prefix>timers" (sorted set: session, when), says where to
 * look. A session is put on it before anything is written that needs it, so that no crash leaves a
 * timer unheard of; whoever looks claims what he finds for PLX_DUE_CLAIM_MS, and takes it off only
 * when nothing is left there.
 */
#ifndef PLX_STORE_SESSION_DUE_H
#define PLX_STORE_SESSION_DUE_H

#include "store/session.h"

/* Longer than a lease: what a dead worker has claimed can be worked then. */
#define PLX_DUE_CLAIM_MS (PLX_LEASE_MS + 500)

/* Puts a session on the list, to be looked at in delay_ms; not later than it is to be anyway. */
void plx_due_list(plx_store *s, plx_slice sid, uint64_t delay_ms);
/* This worker knows that there is something to do in delay_ms: it will look. */
void plx_due_expect(plx_store *s, uint64_t delay_ms);

typedef struct plx_due_look plx_due_look;
/* Both are harmless on NULL. */
void plx_due_stop(plx_due_look *d);
void plx_due_free(plx_due_look *d);

#endif
