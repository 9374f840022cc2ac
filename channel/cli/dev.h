/* The parts of `pollux dev`, for its own files only.
 *
 *   dev.c           the command: waits, and stops everything
 *   dev_options.c   its options
 *   dev_start.c     what is prepared, and the order in which everything starts
 *   dev_redis.c     the private Redis, which is started again when it dies
 *   dev_ready.c     what must answer before we say "ready"
 *   dev_place.c     the state directory and where programs and data are found
 *   dev_conf.c      the effective configuration
 *   dev_lighttpd.c  the web server's configuration
 *   dev_proc.c      child processes that die with us
 *   dev_guard.c     who cleans up when we are killed
 *   dev_probe.c     one HTTP request, one PING, free ports
 *
 * Failures are told at once, on stderr, by whoever meets them (plx_dev_complain);
 * functions then return a PLX_E* and the caller just stops.
 */
#ifndef PLX_CHANNEL_CLI_DEV_H
#define PLX_CHANNEL_CLI_DEV_H

#include "base/buf.h"
#include "base/config.h"
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One line on stderr: "pollux dev: ...". Never fails. */
void plx_dev_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- dev_place.c ---- */

/* The state directory: DIR with run/ (sockets, pid files, web server configuration), log/, tmp/. */
typedef struct plx_dev_place {
    char *dir; /* absolute; owned, like the others */
    char *run, *log, *tmp;
    bool temporary; /* made by us: goes away at the end */
    int lock;       /* held while in use; -1: not opened */
} plx_dev_place;

/* Makes the directory (dir NULL: a new one under $TMPDIR or /tmp) and its parts, mode 0700, and
 * locks it; waits up to 5 s for a predecessor that is just being cleaned up. Returns 0 or a
 * PLX_E*. */
int plx_dev_place_open(plx_dev_place *p, const char *dir);
/* Empties run/ and tmp/, removes a temporary directory wholly. Does nothing to a directory that
 * could not be locked. Keeps the lock and the strings. */
void plx_dev_place_clean(const plx_dev_place *p);
/* Frees the strings and gives up the lock. */
void plx_dev_place_close(plx_dev_place *p);

/* Writes a file (mode 0600) in one piece: under another name first, then renamed. Returns 0 or
 * PLX_E_SYSTEM. */
int plx_dev_write_file(const char *path, plx_slice content);

/* A program's path: in $POLLUX_BIN_DIR, beside this binary, in $PATH, in /usr/sbin. NULL when it is
 * nowhere; owned by the caller. */
char *plx_dev_find_program(const char *name);
/* A file of the demonstration ("demo.conf", "demo"): in the installed share directory or in the
 * source tree that this binary was built in. NULL when it is nowhere; owned by the caller. */
char *plx_dev_find_data(const char *name);

/* ---- dev_conf.c ---- */

typedef struct plx_dev_conf {
    const char *redis_url; /* what redis.url becomes */
    const char *secret;    /* added when the text has neither `secret` nor `secret_file` */
    const char *conf_dir;  /* the original's directory: what relative secret files count from */
    const char *work_dir;  /* what relative paths of modules count from */
} plx_dev_conf;

/* Copies a configuration's text with these changes and with relative file names made absolute.
 * Everything else keeps its bytes, and every line its number. Returns 0, or PLX_E_INVALID when a
 * comment, string or section does not end, PLX_E_TOOBIG. */
int plx_dev_conf_edit(plx_slice text, const plx_dev_conf *c, plx_buf *out);
/* Reads `file`, writes its edited copy to `out_file` and loads that. What is wrong with it is told
 * in terms of `file`. The caller owns *config. */
int plx_dev_conf_make(const char *file, const char *redis_url, const char *out_file,
                      plx_config **config);

/* ---- dev_lighttpd.c ---- */

