/* CGI variables to requests, and answers to CGI's form. */
#include "base/error.h"
#include "fcgi/answer.h"
#include "fcgi/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define LOAD(r, body, ...)                                                                         \
    plx_request_load((r), (char *const[]){__VA_ARGS__, NULL}, plx_slice_of(body))

static void assert_slice(plx_slice got, const char *want)
{
    if (!plx_slice_is(got, want))
        fail_msg("got \"%.*s\", want \"%s\"", (int)got.len, got.data, want);
}

static void assert_header(const plx_request *r, const char *name, const char *want)
{
    plx_slice value = {NULL, 0};
    bool there = r->http.header(&r->http, name, &value);

    assert_int_equal(there, want != NULL);
    if (want)
        assert_slice(value, want);
}

static void test_target(void **state)
{
    plx_request r;
    (void)state;

    assert_int_equal(LOAD(&r, "hi", "REQUEST_METHOD=POST", "SCRIPT_NAME=/wrong", "PATH_INFO=/too",
                          "QUERY_STRING=stale", "REQUEST_URI=/a%2Fb/c?x=1&y=?", "CONTENT_LENGTH=2"),
                     0);
    assert_slice(r.http.method, "POST");
    assert_slice(r.http.path, "/a%2Fb/c");
    assert_slice(r.http.query, "x=1&y=?");
    assert_slice(r.http.body, "hi");
    assert_slice(r.path_info, "/too");
    plx_request_fini(&r);
}

static void test_target_without_query(void **state)
{
    plx_request r;
    (void)state;

    assert_int_equal(LOAD(&r, "", "REQUEST_METHOD=GET", "REQUEST_URI=/a"), 0);
    assert_slice(r.http.path, "/a");
    assert_slice(r.http.query, "");
    plx_request_fini(&r);
    /* A rewriting rule may have added one. */
    assert_int_equal(LOAD(&r, "", "REQUEST_METHOD=GET", "REQUEST_URI=/a", "QUERY_STRING=q"), 0);
    assert_slice(r.http.query, "q");
    plx_request_fini(&r);
}

static void test_absolute_target(void **state)
{
    plx_request r;
    (void)state;

    assert_int_equal(LOAD(&r, "", "REQUEST_METHOD=GET", "REQUEST_URI=http://h:80/a?b=c://d"), 0);
    assert_slice(r.http.path, "/a");
    assert_slice(r.http.query, "b=c://d");
    plx_request_fini(&r);
    assert_int_equal(LOAD(&r, "", "REQUEST_METHOD=GET", "REQUEST_URI=/a?to=http://x/y"), 0);
    assert_slice(r.http.path, "/a");
    plx_request_fini(&r);
    assert_int_equal(LOAD(&r, "", "REQUEST_METHOD=GET", "REQUEST_URI=http://h"), PLX_E_INVALID);
    plx_request_fini(&r);
}

static void test_path_of_a_script(void **state)
{
    plx_request r;
    (void)state;

    assert_int_equal(LOAD(&r, "", "REQUEST_METHOD=GET", "SCRIPT_NAME=/cgi/pollux",
                          "PATH_INFO=/socket/longpoll", "QUERY_STRING=vsn=2.0.0", "HTTP_A=1"),
                     0);
    assert_slice(r.http.path, "/cgi/pollux/socket/longpoll");
    assert_slice(r.http.query, "vsn=2.0.0");
    assert_slice(r.path_info, "/socket/longpoll");
    assert_header(&r, "a", "1");
    assert_header(&r, "", NULL);
    plx_request_fini(&r);
}

static void refused(plx_request *r, int rc)
{
    assert_int_equal(rc, PLX_E_INVALID);
    plx_request_fini(r);
}

