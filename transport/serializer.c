/* Reading: vsn requirements, V1 objects, V2 arrays and V2 binary frames.
 *
 * A text is validated once by the JSON scanner, which also cuts the envelope; the
 * payload stays the byte range that it was. Names are unescaped only when they
 * hold an escape, so that the usual message copies nothing. Writing is in
 * serializer_encode.c.
 */
#include "transport/serializer.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "base/utf8.h"

/* Longer ones are no version numbers that anybody sends. */
#define VSN_MAX 64

/* Six bytes ("\u0041") may stand for one, and two quotes stand around. */
#define QUOTED_MAX (6 * PLX_NAME_MAX + 2)

/* ---- versions (the syntax of semver.org, as Elixir's Version module reads it) ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool all_digits(plx_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_digit(s.data[i]))
            return false;
    }
    return s.len > 0;
}

/* A number without leading zeros. */
static bool is_number(plx_slice s)
{
    return all_digits(s) && (s.len == 1 || s.data[0] != '0');
}

static bool is_identifier(plx_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i], folded = (char)(c | 0x20);
        if (!is_digit(c) && (folded < 'a' || folded > 'z') && c != '-')
            return false;
    }
    return s.len > 0;
}

/* The dot-separated identifiers behind '-' or '+'. */
static bool is_suffix(plx_slice rest, bool numbers_are_plain)
{
    plx_slice part;
    while (plx_slice_split(&rest, '.', &part)) {
        if (!is_identifier(part))
            return false;
        if (numbers_are_plain && all_digits(part) && !is_number(part))
            return false;
    }
    return true;
}

/* Cuts s at the first sep: what stands behind it, or a slice with NULL when there is none. */
static plx_slice cut_suffix(plx_slice *s, char sep)
{
    plx_slice head;
    plx_slice_split(s, sep, &head);
    plx_slice suffix = *s;
    *s = head;
    return suffix;
}

/* "~> N.0.0": at least N.0.0, and below N.1.0. A pre-release of N.0.0 itself comes before it. */
int plx_vsn_parse(plx_slice text, enum plx_vsn *out)
{
    plx_slice major, minor, patch;
    if (text.len == 0 || text.len > VSN_MAX)
        return PLX_E_INVALID;
    plx_slice build = cut_suffix(&text, '+');
    plx_slice pre = cut_suffix(&text, '-');
    if ((build.data && !is_suffix(build, false)) || (pre.data && !is_suffix(pre, true)))
        return PLX_E_INVALID;
    if (!plx_slice_split(&text, '.', &major) || !plx_slice_split(&text, '.', &minor) ||
        !plx_slice_split(&text, '.', &patch) || text.data)
        return PLX_E_INVALID;
    if (!is_number(patch) || !plx_slice_is(minor, "0"))
        return PLX_E_INVALID;
    if (pre.data && plx_slice_is(patch, "0"))
        return PLX_E_INVALID;
    if (plx_slice_is(major, "1"))
        *out = PLX_V1;
    else if (plx_slice_is(major, "2"))
        *out = PLX_V2;
    else
        return PLX_E_INVALID;
    return 0;
}

/* ---- texts ---- */

/* A string's bytes; scratch has room for them, so that earlier slices into it stay valid. */
static int read_string(plx_slice quoted, plx_buf *scratch, plx_slice *out)
{
    plx_slice inside = plx_slice_make(quoted.data + 1, quoted.len - 2);
    if (inside.len > 0 && memchr(inside.data, '\\', inside.len)) {
        size_t before = scratch->len;
        if (plx_json_unquote(quoted, scratch) != 0)
            return PLX_E_INVALID;
        inside = plx_slice_make(scratch->data + before, scratch->len - before);
    }
    *out = inside;
    return inside.len <= PLX_NAME_MAX ? 0 : PLX_E_INVALID;
}

