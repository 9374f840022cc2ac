/* What a topic's history still holds: going on from a position, and reading it. The decision is one
 * script (lua/topic.lua: reaches), so that the position and what may be delivered after it belong
 * to the same moment. What is trimmed between then and the delivery is noticed by the feed.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "store/topic.h"
#include "store/topic_internal.h"

#include <stdlib.h>

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* KEYS, and what both scripts want to know. since: may be NULL. */
static void begin(plx_command *c, plx_store *s, enum plx_script script, plx_slice topic,
                  const plx_position *since, const plx_history *history)
{
    plx_topic_begin(c, s, script, topic);
    plx_topic_add_epoch(c, s);
    plx_topic_add_lifetimes(c, s);
    plx_command_str(c, since ? since->epoch : "");
    plx_command_u64(c, since ? since->offset : 0);
    plx_command_u64(c, history->size);
    plx_command_u64(c, history->ttl_s);
    plx_command_u64(c, larger(s->config->delivery_log.ttl_s, history->ttl_s));
}

static void judged(const plx_done *done, int err, const redisReply *reply)
{
    plx_position position = {"", 0};
    uint64_t whole = 0;
    if (!err && (!plx_topic_read_position(reply, &position) ||
                 !plx_reply_u64(plx_reply_at(reply, 2), &whole)))
        err = plx_store_odd("since");
    ((plx_since_cb *)done->fn)(done->arg, err, &position, !err && whole != 0);
}

void plx_topic_since(plx_store *s, plx_slice topic, const plx_position *since,
                     const plx_history *history, plx_since_cb *cb, void *arg)
{
    plx_command c;
    begin(&c, s, PLX_SCRIPT_SINCE, topic, since, history);
    plx_script_send(s, &c, judged, PLX_DONE(cb, arg));
}

typedef struct reading {
    plx_history_cb *cb;
    void *arg;
    size_t topic_len;
    char topic[];
} reading;

/* The events of an answer; *count of them, fewer than it has entries when one is damaged. */
static plx_event **read_events(const reading *r, const char *epoch, const redisReply *entries,
                               size_t *count)
{
    size_t n = plx_reply_count(entries);
    plx_event **events = plx_alloc_zero(n + 1, sizeof *events);
    *count = 0;
    while (*count < n) {
        plx_event *e = plx_topic_entry_event(plx_slice_make(r->topic, r->topic_len), epoch,
                                             plx_reply_at(entries, *count));
        if (!e)
            break;
        events[(*count)++] = e;
    }
    return events;
}

static void give(const reading *r, int err, const redisReply *reply)
{
    const redisReply *entries = plx_reply_at(reply, 3);
    plx_position position = {"", 0};
    plx_event **events = NULL;
    size_t count = 0;
    uint64_t reached = 0;
    if (!err && (!plx_topic_read_position(reply, &position) ||
                 !plx_reply_u64(plx_reply_at(reply, 2), &reached) || !plx_reply_is_array(entries)))
        err = plx_store_odd("history");
    if (!err && reached == 0)
        err = PLX_E_LOST;
    if (!err) {
        events = read_events(r, position.epoch, entries, &count);
        if (count < plx_reply_count(entries))
            err = plx_store_odd("entry of a topic's log");
    }
    r->cb(r->arg, err, &position, events, err ? 0 : count);
    for (size_t i = 0; i < count; i++)
        plx_event_unref(events[i]);
    free(events);
}

static void answered(const plx_done *done, int err, const redisReply *reply)
{
    reading *r = done->arg;
    give(r, err, reply);
    free(r);
}

void plx_topic_history(plx_store *s, plx_slice topic, const plx_position *since, size_t limit,
                       const plx_history *history, plx_history_cb *cb, void *arg)
{
    plx_command c;
    reading *r = plx_alloc(sizeof *r + topic.len);
    *r = (reading){.cb = cb, .arg = arg, .topic_len = topic.len};
    if (topic.len > 0)
        memcpy(r->topic, topic.data, topic.len);
    begin(&c, s, PLX_SCRIPT_HISTORY, topic, since, history);
    plx_command_u64(&c, limit < PLX_HISTORY_LIMIT ? limit : PLX_HISTORY_LIMIT);
    plx_command_u64(&c, PLX_HISTORY_BYTES);
    plx_script_send(s, &c, answered, PLX_DONE(NULL, r));
}
