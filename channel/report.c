/* See report.h. */
#include "channel/report.h"

#include "base/json_scan.h"
#include "base/log.h"
#include "channel/counters.h"
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

void plx_report_count(json_object *report, const char *name, uint64_t n)
{
    json_object *counts;

    if (!json_object_object_get_ex(report, "counts", &counts)) {
        counts = plx_json_new_object();
        plx_json_put(report, "counts", counts);
    }
    plx_json_put(counts, name, plx_json_new_number(n));
}

static void count_store(json_object *report, const plx_store_counters *c)
{
    plx_report_count(report, "redis_reconnects", c->reconnects);
    plx_report_count(report, "events", c->events);
    plx_report_count(report, "gaps", c->gaps);
    plx_report_count(report, "lost", c->lost);
    plx_report_count(report, "sessions_swept", c->sessions_swept);
    plx_report_count(report, "sessions_overflown", c->sessions_overflown);
    plx_report_count(report, "owners_swept", c->owners_swept);
}

static void count_core(json_object *report, const plx_counters *c)
{
    plx_report_count(report, "joins", c->joins);
    plx_report_count(report, "joins_refused", c->joins_refused);
    plx_report_count(report, "pushes", c->pushes);
    plx_report_count(report, "rule_refusals", c->rule_refusals);
    plx_report_count(report, "rate_refusals", c->rate_refusals);
    plx_report_count(report, "broadcasts", c->broadcasts);
    plx_report_count(report, "infos", c->infos);
    plx_report_count(report, "intercepted", c->intercepted);
    plx_report_count(report, "crashes", c->crashes);
    plx_report_count(report, "closed", c->closed);
    plx_report_count(report, "auth_cached", c->auth_cached);
    plx_report_count(report, "api_requests", c->api_requests);
    plx_report_count(report, "api_errors", c->api_errors);
    plx_report_count(report, "api_refused", c->api_refused);
}

/* Resident memory, or 0. */
static uint64_t memory_bytes(void)
{
    unsigned long long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (!f)
        return 0;
    if (fscanf(f, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t ms_of(const struct timeval *t)
{
    return (uint64_t)t->tv_sec * 1000 + (uint64_t)t->tv_usec / 1000;
}

static void count_process(json_object *report)
{
    struct rusage use;

    if (getrusage(RUSAGE_SELF, &use) == 0)
        plx_report_count(report, "cpu_ms", ms_of(&use.ru_utime) + ms_of(&use.ru_stime));
    plx_report_count(report, "memory_bytes", memory_bytes());
    plx_report_count(report, "log_lines_lost", plx_log_lost());
}

static void put_text(json_object *report, const char *name, const char *text)
{
    plx_json_put(report, name, plx_json_new_text(plx_slice_of(text)));
}

static json_object *hook_report(const plx_hook *hook)
{
    const plx_hook_counters *c = plx_hook_counts(hook);
    json_object *report = plx_json_new_object();

    put_text(report, "hook", plx_hook_name(hook));
    plx_report_count(report, "asked", c->asked);
    plx_report_count(report, "shared", c->shared);
    plx_report_count(report, "failed", c->failed);
    plx_report_count(report, "refused", c->refused);
    plx_report_count(report, "wrong", c->wrong);
    plx_report_count(report, "opened", c->opened);
    plx_report_count(report, "in_flight", c->in_flight);
    plx_report_count(report, "waiting", c->waiting);
    plx_report_count(report, "down", c->down);
    plx_hook_report(hook, report);
    return report;
}

static const plx_hooks *hooks; /* a process is one worker */

void plx_report_hooks(const plx_hooks *of)
{
    hooks = of;
}

static void add_hooks(json_object *report)
{
    const plx_hook *hook = plx_hooks_next(hooks, NULL);
    json_object *list = plx_json_new_array();

    for (; hook; hook = plx_hooks_next(hooks, hook))
        plx_json_push(list, hook_report(hook));
    plx_json_put(report, "hooks", list);
}

json_object *plx_report_new(plx_store *s, const char *kind)
{
    json_object *report = plx_json_new_object();
    char host[256] = "";

    gethostname(host, sizeof host - 1);
    put_text(report, "worker", plx_store_worker(s));
    put_text(report, "kind", kind);
    put_text(report, "host", host);
    plx_json_put(report, "pid", plx_json_new_number((uint64_t)getpid()));
    put_text(report, "version", PLX_VERSION);
    plx_json_put(report, "uptime_s", plx_json_new_number(plx_store_age_ms(s) / 1000));
    count_store(report, plx_store_counters_get(s));
    count_core(report, &plx_counted);
    count_process(report);
    if (hooks)
        add_hooks(report);
    return report;
}

void plx_report_finish(json_object *report, plx_buf *out)
{
    plx_json_write(out, report);
    json_object_put(report);
}

/* A member of a report as it is. */
static void hand_on(json_object *to, json_object *report, const char *name)
{
    json_object *value;

    if (json_object_object_get_ex(report, name, &value))
        plx_json_put(to, name, json_object_get(value));
}

static void hand_on_count(json_object *to, json_object *report, const char *count, const char *name)
{
    uint64_t n;

    if (plx_report_get(report, count, &n))
        plx_json_put(to, name, plx_json_new_number(n));
}

json_object *plx_report_summary(json_object *report)
{
    static const char *const members[] = {"worker", "kind", "host", "pid", "version", "uptime_s"};
    json_object *worker = plx_json_new_object();

    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        hand_on(worker, report, members[i]);
    hand_on_count(worker, report, "websockets", "sockets");
    hand_on_count(worker, report, "polls", "polls_waiting");
    hand_on_count(worker, report, "channels", "channels");
    hand_on_count(worker, report, "memory_bytes", "memory_bytes");
    return worker;
}

void plx_report_finish_summary(json_object *report, plx_buf *out)
{
    plx_report_finish(plx_report_summary(report), out);
    json_object_put(report);
}

json_object *plx_report_read(plx_slice text)
{
    plx_json_value value;
    json_object *report = NULL;

    if (plx_json_check(text, &value) != 0 || value.type != PLX_JSON_OBJECT ||
        plx_json_read(text, &report) != 0)
        return NULL;
    return report;
}

bool plx_report_get(json_object *report, const char *name, uint64_t *n)
{
    json_object *counts, *value;

    if (!json_object_object_get_ex(report, "counts", &counts) ||
        !json_object_object_get_ex(counts, name, &value) ||
        !json_object_is_type(value, json_type_int))
        return false;
    *n = json_object_get_uint64(value);
    return true;
}
