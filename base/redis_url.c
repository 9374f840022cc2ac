/* Reading the address of Redis. */
#include "base/redis_url.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/url.h"
#include <stdlib.h>
#include <sys/un.h>

#define DB_MAX         65535
#define CREDENTIAL_MAX 1024

static const char expected_any[] = "unix:/PATH/TO/SOCKET or redis://[user:password@]HOST:PORT/DB";

void plx_redis_url_fini(plx_redis_url *u)
{
    free(u->unix_path);
    free(u->host);
    free(u->user);
    free(u->password);
    *u = (plx_redis_url){0};
}

static int parse_unix(plx_slice path, plx_redis_url *out, const char **expected)
{
    if (path.len == 0 || path.data[0] != '/') {
        *expected = "unix: followed by an absolute path";
        return PLX_E_INVALID;
    }
    if (path.len >= sizeof((struct sockaddr_un *)0)->sun_path) {
        *expected = "the path of a Unix socket, shorter than 108 bytes";
        return PLX_E_INVALID;
    }
    out->unix_path = plx_slice_dup(path);
    return 0;
}

static int decode(plx_slice text, char **out)
{
    plx_buf b;
    plx_buf_init(&b, CREDENTIAL_MAX);
    int err = plx_url_decode(text, &b);
    if (err == 0)
        *out = plx_strdup(plx_buf_cstr(&b));
    plx_buf_fini(&b);
    return err;
}

/* "user:password", ":password", or "password" alone, which redis-cli takes for a password too. */
static int parse_userinfo(plx_slice text, plx_redis_url *out)
{
    const char *colon = text.len > 0 ? memchr(text.data, ':', text.len) : NULL;
    plx_slice user = plx_slice_make(text.data, colon ? (size_t)(colon - text.data) : 0);
    plx_slice password = text;
    if (colon)
        password = plx_slice_make(colon + 1, text.len - user.len - 1);
    if (password.len == 0)
        return PLX_E_INVALID;
    if (user.len > 0 && decode(user, &out->user) != 0)
        return PLX_E_INVALID;
    return decode(password, &out->password);
}

/* "", "/", or "/NUMBER". */
static int parse_db(plx_slice rest, int *db)
{
    int n = 0;
    if (rest.len > 0 && rest.data[0] != '/')
        return PLX_E_INVALID;
    for (size_t i = 1; i < rest.len; i++) {
        if (rest.data[i] < '0' || rest.data[i] > '9')
            return PLX_E_INVALID;
        n = n * 10 + (rest.data[i] - '0');
        if (n > DB_MAX)
            return PLX_E_INVALID;
    }
    *db = n;
    return 0;
}

static int parse_tcp(plx_slice text, plx_redis_url *out, const char **expected)
{
    plx_url u;
    if (plx_url_split(text, &u) != 0 || memchr(u.host.data, '*', u.host.len)) {
        *expected = "redis://[user:password@]HOST:PORT/DB with a host and a port from 1 to 65535";
        return PLX_E_INVALID;
    }
    if (u.has_userinfo && parse_userinfo(u.userinfo, out) != 0) {
        *expected = "redis://user:password@HOST:PORT/DB or redis://:password@HOST:PORT/DB, special "
                    "characters as %XX";
        return PLX_E_INVALID;
    }
    if (parse_db(u.rest, &out->db) != 0) {
        *expected = "a database number after the last slash, as in redis://HOST:PORT/0";
        return PLX_E_INVALID;
    }
    out->port = u.port > 0 ? u.port : 6379;
    out->host = plx_slice_dup(u.host);
    return 0;
}

int plx_redis_url_parse(plx_slice text, plx_redis_url *out, const char **expected)
{
    plx_slice unix_prefix = PLX_LIT("unix:"), tcp = PLX_LIT("redis://"), tls = PLX_LIT("rediss://");
    plx_redis_url u = {0};
    int err = PLX_E_INVALID;
    *expected = expected_any;
    if (memchr(text.len > 0 ? text.data : "", 0, text.len)) {
        err = PLX_E_INVALID;
    } else if (plx_slice_starts(text, unix_prefix)) {
        err = parse_unix(plx_slice_make(text.data + unix_prefix.len, text.len - unix_prefix.len),
                         &u, expected);
    } else if (plx_slice_starts(text, tcp)) {
        err = parse_tcp(text, &u, expected);
    } else if (plx_slice_starts(text, tls)) {
        *expected = "unix:PATH or redis://...: TLS is not available in this build; use a Unix "
                    "socket, or stunnel beside Redis";
        err = PLX_E_DENIED;
    }
    if (err)
        plx_redis_url_fini(&u);
    else
        *out = u;
    return err;
}
