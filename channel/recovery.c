/* See recovery.h. */
#include "channel/recovery.h"

#include "base/json_scan.h"

/* A position's text with every character escaped is not longer. */
#define ESCAPED_MAX ((PLX_POSITION_TEXT + 1) * 6)

plx_since plx_recovery_read(plx_payload payload)
{
    static const char *const names[] = {"since"};
    plx_since since = {false, {"", 0}};
    plx_json_value value;
    plx_buf text;

    if (payload.kind != PLX_PAYLOAD_JSON ||
        plx_json_cut_object(payload.bytes, names, &value, 1) != 0 || value.type == PLX_JSON_NONE ||
        value.type == PLX_JSON_NULL)
        return since;
    since.given = true;
    if (value.type != PLX_JSON_STRING || value.text.len > ESCAPED_MAX)
        return since;
    plx_buf_init(&text, 0);
    if (plx_json_unquote(value.text, &text) == 0)
        plx_position_parse(plx_buf_slice(&text), &since.position);
    plx_buf_fini(&text);
    return since;
}

/* Whether a member's name (with its quotes) is one that we set. */
static bool is_ours(plx_slice key, bool with_position, bool given)
{
    plx_buf name;
    bool ours;

    plx_buf_init(&name, 0);
    plx_json_unquote(key, &name);
    ours = (with_position && plx_slice_is(plx_buf_slice(&name), "position")) ||
           (given && plx_slice_is(plx_buf_slice(&name), "recovered"));
    plx_buf_fini(&name);
    return ours;
}

static void copy_members(plx_slice object, bool with_position, bool given, plx_buf *out)
{
    plx_slice key;
    plx_json_value value;
    size_t pos = 0;

    while (plx_json_next(object, &pos, &key, &value)) {
        if (is_ours(key, with_position, given))
            continue;
        plx_buf_add(out, key);
        plx_buf_byte(out, ':');
        plx_buf_add(out, value.text);
        plx_buf_byte(out, ',');
    }
}

bool plx_recovery_respond(plx_payload response, const plx_position *position, bool given,
                          bool recovered, plx_buf *out)
{
    char text[PLX_POSITION_TEXT];
    plx_json_value object;

    if ((!position && !given) || response.kind != PLX_PAYLOAD_JSON ||
        plx_json_check(response.bytes, &object) != 0 || object.type != PLX_JSON_OBJECT)
        return false;
    plx_buf_byte(out, '{');
    copy_members(object.text, position, given, out);
    if (position) {
        plx_position_format(position, text);
        plx_buf_printf(out, "\"position\":\"%s\"%s", text, given ? "," : "");
    }
    if (given)
        plx_buf_printf(out, "\"recovered\":%s", recovered ? "true" : "false");
    plx_buf_byte(out, '}');
    return true;
}
