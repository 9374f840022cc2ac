/* What the server API does to sockets by their id: disconnect, unsubscribe. */
#include "base/alloc.h"
#include "channel/admin.h"
#include "channel/admin_error.h"
#include "channel/admin_request.h"
#include "store/control.h"
#include <stdlib.h>

typedef struct waiter {
    plx_admin_cb *cb;
    void *arg;
    const char *member; /* of the answer: what was counted */
} waiter;

static waiter *waiter_new(plx_admin_cb *cb, void *arg, const char *member)
{
    waiter *w = plx_alloc(sizeof *w);

    *w = (waiter){cb, arg, member};
    return w;
}

static void counted(void *arg, int err, unsigned count)
{
    waiter *w = arg;
    json_object *document = plx_json_new_object();

    if (err == 0)
        plx_json_put(document, w->member, plx_json_new_number(count));
    else
        plx_admin_unavailable(document, err);
    plx_admin_answer(w->cb, w->arg, err == 0 ? 200 : 503, document);
    free(w);
}

void plx_admin_disconnect(plx_store *s, plx_slice body, plx_admin_cb *cb, void *arg)
{
    json_object *error = plx_json_new_object();
    plx_json_value value;
    plx_buf id;
    unsigned status;

    plx_buf_init(&id, 0);
    status = plx_admin_read_body(body, &value, error);
    if (status == 0)
        status = plx_admin_read_id(value, &id, error);
    if (status == 0) {
        plx_control_disconnect(s, plx_buf_slice(&id), counted, waiter_new(cb, arg, "sockets"));
        json_object_put(error);
    } else {
        plx_admin_answer(cb, arg, status, error);
    }
    plx_buf_fini(&id);
}

void plx_admin_unsubscribe(plx_store *s, plx_slice body, plx_admin_cb *cb, void *arg)
{
    json_object *error = plx_json_new_object();
    plx_json_value value;
    plx_buf id, topic;
    unsigned status;

    plx_buf_init(&id, 0);
    plx_buf_init(&topic, 0);
    status = plx_admin_read_body(body, &value, error);
    if (status == 0)
        status = plx_admin_read_unsubscribe(plx_store_config(s), value, &id, &topic, error);
    if (status == 0) {
        plx_control_unsubscribe(s, plx_buf_slice(&id), plx_buf_slice(&topic), counted,
                                waiter_new(cb, arg, "channels"));
        json_object_put(error);
    } else {
        plx_admin_answer(cb, arg, status, error);
    }
    plx_buf_fini(&topic);
    plx_buf_fini(&id);
}
