/* A state machine over the bytes of a request head; positions are kept as offsets into the copy.
 *
 * Strict where leniency has been abused: no obsolete line folding, no bare line
 * feeds, no white space before the colon, no control characters.
 */
#include "transport/ws_http.h"
#include "base/alloc.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

enum step {
    AT_START, /* empty lines before the request line are skipped (RFC 9112 2.2) */
    AT_START_LF,
    IN_METHOD,
    IN_TARGET,
    IN_VERSION,
    AT_LINE_LF,
    AT_LINE, /* a header, or the empty line */
    IN_NAME,
    IN_VALUE,
    AT_END_LF
};

typedef struct span {
    uint16_t at, len;
} span;

typedef struct header {
    span name, value;
} header;

struct plx_ws_head {
    plx_buf bytes;
    enum step step;
    uint16_t mark; /* where the element that is being read begins */
    span method, path, query;
    unsigned count;
    header headers[PLX_WS_HEADERS_MAX];
    unsigned status;
    const char *why;
};

/* Room for lines of one name that are joined, behind the head itself. */
#define BYTES_MAX (2 * PLX_WS_HEAD_MAX + 2 * PLX_WS_HEADERS_MAX)
_Static_assert(BYTES_MAX <= UINT16_MAX, "offsets are 16 bits");

plx_ws_head *plx_ws_head_new(void)
{
    plx_ws_head *h = plx_alloc(sizeof *h);
    plx_buf_init(&h->bytes, BYTES_MAX);
    h->step = AT_START;
    h->mark = 0;
    h->method = h->path = h->query = (span){0, 0};
    h->count = 0;
    h->status = 0;
    h->why = NULL;
    return h;
}

void plx_ws_head_free(plx_ws_head *h)
{
    if (!h)
        return;
    plx_buf_fini(&h->bytes);
    free(h);
}

static plx_slice slice_of(const plx_ws_head *h, span s)
{
    return plx_slice_make(h->bytes.data + s.at, s.len);
}

static enum plx_ws_head_state refuse(plx_ws_head *h, unsigned status, const char *why)
{
    h->status = status;
    h->why = why;
    return PLX_WS_HEAD_REFUSED;
}

/* ---- characters ---- */

/* tchar of RFC 9110 5.6.2. */
static bool is_token(unsigned char c)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    unsigned char folded = c | 0x20;
    return (c >= '0' && c <= '9') || (folded >= 'a' && folded <= 'z') ||
           (c != '\0' && strchr(others, c) != NULL);
}

static bool is_visible(unsigned char c)
{
    return c > 0x20 && c < 0x7F;
}

static bool is_value(unsigned char c)
{
    return c >= 0x20 ? c != 0x7F : c == '\t';
}

/* ---- elements that are complete ---- */

/* From the mark to the byte before the current one. */
static span marked(const plx_ws_head *h)
{
    return (span){h->mark, (uint16_t)(h->bytes.len - h->mark)};
}

static void cut_target(plx_ws_head *h)
{
    span all = marked(h);
    plx_slice text = slice_of(h, all);
    if (text.len > 0 && text.data[0] != '/') {
        /* scheme "://" authority: the path begins at the third slash. */
        const char *colon = memmem(text.data, text.len, "://", 3);
        const char *slash = NULL;
        if (colon)
            slash = memchr(colon + 3, '/', text.len - (size_t)(colon + 3 - text.data));
        if (slash) {
            all.len = (uint16_t)(all.len - (slash - text.data));
            all.at = (uint16_t)(all.at + (slash - text.data));
            text = slice_of(h, all);
        }
    }
    const char *mark = text.len > 0 ? memchr(text.data, '?', text.len) : NULL;
    size_t path_len = mark ? (size_t)(mark - text.data) : text.len;
    h->path = (span){all.at, (uint16_t)path_len};
    h->query = (span){(uint16_t)(all.at + path_len), 0};
    if (mark)
        h->query = (span){(uint16_t)(h->query.at + 1), (uint16_t)(text.len - path_len - 1)};
}

