/* Looking for sessions with something due; see session_due.h.
 *
 * Every worker that works sessions looks once a second, and at the moment when it
 * knows that something is due: by its own commits, and by what a look said of the
 * list's next one. So timers come within some milliseconds of their time, also
 * when the worker that set them is gone, unless it dies in between. A worker that
 * stops as planned does what it has claimed, or others would wait until the claim is over.
 */
#include "store/session_due.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "store/session_internal.h"

#include <stdlib.h>

#define EVERY_MS   1000
#define JITTER_MS  100
#define AT_ONCE_MS 5 /* between two looks */
#define BATCH      100
#define FIRED_MAX  64 /* timers of one session at once; the rest follows */
#define LIST_TTL_S 172800

struct plx_due_look {
    plx_store *store;
    plx_session_due *due; /* the upper layer's */
    ev_timer timer;
    bool looking, draining, stopped;
    size_t firings;       /* sessions that are being asked for their work */
    uint64_t expected_ms; /* a look begins then at the latest, when this one is over; 0: none */
};

static void add_list_key(plx_command *c, const plx_store *s)
{
    char *key = plx_asprintf("%stimers", plx_store_prefix(s));
    plx_command_str(c, key);
    free(key);
}

static void ignored(const plx_done *done, int err, const redisReply *reply)
{
    (void)done, (void)err, (void)reply;
}

void plx_due_list(plx_store *s, plx_slice sid, uint64_t delay_ms)
{
    plx_command c;
    plx_script_begin(&c, PLX_SCRIPT_TIMERS_LIST, 1);
    add_list_key(&c, s);
    plx_command_add(&c, sid);
    plx_command_u64(&c, delay_ms);
    plx_command_u64(&c, LIST_TTL_S);
    plx_script_send(s, &c, ignored, PLX_DONE(NULL, NULL));
}

void plx_session_unattended(plx_store *s, plx_slice sid)
{
    plx_due_list(s, sid, PLX_DUE_CLAIM_MS);
}

/* ---- one session */

typedef struct firing {
    plx_due_look *look;
    size_t claim_len, sid_len;
    char claim[24], sid[PLX_SID_MAX];
} firing;

/* The session is due again in delay_ms, or (negative) not at all; unless somebody has put it there
 * since. */
static void list_again(const firing *f, int64_t delay_ms)
{
    plx_command c;
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)delay_ms);
    plx_script_begin(&c, PLX_SCRIPT_TIMERS_NEXT, 1);
    add_list_key(&c, f->look->store);
    plx_command_add(&c, plx_slice_make(f->sid, f->sid_len));
    plx_command_add(&c, plx_slice_make(f->claim, f->claim_len));
    plx_command_str(&c, text);
    plx_script_send(f->look->store, &c, ignored, PLX_DONE(NULL, NULL));
}

static bool read_delay(const redisReply *reply, int64_t *out)
{
    plx_slice text = plx_reply_slice(reply);
    uint64_t n;
    if (plx_slice_is(text, "-1")) {
        *out = -1;
        return true;
    }
    if (!plx_decimal_parse(text, &n) || n > INT64_MAX)
        return false;
    *out = (int64_t)n;
    return true;
}

/* {work | wait, 0, 0, work, next} */
static int read_fired(firing *f, const redisReply *reply, plx_work *work,
                      plx_session_memory *memory, int64_t *next)
{
    const redisReply *word = plx_reply_at(reply, 0);
    bool has_work = plx_reply_is(word, "work");
    if (!has_work && !plx_reply_is(word, "wait"))
        return plx_session_verdict(0, reply);
    if (!read_delay(plx_reply_at(reply, 4), next))
        return plx_store_odd("timers");
    return has_work ? plx_session_read_work(plx_reply_at(reply, 3),
                                            plx_slice_make(f->sid, f->sid_len), work, memory)
                    : 0;
}

static void fired(const plx_done *done, int err, const redisReply *reply)
{
    firing *f = done->arg;
    plx_due_look *d = f->look;
    plx_work work = {.fence = 0};
    plx_session_memory memory = {.slots = NULL};
    int64_t next = -1;
    d->firings--;
    if (!err)
        err = read_fired(f, reply, &work, &memory, &next);
    if (!d->stopped && (!err || err == PLX_E_GONE)) {
        list_again(f, err ? -1 : next);
        if (!err && next >= 0)
            plx_due_expect(d->store, (uint64_t)next);
        if (!err && work.sid.len > 0)
            d->due->work(d->due, &work);
    }
    plx_session_memory_fini(&memory);
    free(f);
}

/* No session has this name. */
static void strike(plx_due_look *d, plx_slice name)
{
    plx_command c;
    plx_command_init(&c, "ZREM");
    add_list_key(&c, d->store);
    plx_command_add(&c, name);
    plx_conn_send(d->store->conn, &c, 0, ignored, PLX_DONE(NULL, NULL));
}

