/* Workers answer within half a second or not at all; Redis' own word is not waited for any longer
 * when they could not be asked. */
#include "channel/census.h"

#include "base/alloc.h"
#include "channel/report.h"
#include "store/control.h"
#include "store/session.h"
#include <stdlib.h>

typedef struct taking {
    plx_store *store;
    plx_census_cb *cb;
    void *arg;
    plx_census census;
    unsigned under_way; /* callbacks that will still come */
    bool reported, told;
} taking;

static void add_report(plx_census *c, plx_slice text)
{
    json_object *report = plx_report_read(text);

    if (report)
        c->reports[c->count++] = report;
}

static const char *text_of(json_object *report, const char *name)
{
    json_object *value;

    return json_object_object_get_ex(report, name, &value) && value ? json_object_get_string(value)
                                                                    : "";
}

static int compare(const void *a, const void *b)
{
    json_object *x = *(json_object *const *)a, *y = *(json_object *const *)b;
    int by_kind = strcmp(text_of(x, "kind"), text_of(y, "kind"));

    return by_kind ? by_kind : strcmp(text_of(x, "worker"), text_of(y, "worker"));
}

static void tell(taking *t)
{
    plx_census *c = &t->census;

    if (t->told || !t->reported || (t->under_way > 0 && c->err == 0))
        return;
    t->told = true;
    if (c->count > 1)
        qsort(c->reports, c->count, sizeof *c->reports, compare);
    t->cb(t->arg, c);
    for (size_t i = 0; i < c->count; i++)
        json_object_put(c->reports[i]);
    free(c->reports);
}

static void one_answered(taking *t)
{
    t->under_way--;
    tell(t);
    if (t->under_way == 0)
        free(t);
}

static void take_own(taking *t)
{
    plx_buf text;

    plx_buf_init(&text, PLX_REPORT_BYTES);
    plx_control_own_report(t->store, &text);
    if (text.len > 0)
        add_report(&t->census, plx_buf_slice(&text));
    plx_buf_fini(&text);
}

static void reported(void *arg, int err, const plx_slice *reports, size_t count, size_t silent)
{
    taking *t = arg;
    plx_census *c = &t->census;

    c->err = err;
    c->silent = silent;
    c->reports = plx_alloc_zero(count + 1, sizeof *c->reports);
    for (size_t i = 0; i < count; i++)
        add_report(c, reports[i]);
    if (err != 0)
        take_own(t);
    t->reported = true;
    one_answered(t);
}

static void redis_told(void *arg, int err, const plx_redis_info *info)
{
    taking *t = arg;

    t->census.redis_known = err == 0;
    if (err == 0)
        t->census.redis = *info;
    one_answered(t);
}

static void sessions_found(void *arg, int err, const plx_slice *sids, size_t count)
{
    taking *t = arg;

    (void)sids;
    if (err == 0)
        t->census.sessions = count;
    one_answered(t);
}

void plx_census_take(plx_store *s, plx_slice about, plx_census_cb *cb, void *arg)
{
    plx_slice id;
    taking *t = plx_alloc_zero(1, sizeof *t);

    t->store = s;
    t->cb = cb;
    t->arg = arg;
    t->under_way = 2;
    plx_control_reports(s, about, reported, t);
    plx_redis_info_read(s, redis_told, t);
    if (plx_report_is_about(about, PLX_ABOUT_ID, &id)) {
        t->under_way++;
        plx_session_by_id(s, id, sessions_found, t);
    }
}
