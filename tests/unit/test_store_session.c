/* The life of a session: polls, POSTs, leases, repetitions, ends. */
#include "session_fixture.h"

#include "base/clock.h"

#include "store/session_pack.h"

static void test_only_create_makes_a_record(void **state)
{
    (void)state;
    assert_int_equal(poll_of(a, "nobody", 0, 1)->err, PLX_E_GONE);
    assert_int_equal(look_of(a, "nobody", 0, 1)->err, PLX_E_GONE);
    assert_int_equal(post_with(a, "nobody", "", 200, "x").err, PLX_E_GONE);
    assert_int_equal(take_of(a, "nobody", 0).err, PLX_E_GONE);
    assert_int_equal(commit_messages(a, "nobody", &(post){.fence = 1, .work_entry = 1}, 1, "x").err,
                     PLX_E_GONE);
    assert_int_equal(renew(a, "nobody", 1), PLX_E_GONE);
    assert_int_equal(end(a, "nobody", "x"), PLX_E_GONE);
    assert_int_equal(drop(a, "nobody", 0), PLX_E_GONE);
    assert_int_equal(redis_do(&r, "KEYS plx:{s:*"), 0);
    assert_int_equal(create(a, "s1", "", LIFE), 0);
    assert_int_equal(create(b, "s1", "", LIFE), PLX_E_BUSY);
    assert_int_equal(poll_of(b, "s1", 0, 1)->err, 0);
    assert_in_range(redis_do(&r, "TTL plx:{s:s1}"), 3600, 7200);
}

