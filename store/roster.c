/* A worker's copy of one topic's presence.
 *
 *   ASKING --snapshot at P--> LIVE: every event of kind 'p' after P is applied
 *      ^------ the watch is lost (another epoch, a hole that can't be filled),
 *              an event that can't be applied, a waiter from another epoch ------'
 *
 * The snapshot is taken with the position by one script, and a flush applies what
 * it publishes: so the copy is at each moment exactly what is published at the
 * position up to which the feed has been followed.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "store/feed.h"
#include "store/people.h"
#include "store/presence_internal.h"
#include "store/topic_internal.h"

#include <stdlib.h>

#define RETRY_S 1.0

struct plx_roster {
    plx_pres_topic *topic; /* NULL: the store is closed */
    unsigned users;
    plx_feed_watch watch;
    bool known;  /* people, count_only, count and at are valid */
    bool asking; /* a snapshot is under way */
    bool again;  /* ... and another one has to follow */
    plx_people people;
    bool count_only;
    uint64_t count;  /* count_only */
    plx_position at; /* of the snapshot, or of the last event applied */
    plx_event *state;
    plx_list waits;
    plx_later tell, close;
    ev_timer retry;
    uint64_t kept_ms; /* when the keys' TTLs were renewed last */
};

static void ask(plx_roster *r);

/* ---- waiting for a position */

static bool reached(const plx_roster *r, const plx_roster_wait *w)
{
    return w->position.epoch[0] == '\0' || strcmp(w->position.epoch, r->at.epoch) != 0 ||
           (r->watch.feed && r->watch.after >= w->position.offset) ||
           r->at.offset >= w->position.offset;
}

static void tell_waits(plx_roster *r)
{
    plx_list walk, *node;
    plx_list_init(&walk);
    plx_list_splice(&walk, &r->waits);
    while ((node = plx_list_shift(&walk)) != NULL) {
        plx_roster_wait *w = PLX_CONTAINER(node, plx_roster_wait, node);
        if (r->known && reached(r, w))
            w->ready(w, r);
        else
            plx_list_push(&r->waits, node);
    }
}

static void run_tell(plx_later *item)
{
    tell_waits(PLX_CONTAINER(item, plx_roster, tell));
}

static void tell_soon(plx_roster *r)
{
    if (r->topic && !plx_list_empty(&r->waits))
        plx_later_add(&r->topic->presence->store->laters, &r->tell);
}

void plx_roster_wait_start(plx_roster *r, plx_roster_wait *w, const plx_position *position)
{
    w->position = *position;
    plx_list_init(&w->node);
    plx_list_push(&r->waits, &w->node);
    /* One that knows another epoch has seen what we have not, or the other way round. */
    if (r->known && position->epoch[0] != '\0' && strcmp(position->epoch, r->at.epoch) != 0)
        ask(r);
    else if (r->known)
        tell_soon(r);
    if (r->known && !reached(r, w))
        plx_feed_expect(r->watch.feed, position->offset);
}

void plx_roster_wait_stop(plx_roster_wait *w)
{
    plx_list_remove(&w->node);
}

/* ---- the state */

static void forget_state(plx_roster *r)
{
    plx_event_unref(r->state);
    r->state = NULL;
}

static void set_count(plx_roster *r, uint64_t count)
{
    r->count_only = true;
    r->count = count;
    plx_people_clear(&r->people);
}

plx_event *plx_roster_state(plx_roster *r)
{
    plx_buf json;
    if (!r->known || !r->topic)
        return NULL;
    if (r->state)
        return r->state;
    plx_buf_init(&json, 0);
    if (r->count_only)
        plx_buf_printf(&json, "{\"count\":%llu}", (unsigned long long)r->count);
    else
        plx_people_json(&r->people, &json);
    r->state = plx_event_new(r->topic->name, &r->at, PLX_KIND_PRESENCE,
                             plx_slice_of(r->count_only ? "presence_count" : "presence_state"),
                             plx_buf_slice(&json), plx_slice_make(NULL, 0));
    plx_buf_fini(&json);
    return r->state;
}

/* ---- events */

static int apply_count(plx_roster *r, plx_slice payload)
{
    static const char *const names[] = {"count"};
    plx_json_value value;
    int64_t n;
    if (plx_json_cut_object(payload, names, &value, 1) != 0 || value.type != PLX_JSON_NUMBER ||
        plx_json_int(value.text, &n) != 0 || n < 0)
        return PLX_E_INVALID;
    set_count(r, (uint64_t)n);
    return 0;
}

static int apply(plx_roster *r, const plx_event *e)
{
    if (plx_slice_is(e->event, "presence_count"))
        return apply_count(r, e->payload);
    if (plx_slice_is(e->event, "presence_state")) {
        plx_people_clear(&r->people);
        r->count_only = false;
        return plx_people_read(&r->people, e->payload);
    }
    if (r->count_only) /* its change was missed */
        return PLX_E_INVALID;
    return plx_people_apply(&r->people, e->payload);
}

static void on_ready(plx_feed_watch *w)
{
    (void)w;
}

