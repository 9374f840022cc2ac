/* channel/cli/dev_conf: what `pollux dev` changes in a configuration, and what it leaves alone. */
#include "base/error.h"
#include "channel/cli/dev.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define WITH_SECRET "secret = \"s\"\n"
#define ADDED       "\nsecret = \"generated\"\n"

static plx_buf out;

static int edit(const char *text)
{
    plx_dev_conf c = {.redis_url = "unix:/run/x.sock",
                      .secret = "generated",
                      .conf_dir = "/etc/p",
                      .work_dir = "/srv"};

    plx_buf_clear(&out);
    return plx_dev_conf_edit(plx_slice_of(text), &c, &out);
}

static void assert_edit(const char *text, const char *expected)
{
    assert_int_equal(edit(text), 0);
    assert_string_equal(plx_buf_cstr(&out), expected);
}

static void test_replaces_the_url_only(void **state)
{
    (void)state;
    assert_edit(WITH_SECRET "redis {\n    url = \"redis://h:1/0\"  # why\n    prefix = \"p:\"\n}\n",
                WITH_SECRET
                "redis {\n    url = 'unix:/run/x.sock'  # why\n    prefix = \"p:\"\n}\n");
    assert_edit(WITH_SECRET "redis{url=unix:/a//b}", WITH_SECRET "redis{url='unix:/run/x.sock'}");
    assert_edit(WITH_SECRET "redis { url = 'a\\'}b' }",
                WITH_SECRET "redis { url = 'unix:/run/x.sock' }");
}

static void test_adds_a_url_to_a_section_without(void **state)
{
    (void)state;
    assert_edit(WITH_SECRET "redis { prefix = \"p:\" }\n",
                WITH_SECRET "redis { prefix = \"p:\"  url = 'unix:/run/x.sock' }\n");
    assert_edit(WITH_SECRET "redis {\n  # url = \"no\"\n}\n",
                WITH_SECRET "redis {\n  # url = \"no\"\n url = 'unix:/run/x.sock' }\n");
}

static void test_adds_a_section(void **state)
{
    (void)state;
    assert_edit(WITH_SECRET, WITH_SECRET "\nredis { url = 'unix:/run/x.sock' }\n");
    /* The last line may be a comment that no newline ends. */
    assert_edit(WITH_SECRET "# end", WITH_SECRET "# end\nredis { url = 'unix:/run/x.sock' }\n");
}

static void test_other_urls_stay(void **state)
{
    static const char text[] = WITH_SECRET "redis { url = 'unix:/run/x.sock' }\n"
                                           "url = \"top\"\n"
                                           "socket \"/redis\" {\n"
                                           "  auth { url = \"http://a\" secret = \"b\" }\n"
                                           "  channel \"redis\" { url = \"http://c\" }\n"
                                           "}\n";

    (void)state;
    assert_edit(text, text);
}

static void test_what_only_looks_like_it(void **state)
{
    static const char text[] = WITH_SECRET "/* redis { url = \"a\" } */ // redis { url = \"b\" }\n"
                                           "x = \"redis { url = 'c' }\"\n"
                                           "keys = { \"redis\", \"url\", \"}\" }\n"
                                           "keys += { redis }\n"
                                           "redis { url = 'unix:/run/x.sock' }\n";

    (void)state;
    assert_edit(text, text);
}

static void test_adds_a_secret_only_when_there_is_none(void **state)
{
    (void)state;
    assert_edit("redis{url=x}\n", "redis{url='unix:/run/x.sock'}\n" ADDED);
    assert_edit("redis{url=x}\nsocket \"/s\" { auth { secret = \"not this one\" } }\n",
                "redis{url='unix:/run/x.sock'}\n"
                "socket \"/s\" { auth { secret = \"not this one\" } }\n" ADDED);
    assert_edit("redis{url=x}\n# secret = \"s\"\n",
                "redis{url='unix:/run/x.sock'}\n# secret = \"s\"\n" ADDED);
    assert_edit("secret_file = \"/abs\" redis{url=x}",
                "secret_file = \"/abs\" redis{url='unix:/run/x.sock'}");
}