static void fire(plx_due_look *d, plx_slice sid, plx_slice claim)
{
    plx_command c;
    if (sid.len == 0 || sid.len > PLX_SID_MAX) {
        strike(d, sid);
        return;
    }
    firing *f = plx_alloc_zero(1, sizeof *f);
    d->firings++;
    f->look = d;
    f->sid_len = sid.len;
    f->claim_len = claim.len < sizeof f->claim ? claim.len : sizeof f->claim;
    memcpy(f->sid, sid.data, f->sid_len);
    memcpy(f->claim, claim.data, f->claim_len);
    plx_session_begin(&c, d->store, PLX_SCRIPT_FIRE, sid);
    plx_command_str(&c, d->store->worker);
    plx_command_u64(&c, PLX_LEASE_MS);
    plx_command_u64(&c, FIRED_MAX);
    plx_command_u64(&c, PLX_INBOX_ENTRIES);
    plx_command_u64(&c, PLX_DUE_CLAIM_MS);
    plx_script_send(d->store, &c, fired, PLX_DONE(NULL, f));
}

/* ---- the list */

static void schedule(plx_due_look *d, uint64_t ms)
{
    struct ev_loop *loop = d->store->loop;
    ev_timer_stop(loop, &d->timer);
    ev_timer_set(&d->timer, (ev_tstamp)ms / 1000.0, 0.);
    ev_timer_start(loop, &d->timer);
}

/* The look that is under way may have passed it by. */
static void expect_after(plx_due_look *d, uint64_t at_ms)
{
    if (d->expected_ms == 0 || at_ms < d->expected_ms)
        d->expected_ms = at_ms;
}

static void keep_expected(plx_due_look *d)
{
    uint64_t at_ms = d->expected_ms, now_ms = plx_now_ms();
    d->expected_ms = 0;
    if (at_ms > 0)
        plx_due_expect(d->store, at_ms > now_ms ? at_ms - now_ms : 0);
}

void plx_due_expect(plx_store *s, uint64_t delay_ms)
{
    plx_due_look *d = s->due;
    if (!d || d->stopped || d->draining)
        return;
    if (delay_ms < AT_ONCE_MS)
        delay_ms = AT_ONCE_MS;
    if (d->looking)
        expect_after(d, plx_now_ms() + delay_ms);
    else if (ev_timer_remaining(s->loop, &d->timer) * 1000.0 > (double)delay_ms)
        schedule(d, delay_ms);
}

/* {next, claim, sessions} */
static void looked(const plx_done *done, int err, const redisReply *reply)
{
    plx_due_look *d = done->arg;
    plx_slice claim = plx_reply_slice(plx_reply_at(reply, 1));
    const redisReply *sids = plx_reply_at(reply, 2);
    int64_t next = -1;
    d->looking = false;
    if (d->stopped)
        return;
    if (!err && !read_delay(plx_reply_at(reply, 0), &next))
        plx_store_odd("list of timers");
    if (!d->draining)
        schedule(d, EVERY_MS - JITTER_MS + plx_random_below(2 * JITTER_MS));
    for (size_t i = 0; !err && i < plx_reply_count(sids); i++)
        fire(d, plx_reply_slice(plx_reply_at(sids, i)), claim);
    if (next >= 0)
        plx_due_expect(d->store, (uint64_t)next);
    keep_expected(d);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    plx_due_look *d = w->data;
    plx_command c;
    (void)loop, (void)revents;
    if (!plx_store_up(d->store)) {
        schedule(d, EVERY_MS);
        return;
    }
    plx_script_begin(&c, PLX_SCRIPT_TIMERS_DUE, 1);
    add_list_key(&c, d->store);
    plx_command_u64(&c, BATCH);
    plx_command_u64(&c, PLX_DUE_CLAIM_MS);
    d->looking = true;
    plx_script_send(d->store, &c, looked, PLX_DONE(NULL, d));
}

/* ---- life */

void plx_session_due_start(plx_store *s, plx_session_due *due)
{
    plx_due_look *d = s->due;
    if (!d) {
        d = s->due = plx_alloc_zero(1, sizeof *d);
        d->store = s;
        ev_init(&d->timer, on_timer);
        d->timer.data = d;
    }
    d->due = due;
    d->stopped = d->draining = false;
    if (!d->looking)
        schedule(d, plx_random_below(EVERY_MS));
}

void plx_session_due_drain(plx_store *s)
{
    plx_due_look *d = s->due;
    if (!d)
        return;
    d->draining = true;
    ev_timer_stop(s->loop, &d->timer);
}

bool plx_session_due_busy(const plx_store *s)
{
    return s->due && !s->due->stopped && (s->due->looking || s->due->firings > 0);
}

void plx_session_due_stop(plx_store *s)
{
    plx_due_stop(s->due);
}

void plx_due_stop(plx_due_look *d)
{
    if (!d)
        return;
    d->stopped = true;
    ev_timer_stop(d->store->loop, &d->timer);
}

void plx_due_free(plx_due_look *d)
{
    free(d);
}
