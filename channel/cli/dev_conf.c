/* The effective configuration: the given one with another Redis.
 *
 * The text is edited, not rewritten: what this program does not know must survive,
 * and so must line numbers, because the loader's complaints name them. A small
 * scanner finds the tokens of libConfuse's language (comments, two kinds of
 * strings, braces); while they pass, the few values that are to change are
 * replaced, always by text without a line break.
 */
#include "channel/cli/dev.h"
#include "base/alloc.h"
#include "base/crypto.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX      (4 * 1024 * 1024)
#define SECTIONS_MAX  8
#define SECRET_LENGTH 48

/* ---- tokens ---- */

enum token { T_END, T_WORD, T_STRING, T_OPEN, T_CLOSE, T_ASSIGN, T_OTHER, T_BAD };

struct scan {
    const char *p, *end; /* what is still to be read */
    plx_slice token;     /* the last token's text, quotes included */
};

static const char *after_line(const char *p, const char *end)
{
    const char *nl = memchr(p, '\n', (size_t)(end - p));

    return nl == NULL ? end : nl;
}

/* Skips blanks and comments; false when a comment does not end. */
static bool skip(struct scan *s)
{
    while (s->p < s->end) {
        bool two = s->end - s->p >= 2;

        if (memchr(" \t\r\n", *s->p, 4) != NULL) {
            s->p++;
        } else if (*s->p == '#' || (two && memcmp(s->p, "//", 2) == 0)) {
            s->p = after_line(s->p, s->end);
        } else if (two && memcmp(s->p, "/*", 2) == 0) {
            const char *close = memmem(s->p + 2, (size_t)(s->end - s->p - 2), "*/", 2);

            if (close == NULL)
                return false;
            s->p = close + 2;
        } else {
            break;
        }
    }
    return true;
}

static enum token read_string(struct scan *s)
{
    char quote = *s->p++;

    while (s->p < s->end && *s->p != quote)
        s->p += *s->p == '\\' && s->end - s->p > 1 ? 2 : 1;
    if (s->p >= s->end)
        return T_BAD;
    s->p++;
    return T_STRING;
}

static enum token read_word(struct scan *s)
{
    while (s->p < s->end && memchr(" \t\r\n\"'={}()+,#", *s->p, 14) == NULL)
        s->p++;
    return T_WORD;
}

static enum token read_token(struct scan *s)
{
    switch (*s->p) {
    case '"':
    case '\'':
        return read_string(s);
    case '{':
        s->p++;
        return T_OPEN;
    case '}':
        s->p++;
        return T_CLOSE;
    case '=':
        s->p++;
        return T_ASSIGN;
    case '(':
    case ')':
    case ',':
    case '+':
        s->p++;
        return T_OTHER;
    default:
        return read_word(s);
    }
}

static enum token next_token(struct scan *s)
{
    const char *start;
    enum token t;

    if (!skip(s))
        return T_BAD;
    if (s->p == s->end)
        return T_END;
    start = s->p;
    t = read_token(s);
    s->token = plx_slice_make(start, (size_t)(s->p - start));
    return t;
}

/* ---- editing ---- */

struct edit {
    struct scan scan;
    const char *copied; /* the original up to here is in out */
    const char *conf_dir, *work_dir, *redis_url;
    plx_buf *out;
    plx_slice sections[SECTIONS_MAX]; /* the kinds of the open ones */
    size_t depth;
    plx_slice key, kind; /* the last word; the word that began this statement */
    enum token last;
    bool in_list, has_redis, has_url, has_secret;
};

/* In single quotes libConfuse expands nothing. */
static void add_quoted(plx_buf *out, const char *text)
{
    plx_buf_byte(out, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\')
            plx_buf_byte(out, '\\');
        plx_buf_byte(out, (unsigned char)*text);
    }
    plx_buf_byte(out, '\'');
}

/* Brings `out` up to the current token (which is left out). */
static void copy_up_to_token(struct edit *e)
{
    plx_buf_append(e->out, e->copied, (size_t)(e->scan.token.data - e->copied));
    e->copied = e->scan.p;
}

static bool in_section(const struct edit *e, size_t depth, const char *kind)
{
    return e->depth == depth && plx_slice_is(e->sections[depth - 1], kind);
}

