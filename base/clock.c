/* Both clocks, and the switch that lets tests stand still.
 *
 * The switch is atomic because the log asks for the time from every thread.
 */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

static atomic_bool faked;
static _Atomic uint64_t fake_now_ms, fake_wall_ms;

static uint64_t read_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t plx_now_ms(void)
{
    return faked ? fake_now_ms : read_ms(CLOCK_MONOTONIC);
}

uint64_t plx_wall_ms(void)
{
    return faked ? fake_wall_ms : read_ms(CLOCK_REALTIME);
}

void plx_clock_fake(uint64_t now_ms, uint64_t wall_ms)
{
    fake_now_ms = now_ms;
    fake_wall_ms = wall_ms;
    faked = true;
}

void plx_clock_real(void)
{
    faked = false;
}
