/* The private web server's configuration.
 *
 * lighttpd is told to stay out of the way: no limit below the system's, targets
 * handed on as they came, no time-out while a poll or a WebSocket is quiet. What
 * the sockets are called decides Pollux's configuration, so their paths become
 * regular expressions here.
 */
#include "channel/cli/dev.h"
#include "base/error.h"

#include <ctype.h>
#include <string.h>
#include <sys/resource.h>

#define FDS_MAX 262144 /* more than one lighttpd process gets anything out of */

/* Whether a path can stand in quotes in lighttpd's language. That knows no way to write a quote or
 * a backslash that is safe in every place, and nobody needs one in a path. */
static int check_path(const char *path)
{
    if (path == NULL || strpbrk(path, "\"\\\n\r") == NULL)
        return 0;
    plx_dev_complain("the path %s holds a quote or a backslash: lighttpd can't be given it", path);
    return PLX_E_INVALID;
}

/* ---- paths as regular expressions ---- */

/* One character that stands for itself; false when there is no way to write it. */
static bool add_literal(plx_buf *out, char c)
{
    if (isalnum((unsigned char)c) || strchr("/_-", c) != NULL)
        return plx_buf_byte(out, (unsigned char)c) == 0;
    if (c == '^' || c == ']' || c == '\\' || c == '"' || (unsigned char)c <= ' ' ||
        (unsigned char)c >= 127)
        return false;
    return plx_buf_printf(out, "[%c]", c) == 0;
}

/* "/socket/:room" -> "/socket/[^/]+" */
static int add_path(plx_buf *out, const char *path)
{
    const char *p = path;

    while (*p != '\0') {
        if (*p == ':' && p > path && p[-1] == '/') {
            plx_buf_str(out, "[^/]+");
            p += strcspn(p, "/");
        } else if (add_literal(out, *p)) {
            p++;
        } else {
            plx_dev_complain("the path %s can't be routed by 'pollux dev'", path);
            return PLX_E_INVALID;
        }
    }
    return 0;
}

/* "^(?:/socket|/other)/longpoll/?$" of the sockets that have the transport; *found tells whether
 * any has. */
static int add_sockets(plx_buf *out, const plx_config *c, bool websocket, bool *found)
{
    size_t i;
    int rc = 0;

    *found = false;
    for (i = 0; rc == 0 && i < c->socket_count; i++) {
        const plx_socket_config *s = &c->sockets[i];

        if (!(websocket ? s->websocket : s->longpoll))
            continue;
        plx_buf_str(out, *found ? "|" : "^(?:");
        rc = add_path(out, s->path);
        *found = true;
    }
    plx_buf_printf(out, ")/%s/?$", websocket ? "websocket" : "longpoll");
    return rc;
}

/* ---- sections ---- */

static unsigned long descriptors(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_max > FDS_MAX)
        return FDS_MAX;
    return (unsigned long)r.rlim_max;
}

/* Modules are named one by one: the usual set would bring directory listings with it. Idle times
 * are the longest there are (in seconds): Pollux decides who is gone. url-normalize would change
 * the targets that clients sent before Pollux sees them. */
static const char server_text[] =
    "server.modules = (\"mod_access\", \"mod_alias\", \"mod_indexfile\", \"mod_fastcgi\", "
    "\"mod_proxy\", \"mod_staticfile\")\n"
    "server.compat-module-load = \"disable\"\n"
    "server.bind = \"127.0.0.1\"\n"
    "server.tag = \"\"\n"
    "server.listen-backlog = 4096\n"
    "server.max-keep-alive-requests = 65535\n"
    "server.max-keep-alive-idle = 60\n"
    "server.max-read-idle = 65535\n"
    "server.max-write-idle = 65535\n"
    "server.max-request-field-size = 65535\n"
    "server.http-parseopts = (\"url-normalize\" => \"disable\", \"host-strict\" => \"disable\")\n"
    "index-file.names = (\"index.html\")\n"
    "mimetype.assign = (\".html\" => \"text/html; charset=utf-8\", "
    "\".css\" => \"text/css; charset=utf-8\", "
    "\".js\" => \"text/javascript; charset=utf-8\", "
    "\".mjs\" => \"text/javascript; charset=utf-8\", "
    "\".svg\" => \"image/svg+xml\")\n";

