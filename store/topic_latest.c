/* The last message of each event of a topic, for channels of the kind `latest`. */
#include "base/alloc.h"
#include "store/topic.h"
#include "store/topic_internal.h"

#include <stdlib.h>

typedef struct asking {
    plx_latest_cb *cb;
    void *arg;
    size_t topic_len;
    char topic[];
} asking;

static int by_offset(const void *a, const void *b)
{
    uint64_t x = (*(plx_event *const *)a)->position.offset;
    uint64_t y = (*(plx_event *const *)b)->position.offset;
    return x < y ? -1 : x > y;
}

/* "offset kind payload", or NULL when it is something else. */
static plx_event *read_event(const asking *a, const char *epoch, plx_slice event, plx_slice value)
{
    plx_slice offset, kind;
    plx_position position;
    if (!plx_slice_split(&value, ' ', &offset) || !plx_slice_split(&value, ' ', &kind) ||
        !value.data || kind.len != 1 ||
        (kind.data[0] != PLX_KIND_JSON && kind.data[0] != PLX_KIND_BINARY) ||
        !plx_decimal_parse(offset, &position.offset) ||
        plx_epoch_set(&position, plx_slice_of(epoch)) != 0)
        return NULL;
    return plx_event_new(plx_slice_make(a->topic, a->topic_len), &position,
                         (enum plx_kind)kind.data[0], event, value, plx_slice_make(NULL, 0));
}

/* What is damaged is left out: the next message of that event heals it. */
static size_t read_events(const asking *a, const char *epoch, const redisReply *all,
                          plx_event **events)
{
    size_t count = 0;
    for (size_t i = 0; i + 1 < plx_reply_count(all) && count < PLX_LATEST_EVENTS; i += 2) {
        plx_event *e = read_event(a, epoch, plx_reply_slice(plx_reply_at(all, i)),
                                  plx_reply_slice(plx_reply_at(all, i + 1)));
        if (e)
            events[count++] = e;
        else
            plx_store_odd("last message of an event");
    }
    qsort(events, count, sizeof *events, by_offset);
    return count;
}

static void answered(const plx_done *done, int err, const redisReply *reply)
{
    asking *a = done->arg;
    plx_event *events[PLX_LATEST_EVENTS];
    plx_position position = {"", 0};
    size_t count = 0;
    if (!err && !plx_topic_read_position(reply, &position))
        err = plx_store_odd("latest");
    if (!err)
        count = read_events(a, position.epoch, plx_reply_at(reply, 2), events);
    a->cb(a->arg, err, &position, events, count);
    for (size_t i = 0; i < count; i++)
        plx_event_unref(events[i]);
    free(a);
}

void plx_topic_latest(plx_store *s, plx_slice topic, plx_latest_cb *cb, void *arg)
{
    plx_command c;
    asking *a = plx_alloc(sizeof *a + topic.len);
    *a = (asking){.cb = cb, .arg = arg, .topic_len = topic.len};
    if (topic.len > 0)
        memcpy(a->topic, topic.data, topic.len);
    plx_script_begin(&c, PLX_SCRIPT_LATEST, 3);
    plx_script_key(&c, s, 't', topic, ":meta");
    plx_script_key(&c, s, 't', topic, ":log");
    plx_script_key(&c, s, 't', topic, ":latest");
    plx_topic_add_epoch(&c, s);
    plx_topic_add_lifetimes(&c, s);
    plx_script_send(s, &c, answered, PLX_DONE(NULL, a));
}
