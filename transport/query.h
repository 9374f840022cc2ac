/* Query strings: Plug's reading of them (`a[b]=c` nests, the last of equal names wins). */
#ifndef PLX_TRANSPORT_QUERY_H
#define PLX_TRANSPORT_QUERY_H

#include "base/buf.h"
#include "base/json.h"
#include "base/pair.h"

/* Percent-decodes ('+' is a space); a broken "%zz" stays as it is (recorded). PLX_E_INVALID when
 * the result is not UTF-8, PLX_E_TOOBIG when out is full; out is then as it was. */
int plx_query_decode(plx_slice text, plx_buf *out);

/* Walks the raw pairs: *rest = the query at first. False at the end. */
bool plx_query_next(plx_slice *rest, plx_slice *name, plx_slice *value);

/* The whole query as an object of strings, nested objects for a[b]=c and arrays for a[]=c; the
 * caller owns *out. skip: returns true for raw pairs that are left out (may be NULL). extra:
 * further name/value pairs (already decoded), which win. At most 1,000 pairs, depth 16, 64 KB
 * (PLX_E_TOOBIG); PLX_E_INVALID for what is not UTF-8 after decoding, and for a name that holds a
 * NUL: json-c's names end there. */
int plx_query_json(plx_slice query,
                   bool (*skip)(void *arg, size_t index, plx_slice name, plx_slice value),
                   void *arg, const plx_pair *extra, size_t extra_count, json_object **out);

#endif
