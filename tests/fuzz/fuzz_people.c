/* Fuzzing a worker's copy of a topic's presence: diffs and states as events carry them, entries as
 * Redis holds them. What must hold: whatever was taken, the state is valid JSON that reads back as
 * the same.
 */
#include "base/json_scan.h"
#include "store/people.h"
#include "store/presence.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void check(const plx_people *p)
{
    plx_people again;
    plx_buf one, two;
    plx_buf_init(&one, 0);
    plx_buf_init(&two, 0);
    plx_people_init(&again);
    plx_people_json(p, &one);
    must(plx_json_check(plx_buf_slice(&one), NULL) == 0);
    must(plx_people_read(&again, plx_buf_slice(&one)) == 0);
    must(plx_people_count(p) == plx_people_count(&again));
    plx_people_json(&again, &two);
    must(plx_slice_eq(plx_buf_slice(&one), plx_buf_slice(&two)));
    plx_people_fini(&again);
    plx_buf_fini(&one);
    plx_buf_fini(&two);
}

static void take(plx_people *p, plx_slice in)
{
    char ref[] = "0123456789abcdef", *packed = plx_slice_dup(in);
    redisReply name = {.type = REDIS_REPLY_STRING, .str = ref, .len = PLX_PHX_REF_LEN};
    redisReply entry = {.type = REDIS_REPLY_STRING, .str = packed, .len = in.len};
    redisReply *both[] = {&name, &entry};
    redisReply entries = {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = both};
    plx_people_take(p, &entries);
    free(packed);
}

static void event(plx_slice in)
{
    const plx_position position = {"E", 1};
    plx_event *e = plx_event_new(plx_slice_of("t"), &position, PLX_KIND_PRESENCE,
                                 plx_slice_of("presence_diff"), in, plx_slice_make(NULL, 0));
    plx_diff_joins(e, plx_slice_of("0123456789abcdef"));
    plx_event_unref(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    plx_slice in = plx_slice_make(data, size);
    plx_people p;
    plx_people_init(&p);
    take(&p, in);
    check(&p);
    plx_people_apply(&p, in);
    check(&p);
    plx_people_read(&p, in);
    check(&p);
    event(in);
    plx_people_fini(&p);
    return 0;
}
