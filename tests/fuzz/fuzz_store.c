/* Fuzzing what the store reads back from Redis: messages of a topic, packed slots and queue
 * entries, positions, stream ids. What must hold: slices lie within the input; what unpacks packs
 * into the same bytes' meaning again; a position that parses prints as a text that parses.
 */
#include "store/session_pack.h"
#include "store/topic_internal.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void message(plx_slice in)
{
    plx_event *e = plx_topic_message_event(in, in);
    if (!e)
        return;
    must(e->from.len + e->event.len + e->payload.len < in.len);
    must(e->position.epoch[0] != '\0');
    plx_event_unref(e);
}

static void position(plx_slice in)
{
    plx_position p, again;
    char text[PLX_POSITION_TEXT];
    uint64_t n;
    plx_stream_id_parse(in, &n);
    if (plx_position_parse(in, &p) != 0)
        return;
    plx_position_format(&p, text);
    must(plx_position_parse(plx_slice_of(text), &again) == 0);
    must(strcmp(p.epoch, again.epoch) == 0 && p.offset == again.offset);
}

static void slot(plx_slice in)
{
    plx_slot one, two;
    plx_buf packed;
    if (plx_slot_unpack(in, &one) != 0)
        return;
    plx_buf_init(&packed, 0);
    plx_slot_pack(&packed, &one);
    must(plx_slot_unpack(plx_buf_slice(&packed), &two) == 0);
    must(plx_slice_eq(one.topic, two.topic) && one.start.offset == two.start.offset);
    must(one.diffs_after == two.diffs_after);
    plx_buf_fini(&packed);
}

static void queue_entry(plx_slice in)
{
    plx_q_entry one, two;
    plx_buf packed;
    if (plx_q_unpack(in, &one, NULL) != 0)
        return;
    plx_barrier *barriers = malloc((one.barrier_count + 1) * sizeof *barriers);
    must(barriers && plx_q_unpack(in, &one, barriers) == 0);
    plx_buf_init(&packed, 0);
    plx_q_pack(&packed, &one);
    must(plx_q_unpack(plx_buf_slice(&packed), &two, NULL) == 0);
    must(two.kind == one.kind && two.end == one.end && plx_slice_eq(one.text, two.text));
    must(two.barrier_count == one.barrier_count);
    plx_buf_fini(&packed);
    free(barriers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    plx_slice in = plx_slice_make(data, size);
    message(in);
    position(in);
    slot(in);
    queue_entry(in);
    return 0;
}
