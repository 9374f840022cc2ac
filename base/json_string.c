/* JSON strings: recognising, comparing, unescaping and writing them.
 *
 * Nearly all bytes of a message are plain characters of strings: those pass eight
 * at a time. Nothing is copied until somebody asks for the unescaped bytes;
 * comparing with a name unescapes on the fly.
 */
#include "base/json_scan.h"
#include "base/error.h"
#include "base/json_lex.h"
#include "base/utf8.h"

#include <assert.h>

typedef unsigned char byte;

#define EACH(b) (0x0101010101010101u * (b)) /* the byte b eight times */

/* Non-zero when one of the eight bytes is a quote, a backslash, a control character or not ASCII.
 * (x - EACH(n)) borrows into the top bit of a byte below n; a borrow that runs on into the next
 * byte can only follow a true hit, so that the answer "none" is always right.) */
static uint64_t special(uint64_t x)
{
    uint64_t quote = x ^ EACH('"'), backslash = x ^ EACH('\\');
    return ((x - EACH(0x20)) | (quote - EACH(1)) | (backslash - EACH(1)) | x) & EACH(0x80);
}

static const byte *skip_plain(const byte *p, const byte *end)
{
    uint64_t word;
    while (end - p >= 8) {
        memcpy(&word, p, 8);
        if (special(word))
            break;
        p += 8;
    }
    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
        p++;
    return p;
}

static int hex_digit(byte c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The number behind "\u", or -1. */
static long hex4(const byte *p, const byte *end)
{
    if (end - p < 4)
        return -1;
    long code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0)
            return -1;
        code = code << 4 | digit;
    }
    return code;
}

/* p is behind "\u". A surrogate is accepted only as a pair of two escapes, high before low. */
static const byte *scan_unicode_escape(const byte *p, const byte *end, uint32_t *out)
{
    long code = hex4(p, end);
    if (code < 0 || (code >= 0xDC00 && code <= 0xDFFF))
        return NULL;
    p += 4;
    if (code >= 0xD800 && code <= 0xDBFF) {
        if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
            return NULL;
        long low = hex4(p + 2, end);
        if (low < 0xDC00 || low > 0xDFFF)
            return NULL;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        p += 6;
    }
    *out = (uint32_t)code;
    return p;
}

/* p is behind a backslash; *out becomes the character that is meant. */
static const byte *scan_escape(const byte *p, const byte *end, uint32_t *out)
{
    if (p == end)
        return NULL;
    switch (*p++) {
    case '"':
        *out = '"';
        return p;
    case '\\':
        *out = '\\';
        return p;
    case '/':
        *out = '/';
        return p;
    case 'b':
        *out = '\b';
        return p;
    case 'f':
        *out = '\f';
        return p;
    case 'n':
        *out = '\n';
        return p;
    case 'r':
        *out = '\r';
        return p;
    case 't':
        *out = '\t';
        return p;
    case 'u':
        return scan_unicode_escape(p, end, out);
    }
    return NULL;
}

const byte *plx_json_string_scan(const byte *p, const byte *end)
{
    uint32_t ignored;
    if (*p++ != '"')
        return NULL;
    for (;;) {
        p = skip_plain(p, end);
        if (p == end || *p < 0x20)
            return NULL;
        if (*p == '"')
            return p + 1;
        if (*p == '\\') {
            p = scan_escape(p + 1, end, &ignored);
            if (!p)
                return NULL;
            continue;
        }
        size_t len = plx_utf8_char(plx_slice_make(p, (size_t)(end - p)));
        if (len == 0)
            return NULL;
        p += len;
    }
}

