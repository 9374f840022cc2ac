/* The server API's routes: keys, paths, methods, and clients that go away. */
#include "fcgi/api.h"
#include "tests/unit/fake_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define BODY "{\"topic\":\"room:a\",\"event\":\"e\",\"payload\":1}"

typedef struct request {
    plx_http_request r;
    const char *authorization, *x_pollux_key;
    unsigned answers, status;
    char headers[256], body[1024];
} request;

static plx_api *api;

static bool get_header(const plx_http_request *r, const char *name, plx_slice *value)
{
    const request *q = (const request *)r;
    const char *text = NULL;

    if (strcmp(name, "authorization") == 0)
        text = q->authorization;
    else if (strcmp(name, "x-pollux-key") == 0)
        text = q->x_pollux_key;
    if (text)
        *value = plx_slice_of(text);
    return text != NULL;
}

static void take_response(plx_http_request *r, const plx_http_response *response)
{
    request *q = (request *)r;

    q->answers++;
    q->status = response->status;
    if (response->status != 204)
        assert_string_equal(response->content_type, "application/json");
    snprintf(q->headers, sizeof q->headers, "%.*s", (int)response->headers.len,
             response->headers.data);
    snprintf(q->body, sizeof q->body, "%.*s", (int)response->body.len, response->body.data);
}

/* A request with the right key; false when the API does not take it. */
static bool handle(request *q, const char *method, const char *path, const char *body)
{
    memset(q, 0, sizeof *q);
    q->r.method = plx_slice_of(method);
    q->r.path = plx_slice_of(path);
    q->r.body = plx_slice_of(body);
    q->r.header = get_header;
    q->r.respond = take_response;
    q->authorization = "Bearer right-key";
    return plx_api_handle(api, &q->r);
}

static int setup(void **state)
{
    static char *keys[] = {(char *)"right-key"};
    static plx_channel_config channel = {.pattern = (char *)"room:*"};
    static plx_socket_config section = {.channels = &channel, .channel_count = 1};

    (void)state;
    fake_config.sockets = &section;
    fake_config.socket_count = 1;
    fake_config.api.path = (char *)"/api";
    fake_config.api.keys = (plx_strings){keys, 1};
    fake_reset();
    api = plx_api_new(fake_store, &fake_config);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    plx_api_free(api);
    return 0;
}

static void test_paths(void **state)
{
    static const char *const others[] = {"/",           "/ap", "/apidocs",    "/socket/longpoll",
                                         "api/publish", "",    "/API/publish"};
    static const char *const unknown[] = {"/api",          "/api/",         "/api/publish/",
                                          "/api//publish", "/api/publishx", "/api/Publish"};
    request q;

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_false(handle(&q, "POST", others[i], BODY));
        assert_int_equal(q.answers, 0);
    }
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        assert_true(handle(&q, "POST", unknown[i], BODY));
        assert_int_equal(q.status, 404);
        assert_non_null(strstr(q.body, "\"code\":\"unknown_path\""));
    }
    fake_config.api.path = NULL;
    assert_false(handle(&q, "POST", "/api/publish", BODY));
    assert_false(handle(&q, "POST", "/publish", BODY));
}

static void test_methods(void **state)
{
    request q;

    (void)state;
    assert_true(handle(&q, "GET", "/api/publish", ""));
    assert_int_equal(q.status, 405);
    assert_non_null(strstr(q.headers, "allow: POST, OPTIONS\r\n"));
    assert_non_null(strstr(q.body, "\"code\":\"wrong_method\""));
    assert_true(handle(&q, "DELETE", "/api/disconnect", ""));
    assert_int_equal(q.status, 405);
    assert_true(handle(&q, "POST", "/api/health", ""));
    assert_int_equal(q.status, 405);
    assert_non_null(strstr(q.headers, "allow: GET, HEAD, OPTIONS\r\n"));
}

/* A path says what it takes; HEAD is answered without content; neither goes without a key. */
static void test_head_and_options(void **state)
{
    request q;

    (void)state;
    assert_true(handle(&q, "OPTIONS", "/api/publish", ""));
    assert_int_equal(q.status, 204);
    assert_string_equal(q.headers, "allow: POST, OPTIONS\r\n");
    assert_true(handle(&q, "OPTIONS", "/api/history", ""));
    assert_string_equal(q.headers, "allow: GET, HEAD, OPTIONS\r\n");
    assert_true(handle(&q, "OPTIONS", "/api/nothing", ""));
    assert_int_equal(q.status, 404);
    assert_true(handle(&q, "HEAD", "/api/publish", ""));
    assert_int_equal(q.status, 405);
    assert_true(handle(&q, "HEAD", "/api/history", ""));
    assert_int_equal(q.status, 422);
    assert_string_equal(q.body, "");
    memset(&q, 0, sizeof q);
    assert_true(handle(&q, "GET", "/api/history", ""));
    assert_int_equal(q.status, 422);
    assert_non_null(strstr(q.body, "\"hint\":\""));
}

/* Whoever reads an error is told what to do. */
static void test_hints(void **state)
{
    static const char *const requests[][3] = {
        {"POST", "/api/publish", ""},     {"POST", "/api/publish", "{}"},
        {"GET", "/api/publish", ""},      {"POST", "/api/nothing", ""},
        {"POST", "/api/disconnect", "1"}, {"POST", "/api/unsubscribe", "{\"id\":\"a\"}"},
        {"GET", "/api/presence", ""},     {"GET", "/api/history", ""},
    };
    request q;

    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        assert_true(handle(&q, requests[i][0], requests[i][1], requests[i][2]));
        assert_true(q.status >= 400);
        if (!strstr(q.body, "\"code\":\"") || !strstr(q.body, "\"message\":\"") ||
            !strstr(q.body, "\"hint\":\""))
            fail_msg("%s %s: %s", requests[i][0], requests[i][1], q.body);
    }
}

