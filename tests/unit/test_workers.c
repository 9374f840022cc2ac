/* base/workers: real processes, no sleeps. Every worker reports what happens to it through one
 * pipe; the pipe's end of file says that parent and workers are all gone. */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/workers.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define PATIENCE_MS 20000

struct event {
    char what; /* 's' started, 'r' said that it is ready, 't' was told to stop */
    unsigned index;
    pid_t pid;
    uint64_t at_ms;
};

enum mode { NORMAL, STUBBORN, CRASHING, NO_SUCCESSOR, SILENT, HOPELESS, HOPELESS_LATER };

/* Shared with the forked processes. */
static struct shared {
    unsigned starts;
    enum mode mode;
    bool dispositions_wrong;
} * shared;

static int events[2];
static volatile sig_atomic_t told;

static void on_term(int sig)
{
    (void)sig;
    told = 1;
}

static void report(char what, unsigned index)
{
    struct event e;

    memset(&e, 0, sizeof e);
    e.what = what;
    e.index = index;
    e.pid = getpid();
    e.at_ms = plx_now_ms();
    if (write(events[1], &e, sizeof e) != (ssize_t)sizeof e)
        _exit(9);
}

static bool action_is(int sig, void (*handler)(int))
{
    struct sigaction sa;

    sigaction(sig, NULL, &sa);
    return sa.sa_handler == handler;
}

static void check_dispositions(void)
{
    sigset_t mask;

    sigprocmask(SIG_SETMASK, NULL, &mask);
    if (!action_is(SIGTERM, SIG_DFL) || !action_is(SIGINT, SIG_IGN) ||
        !action_is(SIGHUP, SIG_IGN) || sigismember(&mask, SIGTERM) || sigismember(&mask, SIGCHLD))
        shared->dispositions_wrong = true;
}

static int serve(unsigned index, void *data)
{
    sigset_t block, before;
    unsigned starts = __sync_add_and_fetch(&shared->starts, 1);
    unsigned count = *(unsigned *)data;

    check_dispositions();
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigprocmask(SIG_BLOCK, &block, &before);
    signal(SIGTERM, on_term);
    report('s', index);
    if (shared->mode == CRASHING || (shared->mode == NO_SUCCESSOR && starts > count))
        return 3;
    if (shared->mode == HOPELESS || (shared->mode == HOPELESS_LATER && starts > count))
        return PLX_WORKER_HOPELESS;
    if (shared->mode != SILENT)
        plx_worker_ready();
    if (shared->mode == HOPELESS_LATER)
        report('r', index);
    while (!told)
        sigsuspend(&before);
    report('t', index);
    while (shared->mode == STUBBORN)
        sigsuspend(&before);
    return 0;
}

/* ---- the parent under test, in a process of its own ---- */

static unsigned worker_count;

static pid_t start_parent(unsigned count, uint64_t grace_ms, enum mode mode)
{
    plx_workers w = {.count = count, .grace_ms = grace_ms, .run = serve, .data = &worker_count};
    pid_t pid;

    worker_count = count;
    memset(shared, 0, sizeof *shared);
    shared->mode = mode;
    assert_int_equal(pipe(events), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(events[0]);
        _exit(-plx_workers_run(&w));
    }
    close(events[1]);
    return pid;
}

/* The next event; false at the end of file. */
static bool next_event(struct event *e)
{
    struct pollfd p = {.fd = events[0], .events = POLLIN};
    ssize_t n;

    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    n = read(events[0], e, sizeof *e);
    assert_true(n == 0 || n == (ssize_t)sizeof *e);
    return n != 0;
}

static struct event expect(char what)
{
    struct event e;

    assert_true(next_event(&e));
    assert_int_equal(e.what, what);
    return e;
}

static void expect_starts(pid_t *pids, unsigned count)
{
    unsigned i, seen = 0;

    for (i = 0; i < count; i++) {
        struct event e = expect('s');

        assert_in_range(e.index, 0, count - 1);
        pids[e.index] = e.pid;
        seen |= 1u << e.index;
    }
    assert_int_equal(seen, (1u << count) - 1);
}

