/* See counters.h. */
#include "channel/counters.h"

plx_counters plx_counted;
