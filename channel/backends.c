/* Opening what the configuration names: built-in backends, and modules by dlopen. */
#include "channel/backends.h"

#include "base/alloc.h"
#include "base/error.h"
#include "channel/http_backend.h"
#include "channel/route.h"
#include <dlfcn.h>
#include <stdlib.h>

typedef const plx_backend *entry_point(void);

/* Where in the configuration, and what is wrong. */
static int problem_at(const plx_config *config, const plx_channel_config *c, plx_buf *problem,
                      const char *what, const char *detail)
{
    plx_buf_printf(problem, "%s:%u: channel \"%s\": %s%s%s\n", config->file ? config->file : "",
                   c->line, c->pattern, what, detail ? ": " : "", detail ? detail : "");
    return PLX_E_INVALID;
}

static int check_module(const plx_backend *backend, plx_buf *why)
{
    if (!backend) {
        plx_buf_str(why, "pollux_backend() returned NULL");
        return PLX_E_INVALID;
    }
    if (!plx_module_fits(backend->abi, why))
        return PLX_E_INVALID;
    if (backend->intercept && !backend->handle_out) {
        plx_buf_str(why, "it intercepts events and has no handle_out to be asked about them");
        return PLX_E_INVALID;
    }
    return 0;
}

bool plx_channel_is_http(const plx_channel_entry *e)
{
    return e->backend == &plx_http_backend || e->backend == &plx_http_leave_backend;
}

static int load_module(const plx_config *config, plx_channel_entry *e, plx_buf *problem)
{
    void (*f)(void);
    plx_buf why;
    int err;

    plx_buf_init(&why, 0);
    err = plx_module_load(e->config->path, "pollux_backend", &e->module, &f, &why);
    if (err != 0) {
        problem_at(config, e->config, problem, plx_buf_cstr(&why), NULL);
    } else {
        e->backend = ((entry_point *)f)();
        err = check_module(e->backend, &why);
        if (err != 0)
            problem_at(config, e->config, problem, e->config->path, plx_buf_cstr(&why));
    }
    plx_buf_fini(&why);
    return err;
}

/* A path without a slash would make dlopen search the system's libraries. */
static int find_backend(const plx_config *config, plx_channel_entry *e, plx_buf *problem)
{
    const char *name = e->config->backend;

    if (strcmp(name, "relay") == 0)
        e->backend = &plx_relay_backend;
    else if (strcmp(name, "echo") == 0)
        e->backend = &plx_echo_backend;
    else if (strcmp(name, "http") == 0)
        e->backend = plx_strings_has(&e->config->hooks, plx_slice_of("leave"))
                         ? &plx_http_leave_backend
                         : &plx_http_backend;
    else if (strcmp(name, "module") != 0)
        return problem_at(config, e->config, problem, "unknown backend", name);
    else if (!e->config->path || !strchr(e->config->path, '/'))
        return problem_at(config, e->config, problem,
                          "path must be the module's path, with a slash in it (such as"
                          " \"/usr/lib/pollux/shop.so\")",
                          NULL);
    else
        return load_module(config, e, problem);
    return 0;
}

static int open_entry(const plx_config *config, const char *path, plx_channel_entry *e,
                      plx_buf *problem)
{
    const char *refusal = NULL;
    int err = find_backend(config, e, problem);

    if (err != 0)
        e->backend = NULL;
    else if (plx_channel_is_http(e))
        e->state = plx_http_channel_new(path, e->config);
    else if (e->backend->open &&
             e->backend->open(e->config->pattern, e->config->settings, &e->state, &refusal) != 0) {
        e->backend = NULL; /* not opened: not to be closed */
        err = problem_at(config, e->config, problem, "the backend refuses to start",
                         refusal ? refusal : "it gives no reason");
    }
    return err;
}

static void close_entry(plx_channel_entry *e)
{
    if (plx_channel_is_http(e))
        plx_http_channel_free(e->state);
    if (e->backend && e->backend->close)
        e->backend->close(e->state);
    if (e->module)
        dlclose(e->module);
}

/* Kept while a roster is open; a day longer than any log could be missed for. */
#define PRESENCE_TTL_S 86400
#define WINDOW_MS      50 /* where no presence section says otherwise */

static plx_presence_rules rules_of(const plx_channel_config *c)
{
    plx_presence_rules rules = {.window_ms = WINDOW_MS, .ttl_s = PRESENCE_TTL_S};

    if (c->has_presence) {
        rules.window_ms = c->presence_window_ms;
        rules.grace_ms = c->presence_grace_ms;
        rules.count_only_above = c->presence_count_only_above;
    }
    if (c->has_history) {
        rules.history_size = c->history_size;
        rules.history_ttl_s = c->history_ttl_s;
    }
    return rules;
}

static int open_section(const plx_config *config, const plx_socket_config *socket, plx_channels *c,
                        plx_buf *problem)
{
    int err = 0;

    c->config = socket;
    err = plx_admitter_open(config, socket, &c->admitter, problem);
    c->entries = plx_alloc_zero(socket->channel_count, sizeof *c->entries);
    for (size_t i = 0; i < socket->channel_count && err == 0; i++) {
        c->entries[i].config = &socket->channels[i];
        c->entries[i].rules = rules_of(&socket->channels[i]);
        err = open_entry(config, socket->path, &c->entries[i], problem);
    }
    return err;
}

int plx_channels_open(const plx_config *config, plx_channels **out, plx_buf *problem)
{
    plx_channels *channels = plx_alloc_zero(config->socket_count, sizeof *channels);
    int err = 0;

    for (size_t i = 0; i < config->socket_count && err == 0; i++)
        err = open_section(config, &config->sockets[i], &channels[i], problem);
    if (err == 0)
        *out = channels;
    else
        plx_channels_close(channels, config->socket_count);
    return err;
}

void plx_channels_close(plx_channels *channels, size_t count)
{
    if (!channels)
        return;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; channels[i].entries && j < channels[i].config->channel_count; j++)
            close_entry(&channels[i].entries[j]);
        plx_admitter_close(&channels[i].admitter);
        free(channels[i].entries);
    }
    free(channels);
}

const plx_channel_entry *plx_channels_route(const plx_channels *c, plx_slice topic)
{
    const plx_channel_config *config = NULL;

    if (topic.len > 0) /* nobody's, even with a pattern "*": nothing can be published there */
        config = plx_route_channel(c->config, topic);
    return config ? &c->entries[config - c->config->channels] : NULL;
}

const plx_presence_rules *plx_channels_presence(const plx_channels *channels, size_t count,
                                                plx_slice topic)
{
    const plx_channel_entry *entry = NULL;

    for (size_t i = 0; i < count && !entry; i++)
        entry = plx_channels_route(&channels[i], topic);
    return entry ? &entry->rules : NULL;
}
