/* Reading the recordings under tests/vectors from a unit test (run from the root of the tree). */
#ifndef PLX_TESTS_VECTORS_H
#define PLX_TESTS_VECTORS_H

#include "base/base64.h"
#include <assert.h>
#include <json-c/json.h>
#include <stdio.h>

/* The whole recording; put it back with json_object_put. (Not json_object_from_file, which gives up
 * on deep nesting.) */
static inline json_object *vector_load(const char *name)
{
    char path[512], chunk[65536];
    snprintf(path, sizeof path, "tests/vectors/%s.json", name);
    FILE *f = fopen(path, "rb");
    assert(f);
    json_tokener *t = json_tokener_new_ex(1000);
    json_object *o = NULL;
    for (size_t n; !o && (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
        o = json_tokener_parse_ex(t, chunk, (int)n);
    fclose(f);
    json_tokener_free(t);
    assert(o);
    return o;
}

static inline json_object *vector_steps(json_object *recording)
{
    return json_object_object_get(recording, "steps");
}

static inline plx_slice vector_text(json_object *o, const char *member)
{
    json_object *v = json_object_object_get(o, member);
    return v ? plx_slice_make(json_object_get_string(v), (size_t)json_object_get_string_len(v))
             : plx_slice_make(NULL, 0);
}

/* What a step's "send" puts on the wire, into out; false when the step sends nothing. */
static inline bool vector_send(json_object *step, plx_buf *out, bool *binary)
{
    json_object *send = json_object_object_get(step, "send"), *inner;
    plx_buf_clear(out);
    *binary = false;
    if (!send)
        return false;
    if (json_object_object_get_ex(send, "base64", &inner)) {
        *binary = true;
        int rc = plx_base64_decode(out, vector_text(send, "base64"), PLX_B64_STANDARD);
        assert(rc == 0);
    } else if (json_object_object_get_ex(send, "text", &inner)) {
        plx_buf_add(out, vector_text(send, "text"));
    } else {
        plx_buf_str(out, json_object_to_json_string_ext(send, JSON_C_TO_STRING_PLAIN));
    }
    return true;
}

#endif
