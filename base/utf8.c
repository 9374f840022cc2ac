/* UTF-8 as RFC 3629 section 4 writes it.
 *
 * Only the byte after the first one has a range that depends on it (that is what
 * keeps out overlongs, surrogates and everything past U+10FFFF); all later ones
 * are 80..BF. So the state between two bytes is: how many are still to come, and
 * the range of the next.
 */
#include "base/utf8.h"

/* What the first byte c (>= 80) asks for; returns false when no character begins with it. */
static bool begin(plx_utf8 *s, uint8_t c)
{
    s->low = 0x80;
    s->high = 0xBF;
    if (c >= 0xC2 && c <= 0xDF) {
        s->need = 1;
    } else if (c >= 0xE0 && c <= 0xEF) {
        s->need = 2;
        if (c == 0xE0)
            s->low = 0xA0;
        else if (c == 0xED)
            s->high = 0x9F;
    } else if (c >= 0xF0 && c <= 0xF4) {
        s->need = 3;
        if (c == 0xF0)
            s->low = 0x90;
        else if (c == 0xF4)
            s->high = 0x8F;
    } else {
        return false;
    }
    return true;
}

static bool go_on(plx_utf8 *s, uint8_t c)
{
    if (c < s->low || c > s->high)
        return false;
    s->need--;
    s->low = 0x80;
    s->high = 0xBF;
    return true;
}

/* Skips ASCII, eight bytes at a time while it lasts. */
static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end)
{
    uint64_t word;
    while (end - p >= 8) {
        memcpy(&word, p, 8);
        if (word & 0x8080808080808080u)
            break;
        p += 8;
    }
    while (p < end && *p < 0x80)
        p++;
    return p;
}

bool plx_utf8_feed(plx_utf8 *state, plx_slice piece)
{
    if (piece.len == 0)
        return true;
    const uint8_t *p = (const uint8_t *)piece.data;
    const uint8_t *end = p + piece.len;
    while (p < end) {
        if (state->need > 0) {
            if (!go_on(state, *p++))
                return false;
            continue;
        }
        p = skip_ascii(p, end);
        if (p < end && !begin(state, *p++))
            return false;
    }
    return true;
}

bool plx_utf8_valid(plx_slice text)
{
    plx_utf8 state = {0};
    return plx_utf8_feed(&state, text) && plx_utf8_complete(&state);
}

size_t plx_utf8_char(plx_slice text)
{
    if (text.len == 0)
        return 0;
    const uint8_t *p = (const uint8_t *)text.data;
    if (p[0] < 0x80)
        return 1;
    plx_utf8 state;
    if (!begin(&state, p[0]) || (size_t)state.need + 1 > text.len)
        return 0;
    size_t len = 1;
    while (state.need > 0) {
        if (!go_on(&state, p[len++]))
            return 0;
    }
    return len;
}
