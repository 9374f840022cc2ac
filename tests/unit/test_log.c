/* Log lines, caught by making fd 2 a datagram socket: one read is one write. */
#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static int real_stderr, sockets[2];

/* From here to give_back(), fd 2 is fd; cmocka must not fail a test in between. */
static void redirect(int fd)
{
    fflush(stderr);
    real_stderr = dup(2);
    dup2(fd, 2);
}

static void give_back(void)
{
    dup2(real_stderr, 2);
    close(real_stderr);
}

static int set_up(void **state)
{
    (void)state;
    plx_log_init("test", PLX_DEBUG);
    plx_clock_fake(5000, 1795161600123); /* 2026-11-20T08:00:00.123Z */
    return socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, sockets);
}

static int tear_down(void **state)
{
    (void)state;
    plx_clock_real();
    close(sockets[0]);
    close(sockets[1]);
    return 0;
}

/* What the next write wrote, with a NUL; "" when there was none. */
static const char *next_line(size_t *len)
{
    static char line[2 * PIPE_BUF];
    ssize_t n = recv(sockets[0], line, sizeof line - 1, 0);
    *len = n > 0 ? (size_t)n : 0;
    line[*len] = '\0';
    return line;
}

static void expect_message(const char *level, const char *message)
{
    char expected[PIPE_BUF * 2];
    size_t len;
    snprintf(expected, sizeof expected, "2026-11-20T08:00:00.123Z %s test[%ld] %s\n", level,
             (long)getpid(), message);
    assert_string_equal(next_line(&len), expected);
}

static void expect_silence(void)
{
    size_t len;
    assert_string_equal(next_line(&len), "");
}

static void one_write_for_a_line(void **state)
{
    (void)state;
    redirect(sockets[1]);
    plx_debug("d %d", 1);
    plx_info("i %s", "two");
    plx_warning("w");
    plx_err("e %%");
    give_back();
    expect_message("debug", "d 1");
    expect_message("info", "i two");
    expect_message("warning", "w");
    expect_message("error", "e %");
    expect_silence();
}

static void lower_levels_are_silent(void **state)
{
    (void)state;
    plx_log_init("test", PLX_WARNING);
    assert_int_equal(plx_log_level(), PLX_WARNING);
    redirect(sockets[1]);
    plx_debug("no");
    plx_info("no");
    plx_warning("yes");
    give_back();
    expect_message("warning", "yes");
    expect_silence();
}

static void control_characters_are_escaped(void **state)
{
    (void)state;
    redirect(sockets[1]);
    plx_info("%s", "a\nb\rc\td\x1b[31m\x7f\x01");
    plx_info("%s", "gr\xC3\xBC\xC3\x9F\xE2\x82\xAC\xF0\x9F\x98\x80"); /* stays */
    plx_info("%s", "\xC2\x9B"
                   "31m \xC2\xA0"); /* C1's control sequence introducer; a no-break space stays */
    plx_info("%s", "\xFF \xC3( \xED\xA0\x80 \xE2\x82");
    plx_info("end\n");
    give_back();
    expect_message("info", "a\\nb\\rc\\td\\x1b[31m\\x7f\\x01");
    expect_message("info", "gr\xC3\xBC\xC3\x9F\xE2\x82\xAC\xF0\x9F\x98\x80");
    expect_message("info", "\\xc2\\x9b31m \xC2\xA0");
    expect_message("info", "\\xff \\xc3( \\xed\\xa0\\x80 \\xe2\\x82");
    expect_message("info", "end\\n");
}

/* Whatever the place of the cut within a character, and however much escaping lengthens the text.
 */
static void long_lines_are_cut(void **state)
{
    (void)state;
    static const char *const fillers[] = {"x", "\xC3\xA9", "\xF0\x9F\x98\x80", "\x01", "\xFF"};
    static char text[2 * PIPE_BUF];
    for (size_t f = 0; f < 5; f++) {
        for (size_t shift = 0; shift < 8; shift++) {
            size_t size = strlen(fillers[f]), len, at = shift;
            memset(text, '.', shift);
            for (; at + size < sizeof text; at += size)
                memcpy(text + at, fillers[f], size);
            text[at] = '\0';
            redirect(sockets[1]);
            plx_info("%s", text);
            give_back();
            const char *line = next_line(&len);
            assert_in_range(len, PIPE_BUF - 128, PIPE_BUF);
            assert_string_equal(line + len - 4, "...\n");
            assert_true(plx_utf8_valid(plx_slice_make(line, len)));
            if (f < 3)
                assert_null(strchr(line, '\\'));
            assert_ptr_equal(strchr(line, '\n'), line + len - 1);
        }
    }
}