static void expect_end(void)
{
    struct event e;

    assert_false(next_event(&e));
    close(events[0]);
}

/* The parent's result, as the positive number of its PLX_E*. */
static int result_of(pid_t parent)
{
    int status;

    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void stop_normally(pid_t parent, unsigned count)
{
    unsigned i;

    kill(parent, SIGTERM);
    for (i = 0; i < count; i++)
        expect('t');
    expect_end();
    assert_int_equal(result_of(parent), 0);
}

/* ---- tests ---- */

static void test_starts_all_and_stops_them(void **state)
{
    pid_t pids[3], parent = start_parent(3, PATIENCE_MS, NORMAL);

    (void)state;
    expect_starts(pids, 3);
    stop_normally(parent, 3);
    assert_false(shared->dispositions_wrong);
}

static void test_sigint_stops_too(void **state)
{
    pid_t pids[2], parent = start_parent(2, PATIENCE_MS, NORMAL);

    (void)state;
    expect_starts(pids, 2);
    kill(parent, SIGINT);
    expect('t');
    expect('t');
    expect_end();
    assert_int_equal(result_of(parent), 0);
}

static void test_crashed_worker_is_replaced(void **state)
{
    pid_t pids[3], parent = start_parent(3, PATIENCE_MS, NORMAL);
    struct event e;
    uint64_t killed_ms;

    (void)state;
    expect_starts(pids, 3);
    killed_ms = plx_now_ms();
    kill(pids[1], SIGKILL);
    e = expect('s');
    assert_int_equal(e.index, 1);
    assert_int_not_equal(e.pid, pids[1]);
    assert_true(e.at_ms - killed_ms < 5000);
    stop_normally(parent, 3);
}

static void test_worker_that_keeps_dying_is_restarted_ever_slower(void **state)
{
    static const uint64_t at_least[] = {45, 95, 195, 395, 795, 990};
    pid_t parent = start_parent(1, PATIENCE_MS, CRASHING);
    uint64_t before, now;
    size_t i;

    (void)state;
    before = expect('s').at_ms;
    for (i = 0; i < sizeof at_least / sizeof *at_least; i++) {
        now = expect('s').at_ms;
        assert_true(now - before >= at_least[i]);
        before = now;
    }
    kill(parent, SIGTERM);
    expect_end();
    assert_int_equal(result_of(parent), 0);
}

static void test_stubborn_worker_is_killed_after_the_grace_time(void **state)
{
    pid_t pids[2], parent = start_parent(2, 150, STUBBORN);
    uint64_t before;

    (void)state;
    expect_starts(pids, 2);
    before = plx_now_ms();
    kill(parent, SIGTERM);
    expect('t');
    expect('t');
    expect_end();
    assert_true(plx_now_ms() - before >= 140);
    assert_int_equal(result_of(parent), -PLX_E_TIMEOUT);
}

static void test_second_sigint_does_not_wait(void **state)
{
    pid_t pids[1], parent = start_parent(1, 3600 * 1000, STUBBORN);

    (void)state;
    expect_starts(pids, 1);
    kill(parent, SIGTERM);
    expect('t');
    kill(parent, SIGINT);
    expect_end();
    assert_int_equal(result_of(parent), -PLX_E_TIMEOUT);
}

static void test_killed_parent_takes_its_workers_along(void **state)
{
    pid_t pids[3], parent = start_parent(3, PATIENCE_MS, NORMAL);
    int status;

    (void)state;
    expect_starts(pids, 3);
    kill(parent, SIGKILL);
    assert_int_equal(waitpid(parent, &status, 0), parent);
    expect('t');
    expect('t');
    expect('t');
    expect_end();
}

static void restart_replaces_all(enum mode mode)
{
    pid_t pids[2], parent = start_parent(2, PATIENCE_MS, mode);
    unsigned i;

    expect_starts(pids, 2);
    kill(parent, SIGHUP);
    for (i = 0; i < 2; i++) { /* successor first, one slot after the other */
        struct event e = expect('s');

        assert_int_equal(e.index, i);
        e = expect('t');
        assert_int_equal(e.index, i);
        assert_int_equal(e.pid, pids[i]);
    }
    stop_normally(parent, 2);
}

static void test_planned_restart(void **state)
{
    (void)state;
    restart_replaces_all(NORMAL);
}

static void test_planned_restart_of_workers_that_never_say_ready(void **state)
{
    (void)state;
    restart_replaces_all(SILENT);
}

static void test_planned_restart_keeps_the_old_when_the_successor_dies(void **state)
{
    pid_t pids[2], parent = start_parent(2, PATIENCE_MS, NO_SUCCESSOR);
    struct event e;
    unsigned i;

    (void)state;
    expect_starts(pids, 2);
    kill(parent, SIGHUP);
    e = expect('s'); /* dies at once */
    assert_int_equal(e.index, 0);
    kill(parent, SIGTERM);
    for (i = 0; i < 2; i++) {
        e = expect('t');
        assert_int_equal(e.pid, pids[e.index]);
    }
    expect_end();
    assert_int_equal(result_of(parent), 0);
}

static void test_hopeless_workers_end_the_parent(void **state)
{
    pid_t parent = start_parent(1, PATIENCE_MS, HOPELESS);

    (void)state;
    expect('s');
    expect_end();
    assert_int_equal(result_of(parent), -PLX_E_INVALID);
    assert_int_equal(shared->starts, 1);
}

/* The configuration was broken while the service ran: a crash must not turn that into an outage of
 * the workers that still run. */
static void test_hopeless_later_is_tried_again(void **state)
{
    pid_t pids[2], parent = start_parent(2, PATIENCE_MS, HOPELESS_LATER);
    struct event e;
    int i;

    (void)state;
    for (i = 0; i < 4; i++) { /* each starts and is ready */
        assert_true(next_event(&e));
        assert_true(e.what == 's' || e.what == 'r');
        pids[e.index] = e.pid;
    }
    kill(pids[1], SIGKILL);
    for (i = 0; i < 3; i++)
        assert_int_equal(expect('s').index, 1);
    kill(parent, SIGTERM);
    assert_int_equal(expect('t').pid, pids[0]);
    expect_end();
    assert_int_equal(result_of(parent), 0);
}

static void test_impossible_counts(void **state)
{
    plx_workers w = {.count = 0, .run = serve};

    (void)state;
    assert_int_equal(plx_workers_run(&w), PLX_E_INVALID);
    w.count = PLX_WORKERS_MAX + 1;
    assert_int_equal(plx_workers_run(&w), PLX_E_INVALID);
    plx_worker_ready(); /* without a parent: nothing happens */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starts_all_and_stops_them),
        cmocka_unit_test(test_sigint_stops_too),
        cmocka_unit_test(test_crashed_worker_is_replaced),
        cmocka_unit_test(test_worker_that_keeps_dying_is_restarted_ever_slower),
        cmocka_unit_test(test_stubborn_worker_is_killed_after_the_grace_time),
        cmocka_unit_test(test_second_sigint_does_not_wait),
        cmocka_unit_test(test_killed_parent_takes_its_workers_along),
        cmocka_unit_test(test_planned_restart),
        cmocka_unit_test(test_planned_restart_of_workers_that_never_say_ready),
        cmocka_unit_test(test_planned_restart_keeps_the_old_when_the_successor_dies),
        cmocka_unit_test(test_hopeless_workers_end_the_parent),
        cmocka_unit_test(test_hopeless_later_is_tried_again),
        cmocka_unit_test(test_impossible_counts),
    };

    signal(SIGPIPE, SIG_IGN);
    plx_log_init("test_workers", PLX_ERROR + 1); /* crashes are the test's subject, not news */
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
