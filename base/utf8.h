/* UTF-8 validation, whole or in pieces (RFC 3629: no surrogate, no overlong, at most U+10FFFF). */
#ifndef PLX_BASE_UTF8_H
#define PLX_BASE_UTF8_H

#include "base/slice.h"
#include <stdint.h>

/* State between pieces of one text; all zero at its start. */
typedef struct plx_utf8 {
    uint8_t need;      /* continuation bytes still to come */
    uint8_t low, high; /* range allowed for the next one */
} plx_utf8;

/* Feeds the next piece. Returns false as soon as no continuation could make the text valid (fail
 * fast: RFC 6455 8.1). */
bool plx_utf8_feed(plx_utf8 *state, plx_slice piece);
/* Whether the text may end here. */
static inline bool plx_utf8_complete(const plx_utf8 *state)
{
    return state->need == 0;
}
bool plx_utf8_valid(plx_slice text);
/* Bytes of the character that the text begins with (1 to 4), or 0 when it is empty or begins with
 * none that is complete and well-formed. */
size_t plx_utf8_char(plx_slice text);

#endif
