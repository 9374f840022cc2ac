/* Log lines on stderr: "2026-11-20T08:00:00.123Z level program[pid] message".
 *
 * Never blocks the event loop for long and never fails the caller: a full disk
 * or closed stderr loses log lines (counted), nothing else (SIGPIPE is the
 * program's to ignore). Control characters in a message (peers choose some of its
 * words) are escaped, bytes that are not UTF-8 too. Any thread may log; errno is
 * left as it was. A line has at most PIPE_BUF bytes; more is cut off.
 */
#ifndef PLX_BASE_LOG_H
#define PLX_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum plx_log_level { PLX_DEBUG, PLX_INFO, PLX_WARNING, PLX_ERROR };

/* Sets the program's name and the lowest level that is written. */
void plx_log_init(const char *program, enum plx_log_level level);
enum plx_log_level plx_log_level(void);

/* Writes a line, unless it is below that level. The macros are for those who know theirs. */
void plx_log(enum plx_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define plx_debug(...)                                                                             \
    do {                                                                                           \
        if (plx_log_level() <= PLX_DEBUG)                                                          \
            plx_log(PLX_DEBUG, __VA_ARGS__);                                                       \
    } while (0)
#define plx_info(...)    plx_log(PLX_INFO, __VA_ARGS__)
#define plx_warning(...) plx_log(PLX_WARNING, __VA_ARGS__)
#define plx_err(...)     plx_log(PLX_ERROR, __VA_ARGS__)

/* At most one line a second from each place; the next line that gets through says how many were
 * left out. For anything that a peer or a sick environment can trigger at will. */
typedef struct plx_log_gate {
    uint64_t next_ms;
    unsigned suppressed;
} plx_log_gate;
bool plx_log_gate_pass(plx_log_gate *gate, unsigned *suppressed);
#define plx_log_limited(level, ...)                                                                \
    do {                                                                                           \
        static plx_log_gate gate_;                                                                 \
        unsigned n_;                                                                               \
        if (plx_log_gate_pass(&gate_, &n_)) {                                                      \
            if (n_ > 0)                                                                            \
                plx_log(level, "(%u lines like the next one were left out)", n_);                  \
            plx_log(level, __VA_ARGS__);                                                           \
        }                                                                                          \
    } while (0)

/* Lines that could not be written since the start. */
uint64_t plx_log_lost(void);

#endif
