/* Listening sockets: "HOST:PORT" and "unix:PATH".
 *
 * Every socket made here is non-blocking and close-on-exec, with a backlog of
 * PLX_LISTEN_BACKLOG (the kernel cuts it to net.core.somaxconn). Failures are
 * told in one English line appended to `problem` (no newline), because they end
 * up before the eyes of whoever starts the program.
 */
#ifndef PLX_BASE_LISTEN_H
#define PLX_BASE_LISTEN_H

#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLX_LISTEN_BACKLOG 4096
#define PLX_LISTEN_MODE    0660 /* of a Unix socket file, when nothing else is asked for */

typedef struct plx_listen_addr {
    bool is_unix;
    char path[108]; /* unix: shorter than sun_path */
    char host[256]; /* TCP: name or numeric address, IPv6 without its brackets; "" or "*": any */
    uint16_t port;  /* TCP: 0 lets the kernel choose */
} plx_listen_addr;

/* Reads "HOST:PORT", "[IPV6]:PORT", "*:PORT", ":PORT" or "unix:PATH". Returns 0 or PLX_E_INVALID
 * with `problem` filled (bad port, missing port, path that does not fit into sun_path, ...). */
int plx_listen_parse(const char *text, plx_listen_addr *out, plx_buf *problem);

/* Binds and listens. A Unix socket file that nobody listens on any more is replaced; one in live
 * use, and any other kind of file, is an error (two programs that start at the same moment can't
 * take it from each other: the directory is locked meanwhile). `mode` is the file's mode from the
 * start on and unused for TCP. The caller owns *fd.
 * Returns 0, PLX_E_BUSY (in use), PLX_E_DENIED (permission), PLX_E_INVALID (no such host) or
 * PLX_E_SYSTEM, with `problem` filled. */
int plx_listen_open(const plx_listen_addr *a, unsigned mode, int *fd, plx_buf *problem);

/* One listening socket per worker: n SO_REUSEPORT sockets of one TCP address, among which the
 * kernel spreads new connections (port 0: the first gets a free one, the rest follow); of a Unix
 * address, which can't be shared in that way, n descriptors of one socket. That another program
 * listens there already is an error although SO_REUSEPORT alone would allow it. All or nothing: on
 * failure no descriptor is left open. Errors as plx_listen_open. */
int plx_listen_open_many(const plx_listen_addr *a, unsigned mode, size_t n, int *fds,
                         plx_buf *problem);

/* The port that a TCP listening socket is bound to, 0 for anything else. */
uint16_t plx_listen_port(int fd);

/* "127.0.0.1:4000", "[::1]:4000" or "unix:/run/x.sock" of a bound socket, appended to `out`, for
 * log lines and whoever wants to connect. Returns 0 or PLX_E_INVALID (no socket). */
int plx_listen_name(int fd, plx_buf *out);

/* To be called at the program's end, after its descriptors were closed: removes a Unix socket's
 * file unless a successor listens there already. Nothing to do for TCP. */
void plx_listen_cleanup(const plx_listen_addr *a);

#endif
