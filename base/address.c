/* IP addresses and ranges. */
#include "base/address.h"
#include "base/error.h"
#include <arpa/inet.h>
#include <stdbool.h>

#define TEXT_MAX INET6_ADDRSTRLEN

/* Reads an address without a prefix length; *width is 32 or 128. */
static int parse_address(plx_slice text, uint8_t bytes[16], unsigned *width)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char copy[TEXT_MAX + 1];
    if (text.len == 0 || text.len > TEXT_MAX || memchr(text.data, 0, text.len))
        return PLX_E_INVALID;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, bytes + 12) == 1) {
        memcpy(bytes, mapped, sizeof mapped);
        *width = 32;
        return 0;
    }
    *width = 128;
    return inet_pton(AF_INET6, copy, bytes) == 1 ? 0 : PLX_E_INVALID;
}

static int parse_bits(plx_slice text, unsigned max, unsigned *out)
{
    unsigned n = 0;
    if (text.len == 0 || text.len > 3)
        return PLX_E_INVALID;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return PLX_E_INVALID;
        n = n * 10 + (unsigned)(text.data[i] - '0');
    }
    if (n > max)
        return PLX_E_INVALID;
    *out = n;
    return 0;
}

/* The mask of the i-th byte when the first `bits` bits count. */
static uint8_t mask(unsigned bits, unsigned i)
{
    if (bits >= 8 * (i + 1))
        return 0xff;
    return bits <= 8 * i ? 0 : (uint8_t)(0xff << (8 * (i + 1) - bits));
}

static bool in_range(const plx_address_range *r, const uint8_t bytes[16])
{
    for (unsigned i = 0; i < 16; i++)
        if ((bytes[i] ^ r->bytes[i]) & mask(r->bits, i))
            return false;
    return true;
}

int plx_address_range_parse(plx_slice text, plx_address_range *out)
{
    plx_address_range r;
    unsigned width, bits;
    const char *slash = text.len > 0 ? memchr(text.data, '/', text.len) : NULL;
    plx_slice address = text;
    if (slash)
        address.len = (size_t)(slash - text.data);
    if (parse_address(address, r.bytes, &width) != 0)
        return PLX_E_INVALID;
    bits = width;
    if (slash &&
        parse_bits(plx_slice_make(slash + 1, text.len - address.len - 1), width, &bits) != 0)
        return PLX_E_INVALID;
    r.bits = 128 - width + bits;
    for (unsigned i = 0; i < 16; i++)
        if (r.bytes[i] & (uint8_t)~mask(r.bits, i))
            return PLX_E_INVALID;
    *out = r;
    return 0;
}

bool plx_address_trusted(char *const *items, size_t count, plx_slice peer)
{
    uint8_t bytes[16];
    unsigned width;
    bool is_unix = plx_slice_is(peer, "unix");
    if (!is_unix && parse_address(peer, bytes, &width) != 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        plx_address_range r;
        plx_slice item = plx_slice_of(items[i]);
        if (is_unix ? plx_slice_is(item, "unix")
                    : plx_address_range_parse(item, &r) == 0 && in_range(&r, bytes))
            return true;
    }
    return false;
}
