/* A store, feeds and timers for the long-poll transport that a test plays: see lp_world.h. The
 * linker puts these in the place of the real ones (--wrap, see the Makefile). */
#ifndef PLX_TESTS_LP_FAKE_STORE_H
#define PLX_TESTS_LP_FAKE_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/control.h"
#include "store/feed.h"
#include "store/session.h"
#include "store/topic.h"
#include "tests/unit/fake_presence.h"

#include <ev.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define UNUSED __attribute__((unused))

/* ---- what happened ---- */

static plx_buf trace;

#define expect(text) expect_at(text, __FILE__, __LINE__)
static UNUSED void expect_at(const char *text, const char *file, int line)
{
    const char *got = plx_buf_cstr(&trace);
    if (strcmp(got, text) != 0) {
        fprintf(stderr, "expected:\n%s\ngot:\n%s\n", text, got);
        _fail(file, line);
    }
    plx_buf_clear(&trace);
}

static UNUSED void ignore_trace(void)
{
    plx_buf_clear(&trace);
}

/* Session ids are 22 characters: "S1" stands for the name padded with '_'. */
static const char *sid_text(const char *name)
{
    static char text[PLX_SID_LEN + 1];
    memset(text, '_', PLX_SID_LEN);
    memcpy(text, name, strlen(name));
    return text;
}

static int sid_len(plx_slice sid)
{
    const char *end = memchr(sid.data, '_', sid.len);
    return end ? (int)(end - sid.data) : (int)sid.len;
}

#define SID(s)  sid_len(s), (s).data
#define TEXT(s) (int)(s).len, (s).data ? (s).data : ""
#define NAME(s) plx_slice_of(s)

/* ---- time ---- */

#define TIMERS_MAX 16384
static ev_timer *timers[TIMERS_MAX];
static uint64_t timer_due[TIMERS_MAX];
static size_t timer_count;
static uint64_t now_ms;

void __wrap_ev_timer_start(struct ev_loop *l, ev_timer *w);
void __wrap_ev_timer_start(struct ev_loop *l, ev_timer *w)
{
    (void)l;
    if (ev_is_active(w))
        return;
    assert_true(timer_count < TIMERS_MAX);
    w->active = 1;
    timers[timer_count] = w;
    timer_due[timer_count++] = now_ms + (uint64_t)(w->at * 1000 + 0.5);
}

void __wrap_ev_timer_stop(struct ev_loop *l, ev_timer *w);
void __wrap_ev_timer_stop(struct ev_loop *l, ev_timer *w)
{
    (void)l;
    for (size_t i = 0; i < timer_count; i++) {
        if (timers[i] == w) {
            timers[i] = timers[--timer_count];
            timer_due[i] = timer_due[timer_count];
        }
    }
    w->active = 0;
}

/* ---- the store ---- */

enum call_kind {
    CALL_POLL,
    CALL_LOOK,
    CALL_RECALL,
    CALL_POST,
    CALL_TAKE,
    CALL_COMMIT,
    CALL_RENEW,
    CALL_POSITION,
    CALL_SINCE,
    CALL_PUBLISH,
    CALL_CREATE,
    CALL_OTHER
};

typedef struct store_call {
    struct store_call *next;
    enum call_kind kind;
    char sid[PLX_SID_LEN + 1];
    uint64_t number; /* generation or entry */
    void (*cb)(void);
    void *arg;
} store_call;

static struct ev_loop *loop;
static plx_config config;
static plx_store *const store = (plx_store *)(void *)&config;
static bool store_is_up;
static plx_store_watch *store_watch;
static plx_mailbox *mailbox;
static plx_control *control;
static plx_session_sweep *sweeper;
static store_call *first_call;
static bool quiet; /* writes down no watches */

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    plx_buf_vprintf(&trace, format, args);
    va_end(args);
    plx_buf_byte(&trace, '\n');
}

