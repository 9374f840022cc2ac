/* The long-poll transport with a store, a clock and clients that the test plays: scripted, step by
 * step, without Redis.
 *
 * Whatever the transport does is written down, one line each:
 *
 *     poll SID qCURSOR #GENERATION        look SID qCURSOR #GENERATION
 *     recall SID SLOT...
 *     post SID KIND STATUS BODY           take SID ENTRY           create MOUNT [expires in MS]
 *     commit SID fF eE [ENTRY]... set SLOT... drop SLOT... TIMER...         renew SID fF
 *         TIMER: timer SLOT:NAME MS MESSAGE, or cancel SLOT:NAME
 *         ENTRY: open SLOT TOPIC@START, or end SLOT TOPIC <=OFFSET, or nothing; then
 *         after SLOT@OFFSET for each barrier; then the text
 *     end SID REASON                      drop SID fF
 *     position TOPIC                      since TOPIC >OFFSET
 *     publish TOPIC EVENT PAYLOAD ENTRY:INDEX
 *     watch TOPIC >OFFSET                 unwatch TOPIC            expect OFFSET
 *     supersede WORKER SID #GENERATION
 *     CLIENT STATUS                       an answer
 *     CLIENT STATUS qCURSOR SLOT@OFFSET... past@OFFSET... [MESSAGES]     one with a token
 *
 * Store calls wait until the test answers them; timers fire when the test moves the clock.
 */
#ifndef PLX_TESTS_LP_WORLD_H
#define PLX_TESTS_LP_WORLD_H

#include "channel/counters.h"
#include "tests/unit/lp_clients.h"

/* ---- the test's side ---- */

/* Ends a turn of the event loop. */
static UNUSED void turn(void)
{
    ev_run(loop, EVRUN_NOWAIT);
}

/* Lets time pass. Timers fire when they are due, each with a turn of the loop behind it. */
static UNUSED void advance(uint64_t ms)
{
    uint64_t until = now_ms + ms;
    for (;;) {
        size_t first = TIMERS_MAX;
        for (size_t i = 0; i < timer_count; i++)
            if (timer_due[i] <= until && (first == TIMERS_MAX || timer_due[i] < timer_due[first]))
                first = i;
        if (first == TIMERS_MAX)
            break;
        ev_timer *w = timers[first];
        now_ms = timer_due[first] > now_ms ? timer_due[first] : now_ms;
        plx_clock_fake(now_ms, now_ms);
        if (w->repeat > 0)
            timer_due[first] = now_ms + (uint64_t)(w->repeat * 1000);
        else
            __wrap_ev_timer_stop(loop, w);
        w->cb(loop, w, EV_TIMER);
        turn();
    }
    now_ms = until;
    plx_clock_fake(now_ms, now_ms);
}

static UNUSED void store_goes(void)
{
    store_is_up = false;
    store_watch->down(store_watch);
}

static UNUSED void store_comes(void)
{
    store_is_up = true;
    store_watch->up(store_watch);
}

/* A view in the making. */
static plx_slot view_slots[SLOTS_MAX];
static plx_q_entry view_q[1200];
static plx_barrier view_barriers[1200];
static plx_session_view view;

static plx_slot slot_of(uint32_t number, const char *topic, uint64_t start)
{
    plx_slot s = {.number = number, .topic = plx_slice_of(topic)};
    snprintf(s.start.epoch, sizeof s.start.epoch, "%s", epoch);
    s.start.offset = start;
    return s;
}

static UNUSED void has_slot(uint32_t number, const char *topic, uint64_t start)
{
    view_slots[view.slot_count++] = slot_of(number, topic, start);
}

static UNUSED plx_q_entry *has_text(uint64_t id, const char *text)
{
    plx_q_entry *q = &view_q[view.q_count++];
    *q = (plx_q_entry){.id = id, .kind = PLX_Q_PLAIN, .text = plx_slice_of(text)};
    return q;
}

/* With a barrier. */
static UNUSED void has_reply(uint64_t id, const char *text, uint32_t slot, uint64_t offset)
{
    plx_q_entry *q = has_text(id, text);
    view_barriers[view.q_count - 1] = (plx_barrier){slot, offset};
    q->barriers = &view_barriers[view.q_count - 1];
    q->barrier_count = 1;
}

static UNUSED void has_open(uint64_t id, const char *text, uint32_t number, const char *topic,
                            uint64_t start)
{
    plx_q_entry *q = has_text(id, text);
    q->kind = PLX_Q_OPEN;
    q->slot = slot_of(number, topic, start);
}

static UNUSED void has_end(uint64_t id, const char *text, uint32_t number, const char *topic,
                           uint64_t start, uint64_t end)
{
    plx_q_entry *q = has_text(id, text);
    q->kind = PLX_Q_END;
    q->slot = slot_of(number, topic, start);
    q->end = end;
}

static UNUSED void held_by(const char *worker, uint64_t generation)
{
    view.old_worker = plx_slice_of(worker);
    view.old_generation = generation;
}

