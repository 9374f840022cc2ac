/* channel/cli/check: what `pollux check` says and returns, against a Redis whose answers are
 * scripted. The command runs in a child of its own, as it does in life.
 */
#include "channel/cli/cli.h"
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/plx-check-XXXXXX";

static const char *in_directory(const char *name)
{
    static char paths[4][64];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

/* ---- A Redis that says what it is told to ---- */

/* Reads one command ("*N\r\n" and N times "$LEN\r\nBYTES\r\n"); false at the end of file. */
static bool read_command(FILE *f)
{
    char line[256];
    if (!fgets(line, sizeof line, f))
        return false;
    for (int lines = 2 * atoi(line + 1); lines > 0; lines--)
        if (!fgets(line, sizeof line, f))
            return false;
    return true;
}

static void serve(int listener, const char *const *answers)
{
    int fd = accept(listener, NULL, NULL);
    FILE *in = fdopen(fd, "r");
    for (; in && *answers && read_command(in); answers++)
        if (write(fd, *answers, strlen(*answers)) < 0)
            break;
    /* Out of answers: silence until the client goes. */
    while (in && read_command(in))
        continue;
    _exit(0);
}

static pid_t start_redis(const char *const *answers)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(listener >= 0);
    strcpy(a.sun_path, in_directory("redis.sock"));
    unlink(a.sun_path);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(listener, 5), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        serve(listener, answers);
    close(listener);
    return pid;
}

/* ---- Running the command ---- */

typedef struct outcome {
    int status;
    char out[4096], err[4096];
} outcome;

static void read_file(const char *path, char *to, size_t room)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    to[fread(to, 1, room - 1, f)] = '\0';
    fclose(f);
}

static void write_config(const char *redis, const char *more)
{
    FILE *f = fopen(in_directory("x.conf"), "w");
    assert_non_null(f);
    fprintf(f,
            "secret = \"0123456789abcdef0123456789abcdef\"\nredis { url = \"%s\" }\n"
            "socket \"/s\" {\n%s\nchannel \"a\" { }\n}\n",
            redis, more);
    fclose(f);
}

static outcome run(const char *option)
{
    static outcome o;
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char *argv[] = {(char *)"check", (char *)option, NULL};
        if (!freopen(in_directory("out"), "w", stdout) ||
            !freopen(in_directory("err"), "w", stderr))
            _exit(99);
        int rc = plx_cli_check(option ? 2 : 1, argv, in_directory("x.conf"));
        fflush(stdout);
        fflush(stderr);
        _exit(rc);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    o.status = WEXITSTATUS(status);
    read_file(in_directory("out"), o.out, sizeof o.out);
    read_file(in_directory("err"), o.err, sizeof o.err);
    return o;
}

