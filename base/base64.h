/* Base64 (RFC 4648), standard and URL-safe alphabets. */
#ifndef PLX_BASE_BASE64_H
#define PLX_BASE_BASE64_H

#include "base/buf.h"

enum plx_base64_flags {
    PLX_B64_STANDARD = 0, /* alphabet of section 4, padding written and required */
    PLX_B64_URL = 1,      /* alphabet of section 5 */
    PLX_B64_NOPAD = 2,    /* padding not written; when decoding, optional */
    PLX_B64_EITHER = 4    /* decoding only: both alphabets are accepted */
};

/* Appends the text of the bytes. PLX_E_TOOBIG when the buffer's bound does not leave room. */
int plx_base64_encode(plx_buf *out, plx_slice bytes, int flags);
/* Appends the decoded bytes. PLX_E_INVALID for a foreign character, wrong length or padding, or
 * non-zero bits after the end. */
int plx_base64_decode(plx_buf *out, plx_slice text, int flags);

#endif
