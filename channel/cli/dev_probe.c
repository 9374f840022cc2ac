/* Whether the parts answer.
 *
 * A small blocking HTTP client with one deadline, which also gives up as soon as
 * the descriptor that brings our signals has something to say: a ^C during the
 * start must not wait for a probe.
 */
#include "channel/cli/dev.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/redis_url.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PROBE_MS   2000
#define ANSWER_MAX 4096
#define PORT_FIRST 20000 /* .. below 32768, where Linux begins to take ports by itself */
#define PORT_COUNT 12000
#define PORT_TRIES 200

/* ---- HTTP ---- */

struct probe {
    int fd, interrupt_fd;
    uint64_t until_ms;
};

/* Waits for events on the probe's socket. */
static int await(const struct probe *p, short events)
{
    struct pollfd fds[2] = {{.fd = p->fd, .events = events},
                            {.fd = p->interrupt_fd, .events = POLLIN}};
    uint64_t now = plx_now_ms();
    int n = now >= p->until_ms ? 0 : poll(fds, 2, (int)(p->until_ms - now));

    if (n == 0)
        return PLX_E_TIMEOUT;
    return n < 0 || fds[1].revents != 0 ? PLX_E_BUSY : 0;
}

static int connect_to(struct probe *p, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    int rc, err = 0;
    socklen_t len = sizeof err;

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->fd < 0)
        return PLX_E_DOWN;
    if (connect(p->fd, (struct sockaddr *)&in, sizeof in) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return PLX_E_DOWN;
    rc = await(p, POLLOUT);
    if (rc == 0 && (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0 || err != 0))
        rc = PLX_E_DOWN;
    return rc;
}

/* Whether the answer's head, and the body as far as its length is known, is there. */
static bool complete(plx_buf *answer)
{
    const char *text = plx_buf_cstr(answer);
    const char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\r\ncontent-length:");

    if (body == NULL)
        return false;
    body += 4;
    if (strncmp(text, "HTTP/1.1 101", 12) == 0)
        return true;
    if (strcasestr(text, "\r\ntransfer-encoding: chunked\r\n") != NULL)
        return strstr(body, "0\r\n\r\n") != NULL;
    return length != NULL && length < body &&
           strlen(body) >= strtoul(length + sizeof "\r\ncontent-length:" - 1, NULL, 10);
}

/* Reads until the answer is complete, or as much as fits. */
static int read_answer(const struct probe *p, plx_buf *answer)
{
    char chunk[512];

    while (answer->len < ANSWER_MAX && !complete(answer)) {
        ssize_t n;
        int rc = await(p, POLLIN);

        if (rc != 0)
            return rc;
        n = read(p->fd, chunk, sizeof chunk);
        if (n == 0)
            break;
        if (n > 0)
            plx_buf_append(answer, chunk, (size_t)n);
        else if (errno != EAGAIN && errno != EINTR)
            return PLX_E_DOWN;
    }
    return 0;
}

static int status_of(plx_buf *answer)
{
    const char *text = plx_buf_cstr(answer);

    if (strncmp(text, "HTTP/1.", 7) != 0 || strlen(text) < 12)
        return PLX_E_DOWN;
    return atoi(text + 9);
}

int plx_dev_probe_http(uint16_t port, const char *method, const char *target, const char *headers,
                       int interrupt_fd, plx_buf *answer)
{
    struct probe p = {.fd = -1, .interrupt_fd = interrupt_fd};
    plx_buf request;
    int rc;

    p.until_ms = plx_now_ms() + PROBE_MS;
    plx_buf_init(&request, 0);
    plx_buf_printf(&request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n", method, target, port,
                   headers);
    rc = connect_to(&p, port);
    if (rc == 0 && write(p.fd, request.data, request.len) != (ssize_t)request.len)
        rc = PLX_E_DOWN; /* a few hundred bytes into a fresh connection always fit */
    if (rc == 0)
        rc = read_answer(&p, answer);
    if (rc == 0)
        rc = status_of(answer);
    plx_buf_fini(&request);
    if (p.fd >= 0)
        close(p.fd);
    return rc;
}

/* ---- listening ---- */

bool plx_dev_probe_listens(const char *unix_path, uint16_t port)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(unix_path != NULL ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc = -1;

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && unix_path == NULL) {
        rc = connect(fd, (struct sockaddr *)&in, sizeof in);
    } else if (fd >= 0 && strlen(unix_path) < sizeof un.sun_path) {
        strcpy(un.sun_path, unix_path);
        rc = connect(fd, (struct sockaddr *)&un, sizeof un);
    }
    if (fd >= 0)
        close(fd);
    return rc == 0;
}

pid_t plx_dev_probe_listener(const char *unix_path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct ucred peer = {0};
    socklen_t len = sizeof peer;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && strlen(unix_path) < sizeof un.sun_path) {
        strcpy(un.sun_path, unix_path);
        if (connect(fd, (struct sockaddr *)&un, sizeof un) != 0 ||
            getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
            peer.pid = 0;
    }
    if (fd >= 0)
        close(fd);
    return peer.pid;
}

/* ---- Redis ---- */

static redisContext *connect_redis(const plx_redis_url *u)
{
    struct timeval limit = {.tv_sec = PROBE_MS / 1000};
    redisContext *c;

    c = u->unix_path != NULL ? redisConnectUnixWithTimeout(u->unix_path, limit)
                             : redisConnectWithTimeout(u->host, u->port, limit);
    if (c != NULL && c->err == 0)
        redisSetTimeout(c, limit);
    return c;
}

/* True when the command is answered, and not with an error. */
static bool answered(redisContext *c, redisReply *reply, plx_buf *problem)
{
    bool ok = reply != NULL && reply->type != REDIS_REPLY_ERROR;

    if (!ok)
        plx_buf_str(problem, reply != NULL ? reply->str : c->errstr);
    if (reply != NULL)
        freeReplyObject(reply);
    return ok;
}

static bool ping(const plx_redis_url *u, plx_buf *problem)
{
    redisContext *c = connect_redis(u);
    bool ok = c != NULL && c->err == 0;

    if (!ok)
        plx_buf_str(problem, c != NULL ? c->errstr : "no memory");
    if (ok && u->password != NULL && u->user != NULL)
        ok = answered(c, redisCommand(c, "AUTH %s %s", u->user, u->password), problem);
    else if (ok && u->password != NULL)
        ok = answered(c, redisCommand(c, "AUTH %s", u->password), problem);
    ok = ok && answered(c, redisCommand(c, "PING"), problem);
    if (c != NULL)
        redisFree(c);
    return ok;
}

bool plx_dev_probe_redis(const char *url, plx_buf *problem)
{
    const char *expected = NULL;
    plx_redis_url u;
    bool ok;

    if (plx_redis_url_parse(plx_slice_of(url), &u, &expected) != 0) {
        plx_buf_printf(problem, "expected %s", expected);
        return false;
    }
    ok = ping(&u, problem);
    plx_redis_url_fini(&u);
    return ok;
}

/* ---- ports ---- */

static bool port_is_free(uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok;

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ok = fd >= 0 && bind(fd, (struct sockaddr *)&in, sizeof in) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

uint16_t plx_dev_free_port(void)
{
    int i;

    for (i = 0; i < PORT_TRIES; i++) {
        uint16_t port = (uint16_t)(PORT_FIRST + plx_random_below(PORT_COUNT));

        if (port_is_free(port))
            return port;
    }
    return 0;
}
