/* GET /info and GET /metrics: a census, for people and for Prometheus. */
#include "base/alloc.h"
#include "base/error.h"
#include "channel/admin.h"
#include "channel/admin_error.h"
#include "channel/admin_request.h"
#include "channel/census.h"
#include "channel/metrics.h"
#include "channel/report.h"
#include <stdlib.h>

typedef struct waiter {
    plx_store *store;
    plx_admin_cb *cb;
    void *arg;
    bool open;
    plx_buf about;
} waiter;

static waiter *waiter_new(plx_store *s, plx_admin_cb *cb, void *arg, bool open)
{
    waiter *w = plx_alloc(sizeof *w);

    *w = (waiter){.store = s, .cb = cb, .arg = arg, .open = open};
    plx_buf_init(&w->about, 0);
    return w;
}

static void waiter_free(waiter *w)
{
    plx_buf_fini(&w->about);
    free(w);
}

static void put_text(json_object *object, const char *name, const char *text)
{
    plx_json_put(object, name, plx_json_new_text(plx_slice_of(text)));
}

static void put_number(json_object *object, const char *name, uint64_t n)
{
    plx_json_put(object, name, plx_json_new_number(n));
}

/* ---- what is configured, without secrets ---- */

static const char *auth_name(enum plx_auth_type type)
{
    switch (type) {
    case PLX_AUTH_NONE:
        return "none";
    case PLX_AUTH_PHOENIX_TOKEN:
        return "phoenix_token";
    case PLX_AUTH_JWT:
        return "jwt";
    case PLX_AUTH_TICKET:
        return "ticket";
    case PLX_AUTH_HOOK:
        return "hook";
    }
    return "unknown";
}

static json_object *channel_summary(const plx_channel_config *c)
{
    json_object *channel = plx_json_new_object();

    put_text(channel, "pattern", c->pattern);
    put_text(channel, "backend", c->backend);
    if (c->has_history)
        put_number(channel, "history", c->history_size);
    return channel;
}

static json_object *socket_summary(const plx_socket_config *c)
{
    json_object *section = plx_json_new_object(), *channels = plx_json_new_array();
    json_object *transports = plx_json_new_array();

    put_text(section, "path", c->path);
    if (c->websocket)
        plx_json_push(transports, plx_json_new_text(plx_slice_of("websocket")));
    if (c->longpoll)
        plx_json_push(transports, plx_json_new_text(plx_slice_of("longpoll")));
    plx_json_put(section, "transports", transports);
    put_text(section, "auth", auth_name(c->auth.type));
    for (size_t i = 0; i < c->channel_count; i++)
        plx_json_push(channels, channel_summary(&c->channels[i]));
    plx_json_put(section, "channels", channels);
    return section;
}

static json_object *config_summary(const plx_config *c)
{
    json_object *summary = plx_json_new_object(), *sockets = plx_json_new_array();

    if (c->file)
        put_text(summary, "file", c->file);
    put_text(summary, "redis_prefix", c->redis.prefix);
    put_number(summary, "max_body_bytes", c->max_body_bytes);
    for (size_t i = 0; i < c->socket_count; i++)
        plx_json_push(sockets, socket_summary(&c->sockets[i]));
    plx_json_put(summary, "sockets", sockets);
    return summary;
}

/* ---- what is there ---- */

static json_object *worker_summary(json_object *report)
{
    json_object *worker = plx_report_summary(report), *hooks;

    if (json_object_object_get_ex(report, "hooks", &hooks))
        plx_json_put(worker, "hooks", json_object_get(hooks));
    return worker;
}

static json_object *redis_summary(const plx_census *c)
{
    json_object *redis = plx_json_new_object();

    put_text(redis, "status", "up");
    if (!c->redis_known)
        return redis;
    put_text(redis, "version", c->redis.version);
    put_number(redis, "uptime_s", c->redis.uptime_s);
    put_number(redis, "clients", c->redis.clients);
    put_number(redis, "memory_bytes", c->redis.memory_bytes);
    put_number(redis, "memory_limit_bytes", c->redis.memory_limit_bytes);
    put_text(redis, "maxmemory_policy", c->redis.policy);
    if (c->redis.policy[0] != '\0' && strcmp(c->redis.policy, "noeviction") != 0)
        put_text(redis, "warning",
                 "set maxmemory-policy to noeviction: evicted keys are lost "
                 "sessions and logs");
    return redis;
}