/* Answers the oldest poll or look with the view that was made up, or an error. */
static UNUSED void viewed(int err)
{
    store_call c = take_call(CALL_POLL);
    plx_session_view v = view;
    v.slots = view_slots;
    v.q = view_q;
    view = (plx_session_view){.slot_count = 0};
    ((plx_view_cb *)c.cb)(c.arg, err, err ? NULL : &v);
}

/* Answers the oldest question about slots with the states of two of them; NULL: there is none. */
static UNUSED void recalled(int err, const char *first, const char *second)
{
    store_call c = take_call(CALL_RECALL);
    const plx_slice states[] = {plx_slice_of(first), plx_slice_of(second)};
    const plx_session_recalled r = {plx_slice_of("{}"), plx_slice_of("{\"claim\":1}"),
                                    plx_slice_of("id"), states};
    ((plx_recall_cb *)c.cb)(c.arg, err, err ? NULL : &r);
}

/* Answers the oldest POST or take. */
static UNUSED void posted(int err, enum plx_post_result result, uint64_t entry, unsigned status)
{
    store_call c = take_call(CALL_POST);
    ((plx_post_cb *)c.cb)(c.arg, err, result, entry, status, NULL);
}

/* Work on the record for an entry of a session. */
static plx_work work_of(const char *sid, uint64_t fence, uint64_t entry, enum plx_entry_kind kind,
                        const char *body)
{
    static char text[PLX_SID_LEN + 1];
    memcpy(text, sid_text(sid), sizeof text);
    return (plx_work){
        .sid = plx_slice_of(text),
        .fence = fence,
        .mount = plx_slice_of("/socket"),
        .params = plx_slice_of("{}"),
        .claims = plx_slice_of("{}"),
        .vsn = 2,
        .next_slot = next_slot,
        .slots = record,
        .slot_count = record_count,
        .entry = {.id = entry, .kind = kind, .status = 200, .body = plx_slice_of(body)}};
}

/* Something of a session is due, and this worker gets the lease. `timers`: those that wait. */
static UNUSED void due_work(const char *sid, uint64_t fence, uint64_t entry,
                            enum plx_entry_kind kind, const char *body,
                            const plx_slot_timer *waiting, size_t count)
{
    plx_work w = work_of(sid, fence, entry, kind, body);
    w.timers = waiting;
    w.timer_count = count;
    assert_non_null(due);
    due->work(due, &w);
}

/* Answers the oldest POST or take with the lease and this entry. */
static UNUSED void posted_work(const char *sid, uint64_t fence, uint64_t entry,
                               enum plx_entry_kind kind, const char *body)
{
    plx_work w = work_of(sid, fence, entry, kind, body);
    store_call c = take_call(CALL_POST);
    ((plx_post_cb *)c.cb)(c.arg, 0, PLX_POST_WORK, entry, 0, &w);
}

static UNUSED void committed(int err)
{
    store_call c = take_call(CALL_COMMIT);
    if (err == 0)
        apply_commit();
    ((void (*)(void *, int, const plx_work *))c.cb)(c.arg, err, NULL);
}

/* The commit's answer gives the next entry. */
static UNUSED void committed_then(const char *sid, uint64_t fence, uint64_t entry, const char *body)
{
    store_call c = take_call(CALL_COMMIT);
    apply_commit();
    plx_work w = work_of(sid, fence, entry, PLX_ENTRY_POST, body);
    ((void (*)(void *, int, const plx_work *))c.cb)(c.arg, 0, &w);
}

static UNUSED void renewed(int err)
{
    store_call c = take_call(CALL_RENEW);
    ((void (*)(void *, int))c.cb)(c.arg, err);
}

static UNUSED void created(int err)
{
    store_call c = take_call(CALL_CREATE);
    ((void (*)(void *, int))c.cb)(c.arg, err);
}

static void position_at(plx_position *p, uint64_t offset)
{
    snprintf(p->epoch, sizeof p->epoch, "%s", epoch);
    p->offset = offset;
}

static UNUSED void positioned(int err, uint64_t offset)
{
    store_call c = take_call(CALL_POSITION);
    plx_position p;
    position_at(&p, offset);
    ((plx_position_cb *)c.cb)(c.arg, err, err ? NULL : &p);
}

/* Answers the oldest question whether a client can go on from where it was. */
static UNUSED void judged(uint64_t offset, bool whole)
{
    store_call c = take_call(CALL_SINCE);
    plx_position p;
    position_at(&p, offset);
    ((plx_since_cb *)c.cb)(c.arg, 0, &p, whole);
}

static UNUSED void published(int err, uint64_t offset)
{
    store_call c = take_call(CALL_PUBLISH);
    plx_position p;
    position_at(&p, offset);
    ((plx_publish_cb *)c.cb)(c.arg, err, err ? NULL : &p, false);
}

/* It had been published before, at this offset. */
static UNUSED void published_before(uint64_t offset)
{
    store_call c = take_call(CALL_PUBLISH);
    plx_position p;
    position_at(&p, offset);
    ((plx_publish_cb *)c.cb)(c.arg, 0, &p, true);
}

