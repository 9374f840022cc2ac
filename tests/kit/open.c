/* A world: its workers, and the backends that they have opened. */
#include "base/error.h"
#include "tests/kit/kit.h"
#include <stdio.h>
#include <stdlib.h>

#define MESSAGE_MAX 1048576

plx_test *plx_test_new(void)
{
    plx_test *t = plx_alloc_zero(1, sizeof *t);

    t->config.max_body_bytes = MESSAGE_MAX;
    t->config.sockets = &t->section;
    t->config.socket_count = 1;
    t->section.path = (char *)(uintptr_t) "/socket";
    t->section.websocket = t->section.longpoll = true;
    t->section.ws_max_frame_bytes = MESSAGE_MAX;
    t->section.max_channels = 100;
    t->section.channels = t->channels;
    plx_list_init(&t->topics);
    plx_list_init(&t->sockets);
    plx_list_init(&t->requests);
    plx_list_init(&t->broadcasts);
    plx_list_init(&t->read);
    plx_list_init(&t->timers);
    plx_list_init(&t->made);
    plx_buf_init(&t->refusal, 0);
    plx_kit_clock_set(t, 1);
    for (unsigned i = 0; i < KIT_WORKERS; i++) {
        plx_store *w = &t->workers[i];
        w->test = t;
        w->number = i;
        w->channels = (plx_channels){.config = &t->section, .entries = w->entries};
    }
    return t;
}

static void close_entry(plx_store *w, size_t i)
{
    const plx_backend *backend = w->entries[i].backend;

    if (w->loaded[i])
        plx_channels_close(w->loaded[i], 1);
    else if (backend && backend->close)
        backend->close(w->entries[i].state);
}

void plx_test_free(plx_test *t)
{
    if (!t)
        return;
    while (!plx_list_empty(&t->sockets))
        plx_kit_socket_free(PLX_CONTAINER(t->sockets.next, plx_test_socket, node));
    plx_kit_settle(t);
    for (size_t i = 0; i < t->section.channel_count; i++) {
        for (unsigned w = 0; w < KIT_WORKERS; w++)
            close_entry(&t->workers[w], i);
        free(t->channels[i].pattern);
        free(t->channels[i].path);
        free(t->channels[i].settings);
    }
    for (unsigned w = 0; w < KIT_WORKERS; w++)
        plx_admitter_close(&t->workers[w].channels.admitter);
    plx_kit_settle(t);
    while (!plx_list_empty(&t->topics))
        plx_kit_topic_free(PLX_CONTAINER(t->topics.next, kit_topic, node));
    plx_kit_made_free(t);
    plx_kit_letters_free(&t->broadcasts);
    plx_kit_letters_free(&t->read);
    plx_buf_fini(&t->refusal);
    free(t);
}

/* ---- backends ---- */

static plx_test_socket *socket_of(plx_test *t, plx_slice session)
{
    for (plx_list *n = t->sockets.next; n != &t->sockets; n = n->next) {
        plx_test_socket *s = PLX_CONTAINER(n, plx_test_socket, node);
        if (plx_slice_is(session, s->session))
            return s;
    }
    return NULL;
}

/* Stands in front of the author's terminate. */
static void on_terminate(void *state, plx_channel *ch, enum plx_end_reason reason)
{
    const plx_membership *m = (const plx_membership *)(const void *)ch;
    plx_store *w = m->socket->store;
    plx_test_socket *s = socket_of(w->test, plx_channel_session(ch));
    size_t i = (size_t)(m->entry - w->entries);
    kit_end *end = plx_alloc_zero(1, sizeof *end);

    end->topic = plx_slice_dup(plx_channel_topic(ch));
    end->reason = reason;
    if (s) {
        plx_list_push(&s->ends, &end->node);
    } else {
        free(end->topic);
        free(end);
    }
    if (w->originals[i]->terminate)
        w->originals[i]->terminate(state, ch, reason);
}

static int open_backend(plx_store *w, plx_channel_entry *e, const plx_backend *backend)
{
    plx_test *t = w->test;
    const char *why = NULL;

    plx_buf_clear(&t->refusal);
    if (backend->abi != PLX_BACKEND_ABI) {
        plx_buf_printf(&t->refusal, "it is made for version %u of the interface, not %u",
                       backend->abi, (unsigned)PLX_BACKEND_ABI);
        return PLX_E_INVALID;
    }
    e->backend = backend;
    e->rules = (plx_presence_rules){.window_ms = 50, .ttl_s = 86400};
    if (!backend->open ||
        backend->open(e->config->pattern, e->config->settings, &e->state, &why) == 0)
        return 0;
    plx_buf_str(&t->refusal, why ? why : "it gives no reason");
    return PLX_E_INVALID;
}