static void add_call(enum call_kind kind, plx_slice sid, uint64_t number, void (*cb)(void),
                     void *arg)
{
    store_call *c = plx_alloc_zero(1, sizeof *c), **at = &first_call;
    c->kind = kind;
    memcpy(c->sid, sid.data, sid.len < PLX_SID_LEN ? sid.len : PLX_SID_LEN);
    c->number = number;
    c->cb = cb;
    c->arg = arg;
    while (*at)
        at = &(*at)->next;
    *at = c;
}

/* Takes the oldest call of a kind (a poll or look: of either) off the queue. */
static store_call take_call(enum call_kind kind)
{
    for (store_call **at = &first_call; *at; at = &(*at)->next) {
        store_call *c = *at, copy = *c;
        if (c->kind != kind && !(kind == CALL_POLL && c->kind == CALL_LOOK) &&
            !(kind == CALL_POST && c->kind == CALL_TAKE))
            continue;
        *at = c->next;
        free(c);
        return copy;
    }
    fail_msg("the transport asked for nothing of this kind");
    return (store_call){.arg = NULL};
}

static UNUSED unsigned calls_waiting(void)
{
    unsigned n = 0;
    for (store_call *c = first_call; c; c = c->next)
        n++;
    return n;
}

struct ev_loop *__wrap_plx_store_loop(plx_store *s);
struct ev_loop *__wrap_plx_store_loop(plx_store *s)
{
    assert_ptr_equal(s, store);
    return loop;
}

const plx_config *__wrap_plx_store_config(const plx_store *s);
const plx_config *__wrap_plx_store_config(const plx_store *s)
{
    assert_ptr_equal(s, store);
    return &config;
}

const char *__wrap_plx_store_worker(const plx_store *s);
const char *__wrap_plx_store_worker(const plx_store *s)
{
    (void)s;
    return "w1";
}

bool __wrap_plx_store_up(const plx_store *s);
bool __wrap_plx_store_up(const plx_store *s)
{
    (void)s;
    return store_is_up;
}

void __wrap_plx_store_watch_add(plx_store *s, plx_store_watch *w);
void __wrap_plx_store_watch_add(plx_store *s, plx_store_watch *w)
{
    (void)s;
    store_watch = w;
}

void __wrap_plx_store_watch_remove(plx_store *s, plx_store_watch *w);
void __wrap_plx_store_watch_remove(plx_store *s, plx_store_watch *w)
{
    (void)s;
    assert_ptr_equal(store_watch, w);
    store_watch = NULL;
}

void __wrap_plx_control_set(plx_store *s, plx_control *c);
void __wrap_plx_control_set(plx_store *s, plx_control *c)
{
    (void)s;
    control = c;
}

void __wrap_plx_mailbox_set(plx_store *s, plx_mailbox *m);
void __wrap_plx_mailbox_set(plx_store *s, plx_mailbox *m)
{
    (void)s;
    mailbox = m;
}

void __wrap_plx_mailbox_supersede(plx_store *s, plx_slice worker, plx_slice sid,
                                  uint64_t generation);
void __wrap_plx_mailbox_supersede(plx_store *s, plx_slice worker, plx_slice sid,
                                  uint64_t generation)
{
    (void)s;
    note("supersede %.*s %.*s #%" PRIu64, TEXT(worker), SID(sid), generation);
}

void __wrap_plx_session_sweep_start(plx_store *s, plx_session_sweep *w);
void __wrap_plx_session_sweep_start(plx_store *s, plx_session_sweep *w)
{
    (void)s;
    sweeper = w;
}

static plx_session_due *due; /* NULL once it is stopped */
static bool due_draining, due_busy;

void __wrap_plx_session_due_start(plx_store *s, plx_session_due *d);
void __wrap_plx_session_due_start(plx_store *s, plx_session_due *d)
{
    (void)s;
    due = d;
    due_draining = due_busy = false;
}

void __wrap_plx_session_due_drain(plx_store *s);
void __wrap_plx_session_due_drain(plx_store *s)
{
    (void)s;
    due_draining = true;
}

bool __wrap_plx_session_due_busy(const plx_store *s);
bool __wrap_plx_session_due_busy(const plx_store *s)
{
    (void)s;
    return due_busy;
}

void __wrap_plx_session_due_stop(plx_store *s);
void __wrap_plx_session_due_stop(plx_store *s)
{
    (void)s;
    due = NULL;
}

