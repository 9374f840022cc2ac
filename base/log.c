/* Log lines.
 *
 * A line is put together on the stack and leaves with one write(2), at most
 * PIPE_BUF bytes: lines of several threads and processes never mix, on a pipe as
 * well as on a file opened for appending, and no lock is needed. What does not fit
 * is cut off and marked with "...". If stderr blocks, so does the line: whoever
 * fears that makes it non-blocking, and then a full pipe loses lines (counted).
 * SIGPIPE is the program's to ignore.
 */
#include "base/log.h"
#include "base/clock.h"
#include "base/utf8.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GATE_MS 1000

static const char *const level_names[] = {"debug", "info", "warning", "error"};

static const char *program_name = "pollux";
static enum plx_log_level lowest = PLX_INFO;
static _Atomic uint64_t lost_lines;

typedef struct line {
    size_t len;
    char text[PIPE_BUF];
} line;

void plx_log_init(const char *program, enum plx_log_level level)
{
    program_name = program;
    lowest = level;
}

enum plx_log_level plx_log_level(void)
{
    return lowest;
}

uint64_t plx_log_lost(void)
{
    return lost_lines;
}

/* "2026-11-20T08:00:00.123Z level program[pid] " */
static void add_head(line *l, enum plx_log_level level)
{
    uint64_t ms = plx_wall_ms();
    time_t seconds = (time_t)(ms / 1000);
    struct tm t;
    gmtime_r(&seconds, &t);
    int n = snprintf(l->text, sizeof l->text, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ %s %.64s[%ld] ",
                     t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec,
                     (unsigned)(ms % 1000), level_names[level], program_name, (long)getpid());
    l->len = n > 0 ? (size_t)n : 0;
}

/* One character of `size` bytes at p as it shall appear: itself, or escaped when it controls a
 * terminal (C0, DEL, C1) or is no UTF-8 (size 0: one byte). Returns what was written, at most 8. */
static size_t escape(char out[9], const char *p, size_t size)
{
    unsigned char c = (unsigned char)p[0];
    bool c1 = size == 2 && c == 0xC2 && (unsigned char)p[1] < 0xA0;
    if (c == '\n' || c == '\r' || c == '\t') {
        out[0] = '\\';
        out[1] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
        return 2;
    }
    if (c1)
        return (size_t)snprintf(out, 9, "\\xc2\\x%02x", (unsigned char)p[1]);
    if (size == 0 || c < 0x20 || c == 0x7F)
        return (size_t)snprintf(out, 9, "\\x%02x", c);
    memcpy(out, p, size);
    return size;
}

/* Appends the message and the line's end; leaves room for "...\n" at any time. */
static void add_message(line *l, const char *message, size_t len)
{
    const size_t limit = sizeof l->text - 4;
    char piece[9];
    while (len > 0) {
        size_t size = plx_utf8_char(plx_slice_make(message, len));
        size_t n = escape(piece, message, size);
        if (l->len + n > limit) {
            memcpy(l->text + l->len, "...", 3);
            l->len += 3;
            break;
        }
        memcpy(l->text + l->len, piece, n);
        l->len += n;
        size = size > 0 ? size : 1;
        message += size;
        len -= size;
    }
    l->text[l->len++] = '\n';
}

static void write_line(const line *l)
{
    ssize_t n;
    do {
        n = write(STDERR_FILENO, l->text, l->len);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)l->len)
        lost_lines++;
}

void plx_log(enum plx_log_level level, const char *format, ...)
{
    if (level < lowest)
        return;
    int saved_errno = errno;
    char message[PIPE_BUF];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    /* More than this does not fit into a line either, so that a cut is made in one place only. */
    size_t len = n < 0 ? 0 : n < (int)sizeof message ? (size_t)n : sizeof message - 1;

    line l;
    add_head(&l, level);
    add_message(&l, message, len);
    write_line(&l);
    errno = saved_errno;
}

/* Atomic, because the gate is a static of the place and threads may share that. */
bool plx_log_gate_pass(plx_log_gate *gate, unsigned *suppressed)
{
    uint64_t now = plx_now_ms();
    uint64_t next = __atomic_load_n(&gate->next_ms, __ATOMIC_RELAXED);
    if (now < next || !__atomic_compare_exchange_n(&gate->next_ms, &next, now + GATE_MS, false,
                                                   __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&gate->suppressed, 1, __ATOMIC_RELAXED);
        return false;
    }
    *suppressed = __atomic_exchange_n(&gate->suppressed, 0, __ATOMIC_RELAXED);
    return true;
}