static unsigned status_with(const char *authorization, const char *x_pollux_key)
{
    request q;

    handle(&q, "GET", "/socket", ""); /* not the API's: fills in a request */
    q.r.method = plx_slice_of("POST");
    q.r.path = plx_slice_of("/api/publish");
    q.r.body = plx_slice_of("{}"); /* 422 behind the door */
    q.authorization = authorization;
    q.x_pollux_key = x_pollux_key;
    assert_true(plx_api_handle(api, &q.r));
    assert_int_equal(q.answers, 1);
    if (q.status == 401) {
        assert_non_null(strstr(q.headers, "www-authenticate: Bearer\r\n"));
        assert_non_null(strstr(q.body, "\"code\":\"unauthorized\""));
    }
    return q.status;
}

static void test_keys(void **state)
{
    (void)state;
    assert_int_equal(status_with(NULL, NULL), 401);
    assert_int_equal(status_with("Bearer wrong-key", NULL), 401);
    assert_int_equal(status_with("Bearer", NULL), 401);
    assert_int_equal(status_with("Bearer ", NULL), 401);
    assert_int_equal(status_with("right-key", NULL), 401);
    assert_int_equal(status_with("Basic right-key", NULL), 401);
    assert_int_equal(status_with("Bearerright-key", NULL), 401);
    assert_int_equal(status_with(NULL, "wrong-key"), 401);
    assert_int_equal(status_with(NULL, ""), 401);
    assert_int_equal(status_with("Bearer right-key", NULL), 422);
    assert_int_equal(status_with(" bEARER  right-key ", NULL), 422);
    assert_int_equal(status_with(NULL, " right-key"), 422);
    assert_int_equal(status_with("Basic c2l0ZTpwYXNz", "right-key"), 422);
    fake_config.api.keys.count = 0;
    assert_int_equal(status_with("Bearer right-key", "right-key"), 401);
}

static void test_publish(void **state)
{
    request q;

    (void)state;
    assert_true(handle(&q, "POST", "/api/publish", BODY));
    assert_int_equal(q.answers, 0);
    fake_answer(0, 0);
    assert_int_equal(q.answers, 1);
    assert_int_equal(q.status, 200);
    assert_string_equal(q.body, "{\"position\":\"e:1\"}");
    assert_non_null(strstr(q.headers, "cache-control: no-store\r\n"));
    assert_true(handle(&q, "POST", "/api/publish", BODY));
    fake_answer(0, PLX_E_DOWN);
    assert_int_equal(q.status, 503);
    assert_non_null(strstr(q.headers, "retry-after: 1\r\n"));
}

static void test_client_goes_away(void **state)
{
    request q;

    (void)state;
    assert_true(handle(&q, "POST", "/api/publish", BODY));
    q.r.gone(&q.r);
    memset(&q, 0xff, sizeof q); /* it is not ours any more */
    fake_answer(0, 0);
    assert_true(handle(&q, "POST", "/api/disconnect", "{\"id\":\"a\"}"));
    q.r.gone(&q.r);
    memset(&q, 0xff, sizeof q);
    fake_disconnect_cb(fake_disconnect_arg, 0, 1);
    free(fake_disconnect_id);
    fake_disconnect_id = NULL;
}

/* The API is freed while the store still works on a request. */
static void test_answer_after_free(void **state)
{
    request q;

    (void)state;
    assert_true(handle(&q, "POST", "/api/publish", BODY));
    plx_api_free(api);
    api = NULL;
    fake_answer(0, PLX_E_DOWN);
    assert_int_equal(q.status, 503);
}

static void test_disconnect_and_health(void **state)
{
    request q;

    (void)state;
    assert_true(handle(&q, "POST", "/api/disconnect", "{\"id\":\"users:7\"}"));
    fake_disconnect_cb(fake_disconnect_arg, 0, 2);
    assert_string_equal(q.body, "{\"sockets\":2}");
    free(fake_disconnect_id);
    fake_disconnect_id = NULL;
    assert_true(
        handle(&q, "POST", "/api/unsubscribe", "{\"id\":\"users:7\",\"topic\":\"room:a\"}"));
    assert_string_equal(fake_unsubscribe_topic, "room:a");
    fake_disconnect_cb(fake_disconnect_arg, 0, 3);
    assert_string_equal(q.body, "{\"channels\":3}");
    free(fake_disconnect_id);
    free(fake_unsubscribe_topic);
    fake_disconnect_id = fake_unsubscribe_topic = NULL;
    fake_up = false;
    fake_loop = ev_loop_new(EVFLAG_AUTO);
    assert_true(handle(&q, "GET", "/api/health", ""));
    assert_int_equal(q.status, 503);
    assert_non_null(strstr(q.body, "\"redis\":\"down\""));
    ev_run(fake_loop, 0);
    ev_loop_destroy(fake_loop);
    fake_up = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_methods, setup, teardown),
        cmocka_unit_test_setup_teardown(test_head_and_options, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hints, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_publish, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_goes_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answer_after_free, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disconnect_and_health, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