/* A relative file name behind `prefix` (what does not begin with it is no file name); what needs
 * unescaping or expansion is left as it is. */
static void make_absolute(struct edit *e, enum token t, const char *prefix, const char *dir)
{
    plx_slice name = e->scan.token;
    size_t skipped = strlen(prefix);
    char *path;

    if (t == T_STRING)
        name = plx_slice_make(name.data + 1, name.len - 2);
    if (!plx_slice_starts(name, plx_slice_of(prefix)))
        return;
    name = plx_slice_make(name.data + skipped, name.len - skipped);
    if (name.len == 0 || name.data[0] == '/' || memchr(name.data, '\\', name.len) != NULL ||
        memchr(name.data, '$', name.len) != NULL)
        return;
    copy_up_to_token(e);
    path = plx_asprintf("%s%s/%.*s", prefix, dir, (int)name.len, name.data);
    add_quoted(e->out, path);
    free(path);
}

static bool is_key_of_auth(const struct edit *e)
{
    return in_section(e, 2, "auth") &&
           (plx_slice_is(e->key, "key") || plx_slice_is(e->key, "previous_key"));
}

static void on_value(struct edit *e, enum token t)
{
    if (in_section(e, 1, "redis") && plx_slice_is(e->key, "url")) {
        copy_up_to_token(e);
        add_quoted(e->out, e->redis_url);
        e->has_url = true;
    } else if (e->depth == 0 && plx_slice_is(e->key, "secret")) {
        e->has_secret = true;
    } else if (e->depth == 0 && plx_slice_is(e->key, "secret_file")) {
        e->has_secret = true;
        make_absolute(e, t, "", e->conf_dir);
    } else if (e->depth == 0 && plx_slice_is(e->key, "previous_secret_file")) {
        make_absolute(e, t, "", e->conf_dir);
    } else if (in_section(e, 2, "channel") && plx_slice_is(e->key, "path")) {
        make_absolute(e, t, "", e->work_dir); /* dlopen's view */
    } else if (is_key_of_auth(e)) {
        make_absolute(e, t, "file:", e->conf_dir);
    }
}

static int on_open(struct edit *e)
{
    if (e->last == T_ASSIGN) {
        e->in_list = true;
        return 0;
    }
    if (e->depth == SECTIONS_MAX)
        return PLX_E_INVALID;
    e->sections[e->depth++] = e->kind;
    if (in_section(e, 1, "redis")) {
        e->has_redis = true;
        e->has_url = false;
    }
    return 0;
}

static int on_close(struct edit *e)
{
    if (e->in_list) {
        e->in_list = false;
        return 0;
    }
    if (e->depth == 0)
        return PLX_E_INVALID;
    if (in_section(e, 1, "redis") && !e->has_url) {
        copy_up_to_token(e);
        plx_buf_str(e->out, " url = ");
        add_quoted(e->out, e->redis_url);
        plx_buf_str(e->out, " }");
    }
    e->depth--;
    return 0;
}

static int on_token(struct edit *e, enum token t)
{
    if (t == T_OPEN)
        return on_open(e);
    if (t == T_CLOSE)
        return on_close(e);
    if (e->in_list)
        return 0;
    if ((t == T_WORD || t == T_STRING) && e->last == T_ASSIGN) {
        on_value(e, t);
    } else if (t == T_WORD) {
        e->key = e->scan.token;
        e->kind = e->scan.token; /* `channel "room:*" {`: strings do not replace it */
    }
    return 0;
}

int plx_dev_conf_edit(plx_slice text, const plx_dev_conf *c, plx_buf *out)
{
    struct edit e;
    enum token t;

    if (text.len == 0)
        text = plx_slice_of("");
    memset(&e, 0, sizeof e);
    e.scan.p = e.copied = text.data;
    e.scan.end = text.data + text.len;
    e.conf_dir = c->conf_dir;
    e.work_dir = c->work_dir;
    e.redis_url = c->redis_url;
    e.out = out;
    e.last = T_END;
    while ((t = next_token(&e.scan)) != T_END) {
        if (t == T_BAD || on_token(&e, t) != 0)
            return PLX_E_INVALID;
        e.last = t;
    }
    if (e.depth > 0)
        return PLX_E_INVALID;
    plx_buf_append(out, e.copied, (size_t)(e.scan.end - e.copied));
    if (!e.has_redis) {
        plx_buf_str(out, "\nredis { url = ");
        add_quoted(out, c->redis_url);
        plx_buf_str(out, " }\n");
    }
    if (!e.has_secret)
        plx_buf_printf(out, "\nsecret = \"%s\"\n", c->secret);
    return plx_buf_ok(out) ? 0 : PLX_E_TOOBIG;
}

