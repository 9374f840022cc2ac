/* The strict JSON scanner that decides what is JSON (RFC 8259).
 *
 * json-c, even in strict mode, lets through NaN, single quotes, "1.", raw
 * newlines and lone surrogates; relayed verbatim one such text would break
 * JSON.parse for a whole room. So every incoming text passes here first: UTF-8,
 * depth at most PLX_JSON_DEPTH, no lone surrogates (also not escaped ones), every
 * number finite as a double, nothing but white space around the value. No BOM.
 *
 * The scanner never copies: it validates and cuts out ranges, so that a payload
 * is relayed with the very bytes it came with. No recursion, no allocation. What is
 * looked into or built, and not passed on, is json-c's: see base/json.h.
 */
#ifndef PLX_BASE_JSON_SCAN_H
#define PLX_BASE_JSON_SCAN_H

#include "base/buf.h"
#include "base/slice.h"

#define PLX_JSON_DEPTH 100

enum plx_json_type {
    PLX_JSON_NONE, /* absent (only in results of plx_json_cut_object) */
    PLX_JSON_NULL,
    PLX_JSON_FALSE,
    PLX_JSON_TRUE,
    PLX_JSON_NUMBER,
    PLX_JSON_STRING,
    PLX_JSON_ARRAY,
    PLX_JSON_OBJECT
};

typedef struct plx_json_value {
    enum plx_json_type type;
    plx_slice text; /* the value's own bytes, without white space around it; strings with quotes */
} plx_json_value;

/* Validates a whole text. Returns 0 and its only value in *out (may be NULL), or PLX_E_INVALID. */
int plx_json_check(plx_slice text, plx_json_value *out);

/* Validates a whole text that must be an array and cuts its first `max` elements. *count is the
 * number of all elements. PLX_E_INVALID when it is no valid JSON or no array; what out[] then holds
 * means nothing. */
int plx_json_cut_array(plx_slice text, plx_json_value *out, size_t max, size_t *count);

/* Validates a whole text that must be an object; out[i] becomes the value of the member names[i]
 * (NUL-terminated; compared after unescaping), PLX_JSON_NONE where it is absent. Of duplicate
 * members the last wins. PLX_E_INVALID when it is no valid JSON or no object; what out[] then holds
 * means nothing. */
int plx_json_cut_object(plx_slice text, const char *const *names, plx_json_value *out,
                        size_t count);

/* Walks a valid array or object: *pos = 0 at first. Returns false at the end. For arrays *key is
 * empty; for objects it is the member's name as a JSON string with its quotes. `text` must have
 * passed plx_json_check. */
bool plx_json_next(plx_slice text, size_t *pos, plx_slice *key, plx_json_value *value);

/* Appends the unescaped bytes of a valid JSON string (with its quotes) to out. Returns 0 or
 * PLX_E_TOOBIG, and then out holds what it held before. */
int plx_json_unquote(plx_slice string, plx_buf *out);

/* The value of a valid JSON number as an integer. PLX_E_INVALID when it has a fraction or exponent
 * or does not fit. */
int plx_json_int(plx_slice number, int64_t *out);

/* Appends text as a JSON string with quotes: escapes ", \ and control characters, also U+2028/9.
 * Bytes that are not UTF-8 become U+FFFD, one for each. */
int plx_json_quote(plx_buf *out, plx_slice text);

#endif
