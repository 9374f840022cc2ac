/* The sweeper: finds sessions that have ended or were not heard of any more. Inside store/ only. */
#ifndef PLX_STORE_SWEEP_H
#define PLX_STORE_SWEEP_H

#include "store/internal.h"

typedef struct plx_sweeper plx_sweeper;

/* Both are harmless on NULL. */
void plx_sweeper_stop(plx_sweeper *sw);
void plx_sweeper_free(plx_sweeper *sw);

#endif