static void test_refused(void **state)
{
    plx_request r;
    (void)state;

    refused(&r, plx_request_load(&r, (char *const[]){NULL}, plx_slice_of("")));
    refused(&r, LOAD(&r, "", "REQUEST_URI=/"));
    refused(&r, LOAD(&r, "", "REQUEST_METHOD=", "REQUEST_URI=/"));
    refused(&r, LOAD(&r, "", "REQUEST_METHOD=GET"));
    refused(&r, LOAD(&r, "", "REQUEST_METHOD=GET", "REQUEST_URI=*"));
    refused(&r, LOAD(&r, "", "REQUEST_METHOD=GET", "REQUEST_URI=?a=b"));
    refused(&r, LOAD(&r, "", "REQUEST_METHOD=GET", "REQUEST_URI=/a\r\nX: y"));
    refused(&r, LOAD(&r, "", "REQUEST_METHOD=GET", "REQUEST_URI=/a?b\x7f"));
    refused(&r, LOAD(&r, "", "REQUEST_METHOD=G\nET", "REQUEST_URI=/"));
    refused(&r, LOAD(&r, "", "REQUEST_METHOD", "REQUEST_URI=/"));
}

static void test_content_length(void **state)
{
    static const char *const bad[] = {"CONTENT_LENGTH=3",
                                      "CONTENT_LENGTH=5",
                                      "CONTENT_LENGTH=-4",
                                      "CONTENT_LENGTH=4 ",
                                      "CONTENT_LENGTH=x",
                                      "CONTENT_LENGTH=+4",
                                      "CONTENT_LENGTH=0x4",
                                      "CONTENT_LENGTH=18446744073709551620",
                                      "CONTENT_LENGTH=36893488147419103236"};
    plx_request r;
    (void)state;

    assert_int_equal(
        LOAD(&r, "four", "REQUEST_METHOD=POST", "REQUEST_URI=/", "CONTENT_LENGTH=0004"), 0);
    plx_request_fini(&r);
    assert_int_equal(LOAD(&r, "four", "REQUEST_METHOD=POST", "REQUEST_URI=/", "CONTENT_LENGTH="),
                     0);
    plx_request_fini(&r);
    assert_int_equal(LOAD(&r, "four", "REQUEST_METHOD=POST", "REQUEST_URI=/"), 0);
    plx_request_fini(&r);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refused(&r, LOAD(&r, "four", "REQUEST_METHOD=POST", "REQUEST_URI=/", (char *)bad[i]));
}

static void test_headers(void **state)
{
    plx_request r;
    (void)state;

    assert_int_equal(LOAD(&r, "", "REQUEST_METHOD=GET", "REQUEST_URI=/", "CONTENT_TYPE=text/plain",
                          "HTTP_CONTENT_LENGTH=7", "HTTP_ORIGIN=http://a=b", "HTTP_X_EMPTY=",
                          "HTTP_ORIGIN_TRIAL=no", "HTTP_ORIGIN=second", "HTTP_", "HTTP_NOVALUE",
                          "=HTTP_ODD=1", "DOCUMENT_ROOT=/secret", "HTTP_X_BYTES=\xff\x01"),
                     0);
    assert_header(&r, "content-type", "text/plain");
    assert_header(&r, "content-length", NULL); /* HTTP_ must not stand in for it */
    assert_header(&r, "origin", "http://a=b"); /* the first, to its end */
    assert_header(&r, "x-empty", "");
    assert_header(&r, "orig", NULL);
    assert_header(&r, "novalue", NULL);
    assert_header(&r, "x-bytes", "\xff\x01");
    plx_slice value;
    assert_false(plx_request_var(&r, "DOCUMENT_ROOT", &value)); /* not kept */
    assert_true(plx_request_var(&r, "REQUEST_METHOD", &value));
    plx_request_fini(&r);
}

static void test_value_that_looks_like_a_variable(void **state)
{
    plx_request r;
    (void)state;

    assert_int_equal(
        LOAD(&r, "", "REQUEST_METHOD=GET", "HTTP_A=REMOTE_ADDR=1.1.1.1", "SCRIPT_NAME=HTTPS=on"),
        PLX_E_INVALID);
    plx_slice value;
    assert_false(plx_request_var(&r, "REMOTE_ADDR", &value));
    assert_false(plx_request_var(&r, "HTTPS", &value));
    plx_request_fini(&r);
}

/* ---- who the client is ---- */

struct trust {
    char *const *vars;
    const char *ip;
    bool https;
};

