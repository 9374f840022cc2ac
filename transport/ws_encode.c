/* Frames: serialized behind room for the header, then copied once into their blob. */
#include "transport/ws_encode.h"
#include "base/error.h"

#include <assert.h>

/* A scratch buffer that grew larger is given back after its message. */
#define KEPT_BYTES ((size_t)65536)

/* Where the WebSocket daemon keeps its frames in plx_event.encoded. */
enum {
    SLOT_V1_TEXT = PLX_ENC_TRANSPORT,
    SLOT_V2_TEXT,
    SLOT_V1_DEFLATED,
    SLOT_V2_DEFLATED,
    SLOT_V2_TAIL,  /* a text frame's payload behind the join_ref */
    SLOT_POSITION, /* the same four with a position */
    SLOT_V2_BINARY = SLOT_POSITION + 4,
    SLOTS
};
_Static_assert(SLOTS <= PLX_EVENT_ENCODINGS, "an event has room for all forms");

void plx_ws_encoder_init(plx_ws_encoder *e)
{
    *e = (plx_ws_encoder){.zip = plx_ws_zip_new()};
    plx_buf_init(&e->scratch, 0);
}

void plx_ws_encoder_fini(plx_ws_encoder *e)
{
    plx_ws_zip_free(e->zip);
    plx_buf_fini(&e->scratch);
}

static plx_blob *frame_of(enum plx_ws_opcode opcode, bool compressed, plx_slice payload)
{
    char header[PLX_WS_HEADER_MAX];
    size_t n = plx_ws_header(header, opcode, compressed, payload.len);
    plx_blob *b = plx_blob_new(plx_slice_make(NULL, n + payload.len));
    memcpy(b->data, header, n);
    if (payload.len > 0)
        memcpy(b->data + n, payload.data, payload.len);
    return b;
}

plx_blob *plx_ws_encode_control(enum plx_ws_opcode opcode, plx_slice payload)
{
    assert(payload.len <= 125);
    return frame_of(opcode, false, payload);
}

plx_blob *plx_ws_encode_close(unsigned code, plx_slice reason)
{
    char payload[125] = {(char)(code >> 8), (char)code};
    assert(reason.len <= sizeof payload - 2);
    if (reason.len > 0)
        memcpy(payload + 2, reason.data, reason.len);
    return plx_ws_encode_control(PLX_WS_OP_CLOSE, plx_slice_make(payload, 2 + reason.len));
}

static void begin(plx_ws_encoder *e)
{
    if (e->scratch.cap > KEPT_BYTES)
        plx_buf_fini(&e->scratch);
    plx_buf_clear(&e->scratch);
}

/* The frame of what is in the scratch buffer, deflated when that pays. */
static plx_blob *finish(plx_ws_encoder *e, const plx_ws_deflate *deflate, bool binary)
{
    plx_slice payload = plx_buf_slice(&e->scratch), packed;
    enum plx_ws_opcode opcode = binary ? PLX_WS_OP_BINARY : PLX_WS_OP_TEXT;
    if (!binary && plx_ws_deflate_wanted(deflate, payload.len) &&
        plx_ws_deflate_message(e->zip, payload, &packed) == 0)
        return frame_of(opcode, true, packed);
    return frame_of(opcode, false, payload);
}

plx_blob *plx_ws_encode_out(plx_ws_encoder *e, enum plx_vsn vsn, const plx_ws_deflate *deflate,
                            const plx_out *out)
{
    bool binary;
    begin(e);
    int rc = plx_encode(vsn, true, out, &e->scratch, &binary);
    if (rc == PLX_E_TOOBIG) /* names that a binary header can't say */
        rc = plx_encode(vsn, false, out, &e->scratch, &binary);
    if (rc != 0) {
        e->skipped++;
        return NULL;
    }
    return finish(e, deflate, binary);
}

/* v1: SLOT_V1_TEXT or SLOT_V1_DEFLATED. */
static unsigned text_slot(unsigned v1, enum plx_vsn vsn, bool with_position)
{
    return v1 + (vsn == PLX_V1 ? 0 : 1) + (with_position ? SLOT_POSITION - SLOT_V1_TEXT : 0);
}

