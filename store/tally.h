/* What each worker leaves in Redis about itself, for programs with nothing but a Redis client (the
 * installed script info.lua), which can't wait for workers' answers:
 *
 *     {workers}      hash: worker -> what it says, a JSON object (plx_control.tally)
 *     {workers}:at   sorted set: workers by when they said so (ms, Redis' clock)
 *
 * Written by one script call, when the worker has connected and every PLX_TALLY_S after it; taken
 * away when it ends. What is older than PLX_TALLY_FRESH_MS counts no more (info.lua says the same),
 * and one that died without a word is dropped by another worker a little later.
 */
#ifndef PLX_STORE_TALLY_H
#define PLX_STORE_TALLY_H

#include "store/store.h"

#define PLX_TALLY_S        3.0
#define PLX_TALLY_FRESH_MS 10000
#define PLX_TALLY_DROP_MS  60000

typedef struct plx_tally plx_tally;

/* Begins; for stores that listen. */
plx_tally *plx_tally_open(plx_store *s);
/* The connection for commands is there. NULL is fine. */
void plx_tally_conn_up(plx_tally *t);
/* Before the connection is closed: takes away what was left. NULL is fine. */
void plx_tally_close(plx_tally *t);

#endif
