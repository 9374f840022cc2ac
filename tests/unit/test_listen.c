/* base/listen: addresses as text, and real sockets in a temporary directory and on free ports. */
#include "base/error.h"
#include "base/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[] = "/tmp/test_listen.XXXXXX";
static plx_buf problem;

static int parse(const char *text, plx_listen_addr *a)
{
    plx_buf_clear(&problem);
    return plx_listen_parse(text, a, &problem);
}

static plx_listen_addr addr(const char *text)
{
    plx_listen_addr a;

    assert_int_equal(parse(text, &a), 0);
    return a;
}

static plx_listen_addr unix_addr(const char *name)
{
    char text[200];

    snprintf(text, sizeof text, "unix:%s/%s", dir, name);
    return addr(text);
}

static void assert_says(const char *words)
{
    const char *text = plx_buf_cstr(&problem);

    if (strstr(text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", text, words);
}

static int open_it(const plx_listen_addr *a, int *fd)
{
    plx_buf_clear(&problem);
    return plx_listen_open(a, PLX_LISTEN_MODE, fd, &problem);
}

static int open_many(const plx_listen_addr *a, size_t n, int *fds)
{
    plx_buf_clear(&problem);
    return plx_listen_open_many(a, PLX_LISTEN_MODE, n, fds, &problem);
}

/* 0 when a client gets through, else errno. */
static int try_tcp(uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), err;

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    err = connect(fd, (struct sockaddr *)&in, sizeof in) == 0 ? 0 : errno;
    close(fd);
    return err;
}

static int try_unix(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), err;

    strcpy(un.sun_path, path);
    err = connect(fd, (struct sockaddr *)&un, sizeof un) == 0 ? 0 : errno;
    close(fd);
    return err;
}

static void assert_flags(int fd)
{
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* ---- text ---- */

static void test_parses_tcp(void **state)
{
    plx_listen_addr a = addr("127.0.0.1:4000");

    (void)state;
    assert_false(a.is_unix);
    assert_string_equal(a.host, "127.0.0.1");
    assert_int_equal(a.port, 4000);
    a = addr("[::1]:65535");
    assert_string_equal(a.host, "::1");
    assert_int_equal(a.port, 65535);
    a = addr("localhost:0");
    assert_string_equal(a.host, "localhost");
    assert_int_equal(a.port, 0);
    assert_string_equal(addr("*:80").host, "*");
    assert_string_equal(addr(":80").host, "");
}

static void test_parses_unix(void **state)
{
    plx_listen_addr a = addr("unix:/run/x y.sock");

    (void)state;
    assert_true(a.is_unix);
    assert_string_equal(a.path, "/run/x y.sock");
}

static void test_refuses_what_is_no_address(void **state)
{
    static const char *const bad[] = {"",       "localhost", "localhost:",
                                      ":",      "h:65536",   "h:-1",
                                      "h: 1",   "h:1x",      "h:99999999999999999999",
                                      "::1:80", "[::1]",     "[::1:80",
                                      "unix:",  "h:0x10",    "h:+1"};
    plx_listen_addr a;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse(bad[i], &a), PLX_E_INVALID);
        assert_true(problem.len > 0);
    }
}

static void test_path_must_fit(void **state)
{
    char text[5 + 108 + 1] = "unix:";
    plx_listen_addr a;

    (void)state;
    memset(text + 5, 'x', 107);
    assert_int_equal(parse(text, &a), 0);
    assert_int_equal(strlen(a.path), 107);
    text[5 + 107] = 'x';
    text[5 + 108] = '\0';
    assert_int_equal(parse(text, &a), PLX_E_INVALID);
    assert_says("the path has 108 bytes");
}

static void test_host_must_fit(void **state)
{
    char text[300];
    plx_listen_addr a;

    (void)state;
    memset(text, 'h', sizeof text);
    strcpy(text + 256, ":1");
    assert_int_equal(parse(text, &a), PLX_E_INVALID);
    strcpy(text + 255, ":1");
    assert_int_equal(parse(text, &a), 0);
}

