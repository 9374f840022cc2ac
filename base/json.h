/* json-c, where a document is built or looked into; the scanner, where a text is foreign.
 *
 * The scanner (base/json_scan) decides what is JSON and cuts ranges: json-c takes
 * more than JSON for JSON, saturates integers beyond 64 bits, ends names at U+0000
 * and needs up to 264 bytes of memory for a byte of text. So no foreign text gets
 * to it unscanned, and none goes through it to come out again: payloads, numbers
 * and whole foreign documents stay ranges of their text. What the core itself must
 * understand (the strings of a request) and whatever it builds (answers, errors,
 * connect parameters) is json-c's. Two places do without: the serializers and the
 * long-poll answers, which write an envelope of fixed shape around a payload for
 * every message, and channel/etf, whose integers are longer than json-c's.
 *
 * Objects are json-c's own: owned by whoever made them, freed with json_object_put.
 * None of these functions fails for want of memory: see base/alloc.
 */
#ifndef PLX_BASE_JSON_H
#define PLX_BASE_JSON_H

#include "base/buf.h"
#include <json-c/json_object.h>

/* What a text says, after plx_json_check has accepted it. 0 and the owned value in *out (NULL for
 * null), or PLX_E_INVALID. Of foreign texts only strings, or what is short, because of the memory;
 * and never to write it again, because of the numbers. */
int plx_json_read(plx_slice text, json_object **out);

/* The bytes of a string, valid as long as it; empty with NULL for any other value or none. They may
 * hold NUL bytes. */
plx_slice plx_json_text(json_object *value);

/* Building: never NULL. Text must be UTF-8. */
json_object *plx_json_new_object(void);
json_object *plx_json_new_array(void);
json_object *plx_json_new_text(plx_slice text);
json_object *plx_json_new_number(uint64_t n);
/* A value that is written as this text (copied), which must be valid JSON; it can only be written.
 * The way to put foreign JSON into a document. */
json_object *plx_json_new_verbatim(plx_slice json);

/* Puts a member into an object, in the place of one with the same name, or an element at the end of
 * an array. Both take `value`. */
void plx_json_put(json_object *object, const char *name, json_object *value);
void plx_json_push(json_object *array, json_object *value);

/* Appends a document without white space. 0 or PLX_E_TOOBIG, and then out holds what it held. */
int plx_json_write(plx_buf *out, json_object *value);

#endif
