#include "fcgi/api.h"

#include "base/alloc.h"
#include "channel/admin.h"
#include "channel/admin_error.h"
#include "channel/counters.h"
#include "channel/metrics.h"
#include "transport/query.h"
#include <stdlib.h>

#define JSON_TYPE "application/json"

#define BAD_QUERY                                                                                  \
    "{\"error\":{\"code\":\"invalid_query\",\"message\":\"the query is too long or not UTF-8\","   \
    "\"hint\":\"Percent-encode the bytes of UTF-8 text.\"}}"

struct plx_api {
    plx_store *store;
    const plx_config *config;
};

/* One request while the store works on it. */
typedef struct exchange {
    plx_http_request *request; /* NULL: the client went away */
    bool head;                 /* nothing but the head of the answer is wanted */
    const char *content_type;  /* of an answer 200 */
} exchange;

static void publish(plx_api *api, plx_http_request *r, exchange *x);
static void disconnect(plx_api *api, plx_http_request *r, exchange *x);
static void unsubscribe(plx_api *api, plx_http_request *r, exchange *x);
static void presence(plx_api *api, plx_http_request *r, exchange *x);
static void history(plx_api *api, plx_http_request *r, exchange *x);
static void health(plx_api *api, plx_http_request *r, exchange *x);
static void info(plx_api *api, plx_http_request *r, exchange *x);
static void metrics(plx_api *api, plx_http_request *r, exchange *x);

#define POST_ALLOWED "allow: POST, OPTIONS\r\n"
#define GET_ALLOWED  "allow: GET, HEAD, OPTIONS\r\n"

static const struct route {
    const char *path, *method, *allow;
    void (*run)(plx_api *api, plx_http_request *r, exchange *x);
} routes[] = {
    {"/publish", "POST", POST_ALLOWED, publish},
    {"/disconnect", "POST", POST_ALLOWED, disconnect},
    {"/unsubscribe", "POST", POST_ALLOWED, unsubscribe},
    {"/presence", "GET", GET_ALLOWED, presence},
    {"/history", "GET", GET_ALLOWED, history},
    {"/health", "GET", GET_ALLOWED, health},
    {"/info", "GET", GET_ALLOWED, info},
    {"/metrics", "GET", GET_ALLOWED, metrics},
};

#define ROUTES (sizeof routes / sizeof *routes)

static void respond(plx_http_request *r, unsigned status, const char *headers, const char *type,
                    plx_slice body)
{
    plx_http_response response = {.status = status, .content_type = type, .body = body};
    plx_buf all;

    plx_buf_init(&all, 0);
    plx_buf_str(&all, "cache-control: no-store\r\n");
    plx_buf_str(&all, headers);
    response.headers = plx_buf_slice(&all);
    r->respond(r, &response);
    plx_buf_fini(&all);
}

static void answered(void *arg, unsigned status, plx_slice json)
{
    exchange *x = arg;

    plx_counted.api_errors += status >= 400;
    if (x->request)
        respond(x->request, status, status == 503 ? "retry-after: 1\r\n" : "",
                status == 200 ? x->content_type : JSON_TYPE,
                x->head ? plx_slice_make(NULL, 0) : json);
    free(x);
}

static void on_gone(plx_http_request *r)
{
    exchange *x = r->handler;

    x->request = NULL; /* freed when the store has answered */
}

static void publish(plx_api *api, plx_http_request *r, exchange *x)
{
    plx_admin_publish(api->store, r->body, answered, x);
}

static void disconnect(plx_api *api, plx_http_request *r, exchange *x)
{
    plx_admin_disconnect(api->store, r->body, answered, x);
}

static void unsubscribe(plx_api *api, plx_http_request *r, exchange *x)
{
    plx_admin_unsubscribe(api->store, r->body, answered, x);
}

/* The query's members, all of them text, are the operation's. */
static void by_query(plx_api *api, const plx_http_request *r, exchange *x,
                     void (*run)(plx_store *s, plx_slice query, plx_admin_cb *cb, void *arg))
{
    json_object *query = NULL;
    plx_buf text;

    plx_buf_init(&text, 0);
    if (plx_query_json(r->query, NULL, NULL, NULL, 0, &query) == 0 &&
        plx_json_write(&text, query) == 0)
        run(api->store, plx_buf_slice(&text), answered, x);
    else
        answered(x, 400, plx_slice_of(BAD_QUERY));
    plx_buf_fini(&text);
    json_object_put(query);
}

static void presence(plx_api *api, plx_http_request *r, exchange *x)
{
    by_query(api, r, x, plx_admin_presence);
}

static void history(plx_api *api, plx_http_request *r, exchange *x)
{
    by_query(api, r, x, plx_admin_history);
}

static void health(plx_api *api, plx_http_request *r, exchange *x)
{
    (void)r;
    plx_admin_health(api->store, answered, x);
}

static void info(plx_api *api, plx_http_request *r, exchange *x)
{
    by_query(api, r, x, plx_admin_info);
}

