/* The assigns of a membership: a JSON object in the bytes that the backend gave, and its members.
 */
#include "base/error.h"
#include "base/json_scan.h"
#include "channel/socket_core.h"

#include <stdlib.h>

plx_slice plx_channel_assigns(const plx_channel *ch)
{
    const plx_membership *m = (const plx_membership *)ch;

    return m->assigns.len > 0 ? m->assigns : plx_slice_of("{}");
}

int plx_channel_assign(plx_channel *ch, plx_slice json_object)
{
    plx_membership *m = (plx_membership *)ch;
    plx_json_value value;
    char *old = (char *)m->assigns.data;

    if (json_object.len > PLX_ASSIGNS_MAX)
        return PLX_E_TOOBIG;
    if (plx_json_check(json_object, &value) != 0 || value.type != PLX_JSON_OBJECT)
        return PLX_E_INVALID;
    m->assigns = plx_slice_copy(value.text);
    m->assigns_changed = true;
    if (m->noted)
        plx_record_note(m);
    free(old); /* only now: the new text may lie in it */
    return 0;
}

plx_slice plx_channel_get(const plx_channel *ch, const char *name)
{
    return plx_object_get(plx_channel_assigns(ch), name);
}

static bool is_named(plx_slice key, const char *name)
{
    plx_buf text;
    bool same;

    plx_buf_init(&text, 0);
    same = plx_json_unquote(key, &text) == 0 && plx_slice_is(plx_buf_slice(&text), name);
    plx_buf_fini(&text);
    return same;
}

static void add_member(plx_buf *out, plx_slice quoted_name, plx_slice value)
{
    plx_buf_byte(out, out->len == 0 ? '{' : ',');
    plx_buf_add(out, quoted_name);
    plx_buf_byte(out, ':');
    plx_buf_add(out, value);
}

/* The assigns without the member `name`, and open at the end. */
static void copy_others(plx_slice assigns, const char *name, plx_buf *out)
{
    size_t pos = 0;
    plx_slice key;
    plx_json_value value;

    while (plx_json_next(assigns, &pos, &key, &value))
        if (!is_named(key, name))
            add_member(out, key, value.text);
}

int plx_channel_put(plx_channel *ch, const char *name, plx_slice json)
{
    plx_json_value value;
    plx_buf out, quoted;
    int err = 0;

    if (json.len > PLX_ASSIGNS_MAX)
        return PLX_E_TOOBIG;
    if (json.len > 0 && plx_json_check(json, &value) != 0)
        return PLX_E_INVALID;
    plx_buf_init(&out, 0);
    plx_buf_init(&quoted, 0);
    copy_others(plx_channel_assigns(ch), name, &out);
    if (json.len > 0 && (err = plx_json_quote(&quoted, plx_slice_of(name))) == 0)
        add_member(&out, plx_buf_slice(&quoted), value.text);
    plx_buf_str(&out, out.len == 0 ? "{}" : "}");
    if (err == 0)
        err = plx_channel_assign(ch, plx_buf_slice(&out));
    plx_buf_fini(&quoted);
    plx_buf_fini(&out);
    return err;
}