static void test_relative_names_become_absolute(void **state)
{
    (void)state;
    assert_edit("redis{url=x} secret_file = \"my secret\" previous_secret_file = old\n",
                "redis{url='unix:/run/x.sock'} secret_file = '/etc/p/my secret' "
                "previous_secret_file = '/etc/p/old'\n");
    assert_edit(WITH_SECRET "redis{url=x}\n"
                            "socket \"/s\" { channel \"a:*\" { path = \"./m.so\" } }\n"
                            "api { path = \"api\" }\n",
                WITH_SECRET "redis{url='unix:/run/x.sock'}\n"
                            "socket \"/s\" { channel \"a:*\" { path = '/srv/./m.so' } }\n"
                            "api { path = \"api\" }\n");
    assert_edit("redis{url=x}socket a{auth{key=\"file:a.pem\" previous_key = file:/b.pem}}"
                "secret=x",
                "redis{url='unix:/run/x.sock'}socket a{auth{key='file:/etc/p/a.pem' previous_key = "
                "file:/b.pem}}secret=x");
    assert_edit("redis{url=x}socket a{auth{key=\"a.pem\"}}secret=x",
                "redis{url='unix:/run/x.sock'}socket a{auth{key=\"a.pem\"}}secret=x");
    assert_edit("redis{url=x} secret_file = \"${HOME}/s\"",
                "redis{url='unix:/run/x.sock'} secret_file = \"${HOME}/s\"");
}

static void test_line_numbers_stay(void **state)
{
    static const char text[] = "\n\nredis {\n\n}\n\nsocket \"/s\" {\n\n}\n";
    const char *socket;
    size_t lines = 0;

    (void)state;
    assert_int_equal(edit(text), 0);
    socket = strstr(plx_buf_cstr(&out), "socket");
    assert_non_null(socket);
    while (--socket >= out.data)
        lines += *socket == '\n';
    assert_int_equal(lines, 6);
}

static void test_quotes_in_the_url(void **state)
{
    plx_dev_conf c = {
        .redis_url = "unix:/a'b\\c${D}", .secret = "s", .conf_dir = "/", .work_dir = "/"};

    (void)state;
    plx_buf_clear(&out);
    assert_int_equal(plx_dev_conf_edit(plx_slice_of("secret=s redis{}"), &c, &out), 0);
    assert_string_equal(plx_buf_cstr(&out), "secret=s redis{ url = 'unix:/a\\'b\\\\c${D}' }");
}

static void test_broken_texts_are_refused(void **state)
{
    static const char *const bad[] = {"redis {",
                                      "}",
                                      "/* x",
                                      "x = \"y",
                                      "x = 'y",
                                      "x = \"y\\",
                                      "a{b{c{d{e{f{g{h{i{",
                                      "redis { url = \"x }"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(edit(bad[i]), PLX_E_INVALID);
}

/* Whatever the text, cut at whatever byte: an answer, and no byte outside read. */
static void test_every_cut(void **state)
{
    static const char text[] = "# c\nredis { /* d */ url = \"x\\\"y\" prefix = 'p\\'' }\n"
                               "socket \"/s\" { channel \"a\" { path = m.so } } // e\n"
                               "secret_file = s keys = { a, \"b\" } keys += { c }\n";
    size_t n;

    (void)state;
    for (n = 0; n < sizeof text; n++) {
        char *copy = malloc(n + 1); /* exactly as long, for the sanitizer */
        plx_dev_conf c = {.redis_url = "u", .secret = "s", .conf_dir = "/", .work_dir = "/"};

        memcpy(copy, text, n);
        plx_buf_clear(&out);
        plx_dev_conf_edit(plx_slice_make(copy, n), &c, &out);
        free(copy);
    }
}

static int set_up(void **state)
{
    (void)state;
    plx_buf_init(&out, 65536);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    plx_buf_fini(&out);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replaces_the_url_only),
        cmocka_unit_test(test_adds_a_url_to_a_section_without),
        cmocka_unit_test(test_adds_a_section),
        cmocka_unit_test(test_other_urls_stay),
        cmocka_unit_test(test_what_only_looks_like_it),
        cmocka_unit_test(test_adds_a_secret_only_when_there_is_none),
        cmocka_unit_test(test_relative_names_become_absolute),
        cmocka_unit_test(test_line_numbers_stay),
        cmocka_unit_test(test_quotes_in_the_url),
        cmocka_unit_test(test_broken_texts_are_refused),
        cmocka_unit_test(test_every_cut),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
