/* libConfuse and the schema: from text to plx_config.
 *
 * To libConfuse every key is a string or a list of strings, so that it accepts what
 * stands there and everything wrong is found in one run. It keeps no line numbers and
 * gives its callbacks no pointer of ours. Hence two tricks: what it stores for a value
 * is "LINE:VALUE", made by the parse callback, and the callbacks find the run that is
 * going on in a static pointer. Sections are all of the repeatable kind, because a
 * plain one would count as present when it is absent, and two would merge.
 */
#include "base/alloc.h"
#include "base/config_parts.h"
#include "base/error.h"
#include <confuse.h>
#include <stdio.h>
#include <stdlib.h>

/* A flag of our own in cfg_opt_t, beside libConfuse's: the key was given. */
#define GIVEN (1 << 24)

typedef struct reader {
    const plx_config_opens *opens;
    size_t closed; /* sections closed so far: index into opens */
    plx_config_notes *notes;
    plx_problems *problems;
    size_t errors; /* that libConfuse reported */
    plx_buf value; /* the "LINE:VALUE" being handed over */
} reader;

static reader *running;

/* ---- Callbacks ---- */

/* Called for each value with its text as it stands in the file. */
static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    reader *r = running;
    bool first = !(opt->flags & CFGF_LIST) || opt->nvalues == 1;
    if (first && (opt->flags & GIVEN))
        plx_problem_add(r->problems, (unsigned)cfg->line, "'%s' is given twice (expected once)",
                        opt->name);
    opt->flags |= GIVEN;
    plx_buf_clear(&r->value);
    plx_buf_printf(&r->value, "%d:", cfg->line);
    plx_buf_str(&r->value, value);
    *(const char **)result = plx_buf_cstr(&r->value);
    return 0;
}

/* Called when a section has been read to its end: its `line` becomes the one where it began. */
static int on_section(cfg_t *cfg, cfg_opt_t *opt)
{
    reader *r = running;
    (void)cfg;
    if (opt->nvalues > 0 && r->closed < r->opens->count)
        cfg_opt_getnsec(opt, opt->nvalues - 1)->line = (int)r->opens->lines[r->closed];
    r->closed++;
    return 0;
}

/* The keys and sections that may stand in a section. */
static void list_keys(cfg_t *cfg, plx_buf *out)
{
    for (unsigned i = 0; i < cfg_num(cfg); i++)
        plx_buf_printf(out, "%s%s", i > 0 ? ", " : "", cfg_getnopt(cfg, i)->name);
}

/* " in socket "/live"", or nothing for the file itself. */
static void name_place(cfg_t *cfg, plx_buf *out)
{
    if (cfg->title)
        plx_buf_printf(out, " in %s %s", cfg->name, plx_problem_quote(plx_slice_of(cfg->title)));
    else if (strcmp(cfg->name, "root") != 0)
        plx_buf_printf(out, " in %s", cfg->name);
}

/* libConfuse stops at the first of these. Where the name of a key or title matters it is its only
 * argument. */
__attribute__((format(printf, 2, 0))) static void on_error(cfg_t *cfg, const char *format,
                                                           va_list args)
{
    reader *r = running;
    unsigned line = cfg->line > 0 ? (unsigned)cfg->line : 1;
    plx_buf place, text;
    plx_buf_init(&place, 256);
    plx_buf_init(&text, 1024);
    name_place(cfg, &place);
    if (strcmp(format, "no such option '%s'") == 0) {
        const char *key = va_arg(args, const char *);
        list_keys(cfg, &text);
        plx_problem_add(r->problems, line, "unknown key %s%s (expected one of: %s)",
                        plx_problem_quote(plx_slice_of(key)), plx_buf_cstr(&place),
                        plx_buf_cstr(&text));
    } else if (strcmp(format, "found duplicate title '%s'") == 0) {
        const char *title = va_arg(args, const char *);
        plx_problem_add(r->problems, line, "a second section %s%s (expected each title once)",
                        plx_problem_quote(plx_slice_of(title)), plx_buf_cstr(&place));
    } else {
        plx_buf_vprintf(&text, format, args);
        plx_problem_add(r->problems, line, "%s%s (expected KEY = VALUE, or SECTION { ... })",
                        plx_problem_quote(plx_buf_slice(&text)), plx_buf_cstr(&place));
    }
    r->errors++;
    plx_buf_fini(&place);
    plx_buf_fini(&text);
}

/* ---- libConfuse's description of what may stand in the file, made from the schema ---- */

static void free_options(cfg_opt_t *options)
{
    for (size_t i = 0; options && options[i].name; i++)
        free_options(options[i].subopts);
    free(options);
}

static cfg_opt_t *make_options(const plx_config_section *s);

static cfg_opt_t section_option(const plx_config_section *s, cfg_flag_t flags)
{
    return (cfg_opt_t){.name = s->name,
                       .type = CFGT_SEC,
                       .flags = CFGF_MULTI | flags,
                       .subopts = make_options(s),
                       .validcb = on_section};
}

static cfg_opt_t *make_options(const plx_config_section *s)
{
    size_t fields = 0, subs = 0, n = 0;
    while (s->fields[fields].name)
        fields++;
    while (s->subs[subs])
        subs++;
    cfg_opt_t *options = plx_alloc_zero(fields + subs + 2, sizeof *options);
    for (const plx_config_field *f = s->fields; f->name; f++) {
        bool list = f->kind == PLX_CONFIG_STRINGS;
        options[n++] = (cfg_opt_t){.name = f->name,
                                   .type = CFGT_STR,
                                   .flags = CFGF_NODEFAULT | (list ? CFGF_LIST : 0),
                                   .parsecb = on_value};
    }
    for (size_t i = 0; i < subs; i++)
        options[n++] = section_option(s->subs[i], CFGF_NONE);
    if (s->items)
        options[n++] = section_option(s->items, CFGF_TITLE | CFGF_NO_TITLE_DUPES);
    return options; /* the rest is zero, which ends the array */
}

