/* Inside base/config: what its files share. Nobody else includes this.
 *
 *   config_text.c     the file's text, made fit for libConfuse
 *   config_schema.c   which keys and sections there are, as tables
 *   config_read.c     libConfuse and the tables: text -> plx_config
 *   config_judge.c    is this one value possible?
 *   config_check.c    do the values go together?
 *   config_check_app.c  the same for what asks an application: auth and backends
 *   config_files.c    files: itself, secrets, keys
 *   config_problems.c what was wrong
 *   config.c          plx_config_load, which runs them in this order
 */
#ifndef PLX_BASE_CONFIG_PARTS_H
#define PLX_BASE_CONFIG_PARTS_H

#include "base/config.h"
#include <sys/types.h>

/* ---- Problems ---- */

typedef struct plx_problem {
    unsigned line;
    unsigned order; /* as it was found, among those of one line */
    bool warning;
    char *text;
} plx_problem;

/* What was found, and in which file. All zero but for `file` at first. */
typedef struct plx_problems {
    const char *file;
    plx_problem *items;
    size_t count;
    size_t errors; /* those that are no warnings, also the ones left out */
} plx_problems;

/* Notes "what is wrong (expected ...)" for a line of the file (1: the file as a whole). Peers' and
 * users' words in it go through plx_problem_quote. Beyond the first 50 they are counted only. */
