/* Fuzzing the wire formats. The first byte chooses the version and the frame's kind, the rest is a
 * message; what must hold for one that is accepted:
 * - names are within their bound, the payload is a range of the input, a text's payload valid JSON;
 * - whatever is encoded with its parts can be read again: the same payload byte for byte (but for
 *   binary where none can go), the same refs, topic and event;
 * - what does not fit appends nothing.
 */
#include "base/error.h"
#include "base/json_scan.h"
#include "base/utf8.h"
#include "transport/serializer.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* ---- what came in ---- */

static void check_term(const plx_term *t)
{
    must(t->text.len <= PLX_NAME_MAX);
    must(t->kind != PLX_TERM_NULL || t->text.len == 0);
    if (t->kind == PLX_TERM_JSON)
        must(plx_json_check(t->text, NULL) == 0);
}

static void check_message(const plx_message *m, plx_slice input)
{
    check_term(&m->join_ref);
    check_term(&m->ref);
    check_term(&m->topic);
    check_term(&m->event);
    must(m->topic.kind != PLX_TERM_STRING || plx_utf8_valid(m->topic.text));
    must(m->payload.bytes.data >= input.data &&
         m->payload.bytes.data + m->payload.bytes.len <= input.data + input.len);
    if (m->payload.kind == PLX_PAYLOAD_JSON)
        must(plx_json_check(m->payload.bytes, NULL) == 0);
}

/* ---- what goes out ---- */

static plx_slice text_of(const plx_json_value *v, plx_buf *scratch)
{
    must(v->type == PLX_JSON_STRING && plx_json_unquote(v->text, scratch) == 0);
    return plx_buf_slice(scratch);
}

/* A term as it stands in a text. What is no UTF-8 (from a binary frame) was replaced. */
static void same_term(const plx_json_value *v, plx_term t)
{
    plx_buf scratch;
    plx_buf_init(&scratch, 0);
    if (t.kind == PLX_TERM_NULL)
        must(v->type == PLX_JSON_NULL);
    else if (t.kind == PLX_TERM_JSON)
        must(plx_slice_eq(v->text, t.text));
    else if (plx_utf8_valid(t.text))
        must(plx_slice_eq(text_of(v, &scratch), t.text));
    else
        must(v->type == PLX_JSON_STRING);
    plx_buf_fini(&scratch);
}

static void cut(enum plx_vsn vsn, plx_slice text, plx_json_value parts[5])
{
    static const char *const names[] = {"join_ref", "ref", "topic", "event", "payload"};
    size_t count = 5;
    int rc = vsn == PLX_V1 ? plx_json_cut_object(text, names, parts, 5)
                           : plx_json_cut_array(text, parts, 5, &count);
    must(rc == 0 && count == 5);
}

static void check_text(enum plx_vsn vsn, const plx_out *out, plx_slice text)
{
    static const char *const members[] = {"response", "status"};
    plx_json_value parts[5], reply[2];
    cut(vsn, text, parts);
    same_term(&parts[2], out->topic);
    if (vsn == PLX_V2)
        same_term(&parts[0], out->join_ref);
    if (out->kind == PLX_OUT_PUSH) {
        same_term(&parts[3], (plx_term){PLX_TERM_STRING, out->event});
        must(parts[1].type == PLX_JSON_NULL);
        must(plx_slice_eq(parts[4].text, out->payload.bytes));
        return;
    }
    same_term(&parts[1], out->ref);
    must(plx_json_cut_object(parts[4].text, members, reply, 2) == 0);
    if (out->payload.kind == PLX_PAYLOAD_JSON)
        must(plx_slice_eq(reply[0].text, out->payload.bytes));
    else
        must(plx_slice_is(reply[0].text, "{\"reason\":\"binary\"}"));
}

/* The data stand at the end of a binary frame, behind a header of this many bytes and the names. */
static void check_binary(const plx_out *out, plx_slice frame)
{
    size_t names =
        out->join_ref.text.len + out->topic.text.len +
        (out->kind == PLX_OUT_PUSH ? 4 + out->event.len : 5 + out->ref.text.len + out->status.len);
    must(frame.len == names + out->payload.bytes.len);
    must(frame.data[0] == (out->kind == PLX_OUT_PUSH ? 0 : 1));
    must(plx_slice_eq(plx_slice_make(frame.data + names, out->payload.bytes.len),
                      out->payload.bytes));
}

static void encode(enum plx_vsn vsn, bool allow_binary, const plx_out *out)
{
    plx_buf whole, small;
    bool binary = false;
    plx_buf_init(&whole, 0);
    int rc = plx_encode(vsn, allow_binary, out, &whole, &binary);
    must(rc == 0 || whole.len == 0);
    if (rc == 0) {
        must(!binary || (allow_binary && vsn == PLX_V2 && out->payload.kind == PLX_PAYLOAD_BINARY));
        if (binary)
            check_binary(out, plx_buf_slice(&whole));
        else
            check_text(vsn, out, plx_buf_slice(&whole));
        plx_buf_init(&small, whole.len - 1);
        must(plx_encode(vsn, allow_binary, out, &small, &binary) == PLX_E_TOOBIG && small.len == 0);
        plx_buf_fini(&small);
    } else {
        must(out->payload.kind == PLX_PAYLOAD_BINARY);
    }
    plx_buf_fini(&whole);
}

static void broadcast(const plx_message *m)
{
    static const plx_position position = {.epoch = "e", .offset = 7};
    enum plx_kind kind = m->payload.kind == PLX_PAYLOAD_JSON ? PLX_KIND_JSON : PLX_KIND_BINARY;
    plx_event *e = plx_event_new(m->topic.text, &position, kind, m->event.text, m->payload.bytes,
                                 plx_slice_make(NULL, 0));
    plx_json_value parts[5];
    for (int vsn = PLX_V1; vsn <= PLX_V2; vsn++) {
        plx_buf to;
        bool binary;
        plx_buf_init(&to, 0);
        int rc = plx_encode_broadcast(vsn, vsn == PLX_V2, true, e, &to, &binary);
        must(rc == 0 || kind == PLX_KIND_BINARY);
        if (rc == 0 && kind != PLX_KIND_BINARY) {
            cut(vsn, plx_buf_slice(&to), parts);
            must(plx_slice_is(parts[1].text, "\"e:7\"") && plx_slice_eq(parts[4].text, e->payload));
        }
        plx_buf_fini(&to);
    }
    plx_event_unref(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    enum plx_vsn vsn = data[0] & 1 ? PLX_V2 : PLX_V1, parsed;
    plx_slice input = plx_slice_make(data + 1, size - 1);
    plx_buf scratch;
    plx_message m;
    plx_vsn_parse(input, &parsed);
    plx_buf_init(&scratch, 0);
    if (plx_decode(vsn, data[0] & 2, input, &scratch, &m) == 0) {
        check_message(&m, input);
        plx_out out = {.kind = PLX_OUT_REPLY,
                       .join_ref = m.join_ref,
                       .ref = m.ref,
                       .topic = m.topic,
                       .event = m.event.text,
                       .status = PLX_LIT("ok"),
                       .payload = m.payload};
        for (int i = 0; i < 8; i++) {
            out.kind = i & 4 ? PLX_OUT_PUSH : PLX_OUT_REPLY;
            encode(i & 1 ? PLX_V1 : PLX_V2, i & 2, &out);
        }
        if (m.topic.kind == PLX_TERM_STRING && m.event.kind == PLX_TERM_STRING)
            broadcast(&m);
    }
    plx_buf_fini(&scratch);
    return 0;
}
