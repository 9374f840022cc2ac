/* What the tests of base/config share: files in a directory of their own, and finding problems. */
#ifndef PLX_TESTS_CONFIG_HARNESS_H
#define PLX_TESTS_CONFIG_HARNESS_H

#include "base/config.h"
#include "base/error.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define CONTRACT "tests/contract/pollux.conf"
#define SECRET   "secret = \"0123456789abcdef0123456789abcdef\"\n"

static char directory[] = "/tmp/plx-config-XXXXXX";
static char file[64];

static inline void write_file(const char *path, const char *text, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* Loads a text; problems are left in `problems`, which is the caller's to free. */
static inline int load(const char *text, plx_config **out, plx_buf *problems)
{
    write_file(file, text, strlen(text));
    plx_buf_init(problems, 0);
    return plx_config_load(file, out, problems);
}

#define GOOD_SOCKET      "socket \"/s\" { channel \"a\" { } }\n"
#define IN_SOCKET(text)  SECRET "socket \"/s\" {\n" text "\nchannel \"a\" { }\n}\n"
#define IN_CHANNEL(text) SECRET "socket \"/s\" {\nchannel \"a\" {\n" text "\n}\n}\n"
#define IN_AUTH(text)                                                                              \
    IN_SOCKET("auth { type = phoenix_token secret = \"01234567890123456789\" salt = x\n" text "}")
#define AT_TOP(text) SECRET text "\n" GOOD_SOCKET

static inline plx_config *load_contract(void)
{
    plx_config *c = NULL;
    plx_buf problems;
    plx_buf_init(&problems, 0);
    assert_int_equal(plx_config_load(CONTRACT, &c, &problems), 0);
    /* It is an example, and its secret says so. */
    assert_string_equal(plx_buf_cstr(&problems),
                        "warning: " CONTRACT ":11: 'secret' still looks like an example, which "
                        "everybody knows (expected random characters)\n");
    plx_buf_fini(&problems);
    return c;
}

/* The line of `problems` that is about that line of the file, NUL-terminated. */
static inline const char *find_problem(const char *problems, unsigned line, const char *what,
                                       const char *expected)
{
    static char found[4096];
    char prefix[96];
    snprintf(prefix, sizeof prefix, "%s:%u: ", file, line);
    for (const char *p = problems; *p; p += strcspn(p, "\n") + 1) {
        snprintf(found, sizeof found, "%.*s", (int)strcspn(p, "\n"), p);
        const char *tail = strstr(found, "(expected ");
        if (strncmp(found, prefix, strlen(prefix)) == 0 && strstr(found, what) && tail &&
            strstr(tail, expected))
            return found;
    }
    return NULL;
}

static inline int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(file, sizeof file, "%s/pollux.conf", directory);
    return 0;
}

static inline int remove_directory(void **state)
{
    char path[96];
    (void)state;
    snprintf(path, sizeof path, "%s/secret", directory);
    unlink(path);
    unlink(file);
    return rmdir(directory);
}

#endif
