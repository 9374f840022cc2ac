/* From CGI variables to a request.
 *
 * REQUEST_URI is the request target as the client sent it and comes first: the
 * decoded SCRIPT_NAME and PATH_INFO can't be told apart from a path with an encoded
 * slash or question mark in it.
 */
#include "fcgi/request.h"
#include "base/alloc.h"
#include "base/error.h"
#include "transport/proxy.h"

#include <stdlib.h>
#include <string.h>

static const char *const kept_names[] = {
    "CONTENT_LENGTH", "CONTENT_TYPE",   "HTTPS",       "PATH_INFO",   "QUERY_STRING",
    "REMOTE_ADDR",    "REQUEST_METHOD", "REQUEST_URI", "SCRIPT_NAME",
};

static bool is_kept(const char *var)
{
    size_t len = strcspn(var, "=");

    if (var[len] == '\0')
        return false;
    if (strncmp(var, "HTTP_", 5) == 0)
        return true;
    for (size_t i = 0; i < sizeof kept_names / sizeof kept_names[0]; i++)
        if (strlen(kept_names[i]) == len && memcmp(kept_names[i], var, len) == 0)
            return true;
    return false;
}

/* In a block that is no larger than they need: a poll keeps it while it is parked. */
static void keep_vars(plx_request *r, char *const *vars)
{
    size_t size = 0;

    for (char *const *v = vars; *v != NULL; v++)
        if (is_kept(*v))
            size += strlen(*v) + 1;
    plx_buf_size(&r->vars, size);
    for (; *vars != NULL; vars++)
        if (is_kept(*vars))
            plx_buf_append(&r->vars, *vars, strlen(*vars) + 1);
}

/* ---- looking up ---- */

/* How a header's letter is spelled in a variable's name (RFC 3875 4.1.18). */
static char cgi_letter(char c)
{
    if (c == '-')
        return '_';
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* Whether var is "<prefix><name>=..."; then *value is what follows. */
static bool is_var(const char *var, const char *prefix, const char *name, plx_slice *value)
{
    size_t skip = strlen(prefix);

    if (strncmp(var, prefix, skip) != 0)
        return false;
    for (var += skip; *name != '\0'; name++, var++)
        if (*var != cgi_letter(*name))
            return false;
    if (*var != '=')
        return false;
    *value = plx_slice_of(var + 1);
    return true;
}

static bool find(const plx_request *r, const char *prefix, const char *name, plx_slice *value)
{
    const char *var = r->vars.data, *end = var + r->vars.len;

    for (; var < end; var += strlen(var) + 1)
        if (is_var(var, prefix, name, value))
            return true;
    return false;
}

bool plx_request_var(const plx_request *r, const char *name, plx_slice *value)
{
    return r->vars.len > 0 && find(r, "", name, value);
}

static plx_slice var(const plx_request *r, const char *name)
{
    plx_slice value = {NULL, 0};

    plx_request_var(r, name, &value);
    return value;
}

/* CONTENT_TYPE and CONTENT_LENGTH are set to nothing by some servers when the header is absent. */
static bool header(const plx_http_request *http, const char *name, plx_slice *value)
{
    const plx_request *r = (const plx_request *)(const void *)http;

    if (strcmp(name, "content-type") == 0 || strcmp(name, "content-length") == 0)
        return plx_request_var(r, name, value) && value->len > 0;
    return r->vars.len > 0 && find(r, "HTTP_", name, value);
}

/* ---- path and query ---- */

/* "http://host/path" (RFC 9112 3.2.2) without its beginning. */
static plx_slice origin_form(plx_slice target)
{
    const char *p = target.len > 0 ? memmem(target.data, target.len, "://", 3) : NULL;
    size_t past;

    if (p == NULL || target.data[0] == '/')
        return target;
    past = (size_t)(p + 3 - target.data);
    while (past < target.len && target.data[past] != '/' && target.data[past] != '?')
        past++;
    return plx_slice_make(target.data + past, target.len - past);
}

static void split_target(plx_request *r, plx_slice target)
{
    const char *mark = memchr(target.data, '?', target.len);

    r->http.path = target;
    r->http.query = var(r, "QUERY_STRING");
    if (mark == NULL)
        return;
    r->http.path.len = (size_t)(mark - target.data);
    r->http.query = plx_slice_make(mark + 1, target.len - r->http.path.len - 1);
}

/* SCRIPT_NAME and PATH_INFO, joined behind the variables. Moves those: no slice may be taken
 * before. */
static void join_path(plx_request *r)
{
    plx_slice script = var(r, "SCRIPT_NAME"), info = var(r, "PATH_INFO");
    char *path = plx_alloc(script.len + info.len + 2);
    size_t at = r->vars.len + 1;

    /* Its own "name" keeps lookups from running into it. */
    path[0] = '=';
    if (script.len > 0)
        memcpy(path + 1, script.data, script.len);
    if (info.len > 0)
        memcpy(path + 1 + script.len, info.data, info.len);
    path[script.len + info.len + 1] = '\0';
    plx_buf_append(&r->vars, path, script.len + info.len + 2);
    r->http.path = plx_slice_of(r->vars.data + at);
    r->http.query = var(r, "QUERY_STRING");
    free(path);
}

static void set_path(plx_request *r)
{
    plx_slice target = origin_form(var(r, "REQUEST_URI"));

    if (target.len > 0 && target.data[0] == '/')
        split_target(r, target);
    else
        join_path(r);
    r->path_info = var(r, "PATH_INFO");
}

static bool is_clean(plx_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.data[i] < ' ' || s.data[i] == 0x7f)
            return false;
    return true;
}