/* The broadcast as it is, kept with the event. */
static plx_blob *plain(plx_ws_encoder *e, enum plx_vsn vsn, bool with_position, plx_event *event)
{
    bool binary = event->kind == PLX_KIND_BINARY;
    plx_blob **slot =
        &event->encoded[binary ? SLOT_V2_BINARY : text_slot(SLOT_V1_TEXT, vsn, with_position)];
    if (binary && vsn != PLX_V2)
        return NULL;
    if (!*slot) {
        begin(e);
        if (plx_encode_broadcast(vsn, true, with_position, event, &e->scratch, &binary) != 0)
            return NULL;
        *slot =
            frame_of(binary ? PLX_WS_OP_BINARY : PLX_WS_OP_TEXT, false, plx_buf_slice(&e->scratch));
    }
    return *slot;
}

/* The payload of one of our own frames. */
static plx_slice payload_of(const plx_blob *frame)
{
    size_t header = (unsigned char)frame->data[1] < 126    ? 2
                    : (unsigned char)frame->data[1] == 126 ? 4
                                                           : 10;
    return plx_slice_make(frame->data + header, frame->len - header);
}

plx_blob *plx_ws_encode_event(plx_ws_encoder *e, enum plx_vsn vsn, const plx_ws_deflate *deflate,
                              bool with_position, plx_event *event)
{
    plx_slice packed;
    plx_blob *frame = plain(e, vsn, with_position, event);
    if (!frame) {
        e->skipped++;
        return NULL;
    }
    plx_slice payload = payload_of(frame);
    if (event->kind == PLX_KIND_BINARY || !plx_ws_deflate_wanted(deflate, payload.len))
        return frame;
    plx_blob **slot = &event->encoded[text_slot(SLOT_V1_DEFLATED, vsn, with_position)];
    if (!*slot) /* where it does not pay, the plain frame stands there too: tried once */
        *slot = plx_ws_deflate_message(e->zip, payload, &packed) == 0
                    ? frame_of(PLX_WS_OP_TEXT, true, packed)
                    : plx_blob_ref(frame);
    return *slot;
}

/* "[null" is where every text of a broadcast begins: the rest is the same for all. */
static plx_blob *tail_of(plx_ws_encoder *e, plx_event *event)
{
    plx_blob **slot = &event->encoded[SLOT_V2_TAIL];
    const plx_slice head = PLX_LIT("[null");
    bool binary;
    begin(e);
    if (!*slot && plx_encode_broadcast(PLX_V2, true, false, event, &e->scratch, &binary) == 0)
        *slot = plx_blob_new(plx_slice_make(e->scratch.data + head.len, e->scratch.len - head.len));
    return *slot;
}

/* Small ones, and those that may be deflated, are made like any other push. */
static plx_blob *push_of(plx_ws_encoder *e, enum plx_vsn vsn, const plx_ws_deflate *deflate,
                         plx_term join_ref, const plx_event *event)
{
    const plx_out out = {.kind = PLX_OUT_PUSH,
                         .join_ref = join_ref,
                         .topic = {PLX_TERM_STRING, event->topic},
                         .event = event->event,
                         .payload = {PLX_PAYLOAD_JSON, event->payload}};
    return plx_ws_encode_out(e, vsn, deflate, &out);
}

bool plx_ws_encode_pushed(plx_ws_encoder *e, enum plx_vsn vsn, const plx_ws_deflate *deflate,
                          plx_term join_ref, plx_event *event, bool whole, plx_blob *parts[2])
{
    parts[0] = parts[1] = NULL;
    if (whole || event->payload.len < PLX_WS_SHARED_BYTES) {
        parts[0] = push_of(e, vsn, deflate, join_ref, event);
        return parts[0] != NULL;
    }
    if (vsn == PLX_V1) { /* there is no join_ref */
        plx_blob *frame = plx_ws_encode_event(e, vsn, deflate, false, event);
        parts[0] = frame ? plx_blob_ref(frame) : NULL;
        return frame != NULL;
    }
    plx_blob *tail = tail_of(e, event);
    if (!tail)
        return false;
    begin(e);
    plx_buf_byte(&e->scratch, '[');
    plx_encode_term(join_ref, &e->scratch);
    char header[PLX_WS_HEADER_MAX];
    size_t n = plx_ws_header(header, PLX_WS_OP_TEXT, false, e->scratch.len + tail->len);
    parts[0] = plx_blob_new(plx_slice_make(NULL, n + e->scratch.len));
    memcpy(parts[0]->data, header, n);
    memcpy(parts[0]->data + n, e->scratch.data, e->scratch.len);
    parts[1] = plx_blob_ref(tail);
    return true;
}
