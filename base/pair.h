/* A name and its value, both borrowed. */
#ifndef PLX_BASE_PAIR_H
#define PLX_BASE_PAIR_H

#include "base/slice.h"

typedef struct plx_pair {
    plx_slice name, value;
} plx_pair;

#endif