static void test_post_work_commit_poll(void **state)
{
    (void)state;
    create(a, "life", "user:7", LIFE);
    view *x = poll_of(b, "life", 0, 41);
    assert_int_equal(x->q_count + x->slot_count, 0);
    assert_string_equal(x->old_worker, "");
    clear_boxes();

    post p = post_with(a, "life", "digest-1", 200, "[\"1\",\"1\",\"room:a\",\"phx_join\",{}]");
    assert_int_equal(p.err, 0);
    assert_int_equal(p.result, PLX_POST_WORK);
    assert_true(p.has_work && p.entry == p.work_entry && p.kind == PLX_ENTRY_POST);
    assert_string_equal(p.sid, "life");
    assert_string_equal(p.mount, "/socket");
    assert_string_equal(p.params, "{\"p\":1}");
    assert_string_equal(p.claims, "{\"user_id\":7}");
    assert_string_equal(p.id, "user:7");
    assert_string_equal(p.body, "[\"1\",\"1\",\"room:a\",\"phx_join\",{}]");
    assert_int_equal(p.vsn, 2);
    assert_int_equal(p.next_slot, 1);
    assert_string_equal(p.note, "");
    assert_true(p.came_ms > 1600000000000 && p.came_ms <= plx_wall_ms() + 1000);

    /* The commit: a note, a slot, a reply that opens it, another with barriers. */
    plx_slot slot = {.number = 1,
                     .topic = PLX_LIT("room:a"),
                     .start = {"EPOCH", 12},
                     .state = PLX_LIT("{\"assigns\":1}")};
    static const plx_slice note = PLX_LIT("=a note\n");
    plx_barrier barriers[] = {{1, 12345678901234u}, {4000000000u, 0}};
    plx_q_entry q[] = {
        {.kind = PLX_Q_OPEN, .slot = slot, .text = PLX_LIT("reply")},
        {.kind = PLX_Q_PLAIN, .barriers = barriers, .barrier_count = 2, .text = PLX_LIT("second")},
        {.kind = PLX_Q_END, .slot = slot, .end = 99, .text = PLX_LIT("")}};
    post done = commit(a, &(plx_commit){.sid = PLX_LIT("life"),
                                        .fence = p.fence,
                                        .entry = p.work_entry,
                                        .q = q,
                                        .q_count = 3,
                                        .set = &slot,
                                        .set_count = 1,
                                        .note = &note});
    assert_int_equal(done.err, 0);
    assert_false(done.has_work);
    WAIT(&r, boxes[1].wakes == 1 && boxes[0].done == 1);
    assert_string_equal(boxes[1].sid, "life");
    assert_int_equal(boxes[1].number, 41);
    assert_int_equal(boxes[0].number, p.entry);
    assert_int_equal(boxes[0].status, 200);

    x = look_of(b, "life", 0, 41);
    assert_int_equal(x->err, 0);
    assert_int_equal(x->slot_count, 1);
    assert_int_equal(x->slots[0].number, 1);
    assert_string_equal(x->slots[0].start.epoch, "EPOCH");
    assert_int_equal(x->slots[0].start.offset, 12);
    assert_string_equal(x->topics[0], "room:a");
    assert_int_equal(x->q_count, 3);
    assert_int_equal(x->q[0].kind, PLX_Q_OPEN);
    assert_int_equal(x->q[0].slot, 1);
    assert_int_equal(x->q[1].barrier_count, 2);
    assert_true(x->q[1].barriers[0].offset == 12345678901234u);
    assert_true(x->q[1].barriers[1].slot == 4000000000u);
    assert_string_equal(x->q[1].text, "second");
    assert_int_equal(x->q[2].kind, PLX_Q_END);
    assert_int_equal(x->q[2].end, 99);

    /* What is acknowledged goes, what is not stays, for any worker. */
    x = poll_of(a, "life", 1, 7);
    assert_int_equal(x->q_count, 2);
    assert_int_equal(x->q[0].id, 2);
    assert_string_equal(x->old_worker, plx_store_worker(b));
    assert_int_equal(x->old_generation, 41);
    assert_int_equal(look_of(b, "life", 0, 41)->err, PLX_E_BUSY);
    assert_int_equal(redis_do(&r, "XLEN plx:{s:life}:q"), 2);
    x = poll_of(a, "life", 0, 7); /* a repeated older one gets what is still there */
    assert_int_equal(x->q_count, 2);
    assert_string_equal(x->old_worker, "");
    assert_int_equal(poll_of(a, "life", 1000000, 8)->q_count, 0); /* no such cursor: clamped */
    assert_string_equal(v.old_worker, plx_store_worker(a));
    assert_int_equal(redis_do(&r, "XLEN plx:{s:life}:q"), 0);

    /* The next work sees the slot; its number is not used again. */
    p = post_with(b, "life", "", 200, "push");
    assert_int_equal(p.result, PLX_POST_WORK);
    assert_int_equal(p.slot_count, 1);
    assert_string_equal(p.topic, "room:a");
    assert_string_equal(p.state, "{\"assigns\":1}");
    assert_string_equal(p.note, "=a note\n");
    assert_int_equal(p.next_slot, 2);
    uint32_t gone = 1;
    done = commit(b, &(plx_commit){.sid = PLX_LIT("life"),
                                   .fence = p.fence,
                                   .entry = p.work_entry,
                                   .drop = &gone,
                                   .drop_count = 1});
    assert_int_equal(done.err, 0);
    p = take_of(b, "life", 0);
    assert_int_equal(p.result, PLX_POST_WAIT); /* nothing to do */
    p = post_with(b, "life", "", 200, "push");
    assert_int_equal(p.slot_count, 0);
    assert_int_equal(p.next_slot, 2);
    commit_messages(b, "life", &p, 1, "m");
    x = poll_of(b, "life", 3, 9);
    assert_int_equal(x->q_count, 1);
    assert_int_equal(x->q[0].id, 4);
}

static void test_posts_are_serial(void **state)
{
    (void)state;
    create(a, "serial", "", LIFE);
    clear_boxes();
    post p1 = post_with(a, "serial", "d1", 200, "one");
    post p2 = post_with(b, "serial", "d2", 400, "two");
    post p3 = post_with(c, "serial", "d3", 200, "three");
    assert_int_equal(p1.result, PLX_POST_WORK);
    assert_int_equal(p2.result, PLX_POST_WAIT);
    assert_int_equal(p3.result, PLX_POST_WAIT);
    assert_int_equal(p3.entry, 3);
    assert_int_equal(take_of(b, "serial", p2.entry).result, PLX_POST_WAIT);
    post next = commit_messages(a, "serial", &p1, 1, "r1");
    assert_true(next.has_work);
    assert_int_equal(next.fence, p1.fence);
    assert_string_equal(next.body, "two");
    assert_int_equal(next.work_status, 400);
    next = commit_messages(a, "serial", &next, 1, "r2");
    assert_string_equal(next.body, "three");
    next = commit_messages(a, "serial", &next, 0, "");
    assert_false(next.has_work);
    WAIT(&r, boxes[0].done == 1 && boxes[1].done == 1 && boxes[2].done == 1);
    assert_int_equal(boxes[1].status, 400);
    assert_int_equal(boxes[2].number, 3);
    /* Whoever missed its note asks. */
    post asked = take_of(b, "serial", 2);
    assert_int_equal(asked.result, PLX_POST_DONE);
    assert_int_equal(asked.status, 400);
    assert_int_equal(poll_of(a, "serial", 0, 1)->q_count, 2);
}

