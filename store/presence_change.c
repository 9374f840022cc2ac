/* Changes of presence on their way to Redis.
 *
 * The changes of a topic that come up in one turn of the loop, or while an earlier
 * command is under way, go together in one call of presence_change.lua, in their
 * order. A track that fails is the caller's business. An untrack that fails is
 * repeated, at the head of the next call: so nothing that the same socket tracks
 * afterwards can be hit by it, and no entry outlives its socket because Redis was
 * away for a moment.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "store/presence_internal.h"

#include <stdlib.h>

#define BATCH       100
#define BATCH_BYTES (256u << 10)
#define RETRY_S     1.0
#define WAITING_MAX 50000 /* changes in Redis that are not published yet */

typedef struct batch {
    plx_pres_topic *topic;
    plx_list changes;
} batch;

/* ---- answers */

static void finish(plx_pres_change *x, int err, const plx_tracked *tracked)
{
    void (*fn)(void) = x->fn;
    x->fn = NULL;
    if (!fn)
        return;
    if (x->kind == PLX_PRES_TRACK)
        ((plx_track_cb *)fn)(x->arg, err, tracked);
    else
        ((plx_presence_cb *)fn)(x->arg, err);
}

static int read_track(plx_slice word, const plx_position *position, const plx_pres_change *x,
                      plx_tracked *out)
{
    static const plx_slice taken = PLX_LIT("taken ");
    out->ref = x->field[2];
    out->taken_at = NULL;
    if (plx_slice_is(word, "ok"))
        return 0;
    if (plx_slice_starts(word, taken) && word.len == taken.len + PLX_PHX_REF_LEN) {
        out->ref = plx_slice_make(word.data + taken.len, PLX_PHX_REF_LEN);
        out->taken_at = position;
        return 0;
    }
    if (plx_slice_is(word, "invalid"))
        return PLX_E_INVALID;
    if (plx_slice_is(word, "many") || plx_slice_is(word, "full"))
        return PLX_E_TOOBIG;
    return plx_slice_is(word, "busy") ? PLX_E_BUSY : plx_store_odd("track");
}

static void succeed(plx_pres_topic *t, plx_pres_change *x, const plx_position *position,
                    const redisReply *result)
{
    plx_store *s = t->presence->store;
    uint64_t gone = 0;
    if (x->kind == PLX_PRES_TRACK) {
        plx_tracked tracked;
        int err = read_track(plx_reply_slice(result), position, x, &tracked);
        bool more = !err && x->field[3].len == 0;
        plx_owner_count(s, t->name, x->generation, more ? 1 : 0, true);
        finish(x, err, err ? NULL : &tracked);
    } else {
        plx_reply_u64(result, &gone);
        plx_owner_count(s, t->name, x->generation, -(int64_t)(gone < 64 ? gone : 64), true);
        finish(x, 0, NULL);
    }
    free(x);
}

/* Takes the changes back, and with them what waits behind them: it would fare no better. Untracks
 * are kept to be repeated. */
static void fail(plx_pres_topic *t, plx_list *changes, int err)
{
    plx_list undone, *node;
    plx_list_init(&undone);
    plx_list_splice(changes, &t->changes);
    t->unsent = 0;
    while ((node = plx_list_shift(changes)) != NULL) {
        plx_pres_change *x = PLX_CONTAINER(node, plx_pres_change, node);
        bool again = x->kind == PLX_PRES_UNTRACK && !x->err && !t->presence->stopped;
        plx_owner_count(t->presence->store, t->name, x->generation, 0, false);
        finish(x, x->err ? x->err : err, NULL);
        if (again) {
            x->repeated = true;
            t->unsent++;
            plx_list_push(&undone, &x->node);
        } else {
            free(x);
        }
    }
    plx_list_splice(&undone, &t->changes);
    plx_list_splice(&t->changes, &undone);
}

/* What is there by now is sent; what only waits to be repeated after an error has time. */
static void go_on(plx_pres_topic *t, int err)
{
    if (t->presence->stopped)
        return;
    const plx_list *last = t->changes.prev;
    bool nothing = last == &t->changes;
    if (!nothing && (!err || !PLX_CONTAINER(last, const plx_pres_change, node)->repeated))
        plx_later_add(&t->presence->store->laters, &t->send);
    else if (!nothing && !plx_pres_running(&t->again))
        ev_timer_again(t->presence->store->loop, &t->again);
    else
        plx_pres_topic_release(t);
}

static void changed(const plx_done *done, int err, const redisReply *reply)
{
    batch *b = done->arg;
    plx_pres_topic *t = b->topic;
    const redisReply *results = plx_reply_at(reply, 4);
    plx_position position = {"", 0};
    int64_t due_in_ms = -1;
    uint64_t mine = 0;
    plx_list *node;
    if (!err && (!plx_pres_read_due(reply, 0, &due_in_ms) || !plx_reply_is_array(results) ||
                 !plx_reply_u64(plx_reply_at(reply, 1), &mine)))
        err = plx_store_odd("change of presence");
    t->sending = false;
    if (err) {
        fail(t, &b->changes, err);
    } else {
        if (plx_epoch_set(&position, plx_reply_slice(plx_reply_at(reply, 2))) == 0)
            plx_reply_u64(plx_reply_at(reply, 3), &position.offset);
        for (size_t i = 0; (node = plx_list_shift(&b->changes)) != NULL; i++)
            succeed(t, PLX_CONTAINER(node, plx_pres_change, node), &position,
                    plx_reply_at(results, i));
        plx_pres_due(t, due_in_ms, mine != 0);
    }
    free(b);
    go_on(t, err);
}