/* ---- the whole ---- */

/* A body that is shorter than announced was cut off: handling half a message is worse than none. */
static int check_length(const plx_request *r, size_t body_len)
{
    plx_slice text = var(r, "CONTENT_LENGTH");
    size_t n = 0;

    if (text.len == 0)
        return 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || n > body_len)
            return PLX_E_INVALID;
        n = n * 10 + (size_t)(text.data[i] - '0');
    }
    return n == body_len ? 0 : PLX_E_INVALID;
}

int plx_request_load(plx_request *r, char *const *vars, plx_slice body)
{
    *r = (plx_request){0};
    plx_buf_init(&r->vars, 0);
    keep_vars(r, vars);
    set_path(r);
    r->http.header = header;
    r->http.method = var(r, "REQUEST_METHOD");
    if (body.len > 0) {
        r->body = plx_alloc(body.len);
        memcpy(r->body, body.data, body.len);
        r->http.body = plx_slice_make(r->body, body.len);
    }
    if (r->http.method.len == 0 || !is_clean(r->http.method))
        return PLX_E_INVALID;
    if (r->http.path.len == 0 || r->http.path.data[0] != '/')
        return PLX_E_INVALID;
    if (!is_clean(r->http.path) || !is_clean(r->http.query))
        return PLX_E_INVALID;
    return check_length(r, body.len);
}

void plx_request_fini(plx_request *r)
{
    plx_buf_fini(&r->vars);
    free(r->body);
    r->body = NULL;
}

/* nginx says "unix:", others nothing or a path, when the client came through a Unix socket. */
static plx_slice peer_of(const plx_request *r)
{
    plx_slice addr = var(r, "REMOTE_ADDR");

    if (addr.len == 0 || addr.data[0] == '/' || plx_slice_is(addr, "unix:"))
        return plx_slice_of("unix");
    return addr;
}

void plx_request_trust(plx_request *r, const plx_config *config)
{
    plx_slice https = var(r, "HTTPS"), forwarded_for = {NULL, 0}, proto = {NULL, 0};
    bool tls = https.len > 0 && !plx_slice_ieq(https, plx_slice_of("off"));
    plx_client client;

    header(&r->http, "x-forwarded-for", &forwarded_for);
    header(&r->http, "x-forwarded-proto", &proto);
    plx_proxy_client(&config->trusted_proxies, peer_of(r), tls, forwarded_for, proto, &client);
    r->http.remote_ip = client.ip;
    r->http.https = client.https;
}
