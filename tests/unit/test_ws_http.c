/* Request heads: every case is fed whole, at every split point, and byte by byte. */
#include "transport/ws_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define HOST "Host: a\r\n"

/* Feeds `text` in three pieces; what follows the head must not be taken. */
static enum plx_ws_head_state feed(plx_ws_head *h, plx_slice text, size_t first, size_t second,
                                   size_t *total)
{
    const size_t ends[] = {first, second, text.len};
    enum plx_ws_head_state state = PLX_WS_HEAD_MORE;
    size_t at = 0;
    for (int i = 0; i < 3 && state == PLX_WS_HEAD_MORE; i++) {
        size_t used = 999999;
        /* A copy of its own, so that the sanitizer sees reading past the piece. */
        char *piece = malloc(ends[i] - at + 1);
        memcpy(piece, text.data + at, ends[i] - at);
        state = plx_ws_head_feed(h, plx_slice_make(piece, ends[i] - at), &used);
        free(piece);
        assert_true(used <= ends[i] - at);
        if (state == PLX_WS_HEAD_MORE)
            assert_int_equal(used, ends[i] - at);
        at += used;
    }
    *total = at;
    return state;
}

/* status 0: complete; 1: still more is needed; else the refusal. */
static void check(const char *text, unsigned status)
{
    const size_t len = strlen(text);
    for (size_t i = 0; i <= len; i++) {
        for (size_t j = i; j <= len; j += j == i || len < 80 ? 1 : len - j) {
            plx_ws_head *h = plx_ws_head_new();
            const char *why = NULL;
            size_t used;
            enum plx_ws_head_state state = feed(h, plx_slice_of(text), i, j, &used);
            unsigned got = state == PLX_WS_HEAD_DONE   ? 0
                           : state == PLX_WS_HEAD_MORE ? 1
                                                       : plx_ws_head_refusal(h, &why);
            if (got != status)
                fail_msg("\"%s\" split at %zu, %zu: %u", text, i, j, got);
            if (got > 1)
                assert_non_null(why);
            plx_ws_head_free(h);
        }
    }
}

