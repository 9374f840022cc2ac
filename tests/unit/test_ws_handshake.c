/* Handshakes: the recorded requests, subprotocols with tokens, the accept value of the RFC. */
#include "tests/unit/vectors.h"
#include "transport/ws_handshake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define OK                                                                                         \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"                   \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static plx_ws_head *head_of(const char *headers)
{
    plx_ws_head *h = plx_ws_head_new();
    plx_buf b;
    size_t used;
    plx_buf_init(&b, 0);
    plx_buf_printf(&b, "GET /socket/websocket HTTP/1.1\r\nHost: a\r\n%s\r\n", headers);
    assert_int_equal(plx_ws_head_feed(h, plx_buf_slice(&b), &used), PLX_WS_HEAD_DONE);
    plx_buf_fini(&b);
    return h;
}

static void test_accept(void **state)
{
    (void)state;
    char out[PLX_WS_ACCEPT_LEN + 1];
    plx_ws_accept(plx_slice_of("dGhlIHNhbXBsZSBub25jZQ=="), out); /* RFC 6455 1.3 */
    assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

/* The GET requests of ws_http_level to /socket/websocket that pass the connect. */
static void test_recorded(void **state)
{
    (void)state;
    json_object *recording = vector_load("ws_http_level"), *steps = vector_steps(recording);
    unsigned good = 0, bad = 0;
    for (size_t i = 0; i < json_object_array_length(steps); i++) {
        json_object *step = json_object_array_get_idx(steps, i), *v;
        json_object *http = json_object_object_get(step, "http");
        int status = json_object_get_int(
            json_object_object_get(json_object_object_get(step, "response"), "status"));
        if (!plx_slice_is(vector_text(http, "method"), "GET") ||
            json_object_object_get_ex(http, "version", &v) || (status != 101 && status != 400) ||
            plx_slice_is(vector_text(step, "about"), "HTTP/1.1 without Host"))
            continue;
        plx_buf headers;
        plx_buf_init(&headers, 0);
        json_object_object_foreach(json_object_object_get(http, "headers"), name, value)
            plx_buf_printf(&headers, "%s: %s\r\n", name, json_object_get_string(value));
        plx_ws_head *h = head_of(plx_buf_cstr(&headers));
        const char *why = plx_ws_handshake_check(h);
        if ((why != NULL) != (status == 400))
            fail_msg("step %zu: %s", i, why ? why : "accepted");
        why ? bad++ : good++;
        plx_ws_head_free(h);
        plx_buf_fini(&headers);
    }
    json_object_put(recording);
    assert_true(good >= 9 && bad >= 9);
}

static void test_more_checks(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        bool good;
    } cases[] = {
        {OK, true},
        {OK "Content-Length: 0\r\n", true},
        {OK "Content-Length: 5\r\n", false},
        {OK "Transfer-Encoding: chunked\r\n", false},
        {OK "Sec-WebSocket-Version: 13\r\n", false}, /* given twice */
        {OK "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", false},
        {"Upgrade: websocket\r\nConnection: close, upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: x\r\n",
         true}, /* what lighttpd makes of it */
        {"Upgrade: websocketx\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: x\r\n",
         false},
        {"Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key:\r\n",
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plx_ws_head *h = head_of(cases[i].headers);
        assert_int_equal(plx_ws_handshake_check(h) == NULL, cases[i].good);
        plx_ws_head_free(h);
    }
}

static void test_subprotocols(void **state)
{
    (void)state;
    static const struct {
        const char *offered, *token;
        bool phoenix;
    } cases[] = {
        {"", NULL, false},
        {"foo, phoenix", NULL, false},
        {"phoenix", NULL, false},
        {"phoenix, base64url.bearer.phx.c2VjcmV0LXRva2Vu", "secret-token", true},
        {"base64url.bearer.phx.c2VjcmV0LXRva2Vu,phoenix,foo", "secret-token", true},
        {"base64url.bearer.phx.c2VjcmV0LXRva2Vu", "secret-token", false},
        {"phoenix, base64url.bearer.phx.-_8", "\xfb\xff", true},
        {"phoenix, base64url.bearer.phx.a", "a", true}, /* no Base64 */
        {"phoenix, base64url.bearer.phx.", "", true},
        {"phoenix, base64url.bearer.phx.YQ, base64url.bearer.phx.Yg", NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plx_ws_subprotocol p;
        plx_buf token;
        plx_buf_init(&token, 0);
        plx_ws_read_subprotocols(plx_slice_of(cases[i].offered), &p, &token);
        assert_int_equal(p.has_token, cases[i].token != NULL);
        assert_int_equal(p.phoenix, cases[i].phoenix);
        assert_string_equal(plx_buf_cstr(&token), cases[i].token ? cases[i].token : "");
        plx_buf_fini(&token);
    }
}

static void test_answers(void **state)
{
    (void)state;
    plx_buf out;
    plx_buf_init(&out, 0);
    plx_ws_head *h = head_of(OK);
    plx_ws_handshake_answer(h, false, plx_slice_make(NULL, 0), &out);
    assert_string_equal(plx_buf_cstr(&out),
                        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n"
                        "connection: Upgrade\r\n"
                        "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                        "cache-control: max-age=0, private, must-revalidate\r\n\r\n");
    plx_buf_clear(&out);
    plx_ws_handshake_answer(h, true, plx_slice_of("permessage-deflate"), &out);
    assert_non_null(strstr(plx_buf_cstr(&out), "\r\nsec-websocket-protocol: phoenix\r\n"));
    assert_non_null(strstr(out.data, "\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n"));
    plx_ws_head_free(h);

    plx_buf_clear(&out);
    plx_ws_http_answer(403, NULL, plx_slice_make(NULL, 0), false, &out);
    assert_string_equal(plx_buf_cstr(&out),
                        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n"
                        "cache-control: max-age=0, private, must-revalidate\r\n\r\n");
    plx_buf_clear(&out);
    plx_ws_http_answer(404, "application/json", plx_slice_of("{}"), true, &out);
    assert_non_null(strstr(plx_buf_cstr(&out), "content-length: 2\r\n"));
    assert_non_null(strstr(out.data, "content-type: application/json\r\n\r\n"));
    assert_memory_equal(out.data + out.len - 4, "\r\n\r\n", 4);
    plx_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept),      cmocka_unit_test(test_recorded),
        cmocka_unit_test(test_more_checks), cmocka_unit_test(test_subprotocols),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