/* The core's own loader, for a section with this one channel. */
static int load_backend(plx_store *w, size_t i)
{
    plx_test *t = w->test;
    plx_socket_config section = t->section;
    plx_config config = t->config;

    section.channels = &t->channels[i];
    section.channel_count = 1;
    config.sockets = &section;
    plx_buf_clear(&t->refusal);
    if (plx_channels_open(&config, &w->loaded[i], &t->refusal) != 0)
        return PLX_E_INVALID;
    /* It keeps a pointer to the section, to count the channels when it closes them. */
    w->loaded[i]->config = &w->sections[i];
    w->sections[i] = section;
    w->entries[i] = w->loaded[i]->entries[0];
    return 0;
}

static int open_in(plx_store *w, size_t i, const plx_backend *backend)
{
    plx_channel_entry *e = &w->entries[i];
    int err;

    *e = (plx_channel_entry){.config = &w->test->channels[i]};
    w->loaded[i] = NULL;
    err = backend ? open_backend(w, e, backend) : load_backend(w, i);
    if (err != 0) {
        e->backend = NULL;
        return err;
    }
    w->originals[i] = e->backend;
    w->backends[i] = *e->backend;
    w->backends[i].terminate = on_terminate;
    e->backend = &w->backends[i];
    return 0;
}

static int add_channel(plx_test *t, const char *pattern, const plx_backend *backend,
                       const char *path, const char *settings)
{
    size_t i = t->section.channel_count;
    plx_channel_config *c = &t->channels[i];
    int err = 0;

    if (i == KIT_CHANNELS_MAX) {
        plx_buf_printf(&t->refusal, "a test has at most %d channels", KIT_CHANNELS_MAX);
        return PLX_E_TOOBIG;
    }
    *c = (plx_channel_config){.pattern = plx_strdup(pattern),
                              .backend = (char *)(uintptr_t) "module",
                              .path = path ? plx_strdup(path) : NULL,
                              .settings = settings ? plx_strdup(settings) : NULL};
    t->section.channel_count++;
    for (unsigned w = 0; w < KIT_WORKERS && err == 0; w++)
        err = open_in(&t->workers[w], i, backend);
    return err;
}

/* Takes back a channel that could not be opened, or was opened to see whether it can be. */
static void remove_channel(plx_test *t)
{
    size_t i = --t->section.channel_count;

    for (unsigned w = 0; w < KIT_WORKERS; w++) {
        if (t->workers[w].entries[i].backend)
            close_entry(&t->workers[w], i);
        t->workers[w].entries[i].backend = NULL;
    }
    free(t->channels[i].pattern);
    free(t->channels[i].path);
    free(t->channels[i].settings);
}

static void must_open(plx_test *t, const char *pattern, const plx_backend *backend,
                      const char *path, const char *settings, const char *file, int line)
{
    plx_buf text;

    if (add_channel(t, pattern, backend, path, settings) == 0)
        return;
    plx_buf_init(&text, 0);
    plx_buf_printf(&text, "the backend of \"%s\" does not open: %s\n", pattern,
                   plx_buf_cstr(&t->refusal));
    remove_channel(t);
    plx_kit_fail(file, line, &text);
}

void plx_test_channel_at(plx_test *t, const char *pattern, const plx_backend *backend,
                         const char *settings, const char *file, int line)
{
    must_open(t, pattern, backend, NULL, settings, file, line);
}

void plx_test_module_at(plx_test *t, const char *pattern, const char *path, const char *settings,
                        const char *file, int line)
{
    must_open(t, pattern, NULL, path, settings, file, line);
}

void plx_test_history(plx_test *t, const char *pattern, unsigned size)
{
    for (size_t i = 0; i < t->section.channel_count; i++) {
        plx_channel_config *c = &t->channels[i];
        if (strcmp(c->pattern, pattern) != 0)
            continue;
        c->has_history = true;
        c->history_size = size;
        c->history_ttl_s = 600;
        return;
    }
    fprintf(stderr, "pollux-test: no channel \"%s\" has been opened\n", pattern);
    abort();
}

const char *plx_test_refusal(plx_test *t, const char *pattern, const plx_backend *backend,
                             const char *settings)
{
    int err = add_channel(t, pattern, backend, NULL, settings);

    remove_channel(t);
    return err != 0 ? plx_buf_cstr(&t->refusal) : NULL;
}