static void test_repeated_post(void **state)
{
    (void)state;
    create(a, "again", "", LIFE);
    clear_boxes();
    post p1 = post_with(a, "again", "same", 400, "body");
    post p2 = post_with(b, "again", "same", 400, "body");
    assert_int_equal(p2.result, PLX_POST_WAIT);
    assert_int_equal(p2.entry, p1.entry);
    commit_messages(a, "again", &p1, 1, "r");
    WAIT(&r, boxes[0].done == 1 && boxes[1].done == 1); /* both wait for it */
    post p3 = post_with(c, "again", "same", 400, "body");
    assert_int_equal(p3.result, PLX_POST_DONE);
    assert_int_equal(p3.entry, p1.entry);
    assert_int_equal(p3.status, 400);
    /* Remembered for the last 16 entries in any case... */
    char digest[16];
    for (unsigned i = 0; i < 15; i++) {
        snprintf(digest, sizeof digest, "d%u", i);
        post p = post_with(a, "again", digest, 200, "x");
        assert_int_equal(p.result, PLX_POST_WORK);
        commit_messages(a, "again", &p, 0, "");
    }
    redis_do(&r, "HSET plx:{s:again} o1 %s", "1 400 1 same"); /* long ago */
    assert_int_equal(post_with(a, "again", "same", 400, "body").result, PLX_POST_DONE);
    post p = post_with(a, "again", "", 200, "no digest");
    commit_messages(a, "again", &p, 0, "");
    post fresh = post_with(a, "again", "same", 400, "body");
    assert_int_equal(fresh.result, PLX_POST_WORK);
    commit_messages(a, "again", &fresh, 0, "");
    assert_int_equal(redis_do(&r, "HLEN plx:{s:again}:seen"), 16);
    /* ... and for a minute, up to 256: a copy may have lain with a worker that stood still. */
    for (unsigned i = 0; i < 255; i++) {
        assert_int_equal(post_with(a, "again", "same", 400, "body").result, PLX_POST_DONE);
        snprintf(digest, sizeof digest, "e%u", i);
        p = post_with(a, "again", digest, 200, "x");
        commit_messages(a, "again", &p, 0, "");
    }
    assert_int_equal(redis_do(&r, "HLEN plx:{s:again}:seen"), 256);
    p = post_with(a, "again", "one more", 200, "x");
    commit_messages(a, "again", &p, 0, "");
    assert_int_equal(redis_do(&r, "HLEN plx:{s:again}:seen"), 256);
    fresh = post_with(a, "again", "same", 400, "body");
    assert_int_equal(fresh.result, PLX_POST_WORK);
    commit_messages(a, "again", &fresh, 0, "");
    /* Without a digest nothing is a repetition. */
    p = post_with(a, "again", "", 200, "same");
    commit_messages(a, "again", &p, 0, "");
    assert_int_equal(post_with(a, "again", "", 200, "same").result, PLX_POST_WORK);
    /* Any bytes may be in a digest. */
    create(a, "digest", "", LIFE);
    post d = {0}, d2 = {0};
    plx_slice odd = {"\0 1:\n\xff", 6};
    plx_session_post(a, plx_slice_of("digest"), PLX_ENTRY_POST, odd, 200, plx_slice_of("b"), LIFE,
                     on_post, &d);
    WAIT(&r, d.called);
    commit_messages(a, "digest", &d, 0, "");
    plx_session_post(a, plx_slice_of("digest"), PLX_ENTRY_POST, odd, 200, plx_slice_of("b"), LIFE,
                     on_post, &d2);
    WAIT(&r, d2.called);
    assert_int_equal(d2.result, PLX_POST_DONE);
}

