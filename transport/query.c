/* Query strings into JSON, by way of a small tree.
 *
 * "a[b]=c" means {"a":{"b":"c"}}, "a[]=c" appends to an array, and of contradicting
 * pairs the last one wins. The nodes lie in one array and the decoded bytes in one
 * buffer, both bounded before anything is read, so that nothing has to be freed
 * one by one and slices into them stay valid.
 */
#include "transport/query.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "base/utf8.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#define QUERY_PAIRS 1000
#define QUERY_DEPTH 16
#define QUERY_BYTES 65536

enum node_kind { NODE_TEXT, NODE_OBJECT, NODE_ARRAY };

/* Children are linked in the order of their first appearance; 0 is no node (and the root). */
typedef struct node {
    enum node_kind kind;
    plx_slice name, text;
    uint32_t first, last, next;
} node;

typedef struct tree {
    node *nodes;
    size_t count, cap;
    plx_buf bytes; /* decoded names and values */
} tree;

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

static bool is_container(const node *n)
{
    return n->kind != NODE_TEXT;
}

/* Adds an empty node at the end of a container, whose kind it may decide. */
static uint32_t add_child(tree *t, uint32_t parent, plx_slice name)
{
    assert(t->count < t->cap);
    uint32_t child = (uint32_t)t->count++;
    t->nodes[child] = (node){.name = name};
    node *p = &t->nodes[parent];
    if (p->last)
        t->nodes[p->last].next = child;
    else
        p->first = child;
    p->last = child;
    return child;
}

static uint32_t find_child(const tree *t, uint32_t parent, plx_slice name)
{
    for (uint32_t i = t->nodes[parent].first; i; i = t->nodes[i].next) {
        if (plx_slice_eq(t->nodes[i].name, name))
            return i;
    }
    return 0;
}

/* Makes a node a container of this kind; what it was otherwise is forgotten: the last one wins. */
static void become(node *n, enum node_kind kind)
{
    if (n->kind == kind)
        return;
    n->kind = kind;
    n->text = plx_slice_make(NULL, 0);
    n->first = n->last = 0;
}

/* The child that the next step of a name leads to: "[]" a new element, "[x]" the member x. */
static uint32_t step(tree *t, uint32_t parent, plx_slice key, bool bracketed)
{
    if (bracketed && key.len == 0) {
        become(&t->nodes[parent], NODE_ARRAY);
        return add_child(t, parent, key);
    }
    become(&t->nodes[parent], NODE_OBJECT);
    uint32_t child = find_child(t, parent, key);
    return child ? child : add_child(t, parent, key);
}

static void set_text(tree *t, uint32_t at, plx_slice text)
{
    become(&t->nodes[at], NODE_TEXT);
    t->nodes[at].text = text;
}

/* Stores name=value, both decoded. Only a name that ends with ']' is nested. */
static int insert(tree *t, plx_slice name, plx_slice value)
{
    const char *open = name.len > 0 ? memchr(name.data, '[', name.len) : NULL;
    if (!open || name.data[name.len - 1] != ']') {
        set_text(t, step(t, 0, name, false), value);
        return 0;
    }
    plx_slice head = plx_slice_make(name.data, (size_t)(open - name.data));
    const char *p = open + 1, *end = name.data + name.len - 1; /* between the outermost brackets */
    uint32_t at = step(t, 0, head, false);
    for (unsigned depth = 1;; depth++) {
        if (depth == QUERY_DEPTH)
            return PLX_E_TOOBIG;
        const char *stop = p;
        while (stop < end && !(stop[0] == ']' && stop + 1 < end && stop[1] == '['))
            stop++;
        at = step(t, at, plx_slice_make(p, (size_t)(stop - p)), true);
        if (stop == end)
            break;
        p = stop + 2;
    }
    set_text(t, at, value);
    return 0;
}

/* ---- writing ---- */

/* Where the walk through the tree stands: the containers that are open. */
typedef struct writer {
    const tree *tree;
    plx_buf *json;
    uint32_t open[QUERY_DEPTH + 1];
    unsigned depth;
} writer;