static void on_event(plx_feed_watch *w, plx_event *e)
{
    plx_roster *r = PLX_CONTAINER(w, plx_roster, watch);
    if (e->kind == PLX_KIND_PRESENCE) {
        forget_state(r);
        if (apply(r, e) != 0) {
            plx_store_odd("diff of presence");
            ask(r);
            return;
        }
        r->at = e->position;
    }
    tell_soon(r);
}

static void on_caught_up(plx_feed_watch *w)
{
    tell_soon(PLX_CONTAINER(w, plx_roster, watch));
}

static void on_lost(plx_feed_watch *w)
{
    ask(PLX_CONTAINER(w, plx_roster, watch));
}

/* ---- the snapshot */

void plx_pres_ask_state(plx_store *s, plx_slice topic, const plx_presence_rules *rules,
                        bool entries, plx_answer_fn *answer, plx_done done)
{
    plx_command c;
    plx_pres_begin(&c, s, PLX_SCRIPT_PRESENCE_STATE, topic, PLX_PRES_KEYS + 2);
    plx_command_u64(&c, entries);
    plx_command_u64(&c, rules ? rules->ttl_s : 0);
    plx_command_u64(&c, rules ? rules->grace_ms : 600000);
    plx_command_u64(&c, PLX_PRESENCE_STATE_BYTES);
    plx_topic_add_epoch(&c, s);
    plx_command_u64(&c, s->config->delivery_log.ttl_s);
    plx_command_u64(&c, PLX_META_EXTRA_S);
    plx_script_send(s, &c, answer, done);
}

typedef struct snapshot {
    plx_position position;
    uint64_t only, count;
    int64_t due_in_ms;
    const redisReply *entries;
} snapshot;

static bool read_snapshot(const redisReply *reply, snapshot *out)
{
    out->entries = plx_reply_at(reply, 5);
    return plx_topic_read_position(reply, &out->position) &&
           plx_reply_u64(plx_reply_at(reply, 2), &out->only) &&
           plx_reply_u64(plx_reply_at(reply, 3), &out->count) &&
           plx_pres_read_due(reply, 4, &out->due_in_ms) && plx_reply_is_array(out->entries);
}

static void go_live(plx_roster *r, const snapshot *x)
{
    static const plx_feed_ops ops = {on_ready, on_event, on_caught_up, on_lost};
    plx_pres_topic *t = r->topic;
    forget_state(r);
    plx_people_clear(&r->people);
    r->count_only = x->only != 0;
    r->count = x->count;
    if (!r->count_only)
        plx_people_take(&r->people, x->entries);
    r->at = x->position;
    r->known = true;
    r->kept_ms = plx_now_ms();
    r->watch.ops = &ops;
    plx_feed_watch_start(t->presence->store, &r->watch, t->name, &x->position);
    plx_pres_due(t, x->due_in_ms, false);
    tell_soon(r);
}

static void retry_later(plx_roster *r)
{
    struct ev_loop *loop = r->topic->presence->store->loop;
    ev_timer_stop(loop, &r->retry);
    ev_timer_set(&r->retry, RETRY_S, 0.);
    ev_timer_start(loop, &r->retry);
}

static void free_roster(plx_roster *r)
{
    forget_state(r);
    plx_people_fini(&r->people);
    free(r);
}

static void snapped(const plx_done *done, int err, const redisReply *reply)
{
    plx_pres_topic *t = done->arg;
    plx_roster *r = t->roster;
    snapshot x;
    t->in_flight--;
    if (!r || !r->asking || t->presence->stopped) { /* it was for one that is closed */
        plx_pres_topic_release(t);
        return;
    }
    r->asking = false;
    if (!err && !read_snapshot(reply, &x))
        err = plx_store_odd("presence");
    if (err)
        retry_later(r);
    else if (r->again)
        ask(r);
    else
        go_live(r, &x);
}

static void ask(plx_roster *r)
{
    plx_pres_topic *t = r->topic;
    plx_feed_watch_stop(&r->watch);
    r->known = false;
    r->again = r->asking;
    if (r->asking || !t || t->presence->stopped)
        return;
    ev_timer_stop(t->presence->store->loop, &r->retry);
    r->asking = true;
    t->in_flight++;
    plx_pres_ask_state(t->presence->store, t->name, &t->rules, true, snapped, PLX_DONE(NULL, t));
}

static void on_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    ask(w->data);
}

/* {..., due in at 4} */
static void kept(const plx_done *done, int err, const redisReply *reply)
{
    plx_pres_topic *t = done->arg;
    int64_t due_in_ms;
    t->in_flight--;
    if (!err && plx_pres_read_due(reply, 4, &due_in_ms))
        plx_pres_due(t, due_in_ms, false);
    plx_pres_topic_release(t);
}

void plx_roster_tick(plx_roster *r)
{
    plx_pres_topic *t = r->topic;
    uint64_t now = plx_now_ms();
    if (!r->known || now - r->kept_ms < t->rules.ttl_s * 1000 / 4)
        return;
    r->kept_ms = now;
    t->in_flight++;
    plx_pres_ask_state(t->presence->store, t->name, &t->rules, false, kept, PLX_DONE(NULL, t));
}

