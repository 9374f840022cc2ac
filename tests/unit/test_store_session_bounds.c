/* Sessions at their bounds and with damaged records; how slots and queue entries are packed. */
#include "session_fixture.h"

#include "base/clock.h"

#include "store/session_pack.h"

static void test_queue_overflow(void **state)
{
    (void)state;
    static char kilobyte[1025];
    memset(kilobyte, 'x', 1024);
    create(a, "over", "", LIFE);
    poll_of(b, "over", 0, 3);
    clear_boxes();
    uint64_t before = plx_store_counters_get(a)->sessions_overflown;
    post p = post_with(a, "over", "", 200, "1");
    assert_int_equal(commit_messages(a, "over", &p, PLX_Q_ENTRIES, "m").err, 0);
    /* A poll sees all of it; what is acknowledged makes room. */
    view *x = poll_of(b, "over", 0, 4);
    assert_int_equal(x->q_count, 1000);
    assert_int_equal(x->q[999].id, 1000);
    x = poll_of(b, "over", 500, 4);
    assert_int_equal(x->q_count, 500);
    assert_int_equal(x->q[0].id, 501);
    p = post_with(a, "over", "", 200, "2");
    assert_int_equal(commit_messages(a, "over", &p, 500, "m").err, 0);
    p = post_with(a, "over", "", 200, "3");
    assert_int_equal(commit_messages(a, "over", &p, 1, "m").err, PLX_E_GONE);
    WAIT(&r, boxes[1].gone == 1);
    assert_int_equal(poll_of(b, "over", 0, 5)->err, PLX_E_GONE);
    assert_int_equal(plx_store_counters_get(a)->sessions_overflown, before + 1);
    /* By bytes: a little less than 1 MB fits, again after it was acknowledged, but not twice. */
    create(a, "heavy", "", LIFE);
    p = post_with(a, "heavy", "", 200, "1");
    assert_int_equal(commit_messages(a, "heavy", &p, 1000, kilobyte).err, 0);
    assert_int_equal(poll_of(a, "heavy", 1000, 1)->q_count, 0);
    p = post_with(a, "heavy", "", 200, "2");
    assert_int_equal(commit_messages(a, "heavy", &p, 600, kilobyte).err, 0);
    p = post_with(a, "heavy", "", 200, "3");
    assert_int_equal(commit_messages(a, "heavy", &p, 400, kilobyte).err, 0);
    assert_int_equal(poll_of(a, "heavy", 1500, 1)->q_count, 500);
    p = post_with(a, "heavy", "", 200, "4");
    assert_int_equal(commit_messages(a, "heavy", &p, 600, kilobyte).err, 0);
    p = post_with(a, "heavy", "", 200, "5");
    assert_int_equal(commit_messages(a, "heavy", &p, 1, "m").err, PLX_E_GONE);
}

/* A POST of 1,500 lines is answered line by line, though nobody could have fetched any of it yet.
 */
static void test_one_large_entry_does_not_overflow(void **state)
{
    (void)state;
    create(a, "large", "", LIFE);
    post p = post_with(a, "large", "", 200, "1");
    assert_int_equal(commit_messages(a, "large", &p, 1500, "m").err, 0);
    view *x = poll_of(b, "large", 0, 1);
    assert_int_equal(x->err, 0);
    assert_int_equal(x->q_count, 1500);
    poll_of(b, "large", 501, 2);
    p = post_with(a, "large", "", 200, "2");
    assert_int_equal(commit_messages(a, "large", &p, 1, "m").err, 0);
}

