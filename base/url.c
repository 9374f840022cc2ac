/* Splitting the front part of a URL. */
#include "base/url.h"
#include "base/error.h"
#include <ctype.h>

static bool scheme_char(unsigned char c, bool first)
{
    return isalpha(c) || (!first && (isdigit(c) || c == '+' || c == '-' || c == '.'));
}

/* RFC 3986 3.1; the empty scheme is for texts that begin with "//". */
static bool valid_scheme(plx_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!scheme_char((unsigned char)s.data[i], i == 0))
            return false;
    return true;
}

/* Names, IPv4 addresses, and the "*." of an origin pattern; what follows the characters of RFC 3986
 * 3.2.2 is left out where no host has it in practice (sub-delims, percent-encoding). */
static bool valid_host(plx_slice s, bool bracketed)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (bracketed ? !(isxdigit(c) || c == ':' || c == '.')
                      : !(isalnum(c) || c == '-' || c == '.' || c == '_' || c == '*'))
            return false;
    }
    return s.len > 0;
}

static int parse_port(plx_slice s, int *port)
{
    long n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return PLX_E_INVALID;
        n = n * 10 + (s.data[i] - '0');
        if (n > 65535)
            return PLX_E_INVALID;
    }
    if (s.len > 0 && n == 0)
        return PLX_E_INVALID;
    *port = s.len > 0 ? (int)n : -1;
    return 0;
}

static plx_slice cut(plx_slice s, size_t from, size_t to)
{
    return plx_slice_make(s.data + from, to - from);
}

static int split_host_port(plx_slice authority, plx_url *u)
{
    size_t end;
    bool bracketed = authority.len > 0 && authority.data[0] == '[';
    if (bracketed) {
        const char *close = memchr(authority.data, ']', authority.len);
        if (!close)
            return PLX_E_INVALID;
        size_t at = (size_t)(close - authority.data);
        u->host = cut(authority, 1, at);
        end = at + 1;
    } else {
        const char *colon = memchr(authority.data, ':', authority.len);
        end = colon ? (size_t)(colon - authority.data) : authority.len;
        u->host = cut(authority, 0, end);
    }
    if (!valid_host(u->host, bracketed))
        return PLX_E_INVALID;
    if (end == authority.len)
        return parse_port(plx_slice_of(""), &u->port);
    if (authority.data[end] != ':')
        return PLX_E_INVALID;
    return parse_port(cut(authority, end + 1, authority.len), &u->port);
}

int plx_url_split(plx_slice text, plx_url *out)
{
    const char *slashes = text.len > 0 ? memmem(text.data, text.len, "//", 2) : NULL;
    if (!slashes)
        return PLX_E_INVALID;
    plx_url u = {.port = -1};
    size_t at = (size_t)(slashes - text.data);
    if (at > 0 && text.data[at - 1] != ':')
        return PLX_E_INVALID;
    u.scheme = cut(text, 0, at > 0 ? at - 1 : 0);
    if (!valid_scheme(u.scheme) || at == 1)
        return PLX_E_INVALID;
    size_t begin = at + 2, end = begin, host = begin;
    while (end < text.len && text.data[end] != '/' && text.data[end] != '?' &&
           text.data[end] != '#')
        end++;
    /* The last '@' ends the user information: one in a password would otherwise move the host. */
    for (size_t i = begin; i < end; i++)
        if (text.data[i] == '@')
            host = i + 1;
    u.has_userinfo = host > begin;
    u.userinfo = u.has_userinfo ? cut(text, begin, host - 1) : plx_slice_of("");
    u.rest = cut(text, end, text.len);
    if (split_host_port(cut(text, host, end), &u) != 0)
        return PLX_E_INVALID;
    *out = u;
    return 0;
}

int plx_url_default_port(plx_slice scheme)
{
    static const struct {
        const char *name;
        int port;
    } known[] = {{"http", 80}, {"https", 443}, {"ws", 80}, {"wss", 443}, {"redis", 6379}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (plx_slice_ieq(scheme, plx_slice_of(known[i].name)))
            return known[i].port;
    return -1;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int plx_url_decode(plx_slice text, plx_buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        int byte = (unsigned char)text.data[i];
        if (byte == '%') {
            int high = i + 2 < text.len ? hex_value(text.data[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_value(text.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return PLX_E_INVALID;
            byte = high << 4 | low;
            i += 2;
        }
        if (byte == 0)
            return PLX_E_INVALID;
        int err = plx_buf_byte(out, (unsigned char)byte);
        if (err)
            return err;
    }
    return 0;
}
