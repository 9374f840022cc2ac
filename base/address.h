/* IP addresses and ranges: whom `trusted_proxies` means. */
#ifndef PLX_BASE_ADDRESS_H
#define PLX_BASE_ADDRESS_H

#include "base/slice.h"
#include <stddef.h>
#include <stdint.h>

/* An IPv4 address counts as the IPv6 address that maps it (::ffff:a.b.c.d, RFC 4291 2.5.5.2), so
 * that both spellings of a peer match one entry. */
typedef struct plx_address_range {
    uint8_t bytes[16]; /* network order */
    unsigned bits;     /* how many of them count: 0..128 */
} plx_address_range;

/* Reads "10.0.0.1", "10.0.0.0/8", "::1" or "fd00::/8". PLX_E_INVALID for anything else, also for a
 * range whose address has bits set beyond its prefix (it would not mean what it looks like). */
int plx_address_range_parse(plx_slice text, plx_address_range *out);

/* Whether the peer is one of the trusted: each of `items` is an address, a range, or "unix". peer
 * is the text of an IP address, or "unix" for one that came through a Unix socket; anything else is
 * trusted by nobody. */
bool plx_address_trusted(char *const *items, size_t count, plx_slice peer);

#endif
