/* check_origin: which pages may open a socket, with Phoenix's meaning. */
#ifndef PLX_CHANNEL_ORIGIN_H
#define PLX_CHANNEL_ORIGIN_H

#include "base/config.h"
#include "base/slice.h"

/* Whether a request with this Origin header is allowed.
 *
 * allowed  the section's check_origin (already checked): "any", "same", "//host[:port]" or
 *          "scheme://host[:port]", host possibly "*.domain" (the domain itself and everything
 *          below it). What an entry leaves out is not compared; an entry with a scheme and no port
 *          means that scheme's default port.
 * origin   the header's value; NULL: the request has none, which is allowed (no browser's
 *          cross-site request lacks it). Schemes are compared without case, hosts as they stand
 *          (browsers write them in lower case). "null", an empty value, one without a scheme, and
 *          one with user information have no host to compare: refused by everything but "any".
 * host     the Host header as the client sent it ("name[:port]"), for "same".
 * https    whether the client's own connection is known to be TLS (X-Forwarded-Proto of a trusted
 *          proxy).
 *
 * "same": equal host (without case: people type it into Host) and port. Over known TLS the origin's
 * scheme must be https. Otherwise it may be either, because a TLS proxy that doesn't tell is common
 * (Phoenix's :conn would lock such a site out), and then an absent port in Host stands for the
 * origin's own default port. */
bool plx_origin_allowed(const plx_strings *allowed, const plx_slice *origin, plx_slice host,
                        bool https);

#endif
