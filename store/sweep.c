/* Sweeping.
 *
 * The sweep list says when to look at a session, not when it ends: its deadline is
 * in its record and moves with every poll, the list is corrected only when
 * somebody looks. So a poll costs no extra command, and a session is looked at
 * about once in its life span.
 *
 * Nobody is declared dead because Redis stood still or took no writes: a worker sweeps
 * only after its connections have worked, and none was refused, for a whole lease period, and a
 * look that took long to arrive is answered "late" by the script. A process that lives for one
 * request can't know that: such processes note in Redis when they were there, and sweep when none
 * of the pauses between them was long (plx_session_sweep_once).
 */
#include "store/sweep.h"
#include "base/alloc.h"
#include "base/crypto.h"
#include "base/error.h"
#include "store/session_due.h"
#include "store/session_internal.h"

#include <assert.h>
#include <stdlib.h>

#define EVERY_S      1.0
#define BATCH        100
#define ONCE_BATCH   4
#define PAUSE_MS     (PLX_LEASE_MS + 1000)
#define MAX_DELAY_MS 2000

struct plx_sweeper {
    plx_store *store;
    plx_session_sweep *sweep; /* the upper layer's */
    ev_timer timer;
    unsigned in_flight;
    bool more, stopped;
    void (*once)(void *arg); /* called when this pass is over, which is not repeated */
    void *once_arg;
};

static void ask_due(plx_sweeper *sw);

static void one_answered(plx_sweeper *sw)
{
    void (*once)(void *arg) = sw->once;
    if (--sw->in_flight > 0)
        return;
    sw->once = NULL;
    if (once)
        once(sw->once_arg);
    else if (sw->more && !sw->stopped)
        ask_due(sw);
}

/* {won, reason, lease deadline, work} */
static void won(plx_sweeper *sw, plx_slice sid, const redisReply *reply)
{
    plx_work work;
    plx_session_memory memory = {0};
    uint64_t deadline;
    if (!plx_reply_u64(plx_reply_at(reply, 2), &deadline) ||
        plx_session_read_work(plx_reply_at(reply, 3), sid, &work, &memory) != 0) {
        /* A damaged record can't be cleaned up after; its keys expire by themselves. */
        plx_sweep_unlist(sw->store, sid);
    } else {
        plx_slice reason = plx_reply_slice(plx_reply_at(reply, 1));
        char *text = plx_slice_dup(reason);
        sw->store->counters.sessions_swept++;
        plx_sweep_list(sw->store, sid, deadline, 0);
        sw->sweep->ended(sw->sweep, &work, text);
        free(text);
    }
    plx_session_memory_fini(&memory);
}

static void looked(const plx_done *done, int err, const redisReply *reply)
{
    plx_session_call *call = done->arg;
    plx_sweeper *sw = call->arg;
    plx_slice sid = plx_session_call_sid(call);
    const redisReply *word = plx_reply_at(reply, 0);
    uint64_t deadline = 0, has_work = 0;
    plx_reply_u64(plx_reply_at(reply, 1), &deadline);
    plx_reply_u64(plx_reply_at(reply, 3), &has_work);
    if (err || sw->stopped) {
        /* next time */
    } else if (plx_reply_is(word, "won")) {
        won(sw, sid, reply);
    } else if (plx_reply_is(word, "alive")) {
        plx_sweep_list(sw->store, sid, deadline, 0);
        plx_id_list(sw->store, plx_reply_slice(plx_reply_at(reply, 2)), sid, deadline, 0);
        if (has_work > 0)
            plx_due_list(sw->store, sid, PLX_DUE_CLAIM_MS); /* in case that the list was lost */
    } else if (plx_reply_is(word, "later")) {
        plx_sweep_list(sw->store, sid, deadline, 0);
    } else if (plx_reply_is(word, "none")) {
        plx_sweep_unlist(sw->store, sid);
    }
    free(call);
    one_answered(sw);
}

