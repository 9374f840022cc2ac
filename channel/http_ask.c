/* An envelope of fixed shape around texts that are JSON already: written as it stands, without
 * json-c, like the serializers' envelopes. */
#include "channel/http_ask.h"

#include "base/base64.h"
#include "base/json_scan.h"

/* ,"name": */
static void name_member(plx_buf *out, const char *name)
{
    plx_buf_str(out, ",\"");
    plx_buf_str(out, name);
    plx_buf_str(out, "\":");
}

static void add_text(plx_buf *out, const char *name, plx_slice text)
{
    name_member(out, name);
    plx_json_quote(out, text);
}

static void add_json(plx_buf *out, const char *name, plx_slice json)
{
    name_member(out, name);
    plx_buf_add(out, json);
}

static void add_payload(plx_buf *out, plx_payload payload)
{
    if (payload.kind == PLX_PAYLOAD_JSON) {
        add_json(out, "payload", payload.bytes);
        return;
    }
    name_member(out, "payload_base64");
    plx_buf_byte(out, '"');
    plx_base64_encode(out, payload.bytes, PLX_B64_STANDARD);
    plx_buf_byte(out, '"');
}

static void add_ref(plx_buf *out, plx_term ref)
{
    if (ref.kind == PLX_TERM_STRING)
        add_text(out, "ref", ref.text);
    else
        add_json(out, "ref", ref.kind == PLX_TERM_JSON ? ref.text : plx_slice_of("null"));
}

static void add_socket(plx_buf *out, const plx_channel *ch)
{
    plx_slice id = plx_channel_socket_id(ch);

    plx_buf_str(out, ",\"socket\":{\"id\":");
    if (id.len > 0)
        plx_json_quote(out, id);
    else
        plx_buf_str(out, "null");
    add_text(out, "session", plx_channel_session(ch));
    add_text(out, "transport", plx_channel_transport(ch));
    add_json(out, "claims", plx_channel_claims(ch));
    add_json(out, "params", plx_channel_params(ch));
    add_json(out, "assigns", plx_channel_assigns(ch));
    plx_buf_byte(out, '}');
}

void plx_http_ask_write(const plx_http_ask *ask, plx_buf *out)
{
    static const char *const hooks[] = {"join", "push", "leave"};
    static const char *const reasons[] = {"left", "closed", "expired", "crashed"};

    plx_buf_printf(out, "{\"hook\":\"%s\"", hooks[ask->question]);
    add_text(out, "topic", plx_channel_topic(ask->channel));
    add_text(out, "message_id", ask->message_id);
    if (ask->question == PLX_HTTP_PUSH) {
        add_text(out, "event", ask->event);
        add_ref(out, ask->ref);
    }
    if (ask->question == PLX_HTTP_LEAVE)
        add_text(out, "reason", plx_slice_of(reasons[ask->reason]));
    else
        add_payload(out, ask->payload);
    add_socket(out, ask->channel);
    plx_buf_byte(out, '}');
}
