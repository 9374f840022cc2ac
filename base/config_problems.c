/* Collecting what is wrong with a configuration. */
#include "base/alloc.h"
#include "base/config_parts.h"
#include <stdio.h>
#include <stdlib.h>

#define PROBLEMS_MAX 50
#define QUOTE_MAX    60

__attribute__((format(printf, 4, 0))) static void add(plx_problems *p, unsigned line, bool warning,
                                                      const char *format, va_list args)
{
    if (!warning)
        p->errors++;
    if (p->count == PROBLEMS_MAX)
        return;
    plx_buf text;
    plx_buf_init(&text, 2048);
    plx_buf_vprintf(&text, format, args);
    p->items = plx_realloc(p->items, (p->count + 1) * sizeof *p->items);
    p->items[p->count] = (plx_problem){.line = line,
                                       .order = (unsigned)p->count,
                                       .warning = warning,
                                       .text = plx_strdup(plx_buf_cstr(&text))};
    p->count++;
    plx_buf_fini(&text);
}

void plx_problem_add(plx_problems *p, unsigned line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(p, line, false, format, args);
    va_end(args);
}

void plx_problem_warn(plx_problems *p, unsigned line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(p, line, true, format, args);
    va_end(args);
}

const char *plx_problem_quote(plx_slice text)
{
    static char buffers[4][QUOTE_MAX + 8];
    static unsigned turn;
    char *out = buffers[turn++ % 4];
    size_t len = text.len < QUOTE_MAX ? text.len : QUOTE_MAX, n = 0;
    /* Not in the middle of a UTF-8 character. */
    while (len < text.len && len > 0 && ((unsigned char)text.data[len] & 0xc0) == 0x80)
        len--;
    out[n++] = '"';
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        out[n++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    snprintf(out + n, 8, "%s\"", len < text.len ? "..." : "");
    return out;
}

static int by_line(const void *a, const void *b)
{
    const plx_problem *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

void plx_problems_write(plx_problems *p, plx_buf *out)
{
    size_t errors = 0;
    if (p->count > 1)
        qsort(p->items, p->count, sizeof *p->items, by_line);
    for (size_t i = 0; i < p->count; i++) {
        const plx_problem *x = &p->items[i];
        errors += !x->warning;
        plx_buf_printf(out, "%s%s:%u: %s\n", x->warning ? "warning: " : "", p->file, x->line,
                       x->text);
        free(x->text);
    }
    if (p->errors > errors)
        plx_buf_printf(out, "%s:1: %zu more problems\n", p->file, p->errors - errors);
    free(p->items);
    *p = (plx_problems){.file = p->file};
}
