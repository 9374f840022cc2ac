/* What the files of track.h share; nothing for others. */
#ifndef PLX_CHANNEL_TRACK_INTERNAL_H
#define PLX_CHANNEL_TRACK_INTERNAL_H

#include "channel/socket_core.h"
#include "channel/track.h"

/* track_list.c */

plx_slice plx_held_key(const plx_held *h);
/* By key or by ref; NULL: not there. Good until something is added or dropped. */
plx_held *plx_tracks_find(const plx_membership *m, plx_slice key);
plx_held *plx_tracks_find_ref(const plx_membership *m, const char *ref);
/* A new entry without a meta and a ref. Copies the key. */
plx_held *plx_tracks_add(plx_membership *m, plx_slice key);
void plx_tracks_set_meta(plx_held *h, plx_slice meta);
void plx_tracks_drop(plx_membership *m, plx_held *h);
/* A new ref: see track.h for those of long-poll sessions. */
void plx_tracks_make_ref(plx_held *h, const plx_call *call);

/* track_change.c */

/* Who holds what this socket tracks. */
plx_slice plx_tracks_owner(const plx_socket *s);
/* Sends an entry with its meta, which is not needed any more then. prev: the ref that it replaces,
 * or "". The call's answer follows when Redis has taken it. */
void plx_tracks_send(plx_call *call, plx_held *h, const char *prev);
/* The opposite, also for the call's answer. */
void plx_tracks_take_back(plx_call *call, const plx_held *h);
/* Logs it. */
void plx_tracks_refused(const plx_membership *m, int err);

#endif
