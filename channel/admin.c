/* Publishing. A body is read, what is right in it is handed to the store in its order, and the
 * answer goes out when all answers are there. */
#include "channel/admin.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "channel/admin_error.h"
#include "channel/admin_request.h"
#include <stdlib.h>

#define BATCH_MAX 1000u

bool plx_admin_key_ok(const plx_config *config, plx_slice key)
{
    bool ok = false;

    for (size_t i = 0; i < config->api.keys.count; i++)
        ok |= plx_equal_secret(key, plx_slice_of(config->api.keys.items[i]));
    return ok;
}

static void answer_error(plx_admin_cb *cb, void *arg, unsigned status, const char *code,
                         const char *hint, const char *message)
{
    json_object *document = plx_json_new_object();

    plx_admin_error(document, code, hint, "%s", message);
    plx_admin_answer(cb, arg, status, document);
}

struct batch;

typedef struct item {
    struct batch *batch;
    unsigned status;
    json_object *answer; /* owned until the batch is answered */
} item;

typedef struct batch {
    plx_admin_cb *cb;
    void *arg;
    bool is_array;
    size_t count, open; /* open: not answered, and one for as long as the body is being read */
    item items[];
} batch;

static void answer_array(batch *b)
{
    json_object *all = plx_json_new_array();
    unsigned status = 200;

    for (size_t i = 0; i < b->count; i++) {
        plx_json_push(all, b->items[i].answer);
        if (b->items[i].status != 200)
            status = 207;
    }
    plx_admin_answer(b->cb, b->arg, status, all);
}

static void batch_unref(batch *b)
{
    if (--b->open > 0)
        return;
    if (b->is_array)
        answer_array(b);
    else
        plx_admin_answer(b->cb, b->arg, b->items[0].status, b->items[0].answer);
    free(b);
}

static void published(void *arg, int err, const plx_position *position, bool repeated)
{
    item *it = arg;
    char text[PLX_POSITION_TEXT];

    (void)repeated;
    if (err == 0) {
        plx_position_format(position, text);
        plx_json_put(it->answer, "position", plx_json_new_text(plx_slice_of(text)));
        it->status = 200;
    } else {
        plx_admin_unavailable(it->answer, err);
        it->status = 503;
    }
    batch_unref(it->batch);
}

static void publish_item(plx_store *s, batch *b, size_t i, plx_json_value body)
{
    plx_admin_publication publication;
    item *it = &b->items[i];

    it->batch = b;
    it->answer = plx_json_new_object();
    plx_admin_publication_init(&publication);
    it->status = plx_admin_read_publication(plx_store_config(s), body, &publication, it->answer);
    if (it->status == 0) {
        b->open++;
        plx_topic_publish(s, &publication.p, published, it);
    }
    plx_admin_publication_fini(&publication);
}

static batch *batch_new(plx_admin_cb *cb, void *arg, size_t count, bool is_array)
{
    batch *b = plx_alloc_zero(1, sizeof *b + count * sizeof b->items[0]);

    b->cb = cb;
    b->arg = arg;
    b->count = count;
    b->is_array = is_array;
    b->open = 1;
    return b;
}

static size_t array_length(plx_slice array)
{
    size_t count = 0, pos = 0;
    plx_slice key;
    plx_json_value value;

    while (plx_json_next(array, &pos, &key, &value))
        count++;
    return count;
}

static void publish_array(plx_store *s, plx_slice array, plx_admin_cb *cb, void *arg)
{
    size_t count = array_length(array), pos = 0;
    plx_slice key;
    plx_json_value value;
    batch *b;

    if (count > BATCH_MAX) {
        answer_error(cb, arg, 422, "too_many", "Send them in several requests.",
                     "at most 1000 publications are accepted at once");
        return;
    }
    b = batch_new(cb, arg, count, true);
    for (size_t i = 0; plx_json_next(array, &pos, &key, &value); i++)
        publish_item(s, b, i, value);
    batch_unref(b);
}

void plx_admin_publish(plx_store *s, plx_slice body, plx_admin_cb *cb, void *arg)
{
    json_object *error = plx_json_new_object();
    plx_json_value value;
    unsigned status = plx_admin_read_body(body, &value, error);
    batch *b;

    if (status != 0) {
        plx_admin_answer(cb, arg, status, error);
        return;
    }
    json_object_put(error);
    if (value.type == PLX_JSON_ARRAY) {
        publish_array(s, value.text, cb, arg);
    } else {
        b = batch_new(cb, arg, 1, false);
        publish_item(s, b, 0, value);
        batch_unref(b);
    }
}
