/* The strict scanner (RFC 8259): values and containers.
 *
 * Every scan function takes a position and the end and returns the position behind
 * what it recognised, or NULL: the text is read once, left to right. Nested
 * containers are kept as a stack of the brackets that must close them, 100 bytes.
 * Cutting walks the outermost container itself and has scan_value pass over what
 * is in it, so it costs no more than validating.
 */
#include "base/json_scan.h"
#include "base/error.h"
#include "base/json_lex.h"

#include <assert.h>

typedef unsigned char byte;

static const byte *skip_space(const byte *p, const byte *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

static const byte *scan_word(const byte *p, const byte *end, const char *word, size_t len)
{
    return (size_t)(end - p) >= len && memcmp(p, word, len) == 0 ? p + len : NULL;
}

/* Anything but a container; p < end. */
static const byte *scan_scalar(const byte *p, const byte *end)
{
    switch (*p) {
    case '"':
        return plx_json_string_scan(p, end);
    case 't':
        return scan_word(p, end, "true", 4);
    case 'f':
        return scan_word(p, end, "false", 5);
    case 'n':
        return scan_word(p, end, "null", 4);
    }
    return plx_json_number_scan(p, end);
}

/* A member's name with the colon and the white space behind it. */
static const byte *scan_name(const byte *p, const byte *end, plx_slice *name)
{
    const byte *start = p;
    if (p == end || *p != '"')
        return NULL;
    p = plx_json_string_scan(p, end);
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
            if (plx_json_string_means(name, plx_slice_of(names[i])))
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
