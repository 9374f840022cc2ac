/* Query strings into objects.
 *
 * "a[b]=c" means {"a":{"b":"c"}}, "a[]=c" appends to an array, and of contradicting
 * pairs the last one wins. Pairs, their depth and the query's length are bounded
 * before anything is made of them, because an object takes some 800 bytes: 12 MB
 * for the worst query, for as long as its connect is decided.
 */
#include "transport/query.h"
#include "base/error.h"
#include "base/utf8.h"

#define QUERY_PAIRS 1000
#define QUERY_DEPTH 16
#define QUERY_BYTES 65536

/* ---- reading ---- */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char folded = (char)(c | 0x20);
    return folded >= 'a' && folded <= 'f' ? folded - 'a' + 10 : -1;
}

int plx_query_decode(plx_slice text, plx_buf *out)
{
    size_t before = out->len;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        int high = -1, low = -1;
        if (c == '%' && text.len - i > 2) {
            high = hex(text.data[i + 1]);
            low = hex(text.data[i + 2]);
        }
        if (high >= 0 && low >= 0) {
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        if (plx_buf_byte(out, (unsigned char)c) != 0) {
            out->len = before;
            return PLX_E_TOOBIG;
        }
    }
    if (out->len > before &&
        !plx_utf8_valid(plx_slice_make(out->data + before, out->len - before))) {
        out->len = before;
        return PLX_E_INVALID;
    }
    return 0;
}

bool plx_query_next(plx_slice *rest, plx_slice *name, plx_slice *value)
{
    plx_slice pair;
    do {
        if (!plx_slice_split(rest, '&', &pair))
            return false;
    } while (pair.len == 0);
    plx_slice_split(&pair, '=', name);
    *value = pair.data ? pair : plx_slice_make("", 0);
    return true;
}

/* ---- the tree ---- */

/* Into an object under this name, or at the end of an array. */
static void attach(json_object *at, const char *name, json_object *value)
{
    if (json_object_is_type(at, json_type_array))
        plx_json_push(at, value);
    else
        plx_json_put(at, name, value);
}

/* The container of this kind that the next step of a name goes into. What a member was otherwise
 * is forgotten: the last one wins. */
static json_object *descend(json_object *at, const char *name, json_type kind)
{
    json_object *child;
    if (json_object_is_type(at, json_type_object) && json_object_object_get_ex(at, name, &child) &&
        json_object_is_type(child, kind))
        return child;
    child = kind == json_type_array ? plx_json_new_array() : plx_json_new_object();
    attach(at, name, child);
    return child;
}

/* Stores name=value, both decoded; cuts the name up. Only one that ends with ']' is nested. */
static int insert(json_object *root, char *name, plx_slice value)
{
    size_t len = strlen(name);
    char *bracket = len > 0 && name[len - 1] == ']' ? strchr(name, '[') : NULL;
    const char *key = name;
    json_object *at = root;
    for (unsigned depth = 1; bracket; depth++) {
        char *inner = bracket + 1, *stop = strstr(inner, "][");
        if (depth == QUERY_DEPTH)
            return PLX_E_TOOBIG;
        *bracket = '\0';
        bracket = stop ? stop + 1 : NULL;
        *(stop ? stop : name + len - 1) = '\0';
        at = descend(at, key, *inner ? json_type_object : json_type_array);
        key = inner;
    }
    attach(at, key, plx_json_new_text(value));
    return 0;
}

/* ---- the whole ---- */

typedef struct reader {
    json_object *root;
    plx_buf name, value; /* of the pair being read, decoded */
} reader;

static int read_pair(reader *r, plx_slice raw_name, plx_slice raw_value)
{
    plx_buf_clear(&r->name);
    plx_buf_clear(&r->value);
    int rc = plx_query_decode(raw_name, &r->name);
    if (rc == 0)
        rc = plx_query_decode(raw_value, &r->value);
    if (rc == 0 && r->name.len > 0 && memchr(r->name.data, 0, r->name.len))
        rc = PLX_E_INVALID;
    if (rc != 0)
        return rc;
    plx_buf_cstr(&r->name);
    return insert(r->root, r->name.data, plx_buf_slice(&r->value));
}

static int read_pairs(reader *r, plx_slice query,
                      bool (*skip)(void *arg, size_t index, plx_slice name, plx_slice value),
                      void *arg)
{
    plx_slice name, value;
    for (size_t index = 0; plx_query_next(&query, &name, &value); index++) {
        if (index == QUERY_PAIRS)
            return PLX_E_TOOBIG;
        if (skip && skip(arg, index, name, value))
            continue;
        int rc = read_pair(r, name, value);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static void add_extra(reader *r, const plx_pair *extra)
{
    plx_buf_clear(&r->name);
    plx_buf_add(&r->name, extra->name);
    plx_json_put(r->root, plx_buf_cstr(&r->name), plx_json_new_text(extra->value));
}

int plx_query_json(plx_slice query,
                   bool (*skip)(void *arg, size_t index, plx_slice name, plx_slice value),
                   void *arg, const plx_pair *extra, size_t extra_count, json_object **out)
{
    if (query.len > QUERY_BYTES)
        return PLX_E_TOOBIG;
    reader r = {.root = plx_json_new_object()};
    plx_buf_init(&r.name, 0); /* decoding never lengthens */
    plx_buf_init(&r.value, 0);

    int rc = read_pairs(&r, query, skip, arg);
    for (size_t i = 0; rc == 0 && i < extra_count; i++)
        add_extra(&r, &extra[i]);
    if (rc == 0)
        *out = r.root;
    else
        json_object_put(r.root);
    plx_buf_fini(&r.name);
    plx_buf_fini(&r.value);
    return rc;
}