static UNUSED void wake(const char *sid, uint64_t generation)
{
    mailbox->wake(mailbox, plx_slice_of(sid_text(sid)), generation);
}

static UNUSED void superseded(const char *sid, uint64_t generation)
{
    mailbox->superseded(mailbox, plx_slice_of(sid_text(sid)), generation);
}

static UNUSED void session_gone(const char *sid, uint64_t generation)
{
    mailbox->gone(mailbox, plx_slice_of(sid_text(sid)), generation);
}

static UNUSED void done(const char *sid, uint64_t entry, unsigned status)
{
    mailbox->done(mailbox, plx_slice_of(sid_text(sid)), entry, status);
}

/* As when the store is closed: every call that is under way fails. */
static void fail_calls(int err)
{
    while (first_call) {
        store_call c = take_call(first_call->kind);
        switch (c.kind) {
        case CALL_POLL:
        case CALL_LOOK:
            ((plx_view_cb *)c.cb)(c.arg, err, NULL);
            break;
        case CALL_RECALL:
            ((plx_recall_cb *)c.cb)(c.arg, err, NULL);
            break;
        case CALL_POST:
        case CALL_TAKE:
            ((plx_post_cb *)c.cb)(c.arg, err, PLX_POST_WAIT, 0, 0, NULL);
            break;
        case CALL_COMMIT:
            ((void (*)(void *, int, const plx_work *))c.cb)(c.arg, err, NULL);
            break;
        case CALL_POSITION:
            ((plx_position_cb *)c.cb)(c.arg, err, NULL);
            break;
        case CALL_SINCE:
            ((plx_since_cb *)c.cb)(c.arg, err, NULL, false);
            break;
        case CALL_PUBLISH:
            ((plx_publish_cb *)c.cb)(c.arg, err, NULL, false);
            break;
        default:
            ((void (*)(void *, int))c.cb)(c.arg, err);
        }
    }
}

/* ---- beginning and end ---- */

static plx_channel_config channel_configs[] = {
    {.pattern = (char *)"room:*", .backend = (char *)"relay", .reply = true},
    {.pattern = (char *)"echo:*", .backend = (char *)"echo"},
    {.pattern = (char *)"hist:*",
     .backend = (char *)"relay",
     .reply = true,
     .has_history = true,
     .history_size = 100,
     .history_ttl_s = 60},
};
static plx_channel_entry channel_entries[3];
static plx_socket_config socket_config = {.path = (char *)"/socket",
                                          .longpoll = true,
                                          .lp_window_ms = 10000,
                                          .max_channels = 100,
                                          .ws_max_frame_bytes = 4000000,
                                          .channels = channel_configs,
                                          .channel_count = 3};
static plx_channels channels = {.config = &socket_config, .entries = channel_entries};

static int world_start(void **state)
{
    (void)state;
    plx_buf_init(&trace, 0);
    now_ms = 1000000;
    plx_clock_fake(now_ms, now_ms);
    epoch = "e1";
    on_answer = NULL;
    quiet = false;
    timer_count = watch_count = client_count = 0;
    view = (plx_session_view){.slot_count = 0};
    loop = ev_loop_new(EVFLAG_AUTO);
    store_is_up = true;
    config.secret = (char *)"0123456789abcdef0123456789abcdef";
    config.sockets = &socket_config;
    config.socket_count = 1;
    config.max_body_bytes = 1048576;
    channel_entries[0] =
        (plx_channel_entry){.config = &channel_configs[0], .backend = &plx_relay_backend};
    channel_entries[1] =
        (plx_channel_entry){.config = &channel_configs[1], .backend = &plx_echo_backend};
    channel_entries[2] =
        (plx_channel_entry){.config = &channel_configs[2], .backend = &plx_relay_backend};
    forget_record();
    lp = plx_longpoll_new(store, &config, &channels);
    return 0;
}

/* Ends everything in the order of a worker: clients are told or forgotten, calls fail. What was not
 * freed shows in the sanitizer build. */
static int world_stop(void **state)
{
    (void)state;
    on_answer = NULL;
    quiet = true;
    plx_longpoll_free(lp);
    fail_calls(PLX_E_DOWN);
    assert_int_equal(plx_counted.memberships, 0);
    assert_int_equal(watch_count, 0);
    assert_int_equal(timer_count, 0);
    for (size_t i = 0; i < client_count; i++) {
        assert_false(clients[i]->held);
        free(clients[i]);
    }
    forget_record();
    fake_presence_end();
    plx_buf_fini(&trace);
    ev_loop_destroy(loop);
    plx_clock_real();
    return 0;
}

/* Opens a poll of a session that has joined room:a at 5 (slot 1), and lets it catch up. */
static UNUSED void park_poll(const char *name)
{
    poll(name, "S1", 0, "");
    has_slot(1, "room:a", 5);
    viewed(0);
    caught_up("room:a");
    turn();
    ignore_trace();
}

#endif
