/* GET /history: reading what a topic's history still holds. */
#include "base/alloc.h"
#include "base/base64.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "channel/admin.h"
#include "channel/admin_error.h"
#include "channel/admin_request.h"
#include <stdlib.h>

typedef struct waiter {
    plx_admin_cb *cb;
    void *arg;
} waiter;

static void add_position(plx_buf *out, const plx_position *position)
{
    char text[PLX_POSITION_TEXT];

    plx_position_format(position, text);
    plx_buf_printf(out, "\"position\":\"%s\"", text);
}

static void add_event(plx_buf *out, const plx_event *e)
{
    plx_buf_byte(out, '{');
    add_position(out, &e->position);
    plx_buf_str(out, ",\"event\":");
    plx_json_quote(out, e->event);
    if (e->kind == PLX_KIND_BINARY) {
        plx_buf_str(out, ",\"payload_base64\":\"");
        plx_base64_encode(out, e->payload, PLX_B64_STANDARD);
        plx_buf_byte(out, '"');
    } else {
        plx_buf_str(out, ",\"payload\":");
        plx_buf_add(out, e->payload);
    }
    plx_buf_byte(out, '}');
}

static void add_messages(plx_buf *out, const plx_position *position, plx_event *const *events,
                         size_t count)
{
    plx_buf_str(out, "{\"messages\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            plx_buf_byte(out, ',');
        add_event(out, events[i]);
    }
    plx_buf_str(out, "],");
    add_position(out, position);
    plx_buf_byte(out, '}');
}

static unsigned say_failed(plx_buf *out, int err)
{
    if (err == PLX_E_LOST) {
        plx_admin_error(out, "gone",
                        "Ask again without \"since\" for what is still there; what lies between is"
                        " lost.",
                        "the history does not reach back to this position");
        return 410;
    }
    plx_admin_error(out, "unavailable", "Try again in a moment.", "Redis: %s", plx_strerror(err));
    return 503;
}

static void answered(void *arg, int err, const plx_position *position, plx_event *const *events,
                     size_t count)
{
    waiter *w = arg;
    unsigned status = 200;
    plx_buf out;

    plx_buf_init(&out, 0);
    if (err == 0)
        add_messages(&out, position, events, count);
    else
        status = say_failed(&out, err);
    w->cb(w->arg, status, plx_buf_slice(&out));
    plx_buf_fini(&out);
    free(w);
}

static void ask(plx_store *s, const plx_admin_history_query *q, plx_admin_cb *cb, void *arg)
{
    waiter *w = plx_alloc(sizeof *w);

    *w = (waiter){cb, arg};
    plx_topic_history(s, plx_buf_slice(&q->topic), q->has_since ? &q->since : NULL, q->limit,
                      &q->history, answered, w);
}

void plx_admin_history(plx_store *s, plx_slice query, plx_admin_cb *cb, void *arg)
{
    plx_admin_history_query q = {.limit = 0};
    plx_buf error;
    unsigned status;

    plx_buf_init(&q.topic, 0);
    plx_buf_init(&error, 0);
    status = plx_admin_read_history(plx_store_config(s), query, &q, &error);
    if (status == 0)
        ask(s, &q, cb, arg);
    else
        cb(arg, status, plx_buf_slice(&error));
    plx_buf_fini(&q.topic);
    plx_buf_fini(&error);
}