/* ---- From libConfuse's result to our structs ---- */

static void note(reader *r, const void *member, unsigned line)
{
    plx_config_notes *n = r->notes;
    if (n->count == n->room) {
        n->room = n->room > 0 ? 2 * n->room : 64;
        n->items = plx_realloc(n->items, n->room * sizeof *n->items);
    }
    n->items[n->count++] = (plx_config_note){member, line};
}

unsigned plx_config_line(const plx_config_notes *notes, const void *member, unsigned otherwise)
{
    for (size_t i = 0; i < notes->count; i++)
        if (notes->items[i].member == member)
            return notes->items[i].line;
    return otherwise;
}

/* line: of the section. */
static void take_field(reader *r, const plx_config_field *f, cfg_opt_t *opt, unsigned line,
                       void *base)
{
    size_t count = cfg_opt_size(opt);
    if (count == 0 && !(opt->flags & CFGF_MODIFIED))
        return;
    if (count == 0 && f->some)
        plx_problem_add(r->problems, line, "'%s' is empty (expected %s)", f->name, f->some);
    plx_config_value *values = plx_alloc_zero(count, sizeof *values);
    for (size_t i = 0; i < count; i++) {
        char *rest;
        values[i].line = (unsigned)strtoul(cfg_opt_getnstr(opt, (unsigned)i), &rest, 10);
        values[i].text = plx_slice_of(rest + 1);
    }
    if (count > 0)
        note(r, (char *)base + f->offset, values[0].line);
    plx_config_set_field(f, base, values, count, r->problems);
    free(values);
}

static void take_section(reader *r, const plx_config_section *s, cfg_t *cfg, void *base);

/* A section without a title, which may be there once. */
static void take_sub(reader *r, const plx_config_section *s, cfg_t *cfg, void *base)
{
    static const bool yes = true;
    unsigned count = cfg_size(cfg, s->name);
    if (count == 0)
        return;
    cfg_t *sub = cfg_getnsec(cfg, s->name, 0);
    if (count > 1)
        plx_problem_add(r->problems, (unsigned)cfg_getnsec(cfg, s->name, 1)->line,
                        "section '%s' is given twice (expected once)", s->name);
    if (s->present != PLX_CONFIG_NOWHERE)
        memcpy((char *)base + s->present, &yes, sizeof yes);
    take_section(r, s, sub, base);
    note(r, (char *)base + s->place, (unsigned)sub->line);
}

/* One socket or channel. item: its zeroed struct. */
static void take_item(reader *r, const plx_config_section *s, cfg_t *cfg, char *item)
{
    unsigned line = (unsigned)cfg->line;
    char *title = plx_strdup(cfg_title(cfg));
    const char *expected = s->judge_title(plx_slice_of(title));
    if (expected)
        plx_problem_add(r->problems, line, "%s is not possible as a %s's title (expected %s)",
                        plx_problem_quote(plx_slice_of(title)), s->name, expected);
    memcpy(item + s->title_at, &title, sizeof title);
    memcpy(item + s->line_at, &line, sizeof line);
    plx_config_set_defaults(s, item);
    take_section(r, s, cfg, item);
}

static void take_items(reader *r, const plx_config_section *s, cfg_t *cfg, char *base)
{
    size_t count = cfg_size(cfg, s->items->name);
    char *array = plx_alloc_zero(count, s->items->size);
    memcpy(base + s->items_at, &array, sizeof array);
    memcpy(base + s->count_at, &count, sizeof count);
    for (size_t i = 0; i < count; i++)
        take_item(r, s->items, cfg_getnsec(cfg, s->items->name, (unsigned)i),
                  array + i * s->items->size);
}

static void take_section(reader *r, const plx_config_section *s, cfg_t *cfg, void *base)
{
    for (const plx_config_field *f = s->fields; f->name; f++)
        take_field(r, f, cfg_getopt(cfg, f->name), (unsigned)cfg->line, base);
    for (size_t i = 0; s->subs[i]; i++)
        take_sub(r, s->subs[i], cfg, base);
    if (s->items)
        take_items(r, s, cfg, base);
}

int plx_config_read(const char *text, const plx_config_opens *opens, plx_config *c,
                    plx_config_notes *notes, plx_problems *p)
{
    reader r = {.opens = opens, .notes = notes, .problems = p};
    plx_config_set_defaults(&plx_config_schema, c);
    plx_buf_init(&r.value, 0);
    running = &r;
    cfg_opt_t *options = make_options(&plx_config_schema);
    cfg_t *cfg = cfg_init(options, CFGF_NONE);
    cfg_set_error_function(cfg, on_error);
    int result = cfg_parse_buf(cfg, text);
    if (result == CFG_SUCCESS)
        take_section(&r, &plx_config_schema, cfg, c);
    else if (r.errors == 0)
        plx_problem_add(p, cfg->line > 0 ? (unsigned)cfg->line : 1,
                        "this can't be read (expected KEY = VALUE, or SECTION { ... })");
    cfg_free(cfg);
    free_options(options);
    running = NULL;
    plx_buf_fini(&r.value);
    return result == CFG_SUCCESS ? 0 : PLX_E_INVALID;
}
