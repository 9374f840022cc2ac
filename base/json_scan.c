/* The strict scanner (RFC 8259).
 *
 * Every scan_* function takes a position and the end and returns the position
 * behind what it recognised, or NULL: the text is read once, left to right. Nested
 * containers are kept as a stack of the brackets that must close them, 100 bytes.
 * Cutting walks the outermost container itself and has scan_value skip what is in
 * it, so it costs no more than validating.
 *
 * Nearly all bytes of a message are plain characters of strings: they pass eight
 * at a time. Numbers are not converted: whether one is finite as a double follows
 * from its decimal magnitude and, for numbers of exactly 309 integer digits, from
 * comparing digits with the one value that divides the finite from the infinite.
 */
#include "base/json_scan.h"
#include "base/error.h"
#include "base/utf8.h"

#include <assert.h>

typedef unsigned char byte;

static const byte *skip_space(const byte *p, const byte *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

/* ---- strings ---- */

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
    p += 4;
    if (code < 0 || (code >= 0xDC00 && code <= 0xDFFF))
        return NULL;
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

/* p is behind the opening quote. */
static const byte *scan_string(const byte *p, const byte *end)
{
    uint32_t ignored;
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

/* ---- numbers ---- */

/* 2^1024 - 2^970, half way between the largest double and what would be the next one: from here on
 * rounding to nearest, ties to even, gives infinity. */
static const char first_infinite[] = "1797693134862315807937289714053034150799341327100378269361737"
                                     "7898044496829276475094664901797758720"
                                     "7096330286416692887910946555547851940402630657488671505820681"
                                     "9089020007083836762738548458177115317"
                                     "6447573027006985557136695962284291481986083493647529271907416"
                                     "8444365510704342711559699508093042880";

#define MAX_INT_DIGITS ((long long)sizeof first_infinite - 1) /* 309 */
#define HUGE_EXPONENT  (1LL << 60) /* beyond any text's length, and sums of two still fit */

static bool is_digit(byte c)
{
    return c >= '0' && c <= '9';
}

static const byte *skip_digits(const byte *p, const byte *end)
{
    while (p < end && is_digit(*p))
        p++;
    return p;
}

/* Whether the digits from p to end (a point among them is skipped) are below first_infinite's. */
static bool below_infinite(const byte *p, const byte *end)
{
    for (long long i = 0; i < MAX_INT_DIGITS; i++) {
        if (p < end && *p == '.')
            p++;
        byte digit = p < end ? *p++ : '0';
        if (digit != (byte)first_infinite[i])
            return digit < (byte)first_infinite[i];
    }
    return false;
}

/* Digits from p to end with a point at `point` (== end: none), times ten to the exponent. */
static bool is_finite(const byte *p, const byte *point, const byte *end, long long exponent)
{
    while (p < end && (*p == '0' || *p == '.'))
        p++;
    if (p == end)
        return true; /* zero, whatever the exponent */
    /* How many digits stand before the point once the exponent has moved it. */
    long long int_digits = (p < point ? point - p : point + 1 - p) + exponent;
    if (int_digits != MAX_INT_DIGITS)
        return int_digits < MAX_INT_DIGITS;
    return below_infinite(p, end);
}

/* p is behind the 'e'. Values that matter are exact, larger ones become HUGE_EXPONENT. */
static const byte *scan_exponent(const byte *p, const byte *end, long long *out)
{
    bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    if (p == end || !is_digit(*p))
        return NULL;
    long long exponent = 0;
    for (; p < end && is_digit(*p); p++) {
        if (exponent < HUGE_EXPONENT)
            exponent = exponent * 10 + (*p - '0');
        if (exponent > HUGE_EXPONENT)
            exponent = HUGE_EXPONENT;
    }
    *out = negative ? -exponent : exponent;
    return p;
}

static const byte *scan_number(const byte *p, const byte *end)
{
    if (*p == '-')
        p++;
    if (p == end || !is_digit(*p))
        return NULL;
    const byte *first = p;
    p = *p == '0' ? p + 1 : skip_digits(p, end);
    const byte *point = p;
    if (p < end && *p == '.') {
        p = skip_digits(p + 1, end);
        if (p == point + 1)
            return NULL;
    }
    const byte *digits_end = p;
    long long exponent = 0;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p = scan_exponent(p + 1, end, &exponent);
        if (!p)
            return NULL;
    }
    if (exponent <= 0 && point - first < MAX_INT_DIGITS)
        return p;
    return is_finite(first, point, digits_end, exponent) ? p : NULL;
}

/* ---- values ---- */

static const byte *scan_word(const byte *p, const byte *end, const char *word, size_t len)
{
    return (size_t)(end - p) >= len && memcmp(p, word, len) == 0 ? p + len : NULL;
}

/* Anything but a container; p < end. */
static const byte *scan_scalar(const byte *p, const byte *end)
{
    switch (*p) {
    case '"':
        return scan_string(p + 1, end);
    case 't':
        return scan_word(p, end, "true", 4);
    case 'f':
        return scan_word(p, end, "false", 5);
    case 'n':
        return scan_word(p, end, "null", 4);
    }
    return scan_number(p, end);
}

/* A member's name with the colon and the white space behind it. */
static const byte *scan_name(const byte *p, const byte *end, plx_slice *name)
{
    const byte *start = p;
    if (p == end || *p != '"')
        return NULL;
    p = scan_string(p + 1, end);
    if (!p)
        return NULL;
    *name = plx_slice_make(start, (size_t)(p - start));
    p = skip_space(p, end);
    return p < end && *p == ':' ? skip_space(p + 1, end) : NULL;
}

/* One value that begins at p, `depth` containers deep; p is at no white space. */
static const byte *scan_value(const byte *p, const byte *end, unsigned depth)
{
    byte closers[PLX_JSON_DEPTH];
    const unsigned base = depth;
    plx_slice ignored;

    for (;;) {
        if (p == end)
            return NULL;
        bool opened = *p == '[' || *p == '{';
        if (opened) {
            if (depth == PLX_JSON_DEPTH)
                return NULL;
            closers[depth++] = (byte)(*p == '[' ? ']' : '}');
            p = skip_space(p + 1, end);
        } else {
            p = scan_scalar(p, end);
        }
        /* What is complete closes; then either the outermost value is, or another one follows. */
        for (;; p++, depth--, opened = false) {
            if (!p || depth == base)
                return p;
            if (!opened)
                p = skip_space(p, end);
            if (p == end)
                return NULL;
            if (*p != closers[depth - 1])
                break;
        }
        if (!opened) {
            if (*p != ',')
                return NULL;
            p = skip_space(p + 1, end);
        }
        if (closers[depth - 1] == '}' && !(p = scan_name(p, end, &ignored)))
            return NULL;
    }
}

static enum plx_json_type type_of(byte first)
{
    switch (first) {
    case '"':
        return PLX_JSON_STRING;
    case '{':
        return PLX_JSON_OBJECT;
    case '[':
        return PLX_JSON_ARRAY;
    case 't':
        return PLX_JSON_TRUE;
    case 'f':
        return PLX_JSON_FALSE;
    case 'n':
        return PLX_JSON_NULL;
    }
    return PLX_JSON_NUMBER;
}

/* Like scan_value, and says what the value is. */
static const byte *cut_value(const byte *p, const byte *end, unsigned depth, plx_json_value *out)
{
    const byte *start = p;
    p = scan_value(p, end, depth);
    if (p) {
        out->type = type_of(*start);
        out->text = plx_slice_make(start, (size_t)(p - start));
    }
    return p;
}

static const byte *start_of(plx_slice text)
{
    return (const byte *)(text.data ? text.data : "");
}

int plx_json_check(plx_slice text, plx_json_value *out)
{
    const byte *p = start_of(text), *end = p + text.len;
    plx_json_value value;

    p = cut_value(skip_space(p, end), end, 0, &value);
    if (!p || skip_space(p, end) != end)
        return PLX_E_INVALID;
    if (out)
        *out = value;
    return 0;
}

/* ---- walking one container ---- */

typedef struct walk {
    const byte *p, *end;
    byte closer;
    bool started;
} walk;

enum step { STEP_ITEM, STEP_END, STEP_BAD };

/* Enters the container that the text consists of. */
static bool walk_begin(walk *w, plx_slice text, byte opener)
{
    const byte *start = start_of(text);
    w->end = start + text.len;
    w->p = skip_space(start, w->end);
    w->closer = (byte)(opener == '[' ? ']' : '}');
    w->started = false;
    if (w->p == w->end || *w->p != opener)
        return false;
    w->p++;
    return true;
}

/* The next element or member; at STEP_END the position is behind the closing bracket. */
static enum step walk_next(walk *w, plx_slice *name, plx_json_value *value)
{
    w->p = skip_space(w->p, w->end);
    if (w->p < w->end && *w->p == w->closer) {
        w->p++;
        return STEP_END;
    }
    if (w->started) {
        if (w->p == w->end || *w->p != ',')
            return STEP_BAD;
        w->p = skip_space(w->p + 1, w->end);
    }
    w->started = true;
    *name = plx_slice_make(NULL, 0);
    if (w->closer == '}')
        w->p = scan_name(w->p, w->end, name);
    if (w->p)
        w->p = cut_value(w->p, w->end, 1, value);
    return w->p ? STEP_ITEM : STEP_BAD;
}

static int walk_verdict(const walk *w, enum step last)
{
    return last == STEP_END && skip_space(w->p, w->end) == w->end ? 0 : PLX_E_INVALID;
}

int plx_json_cut_array(plx_slice text, plx_json_value *out, size_t max, size_t *count)
{
    walk w;
    plx_slice name;
    plx_json_value value;
    enum step step;
    size_t n = 0;

    if (!walk_begin(&w, text, '['))
        return PLX_E_INVALID;
    while ((step = walk_next(&w, &name, &value)) == STEP_ITEM) {
        if (n < max)
            out[n] = value;
        n++;
    }
    int rc = walk_verdict(&w, step);
    if (rc == 0)
        *count = n;
    return rc;
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

/* Whether a valid JSON string means `name`, without a copy of either. */
static bool means(plx_slice string, plx_slice name)
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

int plx_json_cut_object(plx_slice text, const char *const *names, plx_json_value *out, size_t count)
{
    walk w;
    plx_slice name;
    plx_json_value value;
    enum step step;

    if (!walk_begin(&w, text, '{'))
        return PLX_E_INVALID;
    for (size_t i = 0; i < count; i++)
        out[i] = (plx_json_value){.type = PLX_JSON_NONE};
    while ((step = walk_next(&w, &name, &value)) == STEP_ITEM) {
        for (size_t i = 0; i < count; i++) {
            if (means(name, plx_slice_of(names[i])))
                out[i] = value;
        }
    }
    return walk_verdict(&w, step);
}

bool plx_json_next(plx_slice text, size_t *pos, plx_slice *key, plx_json_value *value)
{
    walk w;
    const byte *start = skip_space(start_of(text), start_of(text) + text.len);
    if (start == start_of(text) + text.len || !walk_begin(&w, text, *start))
        return false;
    if (*pos > 0) {
        assert(*pos <= text.len);
        w.p = start_of(text) + *pos;
        w.started = true;
    }
    bool found = w.p < w.end && walk_next(&w, key, value) == STEP_ITEM;
    *pos = found ? (size_t)(w.p - start_of(text)) : text.len;
    return found;
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

int plx_json_int(plx_slice number, int64_t *out)
{
    const byte *p = start_of(number), *end = p + number.len;
    bool negative = p < end && *p == '-';
    uint64_t limit = (uint64_t)INT64_MAX + negative, n = 0;
    if (negative)
        p++;
    if (p == end)
        return PLX_E_INVALID;
    for (; p < end; p++) {
        if (!is_digit(*p))
            return PLX_E_INVALID;
        unsigned digit = (unsigned)(*p - '0');
        if (n > (limit - digit) / 10)
            return PLX_E_INVALID;
        n = n * 10 + digit;
    }
    /* In this order, because -INT64_MIN does not exist. */
    *out = negative && n > 0 ? -(int64_t)(n - 1) - 1 : (int64_t)n;
    return 0;
}

/* ---- writing strings ---- */

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
    const byte *p = start_of(text), *end = p + text.len;
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
