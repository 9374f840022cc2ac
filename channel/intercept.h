/* Intercepted events: what one subscriber gets of a broadcast that its backend wants to judge. */
#ifndef PLX_CHANNEL_INTERCEPT_H
#define PLX_CHANNEL_INTERCEPT_H

#include "channel/socket.h"

/* Whether broadcasts of this event are for the backend's handle_out. */
bool plx_intercepts(const plx_channel_entry *entry, const plx_event *e);

/* Asks the backend of m (joined, restored, or ended with something still to be delivered) about an
 * event for which plx_intercepts is true. Returns what m's socket gets in its place, a reference of
 * the caller's: the event itself, another one at the same position, or NULL: nothing. *crashed: the
 * backend says that the channel crashed (logged; the caller ends it). */
plx_event *plx_intercept(plx_membership *m, plx_event *e, bool *crashed);

#endif