static void test_verdicts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", 0},
        {"\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 0},
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\nHost:a\r\nX-\xC3\xA9: 1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost:a\r\nX: \xC3\xA9\t \r\n\r\n", 0},
        {"M-SEARCH * HTTP/1.1\r\n" HOST "\r\n", 0},
        {"GET / HTTP/1.2\r\n" HOST "\r\n", 0},
        {"", 1},
        {"GET", 1},
        {"GET / HTTP/1.1\r\n" HOST "\r", 1},
        {"GET / HTTP/1.1\r\n" HOST, 1},
        {"GET / HTTP/1.0\r\n" HOST "\r\n", 400},
        {"GET / HTTP/2.0\r\n" HOST "\r\n", 505},
        {"GET / HTTP/0.9\r\n\r\n", 505},
        {"GET / HTTP/1.10\r\n" HOST "\r\n", 400},
        {"GET / http/1.1\r\n" HOST "\r\n", 400},
        {"GET / HTTX/1.1\r\n" HOST "\r\n", 400},
        {"GET /\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET / x HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET /\xC3\xA9 HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET /\x7F HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET /\tHTTP/1.1\r\n" HOST "\r\n", 400},
        {" GET / HTTP/1.1\r\n" HOST "\r\n", 400},
        {"\x16\x03\x01\x02", 400}, /* TLS on the wrong port */
        {"{\"a\"", 400},
        {"GET / HTTP/1.1\n" HOST "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
        {"GET / HTTP/1.1\r\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "\rX", 400},
        {"\rG", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "X: a\r\n folded\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "X: a\r\n\tfolded\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "X : a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST ": a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "X\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "X: a\x01z\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "X: a\x7F\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "X: a\rz\r\n\r\n", 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(cases[i].text, cases[i].status);
}

static plx_ws_head *read_head(plx_slice text)
{
    plx_ws_head *h = plx_ws_head_new();
    size_t used;
    assert_int_equal(plx_ws_head_feed(h, text, &used), PLX_WS_HEAD_DONE);
    return h;
}

static void assert_header(const plx_ws_head *h, const char *name, const char *expected)
{
    plx_slice v;
    assert_int_equal(plx_ws_head_get(h, name, &v), expected != NULL);
    if (!plx_slice_is(v, expected ? expected : ""))
        fail_msg("%s is \"%.*s\", not \"%s\"", name, (int)v.len, v.data, expected);
}

static void test_what_it_says(void **state)
{
    (void)state;
    static const char text[] = "GET /socket/websocket?vsn=2.0.0&x=?y HTTP/1.1\r\n"
                               "HOST:  example.org:80 \r\n"
                               "Connection: keep-alive\r\n"
                               "Empty:\r\n"
                               "connection:\tUpgrade \r\n"
                               "A: 1\r\n"
                               "CONNECTION: x\r\n"
                               "Cookie: sid=1\r\n"
                               "cookie: csrf=x; b=\"c, d\"\r\n"
                               "Content-Length: 0\r\n"
                               "\r\n"
                               "\x81\x80";
    for (size_t i = 0; i < sizeof text - 1; i++) {
        plx_ws_head *h = plx_ws_head_new();
        size_t used;
        assert_int_equal(feed(h, plx_slice_make(text, sizeof text - 1), i, i, &used),
                         PLX_WS_HEAD_DONE);
        assert_int_equal(used, sizeof text - 1 - 2);
        assert_true(plx_slice_is(plx_ws_head_method(h), "GET"));
        assert_true(plx_slice_is(plx_ws_head_path(h), "/socket/websocket"));
        assert_true(plx_slice_is(plx_ws_head_query(h), "vsn=2.0.0&x=?y"));
        assert_header(h, "host", "example.org:80");
        assert_header(h, "connection", "keep-alive, Upgrade, x");
        assert_header(h, "cookie", "sid=1; csrf=x; b=\"c, d\"");
        assert_header(h, "empty", "");
        assert_header(h, "a", "1");
        assert_header(h, "b", NULL);
        assert_false(plx_ws_head_has_body(h));
        plx_ws_head_free(h);
    }
}

static void test_targets(void **state)
{
    (void)state;
    static const struct {
        const char *target, *path, *query;
    } cases[] = {
        {"/", "/", ""},
        {"/?", "/", ""},
        {"/a?b", "/a", "b"},
        {"?b", "", "b"},
        {"*", "*", ""},
        {"http://h:1/a/b?c", "/a/b", "c"},
        {"ws://h/", "/", ""},
        {"http://h", "http://h", ""},
        {"/a?x=http://h/b", "/a", "x=http://h/b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n" HOST "\r\n", cases[i].target);
        plx_ws_head *h = read_head(plx_slice_of(text));
        assert_true(plx_slice_is(plx_ws_head_path(h), cases[i].path));
        assert_true(plx_slice_is(plx_ws_head_query(h), cases[i].query));
        plx_ws_head_free(h);
    }
}

static void test_bodies(void **state)
{
    (void)state;
    static const char *const headers[] = {"Content-Length: 1", "Transfer-Encoding: chunked",
                                          "Content-Length: 0\r\nContent-Length: 0",
                                          "content-length: -1"};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        char text[200];
        snprintf(text, sizeof text, "POST / HTTP/1.1\r\n" HOST "%s\r\n\r\n", headers[i]);
        plx_ws_head *h = read_head(plx_slice_of(text));
        assert_true(plx_ws_head_has_body(h));
        plx_ws_head_free(h);
    }
}

/* A head of exactly `size` bytes, padded in one header. */
static void padded(plx_buf *b, size_t size)
{
    plx_buf_clear(b);
    plx_buf_str(b, "GET / HTTP/1.1\r\n" HOST "X: ");
    while (b->len < size - 4)
        plx_buf_byte(b, 'x');
    plx_buf_str(b, "\r\n\r\n");
}

static void test_bounds(void **state)
{
    (void)state;
    plx_buf b;
    const char *why;
    size_t used;
    plx_buf_init(&b, 0);
    padded(&b, PLX_WS_HEAD_MAX);
    plx_ws_head_free(read_head(plx_buf_slice(&b)));
    padded(&b, PLX_WS_HEAD_MAX + 1);
    plx_ws_head *h = plx_ws_head_new();
    assert_int_equal(plx_ws_head_feed(h, plx_buf_slice(&b), &used), PLX_WS_HEAD_REFUSED);
    assert_int_equal(plx_ws_head_refusal(h, &why), 431);
    plx_ws_head_free(h);

    for (int count = PLX_WS_HEADERS_MAX; count <= PLX_WS_HEADERS_MAX + 1; count++) {
        plx_buf_clear(&b);
        plx_buf_str(&b, "GET / HTTP/1.1\r\n" HOST);
        for (int i = 1; i < count; i++)
            plx_buf_printf(&b, "X%d: 1\r\n", i % 7);
        plx_buf_str(&b, "\r\n");
        h = plx_ws_head_new();
        bool fits = count <= PLX_WS_HEADERS_MAX;
        assert_int_equal(plx_ws_head_feed(h, plx_buf_slice(&b), &used),
                         fits ? PLX_WS_HEAD_DONE : PLX_WS_HEAD_REFUSED);
        if (!fits)
            assert_int_equal(plx_ws_head_refusal(h, &why), 431);
        plx_ws_head_free(h);
    }

    /* As many and as long lines of one name as fit: joining needs more room than the head had. */
    plx_buf_clear(&b);
    plx_buf_str(&b, "GET / HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 98; i++)
        plx_buf_printf(&b, "x:%0150d\r\n", i);
    plx_buf_str(&b, "\r\n");
    h = read_head(plx_buf_slice(&b));
    plx_slice v;
    assert_true(plx_ws_head_get(h, "X", &v));
    assert_int_equal(v.len, 98 * 152 - 2);
    plx_ws_head_free(h);
    plx_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts), cmocka_unit_test(test_what_it_says),
        cmocka_unit_test(test_targets),  cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