static void test_holder_dies(void **state)
{
    (void)state;
    create(a, "heir", "", LIFE);
    post p1 = post_with(a, "heir", "", 200, "body");
    assert_int_equal(p1.result, PLX_POST_WORK);
    assert_int_equal(take_of(b, "heir", p1.entry).result, PLX_POST_WAIT);
    assert_int_equal(renew(a, "heir", p1.fence), 0);
    assert_int_equal(renew(b, "heir", p1.fence + 1), PLX_E_BUSY);
    /* Its lease runs out: by Redis' clock, so move the deadline. */
    redis_do(&r, "HSET plx:{s:heir} lease 1");
    post p2 = take_of(b, "heir", p1.entry);
    assert_int_equal(p2.result, PLX_POST_WORK);
    assert_string_equal(p2.body, "body");
    assert_true(p2.fence > p1.fence);
    assert_false(p1.again);
    assert_true(p2.again);
    /* The first one was only slow: its commit changes nothing. */
    post late = commit_messages(a, "heir", &p1, 3, "wrong");
    assert_int_equal(late.err, PLX_E_BUSY);
    assert_int_equal(renew(a, "heir", p1.fence), PLX_E_BUSY);
    assert_int_equal(redis_do(&r, "XLEN plx:{s:heir}:q"), 0);
    assert_int_equal(commit_messages(b, "heir", &p2, 1, "right").err, 0);
    /* A commit repeated because its answer got lost is not applied twice. */
    assert_int_equal(commit_messages(b, "heir", &p2, 1, "right").err, 0);
    assert_int_equal(redis_do(&r, "XLEN plx:{s:heir}:q"), 1);
    /* A lease from a clock that has gone back binds nobody for ever. */
    post p3 = post_with(a, "heir", "", 200, "b2");
    assert_int_equal(p3.result, PLX_POST_WORK);
    assert_false(p3.again);
    redis_do(&r, "HSET plx:{s:heir} lease 99999999999999");
    post p4 = take_of(b, "heir", p3.entry);
    assert_int_equal(p4.result, PLX_POST_WORK);
    assert_true(p4.again);
    /* What a commit hands out counts, too. */
    post p5 = post_with(a, "heir", "", 200, "b3");
    assert_int_equal(p5.result, PLX_POST_WAIT);
    post next = commit_messages(b, "heir", &p4, 0, "");
    assert_true(next.has_work);
    assert_false(next.again);
    redis_do(&r, "HSET plx:{s:heir} lease 1");
    assert_true(take_of(a, "heir", p5.entry).again);
}

static void test_lost_entry(void **state)
{
    (void)state;
    create(a, "lost", "", LIFE);
    post out = {0};
    plx_session_post(a, plx_slice_of("lost"), PLX_ENTRY_LOST, plx_slice_of(""), 200,
                     plx_slice_of("3"), LIFE, on_post, &out);
    WAIT(&r, out.called);
    assert_int_equal(out.result, PLX_POST_WORK);
    assert_int_equal(out.kind, PLX_ENTRY_LOST);
    assert_string_equal(out.body, "3");
}

static void test_superseded(void **state)
{
    (void)state;
    create(a, "super", "", LIFE);
    clear_boxes();
    poll_of(a, "super", 0, 5);
    view *x = poll_of(b, "super", 0, 6);
    assert_string_equal(x->old_worker, plx_store_worker(a));
    plx_mailbox_supersede(b, plx_slice_of(x->old_worker), plx_slice_of("super"), 5);
    plx_mailbox_supersede(b, plx_slice_of(plx_store_worker(b)), plx_slice_of("super"), 77);
    assert_int_equal(boxes[1].superseded, 0); /* not before the call has returned */
    WAIT(&r, boxes[0].superseded == 1 && boxes[1].superseded == 1);
    assert_int_equal(boxes[0].number, 5);
    assert_int_equal(boxes[1].number, 77);
    plx_mailbox_supersede(b, plx_slice_of(""), plx_slice_of("super"), 5);
    /* Rubbish in the mailbox harms nobody. */
    static const char *const junk[] = {
        "",           "wake",          "wake super 1",         "wake s 1 2 3",
        "wake s x 0", "nothing s 1 2", "count - 1 99999999999"};
    for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++)
        redis_do(&r, "SPUBLISH plx:{w:%s} %s", plx_store_worker(a), junk[i]);
    redis_do(&r, "SPUBLISH plx:{w:%s} %s", plx_store_worker(a), "wake super 8 0");
    WAIT(&r, boxes[0].wakes == 1);
}

