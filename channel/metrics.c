/* See metrics.h. */
#include "channel/metrics.h"

#include "channel/report.h"
#include <inttypes.h>

enum type { COUNTER, GAUGE };

typedef struct metric {
    const char *count; /* its name in a report */
    const char *name;  /* "_total" is added to a counter's */
    enum type type;
    bool ms; /* counted in ms, told in seconds */
    const char *help;
} metric;

static const metric of_workers[] = {
    {"websockets", "pollux_websockets", GAUGE, false, "Open WebSockets."},
    {"polls", "pollux_polls_waiting", GAUGE, false, "Long polls that are held now."},
    {"posts", "pollux_posts_waiting", GAUGE, false, "POSTs of long-poll clients under way."},
    {"channels", "pollux_channels", GAUGE, false,
     "Joined channels: of the WebSockets, or of the long polls that are held."},
    {"accepted", "pollux_connections", COUNTER, false, "TCP connections to the WebSocket daemon."},
    {"opened", "pollux_sockets_opened", COUNTER, false,
     "WebSockets and long-poll sessions opened."},
    {"refused", "pollux_connects_refused", COUNTER, false, "Connects refused."},
    {"unavailable", "pollux_connects_unavailable", COUNTER, false,
     "Connects put off, because the application did not say who it is."},
    {"auth_cached", "pollux_connects_cached", COUNTER, false,
     "Connects judged by an earlier answer of the application."},
    {"expired", "pollux_sockets_expired", COUNTER, false,
     "WebSockets and long-poll sessions whose token ran out."},
    {"bad_requests", "pollux_bad_requests", COUNTER, false, "Wrong WebSocket handshakes."},
    {"slow", "pollux_slow_consumers", COUNTER, false,
     "WebSockets dropped because they did not read what was sent."},
    {"faults", "pollux_protocol_faults", COUNTER, false,
     "WebSockets closed for what they sent (1002, 1007, 1009, 1011)."},
    {"idle", "pollux_idle_closed", COUNTER, false, "WebSockets closed because they said nothing."},
    {"skipped", "pollux_messages_skipped", COUNTER, false,
     "Messages that a client's serializer or transport can't carry (binary)."},
    {"joins", "pollux_joins", COUNTER, false, "Channels joined."},
    {"joins_refused", "pollux_joins_refused", COUNTER, false, "Joins answered with an error."},
    {"pushes", "pollux_pushes", COUNTER, false, "Messages of clients to joined channels."},
    {"rule_refusals", "pollux_rule_refusals", COUNTER, false, "Joins and pushes refused by rules."},
    {"rate_refusals", "pollux_rate_refusals", COUNTER, false, "Pushes refused by rate."},
    {"broadcasts", "pollux_broadcasts", COUNTER, false, "Broadcasts of channels."},
    {"infos", "pollux_module_messages", COUNTER, false,
     "Messages to handle_info of modules, timers among them."},
    {"intercepted", "pollux_intercepted", COUNTER, false,
     "Broadcasts that handle_out judged, each for one subscriber."},
    {"crashes", "pollux_channel_crashes", COUNTER, false, "Channels whose backend failed."},
    {"closed", "pollux_channels_unsubscribed", COUNTER, false,
     "Channels closed by unsubscribe of the server API."},
    {"events", "pollux_events", COUNTER, false,
     "Messages of topics given out, once for each worker that follows the topic."},
    {"gaps", "pollux_gaps_filled", COUNTER, false,
     "Messages that did not come by pub/sub and were read from the log."},
    {"lost", "pollux_gaps_lost", COUNTER, false,
     "Channels told phx_error because the log no longer held what they missed."},
    {"sessions_swept", "pollux_sessions_swept", COUNTER, false,
     "Ended long-poll sessions that this worker cleaned up after."},
    {"sessions_overflown", "pollux_sessions_overflown", COUNTER, false,
     "Long-poll sessions ended because their queue was full."},
    {"owners_swept", "pollux_dead_workers_swept", COUNTER, false,
     "Dead WebSocket workers that this one cleaned up after."},
    {"redis_reconnects", "pollux_redis_disconnects", COUNTER, false, "Times that Redis was lost."},
    {"api_requests", "pollux_api_requests", COUNTER, false, "Requests to the server API."},
    {"api_errors", "pollux_api_errors", COUNTER, false, "Of them: answered with an error."},
    {"api_refused", "pollux_api_unauthorized", COUNTER, false, "API requests without a right key."},
    {"log_lines_lost", "pollux_log_lines_lost", COUNTER, false,
     "Log lines that could not be written."},
    {"cpu_ms", "pollux_cpu_seconds", COUNTER, true, "CPU time of the process."},
    {"memory_bytes", "pollux_resident_memory_bytes", GAUGE, false, "Memory of the process."},
};

static const metric of_hooks[] = {
    {"asked", "pollux_hook_requests", COUNTER, false, "Questions sent to the application."},
    {"shared", "pollux_hook_shared", COUNTER, false, "Questions answered by another's answer."},
    {"failed", "pollux_hook_failures", COUNTER, false,
     "Questions without a usable answer: no connection, too late, wrong status, no JSON."},
    {"refused", "pollux_hook_refused", COUNTER, false,
     "Questions not sent: application down, or too many."},
    {"wrong", "pollux_hook_wrong_answers", COUNTER, false, "Answers that break the contract."},
    {"opened", "pollux_hook_outages", COUNTER, false, "Times that the application was found down."},
    {"in_flight", "pollux_hook_in_flight", GAUGE, false, "Questions under way."},
    {"waiting", "pollux_hook_waiting", GAUGE, false, "Questions that wait for a place in flight."},
    {"down", "pollux_hook_down", GAUGE, false, "1 while the application is found down."},
    /* of hooks that are asked who connects */
    {"accepted", "pollux_auth_hook_accepted", COUNTER, false,
     "Connects that the application let in, those from the cache among them."},
    {"denied", "pollux_auth_hook_denied", COUNTER, false,
     "Connects that the application refused, those from the cache among them."},
    {"unanswered", "pollux_auth_hook_unanswered", COUNTER, false,
     "Connects put off for want of a usable answer."},
    {"cached", "pollux_auth_hook_cached", COUNTER, false,
     "Connects let in or refused by a kept answer."},
    {"cache_entries", "pollux_auth_hook_cache_entries", GAUGE, false, "Answers that are kept."},
    {"cache_bytes", "pollux_auth_hook_cache_bytes", GAUGE, false, "Memory of the kept answers."},
};

