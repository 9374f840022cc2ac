/* See breaker.h. */
#include "channel/breaker.h"

bool plx_breaker_pass(plx_breaker *b, uint64_t now_ms, bool *trial)
{
    *trial = b->open;
    if (!b->open)
        return true;
    if (b->trying || now_ms < b->until_ms)
        return false;
    b->trying = true;
    return true;
}

void plx_breaker_good(plx_breaker *b, uint64_t now_ms)
{
    *b = (plx_breaker){.good_ms = now_ms};
}

static void pause_for(plx_breaker *b, uint64_t now_ms, uint64_t pause_ms)
{
    b->until_ms = now_ms + pause_ms;
    b->next_pause_ms =
        pause_ms < PLX_BREAKER_PAUSE_MAX_MS / 2 ? pause_ms * 2 : PLX_BREAKER_PAUSE_MAX_MS;
}

bool plx_breaker_bad(plx_breaker *b, uint64_t now_ms, uint64_t begun_ms, bool trial)
{
    if (b->open && trial) {
        b->trying = false;
        pause_for(b, now_ms, b->next_pause_ms);
        return false;
    }
    if (b->open || begun_ms < b->good_ms || ++b->failures < PLX_BREAKER_FAILURES)
        return false;
    b->open = true;
    pause_for(b, now_ms, PLX_BREAKER_PAUSE_MS);
    return true;
}
