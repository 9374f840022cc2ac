/* The configuration's fields: defaults, values, freeing; all driven by the schema's tables. */
#include "base/alloc.h"
#include "base/config_parts.h"
#include "base/error.h"
#include "base/utf8.h"
#include <stdio.h>
#include <stdlib.h>

/* Members are written through memcpy: the tables know their places and sizes, not their types. */
static void *member(void *base, size_t offset)
{
    return (char *)base + offset;
}

static char *get_string(const void *base, size_t offset)
{
    char *s;
    memcpy(&s, (const char *)base + offset, sizeof s);
    return s;
}

/* Takes s. */
static void put_string(void *base, size_t offset, char *s)
{
    free(get_string(base, offset));
    memcpy(member(base, offset), &s, sizeof s);
}

static void free_strings(plx_strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (plx_strings){0};
}

static void push_string(plx_strings *list, plx_slice s)
{
    list->items = plx_realloc(list->items, (list->count + 1) * sizeof *list->items);
    list->items[list->count++] = plx_slice_dup(s);
}

static void put_number(const plx_config_field *f, void *base, uint64_t n)
{
    size_t size = (size_t)n;
    unsigned u = (unsigned)n;
    bool b = n != 0;
    void *to = member(base, f->offset);
    switch (f->kind) {
    case PLX_CONFIG_U64:
        memcpy(to, &n, sizeof n);
        break;
    case PLX_CONFIG_SIZE:
        memcpy(to, &size, sizeof size);
        break;
    case PLX_CONFIG_UINT:
    case PLX_CONFIG_CHOICE: /* the compilers of this program make enums unsigned */
        memcpy(to, &u, sizeof u);
        break;
    case PLX_CONFIG_BOOL:
    case PLX_CONFIG_FLAG:
        memcpy(to, &b, sizeof b);
        break;
    default:
        break;
    }
}

static void set_default(const plx_config_field *f, void *base)
{
    if (f->kind == PLX_CONFIG_STRINGS && f->text)
        push_string(member(base, f->offset), plx_slice_of(f->text));
    else if (f->kind == PLX_CONFIG_STRING && f->text)
        put_string(base, f->offset, plx_strdup(f->text));
    else
        put_number(f, base, f->number);
}

void plx_config_set_defaults(const plx_config_section *s, void *base)
{
    for (const plx_config_field *f = s->fields; f->name; f++)
        set_default(f, base);
    for (size_t i = 0; s->subs[i]; i++)
        plx_config_set_defaults(s->subs[i], base);
}

static void free_fields(const plx_config_section *s, void *base)
{
    for (const plx_config_field *f = s->fields; f->name; f++) {
        if (f->kind == PLX_CONFIG_STRINGS)
            free_strings(member(base, f->offset));
        else if (f->kind == PLX_CONFIG_STRING || f->kind == PLX_CONFIG_TEXT)
            put_string(base, f->offset, NULL);
    }
    for (size_t i = 0; s->subs[i]; i++)
        free_fields(s->subs[i], base);
}

static void release(const plx_config_section *s, void *base)
{
    free_fields(s, base);
    if (!s->items)
        return;
    char *array = get_string(base, s->items_at);
    size_t count;
    memcpy(&count, member(base, s->count_at), sizeof count);
    for (size_t i = 0; i < count; i++) {
        char *item = array + i * s->items->size;
        release(s->items, item);
        put_string(item, s->items->title_at, NULL);
    }
    put_string(base, s->items_at, NULL);
    count = 0;
    memcpy(member(base, s->count_at), &count, sizeof count);
}

void plx_config_release(plx_config *c)
{
    release(&plx_config_schema, c);
}

/* "a, b or c" */
static void list_names(const char *const *names, plx_buf *out)
{
    for (size_t i = 0; names[i]; i++) {
        if (i > 0)
            plx_buf_str(out, names[i + 1] ? ", " : " or ");
        plx_buf_str(out, names[i]);
    }
}

