/* channel/origin: the recording, and what it does not show. */
#include "channel/origin.h"
#include "vectors.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* ---- The recording ---- */

/* A long-poll refusal is a 200 with the status in its body. */
static int64_t real_status(json_object *response)
{
    json_object *body = json_object_object_get(response, "body"), *inner;
    if (json_object_object_get_ex(body, "status", &inner))
        return json_object_get_int64(inner);
    return json_object_get_int64(json_object_object_get(response, "status"));
}

static void test_recording(void **state)
{
    (void)state;
    char *items[] = {"//example.com"};
    plx_strings allowed = {items, 1};
    unsigned refused = 0, accepted = 0;
    json_object *recording = vector_load("ws_check_origin"), *steps = vector_steps(recording);
    for (size_t i = 0; i < json_object_array_length(steps); i++) {
        json_object *step = json_object_array_get_idx(steps, i), *headers = NULL, *request;
        if (!json_object_object_get_ex(step, "connect", &request))
            request = json_object_object_get(step, "http");
        assert_non_null(request);
        json_object_object_get_ex(request, "headers", &headers);
        plx_slice origin = headers ? vector_text(headers, "origin") : plx_slice_of(NULL);
        bool forbidden = real_status(json_object_object_get(step, "response")) == 403;
        bool ok = plx_origin_allowed(&allowed, origin.data ? &origin : NULL,
                                     plx_slice_of("127.0.0.1:4000"), false);
        if (ok == forbidden)
            print_error("step %zu\n", i);
        assert_int_equal(ok, !forbidden);
        refused += forbidden;
        accepted += !forbidden;
    }
    assert_int_equal(refused, 9);
    assert_int_equal(accepted, 10);
    json_object_put(recording);
}

/* ---- Entries ---- */

static bool allowed_by(const char *entry, const char *origin)
{
    char *items[] = {(char *)entry};
    plx_strings list = {items, 1};
    plx_slice o = plx_slice_of(origin);
    return plx_origin_allowed(&list, &o, plx_slice_of("elsewhere"), false);
}

typedef struct entry_case {
    const char *entry, *origin;
    bool allowed;
} entry_case;