static void test_inbox_bounds(void **state)
{
    (void)state;
    static char big[3000000];
    memset(big, 'x', sizeof big - 1);
    create(a, "full", "", LIFE);
    assert_int_equal(post_with(a, "full", "", 200, big).result, PLX_POST_WORK);
    assert_int_equal(post_with(a, "full", "", 200, big).err, PLX_E_BUSY);
    assert_int_equal(post_with(a, "full", "", 200, "small").err, 0);
    post p = take_of(a, "full", 0);
    assert_int_equal(p.result, PLX_POST_WAIT);
    create(a, "full2", "", LIFE);
    static post out[1001];
    memset(out, 0, sizeof out);
    for (unsigned i = 0; i < 1001; i++)
        plx_session_post(a, plx_slice_of("full2"), PLX_ENTRY_POST, plx_slice_of(""), 200,
                         plx_slice_of("b"), LIFE, on_post, &out[i]);
    WAIT(&r, out[1000].called);
    assert_int_equal(out[999].err, 0);
    assert_int_equal(out[1000].err, PLX_E_BUSY);
    /* Impossible arguments. */
    post bad = {0};
    plx_session_post(a, plx_slice_of("full2"), PLX_ENTRY_POST, plx_slice_make(big, 65), 200,
                     plx_slice_of("b"), LIFE, on_post, &bad);
    assert_false(bad.called);
    WAIT(&r, bad.called);
    assert_int_equal(bad.err, PLX_E_TOOBIG);
    assert_int_equal(poll_of(a, "", 0, 1)->err, PLX_E_TOOBIG);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    create(a, "oom", "", LIFE);
    post p = post_with(a, "oom", "", 200, "x");
    redis_do(&r, "CONFIG SET maxmemory 1");
    assert_int_equal(create(a, "oom2", "", LIFE), PLX_E_STORE);
    assert_int_equal(post_with(a, "oom", "", 200, "y").err, PLX_E_STORE);
    assert_int_equal(commit_messages(a, "oom", &p, 1, "m").err, PLX_E_STORE);
    redis_do(&r, "CONFIG SET maxmemory 0");
    assert_int_equal(redis_do(&r, "EXISTS plx:{s:oom2}"), 0);
    assert_int_equal(commit_messages(a, "oom", &p, 1, "m").err, 0); /* nothing was half done */
    assert_int_equal(poll_of(a, "oom", 0, 1)->q_count, 1);
}

/* ---- damage */

static void test_garbage_in_keys(void **state)
{
    (void)state;
    static const char *const spoil[] = {
        "HSET plx:{s:bad}:slots 1 rubbish",
        "HSET plx:{s:bad}:slots banana x",
        "HSET plx:{s:bad}:slots 4294967296 x",
        "SET plx:{s:bad}:slots rubbish",
        "HSET plx:{s:bad}:state banana x",
        "SET plx:{s:bad}:state rubbish",
        "XADD plx:{s:bad}:q 1-0 m rubbish c 5",
        "XADD plx:{s:bad}:q 1-1 x y",
        "SET plx:{s:bad}:q rubbish",
        "XADD plx:{s:bad}:in 1-0 k x s 200 d %b b x",
        "XADD plx:{s:bad}:in 1-0 k",
        "XADD plx:{s:bad}:in 1-5 k p s 200 d e b x",
        "SET plx:{s:bad}:in rubbish",
        "SET plx:{s:bad}:seen rubbish",
        "HSET plx:{s:bad}:seen d rubbish",
        "HSET plx:{s:bad} vsn 9",
        "HSET plx:{s:bad} slot banana",
        "HSET plx:{s:bad} fence banana",
        "HSET plx:{s:bad} inn banana",
        "HSET plx:{s:bad} qn banana qbytes banana qbase banana ack banana",
        "HSET plx:{s:bad} lease banana until banana kept banana",
        "HSET plx:{s:bad} pw %b pg banana",
        "HDEL plx:{s:bad} mount params claims id slot",
        "SET plx:{s:bad} rubbish",
    };
    for (size_t i = 0; i < sizeof spoil / sizeof spoil[0]; i++) {
        redis_do(&r, "FLUSHALL");
        create(a, "bad", "", LIFE);
        redisReply *reply = redisCommand(r.admin, spoil[i], "x y\nz", (size_t)5);
        assert_non_null(reply); /* some of them are refused: no matter */
        freeReplyObject(reply);
        poll_of(a, "bad", 0, 1);
        look_of(a, "bad", 0, 1);
        post p = post_with(a, "bad", "d", 200, "x");
        take_of(a, "bad", 0);
        commit_messages(a, "bad", &p, 1, "m");
        renew(a, "bad", 1);
        end(a, "bad", "x");
        drop(a, "bad", 1);
        redis_do(&r, "DEL plx:{s:bad}");
    }
    assert_true(plx_store_up(a));
    assert_int_equal(create(a, "good", "", LIFE), 0);
    assert_int_equal(poll_of(a, "good", 0, 1)->err, 0);
}

typedef struct recalled {
    bool called;
    int err;
    size_t count;
    char params[32], claims[32], id[32], states[3][32];
} recalled;

static void on_recalled(void *arg, int err, const plx_session_recalled *x)
{
    recalled *out = arg;
    out->called = true;
    out->err = err;
    if (err)
        return;
    copy(out->params, sizeof out->params, x->params);
    copy(out->claims, sizeof out->claims, x->claims);
    copy(out->id, sizeof out->id, x->id);
    for (size_t i = 0; i < out->count; i++)
        copy(out->states[i], sizeof out->states[i], x->states[i]);
}