void __wrap_plx_session_unattended(plx_store *s, plx_slice sid);
void __wrap_plx_session_unattended(plx_store *s, plx_slice sid)
{
    (void)s;
    note("unattended %.*s", SID(sid));
}

void __wrap_plx_session_poll(plx_store *s, plx_slice sid, uint64_t q_cursor, uint64_t generation,
                             uint64_t window_ms, uint64_t life_ms, plx_view_cb *cb, void *arg);
void __wrap_plx_session_poll(plx_store *s, plx_slice sid, uint64_t q_cursor, uint64_t generation,
                             uint64_t window_ms, uint64_t life_ms, plx_view_cb *cb, void *arg)
{
    (void)s;
    (void)window_ms;
    assert_true(life_ms >= 30000);
    note("poll %.*s q%" PRIu64 " #%" PRIu64, SID(sid), q_cursor, generation);
    add_call(CALL_POLL, sid, generation, (void (*)(void))cb, arg);
}

void __wrap_plx_session_look(plx_store *s, plx_slice sid, uint64_t q_cursor, uint64_t generation,
                             plx_view_cb *cb, void *arg);
void __wrap_plx_session_look(plx_store *s, plx_slice sid, uint64_t q_cursor, uint64_t generation,
                             plx_view_cb *cb, void *arg)
{
    (void)s;
    note("look %.*s q%" PRIu64 " #%" PRIu64, SID(sid), q_cursor, generation);
    add_call(CALL_LOOK, sid, generation, (void (*)(void))cb, arg);
}

void __wrap_plx_session_recall(plx_store *s, plx_slice sid, const uint32_t *slots, size_t count,
                               plx_recall_cb *cb, void *arg);
void __wrap_plx_session_recall(plx_store *s, plx_slice sid, const uint32_t *slots, size_t count,
                               plx_recall_cb *cb, void *arg)
{
    (void)s;
    plx_buf_printf(&trace, "recall %.*s", SID(sid));
    for (size_t i = 0; i < count; i++)
        plx_buf_printf(&trace, " %u", slots[i]);
    plx_buf_byte(&trace, '\n');
    add_call(CALL_RECALL, sid, 0, (void (*)(void))cb, arg);
}

static char last_digest[80];

void __wrap_plx_session_post(plx_store *s, plx_slice sid, enum plx_entry_kind kind,
                             plx_slice digest, unsigned status, plx_slice body, uint64_t life_ms,
                             plx_post_cb *cb, void *arg);
void __wrap_plx_session_post(plx_store *s, plx_slice sid, enum plx_entry_kind kind,
                             plx_slice digest, unsigned status, plx_slice body, uint64_t life_ms,
                             plx_post_cb *cb, void *arg)
{
    (void)s;
    assert_true(life_ms >= 30000);
    snprintf(last_digest, sizeof last_digest, "%.*s", TEXT(digest));
    note("post %.*s %c %u %.*s", SID(sid), kind, status, TEXT(body));
    add_call(CALL_POST, sid, 0, (void (*)(void))cb, arg);
}

void __wrap_plx_session_take(plx_store *s, plx_slice sid, uint64_t entry, plx_post_cb *cb,
                             void *arg);
void __wrap_plx_session_take(plx_store *s, plx_slice sid, uint64_t entry, plx_post_cb *cb,
                             void *arg)
{
    (void)s;
    note("take %.*s %" PRIu64, SID(sid), entry);
    add_call(CALL_TAKE, sid, entry, (void (*)(void))cb, arg);
}

/* ---- the record that commits change, and that work is given from ---- */

#define SLOTS_MAX 1000
static plx_slot record[SLOTS_MAX]; /* topic and state owned */
static size_t record_count;
static plx_slot staged_set[SLOTS_MAX]; /* of the commit under way; owned */
static size_t staged_sets;
static uint32_t staged_drop[SLOTS_MAX], next_slot;
static size_t staged_drops;

static void free_slot(plx_slot *s)
{
    free((void *)(uintptr_t)s->topic.data);
    free((void *)(uintptr_t)s->state.data);
}