static void test_entries(void **state)
{
    (void)state;
    static const entry_case cases[] = {
        {"//example.com", "http://example.com", true},
        {"//example.com", "https://example.com:8443", true},
        {"//example.com", "HTTPS://example.com", true},
        {"//example.com", "chrome-extension://example.com", true},
        {"//example.com", "https://Example.com", false},
        {"//example.com", "https://example.com.evil.org", false},
        {"//example.com", "https://evilexample.com", false},
        {"//example.com", "https://www.example.com", false},
        {"//example.com:8443", "https://example.com:8443", true},
        {"//example.com:8443", "https://example.com", false},
        {"//example.com:443", "https://example.com", true},
        {"//example.com:443", "http://example.com", false},
        {"https://example.com", "https://example.com", true},
        {"https://example.com", "https://example.com:443", true},
        {"https://example.com", "https://example.com:444", false},
        {"https://example.com", "http://example.com", false},
        {"https://example.com", "http://example.com:443", false},
        {"http://example.com:8080", "http://example.com:8080", true},
        {"http://example.com:8080", "http://example.com", false},
        {"//[::1]", "http://[::1]:4000", true},
        {"//127.0.0.1", "http://127.0.0.1:4000", true},
        {"//127.0.0.1", "http://127.0.0.10", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (allowed_by(cases[i].entry, cases[i].origin) != cases[i].allowed)
            fail_msg("%s with %s", cases[i].entry, cases[i].origin);
}

static void test_wildcards(void **state)
{
    (void)state;
    static const entry_case cases[] = {
        {"//*.example.com", "https://a.example.com", true},
        {"//*.example.com", "https://a.b.example.com:1", true},
        {"//*.example.com", "https://example.com", true},
        {"//*.example.com", "https://evilexample.com", false},
        {"//*.example.com", "https://example.com.evil.org", false},
        {"//*.example.com", "https://.example.com", false},
        {"//*.example.com", "https://com", false},
        {"https://*.example.com", "https://a.example.com", true},
        {"https://*.example.com", "http://a.example.com", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (allowed_by(cases[i].entry, cases[i].origin) != cases[i].allowed)
            fail_msg("%s with %s", cases[i].entry, cases[i].origin);
}

/* Nothing in them to compare: refused by all but "any". */
static void test_origins_that_are_none(void **state)
{
    (void)state;
    static const char *const origins[] = {
        "",
        "null",
        "example.com",
        "//example.com",
        "http:",
        "http://",
        "http:///example.com",
        "http://user@example.com",
        "://example.com",
        "http://example.com:99999",
        "http://example.com:x",
        "1http://example.com",
        "http://exa mple.com",
        "http://example.com\r\nx",
        "http://[::1",
        "file://",
        "http//example.com",
        "http://evil.com@example.com",
        "http://example.com@evil.com",
        "http://example.com%00",
    };
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
        if (allowed_by("//example.com", origins[i]) || allowed_by("same", origins[i]) ||
            allowed_by("//*.example.com", origins[i]))
            fail_msg("%s", origins[i]);
        assert_true(allowed_by("any", origins[i]));
    }
    plx_slice nul = plx_slice_make("http://example.com\0.evil.org", 28);
    char *items[] = {"//example.com", "same"};
    plx_strings list = {items, 2};
    assert_false(plx_origin_allowed(&list, &nul, plx_slice_of("example.com"), false));
}

static void test_absent(void **state)
{
    (void)state;
    char *items[] = {"//example.com"};
    plx_strings list = {items, 1}, none = {NULL, 0};
    assert_true(plx_origin_allowed(&list, NULL, plx_slice_of("x"), false));
    assert_true(plx_origin_allowed(&none, NULL, plx_slice_of(""), true));
}

static void test_several_entries(void **state)
{
    (void)state;
    char *items[] = {"//a.com", "same", "https://b.com"};
    plx_strings list = {items, 3};
    static const struct {
        const char *origin;
        bool allowed;
    } cases[] = {{"http://a.com", true},
                 {"https://b.com", true},
                 {"http://b.com", false},
                 {"http://me.com", true},
                 {"http://c.com", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plx_slice o = plx_slice_of(cases[i].origin);
        assert_int_equal(plx_origin_allowed(&list, &o, plx_slice_of("me.com"), false),
                         cases[i].allowed);
    }
}

/* ---- same ---- */

static void test_same(void **state)
{
    (void)state;
    static const struct {
        const char *origin, *host;
        bool https, allowed;
    } cases[] = {
        {"http://example.com", "example.com", false, true},
        {"http://example.com:4000", "example.com:4000", false, true},
        {"http://example.com:80", "example.com", false, true},
        {"http://example.com", "example.com:80", false, true},
        {"https://example.com", "example.com", true, true},
        {"https://example.com", "example.com:443", true, true},
        {"http://[::1]:4000", "[::1]:4000", false, true},
        {"http://example.com", "Example.COM", false, true},
        {"http://example.com:4000", "EXAMPLE.com:4000", false, true},
        {"http://[::a]:4000", "[::A]:4000", false, true},
        /* A TLS proxy that does not tell. */
        {"https://example.com", "example.com", false, true},
        {"https://example.com:8443", "example.com:8443", false, true},
        /* Another host, port, or scheme. */
        {"http://evil.com", "example.com", false, false},
        {"http://sub.example.com", "example.com", false, false},
        {"http://example.com:4001", "example.com:4000", false, false},
        {"http://example.com:4000", "example.com", false, false},
        {"http://example.com", "example.com:4000", false, false},
        {"http://example.com", "example.com", true, false},
        {"https://example.com", "example.com:80", false, false},
        {"https://example.com", "example.com:8443", true, false},
        /* Hosts that are none. */
        {"http://example.com", "", false, false},
        {"http://example.com", "user@example.com", false, false},
        {"http://example.com", "example.com/x", false, false},
        {"http://example.com", "example.com:x", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *items[] = {"same"};
        plx_strings list = {items, 1};
        plx_slice o = plx_slice_of(cases[i].origin);
        if (plx_origin_allowed(&list, &o, plx_slice_of(cases[i].host), cases[i].https) !=
            cases[i].allowed)
            fail_msg("%s at %s, https %d", cases[i].origin, cases[i].host, cases[i].https);
    }
}

static void test_same_with_a_long_host(void **state)
{
    (void)state;
    char host[400], origin[420] = "http://";
    char *items[] = {"same"};
    plx_strings list = {items, 1};
    memset(host, 'a', sizeof host);
    memset(origin + 7, 'a', sizeof host);
    for (size_t len = 200; len < sizeof host; len++) {
        plx_slice o = plx_slice_make(origin, 7 + len);
        bool ok = plx_origin_allowed(&list, &o, plx_slice_make(host, len), false);
        assert_true(ok == (len <= 255 + 7));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recording), cmocka_unit_test(test_entries),
        cmocka_unit_test(test_wildcards), cmocka_unit_test(test_origins_that_are_none),
        cmocka_unit_test(test_absent),    cmocka_unit_test(test_several_entries),
        cmocka_unit_test(test_same),      cmocka_unit_test(test_same_with_a_long_host),
    };
    return cmocka_run_group_tests_name("origin", tests, NULL, NULL);
}
