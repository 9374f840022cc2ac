/* Writing: the envelopes in the order of members that Phoenix's servers use.
 *
 * Clients compare nothing but meaning; the order is kept so that recordings can be
 * compared byte for byte. A payload is copied as it came: it has passed the
 * scanner on its way in.
 */
#include "base/error.h"
#include "base/json_scan.h"
#include "transport/serializer.h"

/* First byte of a V2 binary frame from the server. */
enum { KIND_PUSH = 0, KIND_REPLY = 1, KIND_BROADCAST = 2 };

/* The text that stands for a binary response where no binary frame can go. */
#define NOT_BINARY "{\"response\":{\"reason\":\"binary\"},\"status\":\"error\"}"

void plx_encode_term(plx_term t, plx_buf *to)
{
    switch (t.kind) {
    case PLX_TERM_NULL:
        plx_buf_str(to, "null");
        return;
    case PLX_TERM_STRING:
        plx_json_quote(to, t.text);
        return;
    case PLX_TERM_JSON:
        plx_buf_add(to, t.text);
        return;
    }
}

/* ---- texts ---- */

/* What an envelope is made of: the parts are written around the payload, whose bytes are between
 * begin_text and end_text. */
typedef struct envelope {
    plx_term join_ref, ref, topic;
    plx_slice event;
} envelope;

static void begin_text(enum plx_vsn vsn, const envelope *e, plx_buf *to)
{
    if (vsn == PLX_V1) {
        plx_buf_str(to, "{\"event\":");
        plx_json_quote(to, e->event);
        plx_buf_str(to, ",\"payload\":");
        return;
    }
    const plx_term *const terms[] = {&e->join_ref, &e->ref, &e->topic};
    for (int i = 0; i < 3; i++) {
        plx_buf_byte(to, i == 0 ? '[' : ',');
        plx_encode_term(*terms[i], to);
    }
    plx_buf_byte(to, ',');
    plx_json_quote(to, e->event);
    plx_buf_byte(to, ',');
}

static void end_text(enum plx_vsn vsn, const envelope *e, plx_buf *to)
{
    if (vsn == PLX_V2) {
        plx_buf_byte(to, ']');
        return;
    }
    plx_buf_str(to, ",\"ref\":");
    plx_encode_term(e->ref, to);
    plx_buf_str(to, ",\"topic\":");
    plx_encode_term(e->topic, to);
    plx_buf_byte(to, '}');
}

/* PUSH, CLOSE, ERROR and the frame around a reply. */
static envelope envelope_of(const plx_out *out)
{
    envelope e = {.join_ref = out->join_ref, .topic = out->topic};
    switch (out->kind) {
    case PLX_OUT_REPLY:
        e.ref = out->ref;
        e.event = plx_slice_of("phx_reply");
        break;
    case PLX_OUT_PUSH:
        e.event = out->event; /* ref stays null */
        break;
    case PLX_OUT_CLOSE:
        e.ref = out->join_ref;
        e.event = plx_slice_of("phx_close");
        break;
    case PLX_OUT_ERROR:
        e.ref = out->join_ref;
        e.event = plx_slice_of("phx_error");
        break;
    }
    return e;
}

static void add_text(enum plx_vsn vsn, const plx_out *out, plx_buf *to)
{
    const envelope e = envelope_of(out);
    const plx_slice empty = PLX_LIT("{}");
    begin_text(vsn, &e, to);
    if (out->kind != PLX_OUT_REPLY) {
        plx_buf_add(to, out->kind == PLX_OUT_CLOSE ? empty : out->payload.bytes);
    } else if (out->payload.kind == PLX_PAYLOAD_BINARY) {
        plx_buf_str(to, NOT_BINARY);
    } else {
        plx_buf_str(to, "{\"response\":");
        plx_buf_add(to, out->payload.bytes);
        plx_buf_str(to, ",\"status\":");
        plx_json_quote(to, out->status);
        plx_buf_byte(to, '}');
    }
    end_text(vsn, &e, to);
}

/* ---- binary frames ---- */

