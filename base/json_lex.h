/* Strings and numbers, the lexical half of the JSON scanner. For base/json_*.c alone.
 *
 * A scan function takes the position of a token's first byte and the end of the
 * text (position < end) and returns the position behind the token, or NULL when
 * none that is valid begins there.
 */
#ifndef PLX_BASE_JSON_LEX_H
#define PLX_BASE_JSON_LEX_H

#include "base/slice.h"

/* A string with its quotes (RFC 8259 7); no lone surrogates, escaped or not. */
const unsigned char *plx_json_string_scan(const unsigned char *p, const unsigned char *end);

/* A number (RFC 8259 6) that is finite as a double. Any digit may follow it directly ("01" gives
 * the end of "0"): whoever looks at what comes next refuses that. */
const unsigned char *plx_json_number_scan(const unsigned char *p, const unsigned char *end);

/* Whether a valid JSON string (with its quotes) means `name` once it is unescaped. */
bool plx_json_string_means(plx_slice string, plx_slice name);

#endif
