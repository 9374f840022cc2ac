/* base/url, base/redis_url, base/address. */
#include "base/url.h"
#include "base/address.h"
#include "base/error.h"
#include "base/redis_url.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_split(void **state)
{
    (void)state;
    static const struct {
        const char *text, *scheme, *userinfo, *host;
        int port;
        const char *rest;
    } cases[] = {
        {"http://h", "http", NULL, "h", -1, ""},
        {"//h", "", NULL, "h", -1, ""},
        {"//h:80", "", NULL, "h", 80, ""},
        {"http://h:/x", "http", NULL, "h", -1, "/x"},
        {"a+b-c.d://h:65535?q", "a+b-c.d", NULL, "h", 65535, "?q"},
        {"redis://u:p@h:1/0", "redis", "u:p", "h", 1, "/0"},
        {"redis://u:p@q@h:1/0", "redis", "u:p@q", "h", 1, "/0"},
        {"redis://@h", "redis", "", "h", -1, ""},
        {"http://[::1]:4000/", "http", NULL, "::1", 4000, "/"},
        {"http://[::ffff:1.2.3.4]", "http", NULL, "::ffff:1.2.3.4", -1, ""},
        {"http://a-b_c.d#e", "http", NULL, "a-b_c.d", -1, "#e"},
        {"http://h/a//b", "http", NULL, "h", -1, "/a//b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plx_url u;
        assert_int_equal(plx_url_split(plx_slice_of(cases[i].text), &u), 0);
        assert_true(plx_slice_is(u.scheme, cases[i].scheme));
        assert_true(plx_slice_is(u.host, cases[i].host));
        assert_true(plx_slice_is(u.rest, cases[i].rest));
        assert_int_equal(u.port, cases[i].port);
        assert_int_equal(u.has_userinfo, cases[i].userinfo != NULL);
        assert_true(plx_slice_is(u.userinfo, cases[i].userinfo ? cases[i].userinfo : ""));
    }
}

static void test_split_refuses(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "h",
                                        "h:80",
                                        "http:h",
                                        "http:/h",
                                        "://h",
                                        "1http://h",
                                        "ht tp://h",
                                        "http://",
                                        "http:///x",
                                        "http://:80",
                                        "http://h:0",
                                        "http://h:65536",
                                        "http://h:8x",
                                        "http://h:-1",
                                        "http://h h",
                                        "http://[::1",
                                        "http://[::1]x",
                                        "http://[]",
                                        "http://[g::]",
                                        "http://[::1]:x",
                                        "http://u@",
                                        "x//h",
                                        "http//h",
                                        "http://h%41",
                                        "http://h\\x",
                                        "http://a:b:c"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        plx_url u;
        if (plx_url_split(plx_slice_of(texts[i]), &u) != PLX_E_INVALID)
            fail_msg("%s", texts[i]);
    }
}

static void test_default_ports(void **state)
{
    (void)state;
    assert_int_equal(plx_url_default_port(plx_slice_of("http")), 80);
    assert_int_equal(plx_url_default_port(plx_slice_of("WSS")), 443);
    assert_int_equal(plx_url_default_port(plx_slice_of("gopher")), -1);
    assert_int_equal(plx_url_default_port(plx_slice_of("")), -1);
}

static void test_decode(void **state)
{
    (void)state;
    plx_buf out;
    plx_buf_init(&out, 6);
    assert_int_equal(plx_url_decode(plx_slice_of("a%20+%fF"), &out), 0);
    assert_string_equal(plx_buf_cstr(&out), "a +\xff");
    static const char *const bad[] = {"%", "%2", "a%zz", "%g0", "%00", "%2"};
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(plx_url_decode(plx_slice_of(bad[i]), &out), PLX_E_INVALID);
    plx_buf_clear(&out);
    assert_int_equal(plx_url_decode(plx_slice_of("1234567"), &out), PLX_E_TOOBIG);
    plx_buf_fini(&out);
}

/* ---- Redis ---- */

