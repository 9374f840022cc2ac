/* This worker as an owner: its deadline in Redis, and what has to be cleaned up after it.
 *
 *   {owners}        sorted set: owners by deadline (Redis' clock)
 *   {owners}:dead   sorted set: those that somebody cleans up after, by that one's deadline
 *   {o:W}:topics    set: topics on which W has tracked something
 *   {o:W}:members   hash: memberships to be reported (owner_memo.c)
 *
 * Every sign of life finds out whether the owner is still in the list. If not, it
 * was taken for dead, or Redis has lost its data. Then it goes on under another
 * name: under the old one everything may be removed at any moment. The old name is
 * put into the list once more, as one whose deadline has passed, behind all that
 * was sent under it: so also what arrived after its clean-up is cleaned up. And a
 * worker that has stood still sends nothing that makes an entry before it knows
 * that its name is good (plx_owner_is_sure): it might be killed in between.
 *
 * A topic is noted before the first entry goes out. It is taken off again when this
 * worker has had nothing there for a while, if it is certain of that.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/log.h"
#include "store/presence_internal.h"

#include <stdlib.h>

#define BEAT_S    3.0
#define MARGIN_MS 1000
#define IDLE_MS   660000 /* longer than any grace */
#define DROPS     100    /* topics taken off at one beat */
#define CHUNK     64     /* topics noted with one command */
#define KEEP_S    (7 * 86400)

typedef struct owned {
    int64_t entries;
    bool uncertain;   /* an answer was lost: there may be more */
    uint64_t idle_ms; /* since when there is nothing; 0: there is */
    plx_slice topic;
    char bytes[];
} owned;

struct plx_owner {
    plx_store *store;
    plx_owner_watch *watch;
    char name[PLX_WORKER_LEN + 1];
    unsigned generation; /* counts names, from 1 */
    bool listed;         /* the present name was seen in the list */
    uint64_t good_ms;    /* until then nobody can take it for dead */
    uint64_t asked_ms;   /* when the first sign of life was sent that is not answered */
    unsigned asked;      /* signs of life that are not answered */
    bool stopped;
    plx_map *topics; /* owned */
    plx_owner_memos memos;
    ev_timer beat;
};

/* ---- keys */

void plx_owners_key(plx_command *c, const plx_store *s, const char *suffix)
{
    char *key = plx_asprintf("%s{owners}%s", plx_store_prefix(s), suffix);
    plx_command_str(c, key);
    free(key);
}

void plx_owner_key(plx_command *c, const plx_store *s, plx_slice owner, const char *suffix)
{
    plx_command_key(c, plx_store_prefix(s), 'o', owner, suffix);
}

static void ignore(const plx_done *done, int err, const redisReply *reply)
{
    (void)done, (void)err, (void)reply;
}

/* ---- topics */

static void free_topics(plx_owner *o)
{
    size_t cursor = 0;
    owned *x;
    while ((x = plx_map_next(o->topics, &cursor)) != NULL) {
        plx_map_remove(o->topics, x->topic);
        free(x);
    }
}

static void note_topic(plx_owner *o, plx_slice topic)
{
    plx_command c;
    plx_command_init(&c, "SADD");
    plx_owner_key(&c, o->store, plx_slice_of(o->name), ":topics");
    plx_command_add(&c, topic);
    plx_conn_send(o->store->conn, &c, 0, ignore, PLX_DONE(NULL, NULL));
}

void plx_owner_touch(plx_store *s, plx_slice topic)
{
    plx_owner *o = s->owner;
    owned *x = plx_map_get(o->topics, topic);
    if (!x) {
        x = plx_alloc_zero(1, sizeof *x + topic.len);
        memcpy(x->bytes, topic.data, topic.len);
        x->topic = plx_slice_make(x->bytes, topic.len);
        plx_map_put(o->topics, x->topic, x);
        note_topic(o, topic);
    }
    x->idle_ms = 0;
}