/* Of all workers of a kind. */
static uint64_t sum(const plx_census *c, const char *kind, const char *count)
{
    uint64_t total = 0, n;
    json_object *value;

    for (size_t i = 0; i < c->count; i++) {
        if (json_object_object_get_ex(c->reports[i], "kind", &value) &&
            plx_slice_is(plx_json_text(value), kind) && plx_report_get(c->reports[i], count, &n))
            total += n;
    }
    return total;
}

static void put_totals(json_object *info, const plx_census *c)
{
    json_object *sockets = plx_json_new_object(), *channels = plx_json_new_object();

    put_number(sockets, "websocket", sum(c, "websocket", "websockets"));
    if (c->redis_known)
        put_number(sockets, "longpoll", c->redis.sessions);
    plx_json_put(info, "sockets", sockets);
    put_number(channels, "websocket", sum(c, "websocket", "channels"));
    put_number(channels, "longpoll", sum(c, "longpoll", "channels"));
    plx_json_put(info, "channels", channels);
    put_number(info, "polls_waiting", sum(c, "longpoll", "polls"));
}

/* How many channels of a topic, or sockets of an id. */
static void put_about(json_object *info, const plx_census *c, plx_slice about)
{
    json_object *object = plx_json_new_object();
    plx_slice text;
    bool topic = plx_report_is_about(about, PLX_ABOUT_TOPIC, &text);

    if (!topic)
        plx_report_is_about(about, PLX_ABOUT_ID, &text);
    plx_json_put(object, topic ? "topic" : "id", plx_json_new_text(text));
    put_number(object, "websocket", sum(c, "websocket", "about"));
    put_number(object, "longpoll", topic ? sum(c, "longpoll", "about") : c->sessions);
    plx_json_put(info, "about", object);
}

static json_object *info_document(const plx_store *s, const plx_census *c, plx_slice about)
{
    json_object *info = plx_json_new_object(), *workers = plx_json_new_array();

    put_text(info, "version", PLX_VERSION);
    plx_json_put(info, "redis", redis_summary(c));
    put_totals(info, c);
    if (about.len > 0)
        put_about(info, c, about);
    for (size_t i = 0; i < c->count; i++)
        plx_json_push(workers, worker_summary(c->reports[i]));
    plx_json_put(info, "workers", workers);
    put_number(info, "workers_silent", c->silent);
    plx_json_put(info, "config", config_summary(plx_store_config(s)));
    return info;
}

static void informed(void *arg, const plx_census *census)
{
    waiter *w = arg;
    json_object *document;

    if (census->err == 0) {
        document = info_document(w->store, census, plx_buf_slice(&w->about));
    } else {
        document = plx_json_new_object();
        plx_admin_error(document, "unavailable", "Look at Redis; try again when it is back.",
                        "Redis: %s", plx_strerror(census->err));
    }
    plx_admin_answer(w->cb, w->arg, census->err == 0 ? 200 : 503, document);
    waiter_free(w);
}

void plx_admin_info(plx_store *s, plx_slice query, plx_admin_cb *cb, void *arg)
{
    json_object *error = plx_json_new_object();
    plx_json_value object = {PLX_JSON_NONE, {NULL, 0}};
    waiter *w = waiter_new(s, cb, arg, false);
    unsigned status;

    plx_json_check(query, &object);
    status = plx_admin_read_info(object, &w->about, error);
    if (status == 0) {
        json_object_put(error);
        plx_census_take(s, plx_buf_slice(&w->about), informed, w);
    } else {
        plx_admin_answer(cb, arg, status, error);
        waiter_free(w);
    }
}

static void measured(void *arg, const plx_census *census)
{
    waiter *w = arg;
    plx_buf text;

    plx_buf_init(&text, 0);
    plx_metrics_write(census, w->open, &text);
    w->cb(w->arg, 200, plx_buf_slice(&text));
    plx_buf_fini(&text);
    waiter_free(w);
}

void plx_admin_metrics(plx_store *s, bool open, plx_admin_cb *cb, void *arg)
{
    plx_census_take(s, plx_slice_make(NULL, 0), measured, waiter_new(s, cb, arg, open));
}
