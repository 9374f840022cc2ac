/* Who the client is behind proxies: X-Forwarded-For and X-Forwarded-Proto, from trusted peers only.
 *
 * Each proxy appends to the right the address of whom it saw, so the list is read
 * from the right, and only as far as everybody on the way is trusted: what stands
 * further left anybody may have written.
 */
#ifndef PLX_TRANSPORT_PROXY_H
#define PLX_TRANSPORT_PROXY_H

#include "base/config.h"
#include "base/slice.h"

typedef struct plx_client {
    plx_slice ip; /* text of an IP address, or "unix" when nothing better is known */
    bool https;   /* its own connection was TLS, as far as a trusted peer says */
} plx_client;

/* trusted: config->trusted_proxies. peer: the text of the address at the other end of our
 * connection, or "unix" for a Unix socket; peer_https: that connection's own TLS (FastCGI: what the
 * web server says of it). forwarded_for, forwarded_proto: the headers' values (of several header
 * lines: joined with commas, in order), empty when absent. out's slices point into the arguments.
 * Entries may carry a port ("1.2.3.4:5", "[::1]:5"); one that is no address ends the walk. */
void plx_proxy_client(const plx_strings *trusted, plx_slice peer, bool peer_https,
                      plx_slice forwarded_for, plx_slice forwarded_proto, plx_client *out);

#endif
