/* The CGI side of pollux-fcgi: arguments that are not to be believed, bodies, and whole requests
 * that need no Redis, each in a process of its own. */
#include "fcgi/cgi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define MAX 100

static void test_foreign_arguments(void **state)
{
    (void)state;
    assert_false(plx_cgi_foreign_arguments(NULL));
    assert_false(plx_cgi_foreign_arguments(""));
    assert_false(plx_cgi_foreign_arguments("vsn=2.0.0"));
    assert_true(plx_cgi_foreign_arguments("--listen+unix:/tmp/x"));
    assert_true(plx_cgi_foreign_arguments("--config%3D/tmp/x"));
}

/* ---- bodies ---- */

/* A pipe with these bytes in it; open: its writer stays. */
static int pipe_with(const char *bytes, size_t len, int *open)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], bytes, len), len);
    if (open)
        *open = fds[1];
    else
        close(fds[1]);
    return fds[0];
}

static unsigned read_body(const char *bytes, const char *length, bool chunked, plx_buf *body)
{
    int fd = pipe_with(bytes, strlen(bytes), NULL);
    unsigned status;

    plx_buf_clear(body);
    status = plx_cgi_read_body(fd, length, chunked, MAX, 1000, body);
    close(fd);
    return status;
}

static void test_bodies(void **state)
{
    plx_buf b;
    (void)state;

    plx_buf_init(&b, 0);
    assert_int_equal(read_body("hello", "5", false, &b), 0);
    assert_true(plx_slice_is(plx_buf_slice(&b), "hello"));
    assert_int_equal(read_body("hello", "3", false, &b), 0);
    assert_true(plx_slice_is(plx_buf_slice(&b), "hel"));
    assert_int_equal(read_body("hello", NULL, false, &b), 0);
    assert_int_equal(b.len, 0);
    assert_int_equal(read_body("hello", "", false, &b), 0);
    assert_int_equal(b.len, 0);
    assert_int_equal(read_body("hello", "", true, &b), 0);
    assert_true(plx_slice_is(plx_buf_slice(&b), "hello"));
    plx_buf_fini(&b);
}

static void test_bad_lengths(void **state)
{
    static const char *const bad[] = {"6",
                                      "-1",
                                      "+5",
                                      " 5",
                                      "5 ",
                                      "five",
                                      "0x5",
                                      "18446744073709551616",
                                      "99999999999999999999999"};
    plx_buf b;
    (void)state;

    plx_buf_init(&b, 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(read_body("hello", bad[i], false, &b), 400);
    plx_buf_fini(&b);
}

static void test_body_bound(void **state)
{
    char body[MAX + 2] = {0};
    plx_buf b;
    (void)state;

    plx_buf_init(&b, 0);
    memset(body, 'x', MAX);
    assert_int_equal(read_body(body, "100", false, &b), 0);
    assert_int_equal(b.len, MAX);
    memset(body, 'x', MAX + 1);
    assert_int_equal(read_body(body, "101", false, &b), 413);
    assert_true(b.len <= MAX);
    assert_int_equal(read_body(body, NULL, true, &b), 413);
    /* Read to its end, so that the web server could write it. */
    int fd = pipe_with(body, MAX + 1, NULL);
    assert_int_equal(plx_cgi_read_body(fd, "101", false, 10, 1000, &b), 413);
    assert_int_equal(read(fd, body, 1), 0);
    close(fd);
    plx_buf_fini(&b);
}

static void test_stalled_body(void **state)
{
    plx_buf b;
    int writer, fd = pipe_with("hel", 3, &writer);
    (void)state;

    plx_buf_init(&b, 0);
    assert_int_equal(plx_cgi_read_body(fd, "5", false, MAX, 20, &b), 400);
    close(fd);
    close(writer);
    plx_buf_fini(&b);
}

/* ---- whole requests ---- */

struct run {
    const char *config, *input;
    const char *const *env; /* name, value, ..., NULL */
};

static void run_child(const struct run *r, int in, int out)
{
    clearenv();
    for (const char *const *e = r->env; *e; e += 2)
        setenv(e[0], e[1], 1);
    dup2(in, 0);
    dup2(out, 1);
    close(in);
    close(out);
    int status = plx_cgi_serve(r->config);
    fflush(NULL);
    _exit(status); /* not cmocka's atexit work */
}

/* What the program printed; its exit status in *status. Free with plx_buf_fini. */
static plx_buf run(const struct run *r, int *status)
{
    int in = pipe_with(r->input, strlen(r->input), NULL), fds[2];
    char chunk[4096];
    plx_buf out;
    ssize_t n;

    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        run_child(r, in, fds[1]);
    }
    close(fds[1]);
    close(in);
    plx_buf_init(&out, 0);
    while ((n = read(fds[0], chunk, sizeof chunk)) > 0)
        plx_buf_append(&out, chunk, (size_t)n);
    close(fds[0]);
    assert_int_equal(waitpid(pid, status, 0), pid);
    assert_true(WIFEXITED(*status));
    *status = WEXITSTATUS(*status);
    return out;
}

static char config_path[64];

static int write_config(void **state)
{
    static const char text[] =
        "redis { url = \"unix:/nonexistent/redis.sock\" }\n"
        "secret = \"0123456789012345678901234567890123456789\"\n"
        "max_body_bytes = 1024\n"
        "socket \"/socket\" { channel \"room:*\" { backend = \"relay\" } }\n";
    (void)state;

    strcpy(config_path, "/tmp/plx-cgi-XXXXXX");
    int fd = mkstemp(config_path);
    if (fd < 0 || write(fd, text, sizeof text - 1) != (ssize_t)sizeof text - 1)
        return -1;
    return close(fd);
}

static int remove_config(void **state)
{
    (void)state;
    return unlink(config_path);
}

static void assert_run(const char *input, const char *const *env, const char *start, int status)
{
    struct run r = {config_path, input, env};
    int got;
    plx_buf out = run(&r, &got);

    assert_int_equal(strncmp(plx_buf_cstr(&out), start, strlen(start)), 0);
    assert_non_null(strstr(plx_buf_cstr(&out), "\r\n\r\n{\"status\":"));
    assert_int_equal(got, status);
    plx_buf_fini(&out);
}

static void test_refused_requests(void **state)
{
    char large[2048] = {0};
    (void)state;

    memset(large, 'x', 2000);
    assert_run("short",
               (const char *const[]){"REQUEST_METHOD", "POST", "REQUEST_URI", "/socket/longpoll",
                                     "CONTENT_LENGTH", "10", NULL},
               "Status: 400 ", 0);
    assert_run("", (const char *const[]){"REQUEST_URI", "/socket/longpoll", NULL}, "Status: 400 ",
               0);
    assert_run(large,
               (const char *const[]){"REQUEST_METHOD", "POST", "REQUEST_URI", "/socket/longpoll",
                                     "CONTENT_LENGTH", "2000", NULL},
               "Status: 413 ", 0);
}

static void test_no_configuration(void **state)
{
    struct run r = {"/nonexistent/pollux.conf", "", (const char *const[]){NULL}};
    int status;
    (void)state;

    plx_buf out = run(&r, &status);
    assert_int_equal(strncmp(plx_buf_cstr(&out), "Status: 500 ", 12), 0);
    assert_int_equal(status, 1);
    plx_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_arguments), cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_bad_lengths),       cmocka_unit_test(test_body_bound),
        cmocka_unit_test(test_stalled_body),      cmocka_unit_test(test_refused_requests),
        cmocka_unit_test(test_no_configuration),
    };
    return cmocka_run_group_tests(tests, write_config, remove_config);
}
