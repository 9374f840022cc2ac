/* Publishing what has changed, in time.
 *
 * Whoever's change opens a window is told so by the script and calls the flush
 * when it is due. The topic's channel carries "p <ms>" at the same moment: workers
 * that have a roster of the topic set a timer, too, a little later and not all at
 * once. It is cancelled by the event that the flush publishes; when that does not
 * come, the worker that opened the window has died, and they do it. A flush that
 * was done already finds nothing to do.
 */
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "store/presence_internal.h"
#include "store/topic_internal.h"

#include <stdlib.h>

#define BACKUP_MS        100 /* how much later the others are, at least */
#define BACKUP_SPREAD_MS 400
#define FAR_MS           700000 /* later than any grace is over */
#define RETRY_MS         1000
#define DIFF_BYTES       (256u << 10)
#define SYNC_BYTES       (512u << 10)

static void start_timer(plx_pres_topic *t, uint64_t at_ms, bool mine)
{
    struct ev_loop *loop = t->presence->store->loop;
    uint64_t now = plx_now_ms();
    ev_timer_stop(loop, &t->flush);
    ev_timer_set(&t->flush, at_ms > now ? (double)(at_ms - now) / 1000 : 0., 0.);
    ev_timer_start(loop, &t->flush);
    t->flush_ms = at_ms;
    t->flush_is_mine = mine;
}

void plx_pres_due(plx_pres_topic *t, int64_t due_in_ms, bool mine)
{
    if (due_in_ms < 0 || t->presence->stopped)
        return;
    uint64_t delay = due_in_ms < FAR_MS ? (uint64_t)due_in_ms : FAR_MS;
    if (!mine)
        delay += BACKUP_MS + plx_random_below(BACKUP_SPREAD_MS);
    uint64_t at = plx_now_ms() + delay;
    if (!plx_pres_running(&t->flush)) {
        start_timer(t, at, mine);
        return;
    }
    /* The earliest counts, and it stays mine once it is. */
    start_timer(t, at < t->flush_ms ? at : t->flush_ms, mine || t->flush_is_mine);
}

bool plx_pres_read_due(const redisReply *reply, size_t i, int64_t *due_in_ms)
{
    const redisReply *r = plx_reply_at(reply, i);
    uint64_t ms;
    if (plx_reply_is(r, "-1")) {
        *due_in_ms = -1;
        return true;
    }
    if (!plx_reply_u64(r, &ms))
        return false;
    *due_in_ms = ms < FAR_MS ? (int64_t)ms : FAR_MS;
    return true;
}

/* {due in, events, changes} */
static void flushed(const plx_done *done, int err, const redisReply *reply)
{
    plx_pres_topic *t = done->arg;
    int64_t due_in_ms = -1;
    t->flushing = false;
    if (!err && !plx_pres_read_due(reply, 0, &due_in_ms))
        err = plx_store_odd("flush of presence");
    plx_pres_due(t, err ? RETRY_MS : due_in_ms, true);
    plx_pres_topic_release(t);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void send_flush(plx_pres_topic *t)
{
    plx_store *s = t->presence->store;
    const plx_presence_rules *rules = &t->rules;
    uint64_t ttl_s = larger(s->config->delivery_log.ttl_s, rules->history_ttl_s);
    plx_command c;
    plx_pres_begin(&c, s, PLX_SCRIPT_PRESENCE_FLUSH, t->name, PLX_PRES_KEYS + 2);
    plx_pres_add_rules(&c, s, t->name, rules, true);
    plx_command_u64(&c, rules->count_only_above);
    plx_command_u64(&c, PLX_PRESENCE_STATE_BYTES);
    plx_command_u64(&c, SYNC_BYTES);
    plx_command_u64(&c, DIFF_BYTES);
    plx_topic_add_epoch(&c, s);
    plx_command_u64(&c, s->config->delivery_log.messages);
    plx_command_u64(&c, s->config->delivery_log.bytes);
    plx_command_u64(&c, ttl_s);
    plx_command_u64(&c, ttl_s + PLX_META_EXTRA_S);
    plx_command_u64(&c, rules->history_size);
    t->flushing = true;
    plx_script_send(s, &c, flushed, PLX_DONE(NULL, t));
}

static void on_flush(struct ev_loop *loop, ev_timer *w, int revents)
{
    plx_pres_topic *t = w->data;
    (void)loop, (void)revents;
    if (!t->flushing)
        send_flush(t);
    else
        start_timer(t, plx_now_ms() + RETRY_MS, t->flush_is_mine);
}

void plx_pres_flush_init(plx_pres_topic *t)
{
    ev_timer_init(&t->flush, on_flush, 0., 0.);
    t->flush.data = t;
}

void plx_presence_noted(plx_store *s, plx_slice topic, plx_slice note)
{
    plx_pres_topic *t = plx_map_get(s->presence->topics, topic);
    plx_slice verb;
    uint64_t ms;
    if (!t || !t->roster)
        return;
    if (!plx_slice_split(&note, ' ', &verb) || !plx_decimal_parse(note, &ms)) {
        plx_store_odd("note about presence");
        return;
    }
    plx_pres_due(t, ms < FAR_MS ? (int64_t)ms : FAR_MS, false);
}

void plx_presence_flushed(plx_store *s, plx_slice topic)
{
    plx_pres_topic *t = plx_map_get(s->presence->topics, topic);
    if (!t || t->flush_is_mine || !plx_pres_running(&t->flush))
        return;
    ev_timer_stop(s->loop, &t->flush);
    plx_pres_topic_release(t);
}
