/* Publishing into a topic's log, and asking where it stands. The work is done by the scripts; here
 * their calls are put together and their answers read.
 */
#include "store/topic.h"
#include "base/crypto.h"
#include "base/error.h"
#include "store/topic_internal.h"

#include <stdio.h>

#define KEY_MAX 1024 /* bytes of an idempotency key or a producer's name */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void plx_topic_add_epoch(plx_command *c, plx_store *s)
{
    if (s->epochs_left == 0) {
        plx_random_id(s->epochs, PLX_EPOCHS * PLX_EPOCH_LEN);
        s->epochs_left = PLX_EPOCHS;
    }
    const char *epoch = s->epochs + --s->epochs_left * PLX_EPOCH_LEN;
    plx_command_add(c, plx_slice_make(epoch, PLX_EPOCH_LEN));
}

/* ---- publishing */

static void published(const plx_done *done, int err, const redisReply *reply)
{
    plx_publish_cb *cb = (plx_publish_cb *)done->fn;
    plx_position position = {"", 0};
    uint64_t repeated = 0;
    if (!err && (!plx_topic_read_position(reply, &position) ||
                 !plx_reply_u64(plx_reply_at(reply, 2), &repeated)))
        err = plx_store_odd("publish");
    if (cb)
        cb(done->arg, err, &position, repeated != 0);
}

/* Hashed: a key may hold any bytes, also such that would make it another topic's key. With SHA-1,
 * which scripts in Redis have, too (lua/public/call.lua): who may publish may choose keys anyway.
 */
