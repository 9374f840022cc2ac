/* channel/cli/dev_lighttpd: which paths the private web server sends where. lighttpd's own reading
 * of the result is the integration tests' part. */
#include "base/error.h"
#include "channel/cli/dev.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static plx_socket_config sockets[3];
static plx_config config;
static plx_dev_place place;
static plx_dev_web web;
static plx_buf out;

static int set_up(void **state)
{
    (void)state;
    memset(sockets, 0, sizeof sockets);
    memset(&config, 0, sizeof config);
    place =
        (plx_dev_place){.run = (char *)"/s/run", .log = (char *)"/s/log", .tmp = (char *)"/s/tmp"};
    web = (plx_dev_web){.config = &config,
                        .place = &place,
                        .demo = "/page",
                        .phoenix = "/p/phoenix.mjs",
                        .port = 4000,
                        .ws_port = 4100};
    config.sockets = sockets;
    plx_buf_init(&out, 65536);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    plx_buf_fini(&out);
    return 0;
}

static void add_socket(const char *path, bool websocket, bool longpoll)
{
    sockets[config.socket_count++] =
        (plx_socket_config){.path = (char *)path, .websocket = websocket, .longpoll = longpoll};
}

static int make(void)
{
    plx_buf_clear(&out);
    return plx_dev_lighttpd_config(&web, &out);
}

static void assert_has(const char *words)
{
    if (strstr(plx_buf_cstr(&out), words) == NULL)
        fail_msg("no %s in\n%s", words, plx_buf_cstr(&out));
}

static void assert_lacks(const char *words)
{
    if (strstr(plx_buf_cstr(&out), words) != NULL)
        fail_msg("%s in\n%s", words, plx_buf_cstr(&out));
}

static void test_each_transport_has_its_sockets(void **state)
{
    (void)state;
    add_socket("/socket", true, true);
    add_socket("/ws", true, false);
    add_socket("/lp", false, true);
    assert_int_equal(make(), 0);
    assert_has("\"^(?:/socket|/lp)/longpoll/?$\"");
    assert_has("\"^(?:/socket|/ws)/websocket/?$\"");
    assert_has("\"socket\" => \"/s/run/fcgi.sock\"");
    assert_has("\"port\" => 4100");
    assert_has("server.port = 4000\n");
    assert_lacks("/api");
}

static void test_a_transport_that_nobody_has_is_not_routed(void **state)
{
    (void)state;
    add_socket("/lp", false, true);
    assert_int_equal(make(), 0);
    assert_lacks("websocket");
    assert_lacks("proxy.server");
}

static void test_variables_match_one_part(void **state)
{
    (void)state;
    add_socket("/a/:room/b/:x_1", true, true);
    assert_int_equal(make(), 0);
    assert_has("^(?:/a/[^/]+/b/[^/]+)/longpoll/?$");
}

static void test_characters_stand_for_themselves(void **state)
{
    (void)state;
    add_socket("/v1.2/a+b(c)*$:d", true, true);
    assert_int_equal(make(), 0);
    assert_has("^(?:/v1[.]2/a[+]b[(]c[)][*][$][:]d)/websocket/?$");
}

static void test_what_lighttpd_can_not_be_given_is_refused(void **state)
{
    static const char *const bad[] = {"/a^b", "/a]b", "/a\\b", "/a\"b", "/a b", "/\xc3\xa4"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        config.socket_count = 0;
        add_socket(bad[i], true, true);
        assert_int_equal(make(), PLX_E_INVALID);
    }
    config.socket_count = 0;
    web.demo = "/home/\"quoted\"";
    assert_int_equal(make(), PLX_E_INVALID);
}

static void test_api_and_page(void **state)
{
    (void)state;
    config.api.path = (char *)"/api/v1";
    assert_int_equal(make(), 0);
    assert_has("\"^/api/v1(?:/|$)\"");
    assert_has("\"/phoenix.mjs\" => \"/p/phoenix.mjs\"");
    web.phoenix = NULL;
    assert_int_equal(make(), 0);
    assert_lacks("alias.url");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_transport_has_its_sockets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_transport_that_nobody_has_is_not_routed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_variables_match_one_part, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_characters_stand_for_themselves, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_lighttpd_can_not_be_given_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_api_and_page, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
