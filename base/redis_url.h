/* Where Redis is: "unix:PATH" or "redis://[user:password@]HOST[:PORT][/DB]". */
#ifndef PLX_BASE_REDIS_URL_H
#define PLX_BASE_REDIS_URL_H

#include "base/slice.h"

typedef struct plx_redis_url {
    char *unix_path;       /* set: a Unix socket, and nothing below is */
    char *host;            /* name or address, IPv6 without brackets */
    int port;              /* default 6379 */
    int db;                /* default 0 */
    char *user, *password; /* percent-decoded; each NULL when absent */
} plx_redis_url;

/* Reads a URL. On success the strings of *out are owned by the caller (plx_redis_url_fini). On
 * failure returns PLX_E_INVALID, or PLX_E_DENIED for "rediss://" (this build has no TLS); *expected
 * then is a static English phrase that says what a good one looks like, without anything of the
 * text, which may hold a password. */
int plx_redis_url_parse(plx_slice text, plx_redis_url *out, const char **expected);
void plx_redis_url_fini(plx_redis_url *u);

#endif