/* kind, one byte for each length, the strings, the data. */
static int add_binary(unsigned char kind, const plx_slice *names, size_t count, plx_slice data,
                      plx_buf *to)
{
    for (size_t i = 0; i < count; i++) {
        if (names[i].len > 255)
            return PLX_E_TOOBIG;
    }
    plx_buf_byte(to, kind);
    for (size_t i = 0; i < count; i++)
        plx_buf_byte(to, (unsigned char)names[i].len);
    for (size_t i = 0; i < count; i++)
        plx_buf_add(to, names[i]);
    plx_buf_add(to, data);
    return 0;
}

/* There is no null in a binary frame: like Phoenix's, it becomes the empty string. */
static int add_binary_out(const plx_out *out, plx_buf *to)
{
    if (out->kind == PLX_OUT_REPLY) {
        const plx_slice names[] = {out->join_ref.text, out->ref.text, out->topic.text, out->status};
        return add_binary(KIND_REPLY, names, 4, out->payload.bytes, to);
    }
    const plx_slice names[] = {out->join_ref.text, out->topic.text, out->event};
    return add_binary(KIND_PUSH, names, 3, out->payload.bytes, to);
}

/* Whole or not at all: takes back what was appended when it did not fit. */
static int finish(plx_buf *to, size_t before, int rc)
{
    if (rc == 0 && !plx_buf_ok(to))
        rc = PLX_E_TOOBIG;
    if (rc != 0)
        to->len = before;
    return rc;
}

int plx_encode(enum plx_vsn vsn, bool allow_binary, const plx_out *out, plx_buf *to, bool *binary)
{
    size_t before = to->len;
    int rc = 0;
    bool has_data = out->payload.kind == PLX_PAYLOAD_BINARY &&
                    (out->kind == PLX_OUT_REPLY || out->kind == PLX_OUT_PUSH);
    bool as_binary = has_data && allow_binary && vsn == PLX_V2;
    if (has_data && !as_binary && out->kind == PLX_OUT_PUSH)
        return PLX_E_DENIED;
    if (as_binary)
        rc = add_binary_out(out, to);
    else
        add_text(vsn, out, to);
    rc = finish(to, before, rc);
    if (rc == 0)
        *binary = as_binary;
    return rc;
}

/* ---- broadcasts ---- */

static int add_broadcast_text(enum plx_vsn vsn, bool with_position, const plx_event *e, plx_buf *to)
{
    char position[PLX_POSITION_TEXT];
    envelope env = {.topic = {PLX_TERM_STRING, e->topic}, .event = e->event};
    if (with_position && e->kind == PLX_KIND_JSON) {
        plx_position_format(&e->position, position);
        env.ref = (plx_term){PLX_TERM_STRING, plx_slice_of(position)};
    }
    begin_text(vsn, &env, to);
    plx_buf_add(to, e->payload);
    end_text(vsn, &env, to);
    return 0;
}

int plx_encode_broadcast(enum plx_vsn vsn, bool allow_binary, bool with_position,
                         const plx_event *e, plx_buf *to, bool *binary)
{
    size_t before = to->len;
    bool as_binary = e->kind == PLX_KIND_BINARY;
    if (as_binary && (!allow_binary || vsn != PLX_V2 || e->topic.len > 255 || e->event.len > 255))
        return PLX_E_DENIED;
    const plx_slice names[] = {e->topic, e->event};
    int rc = as_binary ? add_binary(KIND_BROADCAST, names, 2, e->payload, to)
                       : add_broadcast_text(vsn, with_position, e, to);
    rc = finish(to, before, rc);
    if (rc == 0)
        *binary = as_binary;
    return rc;
}

plx_blob *plx_encode_event_quoted(enum plx_vsn vsn, bool with_position, plx_event *e)
{
    enum plx_encoding first = with_position ? PLX_ENC_V1_QUOTED_POSITION : PLX_ENC_V1_QUOTED;
    plx_blob **slot = &e->encoded[first + (vsn == PLX_V1 ? 0 : 1)];
    if (!*slot) {
        plx_buf text, quoted;
        bool binary;
        plx_buf_init(&text, 0);
        plx_buf_init(&quoted, 0);
        if (plx_encode_broadcast(vsn, false, with_position, e, &text, &binary) == 0) {
            plx_json_quote(&quoted, plx_buf_slice(&text));
            *slot = plx_blob_new(plx_buf_slice(&quoted));
        }
        plx_buf_fini(&text);
        plx_buf_fini(&quoted);
    }
    return *slot;
}