static recalled recall(const char *sid, size_t count)
{
    static const uint32_t slots[] = {2, 9, 1};
    recalled out = {.count = count};
    plx_session_recall(b, plx_slice_of(sid), slots, count, on_recalled, &out);
    assert_false(out.called);
    WAIT(&r, out.called);
    return out;
}

/* What another worker is told about slots while the lease is somebody else's. */
static void test_recall(void **state)
{
    (void)state;
    assert_int_equal(create(a, "memory", "id", LIFE), 0);
    const post w = post_with(a, "memory", "", 200, "x");
    const plx_slot set[] = {
        {.number = 1, .topic = PLX_LIT("a"), .start = {"E", 1}, .state = PLX_LIT("one")},
        {.number = 2, .topic = PLX_LIT("b"), .start = {"E", 1}, .state = PLX_LIT("two")}};
    const plx_commit x = {.sid = PLX_LIT("memory"),
                          .fence = w.fence,
                          .entry = w.work_entry,
                          .set = set,
                          .set_count = 2};
    assert_int_equal(commit(a, &x).err, 0);
    assert_true(post_with(a, "memory", "", 200, "y").has_work); /* the lease is held */
    recalled got = recall("memory", 3);
    assert_int_equal(got.err, 0);
    assert_string_equal(got.params, "{\"p\":1}");
    assert_string_equal(got.claims, "{\"user_id\":7}");
    assert_string_equal(got.id, "id");
    assert_string_equal(got.states[0], "two");
    assert_string_equal(got.states[1], "");
    assert_string_equal(got.states[2], "one");
    assert_int_equal(recall("memory", 0).err, 0);
    assert_int_equal(end(a, "memory", "over"), 0);
    assert_int_equal(recall("memory", 3).err, PLX_E_GONE);
    assert_int_equal(recall("never was", 3).err, PLX_E_GONE);
}

/* Every prefix and every flipped byte of a packed entry is refused or read within its bounds. */
static void test_packing(void **state)
{
    (void)state;
    plx_barrier barriers[] = {{1, 5}, {UINT32_MAX, UINT64_MAX}}, out[64];
    plx_q_entry q = {.kind = PLX_Q_END,
                     .slot = {.number = 300,
                              .topic = PLX_LIT("room:a"),
                              .start = {"Ep", 1000},
                              .diffs_after = 1 << 20,
                              .state = PLX_LIT("state"),
                              .goes_back = true},
                     .end = UINT64_MAX,
                     .barriers = barriers,
                     .barrier_count = 2,
                     .text = PLX_LIT("text")};
    plx_buf packed;
    plx_buf_init(&packed, 0);
    plx_q_pack(&packed, &q);
    plx_q_entry back;
    assert_int_equal(plx_q_unpack(plx_buf_slice(&packed), &back, out), 0);
    assert_true(back.end == UINT64_MAX && back.barrier_count == 2 && back.slot.number == 300);
    assert_true(back.barriers[1].slot == UINT32_MAX && back.barriers[1].offset == UINT64_MAX);
    assert_slice(back.slot.topic, "room:a");
    assert_slice(back.text, "text");
    assert_slice(back.slot.state, "state");
    assert_string_equal(back.slot.start.epoch, "Ep");
    assert_true(back.slot.diffs_after == 1 << 20 && back.slot.goes_back);
    for (size_t len = 0; len < packed.len; len++) {
        char *exact = malloc(len > 0 ? len : 1); /* so that the sanitizer sees the end */
        memcpy(exact, packed.data, len);
        assert_int_equal(plx_q_unpack(plx_slice_make(exact, len), &back, NULL), PLX_E_INVALID);
        plx_slot slot;
        plx_slot_unpack(plx_slice_make(exact, len), &slot);
        free(exact);
    }
    for (size_t at = 0; at < packed.len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            char *exact = malloc(packed.len);
            memcpy(exact, packed.data, packed.len);
            exact[at] = (char)(exact[at] ^ (1 << bit));
            if (plx_q_unpack(plx_slice_make(exact, packed.len), &back, NULL) == 0) {
                assert_true(back.barrier_count <= 64);
                assert_int_equal(plx_q_unpack(plx_slice_make(exact, packed.len), &back, out), 0);
            }
            free(exact);
        }
    }
    plx_buf_fini(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue_overflow),
        cmocka_unit_test(test_one_large_entry_does_not_overflow),
        cmocka_unit_test(test_inbox_bounds),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_garbage_in_keys),
        cmocka_unit_test(test_recall),
        cmocka_unit_test(test_packing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
