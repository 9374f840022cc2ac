/* See lp_opening.h. */
#include "transport/lp_opening.h"

#include "base/alloc.h"
#include "channel/recovery.h"

#include <stdlib.h>

struct plx_lp_opening {
    plx_position told;
    plx_term join_ref, ref, topic;
    plx_slice response;
    char bytes[];
};

static plx_term place_term(char **end, plx_term t)
{
    return (plx_term){t.kind, plx_slice_place(end, t.text)};
}

plx_lp_opening *plx_lp_opening_new(const plx_out *out)
{
    if (!out->membership->entry->config->has_history || out->payload.kind != PLX_PAYLOAD_JSON)
        return NULL;
    plx_lp_opening *o = plx_alloc(sizeof *o + out->join_ref.text.len + out->ref.text.len +
                                  out->topic.text.len + out->payload.bytes.len);
    char *end = o->bytes;
    o->told = out->membership->start;
    o->join_ref = place_term(&end, out->join_ref);
    o->ref = place_term(&end, out->ref);
    o->topic = place_term(&end, out->topic);
    o->response = plx_slice_place(&end, out->payload.bytes);
    return o;
}

void plx_lp_opening_free(plx_lp_opening *o)
{
    free(o);
}

bool plx_lp_opening_moved(const plx_lp_opening *o, const plx_position *start, enum plx_vsn vsn,
                          plx_slice *text)
{
    plx_buf response, encoded;
    bool binary, moved = false;
    if (!o || (o->told.offset == start->offset && strcmp(o->told.epoch, start->epoch) == 0))
        return false;
    plx_buf_init(&response, 0);
    plx_buf_init(&encoded, PLX_Q_MESSAGE);
    /* Its other members stay as they are, "recovered" among them. */
    if (plx_recovery_respond((plx_payload){PLX_PAYLOAD_JSON, o->response}, start, false, false,
                             &response)) {
        const plx_out out = {.kind = PLX_OUT_REPLY,
                             .join_ref = o->join_ref,
                             .ref = o->ref,
                             .topic = o->topic,
                             .status = plx_slice_of("ok"),
                             .payload = {PLX_PAYLOAD_JSON, plx_buf_slice(&response)}};
        moved = plx_encode(vsn, false, &out, &encoded, &binary) == 0;
    }
    if (moved)
        *text = plx_slice_copy(plx_buf_slice(&encoded));
    plx_buf_fini(&response);
    plx_buf_fini(&encoded);
    return moved;
}