/* ---- files ---- */

static int read_file(const char *path, plx_buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 0;
    char *room;

    while (fd >= 0 && (room = plx_buf_reserve(out, 4096)) != NULL && (n = read(fd, room, 4096)) > 0)
        plx_buf_commit(out, (size_t)n);
    if (fd < 0 || n < 0) {
        plx_dev_complain("can't read the configuration %s: %s", path, strerror(errno));
    } else if (n > 0) {
        plx_dev_complain("%s is larger than %d bytes: that is no configuration", path, FILE_MAX);
        n = -1;
    }
    if (fd >= 0)
        close(fd);
    return fd < 0 || n < 0 ? PLX_E_SYSTEM : 0;
}

/* The loader saw the copy; whoever reads its complaints has the original before them. */
static void show_problems(const char *problems, const char *copy, const char *original)
{
    const char *at;

    while ((at = strstr(problems, copy)) != NULL) {
        fprintf(stderr, "%.*s%s", (int)(at - problems), problems, original);
        problems = at + strlen(copy);
    }
    fputs(problems, stderr);
}

static int load(const char *file, const char *redis_url, const char *copy, plx_config **config)
{
    plx_config *loaded = NULL;
    plx_buf problems;
    int rc;

    plx_buf_init(&problems, 64 * 1024);
    rc = plx_config_load(copy, &loaded, &problems);
    show_problems(plx_buf_cstr(&problems), copy, file);
    plx_buf_fini(&problems);
    if (rc != 0)
        return rc;
    if (strcmp(loaded->redis.url, redis_url) != 0) {
        plx_dev_complain("%s: redis.url could not be replaced; write it as  url = \"...\"  in a "
                         "section  redis { }",
                         file);
        plx_config_free(loaded);
        return PLX_E_INVALID;
    }
    *config = loaded;
    return 0;
}

/* The directory that a file is in, absolute; owned by the caller. */
static char *directory_of(const char *file)
{
    char *real = realpath(file, NULL), *slash = real != NULL ? strrchr(real, '/') : NULL;

    if (slash != NULL)
        slash[slash == real ? 1 : 0] = '\0';
    return real != NULL ? real : plx_strdup(".");
}

/* The edited text into out_file; one that can't be edited goes there as it is, and the loader will
 * say where it is wrong. */
static int write_copy(const char *file, const char *redis_url, const char *out_file)
{
    char secret[SECRET_LENGTH + 1];
    plx_dev_conf c = {.redis_url = redis_url, .secret = secret};
    char *conf_dir = directory_of(file), *work_dir = realpath(".", NULL);
    plx_buf text, edited;
    int rc;

    c.conf_dir = conf_dir;
    c.work_dir = work_dir != NULL ? work_dir : ".";
    plx_buf_init(&text, FILE_MAX);
    plx_buf_init(&edited, 2 * FILE_MAX);
    plx_random_id(secret, SECRET_LENGTH);
    rc = read_file(file, &text);
    if (rc == 0) {
        bool ok = plx_dev_conf_edit(plx_buf_slice(&text), &c, &edited) == 0;

        rc = plx_dev_write_file(out_file, plx_buf_slice(ok ? &edited : &text));
    }
    free(conf_dir);
    free(work_dir);
    plx_buf_fini(&text);
    plx_buf_fini(&edited);
    return rc;
}

int plx_dev_conf_make(const char *file, const char *redis_url, const char *out_file,
                      plx_config **config)
{
    int rc = write_copy(file, redis_url, out_file);

    return rc == 0 ? load(file, redis_url, out_file, config) : rc;
}