static void test_end(void **state)
{
    (void)state;
    create(a, "end", "", LIFE);
    clear_boxes();
    poll_of(b, "end", 0, 3);
    post p = post_with(a, "end", "", 200, "body");
    assert_int_equal(end(c, "end", "disconnected"), 0);
    WAIT(&r, boxes[1].gone == 1);
    assert_int_equal(boxes[1].number, 3);
    assert_int_equal(end(c, "end", "disconnected"), PLX_E_GONE);
    assert_int_equal(poll_of(b, "end", 0, 4)->err, PLX_E_GONE);
    assert_int_equal(look_of(b, "end", 0, 3)->err, PLX_E_GONE);
    assert_int_equal(post_with(a, "end", "", 200, "x").err, PLX_E_GONE);
    assert_int_equal(take_of(a, "end", 1).err, PLX_E_GONE);
    assert_int_equal(commit_messages(a, "end", &p, 1, "x").err, PLX_E_GONE);
    assert_int_equal(renew(a, "end", p.fence), PLX_E_GONE);
    assert_int_equal(redis_do(&r, "EXISTS plx:{s:end}:q"), 0);
    assert_int_equal(redis_do(&r, "XLEN plx:{s:end}:in"), 1); /* for whoever cleans up */
}

/* A token's end is nothing that polls and POSTs could move. */
static void test_expires(void **state)
{
    (void)state;
    assert_int_equal(create_for(a, "exp", "", LIFE, 60000), 0);
    view *first = poll_of(b, "exp", 0, 1);
    assert_int_equal(first->err, 0);
    assert_in_range(first->expires_in_ms, 50000, 60000);
    post p = post_with(a, "exp", "", 200, "body");
    assert_int_equal(p.result, PLX_POST_WORK);
    assert_int_equal(look_of(b, "exp", 0, 1)->expires_in_ms, 0);
    long long end_ms = redis_do(&r, "HGET plx:{s:exp} exp");
    poll_of(b, "exp", 0, 2);
    assert_int_equal(redis_do(&r, "HGET plx:{s:exp} exp"), end_ms);
    redis_do(&r, "HSET plx:{s:exp} exp 1");
    assert_int_equal(poll_of(b, "exp", 0, 3)->err, PLX_E_GONE);
    assert_int_equal(look_of(b, "exp", 0, 2)->err, PLX_E_GONE);
    assert_int_equal(post_with(a, "exp", "", 200, "x").err, PLX_E_GONE);
    assert_int_equal(take_of(a, "exp", 1).err, PLX_E_GONE);
    assert_int_equal(commit_messages(a, "exp", &p, 1, "x").err, PLX_E_GONE);
    assert_int_equal(end(a, "exp", "disconnected"), PLX_E_GONE);
    /* Never, and further away than a double of milliseconds is exact. */
    create(a, "exp-never", "", LIFE);
    assert_int_equal(poll_of(a, "exp-never", 0, 1)->expires_in_ms, 0);
    create_for(a, "exp-far", "", LIFE, UINT64_MAX);
    first = poll_of(a, "exp-far", 0, 1);
    assert_int_equal(first->err, 0);
    assert_true(first->expires_in_ms > UINT64_C(90000000000000));
}

static void test_sessions_of_an_id(void **state)
{
    (void)state;
    assert_int_equal(by_id("user:1").count, 0);
    create(a, "id1", "user:1", LIFE);
    create(b, "id2", "user:1", LIFE + 1000);
    found f = by_id("user:1");
    assert_int_equal(f.count, 2);
    assert_string_equal(f.first, "id2");
    redis_do(&r, "SET plx:{i:user:2} rubbish");
    assert_int_equal(by_id("user:2").err, PLX_E_STORE);
    assert_int_equal(create(a, "id3", "user:2", LIFE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_create_makes_a_record),
        cmocka_unit_test(test_post_work_commit_poll),
        cmocka_unit_test(test_posts_are_serial),
        cmocka_unit_test(test_repeated_post),
        cmocka_unit_test(test_holder_dies),
        cmocka_unit_test(test_lost_entry),
        cmocka_unit_test(test_superseded),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_expires),
        cmocka_unit_test(test_sessions_of_an_id),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