void plx_problem_add(plx_problems *p, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void plx_problem_warn(plx_problems *p, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The text in quotes, shortened and without control characters, in one of a few static buffers that
 * are used in turn. */
const char *plx_problem_quote(plx_slice text);
/* Appends all in the order of their lines, then forgets them. */
void plx_problems_write(plx_problems *p, plx_buf *out);

/* ---- Text ---- */

/* Lines on which sections were opened, in the order in which they are closed. */
typedef struct plx_config_opens {
    unsigned *lines;
    size_t count;
} plx_config_opens;

/* Replaces comments by spaces (libConfuse 3.3 counts lines wrongly after them and refuses them in
 * lists) and refuses what would leave its lexer, which is a global, in a wrong state for the next
 * file: strings and comments without an end, escapes it does not know; also what it would skip in
 * silence. `text` is changed in place and must end with a newline. Returns 0, or PLX_E_INVALID with
 * the problems noted. *opens is the caller's to free in both cases. */
int plx_config_text_clean(char *text, size_t len, plx_config_opens *opens, plx_problems *p);

/* ---- Schema ---- */

enum plx_config_kind {
    PLX_CONFIG_STRING,  /* char *: one line */
    PLX_CONFIG_TEXT,    /* char *: may have line breaks */
    PLX_CONFIG_STRINGS, /* plx_strings */
    PLX_CONFIG_BOOL,    /* bool */
    PLX_CONFIG_U64,     /* uint64_t */
    PLX_CONFIG_SIZE,    /* size_t */
    PLX_CONFIG_UINT,    /* unsigned */
    PLX_CONFIG_CHOICE,  /* an enum, by the index in `names` */
    PLX_CONFIG_FLAG     /* bool: whether it is names[1] rather than names[0] */
};

typedef struct plx_config_field {
    const char *name; /* NULL ends a table */
    enum plx_config_kind kind;
    size_t offset;
    uint64_t min, max; /* of numbers */
    uint64_t number;   /* default of numbers, BOOL, CHOICE and FLAG */
    const char *text;  /* default of STRING (or NULL), only item of STRINGS (or NULL: none) */
    const char *const
        *names; /* of CHOICE, FLAG, and of a STRING that is one of them; NULL ends it */
    const char *(*judge)(
        plx_slice value); /* NULL: all right; else what was expected. May be NULL */
    bool secret;          /* its value is not to be shown */
    const char *some;     /* of STRINGS where an empty list is refused: what was expected */
} plx_config_field;

#define PLX_CONFIG_NOWHERE ((size_t)-1)

typedef struct plx_config_section {
    const char *name;
    const plx_config_field *fields;
    const struct plx_config_section *const *subs; /* ends with NULL; write into the same struct */
    size_t place;   /* a member that stands for the section in line notes */
    size_t present; /* bool that tells whether it is there, or PLX_CONFIG_NOWHERE */
    /* A repeated section with a title in it (or NULL): an array of structs. */
    const struct plx_config_section *items;
    size_t items_at, count_at; /* where this section's struct has the array and its size_t count */
    /* When it is itself such an item: */
    size_t size, title_at, line_at; /* of its struct; char * title; unsigned line */
    const char *(*judge_title)(plx_slice title);
} plx_config_section;

extern const plx_config_section plx_config_schema;

/* ---- Fields ---- */

/* One value out of the file. */
typedef struct plx_config_value {
    plx_slice text;
    unsigned line;
} plx_config_value;

/* Sets every field of a section and of its subsections to its default. base: the struct, zeroed. */
void plx_config_set_defaults(const plx_config_section *s, void *base);
/* Sets a field to what the file has for it: one value, or any number for STRINGS. What is
 * not possible is noted and leaves the default. */
void plx_config_set_field(const plx_config_field *f, void *base, const plx_config_value *values,
                          size_t count, plx_problems *p);
/* Frees everything that the schema knows in c, not c. */
void plx_config_release(plx_config *c);

/* ---- Reading ---- */

typedef struct plx_config_note {
    const void *member;
    unsigned line;
} plx_config_note;

/* Where members were given a value. */
typedef struct plx_config_notes {
    plx_config_note *items;
    size_t count, room;
} plx_config_notes;

/* Sets every default, then what the text says. Returns 0 when the text was understood (problems
 * with single values may have been noted), else PLX_E_INVALID. `text` has been cleaned. */
int plx_config_read(const char *text, const plx_config_opens *opens, plx_config *c,
                    plx_config_notes *notes, plx_problems *p);
/* The line where a member of the configuration was given, else `otherwise`. */
unsigned plx_config_line(const plx_config_notes *notes, const void *member, unsigned otherwise);

/* ---- Files ---- */

/* A regular file (a FIFO would hang, a device never end), at most as long as out's bound.
 * PLX_E_SYSTEM with errno, PLX_E_TOOBIG, PLX_E_INVALID (not a regular file). */
int plx_config_read_file(const char *path, plx_buf *out, mode_t *mode);
/* What such an error means, for people; errno as it was then. */
const char *plx_config_unreadable(int err);
/* Reads secret_file, previous_secret_file, and every auth's "file:PATH" in `key` and
 * `previous_key`, which become what the files hold, without white space at their ends. */
void plx_config_read_secrets(plx_config *c, const plx_config_notes *notes, plx_problems *p);

/* ---- Judging ---- */

/* Each returns NULL when a value is possible, else what is expected instead (static text). */
const char *plx_judge_redis_url(plx_slice v);
const char *plx_judge_prefix(plx_slice v);
const char *plx_judge_secret(plx_slice v);
const char *plx_judge_token_secret(plx_slice v);
const char *plx_judge_proxy(plx_slice v);
const char *plx_judge_socket_path(plx_slice v);
const char *plx_judge_pattern(plx_slice v);
const char *plx_judge_template(plx_slice v);
const char *plx_judge_meta(plx_slice v);
const char *plx_judge_origin(plx_slice v);
const char *plx_judge_backend(plx_slice v);
const char *plx_judge_module_path(plx_slice v);
const char *plx_judge_name(plx_slice v);
const char *plx_judge_given(plx_slice v);
const char *plx_judge_key(plx_slice v);
const char *plx_judge_http_url(plx_slice v);
const char *plx_judge_hook(plx_slice v);
const char *plx_judge_header(plx_slice v);
const char *plx_judge_jwt_algorithm(plx_slice v);
const char *plx_judge_api_path(plx_slice v);
const char *plx_judge_api_key(plx_slice v);

/* What no value shows by itself. */
void plx_config_check(const plx_config *c, const plx_config_notes *notes, plx_problems *p);
/* Its parts in config_check_app.c. */
void plx_config_check_auth(const plx_socket_config *s, const plx_config_notes *notes,
                           plx_problems *p);
void plx_config_check_backend(const plx_channel_config *ch, const plx_config_notes *notes,
                              plx_problems *p);
/* A warning when a secret was copied out of an example. No error: trying them out must work. */
void plx_config_check_placeholder(const char *what, const char *secret, unsigned line,
                                  plx_problems *p);

#endif