static void write_open(writer *w, uint32_t at)
{
    plx_buf_byte(w->json, w->tree->nodes[at].kind == NODE_ARRAY ? '[' : '{');
    w->open[w->depth++] = at;
}

static void write_close(writer *w)
{
    uint32_t at = w->open[--w->depth];
    plx_buf_byte(w->json, w->tree->nodes[at].kind == NODE_ARRAY ? ']' : '}');
}

/* Depth first, without recursion; returns the node that comes next, 0 at the end. */
static uint32_t write_node(writer *w, uint32_t at)
{
    const node *n = &w->tree->nodes[at];
    const node *parent = &w->tree->nodes[w->open[w->depth - 1]];
    if (parent->kind == NODE_OBJECT) {
        plx_json_quote(w->json, n->name);
        plx_buf_byte(w->json, ':');
    }
    if (is_container(n)) {
        write_open(w, at);
        return n->first;
    }
    plx_json_quote(w->json, n->text);
    while (!n->next && w->depth > 1) {
        n = &w->tree->nodes[w->open[w->depth - 1]];
        write_close(w);
    }
    return n->next;
}

static int write_tree(const tree *t, plx_buf *json)
{
    writer w = {.tree = t, .json = json};
    write_open(&w, 0);
    for (uint32_t at = t->nodes[0].first; at;) {
        const node *parent = &t->nodes[w.open[w.depth - 1]];
        if (parent->first != at)
            plx_buf_byte(json, ',');
        at = write_node(&w, at);
    }
    write_close(&w);
    return plx_buf_ok(json) ? 0 : PLX_E_TOOBIG;
}

/* ---- the whole ---- */

/* Nodes that a name can ask for: one for itself and one for each bracket. */
static size_t nodes_for(plx_slice query)
{
    size_t n = 2;
    for (size_t i = 0; i < query.len; i++) {
        char c = query.data[i];
        n += c == '&' || c == '[' || (c == '%' && query.len - i > 2 && query.data[i + 1] == '5');
    }
    return n;
}

static int read_pair(tree *t, plx_slice raw_name, plx_slice raw_value)
{
    size_t name_at = t->bytes.len;
    int rc = plx_query_decode(raw_name, &t->bytes);
    size_t value_at = t->bytes.len;
    if (rc == 0)
        rc = plx_query_decode(raw_value, &t->bytes);
    if (rc != 0)
        return rc;
    plx_slice name = plx_slice_make(t->bytes.data + name_at, value_at - name_at);
    return insert(t, name, plx_slice_make(t->bytes.data + value_at, t->bytes.len - value_at));
}

static int read_pairs(tree *t, plx_slice query,
                      bool (*skip)(void *arg, size_t index, plx_slice name, plx_slice value),
                      void *arg)
{
    plx_slice name, value;
    for (size_t index = 0; plx_query_next(&query, &name, &value); index++) {
        if (index == QUERY_PAIRS)
            return PLX_E_TOOBIG;
        if (skip && skip(arg, index, name, value))
            continue;
        int rc = read_pair(t, name, value);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int plx_query_json(plx_slice query,
                   bool (*skip)(void *arg, size_t index, plx_slice name, plx_slice value),
                   void *arg, const plx_pair *extra, size_t extra_count, plx_buf *json)
{
    if (query.len > QUERY_BYTES)
        return PLX_E_TOOBIG;
    tree t = {.cap = nodes_for(query) + extra_count, .count = 1};
    size_t before = json->len;
    t.nodes = plx_alloc(t.cap * sizeof *t.nodes);
    t.nodes[0] = (node){.kind = NODE_OBJECT};
    plx_buf_init(&t.bytes, QUERY_BYTES + 1);
    plx_buf_reserve(&t.bytes, query.len + 1); /* decoding never lengthens: slices stay valid */

    int rc = read_pairs(&t, query, skip, arg);
    for (size_t i = 0; rc == 0 && i < extra_count; i++)
        set_text(&t, step(&t, 0, extra[i].name, false), extra[i].value);
    if (rc == 0)
        rc = write_tree(&t, json);
    if (rc != 0)
        json->len = before;
    plx_buf_fini(&t.bytes);
    free(t.nodes);
    return rc;
}
