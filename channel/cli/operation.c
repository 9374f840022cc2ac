#include "channel/cli/operation.h"

#include "base/error.h"
#include "base/list.h"
#include "base/utf8.h"
#include "channel/cli/cli.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_S 5.0

typedef struct operation {
    const char *command;
    plx_buf body;
    void (*run)(plx_store *s, plx_slice body, plx_admin_cb *cb, void *arg);
    struct ev_loop *loop;
    plx_store *store;
    plx_store_watch watch;
    bool started, answered;
    int status; /* of the process */
} operation;

/* The message and the hint of an error document, as a line for people. */
static void complain(const operation *o, plx_slice json)
{
    json_object *document = NULL, *error, *message, *hint;

    plx_json_read(json, &document);
    if (json_object_object_get_ex(document, "error", &error) &&
        json_object_object_get_ex(error, "message", &message)) {
        bool hinted = json_object_object_get_ex(error, "hint", &hint);
        fprintf(stderr, "pollux %s: %s%s%s\n", o->command, json_object_get_string(message),
                hinted ? ". " : "", hinted ? json_object_get_string(hint) : "");
    } else {
        fprintf(stderr, "pollux %s: %.*s\n", o->command, (int)json.len, json.data);
    }
    json_object_put(document);
}

static void answered(void *arg, unsigned status, plx_slice json)
{
    operation *o = arg;

    if (o->answered)
        return;
    o->answered = true;
    if (status == 200 || status == 207) { /* 207: what was wrong stands in it */
        o->status = status == 200 ? PLX_CLI_OK : PLX_CLI_REFUSED;
        printf("%.*s\n", (int)json.len, json.data);
        if (fflush(stdout) != 0) {
            perror("pollux: standard output");
            o->status = PLX_CLI_REFUSED;
        }
    } else {
        complain(o, json);
    }
    ev_break(o->loop, EVBREAK_ALL);
}

static void start(operation *o)
{
    if (o->started)
        return;
    o->started = true;
    o->run(o->store, plx_buf_slice(&o->body), answered, o);
}

static void on_up(plx_store_watch *w)
{
    start(PLX_CONTAINER(w, operation, watch));
}

static void on_down(plx_store_watch *w)
{
    (void)w; /* what was asked is answered by the store */
}

static void on_timeout(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)timer;
    (void)revents;
    ev_break(loop, EVBREAK_ALL);
}

/* Where Redis is, without the password that the configuration holds. */
static const char *address(const char *url)
{
    const char *at = strncmp(url, "unix:", 5) == 0 ? NULL : strrchr(url, '@');

    return at != NULL ? at + 1 : url;
}

/* Turns the loop until the answer or the end of patience, which is complained about. */
static void wait_for_answer(operation *o, const plx_config *config)
{
    ev_timer patience;

    ev_timer_init(&patience, on_timeout, PATIENCE_S, 0.);
    ev_timer_start(o->loop, &patience);
    if (!o->answered)
        ev_run(o->loop, 0);
    ev_timer_stop(o->loop, &patience);
    if (!o->answered)
        fprintf(stderr, "pollux %s: Redis at %s %s within %.0f s; 'pollux check' tells why\n",
                o->command, address(config->redis.url),
                o->started ? "did not answer" : "can't be reached", PATIENCE_S);
}

static void run_with(operation *o, const plx_config *config)
{
    static const plx_store_options options = {.ring_events = 1, .ring_bytes = 1024, .linger_ms = 0};

    o->loop = ev_loop_new(EVFLAG_AUTO);
    o->store = plx_store_open(o->loop, config, &options);
    o->watch.up = on_up;
    o->watch.down = on_down;
    plx_store_watch_add(o->store, &o->watch);
    if (plx_store_up(o->store))
        start(o);
    wait_for_answer(o, config);
    plx_store_watch_remove(o->store, &o->watch);
    o->answered = true; /* whatever comes from closing is too late */
    plx_store_close(o->store);
    ev_loop_destroy(o->loop);
}

int plx_cli_operation(const char *command, const char *config_path, json_object *body,
                      void (*run)(plx_store *s, plx_slice body, plx_admin_cb *cb, void *arg))
{
    operation o = {.command = command, .run = run, .status = PLX_CLI_REFUSED};
    plx_config *config = NULL;

    if (plx_config_open(config_path, false, &config) != 0)
        return PLX_CLI_REFUSED;
    plx_log_init("pollux", PLX_ERROR);
    plx_buf_init(&o.body, 0);
    plx_json_write(&o.body, body);
    run_with(&o, config);
    plx_buf_fini(&o.body);
    plx_config_free(config);
    return o.status;
}

int plx_cli_add_string(const char *command, json_object *body, const char *name, const char *value)
{
    if (!plx_utf8_valid(plx_slice_of(value)))
        return plx_cli_usage_error(command, "the %s is not UTF-8", name);
    plx_json_put(body, name, plx_json_new_text(plx_slice_of(value)));
    return 0;
}

int plx_cli_words(const char *command, int argc, char **argv, int count, const char *expected,
                  int (*help)(void))
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (c == 'h')
            return help();
        return plx_cli_usage_error(command, "unknown option \"%s\"", argv[optind - 1]);
    }
    if (argc - optind != count)
        return plx_cli_usage_error(command, "expected %s", expected);
    return -1;
}