static void unstage(void)
{
    for (size_t i = 0; i < staged_sets; i++)
        free_slot(&staged_set[i]);
    staged_sets = staged_drops = 0;
}

static void forget_record(void)
{
    unstage();
    for (size_t i = 0; i < record_count; i++)
        free_slot(&record[i]);
    record_count = 0;
    next_slot = 1;
}

static void apply_commit(void)
{
    for (size_t i = 0; i < staged_sets; i++) {
        size_t at = 0;
        while (at < record_count && record[at].number != staged_set[i].number)
            at++;
        if (at < record_count)
            free_slot(&record[at]);
        else
            record_count++;
        record[at] = staged_set[i];
        if (record[at].number >= next_slot)
            next_slot = record[at].number + 1;
    }
    staged_sets = 0;
    for (size_t i = 0; i < staged_drops; i++) {
        if (staged_drop[i] >= next_slot)
            next_slot = staged_drop[i] + 1;
        for (size_t at = 0; at < record_count; at++) {
            if (record[at].number != staged_drop[i])
                continue;
            free_slot(&record[at]);
            memmove(&record[at], &record[at + 1], (--record_count - at) * sizeof record[0]);
        }
    }
    staged_drops = 0;
}

static void note_entry(const plx_q_entry *q)
{
    plx_buf_str(&trace, " [");
    if (q->kind == PLX_Q_OPEN)
        plx_buf_printf(&trace, "open %u %.*s@%" PRIu64 " ", q->slot.number, TEXT(q->slot.topic),
                       q->slot.start.offset);
    if (q->kind == PLX_Q_END)
        plx_buf_printf(&trace, "end %u %.*s <=%" PRIu64 " ", q->slot.number, TEXT(q->slot.topic),
                       q->end);
    for (size_t i = 0; i < q->barrier_count; i++)
        plx_buf_printf(&trace, "after %u@%" PRIu64 " ", q->barriers[i].slot, q->barriers[i].offset);
    plx_buf_printf(&trace, "%.*s]", q->text.len < 200 ? (int)q->text.len : 20, q->text.data);
}

static void stage(const plx_commit *c)
{
    unstage();
    for (size_t i = 0; i < c->set_count; i++) {
        plx_slot *s = &staged_set[staged_sets++];
        *s = c->set[i];
        s->topic.data = plx_slice_dup(c->set[i].topic);
        s->state.data = plx_slice_dup(c->set[i].state);
        plx_buf_printf(&trace, " set %u", s->number);
    }
    for (size_t i = 0; i < c->drop_count; i++) {
        staged_drop[staged_drops++] = c->drop[i];
        plx_buf_printf(&trace, " drop %u", c->drop[i]);
    }
    for (size_t i = 0; i < c->timer_count; i++) {
        const plx_slot_timer *t = &c->timers[i];
        plx_buf_printf(&trace,
                       t->message.len > 0 ? " timer %u:%.*s %" PRIu64 " %.*s" : " cancel %u:%.*s",
                       t->slot, TEXT(t->name), t->ms, TEXT(t->message));
    }
}

void __wrap_plx_session_commit(plx_store *s, const plx_commit *c,
                               void (*cb)(void *arg, int err, const plx_work *next), void *arg);
void __wrap_plx_session_commit(plx_store *s, const plx_commit *c,
                               void (*cb)(void *arg, int err, const plx_work *next), void *arg)
{
    (void)s;
    plx_buf_printf(&trace, "commit %.*s f%" PRIu64 " e%" PRIu64, SID(c->sid), c->fence, c->entry);
    if (c->status != 0)
        plx_buf_printf(&trace, " status %u", c->status);
    for (size_t i = 0; i < c->q_count; i++)
        note_entry(&c->q[i]);
    stage(c);
    plx_buf_byte(&trace, '\n');
    add_call(CALL_COMMIT, c->sid, c->entry, (void (*)(void))cb, arg);
}

void __wrap_plx_session_renew(plx_store *s, plx_slice sid, uint64_t fence,
                              void (*cb)(void *arg, int err), void *arg);