/* ---- TCP ---- */

static void test_tcp_listens(void **state)
{
    plx_listen_addr a = addr("127.0.0.1:0");
    char expected[40];
    int fd;

    (void)state;
    assert_int_equal(open_it(&a, &fd), 0);
    assert_flags(fd);
    assert_int_not_equal(plx_listen_port(fd), 0);
    assert_int_equal(try_tcp(plx_listen_port(fd)), 0);
    plx_buf_clear(&problem);
    assert_int_equal(plx_listen_name(fd, &problem), 0);
    snprintf(expected, sizeof expected, "127.0.0.1:%u", plx_listen_port(fd));
    assert_string_equal(plx_buf_cstr(&problem), expected);
    plx_listen_cleanup(&a); /* nothing to do, nothing breaks */
    close(fd);
}

static void test_tcp_in_use(void **state)
{
    plx_listen_addr a = addr("127.0.0.1:0");
    int fd, fds[2];

    (void)state;
    assert_int_equal(open_it(&a, &fd), 0);
    a.port = plx_listen_port(fd);
    assert_int_equal(open_it(&a, fds), PLX_E_BUSY);
    assert_says("in use");
    assert_int_equal(open_many(&a, 2, fds), PLX_E_BUSY);
    assert_says("in use");
    close(fd);
}

static void test_one_socket_per_worker(void **state)
{
    plx_listen_addr a = addr("127.0.0.1:0");
    int fds[3], more[3], i;
    uint16_t port;

    (void)state;
    assert_int_equal(open_many(&a, 3, fds), 0);
    port = plx_listen_port(fds[0]);
    assert_int_not_equal(port, 0);
    for (i = 0; i < 3; i++) {
        assert_int_equal(plx_listen_port(fds[i]), port);
        assert_flags(fds[i]);
    }
    assert_int_not_equal(fds[0], fds[1]);
    /* The same again is a mistake, though SO_REUSEPORT alone would let it pass. */
    a.port = port;
    assert_int_equal(open_many(&a, 3, more), PLX_E_BUSY);
    for (i = 0; i < 3; i++)
        close(fds[i]);
    assert_int_equal(open_many(&a, 3, more), 0); /* a fixed port, free again */
    assert_int_equal(plx_listen_port(more[2]), port);
    for (i = 0; i < 3; i++)
        close(more[i]);
}

static void test_connections_reach_every_workers_socket(void **state)
{
    plx_listen_addr a = addr("127.0.0.1:0");
    int fds[2], got[2] = {0, 0}, i, fd;

    (void)state;
    assert_int_equal(open_many(&a, 2, fds), 0);
    for (i = 0; i < 200; i++)
        assert_int_equal(try_tcp(plx_listen_port(fds[0])), 0);
    for (i = 0; i < 2; i++)
        for (; (fd = accept(fds[i], NULL, NULL)) >= 0; got[i]++)
            close(fd);
    assert_int_equal(got[0] + got[1], 200);
    assert_true(got[0] > 0 && got[1] > 0);
    close(fds[0]);
    close(fds[1]);
}

static void test_no_such_host(void **state)
{
    plx_listen_addr a = addr("no-such-host.invalid:80");
    int fd;

    (void)state;
    assert_int_equal(open_it(&a, &fd), PLX_E_INVALID);
    assert_says("no-such-host.invalid");
    a = addr("192.0.2.1:0"); /* documentation range: nobody's */
    assert_int_equal(open_it(&a, &fd), PLX_E_INVALID);
    assert_says("no such address");
}

static void test_ipv6(void **state)
{
    plx_listen_addr a = addr("[::1]:0");
    int fd;

    (void)state;
    if (open_it(&a, &fd) != 0)
        skip(); /* a machine without IPv6 */
    plx_buf_clear(&problem);
    assert_int_equal(plx_listen_name(fd, &problem), 0);
    assert_says("[::1]:");
    close(fd);
}

/* ---- Unix ---- */