static void look(plx_sweeper *sw, plx_slice sid, plx_slice seen_ms)
{
    plx_command c;
    if (sid.len == 0 || sid.len > PLX_SID_MAX) {
        plx_sweep_unlist(sw->store, sid);
        return;
    }
    plx_session_begin(&c, sw->store, PLX_SCRIPT_EXPIRE, sid);
    plx_command_str(&c, sw->store->worker);
    plx_command_u64(&c, PLX_LEASE_MS);
    plx_command_add(&c, seen_ms);
    plx_command_u64(&c, MAX_DELAY_MS);
    sw->in_flight++;
    plx_script_send(sw->store, &c, looked,
                    PLX_DONE(NULL, plx_session_call_new(sw->store, sid, NULL, sw)));
}

/* {now, more, sessions} */
static void due(const plx_done *done, int err, const redisReply *reply)
{
    plx_sweeper *sw = done->arg;
    const redisReply *sids = plx_reply_at(reply, 2);
    uint64_t now = 0, more = 0;
    if (!err && (!plx_reply_u64(plx_reply_at(reply, 0), &now) ||
                 !plx_reply_u64(plx_reply_at(reply, 1), &more)))
        err = plx_store_odd("sweep list");
    sw->more = !err && more != 0;
    /* A single request (CGI) has asked for how long all writes were taken. */
    bool may = sw->once || plx_store_writable_for_ms(sw->store) >= PLX_LEASE_MS;
    sw->more = sw->more && may;
    for (size_t i = 0; !err && may && !sw->stopped && i < plx_reply_count(sids); i++)
        look(sw, plx_reply_slice(plx_reply_at(sids, i)), plx_reply_slice(plx_reply_at(reply, 0)));
    one_answered(sw);
}

static void ask_due(plx_sweeper *sw)
{
    plx_command c;
    sw->more = false;
    plx_script_begin(&c, PLX_SCRIPT_DUE, 1);
    char *key = plx_asprintf("%ssweep", plx_store_prefix(sw->store));
    plx_command_str(&c, key);
    free(key);
    plx_command_u64(&c, sw->once ? ONCE_BATCH : BATCH);
    plx_command_u64(&c, plx_random_below(1u << 30));
    sw->in_flight++;
    plx_script_send(sw->store, &c, due, PLX_DONE(NULL, sw));
}

/* For how long others have found Redis answering. */
static void asked_around(const plx_done *done, int err, const redisReply *reply)
{
    plx_sweeper *sw = done->arg;
    uint64_t ms = 0;
    if (!err && !plx_reply_u64(reply, &ms))
        err = plx_store_odd("how long Redis answers");
    if (!err && !sw->stopped && ms >= PLX_LEASE_MS)
        ask_due(sw);
    one_answered(sw);
}

void plx_session_sweep_once(plx_store *s, void (*done)(void *arg), void *arg)
{
    plx_sweeper *sw = s->sweeper;
    plx_command c;
    assert(sw && sw->in_flight == 0);
    sw->once = done;
    sw->once_arg = arg;
    plx_script_begin(&c, PLX_SCRIPT_ANSWERING, 1);
    char *key = plx_asprintf("%sanswering", plx_store_prefix(s));
    plx_command_str(&c, key);
    free(key);
    plx_command_u64(&c, PAUSE_MS);
    sw->in_flight++;
    plx_script_send(s, &c, asked_around, PLX_DONE(NULL, sw));
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    plx_sweeper *sw = w->data;
    (void)revents;
    /* A little jitter, so that workers started together don't look together for ever. */
    w->repeat = EVERY_S - 0.1 + plx_random_below(200) / 1000.0;
    ev_timer_again(loop, w);
    if (sw->in_flight == 0 && plx_store_up_for_ms(sw->store) >= PLX_LEASE_MS)
        ask_due(sw);
}

void plx_session_sweep_start(plx_store *s, plx_session_sweep *sweep)
{
    if (!s->sweeper) {
        s->sweeper = plx_alloc_zero(1, sizeof *s->sweeper);
        s->sweeper->store = s;
        ev_timer_init(&s->sweeper->timer, on_timer, 0., EVERY_S);
        s->sweeper->timer.data = s->sweeper;
        ev_timer_again(s->loop, &s->sweeper->timer);
    }
    s->sweeper->sweep = sweep;
}

void plx_sweeper_stop(plx_sweeper *sw)
{
    if (!sw)
        return;
    sw->stopped = true;
    ev_timer_stop(sw->store->loop, &sw->timer);
}

void plx_sweeper_free(plx_sweeper *sw)
{
    free(sw);
}
