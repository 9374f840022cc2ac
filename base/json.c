/* The edge to json-c: its parser behind the scanner, its builders with memory that can't fail. */
#include "base/json.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "base/utf8.h"

#include <assert.h>
#include <json-c/json_tokener.h>
#include <limits.h>

/* What json-c says no to is never the value: it is memory. */
static void must(bool worked)
{
    if (!worked)
        plx_alloc_check(NULL);
}

int plx_json_read(plx_slice text, json_object **out)
{
    json_tokener *tokener;
    json_object *value;

    if (text.len > INT_MAX || plx_json_check(text, NULL) != 0)
        return PLX_E_INVALID;
    tokener = plx_alloc_check(json_tokener_new_ex(PLX_JSON_DEPTH + 1));
    value = json_tokener_parse_ex(tokener, text.data, (int)text.len);
    /* A number or a word at the very end could go on. */
    if (json_tokener_get_error(tokener) == json_tokener_continue)
        value = json_tokener_parse_ex(tokener, " ", 1);
    /* It accepts whatever the scanner does (tests/fuzz/fuzz_json_scan.c); what is left is memory.
     */
    if (json_tokener_get_error(tokener) != json_tokener_success)
        plx_alloc_check(NULL);
    json_tokener_free(tokener);
    *out = value;
    return 0;
}

plx_slice plx_json_text(json_object *value)
{
    if (!json_object_is_type(value, json_type_string))
        return plx_slice_make(NULL, 0);
    return plx_slice_make(json_object_get_string(value), (size_t)json_object_get_string_len(value));
}

json_object *plx_json_new_object(void)
{
    return plx_alloc_check(json_object_new_object());
}

json_object *plx_json_new_array(void)
{
    return plx_alloc_check(json_object_new_array());
}

json_object *plx_json_new_text(plx_slice text)
{
    assert(text.len <= INT_MAX && plx_utf8_valid(text));
    return plx_alloc_check(json_object_new_string_len(text.data ? text.data : "", (int)text.len));
}

json_object *plx_json_new_number(uint64_t n)
{
    return plx_alloc_check(json_object_new_uint64(n));
}

/* json-c lets a value say how it is written; which value that is, is all the same. */
json_object *plx_json_new_verbatim(plx_slice json)
{
    json_object *value = plx_alloc_check(json_object_new_boolean(0));

    assert(json.len <= INT_MAX);
    json_object_set_serializer(value, json_object_userdata_to_json_string, plx_slice_dup(json),
                               json_object_free_userdata);
    return value;
}

void plx_json_put(json_object *object, const char *name, json_object *value)
{
    must(json_object_object_add(object, name, value) == 0);
}

void plx_json_push(json_object *array, json_object *value)
{
    must(json_object_array_add(array, value) == 0);
}

int plx_json_write(plx_buf *out, json_object *value)
{
    size_t len;
    const char *text = plx_alloc_check((void *)json_object_to_json_string_length(
        value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len));

    return plx_buf_append(out, text, len);
}
