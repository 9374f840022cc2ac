/* The parts that answer requests, put together. */
#include "fcgi/app.h"
#include "base/alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "channel/report.h"
#include "channel/route.h"
#include "fcgi/answer.h"
#include "fcgi/api.h"
#include "fcgi/request.h"
#include "store/session.h"
#include "transport/longpoll.h"

#include <stdlib.h>

#define RING_EVENTS 256
#define RING_BYTES  (256 * 1024)

struct plx_app {
    struct ev_loop *loop;
    const plx_config *config;
    plx_store *store;
    plx_channels *channels;
    plx_hooks *hooks;
    plx_longpoll *longpoll;
    plx_api *api;
    plx_store_watch watch;
    ev_timer wait; /* runs until `ready` was called */
    bool sweeping;
    void (*ready)(void *arg);
    void *ready_arg;
};

/* A topic stays followed for two windows after its last poll: then a client that polls again finds
 * its messages in memory. */
static uint64_t linger_ms(const plx_config *config)
{
    uint64_t longest = 0;

    for (size_t i = 0; i < config->socket_count; i++)
        if (config->sockets[i].lp_window_ms > longest)
            longest = config->sockets[i].lp_window_ms;
    return 2 * longest;
}

/* ---- waiting for Redis ---- */

static void on_wait_end(struct ev_loop *loop, ev_timer *w, int revents)
{
    plx_app *app = w->data;

    (void)revents;
    ev_timer_stop(loop, w);
    app->ready(app->ready_arg);
}

static void on_up(plx_store_watch *w)
{
    plx_app *app = PLX_CONTAINER(w, plx_app, watch);

    if (!ev_is_active(&app->wait))
        return;
    /* From the timer's callback, not from the store's: the worker may go on to anything there. */
    ev_timer_stop(app->loop, &app->wait);
    ev_timer_set(&app->wait, 0, 0);
    ev_timer_start(app->loop, &app->wait);
}

static void on_down(plx_store_watch *w)
{
    (void)w;
}

void plx_app_wait(plx_app *app, uint64_t wait_ms, void (*ready)(void *arg), void *arg)
{
    double seconds = plx_store_up(app->store) ? 0 : (double)wait_ms / 1000;

    app->ready = ready;
    app->ready_arg = arg;
    ev_timer_set(&app->wait, seconds, 0);
    ev_timer_start(app->loop, &app->wait);
}

/* ---- sweeping ---- */

static void on_swept(void *arg)
{
    plx_app *app = arg;

    app->sweeping = false;
}

void plx_app_sweep(plx_app *app)
{
    if (!plx_store_up(app->store))
        return;
    app->sweeping = true;
    plx_session_sweep_once(app->store, on_swept, app);
}

bool plx_app_sweeping(const plx_app *app)
{
    return app->sweeping || plx_longpoll_cleaning(app->longpoll);
}

/* ---- requests ---- */

static bool handle(plx_app *app, plx_http_request *r)
{
    return plx_longpoll_handle(app->longpoll, r) || plx_api_handle(app->api, r);
}

/* A script's own name is in front of what the configuration calls the path: of
 * /cgi-bin/pollux-fcgi/socket/longpoll the script gets /socket/longpoll as its PATH_INFO.
 *
 * Not so where the web server has put us at one of our own places: of /socket/longpoll/api/publish
 * we would get /api/publish, past what it says about who may use /api. */
static bool handle_path_info(plx_app *app, plx_http_request *r)
{
    const plx_request *request = (const plx_request *)(const void *)r;
    plx_slice script = {NULL, 0};

    if (request->path_info.len == 0 || plx_slice_eq(request->path_info, r->path))
        return false;
    plx_request_var(request, "SCRIPT_NAME", &script);
    if (plx_route_is_ours(app->config, script) || plx_route_is_ours(app->config, r->path))
        return false;
    r->path = request->path_info;
    return handle(app, r);
}

void plx_app_handle(void *arg, plx_http_request *r)
{
    plx_app *app = arg;

    if (!handle(app, r) && !handle_path_info(app, r))
        r->respond(r, plx_answer_error(404));
}

/* ---- beginning and end ---- */

static int open_channels(plx_app *app)
{
    plx_buf problem;
    plx_slice lines, line;
    int rc;

    plx_buf_init(&problem, 0);
    rc = plx_channels_open(app->config, &app->channels, &problem);
    lines = plx_buf_slice(&problem);
    while (plx_slice_split(&lines, '\n', &line))
        if (line.len > 0)
            plx_err("%.*s", (int)line.len, line.data);
    plx_buf_fini(&problem);
    return rc;
}

plx_app *plx_app_open(struct ev_loop *loop, const plx_config *config)
{
    plx_store_options options = {.ring_events = RING_EVENTS,
                                 .ring_bytes = RING_BYTES,
                                 .linger_ms = linger_ms(config),
                                 .listen = true};
    plx_app *app = plx_alloc_zero(1, sizeof *app);

    app->loop = loop;
    app->config = config;
    if (open_channels(app) != 0) {
        free(app);
        return NULL;
    }
    app->hooks = plx_hooks_new(loop);
    plx_report_hooks(app->hooks);
    plx_channels_start(app->channels, config->socket_count, app->hooks);
    app->store = plx_store_open(loop, config, &options);
    app->longpoll = plx_longpoll_new(app->store, config, app->channels);
    app->api = plx_api_new(app->store, config);
    app->watch = (plx_store_watch){.up = on_up, .down = on_down};
    plx_store_watch_add(app->store, &app->watch);
    ev_init(&app->wait, on_wait_end);
    app->wait.data = app;
    return app;
}

void plx_app_unlisted(plx_app *app)
{
    plx_longpoll_unlisted(app->longpoll);
}

void plx_app_drain(plx_app *app, void (*done)(void *arg), void *arg)
{
    plx_longpoll_drain(app->longpoll, done, arg);
}

void plx_app_close(plx_app *app)
{
    if (app == NULL)
        return;
    ev_timer_stop(app->loop, &app->wait);
    plx_store_watch_remove(app->store, &app->watch);
    plx_api_free(app->api);
    plx_longpoll_free(app->longpoll);
    plx_channels_stop(app->channels, app->config->socket_count);
    plx_report_hooks(NULL);
    plx_hooks_free(app->hooks);
    plx_store_close(app->store); /* calls back whoever waits for Redis, modules among them */
    plx_channels_close(app->channels, app->config->socket_count);
    free(app);
}