void plx_owner_count(plx_store *s, plx_slice topic, unsigned generation, int64_t change, bool known)
{
    if (!plx_owner_is_current(s, generation))
        return;
    owned *x = plx_map_get(s->owner->topics, topic);
    if (!x)
        return;
    x->entries += change;
    x->uncertain = x->uncertain || !known;
    x->idle_ms = x->entries > 0 ? 0 : plx_now_ms();
}

static void drop_idle(plx_owner *o)
{
    size_t cursor = 0, count = 0;
    uint64_t now = plx_now_ms();
    plx_command c;
    owned *x;
    while (count < DROPS && (x = plx_map_next(o->topics, &cursor)) != NULL) {
        if (x->uncertain || x->entries > 0 || !x->idle_ms || now - x->idle_ms < IDLE_MS)
            continue;
        if (count++ == 0) {
            plx_command_init(&c, "SREM");
            plx_owner_key(&c, o->store, plx_slice_of(o->name), ":topics");
        }
        plx_command_add(&c, x->topic);
        plx_map_remove(o->topics, x->topic);
        free(x);
    }
    if (count > 0)
        plx_conn_send(o->store->conn, &c, 0, ignore, PLX_DONE(NULL, NULL));
}

/* The set has fewer than it should (a write was refused, a key evicted). */
static void note_all(plx_owner *o)
{
    size_t cursor = 0, count = 0;
    plx_command c;
    owned *x;
    while ((x = plx_map_next(o->topics, &cursor)) != NULL) {
        if (count == 0) {
            plx_command_init(&c, "SADD");
            plx_owner_key(&c, o->store, plx_slice_of(o->name), ":topics");
        }
        plx_command_add(&c, x->topic);
        if (++count == CHUNK) {
            plx_conn_send(o->store->conn, &c, 0, ignore, PLX_DONE(NULL, NULL));
            count = 0;
        }
    }
    if (count > 0)
        plx_conn_send(o->store->conn, &c, 0, ignore, PLX_DONE(NULL, NULL));
}

static void counted(const plx_done *done, int err, const redisReply *reply)
{
    plx_owner *o = done->arg;
    uint64_t n;
    if (err || o->stopped || !plx_reply_u64(reply, &n))
        return;
    if (n < plx_map_count(o->topics))
        note_all(o);
}

static void look_after_keys(plx_owner *o)
{
    static const char *const suffixes[] = {":topics", ":members"};
    plx_command c;
    drop_idle(o);
    for (size_t i = 0; i < 2; i++) {
        plx_command_init(&c, "EXPIRE");
        plx_owner_key(&c, o->store, plx_slice_of(o->name), suffixes[i]);
        plx_command_u64(&c, KEEP_S);
        plx_conn_send(o->store->conn, &c, 0, ignore, PLX_DONE(NULL, NULL));
    }
    plx_command_init(&c, "SCARD");
    plx_owner_key(&c, o->store, plx_slice_of(o->name), suffixes[0]);
    plx_conn_send(o->store->conn, &c, 0, counted, PLX_DONE(NULL, o));
}

/* ---- signs of life */

void plx_owner_send_beat(plx_store *s, plx_slice owner, const char *suffix, uint64_t ms, bool fresh,
                         plx_answer_fn *answer, plx_done done)
{
    plx_command c;
    plx_script_begin(&c, PLX_SCRIPT_OWNER_BEAT, 1);
    plx_owners_key(&c, s, suffix);
    plx_command_add(&c, owner);
    plx_command_u64(&c, ms);
    plx_command_u64(&c, fresh);
    plx_script_send(s, &c, answer, done);
}

static void send_beat(plx_owner *o);

static void lose(plx_owner *o)
{
    plx_log_limited(PLX_WARNING,
                    "presence: this worker was taken for dead, or Redis lost its data");
    note_all(o); /* whoever cleaned up may have been there already */
    plx_owner_send_beat(o->store, plx_slice_of(o->name), "", 0, true, ignore, PLX_DONE(NULL, NULL));
    plx_random_id(o->name, PLX_WORKER_LEN);
    o->generation++;
    o->listed = false;
    o->good_ms = 0;
    free_topics(o);
    plx_owner_memos_clear(&o->memos);
    send_beat(o);
    if (o->watch && o->watch->lost)
        o->watch->lost(o->watch);
}