void __wrap_plx_session_renew(plx_store *s, plx_slice sid, uint64_t fence,
                              void (*cb)(void *arg, int err), void *arg)
{
    (void)s;
    note("renew %.*s f%" PRIu64, SID(sid), fence);
    add_call(CALL_RENEW, sid, 0, (void (*)(void))cb, arg);
}

void __wrap_plx_session_end(plx_store *s, plx_slice sid, const char *reason,
                            void (*cb)(void *arg, int err), void *arg);
void __wrap_plx_session_end(plx_store *s, plx_slice sid, const char *reason,
                            void (*cb)(void *arg, int err), void *arg)
{
    (void)s;
    note("end %.*s %s", SID(sid), reason);
    add_call(CALL_OTHER, sid, 0, (void (*)(void))cb, arg);
}

void __wrap_plx_session_drop(plx_store *s, plx_slice sid, uint64_t fence,
                             void (*cb)(void *arg, int err), void *arg);
void __wrap_plx_session_drop(plx_store *s, plx_slice sid, uint64_t fence,
                             void (*cb)(void *arg, int err), void *arg)
{
    (void)s;
    note("drop %.*s f%" PRIu64, SID(sid), fence);
    add_call(CALL_OTHER, sid, 0, (void (*)(void))cb, arg);
}

void __wrap_plx_session_create(plx_store *s, const plx_session_init *init,
                               void (*cb)(void *arg, int err), void *arg);
void __wrap_plx_session_create(plx_store *s, const plx_session_init *init,
                               void (*cb)(void *arg, int err), void *arg)
{
    (void)s;
    plx_buf_printf(&trace, "create %.*s", TEXT(init->mount));
    if (init->expires_in_ms > 0)
        plx_buf_printf(&trace, " expires in %" PRIu64, init->expires_in_ms);
    plx_buf_byte(&trace, '\n');
    add_call(CALL_CREATE, init->sid, 0, (void (*)(void))cb, arg);
}

void __wrap_plx_topic_position(plx_store *s, plx_slice topic, plx_position_cb *cb, void *arg);
void __wrap_plx_topic_position(plx_store *s, plx_slice topic, plx_position_cb *cb, void *arg)
{
    (void)s;
    note("position %.*s", TEXT(topic));
    add_call(CALL_POSITION, topic, 0, (void (*)(void))cb, arg);
}

void __wrap_plx_topic_since(plx_store *s, plx_slice topic, const plx_position *since,
                            const plx_history *h, plx_since_cb *cb, void *arg);
void __wrap_plx_topic_since(plx_store *s, plx_slice topic, const plx_position *since,
                            const plx_history *h, plx_since_cb *cb, void *arg)
{
    (void)s, (void)h;
    note("since %.*s >%" PRIu64, TEXT(topic), since->offset);
    add_call(CALL_SINCE, topic, 0, (void (*)(void))cb, arg);
}

void __wrap_plx_topic_publish(plx_store *s, const plx_publication *p, plx_publish_cb *cb,
                              void *arg);
void __wrap_plx_topic_publish(plx_store *s, const plx_publication *p, plx_publish_cb *cb, void *arg)
{
    (void)s;
    note("publish %.*s %.*s %.*s %" PRIu64 ":%u", TEXT(p->topic), TEXT(p->event), TEXT(p->payload),
         p->entry, p->index);
    add_call(CALL_PUBLISH, p->topic, 0, (void (*)(void))cb, arg);
}

/* ---- the feeds ---- */

#define WATCHES_MAX 16384
typedef struct watching {
    plx_feed_watch *watch;
    char topic[32];
} watching;
static watching watches[WATCHES_MAX];
static size_t watch_count;
static const char *epoch; /* of all topics */

static watching *watching_of(const plx_feed_watch *w)
{
    for (size_t i = 0; i < watch_count; i++)
        if (watches[i].watch == w)
            return &watches[i];
    return NULL;
}

void __wrap_plx_feed_watch_start(plx_store *s, plx_feed_watch *w, plx_slice topic,
                                 const plx_position *position);
