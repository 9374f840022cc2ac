/* channel/csrf: which Cookie headers bear out a parameter. */
#include "channel/csrf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static bool ok(const char *header, const char *proof)
{
    return plx_csrf_ok(plx_slice_of(header), plx_slice_of("csrf"), plx_slice_of(proof));
}

static void test_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header, *proof;
        bool ok;
    } cases[] = {
        {"csrf=abc", "abc", true},
        {"sid=1; csrf=abc", "abc", true},
        {"csrf=abc; sid=1", "abc", true},
        {"sid=1;csrf=abc;x=y", "abc", true},
        {"sid=1;\tcsrf = abc ;x=y", "abc", true},
        {"csrf=a=b==", "a=b==", true},
        {"csrf=\"abc\"", "\"abc\"", true},
        {"csrf=a%20b", "a%20b", true},
        {"csrf=a,b", "a,b", true},
        /* The same twice, as from two paths. */
        {"csrf=abc; csrf=abc", "abc", true},
        /* One that somebody slipped in, before and after. */
        {"csrf=evil; csrf=abc", "evil", false},
        {"csrf=evil; csrf=abc", "abc", false},
        {"csrf=abc; csrf=evil", "evil", false},
        {"csrf=abc; csrf=evil", "abc", false},
        {"csrf=abc; csrf=", "abc", false},
        /* Not it. */
        {"csrf=abc", "abd", false},
        {"csrf=abc", "ab", false},
        {"csrf=abc", "abcd", false},
        {"csrf=abc", "ABC", false},
        {"csrf=a%20b", "a b", false},
        {"csrf=\"abc\"", "abc", false},
        {"CSRF=abc", "abc", false},
        {"xcsrf=abc", "abc", false},
        {"csrfx=abc", "abc", false},
        {"sid=csrf=abc", "abc", false},
        {"sid=1, csrf=abc", "abc", false},
        {"csrf", "csrf", false},
        {"csrf", "abc", false},
        /* Nothing proves nothing. */
        {"csrf=", "", false},
        {"csrf=abc", "", false},
        {"sid=1", "", false},
        {"", "", false},
        {"", "abc", false},
        {NULL, "abc", false},
        {";;;", "abc", false},
        {"=abc", "abc", false},
        {" ; =; csrf=abc; ", "abc", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (ok(cases[i].header, cases[i].proof) != cases[i].ok)
            fail_msg("\"%s\" with \"%s\"", cases[i].header, cases[i].proof);
}

/* A header that ends where its memory ends, at every length: the sanitizer build would see a step
 * beyond. */
static void test_cut_off_anywhere(void **state)
{
    (void)state;
    static const char whole[] = "sid=1; csrf=abc; x=y";
    for (size_t len = 0; len < sizeof whole; len++) {
        char *copy = malloc(len + (len == 0));
        memcpy(copy, whole, len);
        bool complete = len >= 15;
        assert_int_equal(
            plx_csrf_ok(plx_slice_make(copy, len), plx_slice_of("csrf"), plx_slice_of("abc")),
            complete);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_cut_off_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