static void test_trust(void **state)
{
#define VARS(...)                                                                                  \
    (char *const[])                                                                                \
    {                                                                                              \
        "REQUEST_METHOD=GET", "REQUEST_URI=/", __VA_ARGS__, NULL                                   \
    }
    const struct trust cases[] = {
        {VARS("REMOTE_ADDR=192.0.2.1"), "192.0.2.1", false},
        {VARS("REMOTE_ADDR=192.0.2.1", "HTTPS=on"), "192.0.2.1", true},
        {VARS("REMOTE_ADDR=192.0.2.1", "HTTPS=off"), "192.0.2.1", false},
        {VARS("REMOTE_ADDR=192.0.2.1", "HTTPS="), "192.0.2.1", false},
        /* Anybody can write these headers... */
        {VARS("REMOTE_ADDR=192.0.2.1", "HTTP_X_FORWARDED_FOR=10.1.1.1",
              "HTTP_X_FORWARDED_PROTO=https"),
         "192.0.2.1", false},
        /* ...a trusted proxy in front of the web server is believed... */
        {VARS("REMOTE_ADDR=127.0.0.1", "HTTP_X_FORWARDED_FOR=10.1.1.1",
              "HTTP_X_FORWARDED_PROTO=https"),
         "10.1.1.1", true},
        {VARS("REMOTE_ADDR=127.0.0.1", "HTTP_X_FORWARDED_FOR=6.6.6.6, 10.1.1.1"), "10.1.1.1",
         false},
        /* ...also one that reaches it through a Unix socket, as nginx and others tell it. */
        {VARS("REMOTE_ADDR=unix:", "HTTP_X_FORWARDED_FOR=10.1.1.1"), "10.1.1.1", false},
        {VARS("REMOTE_ADDR=", "HTTP_X_FORWARDED_FOR=10.1.1.1"), "10.1.1.1", false},
        {VARS("REMOTE_ADDR=/run/front.sock", "HTTP_X_FORWARDED_FOR=10.1.1.1"), "10.1.1.1", false},
    };
    char *items[] = {"127.0.0.1", "unix"};
    plx_config config = {.trusted_proxies = {items, 2}};
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        plx_request r;
        assert_int_equal(plx_request_load(&r, cases[i].vars, plx_slice_of("")), 0);
        plx_request_trust(&r, &config);
        assert_slice(r.http.remote_ip, cases[i].ip);
        assert_int_equal(r.http.https, cases[i].https);
        plx_request_fini(&r);
    }
}

/* ---- answers ---- */

static void assert_head(const plx_http_response *response, const char *want)
{
    plx_buf b;

    plx_buf_init(&b, 0);
    plx_answer_head(response, &b);
    assert_string_equal(plx_buf_cstr(&b), want);
    plx_buf_fini(&b);
}

static void test_answer_head(void **state)
{
    (void)state;
    assert_head(&(plx_http_response){.status = 200,
                                     .content_type = "application/json",
                                     .headers = plx_slice_of("a: b\r\nc: d\r\n"),
                                     .body = plx_slice_of("12345")},
                "Status: 200 OK\r\ncontent-type: application/json\r\na: b\r\nc: d\r\n"
                "content-length: 5\r\n\r\n");
    assert_head(&(plx_http_response){.status = 200}, "Status: 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_head(&(plx_http_response){.status = 204}, "Status: 204 No Content\r\n\r\n");
    assert_head(&(plx_http_response){.status = 418},
                "Status: 418 Unknown\r\ncontent-length: 0\r\n\r\n");
}

static void test_answer_error(void **state)
{
    static const unsigned codes[] = {400, 404, 413, 431, 500, 503};
    (void)state;

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        const plx_http_response *e = plx_answer_error(codes[i]);
        char start[40];
        assert_int_equal(e->status, codes[i]);
        snprintf(start, sizeof start, "{\"status\":%u,\"error\":{",
                 codes[i] == 503 ? 500 : codes[i]);
        assert_true(plx_slice_starts(e->body, plx_slice_of(start)));
    }
    assert_int_equal(plx_answer_error(299)->status, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_target),
        cmocka_unit_test(test_target_without_query),
        cmocka_unit_test(test_absolute_target),
        cmocka_unit_test(test_path_of_a_script),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_content_length),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_value_that_looks_like_a_variable),
        cmocka_unit_test(test_trust),
        cmocka_unit_test(test_answer_head),
        cmocka_unit_test(test_answer_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
