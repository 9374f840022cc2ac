/* Loading the configuration: the text is read and cleaned, libConfuse and the schema make structs
 * of it, and these are judged. Problems of all steps are collected; a step is left out only when
 * the one before could make nothing of the text.
 */
#include "base/config.h"
#include "base/alloc.h"
#include "base/config_parts.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX   (1024 * 1024)
#define SECRET_MAX 4096

const char *plx_config_path(const char *from_command_line)
{
    const char *from_environment = getenv("POLLUX_CONFIG");
    if (from_command_line)
        return from_command_line;
    return from_environment && *from_environment ? from_environment : "/etc/pollux/pollux.conf";
}

/* ---- Files ---- */

static int read_all(int fd, plx_buf *out)
{
    for (;;) {
        char chunk[16384];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return PLX_E_SYSTEM;
        if (n == 0)
            return 0;
        int err = plx_buf_append(out, chunk, (size_t)n);
        if (err)
            return err;
    }
}

/* A regular file (a FIFO would hang, a device never end), at most as long as out's bound.
 * PLX_E_SYSTEM with errno, PLX_E_TOOBIG, PLX_E_INVALID (not a regular file). */
static int read_file(const char *path, plx_buf *out, mode_t *mode)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = PLX_E_SYSTEM;
    if (fd < 0)
        return PLX_E_SYSTEM;
    if (fstat(fd, &st) == 0)
        err = S_ISREG(st.st_mode) ? read_all(fd, out) : PLX_E_INVALID;
    int saved = errno;
    close(fd);
    errno = saved;
    if (err == 0)
        *mode = st.st_mode;
    return err;
}

static const char *why(int err)
{
    if (err == PLX_E_SYSTEM)
        return strerror(errno);
    return err == PLX_E_TOOBIG ? "it is too long" : "it is no regular file";
}

/* ---- secret_file ---- */

/* A path that is not absolute counts from the configuration's directory. */
static char *beside(const char *config, const char *path)
{
    const char *slash = strrchr(config, '/');
    if (path[0] == '/' || !slash)
        return plx_strdup(path);
    return plx_asprintf("%.*s/%s", (int)(slash - config), config, path);
}

static plx_slice trim(plx_slice s)
{
    while (s.len > 0 && strchr(" \t\r\n", s.data[s.len - 1]))
        s.len--;
    while (s.len > 0 && strchr(" \t\r\n", s.data[0]))
        s = plx_slice_make(s.data + 1, s.len - 1);
    return s;
}

/* Reads one secret from the file named by `key`, into *secret. */
static void read_secret(const plx_config *c, const char *key, const char *path, char **secret,
                        unsigned line, plx_problems *p)
{
    plx_buf text;
    mode_t mode = 0;
    char *full = beside(c->file, path);
    plx_buf_init(&text, SECRET_MAX);
    int err = read_file(full, &text, &mode);
    plx_slice found = trim(plx_buf_slice(&text));
    const char *shown = plx_problem_quote(plx_slice_of(full));
    if (*secret)
        plx_problem_add(p, line, "'%s' beside the secret itself (expected one of them)", key);
    else if (err)
        plx_problem_add(p, line, "'%s' %s can't be read: %s (expected a file with the secret)", key,
                        shown, why(err));
    else if (plx_judge_secret(found) || memchr(found.data, 0, found.len))
        plx_problem_add(p, line, "the secret in '%s' %s is not possible (expected %s)", key, shown,
                        "at least 32 random characters");
    else
        *secret = plx_slice_dup(found);
    if (err == 0 && (mode & S_IROTH))
        plx_problem_warn(p, line, "'%s' %s can be read by everybody on this machine", key, shown);
    plx_buf_fini(&text);
    free(full);
}

static void read_secrets(plx_config *c, const plx_config_notes *notes, plx_problems *p)
{
    if (c->secret_file)
        read_secret(c, "secret_file", c->secret_file, &c->secret,
                    plx_config_line(notes, &c->secret_file, 1), p);
    if (c->previous_secret_file)
        read_secret(c, "previous_secret_file", c->previous_secret_file, &c->previous_secret,
                    plx_config_line(notes, &c->previous_secret_file, 1), p);
}

/* ---- Loading ---- */

static int read_config_file(const char *file, plx_buf *text, plx_problems *p)
{
    mode_t mode;
    int err = read_file(file, text, &mode);
    if (err)
        plx_problem_add(p, 1,
                        "this file can't be read: %s (expected a configuration of at most "
                        "1 MiB)",
                        why(err));
    return err == PLX_E_TOOBIG ? PLX_E_INVALID : err;
}

/* Everything after reading the file. The text ends with a newline and a NUL. */
static int understand(plx_buf *text, plx_config *c, plx_problems *p)
{
    plx_config_opens opens = {0};
    plx_config_notes notes = {0};
    int err = plx_config_text_clean(text->data, text->len, &opens, p);
    if (err == 0)
        err = plx_config_read(plx_buf_cstr(text), &opens, c, &notes, p);
    if (err == 0) {
        read_secrets(c, &notes, p);
        plx_config_check(c, &notes, p);
    }
    free(opens.lines);
    free(notes.items);
    return err == 0 && p->errors > 0 ? PLX_E_INVALID : err;
}

int plx_config_load(const char *file, plx_config **out, plx_buf *problems)
{
    plx_config *c = plx_alloc_zero(1, sizeof *c);
    plx_problems p = {.file = file};
    plx_buf text;
    plx_buf_init(&text, FILE_MAX + 1);
    c->file = plx_strdup(file);
    int err = read_config_file(file, &text, &p);
    if (err == 0) {
        plx_buf_byte(&text, '\n');
        err = understand(&text, c, &p);
    }
    plx_problems_write(&p, problems);
    plx_buf_fini(&text);
    if (err)
        plx_config_free(c);
    else
        *out = c;
    return err;
}

void plx_config_free(plx_config *c)
{
    if (!c)
        return;
    plx_config_release(c);
    free(c->file);
    free(c);
}
