/* base/config and files: those that are none, secrets and keys in files of their own. */
#include "base/alloc.h"
#include "config_harness.h"
#include <sys/stat.h>

static void test_files_that_are_none(void **state)
{
    (void)state;
    static const char *const paths[] = {"/nonexistent/pollux.conf", "/tmp", "/dev/zero"};
    static const int errors[] = {PLX_E_SYSTEM, PLX_E_INVALID, PLX_E_INVALID};
    for (size_t i = 0; i < 3; i++) {
        plx_config *c;
        plx_buf problems;
        plx_buf_init(&problems, 0);
        assert_int_equal(plx_config_load(paths[i], &c, &problems), errors[i]);
        assert_non_null(strstr(plx_buf_cstr(&problems), ":1: this file can't be read"));
        plx_buf_fini(&problems);
    }
}

static void test_a_file_too_long(void **state)
{
    (void)state;
    plx_config *c;
    plx_buf problems;
    size_t len = 2 * 1024 * 1024;
    char *text = plx_alloc(len + 1);
    memset(text, '\n', len);
    text[len] = '\0';
    assert_int_equal(load(text, &c, &problems), PLX_E_INVALID);
    assert_non_null(strstr(plx_buf_cstr(&problems), "too long"));
    plx_buf_fini(&problems);
    free(text);
}

static void test_a_nul_in_the_file(void **state)
{
    (void)state;
    static const char text[] = SECRET GOOD_SOCKET "\0nonsense";
    plx_config *c;
    plx_buf problems;
    plx_buf_init(&problems, 0);
    write_file(file, text, sizeof text - 1);
    assert_int_equal(plx_config_load(file, &c, &problems), PLX_E_INVALID);
    assert_non_null(find_problem(plx_buf_cstr(&problems), 3, "control character", "UTF-8"));
    plx_buf_fini(&problems);
}

/* Writes a secret file beside the configuration. */
static void write_secret(const char *text, mode_t mode)
{
    char path[96];
    snprintf(path, sizeof path, "%s/secret", directory);
    write_file(path, text, strlen(text));
    assert_int_equal(chmod(path, mode), 0);
}

static void test_secret_file(void **state)
{
    (void)state;
    plx_config *c;
    plx_buf problems;
    write_secret("  0123456789abcdef0123456789abcdef\r\n", 0600);
    assert_int_equal(load("secret_file = \"secret\"\n" GOOD_SOCKET, &c, &problems), 0);
    assert_string_equal(c->secret, "0123456789abcdef0123456789abcdef");
    assert_int_equal(problems.len, 0);
    plx_config_free(c);
    write_secret("0123456789abcdef0123456789abcdef", 0644);
    assert_int_equal(load("\nsecret_file = \"secret\"\n" GOOD_SOCKET, &c, &problems), 0);
    assert_memory_equal(plx_buf_cstr(&problems), "warning: ", 9);
    assert_non_null(strstr(plx_buf_cstr(&problems), ":2: 'secret_file'"));
    assert_non_null(strstr(plx_buf_cstr(&problems), "can be read by everybody"));
    plx_config_free(c);
    plx_buf_fini(&problems);
}

/* key = "file:PATH": counts from the configuration's directory, white space at the ends goes. */
static void test_key_files(void **state)
{
    (void)state;
    static const char ticket[] =
        IN_SOCKET("auth { type = ticket key = \"file:secret\" previous_key = \"file:secret\" }");
    plx_config *c;
    plx_buf problems;
    write_secret("\n0123456789abcdef\n", 0600);
    assert_int_equal(load(ticket, &c, &problems), 0);
    assert_string_equal(c->sockets[0].auth.key, "0123456789abcdef");
    assert_string_equal(c->sockets[0].auth.previous_key, "0123456789abcdef");
    assert_int_equal(problems.len, 0);
    plx_config_free(c);
    write_secret("0123456789abcdef", 0644);
    assert_int_equal(load(ticket, &c, &problems), 0);
    assert_non_null(strstr(plx_buf_cstr(&problems), ":3: 'key'"));
    assert_non_null(strstr(plx_buf_cstr(&problems), "can be read by everybody"));
    plx_config_free(c);
    plx_buf_fini(&problems);
    static const char *const bad[] = {
        IN_SOCKET("auth { type = ticket key = \"file:none\" }"),
        "can't be read: No such file",
        IN_SOCKET("auth { type = ticket key = \"file:/tmp\" }"),
        "no regular file",
        IN_SOCKET("auth { type = ticket key = 0123456789abcdef previous_key = \"file:none\" }"),
        "'previous_key'"};
    for (size_t i = 0; i < 6; i += 2) {
        assert_int_equal(load(bad[i], &c, &problems), PLX_E_INVALID);
        assert_non_null(strstr(plx_buf_cstr(&problems), bad[i + 1]));
        plx_buf_fini(&problems);
    }
    write_secret("short", 0600);
    assert_int_equal(load(ticket, &c, &problems), PLX_E_INVALID);
    assert_non_null(strstr(plx_buf_cstr(&problems), "at least 16 characters"));
    plx_buf_fini(&problems);
}