static bool check_version(plx_ws_head *h)
{
    plx_slice v = slice_of(h, marked(h));
    bool is_http = v.len == 8 && plx_slice_starts(v, plx_slice_of("HTTP/")) && v.data[5] >= '0' &&
                   v.data[5] <= '9' && v.data[6] == '.' && v.data[7] >= '0' && v.data[7] <= '9';
    if (is_http && v.data[5] == '1' && v.data[7] > '0')
        return true;
    if (is_http && v.data[5] != '1')
        refuse(h, 505, "only HTTP/1.1 is spoken here");
    else
        refuse(h, 400, is_http ? "HTTP/1.0 is not supported" : "no HTTP request");
    return false;
}

static void end_value(plx_ws_head *h)
{
    span s = marked(h);
    plx_slice trimmed = plx_slice_trim(slice_of(h, s));
    h->headers[h->count].value =
        (span){(uint16_t)(trimmed.data - h->bytes.data), (uint16_t)trimmed.len};
    h->count++;
}

/* The index of the first of `count` headers with this name, or -1. */
static int find(const plx_ws_head *h, plx_slice name, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (plx_slice_ieq(slice_of(h, h->headers[i].name), name))
            return (int)i;
    }
    return -1;
}

static void append(plx_ws_head *h, plx_slice text)
{
    int rc = plx_buf_add(&h->bytes, text); /* each value is copied once: BYTES_MAX is enough */
    assert(rc == 0);
    (void)rc;
}

/* Joins the values of all lines from `from` on that are called like `first`, in a copy behind the
 * head. RFC 9110 5.3; cookies, which HTTP/2 may cut, as RFC 9113 8.2.3 has it. */
static void join_lines(plx_ws_head *h, header *first, unsigned from)
{
    bool cookie = plx_slice_ieq(slice_of(h, first->name), plx_slice_of("cookie"));
    size_t at = h->bytes.len;
    for (unsigned i = from; i < h->count; i++) {
        if (!plx_slice_ieq(slice_of(h, h->headers[i].name), slice_of(h, first->name)))
            continue;
        plx_buf_reserve(&h->bytes, BYTES_MAX - h->bytes.len); /* what is appended lies in it too */
        if (h->bytes.len == at)
            append(h, slice_of(h, first->value));
        append(h, plx_slice_of(cookie ? "; " : ", "));
        append(h, slice_of(h, h->headers[i].value));
    }
    if (h->bytes.len > at)
        first->value = (span){(uint16_t)at, (uint16_t)(h->bytes.len - at)};
}

static void join_headers(plx_ws_head *h)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < h->count; i++) {
        if (find(h, slice_of(h, h->headers[i].name), kept) >= 0)
            continue;
        h->headers[kept] = h->headers[i];
        join_lines(h, &h->headers[kept++], i + 1);
    }
    h->count = kept;
}

static enum plx_ws_head_state finish(plx_ws_head *h)
{
    plx_slice host;
    join_headers(h);
    if (!plx_ws_head_get(h, "host", &host))
        return refuse(h, 400, "no Host header");
    if (host.len > 0 && (memchr(host.data, ',', host.len) || memchr(host.data, '/', host.len)))
        return refuse(h, 400, "bad Host header");
    return PLX_WS_HEAD_DONE;
}

/* ---- the machine ---- */

static enum plx_ws_head_state in_request_line(plx_ws_head *h, unsigned char c)
{
    switch (h->step) {
    case AT_START:
        if (c == '\r') {
            h->step = AT_START_LF;
            return PLX_WS_HEAD_MORE;
        }
        h->mark = (uint16_t)h->bytes.len;
        h->step = IN_METHOD;
        return is_token(c) ? PLX_WS_HEAD_MORE : refuse(h, 400, "no HTTP request");
    case AT_START_LF:
        h->step = AT_START;
        return c == '\n' ? PLX_WS_HEAD_MORE : refuse(h, 400, "no HTTP request");
    case IN_METHOD:
        if (c != ' ')
            return is_token(c) ? PLX_WS_HEAD_MORE : refuse(h, 400, "no HTTP request");
        h->method = marked(h);
        h->mark = (uint16_t)(h->bytes.len + 1);
        h->step = IN_TARGET;
        return PLX_WS_HEAD_MORE;
    case IN_TARGET:
        if (c != ' ')
            return is_visible(c) ? PLX_WS_HEAD_MORE : refuse(h, 400, "bad request target");
        cut_target(h);
        h->mark = (uint16_t)(h->bytes.len + 1);
        h->step = IN_VERSION;
        return PLX_WS_HEAD_MORE;
    default: /* IN_VERSION */
        if (c != '\r')
            return is_visible(c) ? PLX_WS_HEAD_MORE : refuse(h, 400, "bad request line");
        h->step = AT_LINE_LF;
        return check_version(h) ? PLX_WS_HEAD_MORE : PLX_WS_HEAD_REFUSED;
    }
}

