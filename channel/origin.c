/* check_origin. */
#include "channel/origin.h"
#include "base/url.h"

/* What is compared of an origin: the port with the scheme's default filled in, -1: unknown. */
typedef struct origin {
    plx_slice scheme, host;
    int port;
} origin;

static bool parse(plx_slice text, origin *out)
{
    plx_url u;
    if (plx_url_split(text, &u) != 0 || u.has_userinfo)
        return false;
    out->scheme = u.scheme;
    out->host = u.host;
    out->port = u.port > 0 ? u.port : plx_url_default_port(u.scheme);
    return true;
}

/* "*.example.com" means example.com and everything below it. */
static bool host_matches(plx_slice host, plx_slice pattern)
{
    if (pattern.len < 2 || pattern.data[0] != '*' || pattern.data[1] != '.')
        return plx_slice_eq(host, pattern);
    plx_slice domain = plx_slice_make(pattern.data + 2, pattern.len - 2);
    if (plx_slice_eq(host, domain))
        return true;
    plx_slice dotted = plx_slice_make(pattern.data + 1, pattern.len - 1);
    if (host.len <= dotted.len)
        return false;
    return plx_slice_eq(plx_slice_make(host.data + host.len - dotted.len, dotted.len), dotted);
}

static bool entry_matches(const origin *o, plx_slice entry)
{
    origin allowed;
    if (!parse(entry, &allowed))
        return false;
    if (allowed.scheme.len > 0 && !plx_slice_ieq(o->scheme, allowed.scheme))
        return false;
    if (allowed.port > 0 && o->port != allowed.port)
        return false;
    return host_matches(o->host, allowed.host);
}

/* Whether the origin is the place that the client itself addressed. */
static bool is_same(const origin *o, plx_slice host, bool https)
{
    char text[2 + 255 + 8] = "//";
    plx_url u;
    if (host.len == 0 || host.len > sizeof text - 3)
        return false;
    memcpy(text + 2, host.data, host.len);
    if (plx_url_split(plx_slice_make(text, host.len + 2), &u) != 0 || u.has_userinfo ||
        u.rest.len > 0)
        return false;
    if (https && !plx_slice_ieq(o->scheme, plx_slice_of("https")))
        return false;
    int port = u.port > 0 ? u.port : plx_url_default_port(o->scheme);
    return o->port == port && plx_slice_ieq(o->host, u.host);
}

bool plx_origin_allowed(const plx_strings *allowed, const plx_slice *header, plx_slice host,
                        bool https)
{
    origin o;
    if (!header)
        return true;
    bool readable = parse(*header, &o) && o.scheme.len > 0;
    for (size_t i = 0; i < allowed->count; i++) {
        plx_slice entry = plx_slice_of(allowed->items[i]);
        if (plx_slice_is(entry, "any"))
            return true;
        if (!readable)
            continue;
        if (plx_slice_is(entry, "same") ? is_same(&o, host, https) : entry_matches(&o, entry))
            return true;
    }
    return false;
}
