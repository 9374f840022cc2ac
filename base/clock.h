/* Time, replaceable by tests. */
#ifndef PLX_BASE_CLOCK_H
#define PLX_BASE_CLOCK_H

#include <stdint.h>

uint64_t plx_now_ms(void);  /* monotonic, for intervals; never goes back */
uint64_t plx_wall_ms(void); /* milliseconds since 1970, for what other machines see */

/* For tests: from now on both clocks stand at the given values until changed again. */
void plx_clock_fake(uint64_t now_ms, uint64_t wall_ms);
void plx_clock_real(void); /* ends that */

#endif
