/* libfcgi as a codec between bytes and requests.
 *
 * FCGX_Accept_r first finishes the request before, which closes the connection unless
 * keepConnection is set, and then takes the descriptor that it finds in ipcFd. When a
 * request is broken it closes that and accepts another connection, which is why
 * the listening socket it is told is -1: accept fails at once and so does the call.
 * Both fields are marked private; lend() is the one place that sets them.
 */
#include "fcgi/codec.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "fcgi/record.h"

#include <errno.h>
#include <fcgiapp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PRELUDE_LEN 32 /* the request that encoding starts with */
/* So much of the file may stay for the next use: giving its pages back and taking new ones each
 * time costs more than all the rest. */
#define KEPT_BYTES 16384

struct plx_codec {
    int fd; /* the file; -1 after a failure, until the next use */
};

int plx_codec_library(void)
{
    int rc = FCGX_Init();

    if (rc == 0)
        return 0;
    plx_err("libfcgi can't be initialised (%d)", rc);
    return PLX_E_SYSTEM;
}

static int open_file(plx_codec *c)
{
    if (c->fd >= 0)
        return 0;
    c->fd = memfd_create("pollux-fcgi", MFD_CLOEXEC);
    if (c->fd >= 0)
        return 0;
    plx_log_limited(PLX_ERROR, "memfd_create: %s", strerror(errno));
    return PLX_E_SYSTEM;
}

plx_codec *plx_codec_new(void)
{
    plx_codec *c = plx_alloc(sizeof *c);

    c->fd = -1;
    if (open_file(c) == 0)
        return c;
    free(c);
    return NULL;
}

void plx_codec_free(plx_codec *c)
{
    if (c == NULL)
        return;
    if (c->fd >= 0)
        close(c->fd);
    free(c);
}

/* Empty, the file costs nothing. */
static void drop_content(plx_codec *c)
{
    if (c->fd >= 0 && ftruncate(c->fd, 0) != 0) {
        close(c->fd);
        c->fd = -1;
    }
}

/* What the file holds, so many bytes, is not needed any more. */
static void let_go(plx_codec *c, size_t bytes)
{
    if (bytes > KEPT_BYTES)
        drop_content(c);
}

/* Nothing of what the file held before stands behind `len` bytes. */
static int cut_off(plx_codec *c, size_t len)
{
    if (lseek(c->fd, 0, SEEK_END) <= (off_t)len || ftruncate(c->fd, (off_t)len) == 0)
        return 0;
    plx_log_limited(PLX_ERROR, "ftruncate: %s", strerror(errno));
    close(c->fd);
    c->fd = -1;
    return PLX_E_SYSTEM;
}

/* The file holds `bytes` and nothing else, and is read from their start. */
static int fill(plx_codec *c, plx_slice bytes)
{
    size_t at = 0;

    if (open_file(c) != 0 || cut_off(c, bytes.len) != 0)
        return PLX_E_SYSTEM;
    while (at < bytes.len) {
        ssize_t n = pwrite(c->fd, bytes.data + at, bytes.len - at, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            plx_log_limited(PLX_ERROR, "writing to memory: %s", strerror(errno));
            drop_content(c);
            return PLX_E_SYSTEM;
        }
        at += (size_t)n;
    }
    lseek(c->fd, 0, SEEK_SET);
    return 0;
}

/* Lets libfcgi read a request from the file. On failure it has closed the file. */
static int lend(plx_codec *c, FCGX_Request *request)
{
    FCGX_InitRequest(request, -1, 0);
    request->ipcFd = c->fd;
    request->keepConnection = 1;
    if (FCGX_Accept_r(request) == 0)
        return 0;
    c->fd = -1;
    return PLX_E_INVALID;
}

/* Reads the body, and on to its end record. NULL when it is not what was promised. */
static char *read_body(FCGX_Request *request, size_t len)
{
    char *body = plx_alloc(len + 1);
    size_t got = 0;

    while (got < len + 1) {
        size_t want = len + 1 - got < INT_MAX ? len + 1 - got : INT_MAX;
        int n = FCGX_GetStr(body + got, (int)want, request->in);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    if (got == len && FCGX_GetError(request->in) == 0)
        return body;
    free(body);
    return NULL;
}

int plx_codec_decode(plx_codec *c, plx_slice records, size_t body_len,
                     void (*take)(void *arg, char *const *params, plx_slice body), void *arg)
{
    FCGX_Request request;
    int rc = fill(c, records);

    if (rc != 0)
        return rc;
    if (lend(c, &request) != 0)
        return PLX_E_INVALID;
    char *body = read_body(&request, body_len);
    if (body != NULL)
        take(arg, request.envp, plx_slice_make(body, body_len));
    free(body);
    FCGX_Free(&request, 0);
    let_go(c, records.len);
    return body != NULL ? 0 : PLX_E_INVALID;
}

/* The shortest request that libfcgi takes. FCGI_KEEP_CONN, so that finishing it leaves the file
 * open. */
static void prelude(unsigned id, plx_buf *to)
{
    static const char begin[8] = {0, FCGI_RESPONDER, FCGI_KEEP_CONN};

    plx_record_head(to, FCGI_BEGIN_REQUEST, id, sizeof begin);
    plx_buf_append(to, begin, sizeof begin);
    plx_record_head(to, FCGI_PARAMS, id, 0);
    plx_record_head(to, FCGI_STDIN, id, 0);
}

static int put(FCGX_Request *request, plx_slice bytes)
{
    while (bytes.len > 0) {
        size_t n = bytes.len < INT_MAX ? bytes.len : INT_MAX;
        if (FCGX_PutStr(bytes.data, (int)n, request->out) != (int)n)
            return PLX_E_SYSTEM;
        bytes = plx_slice_make(bytes.data + n, bytes.len - n);
    }
    return 0;
}

/* What libfcgi wrote stands behind what it read. */
static int collect(plx_codec *c, plx_buf *out)
{
    off_t at = PRELUDE_LEN, end = lseek(c->fd, 0, SEEK_END);
    char *to = end < at ? NULL : plx_buf_reserve(out, (size_t)(end - at));

    if (to == NULL)
        return PLX_E_SYSTEM;
    while (at < end) {
        ssize_t n = pread(c->fd, to, (size_t)(end - at), at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return PLX_E_SYSTEM;
        to += n;
        at += n;
    }
    plx_buf_commit(out, (size_t)(end - PRELUDE_LEN));
    return 0;
}

int plx_codec_encode(plx_codec *c, unsigned id, plx_slice head, plx_slice body, plx_buf *out)
{
    FCGX_Request request;
    plx_buf start;
    int rc;

    plx_buf_init(&start, 0);
    prelude(id, &start);
    rc = fill(c, plx_buf_slice(&start));
    plx_buf_fini(&start);
    if (rc != 0)
        return rc;
    if (lend(c, &request) != 0)
        return PLX_E_SYSTEM;
    rc = put(&request, head);
    if (rc == 0)
        rc = put(&request, body);
    FCGX_Finish_r(&request);
    if (request.ipcFd < 0) { /* a write failed, and libfcgi closed the file */
        c->fd = -1;
        return PLX_E_SYSTEM;
    }
    if (rc == 0)
        rc = collect(c, out);
    let_go(c, PRELUDE_LEN + head.len + body.len);
    return rc;
}