/* ---- life */

static void finish_close(plx_later *item)
{
    plx_roster *r = PLX_CONTAINER(item, plx_roster, close);
    plx_pres_topic *t = r->topic;
    plx_presence *p = t->presence;
    if (r->users > 0)
        return; /* opened again meanwhile */
    plx_feed_watch_stop(&r->watch);
    ev_timer_stop(p->store->loop, &r->retry);
    plx_later_cancel(&r->tell);
    if (--p->rosters == 0)
        ev_timer_stop(p->store->loop, &p->tick);
    t->roster = NULL;
    free_roster(r);
    plx_pres_topic_release(t);
}

plx_roster *plx_roster_open(plx_store *s, plx_slice topic, const plx_presence_rules *rules)
{
    plx_pres_topic *t = plx_pres_topic_get(s->presence, topic, rules);
    plx_roster *r = t->roster;
    if (r) {
        r->users++;
        return r;
    }
    t->roster = r = plx_alloc_zero(1, sizeof *r);
    r->topic = t;
    r->users = 1;
    plx_people_init(&r->people);
    plx_list_init(&r->waits);
    plx_later_init(&r->tell, run_tell);
    plx_later_init(&r->close, finish_close);
    ev_timer_init(&r->retry, on_retry, 0., 0.);
    r->retry.data = r;
    if (s->presence->rosters++ == 0 && !s->presence->stopped)
        ev_timer_again(s->loop, &s->presence->tick);
    ask(r);
    return r;
}

void plx_roster_close(plx_roster *r)
{
    if (--r->users > 0)
        return;
    if (r->topic)
        plx_later_add(&r->topic->presence->store->laters, &r->close);
    else
        free_roster(r);
}

void plx_roster_orphan(plx_roster *r)
{
    struct ev_loop *loop = r->topic->presence->store->loop;
    plx_later_cancel(&r->tell);
    plx_later_cancel(&r->close);
    plx_feed_watch_stop(&r->watch);
    ev_timer_stop(loop, &r->retry);
    r->known = false;
    r->topic = NULL;
    if (r->users == 0)
        free_roster(r);
}

/* ---- reading once */

typedef struct reading {
    plx_presence_state_cb *cb;
    void *arg;
    bool count_only;
} reading;

static void have_read(const plx_done *done, int err, const redisReply *reply)
{
    reading *x = done->arg;
    snapshot snap = {{"", 0}, 0, 0, 0, NULL};
    plx_people people;
    plx_buf json;
    plx_people_init(&people);
    plx_buf_init(&json, 0);
    if (!err && !read_snapshot(reply, &snap))
        err = plx_store_odd("presence");
    if (!err && !snap.only && !x->count_only) {
        plx_people_take(&people, snap.entries);
        plx_people_json(&people, &json);
    }
    x->cb(x->arg, err, &snap.position, plx_buf_slice(&json), snap.count);
    plx_buf_fini(&json);
    plx_people_fini(&people);
    free(x);
}

void plx_presence_read(plx_store *s, plx_slice topic, bool count_only, plx_presence_state_cb *cb,
                       void *arg)
{
    reading *x = plx_alloc_zero(1, sizeof *x);
    x->cb = cb;
    x->arg = arg;
    x->count_only = count_only;
    plx_pres_ask_state(s, topic, NULL, !count_only, have_read, PLX_DONE(NULL, x));
}

/* ---- which refs a diff joins */

static int compare_refs(const void *a, const void *b)
{
    return memcmp(a, b, PLX_PHX_REF_LEN);
}

static void add_ref(void *arg, plx_slice ref, plx_slice key, plx_slice meta)
{
    (void)key, (void)meta;
    plx_buf_add(arg, ref);
}

/* All refs that the diff joins, sorted, one behind the other. */
static plx_blob *index_refs(const plx_event *e)
{
    static const char *const names[] = {"joins"};
    plx_json_value joins;
    plx_buf refs;
    plx_buf_init(&refs, 0);
    if (plx_json_cut_object(e->payload, names, &joins, 1) == 0 && joins.type == PLX_JSON_OBJECT)
        plx_people_walk(joins.text, add_ref, &refs);
    if (refs.len > 0)
        qsort(refs.data, refs.len / PLX_PHX_REF_LEN, PLX_PHX_REF_LEN, compare_refs);
    plx_blob *blob = plx_blob_new(plx_buf_slice(&refs));
    plx_buf_fini(&refs);
    return blob;
}

bool plx_diff_joins(plx_event *e, plx_slice ref)
{
    if (e->kind != PLX_KIND_PRESENCE)
        return false;
    if (!plx_slice_is(e->event, "presence_diff"))
        return true;
    if (!e->encoded[PLX_EVENT_REFS])
        e->encoded[PLX_EVENT_REFS] = index_refs(e);
    const plx_blob *refs = e->encoded[PLX_EVENT_REFS];
    return ref.len == PLX_PHX_REF_LEN && refs->len > 0 &&
           bsearch(ref.data, refs->data, refs->len / PLX_PHX_REF_LEN, PLX_PHX_REF_LEN,
                   compare_refs) != NULL;
}
