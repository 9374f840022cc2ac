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

static void put_position(json_object *object, const plx_position *position)
{
    char text[PLX_POSITION_TEXT];

    plx_position_format(position, text);
    plx_json_put(object, "position", plx_json_new_text(plx_slice_of(text)));
}

static json_object *binary(plx_slice data)
{
    json_object *text;
    plx_buf base64;

    plx_buf_init(&base64, 0);
    plx_base64_encode(&base64, data, PLX_B64_STANDARD);
    text = plx_json_new_text(plx_buf_slice(&base64));
    plx_buf_fini(&base64);
    return text;
}

/* An event's name that came in a binary frame need not be UTF-8. */
static json_object *name(plx_slice event)
{
    json_object *text;
    plx_buf quoted;

    plx_buf_init(&quoted, 0);
    plx_json_quote(&quoted, event);
    text = plx_json_new_verbatim(plx_buf_slice(&quoted));
    plx_buf_fini(&quoted);
    return text;
}

static json_object *message(const plx_event *e)
{
    json_object *m = plx_json_new_object();

    put_position(m, &e->position);
    plx_json_put(m, "event", name(e->event));
    if (e->kind == PLX_KIND_BINARY)
        plx_json_put(m, "payload_base64", binary(e->payload));
    else
        plx_json_put(m, "payload", plx_json_new_verbatim(e->payload));
    return m;
}

static void say_failed(plx_admin_cb *cb, void *arg, int err)
{
    json_object *document = plx_json_new_object();

    if (err == PLX_E_LOST)
        plx_admin_error(document, "gone",
                        "Ask again without \"since\" for what is still there; what lies between is"
                        " lost.",
                        "the history does not reach back to this position");
    else
        plx_admin_error(document, "unavailable", "Try again in a moment.", "Redis: %s",
                        plx_strerror(err));
    plx_admin_answer(cb, arg, err == PLX_E_LOST ? 410 : 503, document);
}

static void answered(void *arg, int err, const plx_position *position, plx_event *const *events,
                     size_t count)
{
    waiter *w = arg;

    if (err == 0) {
        json_object *document = plx_json_new_object(), *messages = plx_json_new_array();
        for (size_t i = 0; i < count; i++)
            plx_json_push(messages, message(events[i]));
        plx_json_put(document, "messages", messages);
        put_position(document, position);
        plx_admin_answer(w->cb, w->arg, 200, document);
    } else {
        say_failed(w->cb, w->arg, err);
    }
    free(w);
}

static void ask(plx_store *s, const plx_admin_history_query *q, plx_admin_cb *cb, void *arg)
{
    waiter *w = plx_alloc(sizeof *w);

    *w = (waiter){cb, arg};
    plx_topic_history(s, q->topic, q->has_since ? &q->since : NULL, q->limit, &q->history, answered,
                      w);
}

void plx_admin_history(plx_store *s, plx_slice query, plx_admin_cb *cb, void *arg)
{
    plx_admin_history_query q = {.limit = 0};
    json_object *error = plx_json_new_object();
    plx_json_value object = {PLX_JSON_NONE, {NULL, 0}};
    unsigned status;

    plx_json_check(query, &object);
    status = plx_admin_read_history(plx_store_config(s), object, &q, error);
    if (status == 0) {
        ask(s, &q, cb, arg);
        json_object_put(error);
    } else {
        plx_admin_answer(cb, arg, status, error);
    }
    json_object_put(q.members);
}
