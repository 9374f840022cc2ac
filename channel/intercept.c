/* See intercept.h, and handle_out in backend.h. */
#include "channel/intercept.h"

#include "base/error.h"
#include "base/json_scan.h"
#include "base/log.h"
#include "channel/counters.h"
#include "channel/socket_core.h"

#include <stdlib.h>

enum verdict { DROP, PASS, PUSH, CRASH };

struct plx_delivery {
    const plx_membership *m;
    plx_event *event;
    enum verdict verdict;
    plx_event *instead; /* PUSH */
};

bool plx_intercepts(const plx_channel_entry *entry, const plx_event *e)
{
    const char *const *names = entry->backend->intercept;

    if (!names || e->kind == PLX_KIND_PRESENCE)
        return false;
    for (; *names; names++)
        if (plx_slice_is(e->event, *names))
            return true;
    return false;
}

static void decide(plx_delivery *d, enum verdict verdict)
{
    plx_event_unref(d->instead);
    d->instead = NULL;
    d->verdict = verdict;
}

void plx_delivery_pass(plx_delivery *delivery)
{
    decide(delivery, PASS);
}

int plx_delivery_push(plx_delivery *delivery, plx_slice event, plx_payload payload)
{
    const plx_event *e = delivery->event;
    enum plx_kind kind = payload.kind == PLX_PAYLOAD_BINARY ? PLX_KIND_BINARY : PLX_KIND_JSON;
    plx_event *instead;

    if (event.len > PLX_NAME_MAX || payload.bytes.len > plx_socket_payload_max(delivery->m->socket))
        return PLX_E_TOOBIG;
    if (kind == PLX_KIND_JSON && plx_json_check(payload.bytes, NULL) != 0)
        return PLX_E_INVALID;
    instead = plx_event_new(e->topic, &e->position, kind, event, payload.bytes, e->from);
    decide(delivery, PUSH);
    delivery->instead = instead;
    return 0;
}

void plx_delivery_crash(plx_delivery *delivery, const char *why)
{
    const plx_membership *m = delivery->m;

    plx_log_limited(PLX_WARNING, "channel \"%.*s\" crashed: %s", (int)m->topic.len, m->topic.data,
                    why ? why : "no reason given");
    decide(delivery, CRASH);
}

plx_event *plx_intercept(plx_membership *m, plx_event *e, bool *crashed)
{
    const plx_channel_entry *entry = m->entry;
    plx_delivery d = {.m = m, .event = e};
    plx_payload payload = {e->kind == PLX_KIND_BINARY ? PLX_PAYLOAD_BINARY : PLX_PAYLOAD_JSON,
                           e->payload};

    plx_counted.intercepted++;
    entry->backend->handle_out(entry->state, (const plx_channel *)m, &d, e->event, payload);
    *crashed = d.verdict == CRASH;
    return d.verdict == PASS ? plx_event_ref(e) : d.instead;
}
