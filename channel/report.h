/* What a worker reports of itself when it is asked (store/control): a JSON object
 *
 *     {"worker":"...","kind":"websocket","host":"...","pid":7,"version":"...","uptime_s":60,
 *      "counts":{"NAME":n,...},"hooks":[{"hook":"/socket shop:*","counts":{...}},...]}
 *
 * Names of counts are those of the tables in channel/metrics; a reader passes over what it does not
 * know, because workers of two versions live side by side during an upgrade.
 */
#ifndef PLX_CHANNEL_REPORT_H
#define PLX_CHANNEL_REPORT_H

#include "base/json.h"
#include "channel/hook.h"
#include "store/store.h"

/* What a report is asked to tell besides: how many channels of a topic, or sockets of an id, this
 * worker has; as the count "about". */
#define PLX_ABOUT_TOPIC 't'
#define PLX_ABOUT_ID    'i'

/* Whether a question is of this kind; its text follows in *out. */
static inline bool plx_report_is_about(plx_slice about, char kind, plx_slice *out)
{
    if (about.len == 0 || about.data[0] != kind)
        return false;
    *out = plx_slice_make(about.data + 1, about.len - 1);
    return true;
}

/* Begins a report with what all kinds have: who it is, the store's counters, the core's, the
 * process's. kind: "websocket" or "longpoll". Owned by the caller. */
json_object *plx_report_new(plx_store *s, const char *kind);

/* Adds a count to it. Names are part of /info, and of /metrics where channel/metrics lists them. */
void plx_report_count(json_object *report, const char *name, uint64_t n);

/* This worker's hooks, of which its reports tell from now on; borrowed until NULL is given. */
void plx_report_hooks(const plx_hooks *hooks);

/* Appends its text and frees it. */
void plx_report_finish(json_object *report, plx_buf *out);

/* What info tells of a worker, but for its hooks: {"worker","kind","host","pid","version",
 * "uptime_s","sockets","polls_waiting","channels","memory_bytes"}, of these what the report has.
 * Owned by the caller. */
json_object *plx_report_summary(json_object *report);
/* Appends the text of this, and frees the report. */
void plx_report_finish_summary(json_object *report, plx_buf *out);

/* Reads a report as it came from a worker: an object owned by the caller, or NULL when it is none.
 */
json_object *plx_report_read(plx_slice text);

/* A count of a report (or of one of its hooks); false: it has none of that name. */
bool plx_report_get(json_object *report, const char *name, uint64_t *n);

#endif
