/* Texts of JSON as authors of tests write them, and patterns. */
#include "base/json_scan.h"
#include "tests/kit/kit.h"
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

/* json-c takes single quotes for quotes, which is what tests want. Returns false when the text is
 * no JSON; *out may be NULL (null). */
static bool parse(const char *text, json_object **out)
{
    json_tokener *tok = json_tokener_new_ex(PLX_JSON_DEPTH + 1);
    size_t len = strlen(text);
    bool good;

    plx_alloc_check(tok);
    *out = json_tokener_parse_ex(tok, text, (int)len + 1);
    good = json_tokener_get_error(tok) == json_tokener_success;
    if (good && json_tokener_get_parse_end(tok) < len) {
        const char *rest = text + json_tokener_get_parse_end(tok);
        good = rest[strspn(rest, " \t\r\n")] == '\0';
    }
    json_tokener_free(tok);
    return good;
}

/* A text that is JSON already is passed on as it is, with its white space and its numbers. */
char *plx_kit_json(const char *text)
{
    json_object *value;
    char *strict;

    if (plx_json_check(plx_slice_of(text), NULL) == 0)
        return plx_strdup(text);
    if (!parse(text, &value))
        return NULL;
    strict = plx_strdup(value ? json_object_to_json_string_ext(
                                    value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
                              : "null");
    json_object_put(value);
    if (plx_json_check(plx_slice_of(strict), NULL) == 0)
        return strict;
    free(strict);
    return NULL;
}

static bool is_wildcard(json_object *pattern)
{
    return json_object_is_type(pattern, json_type_string) &&
           strcmp(json_object_get_string(pattern), "_") == 0;
}

static bool is_number(json_object *value)
{
    return json_object_is_type(value, json_type_int) ||
           json_object_is_type(value, json_type_double);
}

static bool matches(json_object *pattern, json_object *value);

static bool has_members(json_object *pattern, json_object *value)
{
    json_object_object_foreach(pattern, name, wanted)
    {
        json_object *found;
        if (!json_object_object_get_ex(value, name, &found) || !matches(wanted, found))
            return false;
    }
    return true;
}

static bool has_elements(json_object *pattern, json_object *value)
{
    size_t count = json_object_array_length(pattern);

    if (json_object_array_length(value) != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!matches(json_object_array_get_idx(pattern, i), json_object_array_get_idx(value, i)))
            return false;
    return true;
}

/* As deep as parse() lets through. */
static bool matches(json_object *pattern, json_object *value)
{
    if (is_wildcard(pattern))
        return true;
    if (is_number(pattern) && is_number(value))
        return json_object_get_double(pattern) == json_object_get_double(value);
    if (json_object_get_type(pattern) != json_object_get_type(value))
        return false;
    if (json_object_is_type(pattern, json_type_object))
        return has_members(pattern, value);
    if (json_object_is_type(pattern, json_type_array))
        return has_elements(pattern, value);
    return json_object_equal(pattern, value);
}

bool plx_kit_match(const char *pattern, const char *json)
{
    json_object *wanted, *value;
    bool good;

    if (!pattern)
        return true;
    if (!parse(pattern, &wanted)) {
        fprintf(stderr, "pollux-test: this pattern is no JSON: %s\n", pattern);
        abort();
    }
    good = parse(json, &value);
    if (good) {
        good = matches(wanted, value);
        json_object_put(value);
    }
    json_object_put(wanted);
    return good;
}
