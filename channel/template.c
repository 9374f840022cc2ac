/* Filling in templates. */
#include "channel/template.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_scan.h"
#include "base/placeholder.h"

static int append_string(plx_slice string, plx_buf *out)
{
    json_object *value;
    if (plx_json_read(string, &value) != 0)
        return PLX_E_INVALID;
    plx_slice text = plx_json_text(value);
    int err = memchr(text.data, 0, text.len) ? PLX_E_NOTFOUND : plx_buf_add(out, text);
    json_object_put(value);
    return err;
}

/* Appends a member's value: a string's bytes, a number's text (json-c would cut off what is beyond
 * 64 bits, and give two users one id). */
static int append_value(const plx_json_value *v, plx_buf *out)
{
    switch (v->type) {
    case PLX_JSON_NUMBER:
        return plx_buf_add(out, v->text);
    case PLX_JSON_STRING:
        return append_string(v->text, out);
    default:
        return PLX_E_NOTFOUND;
    }
}

static int append_member(plx_slice object, plx_slice name, plx_buf *out)
{
    char terminated[PLX_PLACEHOLDER_NAME + 1];
    const char *names[1] = {terminated};
    plx_json_value v;
    if (object.len == 0)
        return PLX_E_NOTFOUND;
    memcpy(terminated, name.data, name.len);
    terminated[name.len] = '\0';
    int err = plx_json_cut_object(object, names, &v, 1);
    return err ? err : append_value(&v, out);
}

int plx_template_expand(const char *tmpl, plx_slice params_json, plx_slice claims_json,
                        plx_buf *out)
{
    plx_slice rest = plx_slice_of(tmpl);
    plx_placeholder part;
    plx_buf result;
    int more, err = 0;
    /* Put together aside, so that a failure leaves out alone and the bound holds for this text. */
    plx_buf_init(&result, PLX_TEMPLATE_MAX);
    while (err == 0 && (more = plx_placeholder_next(&rest, &part)) != 0) {
        if (more < 0)
            err = more;
        else if (part.kind == PLX_PLACE_TEXT)
            err = plx_buf_add(&result, part.text);
        else
            err = append_member(part.kind == PLX_PLACE_PARAM ? params_json : claims_json, part.text,
                                &result);
    }
    if (err == 0 && result.len > 0)
        err = plx_buf_add(out, plx_buf_slice(&result));
    plx_buf_fini(&result);
    return err;
}
