/* The proof that a page may use its visitor's cookies: it knows the value of one of them. */
#ifndef PLX_CHANNEL_CSRF_H
#define PLX_CHANNEL_CSRF_H

#include "base/slice.h"

/* Whether `proof` (the connect parameter, decoded) is the value of the cookie `name` in a Cookie
 * header (RFC 6265 4.2.1; empty: none was sent). Values are compared as they stand in the header,
 * without decoding, in constant time; names with case.
 *
 * An empty proof, or an empty cookie, proves nothing. Where several cookies have this name, each of
 * them must have that value: a neighbouring subdomain can add one to its victim's header, and put
 * it first, but it can't take the genuine one away. */
bool plx_csrf_ok(plx_slice cookie_header, plx_slice name, plx_slice proof);

#endif