/* An answer about a former name finds `listed` false and says what is known. */
static void beaten(const plx_done *done, int err, const redisReply *reply)
{
    plx_owner *o = done->arg;
    uint64_t there;
    o->asked--;
    if (err || o->stopped)
        return;
    if (!plx_reply_u64(reply, &there)) {
        plx_store_odd("sign of life");
    } else if (there) {
        bool sure = plx_owner_is_sure(o->store);
        o->listed = true;
        o->good_ms = o->asked_ms + PLX_OWNER_DEADLINE_MS - MARGIN_MS;
        if (!sure)
            plx_presence_conn_up(o->store->presence);
    } else if (o->listed) {
        lose(o);
    }
}

bool plx_owner_is_sure(const plx_store *s)
{
    return s->owner->good_ms > plx_now_ms();
}

static void send_beat(plx_owner *o)
{
    if (o->asked++ == 0)
        o->asked_ms = plx_now_ms();
    plx_owner_send_beat(o->store, plx_slice_of(o->name), "", PLX_OWNER_DEADLINE_MS, !o->listed,
                        beaten, PLX_DONE(NULL, o));
}

static void on_beat(struct ev_loop *loop, ev_timer *w, int revents)
{
    plx_owner *o = w->data;
    (void)loop, (void)revents;
    if (!plx_conn_up(o->store->conn))
        return; /* at once when it is up again */
    send_beat(o);
    look_after_keys(o);
}

void plx_owner_conn_up(plx_owner *o)
{
    if (!o || o->stopped)
        return;
    send_beat(o);
    plx_owner_memos_repeat(&o->memos);
}

/* ---- names */

unsigned plx_owner_generation(const plx_store *s, plx_slice owner)
{
    return s->owner && plx_slice_is(owner, s->owner->name) ? s->owner->generation : 0;
}

bool plx_owner_is_current(const plx_store *s, unsigned generation)
{
    return s->owner && generation == s->owner->generation && !s->owner->stopped;
}

plx_slice plx_owner_name(const plx_store *s)
{
    return plx_slice_of(s->owner ? s->owner->name : s->worker);
}

plx_owner_memos *plx_owner_memos_of(plx_store *s)
{
    return s->owner ? &s->owner->memos : NULL;
}

/* ---- life */

void plx_owner_start(plx_store *s, plx_owner_watch *w)
{
    plx_owner *o = plx_alloc_zero(1, sizeof *o);
    o->store = s;
    o->watch = w;
    memcpy(o->name, s->worker, sizeof o->name);
    o->generation = 1;
    o->topics = plx_map_new();
    plx_owner_memos_init(&o->memos, s);
    ev_timer_init(&o->beat, on_beat, BEAT_S, BEAT_S);
    o->beat.data = o;
    ev_timer_start(s->loop, &o->beat);
    s->owner = o;
    send_beat(o);
}

void plx_owner_halt(plx_owner *o)
{
    if (!o)
        return;
    o->stopped = true;
    ev_timer_stop(o->store->loop, &o->beat);
}

static void said_goodbye(const plx_done *done, int err, const redisReply *reply)
{
    (void)reply;
    if (done->fn)
        ((void (*)(void *, int))done->fn)(done->arg, err);
}

void plx_owner_stop(plx_store *s, void (*cb)(void *arg, int err), void *arg)
{
    plx_owner_halt(s->owner);
    plx_owner_send_beat(s, plx_owner_name(s), "", 0, false, said_goodbye, PLX_DONE(cb, arg));
}

void plx_owner_close(plx_owner *o)
{
    if (!o)
        return;
    plx_owner_halt(o);
    free_topics(o);
    plx_map_free(o->topics);
    plx_owner_memos_fini(&o->memos);
    free(o);
}
