/* GET /presence: who is on a topic, as last published. */
#include "base/alloc.h"
#include "base/error.h"
#include "channel/admin.h"
#include "channel/admin_error.h"
#include "channel/admin_request.h"
#include "store/presence.h"
#include <stdlib.h>

typedef struct waiter {
    plx_admin_cb *cb;
    void *arg;
    bool count;
} waiter;

static unsigned say_failed(json_object *out, int err)
{
    plx_admin_error(out, "unavailable", "Try again in a moment.", "Redis: %s", plx_strerror(err));
    return 503;
}

static unsigned say_count_only(json_object *out, uint64_t count)
{
    plx_admin_error(out, "count_only", "Ask with \"count\" for their number.",
                    "the topic has %llu presences, which is too many to list",
                    (unsigned long long)count);
    return 422;
}

static void answered(void *arg, int err, const plx_position *position, plx_slice json,
                     uint64_t count)
{
    waiter *w = arg;
    unsigned status = 200;
    json_object *out = plx_json_new_object();

    (void)position;
    if (err == 0 && !w->count && json.len > 0) {
        json_object_put(out);
        out = NULL;
        w->cb(w->arg, status, json); /* as it is published: never re-encoded */
    } else if (err != 0) {
        status = say_failed(out, err);
    } else if (w->count) {
        plx_json_put(out, "count", plx_json_new_number(count));
    } else {
        status = say_count_only(out, count);
    }
    if (out)
        plx_admin_answer(w->cb, w->arg, status, out);
    free(w);
}

void plx_admin_presence(plx_store *s, plx_slice query, plx_admin_cb *cb, void *arg)
{
    json_object *error = plx_json_new_object();
    plx_json_value object = {PLX_JSON_NONE, {NULL, 0}};
    plx_buf topic;
    bool count = false;
    unsigned status;

    plx_buf_init(&topic, 0);
    plx_json_check(query, &object);
    status = plx_admin_read_presence(plx_store_config(s), object, &topic, &count, error);
    if (status == 0) {
        waiter *w = plx_alloc(sizeof *w);
        *w = (waiter){cb, arg, count};
        plx_presence_read(s, plx_buf_slice(&topic), count, answered, w);
        json_object_put(error);
    } else {
        plx_admin_answer(cb, arg, status, error);
    }
    plx_buf_fini(&topic);
}