#define P256                                                                                       \
    "-----BEGIN PUBLIC KEY-----\n"                                                                 \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEE8VXwgIxfS2KiB7IpYkDVZf5OqZqGtACvmRnItjPC2izYk0knTKIs3pI" \
    "ghcnTp2m+4wGzqo4T73IjKFbCtAq1A==\n"                                                           \
    "-----END PUBLIC KEY-----\n"

/* A public key is no secret, and no shared one either. */
static void test_public_keys(void **state)
{
    (void)state;
    plx_config *c;
    plx_buf problems;
    write_secret(P256, 0644);
    assert_int_equal(
        load(IN_SOCKET("auth { type = jwt algorithms = { ES256 } key = 'file:secret' }"), &c,
             &problems),
        0);
    assert_int_equal(problems.len, 0);
    assert_memory_equal(c->sockets[0].auth.key, "-----BEGIN", 10);
    plx_config_free(c);
    assert_int_equal(load(IN_SOCKET("auth { type = jwt algorithms = { ES256 } key = '" P256 "' }"),
                          &c, &problems),
                     0);
    plx_config_free(c);
    static const char *const bad[] = {
        IN_SOCKET("auth { type = jwt algorithms = { RS256 } key = 'file:secret' }"),
        "PEM public RSA key",
        IN_SOCKET("auth { type = jwt algorithms = { HS256 } key = 'file:secret' }"),
        "shared secret for HS",
        IN_SOCKET("auth { type = jwt algorithms = { HS256 } key = '" P256 "' }"),
        "shared secret for HS",
        IN_SOCKET("auth { type = jwt algorithms = { ES256 } key = 0123456789abcdef }"),
        "PEM public key on the curve P-256",
        IN_SOCKET("auth { type = jwt algorithms = { HS256 } key = 0123456789abcdef previous_key = "
                  "'file:secret' }"),
        "'previous_key' does not fit"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i += 2) {
        assert_int_equal(load(bad[i], &c, &problems), PLX_E_INVALID);
        assert_non_null(strstr(plx_buf_cstr(&problems), bad[i + 1]));
        assert_non_null(strstr(plx_buf_cstr(&problems), i == 4 ? ":6: " : ":3: "));
        plx_buf_fini(&problems);
    }
}

static void test_bad_secret_files(void **state)
{
    (void)state;
    plx_config *c;
    plx_buf problems;
    write_secret("short", 0600);
    static const struct {
        const char *text, *what;
    } cases[] = {{"secret_file = \"secret\"\n" GOOD_SOCKET, "is not possible"},
                 {"secret_file = \"/nonexistent\"\n" GOOD_SOCKET, "can't be read"},
                 {"secret_file = \"/tmp\"\n" GOOD_SOCKET, "no regular file"},
                 {"secret_file = \"secret\" " AT_TOP(""), "beside the secret itself"}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(load(cases[i].text, &c, &problems), PLX_E_INVALID);
        assert_non_null(strstr(plx_buf_cstr(&problems), cases[i].what));
        assert_null(strstr(plx_buf_cstr(&problems), "there is no 'secret'"));
        plx_buf_fini(&problems);
    }
}

static void test_placeholder_in_secret_file(void **state)
{
    (void)state;
    plx_config *c;
    plx_buf problems;
    write_secret("replace-this-with-at-least-32-random-characters", 0600);
    assert_int_equal(load("\nsecret_file = \"secret\"\n" GOOD_SOCKET, &c, &problems), 0);
    assert_non_null(strstr(plx_buf_cstr(&problems), ":2: 'secret' still looks like an example"));
    plx_config_free(c);
    plx_buf_fini(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_that_are_none),
        cmocka_unit_test(test_a_file_too_long),
        cmocka_unit_test(test_a_nul_in_the_file),
        cmocka_unit_test(test_secret_file),
        cmocka_unit_test(test_bad_secret_files),
        cmocka_unit_test(test_key_files),
        cmocka_unit_test(test_public_keys),
        cmocka_unit_test(test_placeholder_in_secret_file),
    };
    return cmocka_run_group_tests_name("config", tests, make_directory, remove_directory);
}
