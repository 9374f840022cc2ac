/* Listening sockets.
 *
 * Two things are less obvious than socket, bind, listen:
 *
 * A Unix socket file outlives its server, and bind refuses a path that exists.
 * Whether somebody is there is asked by connecting: only a refusal means that the
 * file is a leftover. Between that question and our own listen another program
 * may ask the same; so the directory is locked (flock, which leaves no file
 * behind) until we listen.
 *
 * SO_REUSEPORT lets any program of the same user share an address silently. That
 * would turn "started twice by mistake" into every second client reaching the
 * wrong program, so the address is tried once without it.
 */
#include "base/listen.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES   200 /* of LOCK_STEP_NS each: 2 s */
#define LOCK_STEP_NS 10000000L

/* The kernel's answer to bind or listen, in words that say what to do. */
static int fail(plx_buf *problem, const char *name, int err)
{
    switch (err) {
    case EADDRINUSE:
        plx_buf_printf(problem, "%s: the address is in use by another program", name);
        return PLX_E_BUSY;
    case EACCES:
    case EPERM:
        plx_buf_printf(problem, "%s: permission denied", name);
        return PLX_E_DENIED;
    case EADDRNOTAVAIL:
        plx_buf_printf(problem, "%s: this machine has no such address", name);
        return PLX_E_INVALID;
    case ENOENT:
        plx_buf_printf(problem, "%s: the directory does not exist", name);
        return PLX_E_INVALID;
    default:
        plx_buf_printf(problem, "%s: %s", name, strerror(err));
        return PLX_E_SYSTEM;
    }
}

/* ---- parsing ---- */

static int parse_unix(const char *path, plx_listen_addr *out, plx_buf *problem)
{
    size_t len = strlen(path);

    if (len == 0) {
        plx_buf_str(problem, "\"unix:\" needs the path of a socket file behind it");
        return PLX_E_INVALID;
    }
    if (len >= sizeof out->path) {
        plx_buf_printf(problem,
                       "unix:%.40s...: the path has %zu bytes, and a Unix socket's may have %zu",
                       path, len, sizeof out->path - 1);
        return PLX_E_INVALID;
    }
    memset(out, 0, sizeof *out);
    out->is_unix = true;
    memcpy(out->path, path, len + 1);
    return 0;
}

static int parse_port(const char *text, uint16_t *port)
{
    char *end;
    unsigned long n;

    if (*text < '0' || *text > '9')
        return PLX_E_INVALID;
    errno = 0;
    n = strtoul(text, &end, 10);
    if (*end != '\0' || errno != 0 || n > 65535)
        return PLX_E_INVALID;
    *port = (uint16_t)n;
    return 0;
}

/* Finds the host's range and the ':' before the port; NULL when the text has another shape. */
static const char *split_host(const char *text, const char **host, size_t *host_len)
{
    const char *colon = strrchr(text, ':');

    if (colon == NULL)
        return NULL;
    if (text[0] == '[') {
        if (colon == text || colon[-1] != ']')
            return NULL;
        *host = text + 1;
        *host_len = (size_t)(colon - 1 - *host);
        return colon;
    }
    if (strchr(text, ':') != colon) /* IPv6 without brackets: which colon is the port's? */
        return NULL;
    *host = text;
    *host_len = (size_t)(colon - text);
    return colon;
}

int plx_listen_parse(const char *text, plx_listen_addr *out, plx_buf *problem)
{
    const char *host = NULL, *colon;
    size_t host_len = 0;
    uint16_t port;

    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, out, problem);
    colon = split_host(text, &host, &host_len);
    if (colon == NULL) {
        plx_buf_printf(problem,
                       "\"%.100s\" is no address (expected HOST:PORT, [IPV6]:PORT or "
                       "unix:PATH)",
                       text);
        return PLX_E_INVALID;
    }
    if (host_len >= sizeof out->host) {
        plx_buf_printf(problem, "\"%.40s...\": the host name is too long", text);
        return PLX_E_INVALID;
    }
    if (parse_port(colon + 1, &port) != 0) {
        plx_buf_printf(problem, "\"%.100s\": the port must be a number from 0 to 65535", text);
        return PLX_E_INVALID;
    }
    memset(out, 0, sizeof *out);
    memcpy(out->host, host, host_len);
    out->port = port;
    return 0;
}

