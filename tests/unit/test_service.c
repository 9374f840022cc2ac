/* What the daemons' mains share. */
#include "base/log.h"
#include "base/service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void test_numbers(void **state)
{
    static const char *const wrong[] = {
        "", "0", "257", "-1", "+1", " 1", "1 ", "1x", "0x1", "1.0", "99999999999999999999999999"};
    uint64_t n = 7;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(plx_service_number(wrong[i], 1, 256, &n));
    assert_true(plx_service_number("1", 1, 256, &n) && n == 1);
    assert_true(plx_service_number("256", 1, 256, &n) && n == 256);
    assert_true(plx_service_number("007", 1, 256, &n) && n == 7);
    assert_true(plx_service_number("0", 0, 256, &n) && n == 0);
}

static void test_limit(void **state)
{
    struct rlimit before, low, after;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &before);
    low = (struct rlimit){64, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    plx_service_raise_limit();
    getrlimit(RLIMIT_NOFILE, &after);
    assert_true(after.rlim_cur == before.rlim_max);
    setrlimit(RLIMIT_NOFILE, &before);
}

typedef struct service {
    int fds[2];
    char path[64];
} service;

/* Each worker has a socket of its own, or the same one, that listens. */
static int worker(unsigned index, void *data)
{
    const service *s = data;
    int on = 0;
    socklen_t len = sizeof on;
    bool good = getsockopt(s->fds[index], SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on &&
                (s->path[0] == '\0' || access(s->path, F_OK) == 0);

    return good ? PLX_WORKER_HOPELESS : 1; /* the parent stops on the first of these only */
}

static void test_run(void **state)
{
    static service s;
    plx_workers workers = {.count = 2, .grace_ms = 20000, .run = worker, .data = &s};
    char dir[] = "/tmp/plx-service-XXXXXX", text[80];
    plx_listen_addr addr;
    plx_buf problem;

    (void)state;
    alarm(120); /* a worker that finds something wrong is started again and again */
    plx_buf_init(&problem, 0);
    assert_non_null(mkdtemp(dir));
    snprintf(s.path, sizeof s.path, "%s/sock", dir);
    snprintf(text, sizeof text, "unix:%s", s.path);
    assert_int_equal(plx_listen_parse(text, &addr, &problem), 0);
    assert_int_not_equal(plx_service_run(&addr, &workers, s.fds), 0);
    assert_int_equal(access(s.path, F_OK), -1); /* it cleans up */

    snprintf(text, sizeof text, "unix:%s/nowhere/sock", dir);
    assert_int_equal(plx_listen_parse(text, &addr, &problem), 0);
    assert_int_not_equal(plx_service_run(&addr, &workers, s.fds), 0);

    s.path[0] = '\0';
    assert_int_equal(plx_listen_parse("127.0.0.1:0", &addr, &problem), 0);
    assert_int_not_equal(plx_service_run(&addr, &workers, s.fds), 0);
    alarm(0);
    rmdir(dir);
    plx_buf_fini(&problem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_run),
    };
    plx_log_init("test_service", PLX_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
