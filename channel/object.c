/* Members of JSON objects for modules that bring no JSON library: the last part of backend.h's
 * helpers. Built on the scanner, so that what they accept is what Pollux accepts. */
#include "base/error.h"
#include "base/json_scan.h"
#include "channel/backend.h"

#include <limits.h>
#include <stdlib.h>

/* Longest text of a number that is looked at. */
#define NUMBER_MAX 512

static plx_json_value member(plx_slice object, const char *name)
{
    plx_json_value value = {PLX_JSON_NONE, {NULL, 0}};

    if (plx_json_cut_object(object, &name, &value, 1) != 0)
        value = (plx_json_value){PLX_JSON_NONE, {NULL, 0}};
    return value;
}

plx_slice plx_object_get(plx_slice object, const char *name)
{
    return member(object, name).text;
}

int plx_object_text(plx_slice object, const char *name, char *out, size_t size)
{
    plx_json_value value = member(object, name);
    plx_buf text;
    int result;

    if (value.type != PLX_JSON_STRING)
        return PLX_E_NOTFOUND;
    plx_buf_init(&text, 0);
    result = plx_json_unquote(value.text, &text);
    if (result == 0 && (text.len >= size || text.len > INT_MAX))
        result = PLX_E_TOOBIG;
    else if (result == 0 && text.len > 0 && memchr(text.data, '\0', text.len))
        result = PLX_E_INVALID;
    if (result == 0) {
        if (text.len > 0)
            memcpy(out, text.data, text.len);
        out[text.len] = '\0';
        result = (int)text.len;
    }
    plx_buf_fini(&text);
    return result;
}

int plx_object_number(plx_slice object, const char *name, double *out)
{
    plx_json_value value = member(object, name);
    char text[NUMBER_MAX + 1];

    if (value.type != PLX_JSON_NUMBER || value.text.len > NUMBER_MAX)
        return PLX_E_NOTFOUND;
    memcpy(text, value.text.data, value.text.len);
    text[value.text.len] = '\0';
    *out = strtod(text, NULL);
    return 0;
}