/* ---- sending */

static void add_change(plx_command *c, const plx_pres_change *x)
{
    plx_command_str(c, x->kind == PLX_PRES_TRACK ? "t" : "u");
    for (unsigned i = 0; i < x->fields; i++)
        plx_command_add(c, x->field[i]);
}

/* Whether it can be sent; otherwise it has been answered and freed. What is to be tracked under a
 * name that others took for dead would be nobody's. */
static bool still_good(plx_presence *p, plx_pres_change *x)
{
    if (x->kind == PLX_PRES_TRACK && x->generation &&
        !plx_owner_is_current(p->store, x->generation))
        x->err = PLX_E_GONE;
    if (!x->err)
        return true;
    finish(x, x->err, NULL);
    free(x);
    return false;
}

/* Something is to be tracked under this worker's name, which may be lost: its next sign of life
 * tells. (While Redis can't be reached at all the answer is that.) */
static bool must_wait(const plx_pres_topic *t)
{
    plx_store *s = t->presence->store;
    if (!s->owner || plx_owner_is_sure(s) || !plx_conn_up(s->conn))
        return false;
    for (const plx_list *n = t->changes.next; n != &t->changes; n = n->next) {
        const plx_pres_change *x = PLX_CONTAINER(n, const plx_pres_change, node);
        if (x->kind == PLX_PRES_TRACK && x->generation && !x->err)
            return true;
    }
    return false;
}

void plx_pres_changes_send(plx_pres_topic *t)
{
    plx_presence *p = t->presence;
    plx_list *node;
    size_t count = 0, bytes = 0;
    plx_command c;
    if (t->sending || p->stopped)
        return;
    if (must_wait(t)) {
        ev_timer_again(p->store->loop, &t->again); /* sooner if the sign of life is answered */
        return;
    }
    t->sending = true; /* also while callbacks run */
    ev_timer_stop(p->store->loop, &t->again);
    batch *b = plx_alloc_zero(1, sizeof *b);
    b->topic = t;
    plx_list_init(&b->changes);
    while (count < BATCH && bytes < BATCH_BYTES && (node = plx_list_shift(&t->changes)) != NULL) {
        plx_pres_change *x = PLX_CONTAINER(node, plx_pres_change, node);
        t->unsent--;
        if (!still_good(p, x))
            continue;
        plx_list_push(&b->changes, &x->node);
        bytes += x->bytes;
        count++;
        if (x->kind == PLX_PRES_TRACK && x->generation)
            plx_owner_touch(p->store, t->name);
    }
    if (count == 0) {
        free(b);
        t->sending = false;
        plx_pres_topic_release(t);
        return;
    }
    plx_pres_begin(&c, p->store, PLX_SCRIPT_PRESENCE_CHANGE, t->name, PLX_PRES_KEYS + 1);
    plx_pres_add_rules(&c, p->store, t->name, &t->rules, true);
    plx_command_u64(&c, PLX_TRACKS_MAX);
    plx_command_u64(&c, PLX_PRESENCE_MAX_BYTES);
    plx_command_u64(&c, WAITING_MAX);
    for (const plx_list *n = b->changes.next; n != &b->changes; n = n->next)
        add_change(&c, PLX_CONTAINER(n, const plx_pres_change, node));
    plx_script_send(p->store, &c, changed, PLX_DONE(NULL, b));
}

static void run_send(plx_later *item)
{
    plx_pres_changes_send(PLX_CONTAINER(item, plx_pres_topic, send));
}

/* Redis answers, but not our signs of life. */
static void refuse_tracks(plx_pres_topic *t)
{
    for (plx_list *n = t->changes.next; n != &t->changes; n = n->next) {
        plx_pres_change *x = PLX_CONTAINER(n, plx_pres_change, node);
        if (x->kind == PLX_PRES_TRACK && x->generation && !x->err)
            x->err = PLX_E_DOWN;
    }
}

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    plx_pres_topic *t = w->data;
    (void)revents;
    ev_timer_stop(loop, w);
    if (must_wait(t))
        refuse_tracks(t);
    plx_pres_changes_send(t);
}

void plx_pres_changes_init(plx_pres_topic *t)
{
    plx_list_init(&t->changes);
    plx_later_init(&t->send, run_send);
    ev_timer_init(&t->again, on_again, 0., RETRY_S);
    t->again.data = t;
}

/* ---- the end */

void plx_pres_changes_fail(plx_list *changes)
{
    plx_list *node;
    while ((node = plx_list_shift(changes)) != NULL) {
        plx_pres_change *x = PLX_CONTAINER(node, plx_pres_change, node);
        finish(x, PLX_E_DOWN, NULL);
        free(x);
    }
}

void plx_pres_changes_drop(plx_list *changes)
{
    plx_list *node;
    while ((node = plx_list_shift(changes)) != NULL)
        free(PLX_CONTAINER(node, plx_pres_change, node));
}