typedef struct writer {
    plx_buf *out;
    bool open;
} writer;

/* HELP and TYPE of a family. */
static void begin(writer *w, const char *name, enum type type, const char *help)
{
    const char *suffix = type == COUNTER && !w->open ? "_total" : "";

    plx_buf_printf(w->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, help, name, suffix,
                   type == COUNTER ? "counter" : "gauge");
}

static void write_escaped(plx_buf *out, plx_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '\n')
            plx_buf_str(out, "\\n");
        else if (c == '\\' || c == '"')
            plx_buf_printf(out, "\\%c", c);
        else
            plx_buf_byte(out, (unsigned char)c);
    }
}

static void write_label(writer *w, const char *before, const char *label, json_object *of,
                        const char *member)
{
    json_object *value;
    plx_slice text = {NULL, 0};

    if (json_object_object_get_ex(of, member, &value))
        text = plx_json_text(value);
    plx_buf_printf(w->out, "%s%s=\"", before, label);
    write_escaped(w->out, text);
    plx_buf_byte(w->out, '"');
}

static void write_value(writer *w, const metric *m, uint64_t n)
{
    if (m->ms)
        plx_buf_printf(w->out, " %" PRIu64 ".%03u\n", n / 1000, (unsigned)(n % 1000));
    else
        plx_buf_printf(w->out, " %" PRIu64 "\n", n);
}

/* A sample of a report, or of one of its hooks. */
static void write_sample(writer *w, const metric *m, json_object *report, json_object *hook)
{
    uint64_t n;

    if (!plx_report_get(hook ? hook : report, m->count, &n))
        return;
    plx_buf_printf(w->out, "%s%s", m->name, m->type == COUNTER ? "_total" : "");
    write_label(w, "{", "kind", report, "kind");
    write_label(w, ",", "worker", report, "worker");
    if (hook)
        write_label(w, ",", "hook", hook, "hook");
    plx_buf_byte(w->out, '}');
    write_value(w, m, n);
}

static json_object *hooks_of(json_object *report)
{
    json_object *hooks;

    return json_object_object_get_ex(report, "hooks", &hooks) &&
                   json_object_is_type(hooks, json_type_array)
               ? hooks
               : NULL;
}

static void write_hooks(writer *w, const metric *m, json_object *report)
{
    json_object *hooks = hooks_of(report);

    for (size_t i = 0; hooks && i < json_object_array_length(hooks); i++) {
        json_object *hook = json_object_array_get_idx(hooks, i);
        if (json_object_is_type(hook, json_type_object))
            write_sample(w, m, report, hook);
    }
}

static void write_family(writer *w, const metric *m, bool hooks, const plx_census *c)
{
    begin(w, m->name, m->type, m->help);
    for (size_t i = 0; i < c->count; i++) {
        if (hooks)
            write_hooks(w, m, c->reports[i]);
        else
            write_sample(w, m, c->reports[i], NULL);
    }
}

static void write_workers(writer *w, const plx_census *c)
{
    begin(w, "pollux_worker", GAUGE, "Which process a worker is; always 1.");
    for (size_t i = 0; i < c->count; i++) {
        plx_buf_str(w->out, "pollux_worker");
        write_label(w, "{", "kind", c->reports[i], "kind");
        write_label(w, ",", "worker", c->reports[i], "worker");
        write_label(w, ",", "host", c->reports[i], "host");
        write_label(w, ",", "version", c->reports[i], "version");
        plx_buf_str(w->out, "} 1\n");
    }
}

static void write_single(writer *w, const char *name, const char *help, uint64_t n)
{
    begin(w, name, GAUGE, help);
    plx_buf_printf(w->out, "%s %" PRIu64 "\n", name, n);
}

void plx_metrics_write(const plx_census *c, bool open, plx_buf *out)
{
    writer w = {out, open};

    write_single(&w, "pollux_redis_up", "Whether Redis answered.", c->err == 0);
    if (c->redis_known) {
        write_single(&w, "pollux_redis_memory_bytes", "Memory that Redis uses.",
                     c->redis.memory_bytes);
        write_single(&w, "pollux_redis_memory_limit_bytes", "Redis' maxmemory; 0: none.",
                     c->redis.memory_limit_bytes);
        write_single(&w, "pollux_longpoll_sessions", "Long-poll sessions.", c->redis.sessions);
    }
    write_single(&w, "pollux_workers_silent", "Workers that did not answer in time.", c->silent);
    write_workers(&w, c);
    for (size_t i = 0; i < sizeof of_workers / sizeof *of_workers; i++)
        write_family(&w, &of_workers[i], false, c);
    for (size_t i = 0; i < sizeof of_hooks / sizeof *of_hooks; i++)
        write_family(&w, &of_hooks[i], true, c);
    if (open)
        plx_buf_str(out, "# EOF\n");
}