static enum plx_ws_head_state begin_line(plx_ws_head *h, unsigned char c)
{
    if (c == '\r') {
        h->step = AT_END_LF;
        return PLX_WS_HEAD_MORE;
    }
    if (c == ' ' || c == '\t')
        return refuse(h, 400, "folded header line");
    if (!is_token(c))
        return refuse(h, 400, "bad header name");
    if (h->count == PLX_WS_HEADERS_MAX)
        return refuse(h, 431, "too many headers");
    h->mark = (uint16_t)h->bytes.len;
    h->step = IN_NAME;
    return PLX_WS_HEAD_MORE;
}

static enum plx_ws_head_state in_headers(plx_ws_head *h, unsigned char c)
{
    switch (h->step) {
    case AT_LINE_LF:
        h->step = AT_LINE;
        return c == '\n' ? PLX_WS_HEAD_MORE : refuse(h, 400, "bad line end");
    case AT_LINE:
        return begin_line(h, c);
    case IN_NAME:
        if (c != ':')
            return is_token(c) ? PLX_WS_HEAD_MORE : refuse(h, 400, "bad header name");
        h->headers[h->count].name = marked(h);
        h->mark = (uint16_t)(h->bytes.len + 1);
        h->step = IN_VALUE;
        return PLX_WS_HEAD_MORE;
    case IN_VALUE:
        if (c != '\r')
            return is_value(c) ? PLX_WS_HEAD_MORE : refuse(h, 400, "bad header value");
        end_value(h);
        h->step = AT_LINE_LF;
        return PLX_WS_HEAD_MORE;
    default: /* AT_END_LF */
        return c == '\n' ? finish(h) : refuse(h, 400, "bad line end");
    }
}

enum plx_ws_head_state plx_ws_head_feed(plx_ws_head *h, plx_slice bytes, size_t *used)
{
    enum plx_ws_head_state state = PLX_WS_HEAD_MORE;
    size_t i = 0;
    while (i < bytes.len && state == PLX_WS_HEAD_MORE) {
        unsigned char c = (unsigned char)bytes.data[i];
        if (h->bytes.len == PLX_WS_HEAD_MAX) {
            state = refuse(h, 431, "request head too large");
            break;
        }
        i++;
        /* The state functions see the position of the current byte as the end of the bytes. */
        state = h->step <= IN_VERSION ? in_request_line(h, c) : in_headers(h, c);
        if (state == PLX_WS_HEAD_MORE)
            plx_buf_byte(&h->bytes, c);
    }
    *used = i;
    return state;
}

/* ---- what it says ---- */

unsigned plx_ws_head_refusal(const plx_ws_head *h, const char **why)
{
    *why = h->why;
    return h->status;
}

plx_slice plx_ws_head_method(const plx_ws_head *h)
{
    return slice_of(h, h->method);
}

plx_slice plx_ws_head_path(const plx_ws_head *h)
{
    return slice_of(h, h->path);
}

plx_slice plx_ws_head_query(const plx_ws_head *h)
{
    return slice_of(h, h->query);
}

bool plx_ws_head_get(const plx_ws_head *h, const char *name, plx_slice *value)
{
    int found = find(h, plx_slice_of(name), h->count);
    *value = found >= 0 ? slice_of(h, h->headers[found].value) : plx_slice_make("", 0);
    return found >= 0;
}

bool plx_ws_head_has_body(const plx_ws_head *h)
{
    plx_slice value;
    if (plx_ws_head_get(h, "transfer-encoding", &value))
        return true;
    return plx_ws_head_get(h, "content-length", &value) && !plx_slice_is(value, "0");
}
