/* Whose word counts for the client's address. */
#include "transport/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdint.h>
#include <cmocka.h>

static char *const some[] = {"127.0.0.1", "10.0.0.0/8", "fd00::/8", "unix"};
static const plx_strings trusted = {(char **)some, 4};
static const plx_strings nobody = {NULL, 0};

static const struct {
    const char *peer, *xff, *proto, *ip;
    bool https;
} cases[] = {
    {"192.0.2.1", "", "", "192.0.2.1", false},
    {"192.0.2.1", "203.0.113.9", "https", "192.0.2.1", false}, /* anybody may write a header */
    {"127.0.0.1", "203.0.113.9", "https", "203.0.113.9", true},
    {"unix", "203.0.113.9", "HTTPS", "203.0.113.9", true},
    {"unix", "", "https", "unix", true},
    {"unix", "", "", "unix", false},
    {"127.0.0.1", "203.0.113.9", "http", "203.0.113.9", false},
    {"127.0.0.1", "1.1.1.1, 203.0.113.9", "", "203.0.113.9", false}, /* 1.1.1.1 is hearsay */
    {"127.0.0.1", "1.1.1.1, 203.0.113.9,10.1.2.3 ", "https, http", "203.0.113.9", true},
    {"127.0.0.1", "1.1.1.1, 203.0.113.9,10.1.2.3", "http, https", "203.0.113.9", false},
    {"127.0.0.1", "1.1.1.1,203.0.113.9,10.1.2.3", "https", "203.0.113.9", true},
    {"127.0.0.1", "203.0.113.9", "https, http", "203.0.113.9",
     false}, /* the left one: the client */
    {"127.0.0.1", "203.0.113.9:4711", "", "203.0.113.9", false},
    {"127.0.0.1", "2001:db8::7", "", "2001:db8::7", false},
    {"127.0.0.1", "[2001:db8::7]:4711", "", "2001:db8::7", false},
    {"fd00::1", "[2001:db8::7]", "", "2001:db8::7", false},
    {"::ffff:127.0.0.1", "203.0.113.9", "", "203.0.113.9", false},
    {"127.0.0.1", "203.0.113.9, unknown", "", "127.0.0.1", false},
    {"127.0.0.1", "203.0.113.9, unknown, 10.0.0.7", "", "10.0.0.7", false},
    {"127.0.0.1", "203.0.113.9, 10.0.0.0/8", "", "127.0.0.1", false},
    {"127.0.0.1", "203.0.113.9, unix", "", "127.0.0.1", false},
    {"127.0.0.1", "203.0.113.9,", "", "127.0.0.1", false},
    {"127.0.0.1", ",,", "", "127.0.0.1", false},
    {"127.0.0.1", "10.0.0.1", "", "10.0.0.1", false}, /* everybody is trusted: the furthest */
    {"127.0.0.1", "[", "", "127.0.0.1", false},
    {"127.0.0.1", "[]", "", "127.0.0.1", false},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plx_client c;
        plx_proxy_client(&trusted, plx_slice_of(cases[i].peer), false, plx_slice_of(cases[i].xff),
                         plx_slice_of(cases[i].proto), &c);
        if (!plx_slice_is(c.ip, cases[i].ip) || c.https != cases[i].https)
            fail_msg("case %zu: %.*s %d", i, (int)c.ip.len, c.ip.data, c.https);
    }
}

static void test_no_proxies(void **state)
{
    (void)state;
    plx_client c;
    plx_proxy_client(&nobody, plx_slice_of("127.0.0.1"), true, plx_slice_of("1.1.1.1"),
                     plx_slice_of("http"), &c);
    assert_true(plx_slice_is(c.ip, "127.0.0.1"));
    assert_true(c.https);
}

/* A chain without end of trusted hops is cut, not followed for ever. */
static void test_long_chain(void **state)
{
    (void)state;
    char xff[4096] = "203.0.113.9";
    size_t at = strlen(xff);
    while (at < 4000)
        at += (size_t)snprintf(xff + at, sizeof xff - at, ",10.0.0.1");
    plx_client c;
    plx_proxy_client(&trusted, plx_slice_of("unix"), false, plx_slice_of(xff), plx_slice_of(""),
                     &c);
    assert_true(plx_slice_is(c.ip, "10.0.0.1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_no_proxies),
        cmocka_unit_test(test_long_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
