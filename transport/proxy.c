/* The walk through the forwarding headers, right to left. */
#include "transport/proxy.h"
#include "base/address.h"

/* Longer chains are forged or broken. */
#define HOPS_MAX 16

/* Takes the last element off a comma-separated list; false when it is empty. */
static bool take_last(plx_slice *list, plx_slice *element)
{
    if (list->len == 0)
        return false;
    size_t at = list->len;
    while (at > 0 && list->data[at - 1] != ',')
        at--;
    *element = plx_slice_trim(plx_slice_make(list->data + at, list->len - at));
    list->len = at > 0 ? at - 1 : 0;
    return true;
}

static const char *last_colon(plx_slice s)
{
    const char *p = s.len > 0 ? memchr(s.data, ':', s.len) : NULL;
    if (p && memchr(p + 1, ':', s.len - (size_t)(p + 1 - s.data)))
        return NULL; /* more than one: IPv6 without brackets has no port */
    return p;
}

/* "1.2.3.4:5" and "[::1]:5" without port and brackets. */
static plx_slice without_port(plx_slice s)
{
    if (s.len > 1 && s.data[0] == '[') {
        const char *end = memchr(s.data, ']', s.len);
        return end ? plx_slice_make(s.data + 1, (size_t)(end - s.data - 1)) : s;
    }
    const char *colon = last_colon(s);
    return colon ? plx_slice_make(s.data, (size_t)(colon - s.data)) : s;
}

static bool is_address(plx_slice s)
{
    plx_address_range ignored;
    return !(s.len > 0 && memchr(s.data, '/', s.len)) && plx_address_range_parse(s, &ignored) == 0;
}

void plx_proxy_client(const plx_strings *trusted, plx_slice peer, bool peer_https,
                      plx_slice forwarded_for, plx_slice forwarded_proto, plx_client *out)
{
    *out = (plx_client){.ip = peer, .https = peer_https};
    if (!plx_address_trusted(trusted->items, trusted->count, peer))
        return;
    plx_slice proto, hop;
    /* The nearest proxy speaks of the connection that it received; each further one of the next. */
    for (unsigned hops = 0; hops < HOPS_MAX; hops++) {
        if (!plx_address_trusted(trusted->items, trusted->count, out->ip))
            return;
        if (take_last(&forwarded_proto, &proto))
            out->https = plx_slice_ieq(proto, plx_slice_of("https"));
        if (!take_last(&forwarded_for, &hop))
            return;
        hop = without_port(hop);
        if (!is_address(hop))
            return;
        out->ip = hop;
    }
}
