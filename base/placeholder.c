/* The syntax of templates. */
#include "base/placeholder.h"
#include "base/error.h"
#include <ctype.h>

static bool valid_name(plx_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (!isalnum(c) && c != '_' && c != '-')
            return false;
    }
    return s.len > 0 && s.len <= PLX_PLACEHOLDER_NAME;
}

/* What stands between the braces. */
static int parse_inside(plx_slice inside, plx_placeholder *out)
{
    static const plx_slice prefixes[] = {PLX_LIT("params."), PLX_LIT("claims.")};
    for (size_t i = 0; i < 2; i++) {
        if (!plx_slice_starts(inside, prefixes[i]))
            continue;
        plx_slice name =
            plx_slice_make(inside.data + prefixes[i].len, inside.len - prefixes[i].len);
        if (!valid_name(name))
            return PLX_E_INVALID;
        out->kind = i == 0 ? PLX_PLACE_PARAM : PLX_PLACE_CLAIM;
        out->text = name;
        return 1;
    }
    return PLX_E_INVALID;
}

int plx_placeholder_next(plx_slice *rest, plx_placeholder *out)
{
    size_t n = 0;
    while (n < rest->len && rest->data[n] != '{' && rest->data[n] != '}')
        n++;
    if (n > 0) {
        out->kind = PLX_PLACE_TEXT;
        out->text = plx_slice_make(rest->data, n);
        *rest = plx_slice_make(rest->data + n, rest->len - n);
        return 1;
    }
    if (rest->len == 0)
        return 0;
    const char *close = memchr(rest->data, '}', rest->len);
    if (rest->data[0] == '}' || !close)
        return PLX_E_INVALID;
    size_t len = (size_t)(close - rest->data);
    int found = parse_inside(plx_slice_make(rest->data + 1, len - 1), out);
    if (found == 1)
        *rest = plx_slice_make(rest->data + len + 1, rest->len - len - 1);
    return found;
}

bool plx_template_valid(plx_slice tmpl)
{
    plx_placeholder part;
    int found;
    if (tmpl.len == 0)
        return false;
    do
        found = plx_placeholder_next(&tmpl, &part);
    while (found == 1);
    return found == 0;
}