static void add_server(const plx_dev_web *web, plx_buf *out)
{
    unsigned long fds = descriptors();

    plx_buf_str(out, "# Written by `pollux dev`; anew at each start.\n");
    plx_buf_str(out, server_text);
    plx_buf_printf(out, "server.port = %u\nserver.document-root = \"%s\"\n", web->port, web->demo);
    plx_buf_printf(out, "server.errorlog = \"%s/lighttpd.log\"\nserver.upload-dirs = (\"%s\")\n",
                   web->place->log, web->place->tmp);
    /* A client that waits takes two descriptors: its own and its request's. */
    plx_buf_printf(out, "server.max-fds = %lu\nserver.max-connections = %lu\n", fds, fds / 2);
}

/* What npm put beside the page is nobody's business but for the one file. */
static void add_page(const plx_dev_web *web, plx_buf *out)
{
    plx_buf_str(
        out, "$HTTP[\"url\"] =~ \"^/(?:node_modules|package|[.])\" { url.access-deny = (\"\") }\n");
    if (web->phoenix != NULL)
        plx_buf_printf(out, "alias.url = (\"/phoenix.mjs\" => \"%s\")\n", web->phoenix);
}

/* disable-time 0: a refused connection (a full backlog) must not shut everybody else out. */
static void add_fastcgi(const plx_dev_web *web, plx_buf *out)
{
    plx_buf_printf(out,
                   " {\n  fastcgi.server = (\"\" => ((\"socket\" => \"%s/fcgi.sock\", "
                   "\"check-local\" => \"disable\", \"disable-time\" => 0)))\n"
                   "  server.stream-response-body = 1\n}\n",
                   web->place->run);
}

/* The 2 of the stream options: a slow reader is felt by pollux-ws, which bounds what it keeps for
 * it; lighttpd itself would keep everything. */
static int add_routes(const plx_dev_web *web, plx_buf *out)
{
    const plx_config *c = web->config;
    plx_buf paths;
    bool found;
    int rc;

    plx_buf_init(&paths, 64 * 1024);
    rc = add_sockets(&paths, c, false, &found);
    if (rc == 0 && found) {
        plx_buf_printf(out, "$HTTP[\"url\"] =~ \"%s\"", plx_buf_cstr(&paths));
        add_fastcgi(web, out);
    }
    plx_buf_clear(&paths);
    if (rc == 0)
        rc = add_sockets(&paths, c, true, &found);
    if (rc == 0 && found)
        plx_buf_printf(out,
                       "$HTTP[\"url\"] =~ \"%s\" {\n"
                       "  proxy.server = (\"\" => ((\"host\" => \"127.0.0.1\", \"port\" => %u, "
                       "\"disable-time\" => 0)))\n"
                       "  proxy.header = (\"upgrade\" => \"enable\")\n"
                       "  server.stream-request-body = 2\n"
                       "  server.stream-response-body = 2\n}\n",
                       plx_buf_cstr(&paths), web->ws_port);
    plx_buf_clear(&paths);
    if (rc == 0 && c->api.path != NULL && (rc = add_path(&paths, c->api.path)) == 0) {
        plx_buf_printf(out, "$HTTP[\"url\"] =~ \"^%s(?:/|$)\"", plx_buf_cstr(&paths));
        add_fastcgi(web, out);
    }
    plx_buf_fini(&paths);
    return rc;
}

int plx_dev_lighttpd_config(const plx_dev_web *web, plx_buf *out)
{
    /* The other directories are below one and the same. */
    if (check_path(web->demo) != 0 || check_path(web->phoenix) != 0 ||
        check_path(web->place->run) != 0)
        return PLX_E_INVALID;
    add_server(web, out);
    add_page(web, out);
    if (add_routes(web, out) != 0)
        return PLX_E_INVALID;
    return plx_buf_ok(out) ? 0 : PLX_E_TOOBIG;
}