static void longest_program_name(void **state)
{
    (void)state;
    static char name[PIPE_BUF + 10];
    size_t len;
    memset(name, 'p', sizeof name - 1);
    plx_log_init(name, PLX_DEBUG);
    redirect(sockets[1]);
    plx_info("still here");
    give_back();
    assert_non_null(strstr(next_line(&len), "] still here\n"));
}

static void errno_survives(void **state)
{
    (void)state;
    redirect(sockets[1]);
    errno = ENOENT;
    plx_info("open: %d", errno);
    int after = errno;
    give_back();
    assert_int_equal(after, ENOENT);
    char expected[32];
    snprintf(expected, sizeof expected, "open: %d", ENOENT);
    expect_message("info", expected);
}

/* Every way in which stderr can refuse costs the line and nothing else. */
static void refused_lines_are_counted(void **state)
{
    (void)state;
    uint64_t before = plx_log_lost();
    signal(SIGPIPE, SIG_IGN);

    int full = open("/dev/full", O_WRONLY);
    assert_true(full >= 0);
    redirect(full);
    errno = 77;
    plx_info("no space");
    int after = errno;
    give_back();
    close(full);
    assert_int_equal(after, 77);
    assert_int_equal(plx_log_lost() - before, 1);

    int fds[2];
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    static const char zeros[PIPE_BUF];
    while (write(fds[1], zeros, sizeof zeros) > 0)
        ;
    redirect(fds[1]);
    plx_info("pipe full");
    give_back();
    assert_int_equal(plx_log_lost() - before, 2);
    close(fds[0]);
    redirect(fds[1]);
    plx_info("nobody reads");
    give_back();
    close(fds[1]);
    assert_int_equal(plx_log_lost() - before, 3);

    redirect(sockets[1]);
    close(2);
    plx_info("closed");
    give_back();
    assert_int_equal(plx_log_lost() - before, 4);
    redirect(sockets[1]);
    plx_info("and well again");
    give_back();
    assert_int_equal(plx_log_lost() - before, 4);
    expect_message("info", "and well again");
}

static void log_limited_line(int i)
{
    plx_log_limited(PLX_WARNING, "line %d", i);
}

static void gate_passes_one_a_second(void **state)
{
    (void)state;
    redirect(sockets[1]);
    for (int i = 0; i < 4; i++)
        log_limited_line(i);
    plx_clock_fake(5999, 1795161600123);
    log_limited_line(4);
    plx_clock_fake(6000, 1795161600123);
    log_limited_line(5);
    plx_clock_fake(7000, 1795161600123);
    log_limited_line(6);
    give_back();
    expect_message("warning", "line 0");
    expect_message("warning", "(4 lines like the next one were left out)");
    expect_message("warning", "line 5");
    expect_message("warning", "line 6");
    expect_silence();
}

#define THREADS 4
#define EACH    2000

static plx_log_gate shared_gate;
static _Atomic unsigned passed, reported;

static void *log_much(void *arg)
{
    for (int i = 0; i < EACH; i++) {
        plx_info("thread %ld line %d %0500d end", (long)(intptr_t)arg, i, 0);
        unsigned n;
        if (plx_log_gate_pass(&shared_gate, &n)) {
            passed++;
            reported += n;
        }
    }
    return NULL;
}

static void threads_do_not_mix_lines(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    fcntl(fileno(file), F_SETFL, O_APPEND);
    pthread_t threads[THREADS];
    redirect(fileno(file));
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, log_much, (void *)(intptr_t)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    give_back();

    int next[THREADS] = {0}, thread, number;
    char line[PIPE_BUF];
    rewind(file);
    while (fgets(line, sizeof line, file)) {
        const char *message = strstr(line, "thread ");
        assert_non_null(message);
        assert_int_equal(sscanf(message, "thread %d line %d 0", &thread, &number), 2);
        assert_in_range(thread, 0, THREADS - 1);
        assert_int_equal(number, next[thread]++);
        assert_string_equal(line + strlen(line) - 6, "0 end\n");
    }
    fclose(file);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(next[i], EACH);
    /* The clock stood still: one passed, and nobody's suppression was forgotten. */
    assert_int_equal(passed, 1);
    assert_int_equal(passed + reported + shared_gate.suppressed, THREADS * EACH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_write_for_a_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lower_levels_are_silent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(control_characters_are_escaped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_lines_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(longest_program_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errno_survives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refused_lines_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gate_passes_one_a_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(threads_do_not_mix_lines, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