static void test_redis_urls(void **state)
{
    (void)state;
    static const struct {
        const char *text, *unix_path, *host;
        int port, db;
        const char *user, *password;
    } cases[] = {
        {"unix:/run/r.sock", "/run/r.sock", NULL, 0, 0, NULL, NULL},
        {"redis://h", NULL, "h", 6379, 0, NULL, NULL},
        {"redis://h/", NULL, "h", 6379, 0, NULL, NULL},
        {"redis://127.0.0.1:6380/15", NULL, "127.0.0.1", 6380, 15, NULL, NULL},
        {"redis://[::1]:1/0", NULL, "::1", 1, 0, NULL, NULL},
        {"redis://me:p%40ss%3a@h:1/2", NULL, "h", 1, 2, "me", "p@ss:"},
        {"redis://:secret@h", NULL, "h", 6379, 0, NULL, "secret"},
        {"redis://secret@h", NULL, "h", 6379, 0, NULL, "secret"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plx_redis_url u;
        const char *expected;
        assert_int_equal(plx_redis_url_parse(plx_slice_of(cases[i].text), &u, &expected), 0);
        assert_true(plx_slice_eq(plx_slice_of(u.unix_path), plx_slice_of(cases[i].unix_path)));
        assert_true(plx_slice_eq(plx_slice_of(u.host), plx_slice_of(cases[i].host)));
        assert_int_equal(u.port, cases[i].port);
        assert_int_equal(u.db, cases[i].db);
        assert_true(plx_slice_eq(plx_slice_of(u.user), plx_slice_of(cases[i].user)));
        assert_true(plx_slice_eq(plx_slice_of(u.password), plx_slice_of(cases[i].password)));
        plx_redis_url_fini(&u);
    }
}

static void test_redis_urls_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "unix:",
        "unix:r.sock",
        "redis:",
        "redis://",
        "redis://h:0",
        "redis://h/x",
        "redis://h/65536",
        "redis://h/1/2",
        "redis://h?db=1",
        "redis://*",
        "redis://u:@h",
        "redis://@h",
        "redis://u:%00@h",
        "redis://u:%@h",
        "http://h",
        "Redis://h",
        "unix:/a-path-that-is-much-too-long-for-the-address-of-a-unix-socket-which-holds-108-bytes-"
        "and-not-one-more-than-that"};
    plx_redis_url u;
    const char *expected;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        expected = NULL;
        if (plx_redis_url_parse(plx_slice_of(texts[i]), &u, &expected) != PLX_E_INVALID)
            fail_msg("%s", texts[i]);
        assert_non_null(expected);
    }
    assert_int_equal(plx_redis_url_parse(plx_slice_make("unix:/a\0b", 9), &u, &expected),
                     PLX_E_INVALID);
    assert_int_equal(plx_redis_url_parse(plx_slice_of("rediss://h"), &u, &expected), PLX_E_DENIED);
    assert_non_null(strstr(expected, "stunnel"));
}

/* ---- Addresses ---- */

static bool trusted(const char *item, const char *peer)
{
    char *items[] = {(char *)item};
    return plx_address_trusted(items, 1, plx_slice_of(peer));
}

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *item, *peer;
        bool trusted;
    } cases[] = {
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"127.0.0.1", "::ffff:127.0.0.1", true},
        {"::ffff:127.0.0.1", "127.0.0.1", true},
        {"10.0.0.0/8", "10.255.1.2", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.128.0.0/9", "10.127.0.1", false},
        {"10.128.0.0/9", "10.128.0.1", true},
        {"192.168.1.4/30", "192.168.1.7", true},
        {"192.168.1.4/30", "192.168.1.8", false},
        {"0.0.0.0/0", "8.8.8.8", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "8.8.8.8", true},
        {"::/0", "fe80::1", true},
        {"fd00::/8", "fdff::1", true},
        {"fd00::/8", "fe00::1", false},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"::1", "::1", true},
        {"::1", "0:0:0:0:0:0:0:1", true},
        {"unix", "unix", true},
        {"unix", "127.0.0.1", false},
        {"127.0.0.1", "unix", false},
        {"0.0.0.0/0", "unix", false},
        {"0.0.0.0/0", "", false},
        {"0.0.0.0/0", "1.2.3.4:80", false},
        {"0.0.0.0/0", "nonsense", false},
        {"127.0.0.1/32", "127.0.0.1", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (trusted(cases[i].item, cases[i].peer) != cases[i].trusted)
            fail_msg("%s and %s", cases[i].item, cases[i].peer);
    char *both[] = {(char *)"10.0.0.1", (char *)"unix"};
    assert_true(plx_address_trusted(both, 2, plx_slice_of("unix")));
    assert_true(plx_address_trusted(both, 2, plx_slice_of("10.0.0.1")));
    assert_false(plx_address_trusted(both, 0, plx_slice_of("10.0.0.1")));
    assert_false(plx_address_trusted(both, 2, plx_slice_make("10.0.0.1\0x", 10)));
}

static void test_ranges_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "unix",
        "localhost",
        "1.2.3",
        "1.2.3.4.5",
        "256.0.0.1",
        "1.2.3.4/",
        "1.2.3.4/33",
        "1.2.3.4/-1",
        "1.2.3.4/8",
        "::1/129",
        "::1/64",
        "/8",
        "1.2.3.4/32x",
        "1.2.3.4/0032",
        "1.2.3.4 ",
        " 1.2.3.4",
        ":::",
        "[::1]",
        "11111111111111111111111111111111111111111111111111111111111111111"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        plx_address_range r;
        if (plx_address_range_parse(plx_slice_of(texts[i]), &r) != PLX_E_INVALID)
            fail_msg("%s", texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),         cmocka_unit_test(test_split_refuses),
        cmocka_unit_test(test_default_ports), cmocka_unit_test(test_decode),
        cmocka_unit_test(test_redis_urls),    cmocka_unit_test(test_redis_urls_refused),
        cmocka_unit_test(test_addresses),     cmocka_unit_test(test_ranges_refused),
    };
    return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
