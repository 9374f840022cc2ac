/* Time, which stands still but for plx_test_advance. */
#include "base/clock.h"
#include "tests/kit/kit.h"
#include <stdio.h>
#include <stdlib.h>

void plx_kit_clock_set(plx_test *t, uint64_t now_ms)
{
    t->now_ms = now_ms;
    plx_clock_fake(now_ms, KIT_WALL_MS + now_ms);
}

void plx_test_advance(plx_test *t, uint64_t ms)
{
    plx_kit_clock_set(t, t->now_ms + ms);
    plx_kit_settle(t);
}

void plx_test_broadcast(plx_test *t, const char *topic, const char *event, const char *json)
{
    char *text = plx_kit_json(json ? json : "{}");

    if (!text) {
        fprintf(stderr, "pollux-test: what is broadcast must be JSON, not %s\n", json);
        abort();
    }
    plx_kit_append(t, plx_kit_topic(t, plx_slice_of(topic)), PLX_KIND_JSON, plx_slice_of(event),
                   plx_slice_of(text), plx_slice_of(NULL));
    free(text);
    plx_kit_settle(t);
}
