/* Which events of a topic's presence a membership is given: no diff that its state holds already.
 *
 * A membership that tracks something from its join on WAITS: diffs are withheld until the
 * one with its own entry. Then a state is DUE: the worker's roster gives one at that
 * place or later, and with it the membership HAS everything up to the state's
 * position; later diffs are for it. One that tracks nothing at its join (PLAIN) gets
 * every diff as it comes.
 *
 * What a membership waits for may never come (it untracked at once, Redis refused the
 * entry): after PLX_DIFFS_PATIENCE_MS any state will do. That is right at any time: the
 * own entry then follows as a diff.
 */
#ifndef PLX_CHANNEL_DIFFS_H
#define PLX_CHANNEL_DIFFS_H

#include "store/event.h"
#include <stdbool.h>

#define PLX_DIFFS_PATIENCE_MS 3000

enum plx_diffs_mode { PLX_DIFFS_PLAIN, PLX_DIFFS_WAITS, PLX_DIFFS_DUE, PLX_DIFFS_HAS };

typedef struct plx_diffs {
    enum plx_diffs_mode mode;
    uint64_t at; /* WAITS, DUE: the state must hold everything up to here; HAS: it did */
} plx_diffs;

/* The next event of kind 'p'. answers: it is what a waiting membership waits for (looked at in mode
 * WAITS only). True: it is for this membership. False: its state holds it or will hold it; a mode
 * that became DUE wants a state at d->at or later. */
bool plx_diffs_take(plx_diffs *d, const plx_event *e, bool answers);

/* The state with that position was given. */
void plx_diffs_given(plx_diffs *d, uint64_t offset);

#endif
