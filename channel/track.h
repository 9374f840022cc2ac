/* What a membership tracks in its topic's presence: from configuration, or by its backend's verbs.
 *
 * Entries that a join asks for (the configured one, and those that its backend
 * tracked before it answered) are tracked when the membership has its place in the log,
 * so that their diff comes after it. An entry's ref is random; of a long-poll session it
 * is made from session, inbox entry, message and key, because after a crash another worker
 * handles the same message again and must not leave a second entry behind. (What it
 * does not track again: transport/lp_again.)
 */
#ifndef PLX_CHANNEL_TRACK_H
#define PLX_CHANNEL_TRACK_H

#include "base/buf.h"
#include "channel/socket.h"

/* One of them. */
typedef struct plx_held {
    char ref[PLX_PHX_REF_LEN + 1];
    char *meta; /* owned; until it is tracked, then NULL */
    size_t key_len, meta_len;
    char *key; /* owned */
} plx_held;

typedef struct plx_tracks {
    /* The entry whose diff the state replaces; empty: none is waited for. */
    char awaited[PLX_PHX_REF_LEN + 1];
    unsigned numbered; /* entries made by this call: their refs differ */
    size_t count;
    plx_held held[];
} plx_tracks;

/* The membership of a join has its place: tracks what it is to track. */
void plx_tracks_begin(plx_call *call);
/* What plx_channel_track would say. */
int plx_tracks_check(const plx_membership *m, plx_slice key, plx_slice meta);
/* It has ended: everything of it is untracked. vanished: its socket did not say so. */
void plx_tracks_end(plx_membership *m, bool vanished);
/* Frees the list; NULL is fine. */
void plx_tracks_free(plx_membership *m);

/* Whether an entry is the membership's; whether all of its entries are among these refs (of
 * PLX_PHX_REF_LEN characters each). */
bool plx_tracks_holds(const plx_membership *m, plx_slice ref);
bool plx_tracks_among(const plx_membership *m, plx_slice refs);

/* Whether an event of kind 'p' is what the membership waits for. */
bool plx_tracks_answered(const plx_membership *m, plx_event *e);

/* Appends the sections of plx_membership_pack, and reads one of them back: PLX_E_INVALID. */
void plx_tracks_pack(const plx_membership *m, plx_buf *out);
int plx_tracks_unpack(plx_membership *m, char kind, plx_slice bytes);

/* What a long-poll's poll has to know of a slot (plx_slot.presence), and the way back. */
typedef struct plx_hint {
    plx_diffs diffs;
    plx_slice ref;      /* WAITS */
    plx_slice join_ref; /* as JSON text: null, a string, or whatever the client sent */
} plx_hint;

/* Appends it; nothing for a membership that gets its diffs as they come. */
void plx_hint_pack(const plx_membership *m, plx_buf *out);
/* Borrows from bytes. Empty bytes: PLAIN. PLX_E_INVALID. */
int plx_hint_unpack(plx_slice bytes, plx_hint *out);

#endif