/* ---- Unix sockets ---- */

/* Locks the directory that holds `path`. Returns its descriptor, or -1 when it can't be had: then
 * we do without, the lock only decides between programs that start at the same moment. */
static int lock_directory(const char *path)
{
    static const struct timespec step = {0, LOCK_STEP_NS};
    char dir[sizeof((plx_listen_addr *)0)->path];
    char *slash;
    int fd, i;

    snprintf(dir, sizeof dir, "%s", path);
    slash = strrchr(dir, '/');
    if (slash == NULL)
        strcpy(dir, ".");
    else
        slash[slash == dir ? 1 : 0] = '\0';
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    for (i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return fd;
        nanosleep(&step, NULL);
    }
    close(fd);
    return -1;
}

static struct sockaddr_un unix_sockaddr(const char *path)
{
    struct sockaddr_un un;

    memset(&un, 0, sizeof un);
    un.sun_family = AF_UNIX;
    memcpy(un.sun_path, path, strlen(path) + 1);
    return un;
}

/* Whether the socket file at `path` is one that nobody listens on. */
static bool is_stale(const char *path)
{
    struct sockaddr_un un = unix_sockaddr(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool refused;

    if (fd < 0)
        return false;
    refused = connect(fd, (struct sockaddr *)&un, sizeof un) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

/* Makes room for a new socket file; 0 or an error with `problem` filled. */
static int clear_path(const char *path, plx_buf *problem)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return 0; /* nothing there, or bind will say what is wrong */
    if (!S_ISSOCK(st.st_mode)) {
        plx_buf_printf(problem, "unix:%s: the file exists and is not a socket", path);
        return PLX_E_BUSY;
    }
    if (!is_stale(path)) {
        plx_buf_printf(problem, "unix:%s: another program listens there", path);
        return PLX_E_BUSY;
    }
    if (unlink(path) != 0 && errno != ENOENT)
        return fail(problem, path, errno);
    return 0;
}

static int bind_unix(int fd, const plx_listen_addr *a, unsigned mode, plx_buf *problem)
{
    struct sockaddr_un un = unix_sockaddr(a->path);
    mode_t before;
    int rc, err;

    rc = clear_path(a->path, problem);
    if (rc != 0)
        return rc;
    before = umask(~mode & 0777); /* not chmod afterwards: there would be a moment in between */
    rc = bind(fd, (struct sockaddr *)&un, sizeof un);
    err = errno;
    umask(before);
    if (rc == 0 && listen(fd, PLX_LISTEN_BACKLOG) == 0)
        return 0;
    if (rc == 0) {
        err = errno;
        unlink(a->path);
    }
    return fail(problem, a->path, err);
}

static int open_unix(const plx_listen_addr *a, unsigned mode, int *out, plx_buf *problem)
{
    int fd, lock, rc;

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(problem, a->path, errno);
    lock = lock_directory(a->path);
    rc = bind_unix(fd, a, mode, problem);
    if (lock >= 0)
        close(lock);
    if (rc == 0)
        *out = fd;
    else
        close(fd);
    return rc;
}

/* ---- TCP ---- */

static const char *tcp_name(const plx_listen_addr *a, char *out, size_t size)
{
    snprintf(out, size, strchr(a->host, ':') ? "[%s]:%u" : "%s:%u", a->host, a->port);
    return out;
}

static int resolve(const plx_listen_addr *a, struct addrinfo **out, plx_buf *problem)
{
    bool any = a->host[0] == '\0' || strcmp(a->host, "*") == 0;
    struct addrinfo hints;
    char port[8];
    int rc;

    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    snprintf(port, sizeof port, "%u", a->port);
    rc = getaddrinfo(any ? NULL : a->host, port, &hints, out);
    if (rc != 0) {
        plx_buf_printf(problem, "%s: %s", a->host, gai_strerror(rc));
        return PLX_E_INVALID;
    }
    return 0;
}

/* A bound TCP socket, or -1 with errno. */
static int bind_one(const struct addrinfo *ai, bool share)
{
    int fd, err, on = 1, off = 0;

    fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (ai->ai_family == AF_INET6) /* [::] takes IPv4 too, whatever the system's default is */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if ((!share || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
        bind(fd, ai->ai_addr, ai->ai_addrlen) == 0)
        return fd;
    err = errno;
    close(fd);
    errno = err;
    return -1;
}

static void set_port(struct addrinfo *ai, uint16_t port)
{
    if (ai->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)ai->ai_addr)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)(void *)ai->ai_addr)->sin_port = htons(port);
}