static void test_unix_listens_with_its_mode(void **state)
{
    plx_listen_addr a = unix_addr("mode.sock");
    struct stat st;
    mode_t mask = umask(0);
    int fd;

    (void)state;
    assert_int_equal(open_it(&a, &fd), 0);
    assert_int_equal(umask(mask), 0); /* and the umask is as it was */
    assert_flags(fd);
    assert_int_equal(stat(a.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_int_equal(try_unix(a.path), 0);
    assert_int_equal(plx_listen_port(fd), 0);
    plx_buf_clear(&problem);
    plx_listen_name(fd, &problem);
    assert_says("unix:/tmp/test_listen.");
    close(fd);
    plx_listen_cleanup(&a);
    assert_int_not_equal(stat(a.path, &st), 0);
}

static void test_unix_leftover_is_replaced(void **state)
{
    plx_listen_addr a = unix_addr("stale.sock");
    int fd;

    (void)state;
    assert_int_equal(open_it(&a, &fd), 0);
    close(fd);
    assert_int_equal(try_unix(a.path), ECONNREFUSED);
    assert_int_equal(open_it(&a, &fd), 0);
    assert_int_equal(try_unix(a.path), 0);
    close(fd);
    plx_listen_cleanup(&a);
}

static void test_unix_in_use(void **state)
{
    plx_listen_addr a = unix_addr("live.sock");
    int fd, other;

    (void)state;
    assert_int_equal(open_it(&a, &fd), 0);
    assert_int_equal(open_it(&a, &other), PLX_E_BUSY);
    assert_says("another program listens there");
    assert_int_equal(try_unix(a.path), 0); /* untouched */
    plx_listen_cleanup(&a);                /* a successor listens: stays */
    assert_int_equal(try_unix(a.path), 0);
    close(fd);
    plx_listen_cleanup(&a);
}

static void test_unix_other_files_are_left_alone(void **state)
{
    plx_listen_addr a = unix_addr("file");
    int fd;

    (void)state;
    close(open(a.path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(open_it(&a, &fd), PLX_E_BUSY);
    assert_says("not a socket");
    plx_listen_cleanup(&a);
    assert_int_equal(access(a.path, F_OK), 0);
    unlink(a.path);
}

static void test_unix_missing_directory(void **state)
{
    plx_listen_addr a = unix_addr("missing/x.sock");
    int fd;

    (void)state;
    assert_int_equal(open_it(&a, &fd), PLX_E_INVALID);
    assert_says("directory does not exist");
}

static void test_unix_descriptors_share_one_socket(void **state)
{
    plx_listen_addr a = unix_addr("shared.sock");
    int fds[2], fd;

    (void)state;
    assert_int_equal(open_many(&a, 2, fds), 0);
    assert_flags(fds[1]);
    close(fds[0]);
    assert_int_equal(try_unix(a.path), 0);
    fd = accept(fds[1], NULL, NULL);
    assert_true(fd >= 0);
    close(fd);
    close(fds[1]);
    plx_listen_cleanup(&a);
}

static int make_dir(void **state)
{
    (void)state;
    plx_buf_init(&problem, 4096);
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
    (void)state;
    plx_buf_fini(&problem);
    return rmdir(dir); /* fails when a test left a file behind */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parses_tcp),
        cmocka_unit_test(test_parses_unix),
        cmocka_unit_test(test_refuses_what_is_no_address),
        cmocka_unit_test(test_path_must_fit),
        cmocka_unit_test(test_host_must_fit),
        cmocka_unit_test(test_tcp_listens),
        cmocka_unit_test(test_tcp_in_use),
        cmocka_unit_test(test_one_socket_per_worker),
        cmocka_unit_test(test_connections_reach_every_workers_socket),
        cmocka_unit_test(test_no_such_host),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_unix_listens_with_its_mode),
        cmocka_unit_test(test_unix_leftover_is_replaced),
        cmocka_unit_test(test_unix_in_use),
        cmocka_unit_test(test_unix_other_files_are_left_alone),
        cmocka_unit_test(test_unix_missing_directory),
        cmocka_unit_test(test_unix_descriptors_share_one_socket),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