typedef struct plx_dev_web {
    const plx_config *config;
    const plx_dev_place *place;
    const char *demo;    /* directory of the page */
    const char *phoenix; /* phoenix.mjs, or NULL: the page will say that it is missing */
    uint16_t port, ws_port;
} plx_dev_web;

/* Appends the web server's configuration. Returns 0, or PLX_E_INVALID (told) when a path can't be
 * written in lighttpd's language. */
int plx_dev_lighttpd_config(const plx_dev_web *web, plx_buf *out);

/* ---- dev_proc.c ---- */

typedef struct plx_dev_proc {
    const char *name;  /* "redis", "fcgi", "ws", "lighttpd": of the pid file */
    const char *title; /* for messages */
    char *log;         /* file that gets its output, owned; NULL: our stderr */
    char *pid_file;    /* owned */
    pid_t pid;         /* 0: not running; set to 0 by whoever waited for its end */
    pid_t group;       /* its process group, which may outlive it; 0: never started */
} plx_dev_proc;

/* Starts argv[0] with stdin from /dev/null, in a process group of its own (^C is ours alone), with
 * SIGTERM as parent-death signal, and writes the pid file. Returns 0 or PLX_E_SYSTEM (told). */
int plx_dev_proc_start(plx_dev_proc *p, const plx_dev_place *place, char *const argv[]);
/* A child's end was seen: says so, with the last lines of its log. */
void plx_dev_proc_report(const plx_dev_proc *p, int status);
/* Whether it, or a child that it left behind, still runs. */
bool plx_dev_proc_alive(const plx_dev_proc *p);
/* Sends a signal to its process group. */
void plx_dev_proc_signal(const plx_dev_proc *p, int sig);
/* After its end: removes the pid file and frees. */
void plx_dev_proc_fini(plx_dev_proc *p);

/* ---- dev_guard.c ---- */

typedef struct plx_dev_guard {
    sigset_t signals; /* SIGTERM, SIGINT, SIGHUP, SIGCHLD: blocked, to be waited for */
    int pipe;         /* to the outer process; -1: none */
} plx_dev_guard;

/* Splits the process in two. Returns 0 in the inner one, which goes on; in the outer one it returns
 * 1 when the inner one has ended and all is cleaned up, with the exit status in *status; or
 * PLX_E_SYSTEM (told). `place` is borrowed meanwhile. */
int plx_dev_guard_fork(plx_dev_guard *g, const plx_dev_place *place, int *status);
/* Names the process group of a part (PLX_DEV_REDIS ...) that the outer process has to end if it
 * survives us, instead of the one named before; 0: none. */
void plx_dev_guard_set(const plx_dev_guard *g, int part, pid_t group);

/* ---- dev_probe.c ---- */

/* One HTTP request without a body to 127.0.0.1:port; appends at most 4096 bytes of the answer to
 * `answer` and returns its status, or PLX_E_DOWN (refused, no HTTP), PLX_E_TIMEOUT (2 s),
 * PLX_E_BUSY
 * (`interrupt_fd` became readable meanwhile). `headers`: further lines, each ended by CR LF. */
int plx_dev_probe_http(uint16_t port, const char *method, const char *target, const char *headers,
                       int interrupt_fd, plx_buf *answer);
/* Whether somebody accepts connections there: a Unix socket, or with NULL a port of 127.0.0.1. */
bool plx_dev_probe_listens(const char *unix_path, uint16_t port);
/* Who listens on a Unix socket: the process that called listen(). 0: nobody, or not to be known. */
pid_t plx_dev_probe_listener(const char *unix_path);
/* PING; true when Redis answered. `problem` gets a line otherwise. */
bool plx_dev_probe_redis(const char *url, plx_buf *problem);
/* A TCP port on 127.0.0.1 that nobody uses now, below the range from which the kernel takes ports
 * for outgoing connections. 0 when there is none. */
uint16_t plx_dev_free_port(void);

/* ---- the command's own state, and dev_options.c, dev_start.c, dev_ready.c ---- */

