/* Files that the configuration reads: itself, secrets, keys. */
#include "base/alloc.h"
#include "base/config_parts.h"
#include "base/error.h"
#include "base/pem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MAX 16384
#define KEY_FILE   "file:"

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

int plx_config_read_file(const char *path, plx_buf *out, mode_t *mode)
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

const char *plx_config_unreadable(int err)
{
    if (err == PLX_E_SYSTEM)
        return strerror(errno);
    return err == PLX_E_TOOBIG ? "it is too long" : "it is no regular file";
}

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

/* Reads a secret from the file named by `key`. Returns it, owned, or NULL when it can't be read or
 * judge does not take it; then the problem is noted. */
static char *read_secret(const plx_config *c, const char *key, const char *path,
                         const char *(*judge)(plx_slice v), unsigned line, plx_problems *p)
{
    plx_buf text;
    mode_t mode = 0;
    char *full = beside(c->file, path), *secret = NULL;
    plx_buf_init(&text, SECRET_MAX);
    int err = plx_config_read_file(full, &text, &mode);
    plx_slice found = trim(plx_buf_slice(&text));
    const char *shown = plx_problem_quote(plx_slice_of(full)), *expected = judge(found);
    if (err)
        plx_problem_add(p, line, "'%s' %s can't be read: %s (expected a file with the secret)", key,
                        shown, plx_config_unreadable(err));
    else if (expected || memchr(found.data, 0, found.len))
        plx_problem_add(p, line, "the secret in '%s' %s is not possible (expected %s)", key, shown,
                        expected ? expected : "text");
    else
        secret = plx_slice_dup(found);
    if (err == 0 && (mode & S_IROTH) && plx_pem_kind(found) == PLX_PEM_NONE)
        plx_problem_warn(p, line, "'%s' %s can be read by everybody on this machine", key, shown);
    plx_buf_fini(&text);
    free(full);
    return secret;
}

/* secret_file and previous_secret_file: beside nothing else. */
static void read_secret_file(const plx_config *c, const plx_config_notes *notes, const char *key,
                             char *const *path, char **secret, plx_problems *p)
{
    unsigned line = plx_config_line(notes, path, 1);
    if (!*path)
        return;
    if (*secret)
        plx_problem_add(p, line, "'%s' beside the secret itself (expected one of them)", key);
    else
        *secret = read_secret(c, key, *path, plx_judge_secret, line, p);
}

/* "file:PATH" in the place of a key. Where that can't be read nothing is left of it: the problem is
 * noted, and the name of a file is no key. */
static void read_key(const plx_config *c, const plx_config_notes *notes, const char *key,
                     char **value, plx_problems *p)
{
    char *found;
    if (!*value || strncmp(*value, KEY_FILE, strlen(KEY_FILE)) != 0)
        return;
    found = read_secret(c, key, *value + strlen(KEY_FILE), plx_judge_key,
                        plx_config_line(notes, value, 1), p);
    free(*value);
    *value = found;
}

void plx_config_read_secrets(plx_config *c, const plx_config_notes *notes, plx_problems *p)
{
    read_secret_file(c, notes, "secret_file", &c->secret_file, &c->secret, p);
    read_secret_file(c, notes, "previous_secret_file", &c->previous_secret_file,
                     &c->previous_secret, p);
    for (size_t i = 0; i < c->socket_count; i++) {
        plx_auth_config *a = &c->sockets[i].auth;
        read_key(c, notes, "key", &a->key, p);
        read_key(c, notes, "previous_key", &a->previous_key, p);
    }
}