static void complain(const plx_config_field *f, plx_config_value v, const char *expected,
                     plx_problems *p)
{
    if (f->secret)
        plx_problem_add(p, v.line, "this value of '%s' is not possible (expected %s)", f->name,
                        expected);
    else
        plx_problem_add(p, v.line, "%s is not possible for '%s' (expected %s)",
                        plx_problem_quote(v.text), f->name, expected);
}

/* The index of the value among the field's names, or noted and -1. */
static int find_name(const plx_config_field *f, plx_config_value v, plx_problems *p)
{
    for (int i = 0; f->names[i]; i++)
        if (plx_slice_is(v.text, f->names[i]))
            return i;
    plx_buf expected;
    plx_buf_init(&expected, 512);
    list_names(f->names, &expected);
    complain(f, v, plx_buf_cstr(&expected), p);
    plx_buf_fini(&expected);
    return -1;
}

/* Text in UTF-8 without control characters (but line breaks and tabs in TEXT). */
static bool is_text(plx_slice v, bool lines)
{
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.data[i];
        if (c == 0x7f || (c < 0x20 && !(lines && (c == '\n' || c == '\t' || c == '\r'))))
            return false;
    }
    return plx_utf8_valid(v);
}

static bool good_string(const plx_config_field *f, plx_config_value v, plx_problems *p)
{
    const char *expected = f->judge ? f->judge(v.text) : NULL;
    if (!is_text(v.text, f->kind == PLX_CONFIG_TEXT))
        expected = "UTF-8 text without control characters";
    if (expected)
        complain(f, v, expected, p);
    return !expected && (!f->names || find_name(f, v, p) >= 0);
}

static void set_number(const plx_config_field *f, void *base, plx_config_value v, plx_problems *p)
{
    uint64_t n = 0;
    bool good = v.text.len > 0 && v.text.len <= 19;
    for (size_t i = 0; good && i < v.text.len; i++) {
        good = v.text.data[i] >= '0' && v.text.data[i] <= '9';
        n = n * 10 + (uint64_t)(v.text.data[i] - '0');
    }
    if (good && n >= f->min && n <= f->max) {
        put_number(f, base, n);
        return;
    }
    char expected[80];
    snprintf(expected, sizeof expected, "a whole number from %llu to %llu",
             (unsigned long long)f->min, (unsigned long long)f->max);
    complain(f, v, expected, p);
}

static void set_bool(const plx_config_field *f, void *base, plx_config_value v, plx_problems *p)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    for (size_t i = 0; i < 6; i++) {
        if (plx_slice_ieq(v.text, plx_slice_of(words[i]))) {
            put_number(f, base, i % 2);
            return;
        }
    }
    complain(f, v, "true or false", p);
}

static void set_strings(const plx_config_field *f, void *base, const plx_config_value *values,
                        size_t count, plx_problems *p)
{
    plx_strings *list = member(base, f->offset);
    free_strings(list);
    for (size_t i = 0; i < count; i++)
        if (good_string(f, values[i], p))
            push_string(list, values[i].text);
}

void plx_config_set_field(const plx_config_field *f, void *base, const plx_config_value *values,
                          size_t count, plx_problems *p)
{
    int index;
    if (f->kind == PLX_CONFIG_STRINGS) {
        set_strings(f, base, values, count, p);
        return;
    }
    if (count == 0)
        return;
    switch (f->kind) {
    case PLX_CONFIG_STRING:
    case PLX_CONFIG_TEXT:
        if (good_string(f, values[0], p))
            put_string(base, f->offset, plx_slice_dup(values[0].text));
        break;
    case PLX_CONFIG_BOOL:
        set_bool(f, base, values[0], p);
        break;
    case PLX_CONFIG_CHOICE:
    case PLX_CONFIG_FLAG:
        if ((index = find_name(f, values[0], p)) >= 0)
            put_number(f, base, (uint64_t)index);
        break;
    default:
        set_number(f, base, values[0], p);
    }
}