typedef struct plx_dev_options {
    const char *state, *redis; /* borrowed from argv; NULL: not given */
    unsigned port, fcgi_workers, ws_workers;
} plx_dev_options;

enum { PLX_DEV_REDIS, PLX_DEV_FCGI, PLX_DEV_WS, PLX_DEV_LIGHTTPD, PLX_DEV_PROCS };

/* dev_redis.c's own. */
typedef struct plx_dev_redis {
    enum {
        PLX_DEV_REDIS_UNTROUBLED, /* the first one runs */
        PLX_DEV_REDIS_DOWN,       /* to be started at due_ms */
        PLX_DEV_REDIS_STARTING,   /* started again, to be asked at due_ms */
        PLX_DEV_REDIS_UP,         /* answered */
        PLX_DEV_REDIS_FOREIGN     /* somebody else's is in its place */
    } state;
    uint64_t due_ms, started_ms;
    unsigned failures; /* starts in a row that came to no answer */
    unsigned soon;     /* starts in a row, each soon after the one before */
} plx_dev_redis;

typedef struct plx_dev {
    plx_dev_options opt;
    plx_dev_place place;
    plx_dev_guard guard;
    plx_dev_proc procs[PLX_DEV_PROCS];
    plx_dev_redis redis;
    plx_config *config; /* owned, as all below */
    char *config_file;  /* the effective one */
    char *redis_url, *demo, *phoenix;
    uint16_t port, ws_port;
    int signals;   /* signalfd */
    bool stopping; /* asked to, or a part failed */
    bool failed;   /* a part ended by itself */
    bool ready;    /* all answered once */
} plx_dev;

/* Returns 0, or the exit status + 1 when there is nothing more to do (help, usage error). */
int plx_dev_options_read(int argc, char **argv, plx_dev_options *o);

/* Everything that can go wrong before a process is started: port, files, configuration. Returns 0
 * or a PLX_E* (told). */
int plx_dev_prepare(plx_dev *d, const char *config_path);
/* Starts all parts. Returns 0 when all answer, or a PLX_E* (told), or PLX_E_BUSY when d->stopping
 * became true meanwhile. What was started is left for the caller to stop. */
int plx_dev_start(plx_dev *d);

/* Finds the program argv[0] (no longer valid afterwards), starts it as that part and tells the
 * guard. package: what to install when it is not found. Returns 0 or a PLX_E* (told). */
int plx_dev_start_program(plx_dev *d, int which, const char *package, char **argv);

/* Starts the private Redis; 0 or a PLX_E* (told). It need not answer yet. */
int plx_dev_redis_start(plx_dev *d);
/* Its end was seen after all had been ready: says so and has it started again, or stops all. */
void plx_dev_redis_ended(plx_dev *d, int status);
/* Does what is due for it. Returns after how many ms to be called again; -1: after its end only. */
int plx_dev_redis_tend(plx_dev *d);

/* Calls `answers` every 25 ms until it is true, at most for `ms`; handles signals meanwhile.
 * Returns 0, PLX_E_BUSY when d->stopping, PLX_E_TIMEOUT (told: "WHAT does not answer: " and what
 * `answers` left in `why`). */
int plx_dev_wait_until(plx_dev *d, const char *what, uint64_t ms,
                       bool (*answers)(plx_dev *d, plx_buf *why));

/* Each asks one part, appends what was wrong to `why` and returns whether it answers as it should.
 * Transports and an API that the configuration does not have count as answering. */
bool plx_dev_redis_answers(plx_dev *d, plx_buf *why);
bool plx_dev_workers_listen(plx_dev *d, plx_buf *why);
bool plx_dev_polls_answer(plx_dev *d, plx_buf *why);
bool plx_dev_api_answers(plx_dev *d, plx_buf *why);
bool plx_dev_websockets_answer(plx_dev *d, plx_buf *why);

#endif