static int read_term(const plx_json_value *v, plx_buf *scratch, plx_term *out)
{
    switch (v->type) {
    case PLX_JSON_NONE:
    case PLX_JSON_NULL:
        *out = (plx_term){.kind = PLX_TERM_NULL};
        return 0;
    case PLX_JSON_STRING:
        out->kind = PLX_TERM_STRING;
        return read_string(v->text, scratch, &out->text);
    default:
        *out = (plx_term){PLX_TERM_JSON, v->text};
        return v->text.len <= PLX_NAME_MAX ? 0 : PLX_E_INVALID;
    }
}

enum { JOIN_REF, REF, TOPIC, EVENT, PAYLOAD, PARTS };

/* From the five parts of an envelope to a message. */
static int read_parts(const plx_json_value parts[PARTS], plx_buf *scratch, plx_message *out)
{
    plx_message m = {.info = false};
    plx_term *const terms[] = {&m.join_ref, &m.ref, &m.topic, &m.event};
    size_t room = 0;

    for (int i = JOIN_REF; i <= EVENT; i++) {
        if (parts[i].text.len > QUOTED_MAX)
            return PLX_E_INVALID;
        room += parts[i].text.len;
    }
    plx_buf_clear(scratch);
    if (!plx_buf_reserve(scratch, room))
        return PLX_E_INVALID;
    for (int i = JOIN_REF; i <= EVENT; i++) {
        if (read_term(&parts[i], scratch, terms[i]) != 0)
            return PLX_E_INVALID;
    }
    m.payload = (plx_payload){PLX_PAYLOAD_JSON, parts[PAYLOAD].text};
    *out = m;
    return 0;
}

static int decode_array(plx_slice text, plx_buf *scratch, plx_message *out)
{
    plx_json_value parts[PARTS];
    size_t count;
    if (plx_json_cut_array(text, parts, PARTS, &count) != 0 || count < PARTS)
        return PLX_E_INVALID;
    return read_parts(parts, scratch, out);
}

static int decode_object(plx_slice text, plx_buf *scratch, plx_message *out)
{
    static const char *const names[PARTS] = {"join_ref", "ref", "topic", "event", "payload"};
    plx_json_value parts[PARTS];
    if (plx_json_cut_object(text, names, parts, PARTS) != 0)
        return PLX_E_INVALID;
    for (int i = REF; i < PARTS; i++) {
        if (parts[i].type == PLX_JSON_NONE)
            return PLX_E_INVALID;
    }
    return read_parts(parts, scratch, out);
}

/* ---- binary frames ---- */

/* Kind 0: four lengths, four strings, data. Only the topic has to be text. */
static int decode_binary(plx_slice bytes, plx_message *out)
{
    enum { HEAD = 5 };
    const unsigned char *head = (const unsigned char *)bytes.data;
    if (bytes.len < HEAD || head[0] != 0)
        return PLX_E_INVALID;

    plx_message m = {.info = false};
    plx_term *const terms[] = {&m.join_ref, &m.ref, &m.topic, &m.event};
    size_t at = HEAD;
    for (int i = 0; i < 4; i++) {
        size_t len = head[1 + i];
        if (len > bytes.len - at)
            return PLX_E_INVALID;
        *terms[i] = (plx_term){PLX_TERM_STRING, plx_slice_make(bytes.data + at, len)};
        at += len;
    }
    if (!plx_utf8_valid(m.topic.text))
        return PLX_E_INVALID;
    m.payload = (plx_payload){PLX_PAYLOAD_BINARY, plx_slice_make(bytes.data + at, bytes.len - at)};
    *out = m;
    return 0;
}

int plx_decode(enum plx_vsn vsn, bool binary, plx_slice bytes, plx_buf *scratch, plx_message *out)
{
    if (vsn == PLX_V1)
        return decode_object(bytes, scratch, out);
    return binary ? decode_binary(bytes, out) : decode_array(bytes, scratch, out);
}
