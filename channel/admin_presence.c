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

static unsigned say_failed(plx_buf *out, int err)
{
    plx_admin_error(out, "unavailable", "Try again in a moment.", "Redis: %s", plx_strerror(err));
    return 503;
}

static unsigned say_count_only(plx_buf *out, uint64_t count)
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
    plx_buf out;

    (void)position;
    plx_buf_init(&out, 0);
    if (err != 0)
        status = say_failed(&out, err);
    else if (w->count)
        plx_buf_printf(&out, "{\"count\":%llu}", (unsigned long long)count);
    else if (json.len > 0)
        plx_buf_add(&out, json);
    else
        status = say_count_only(&out, count);
    w->cb(w->arg, status, plx_buf_slice(&out));
    plx_buf_fini(&out);
    free(w);
}

void plx_admin_presence(plx_store *s, plx_slice query, plx_admin_cb *cb, void *arg)
{
    plx_buf topic, error;
    bool count;
    unsigned status;

    plx_buf_init(&topic, 0);
    plx_buf_init(&error, 0);
    status = plx_admin_read_presence(plx_store_config(s), query, &topic, &count, &error);
    if (status == 0) {
        waiter *w = plx_alloc(sizeof *w);
        *w = (waiter){cb, arg, count};
        plx_presence_read(s, plx_buf_slice(&topic), count, answered, w);
    } else {
        cb(arg, status, plx_buf_slice(&error));
    }
    plx_buf_fini(&topic);
    plx_buf_fini(&error);
}