static outcome run_with(const char *const *answers)
{
    int status;
    pid_t pid = start_redis(answers);
    outcome o = run(NULL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return o;
}

static void with_socket(const char *more)
{
    char url[96];
    snprintf(url, sizeof url, "unix:%s", in_directory("redis.sock"));
    write_config(url, more);
}

#define SERVER_7   "$22\r\nredis_version:7.0.15\r\n\r\n"
#define SERVER_6   "$22\r\nredis_version:6.2.14\r\n\r\n"
#define SERVER_10  "$22\r\nredis_version:10.0.0\r\n\r\n"
#define MEMORY_OK  "$47\r\nused_memory:1000\r\nmaxmemory_policy:noeviction\r\n\r\n"
#define MEMORY_LRU "$30\r\nmaxmemory_policy:allkeys-lru\r\n\r\n"
#define AOF_ON     "$15\r\naof_enabled:1\r\n\r\n"
#define AOF_OFF    "$15\r\naof_enabled:0\r\n\r\n"

/* ---- Tests ---- */

static void test_all_well(void **state)
{
    (void)state;
    static const char *const answers[] = {SERVER_7, MEMORY_OK, AOF_ON, NULL};
    with_socket("");
    outcome o = run_with(answers);
    assert_int_equal(o.status, 0);
    assert_string_equal(o.err, "");
    assert_non_null(strstr(o.out, "x.conf: ok\n"));
    assert_non_null(strstr(o.out, "redis: version 7.0.15\n"));
    assert_non_null(strstr(o.out, "appendonly is on"));
}

static void test_notes(void **state)
{
    (void)state;
    static const char *const answers[] = {SERVER_10, MEMORY_OK, AOF_OFF, NULL};
    with_socket("channel \"b\" {\nhistory { }\n}\nchannel \"c\" { presence { key = x } }");
    outcome o = run_with(answers);
    assert_int_equal(o.status, 0);
    assert_null(strstr(o.out, "presence"));
    assert_null(strstr(o.out, "history"));
    assert_non_null(strstr(o.out, "appendonly is off"));
}

static void test_redis_too_old(void **state)
{
    (void)state;
    static const char *const answers[] = {SERVER_6, MEMORY_OK, AOF_ON, NULL};
    with_socket("");
    outcome o = run_with(answers);
    assert_int_equal(o.status, 1);
    assert_non_null(strstr(o.err, "7.0 or newer"));
}

static void test_eviction(void **state)
{
    (void)state;
    static const char *const answers[] = {SERVER_7, MEMORY_LRU, AOF_ON, NULL};
    with_socket("");
    outcome o = run_with(answers);
    assert_int_equal(o.status, 0);
    assert_non_null(strstr(o.err, "warning: redis: maxmemory-policy is allkeys-lru"));
}

static void test_redis_refuses(void **state)
{
    (void)state;
    static const char *const answers[] = {"-NOAUTH Authentication required.\r\n", NULL};
    with_socket("");
    outcome o = run_with(answers);
    assert_int_equal(o.status, 1);
    assert_non_null(strstr(o.err, "NOAUTH"));
    static const char *const odd[] = {":1\r\n", NULL}, *const broken[] = {"?what\r\n", NULL};
    assert_int_equal(run_with(odd).status, 1);
    assert_int_equal(run_with(broken).status, 1);
}

static void test_redis_is_silent(void **state)
{
    (void)state;
    static const char *const answers[] = {NULL};
    with_socket("");
    outcome o = run_with(answers);
    assert_int_equal(o.status, 1);
    assert_non_null(strstr(o.err, "no answer within 2 s"));
}

static void test_redis_is_not_there(void **state)
{
    (void)state;
    write_config("unix:/nonexistent/redis.sock", "");
    outcome o = run(NULL);
    assert_int_equal(o.status, 1);
    assert_non_null(strstr(o.err, "redis: /nonexistent/redis.sock: "));
    assert_int_equal(run("--no-redis").status, 0);
}

static void test_bad_configuration(void **state)
{
    (void)state;
    write_config("unix:/nonexistent/redis.sock", "max_channels = none\nid = \"{\"");
    outcome o = run("--no-redis");
    assert_int_equal(o.status, 1);
    assert_string_equal(o.out, "");
    assert_non_null(strstr(o.err, "x.conf:4: "));
    assert_non_null(strstr(o.err, "x.conf:5: "));
}

static void test_missing_module(void **state)
{
    (void)state;
    write_config("unix:/x", "channel \"m\" {\nbackend = module path = \"/nonexistent/m.so\" }");
    outcome o = run("--no-redis");
    assert_int_equal(o.status, 1);
    assert_non_null(strstr(o.err, "x.conf:4: the module \"/nonexistent/m.so\" can't be read"));
    write_config("unix:/x", "module = \"/nonexistent/s.so\"\nchannel \"m\" { backend = echo }");
    o = run("--no-redis");
    assert_int_equal(o.status, 1);
    assert_non_null(strstr(o.err, "the module \"/nonexistent/s.so\" can't be read"));
}

static void test_command_line(void **state)
{
    (void)state;
    outcome o = run("--nosuch");
    assert_int_equal(o.status, 2);
    assert_non_null(strstr(o.err, "unknown option \"--nosuch\""));
    assert_int_equal(run("argument").status, 2);
    o = run("--help");
    assert_int_equal(o.status, 0);
    assert_memory_equal(o.out, "Usage: pollux check", 19);
    assert_string_equal(o.err, "");
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink(in_directory("redis.sock"));
    unlink(in_directory("x.conf"));
    unlink(in_directory("out"));
    unlink(in_directory("err"));
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_well),           cmocka_unit_test(test_notes),
        cmocka_unit_test(test_redis_too_old),      cmocka_unit_test(test_eviction),
        cmocka_unit_test(test_redis_refuses),      cmocka_unit_test(test_redis_is_silent),
        cmocka_unit_test(test_redis_is_not_there), cmocka_unit_test(test_bad_configuration),
        cmocka_unit_test(test_missing_module),     cmocka_unit_test(test_command_line),
    };
    return cmocka_run_group_tests_name("check", tests, make_directory, remove_directory);
}