void __wrap_plx_feed_watch_start(plx_store *s, plx_feed_watch *w, plx_slice topic,
                                 const plx_position *position)
{
    (void)s;
    assert_null(w->feed);
    assert_true(watch_count < WATCHES_MAX);
    watching *x = &watches[watch_count++];
    snprintf(x->topic, sizeof x->topic, "%.*s", TEXT(topic));
    x->watch = w;
    w->after = position->offset;
    w->feed = (plx_feed *)(void *)x; /* never looked into */
    if (!quiet)
        note("watch %s >%" PRIu64, x->topic, w->after);
}

void __wrap_plx_feed_watch_stop(plx_feed_watch *w);
void __wrap_plx_feed_watch_stop(plx_feed_watch *w)
{
    watching *x = watching_of(w);
    w->feed = NULL;
    if (x == NULL)
        return;
    if (!quiet)
        note("unwatch %s", x->topic);
    *x = watches[--watch_count];
}

void __wrap_plx_feed_expect(plx_feed *f, uint64_t offset);
void __wrap_plx_feed_expect(plx_feed *f, uint64_t offset)
{
    assert_non_null(f);
    note("expect %" PRIu64, offset);
}

static plx_event *make_event(const char *topic, uint64_t offset, enum plx_kind kind,
                             const char *payload, const char *from)
{
    plx_position at = {.offset = offset};
    snprintf(at.epoch, sizeof at.epoch, "%s", epoch);
    return plx_event_new(plx_slice_of(topic), &at, kind, plx_slice_of("e"), plx_slice_of(payload),
                         plx_slice_of(from));
}

/* Gives an event to every watch of its topic. Callbacks may stop watches, also others. */
static void give_event(plx_event *e)
{
    plx_feed_watch *list[64], **all = watch_count <= 64 ? list : malloc(watch_count * sizeof *all);
    size_t n = watch_count;
    for (size_t i = 0; i < n; i++)
        all[i] = plx_slice_is(e->topic, watches[i].topic) ? watches[i].watch : NULL;
    for (size_t i = 0; i < n; i++) {
        if (all[i] == NULL || watching_of(all[i]) == NULL || all[i]->after >= e->position.offset)
            continue;
        all[i]->after = e->position.offset;
        all[i]->ops->event(all[i], e);
    }
    if (all != list)
        free(all);
}

static UNUSED void event_from(const char *topic, uint64_t offset, const char *payload,
                              const char *from)
{
    plx_event *e = make_event(topic, offset, PLX_KIND_JSON, payload, from);
    give_event(e);
    plx_event_unref(e);
}

static UNUSED void event(const char *topic, uint64_t offset, const char *payload)
{
    event_from(topic, offset, payload, "");
}

/* Of kind 'p', with that event's name; without a name an ordinary message. */
static UNUSED void presence_event(const char *topic, uint64_t offset, const char *name,
                                  const char *payload)
{
    plx_position at = {.offset = offset};
    plx_slice none = {NULL, 0};
    snprintf(at.epoch, sizeof at.epoch, "%s", epoch);
    plx_event *e =
        plx_event_new(plx_slice_of(topic), &at, *name ? PLX_KIND_PRESENCE : PLX_KIND_JSON,
                      plx_slice_of(*name ? name : "e"), plx_slice_of(payload), none);
    give_event(e);
    plx_event_unref(e);
}

static UNUSED void binary_event(const char *topic, uint64_t offset)
{
    plx_event *e = make_event(topic, offset, PLX_KIND_BINARY, "xyz", "");
    give_event(e);
    plx_event_unref(e);
}

static UNUSED void caught_up(const char *topic)
{
    for (size_t i = 0; i < watch_count; i++)
        if (strcmp(watches[i].topic, topic) == 0)
            watches[i].watch->ops->caught_up(watches[i].watch);
}

static UNUSED void lost(const char *topic)
{
    for (size_t i = 0; i < watch_count; i++) {
        plx_feed_watch *w = watches[i].watch;
        if (strcmp(watches[i].topic, topic) != 0)
            continue;
        watches[i--] = watches[--watch_count];
        w->feed = NULL;
        w->ops->lost(w);
    }
}

#endif