/* Writes the UTF-8 of a code point, at most 4 bytes; returns how many. */
static size_t encode_utf8(char out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

/* Takes the next run of bytes out of a valid string's inside, unescaped: either what stands before
 * the next backslash, or the character of one escape (then it lives in scratch). Empty at the end.
 */
static plx_slice next_run(plx_slice *inside, char scratch[4])
{
    if (inside->len == 0)
        return *inside;
    const char *backslash = memchr(inside->data, '\\', inside->len);
    size_t plain = backslash ? (size_t)(backslash - inside->data) : inside->len;
    plx_slice run = plx_slice_make(inside->data, plain);
    if (plain == 0) {
        const byte *end = (const byte *)inside->data + inside->len;
        uint32_t code = 0;
        const byte *behind = scan_escape((const byte *)inside->data + 1, end, &code);
        assert(behind);
        plain = (size_t)(behind - (const byte *)inside->data);
        run = plx_slice_make(scratch, encode_utf8(scratch, code));
    }
    inside->data += plain;
    inside->len -= plain;
    return run;
}

/* What stands between the quotes of a JSON string. */
static plx_slice inside_of(plx_slice string)
{
    assert(string.len >= 2 && string.data[0] == '"' && string.data[string.len - 1] == '"');
    return plx_slice_make(string.data + 1, string.len - 2);
}

bool plx_json_string_means(plx_slice string, plx_slice name)
{
    plx_slice inside = inside_of(string);
    char scratch[4];
    while (inside.len > 0) {
        plx_slice run = next_run(&inside, scratch);
        if (!plx_slice_starts(name, run))
            return false;
        name.data += run.len;
        name.len -= run.len;
    }
    return name.len == 0;
}

int plx_json_unquote(plx_slice string, plx_buf *out)
{
    plx_slice inside = inside_of(string);
    size_t before = out->len;
    char scratch[4];
    while (inside.len > 0) {
        if (plx_buf_add(out, next_run(&inside, scratch)) != 0) {
            out->len = before;
            return PLX_E_TOOBIG;
        }
    }
    return 0;
}

/* The escape of a character that must not stand in a string as it is, or whose look is a line end
 * to JavaScript before 2019 (U+2028/9); returns its length, 0 when it may stay. */
static size_t escape_for(char out[7], const byte *p, size_t size)
{
    static const char short_forms[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";
    const char *at = *p ? strchr(short_forms, *p) : NULL;
    if (at) {
        out[0] = '\\';
        out[1] = letters[at - short_forms];
        return 2;
    }
    if (*p < 0x20) {
        static const char hex[] = "0123456789abcdef";
        memcpy(out, "\\u00", 4);
        out[4] = hex[*p >> 4];
        out[5] = hex[*p & 15];
        return 6;
    }
    if (size == 3 && p[0] == 0xE2 && p[1] == 0x80 && (p[2] == 0xA8 || p[2] == 0xA9)) {
        memcpy(out, p[2] == 0xA8 ? "\\u2028" : "\\u2029", 6);
        return 6;
    }
    return 0;
}

/* Appends the character at p, which skip_plain stopped at, and returns its size. */
static size_t quote_special(plx_buf *out, const byte *p, size_t left)
{
    char escaped[7];
    size_t size = plx_utf8_char(plx_slice_make(p, left));
    if (size == 0) {
        plx_buf_append(out, "\xEF\xBF\xBD", 3);
        return 1;
    }
    size_t n = escape_for(escaped, p, size);
    plx_buf_append(out, n > 0 ? (const char *)escaped : (const char *)p, n > 0 ? n : size);
    return size;
}

int plx_json_quote(plx_buf *out, plx_slice text)
{
    const byte *p = (const byte *)(text.data ? text.data : ""), *end = p + text.len;
    size_t before = out->len;
    bool failed_before = out->failed;

    out->failed = false;
    plx_buf_byte(out, '"');
    while (p < end && !out->failed) {
        const byte *special_at = skip_plain(p, end);
        plx_buf_append(out, p, (size_t)(special_at - p));
        p = special_at;
        if (p < end)
            p += quote_special(out, p, (size_t)(end - p));
    }
    plx_buf_byte(out, '"');
    if (out->failed) {
        out->len = before;
        return PLX_E_TOOBIG;
    }
    out->failed = failed_before;
    return 0;
}
