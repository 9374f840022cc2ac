/* What the tests of the JSON scanner share. Every text is checked from memory of exactly its size,
 * so that a look past the end is noticed by the address sanitizer.
 */
#ifndef PLX_TESTS_JSON_SAMPLES_H
#define PLX_TESTS_JSON_SAMPLES_H

#include "base/error.h"
#include "base/json_scan.h"

#include <json-c/json.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

typedef struct sample {
    const char *bytes;
    size_t len;
} sample;

#define S(s)                                                                                       \
    {                                                                                              \
        (s), sizeof(s) - 1                                                                         \
    }

/* Checks a copy of exactly this size. All entries must agree: the cutting ones are validators too.
 * Returns whether it is valid, and the value's range as offsets. */
static bool check(const char *bytes, size_t len, size_t *from, size_t *to)
{
    char *own = malloc(len > 0 ? len : 1);
    if (len > 0)
        memcpy(own, bytes, len);
    plx_slice text = plx_slice_make(own, len);
    plx_json_value value = {.type = PLX_JSON_NONE};
    bool ok = plx_json_check(text, &value) == 0;

    size_t count = 12345;
    plx_json_value items[2];
    bool array = plx_json_cut_array(text, items, 2, &count) == 0;
    assert_int_equal(array, ok && value.type == PLX_JSON_ARRAY);
    if (!array)
        assert_int_equal(count, 12345);
    static const char *const names[] = {"a", "topic"};
    bool object = plx_json_cut_object(text, names, items, 2) == 0;
    assert_int_equal(object, ok && value.type == PLX_JSON_OBJECT);
    assert_int_equal(plx_json_check(text, NULL) == 0, ok);

    if (ok) {
        *from = (size_t)(value.text.data - own);
        *to = *from + value.text.len;
        assert_true(*to <= len && *from < *to);
    } else {
        assert_int_equal(value.type, PLX_JSON_NONE);
    }
    free(own);
    return ok;
}

static bool is_valid(const char *bytes, size_t len)
{
    size_t from, to;
    return check(bytes, len, &from, &to);
}

#endif