/* Prometheus names OpenMetrics in Accept when it reads that. */
static bool wants_open(const plx_http_request *r)
{
    static const plx_slice name = PLX_LIT("application/openmetrics-text");
    plx_slice accept;

    return r->header(r, "accept", &accept) && accept.len >= name.len &&
           memmem(accept.data, accept.len, name.data, name.len) != NULL;
}

static void metrics(plx_api *api, plx_http_request *r, exchange *x)
{
    bool open = wants_open(r);

    x->content_type = open ? PLX_METRICS_OPEN : PLX_METRICS_TEXT;
    plx_admin_metrics(api->store, open, answered, x);
}

/* The key in "Bearer KEY" (RFC 6750 2.1; the scheme in any case, RFC 9110 11.1). */
static bool bearer(plx_slice value, plx_slice *key)
{
    static const plx_slice scheme = PLX_LIT("bearer");

    if (value.len <= scheme.len || value.data[scheme.len] != ' ' ||
        !plx_slice_ieq(plx_slice_make(value.data, scheme.len), scheme))
        return false;
    *key = plx_slice_trim(plx_slice_make(value.data + scheme.len, value.len - scheme.len));
    return true;
}

static bool authorized(const plx_api *api, const plx_http_request *r)
{
    plx_slice value, key;

    if (r->header(r, "authorization", &value) && bearer(plx_slice_trim(value), &key) &&
        plx_admin_key_ok(api->config, key))
        return true;
    return r->header(r, "x-pollux-key", &value) &&
           plx_admin_key_ok(api->config, plx_slice_trim(value));
}

static void refuse(plx_http_request *r, unsigned status, const char *headers, const char *code,
                   const char *hint, const char *message)
{
    json_object *document = plx_json_new_object();
    plx_buf json;

    if (status == 401) {
        plx_counted.api_refused++;
    } else {
        plx_counted.api_requests++;
        plx_counted.api_errors++;
    }
    plx_buf_init(&json, 0);
    plx_admin_error(document, code, hint, "%s", message);
    plx_json_write(&json, document);
    respond(r, status, headers, JSON_TYPE, plx_buf_slice(&json));
    plx_buf_fini(&json);
    json_object_put(document);
}

static const struct route *find_route(plx_slice path)
{
    for (size_t i = 0; i < ROUTES; i++) {
        if (plx_slice_is(path, routes[i].path))
            return &routes[i];
    }
    return NULL;
}

/* What follows api.path; false when the path is not below it. "/api" must not take "/apidocs". */
static bool below(const plx_config *config, plx_slice path, plx_slice *rest)
{
    plx_slice base = plx_slice_of(config->api.path);

    if (base.len == 0 || !plx_slice_starts(path, base) ||
        (path.len > base.len && path.data[base.len] != '/'))
        return false;
    *rest = plx_slice_make(path.data + base.len, path.len - base.len);
    return true;
}

static void run(plx_api *api, plx_http_request *r, const struct route *route)
{
    exchange *x = plx_alloc(sizeof *x);

    x->request = r;
    x->head = plx_slice_is(r->method, "HEAD");
    x->content_type = JSON_TYPE;
    plx_counted.api_requests++;
    r->handler = x;
    r->gone = on_gone;
    route->run(api, r, x);
}

/* HEAD is GET without the content (RFC 9110 9.3.2). */
static bool is_allowed(const struct route *route, plx_slice method)
{
    return plx_slice_is(method, route->method) ||
           (plx_slice_is(method, "HEAD") && strcmp(route->method, "GET") == 0);
}

/* RFC 9110 9.3.7. The API is for servers, not for scripts of foreign pages: no CORS. */
static void answer_options(plx_http_request *r, const struct route *route)
{
    plx_http_response response = {.status = 204, .headers = plx_slice_of(route->allow)};

    r->respond(r, &response);
}

bool plx_api_handle(plx_api *api, plx_http_request *r)
{
    const struct route *route;
    plx_slice rest;

    if (!below(api->config, r->path, &rest))
        return false;
    route = find_route(rest);
    if (!authorized(api, r))
        refuse(r, 401, "www-authenticate: Bearer\r\n", "unauthorized",
               "Send \"Authorization: Bearer KEY\" or \"X-Pollux-Key: KEY\" with one of api.keys.",
               "this needs an API key");
    else if (!route)
        refuse(r, 404, "", "unknown_path",
               "There are POST publish, disconnect and unsubscribe, and GET presence, history,"
               " health, info and metrics.",
               "nothing of the API has this path");
    else if (plx_slice_is(r->method, "OPTIONS"))
        answer_options(r, route);
    else if (!is_allowed(route, r->method))
        refuse(r, 405, route->allow, "wrong_method", "The header Allow says which.",
               "this path takes another method");
    else
        run(api, r, route);
    return true;
}

plx_api *plx_api_new(plx_store *store, const plx_config *config)
{
    plx_api *api = plx_alloc(sizeof *api);

    api->store = store;
    api->config = config;
    return api;
}

void plx_api_free(plx_api *api)
{
    free(api);
}
