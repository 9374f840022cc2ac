/* Where `pollux dev` keeps its things and finds those of others.
 *
 * A state directory that somebody named may hold anything, so nothing is removed
 * from it but the files that are listed here. One that we made ourselves goes away
 * as a whole.
 */
#include "channel/cli/dev.h"
#include "base/alloc.h"
#include "base/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES   100 /* of LOCK_STEP_NS each: 5 s */
#define LOCK_STEP_NS 50000000L
#define SOCKET_PATH  108 /* sizeof sun_path */

/* ---- the state directory ---- */

static int make_dir(const char *path)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    plx_dev_complain("can't make the directory %s: %s", path, strerror(errno));
    return PLX_E_SYSTEM;
}

static char *make_temporary(void)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = plx_asprintf("%s/pollux-dev.XXXXXX", tmp != NULL && *tmp == '/' ? tmp : "/tmp");

    if (mkdtemp(dir) != NULL)
        return dir;
    plx_dev_complain("can't make a directory %s: %s", dir, strerror(errno));
    free(dir);
    return NULL;
}

static char *make_named(const char *dir)
{
    char *real;

    if (make_dir(dir) != 0)
        return NULL;
    real = realpath(dir, NULL);
    if (real == NULL)
        plx_dev_complain("%s: %s", dir, strerror(errno));
    return real;
}

static int lock(plx_dev_place *p)
{
    static const struct timespec step = {0, LOCK_STEP_NS};
    int i;

    p->lock = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->lock < 0) {
        plx_dev_complain("%s: %s", p->dir, strerror(errno));
        return PLX_E_SYSTEM;
    }
    for (i = 0; i < LOCK_TRIES; i++) {
        if (flock(p->lock, LOCK_EX | LOCK_NB) == 0)
            return 0;
        nanosleep(&step, NULL);
    }
    plx_dev_complain("another 'pollux dev' is using %s", p->dir);
    close(p->lock);
    p->lock = -1;
    return PLX_E_BUSY;
}

int plx_dev_place_open(plx_dev_place *p, const char *dir)
{
    memset(p, 0, sizeof *p);
    p->lock = -1;
    p->temporary = dir == NULL;
    p->dir = dir == NULL ? make_temporary() : make_named(dir);
    if (p->dir == NULL)
        return PLX_E_SYSTEM;
    p->run = plx_asprintf("%s/run", p->dir);
    p->log = plx_asprintf("%s/log", p->dir);
    p->tmp = plx_asprintf("%s/tmp", p->dir);
    if (strlen(p->run) + sizeof "/redis.sock" > SOCKET_PATH) {
        plx_dev_complain("%s is too long a name for a state directory: the Unix sockets in it may "
                         "have %d bytes with their path",
                         p->dir, SOCKET_PATH - 1);
        return PLX_E_INVALID;
    }
    if (lock(p) != 0)
        return PLX_E_BUSY;
    return make_dir(p->run) == 0 && make_dir(p->log) == 0 && make_dir(p->tmp) == 0 ? 0
                                                                                   : PLX_E_SYSTEM;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

/* Bodies that lighttpd put on disk and had no time to remove. */
static void remove_uploads(const char *tmp)
{
    DIR *d = opendir(tmp);
    struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL)
        if (strncmp(e->d_name, "lighttpd-upload-", 16) == 0)
            unlinkat(dirfd(d), e->d_name, 0);
    if (d != NULL)
        closedir(d);
}

void plx_dev_place_clean(const plx_dev_place *p)
{
    static const char *const files[] = {"redis.pid",  "fcgi.pid",  "ws.pid",    "lighttpd.pid",
                                        "redis.sock", "fcgi.sock", "ws.listen", "lighttpd.conf"};
    char path[PATH_MAX];
    size_t i;

    if (p->dir == NULL)
        return;
    if (p->temporary) {
        nftw(p->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        return;
    }
    if (p->run == NULL || p->tmp == NULL || p->lock < 0)
        return;
    for (i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", p->run, files[i]);
        /* Ours have ended: who still listens is somebody else, see dev_redis.c. */
        if (!plx_dev_probe_listens(path, 0))
            unlink(path);
    }
    remove_uploads(p->tmp);
    rmdir(p->run); /* stay when somebody else's things are in them */
    rmdir(p->tmp);
}

void plx_dev_place_close(plx_dev_place *p)
{
    if (p->lock >= 0)
        close(p->lock);
    free(p->dir);
    free(p->run);
    free(p->log);
    free(p->tmp);
    memset(p, 0, sizeof *p);
    p->lock = -1;
}

/* ---- files ---- */

static int write_all(int fd, plx_slice content)
{
    while (content.len > 0) {
        ssize_t n = write(fd, content.data, content.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        content = plx_slice_make(content.data + n, content.len - (size_t)n);
    }
    return 0;
}

int plx_dev_write_file(const char *path, plx_slice content)
{
    char *part = plx_asprintf("%s.part", path);
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = 0;

    if (fd < 0 || write_all(fd, content) != 0)
        rc = PLX_E_SYSTEM;
    if (fd >= 0 && close(fd) != 0)
        rc = PLX_E_SYSTEM;
    if (rc == 0 && rename(part, path) != 0)
        rc = PLX_E_SYSTEM;
    if (rc != 0) {
        plx_dev_complain("can't write %s: %s", path, strerror(errno));
        unlink(part);
    }
    free(part);
    return rc;
}

/* ---- programs and data ---- */

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The directory of this binary, owned by the caller. */
static char *own_dir(void)
{
    char *path = realpath("/proc/self/exe", NULL), *slash = path ? strrchr(path, '/') : NULL;

    if (slash != NULL)
        *slash = '\0';
    return path != NULL ? path : plx_strdup(".");
}

/* The first of the colon-separated directories that has the program. */
static char *find_in(const char *dirs, const char *name)
{
    const char *end;

    for (; dirs != NULL && *dirs != '\0'; dirs = *end == '\0' ? end : end + 1) {
        char *path;

        end = strchrnul(dirs, ':');
        path = plx_asprintf("%.*s/%s", (int)(end - dirs), dirs, name);
        if (end > dirs && is_program(path))
            return path;
        free(path);
    }
    return NULL;
}

char *plx_dev_find_program(const char *name)
{
    char *own = own_dir();
    char *path = find_in(getenv("POLLUX_BIN_DIR"), name);

    if (path == NULL)
        path = find_in(own, name);
    if (path == NULL)
        path = find_in(getenv("PATH"), name);
    if (path == NULL)
        path = find_in("/usr/sbin:/usr/local/sbin:/sbin", name);
    free(own);
    return path;
}

char *plx_dev_find_data(const char *name)
{
    static const char *const places[] = {"../share/pollux", "../../../conf"};
    char *own = own_dir(), *real = NULL;
    size_t i;

    for (i = 0; real == NULL && i < sizeof places / sizeof *places; i++) {
        char *path = plx_asprintf("%s/%s/%s", own, places[i], name);

        real = realpath(path, NULL);
        free(path);
    }
    free(own);
    return real;
}