static void close_all(int *fds, size_t n)
{
    while (n > 0)
        close(fds[--n]);
}

/* n sockets of the address ai, all listening, or none; 0 or -1 with errno. The port is fixed by the
 * first one when ai leaves it open. */
static int open_shared(struct addrinfo *ai, size_t n, int *fds)
{
    size_t i;
    int fd, err;

    for (i = 0; i < n; i++) {
        fd = bind_one(ai, n > 1);
        if (fd >= 0 && listen(fd, PLX_LISTEN_BACKLOG) == 0) {
            fds[i] = fd;
            set_port(ai, plx_listen_port(fd));
            continue;
        }
        err = errno;
        if (fd >= 0)
            close(fd);
        close_all(fds, i);
        errno = err;
        return -1;
    }
    return 0;
}

/* The first of the host's addresses that this machine has; 0 or -1 with errno of the last try. */
static int open_first(const struct addrinfo *list, bool fixed_port, size_t n, int *fds)
{
    struct addrinfo ai;
    int probe = 0;

    errno = EADDRNOTAVAIL;
    for (; list != NULL; list = list->ai_next) {
        ai = *list;
        if (fixed_port && n > 1) {
            probe = bind_one(&ai, false);
            if (probe >= 0)
                close(probe);
        }
        if (probe >= 0 && open_shared(&ai, n, fds) == 0)
            return 0;
        if (errno != EADDRNOTAVAIL && errno != EAFNOSUPPORT)
            return -1; /* in use is in use: the host's other address is no substitute */
    }
    return -1;
}

static int open_tcp(const plx_listen_addr *a, size_t n, int *fds, plx_buf *problem)
{
    char name[sizeof a->host + 16];
    struct addrinfo *list;
    int rc;

    rc = resolve(a, &list, problem);
    if (rc != 0)
        return rc;
    if (open_first(list, a->port != 0, n, fds) != 0)
        rc = fail(problem, tcp_name(a, name, sizeof name), errno);
    freeaddrinfo(list);
    return rc;
}

/* ---- the public functions ---- */

int plx_listen_open(const plx_listen_addr *a, unsigned mode, int *fd, plx_buf *problem)
{
    return a->is_unix ? open_unix(a, mode, fd, problem) : open_tcp(a, 1, fd, problem);
}

int plx_listen_open_many(const plx_listen_addr *a, unsigned mode, size_t n, int *fds,
                         plx_buf *problem)
{
    size_t i;
    int rc, err;

    if (!a->is_unix)
        return open_tcp(a, n, fds, problem);
    rc = open_unix(a, mode, &fds[0], problem);
    for (i = 1; rc == 0 && i < n; i++) {
        fds[i] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
        if (fds[i] < 0) {
            err = errno;
            close_all(fds, i);
            unlink(a->path);
            rc = fail(problem, a->path, err);
        }
    }
    return rc;
}

uint16_t plx_listen_port(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;

    if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
        return 0;
    if (ss.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)(void *)&ss)->sin_port);
    if (ss.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)(void *)&ss)->sin6_port);
    return 0;
}

int plx_listen_name(int fd, plx_buf *out)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    char host[NI_MAXHOST], port[NI_MAXSERV];

    memset(&ss, 0, sizeof ss);
    if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
        return PLX_E_INVALID;
    if (ss.ss_family == AF_UNIX)
        return plx_buf_printf(out, "unix:%s", ((struct sockaddr_un *)(void *)&ss)->sun_path);
    if (getnameinfo((struct sockaddr *)&ss, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return PLX_E_INVALID;
    return plx_buf_printf(out, ss.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

void plx_listen_cleanup(const plx_listen_addr *a)
{
    struct stat st;
    int lock;

    if (!a->is_unix)
        return;
    lock = lock_directory(a->path);
    if (lstat(a->path, &st) == 0 && S_ISSOCK(st.st_mode) && is_stale(a->path))
        unlink(a->path);
    if (lock >= 0)
        close(lock);
}
