/* Base64: whole texts only, no line breaks, no white space.
 *
 * Decoding is canonical: of all texts that could stand for some bytes exactly
 * one is accepted (per alphabet and padding), so that a token can't be respelled.
 */
#include "base/base64.h"
#include "base/error.h"

static const char standard_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t encoded_len(size_t len, bool padded)
{
    size_t tail = len % 3;
    size_t whole = len / 3 * 4;
    if (tail == 0)
        return whole;
    return whole + (padded ? 4 : tail + 1);
}

/* Writes the last one or two bytes. */
static void encode_tail(char *to, const uint8_t *from, size_t tail, const char *digits, bool padded)
{
    unsigned bits = (unsigned)from[0] << 16 | (tail == 2 ? (unsigned)from[1] << 8 : 0);
    to[0] = digits[bits >> 18];
    to[1] = digits[bits >> 12 & 63];
    if (tail == 2)
        to[2] = digits[bits >> 6 & 63];
    else if (padded)
        to[2] = '=';
    if (padded)
        to[3] = '=';
}

int plx_base64_encode(plx_buf *out, plx_slice bytes, int flags)
{
    const char *digits = flags & PLX_B64_URL ? url_digits : standard_digits;
    bool padded = !(flags & PLX_B64_NOPAD);
    const uint8_t *from = (const uint8_t *)bytes.data;

    if (bytes.len == 0)
        return 0;
    if (bytes.len > SIZE_MAX / 2)
        return PLX_E_TOOBIG;
    size_t len = encoded_len(bytes.len, padded);
    char *to = plx_buf_reserve(out, len);
    if (!to)
        return PLX_E_TOOBIG;
    size_t left = bytes.len;
    for (; left >= 3; left -= 3, from += 3) {
        unsigned bits = (unsigned)from[0] << 16 | (unsigned)from[1] << 8 | from[2];
        *to++ = digits[bits >> 18];
        *to++ = digits[bits >> 12 & 63];
        *to++ = digits[bits >> 6 & 63];
        *to++ = digits[bits & 63];
    }
    if (left > 0)
        encode_tail(to, from, left, digits, padded);
    plx_buf_commit(out, len);
    return 0;
}

/* The value of a digit, or 64 and more for a foreign character. */
static unsigned value_of(uint8_t c, int flags)
{
    bool url = flags & (PLX_B64_URL | PLX_B64_EITHER);
    bool standard = !(flags & PLX_B64_URL) || flags & PLX_B64_EITHER;

    if (c >= 'A' && c <= 'Z')
        return c - (unsigned)'A';
    if (c >= 'a' && c <= 'z')
        return c - (unsigned)'a' + 26;
    if (c >= '0' && c <= '9')
        return c - (unsigned)'0' + 52;
    if ((standard && c == '+') || (url && c == '-'))
        return 62;
    if ((standard && c == '/') || (url && c == '_'))
        return 63;
    return 64;
}

/* Takes the padding off; returns false when it is not as the flags want it. */
static bool strip_padding(plx_slice *text, int flags)
{
    size_t pads = 0;
    while (pads < 2 && pads < text->len && text->data[text->len - 1 - pads] == '=')
        pads++;
    /* Padding fills the last group; without it a tail of one digit can't be. */
    if (pads > 0 || !(flags & PLX_B64_NOPAD)) {
        if (text->len % 4 != 0)
            return false;
    }
    text->len -= pads;
    return text->len % 4 != 1;
}

/* The last two or three digits make one or two bytes; the bits left over must be zero. */
static bool decode_tail(uint8_t *to, const uint8_t *from, size_t tail, int flags)
{
    unsigned a = value_of(from[0], flags), b = value_of(from[1], flags);
    unsigned c = tail == 3 ? value_of(from[2], flags) : 0;

    if ((a | b | c) > 63)
        return false;
    unsigned bits = a << 18 | b << 12 | c << 6;
    to[0] = (uint8_t)(bits >> 16);
    if (tail == 3)
        to[1] = (uint8_t)(bits >> 8);
    return tail == 3 ? (bits & 0xFF) == 0 : (bits & 0xFFFF) == 0;
}

int plx_base64_decode(plx_buf *out, plx_slice text, int flags)
{
    if (!strip_padding(&text, flags))
        return PLX_E_INVALID;
    if (text.len == 0)
        return 0;
    size_t tail = text.len % 4;
    size_t len = text.len / 4 * 3 + (tail > 0 ? tail - 1 : 0);
    uint8_t *to = (uint8_t *)plx_buf_reserve(out, len);
    if (!to)
        return PLX_E_TOOBIG;
    const uint8_t *from = (const uint8_t *)text.data;
    for (size_t left = text.len; left >= 4; left -= 4, from += 4) {
        unsigned a = value_of(from[0], flags), b = value_of(from[1], flags);
        unsigned c = value_of(from[2], flags), d = value_of(from[3], flags);
        if ((a | b | c | d) > 63)
            return PLX_E_INVALID;
        unsigned bits = a << 18 | b << 12 | c << 6 | d;
        *to++ = (uint8_t)(bits >> 16);
        *to++ = (uint8_t)(bits >> 8);
        *to++ = (uint8_t)bits;
    }
    if (tail > 0 && !decode_tail(to, from, tail, flags))
        return PLX_E_INVALID;
    plx_buf_commit(out, len);
    return 0;
}