static void add_idempotency_key(plx_command *c, const plx_store *s, const plx_publication *p)
{
    uint8_t digest[20];
    char suffix[sizeof ":key:" + 2 * sizeof digest] = ":key:";
    plx_sha1(p->key, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(suffix + 5 + 2 * i, 3, "%02x", digest[i]);
    plx_script_key(c, s, 't', p->topic, suffix);
}

static void add_keys(plx_command *c, const plx_store *s, const plx_publication *p)
{
    plx_script_begin(c, PLX_SCRIPT_PUBLISH, p->key.len > 0 ? 6 : 5);
    plx_script_key(c, s, 't', p->topic, ":meta");
    plx_script_key(c, s, 't', p->topic, ":log");
    plx_script_key(c, s, 't', p->topic, ":from:0");
    plx_script_key(c, s, 't', p->topic, ":from:1");
    plx_script_key(c, s, 't', p->topic, ":latest");
    if (p->key.len > 0)
        add_idempotency_key(c, s, p);
}

static void add_limits(plx_command *c, const plx_store *s, const plx_publication *p)
{
    uint64_t ttl_s = larger(s->config->delivery_log.ttl_s, p->history_ttl_s);
    plx_command_u64(c, s->config->delivery_log.messages);
    plx_command_u64(c, s->config->delivery_log.bytes);
    plx_command_u64(c, ttl_s);
    plx_command_u64(c, ttl_s + PLX_META_EXTRA_S);
}

void plx_topic_publish(plx_store *s, const plx_publication *p, plx_publish_cb *cb, void *arg)
{
    const char kind = (char)p->kind;
    plx_command c;
    add_keys(&c, s, p);
    plx_topic_add_epoch(&c, s);
    plx_command_add(&c, plx_slice_make(&kind, 1));
    plx_command_add(&c, p->from);
    plx_command_add(&c, p->event);
    plx_command_add(&c, p->payload);
    plx_script_key(&c, s, 't', p->topic, "");
    add_limits(&c, s, p);
    plx_command_add(&c, p->producer);
    plx_command_u64(&c, p->entry);
    plx_command_u64(&c, p->index);
    plx_command_u64(&c, p->history_size);
    plx_command_u64(&c, p->latest_ttl_s);
    plx_command_u64(&c, PLX_LATEST_EVENTS);
    plx_command_u64(&c, PLX_LATEST_BYTES);
    if (p->key.len > KEY_MAX || p->producer.len > KEY_MAX)
        plx_command_refuse(&c);
    plx_script_send(s, &c, published, PLX_DONE(cb, arg));
}

/* ---- positions */

bool plx_topic_read_position(const redisReply *reply, plx_position *out)
{
    plx_position p;
    if (!plx_reply_u64(plx_reply_at(reply, 1), &p.offset) ||
        plx_epoch_set(&p, plx_reply_slice(plx_reply_at(reply, 0))) != 0)
        return false;
    *out = p;
    return true;
}

void plx_topic_add_lifetimes(plx_command *c, const plx_store *s)
{
    plx_command_u64(c, s->config->delivery_log.ttl_s);
    plx_command_u64(c, PLX_META_EXTRA_S);
}

void plx_topic_begin(plx_command *c, const plx_store *s, enum plx_script script, plx_slice topic)
{
    plx_script_begin(c, script, 2);
    plx_script_key(c, s, 't', topic, ":meta");
    plx_script_key(c, s, 't', topic, ":log");
}

void plx_topic_ask_position(plx_store *s, plx_slice topic, plx_answer_fn *answer, plx_done done)
{
    plx_command c;
    plx_topic_begin(&c, s, PLX_SCRIPT_POSITION, topic);
    plx_topic_add_epoch(&c, s);
    plx_topic_add_lifetimes(&c, s);
    plx_script_send(s, &c, answer, done);
}

void plx_topic_rewind(plx_store *s, plx_slice topic, const plx_position *seen,
                      plx_answer_fn *answer, plx_done done)
{
    plx_command c;
    plx_topic_begin(&c, s, PLX_SCRIPT_REWIND, topic);
    plx_command_str(&c, seen->epoch);
    plx_command_u64(&c, seen->offset);
    plx_topic_add_epoch(&c, s);
    plx_topic_add_lifetimes(&c, s);
    plx_script_send(s, &c, answer, done);
}

void plx_topic_read(plx_store *s, plx_slice topic, uint64_t first, size_t max_entries,
                    size_t max_bytes, plx_answer_fn *answer, plx_done done)
{
    plx_command c;
    plx_topic_begin(&c, s, PLX_SCRIPT_READ, topic);
    plx_command_u64(&c, first);
    plx_command_u64(&c, max_entries);
    plx_command_u64(&c, max_bytes);
    plx_script_send(s, &c, answer, done);
}

static void positioned(const plx_done *done, int err, const redisReply *reply)
{
    plx_position position = {"", 0};
    if (!err && !plx_topic_read_position(reply, &position))
        err = plx_store_odd("position");
    ((plx_position_cb *)done->fn)(done->arg, err, &position);
}

void plx_topic_position(plx_store *s, plx_slice topic, plx_position_cb *cb, void *arg)
{
    plx_topic_ask_position(s, topic, positioned, PLX_DONE(cb, arg));
}

/* ---- events */

static bool known_kind(plx_slice kind)
{
    return kind.len == 1 && (kind.data[0] == PLX_KIND_JSON || kind.data[0] == PLX_KIND_BINARY ||
                             kind.data[0] == PLX_KIND_PRESENCE);
}

/* An entry as XRANGE gives it: id, fields in the order in which publish.lua writes them. */
plx_event *plx_topic_entry_event(plx_slice topic, const char *epoch, const redisReply *entry)
{
    static const char *const names[] = {"k", "f", "e", "p"};
    const redisReply *fields = plx_reply_at(entry, 1);
    plx_slice value[4];
    plx_position position;
    for (size_t i = 0; i < 4; i++) {
        if (!plx_reply_is(plx_reply_at(fields, 2 * i), names[i]) ||
            !plx_reply_at(fields, 2 * i + 1))
            return NULL;
        value[i] = plx_reply_slice(plx_reply_at(fields, 2 * i + 1));
    }
    if (!known_kind(value[0]) || plx_epoch_set(&position, plx_slice_of(epoch)) != 0 ||
        !plx_stream_id_parse(plx_reply_slice(plx_reply_at(entry, 0)), &position.offset))
        return NULL;
    return plx_event_new(topic, &position, (enum plx_kind)value[0].data[0], value[2], value[3],
                         value[1]);
}

/* Splits `len` bytes off *rest. */
static bool cut(plx_slice *rest, uint64_t len, plx_slice *out)
{
    if (len > rest->len)
        return false;
    *out = plx_slice_make(rest->data, (size_t)len);
    *rest = plx_slice_make(rest->data + len, rest->len - (size_t)len);
    return true;
}

/* "1 EPOCH OFFSET KIND LEN(from) LEN(event)\n", then from, event and payload. */
plx_event *plx_topic_message_event(plx_slice topic, plx_slice message)
{
    plx_slice rest = message, head, word[6], from, event;
    plx_position position;
    uint64_t from_len, event_len;
    if (!plx_slice_split(&rest, '\n', &head) || !rest.data)
        return NULL;
    for (size_t i = 0; i < 6; i++) {
        if (!plx_slice_split(&head, ' ', &word[i]))
            return NULL;
    }
    if (head.data || !plx_slice_is(word[0], "1") || plx_epoch_set(&position, word[1]) != 0 ||
        !plx_decimal_parse(word[2], &position.offset) || !known_kind(word[3]) ||
        !plx_decimal_parse(word[4], &from_len) || !plx_decimal_parse(word[5], &event_len) ||
        !cut(&rest, from_len, &from) || !cut(&rest, event_len, &event))
        return NULL;
    return plx_event_new(topic, &position, (enum plx_kind)word[3].data[0], event, rest, from);
}
