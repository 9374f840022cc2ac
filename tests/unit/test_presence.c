/* Presence on one topic: what is refused, bounds, updates within a window, grace, count-only. */
#include "presence_topic.h"

static void on_held(void *arg, int err, plx_slice refs)
{
    char **out = arg;
    *out = err == 0 ? plx_slice_dup(refs) : plx_strdup("error");
}

/* The refs of a socket on a topic are these. */
static void holds(plx_store *s, const char *topic, const char *socket, const char *refs)
{
    char *held = NULL;
    plx_presence_held(s, S(topic), S(socket), on_held, &held);
    assert_null(held);
    WAIT(&r, held);
    assert_string_equal(held, refs);
    free(held);
}

static void test_what_a_socket_holds(void **state)
{
    (void)state;
    holds(a, "held", "s1", "");
    assert_int_equal(track(a, "held", "s1", "r1", "u1", "{}"), 0);
    assert_int_equal(track(a, "held", "s1", "r2", "u2", "{}"), 0);
    assert_int_equal(track(a, "held", "s2", "r3", "u3", "{}"), 0);
    holds(b, "held", "s1", R1 R2);
    assert_int_equal(untrack(a, "held", "s1", "r1", NULL, false), 0);
    assert_int_equal(update(a, "held", "s1", "r4", "r2", "u2", "{\"n\":1}"), 0);
    holds(b, "held", "s1", R4);
    holds(b, "elsewhere", "s1", "");
}

/* ---- refusals and bounds */

static void refuse(int err, const char *ref, const char *key, const char *meta)
{
    plx_track t = track_of(a, "refused", "s1", ref, key, meta);
    answer x = track_with(a, &t);
    if (x.err != err)
        fail_msg("%s: expected %d, got %d", meta, err, x.err);
}

static void test_refusals(void **state)
{
    (void)state;
    char big[PLX_META_BYTES + 2], key[PLX_KEY_BYTES + 2];
    refuse(PLX_E_INVALID, "r", "k", "");
    refuse(PLX_E_INVALID, "r", "k", "null");
    refuse(PLX_E_INVALID, "r", "k", "[]");
    refuse(PLX_E_INVALID, "r", "k", "\"x\"");
    refuse(PLX_E_INVALID, "r", "k", "{\"a\":1");
    refuse(PLX_E_INVALID, "r", "k", "{\"a\":NaN}");
    refuse(PLX_E_INVALID, "r", "k", "{\"a\":\"\\ud800\"}");
    refuse(PLX_E_INVALID, "r", "k", "{}{}");
    refuse(PLX_E_INVALID, "r", "k", "{\"phx_ref\":1}");
    refuse(PLX_E_INVALID, "r", "k", "{\"a\":1,\"phx_ref\":null}");
    refuse(PLX_E_INVALID, "r", "k", "{\"phx_ref_prev\":\"x\"}");
    refuse(PLX_E_INVALID, "r", "k", "{\"phx\\u005fref\":\"x\"}");
    refuse(PLX_E_INVALID, "r", "k", "{\"\\u0070hx_ref\\u005Fprev\":\"x\"}");
    memset(big, ' ', sizeof big);
    memcpy(big, "{}", 2);
    big[PLX_META_BYTES] = '\0';
    refuse(0, "at-the-bound", "k", big);
    big[PLX_META_BYTES] = ' ';
    big[PLX_META_BYTES + 1] = '\0';
    refuse(PLX_E_TOOBIG, "r", "k", big);
    memset(key, 'k', sizeof key);
    key[PLX_KEY_BYTES] = '\0';
    refuse(0, "long-key", key, "{}");
    key[PLX_KEY_BYTES] = 'k';
    key[PLX_KEY_BYTES + 1] = '\0';
    refuse(PLX_E_TOOBIG, "r", key, "{}");

    plx_track t = track_of(a, "refused", "s1", "r", "k", "{}");
    static const char *const bad[] = {"", "short", "much-too-long-to-be-a-ref", "with space------",
                                      "quote\"----------"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        t.ref = S(bad[i]);
        assert_int_equal(track_with(a, &t).err, PLX_E_INVALID);
        t.ref = ref_of("ok");
        t.prev = S(bad[i]);
        assert_int_equal(track_with(a, &t).err, i == 0 ? 0 : PLX_E_INVALID);
        t.prev = S("");
    }
    t.socket = S("");
    assert_int_equal(track_with(a, &t).err, PLX_E_INVALID);

    /* A ref in use, published or not; of another socket, or one's own once more (a repetition). */
    assert_int_equal(track(b, "refused", "s2", "ok", "k", "{}"), PLX_E_INVALID);
    assert_int_equal(track(a, "refused", "s1", "ok", "k", "{}"), 0);
    WAIT(&r, read_state(a, "refused").count == 3);
    assert_int_equal(track(b, "refused", "s2", "ok", "k", "{}"), PLX_E_INVALID);
    assert_int_equal(update(b, "refused", "s2", "new", "ok", "k", "{}"), PLX_E_INVALID);
    assert_int_equal(update(a, "refused", "s1", "new", "nobody", "k", "{}"), PLX_E_INVALID);
    assert_int_equal(untrack(b, "refused", "s2", "ok", NULL, false), 0);
    assert_int_equal(untrack(b, "refused", "s2", NULL, "k", false), 0);
    assert_int_equal(untrack(b, "refused", "s2", NULL, NULL, false), 0);
    redis_idle(&r, 200);
    assert_int_equal(read_state(a, "refused").count, 3);
}

/* 10,000 tracks by one socket: 64 are accepted. */
static void test_many_tracks(void **state)
{
    (void)state;
    static answer x[10000];
    char ref[16];
    unsigned accepted = 0;
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(ref, sizeof ref, "m%u", i);
        plx_track t = track_of(a, "many", "s1", ref, "k", "{\"a\":1}");
        plx_presence_track(a, &rules, &t, on_tracked, &x[i]);
    }
    WAIT(&r, x[9999].called);
    for (unsigned i = 0; i < 10000; i++) {
        assert_int_equal(x[i].called, 1);
        assert_int_equal(x[i].err, i < PLX_TRACKS_MAX ? 0 : PLX_E_TOOBIG);
        accepted += x[i].err == 0;
    }
    assert_int_equal(accepted, PLX_TRACKS_MAX);
    /* An update needs no more room, another socket has its own. */
    assert_int_equal(update(a, "many", "s1", "other", "m7", "k", "{}"), 0);
    assert_int_equal(track(a, "many", "s2", "second", "k", "{}"), 0);
    WAIT(&r, read_state(a, "many").count == PLX_TRACKS_MAX + 1);
    assert_int_equal(untrack(a, "many", "s1", "m0", NULL, false), 0);
    assert_int_equal(track(a, "many", "s1", "again", "k", "{}"), 0);
    assert_int_equal(track(a, "many", "s1", "no-more", "k", "{}"), PLX_E_TOOBIG);
    /* Changes that cancel each other cost nothing that lasts. */
    for (unsigned i = 0; i < 2000; i++) {
        x[i] = x[5000 + i] = (answer){0};
        snprintf(ref, sizeof ref, "c%u", i);
        plx_track t = track_of(a, "many", "s3", ref, "k", "{}");
        plx_presence_track(a, &rules, &t, on_tracked, &x[i]);
        plx_untrack u = {.topic = t.topic, .socket = t.socket, .ref = t.ref};
        plx_presence_untrack(a, &rules, &u, on_untracked, &x[5000 + i]);
    }
    WAIT(&r, x[6999].called);
    assert_int_equal(untrack(a, "many", "s1", NULL, NULL, false), 0);
    assert_int_equal(untrack(a, "many", "s2", NULL, NULL, false), 0);
    WAIT(&r, read_state(a, "many").count == 0);
    WAIT(&r, redis_do(&r, "EXISTS plx:{t:many}:pres plx:{t:many}:pres:fresh plx:{t:many}:pres:pend "
                          "plx:{t:many}:pres:own") == 0);
}

/* ---- within one window */

static void test_cancelling(void **state)
{
    (void)state;
    size_t seen = 0;
    follow(&f, b, "cancel");
    answer x[6] = {{0}};
    plx_track t = track_of(a, "cancel", "s1", "r1", "u1", "{}");
    plx_presence_track(a, &rules, &t, on_tracked, &x[0]);
    plx_untrack u = {.topic = t.topic, .socket = t.socket, .ref = t.ref};
    plx_presence_untrack(a, &rules, &u, on_untracked, &x[1]);
    WAIT(&r, x[1].called);
    /* Joined and updated twice: only the last is seen, without a predecessor. */
    assert_int_equal(track(a, "cancel", "s1", "r1", "u1", "{\"v\":1}"), 0);
    assert_int_equal(update(a, "cancel", "s1", "r2", "r1", "u1", "{\"v\":2}"), 0);
    assert_int_equal(update(a, "cancel", "s1", "r3", "r2", "u1", "{\"v\":3}"), 0);
    expect_event(&f, &seen, "presence_diff",
                 DIFF("\"u1\":{\"metas\":[" M(R3, ",\"v\":3") "]}", ""));
    /* Published and updated twice: the predecessor is the one that is known. */
    assert_int_equal(update(a, "cancel", "s1", "r4", "r3", "u1", "{\"v\":4}"), 0);
    assert_int_equal(update(a, "cancel", "s1", "r2", "r4", "u1", "{\"v\":5}"), 0);
    expect_event(&f, &seen, "presence_diff",
                 DIFF("\"u1\":{\"metas\":[" M(R2, ",\"phx_ref_prev\":\"" R3 "\",\"v\":5") "]}",
                      "\"u1\":{\"metas\":[" M(R3, ",\"v\":3") "]}"));
    /* Updated and removed: the one that is known leaves. */
    assert_int_equal(update(a, "cancel", "s1", "r1", "r2", "u1", "{\"v\":6}"), 0);
    assert_int_equal(untrack(a, "cancel", "s1", "r1", NULL, false), 0);
    expect_event(
        &f, &seen, "presence_diff",
        DIFF("", "\"u1\":{\"metas\":[" M(R2, ",\"phx_ref_prev\":\"" R3 "\",\"v\":5") "]}"));
    redis_idle(&r, 300);
    assert_int_equal(f.count, seen);
    assert_int_equal(redis_do(&r, "EXISTS plx:{t:cancel}:pres plx:{t:cancel}:pres:fresh "
                                  "plx:{t:cancel}:pres:pend plx:{t:cancel}:pres:own"),
                     0);
    unfollow(&f);
}

static void test_untrack(void **state)
{
    (void)state;
    track(a, "untrack", "s1", "r1", "k1", "{}");
    track(a, "untrack", "s1", "r2", "k1", "{}");
    track(a, "untrack", "s1", "r3", "k2", "{}");
    track(b, "untrack", "s2", "r4", "k1", "{}");
    WAIT(&r, read_state(a, "untrack").count == 4);
    assert_int_equal(untrack(a, "untrack", "s1", NULL, "k1", false), 0);
    WAIT(&r, read_state(a, "untrack").count == 2);
    assert_int_equal(untrack(a, "untrack", "s1", "r3", NULL, false), 0);
    assert_int_equal(untrack(a, "untrack", "s1", "r3", NULL, false), 0); /* once more */
    WAIT(&r, read_state(a, "untrack").count == 1);
    /* The empty key is a key. */
    track(a, "untrack", "s1", "r5", "", "{}");
    track(a, "untrack", "s1", "r6", "k", "{}");
    assert_int_equal(untrack(a, "untrack", "s1", NULL, "", false), 0);
    WAIT(&r, read_state(a, "untrack").count == 2);
    assert_int_equal(untrack(b, "untrack", "s2", NULL, NULL, false), 0);
    assert_int_equal(untrack(b, "untrack", "s1", NULL, NULL, false), 0); /* from another worker */
    WAIT(&r, read_state(a, "untrack").count == 0);
}

/* ---- grace */

static void test_grace(void **state)
{
    (void)state;
    size_t seen = 0;
    rules.grace_ms = 1500;
    follow(&f, b, "grace");
    plx_roster *roster = plx_roster_open(c, S("grace"), &rules);
    track(a, "grace", "old", "r1", "u1", "{\"n\":1}");
    expect_event(&f, &seen, "presence_diff",
                 DIFF("\"u1\":{\"metas\":[" M(R1, ",\"n\":1") "]}", ""));
    /* It vanishes and comes back looking the same, through another worker: nobody notices. */
    assert_int_equal(untrack(a, "grace", "old", NULL, NULL, true), 0);
    plx_track t = track_of(b, "grace", "new", "r2", "u1", "{\"n\":1}");
    answer x = track_with(b, &t);
    assert_int_equal(x.err, 0);
    assert_true(x.taken);
    assert_string_equal(x.ref, R1);
    assert_string_equal(x.at.epoch, f.event[0]->position.epoch);
    assert_int_equal(x.at.offset, f.event[0]->position.offset);
    redis_idle(&r, 2500);
    assert_int_equal(f.count, 1);
    assert_int_equal(untrack(a, "grace", "old", NULL, NULL, false), 0); /* not its any more */
    /* Another meta is another entry; what vanished leaves when its time is over. */
    assert_int_equal(untrack(b, "grace", "new", NULL, NULL, true), 0);
    uint64_t start = fixture_ms();
    track(a, "grace", "third", "r3", "u1", "{\"n\":2}");
    expect_event(&f, &seen, "presence_diff",
                 DIFF("\"u1\":{\"metas\":[" M(R3, ",\"n\":2") "]}", ""));
    expect_event(&f, &seen, "presence_diff",
                 DIFF("", "\"u1\":{\"metas\":[" M(R1, ",\"n\":1") "]}"));
    assert_in_range(fixture_ms() - start, 1450, 6000);
    /* Who says goodbye gets no grace; nor does what nobody has seen. */
    assert_int_equal(untrack(a, "grace", "third", NULL, NULL, false), 0);
    expect_event(&f, &seen, "presence_diff",
                 DIFF("", "\"u1\":{\"metas\":[" M(R3, ",\"n\":2") "]}"));
    track(a, "grace", "fourth", "r4", "u1", "{}");
    untrack(a, "grace", "fourth", NULL, NULL, true);
    redis_idle(&r, 2500);
    assert_int_equal(f.count, seen);
    assert_slice(roster_state(c, roster, "grace")->payload, "{}");
    assert_int_equal(redis_do(&r, "EXISTS plx:{t:grace}:pres plx:{t:grace}:pres:grace "
                                  "plx:{t:grace}:pres:alike plx:{t:grace}:pres:own"),
                     0);
    plx_roster_close(roster);
    unfollow(&f);
    rules.grace_ms = 0;
}

/* Several that look alike: each takes one over. */
static void test_grace_of_many(void **state)
{
    (void)state;
    char socket[16], ref[16];
    rules.grace_ms = 8000;
    follow(&f, b, "grace-many");
    for (unsigned i = 0; i < 20; i++) {
        snprintf(socket, sizeof socket, "old%u", i);
        snprintf(ref, sizeof ref, "o%u", i);
        assert_int_equal(track(a, "grace-many", socket, ref, i % 2 ? "x" : "y", "{\"v\":0}"), 0);
    }
    WAIT(&r, read_state(a, "grace-many").count == 20);
    WAIT(&r, plx_feed_last(f.watch.feed) == position_of(a, "grace-many").offset);
    size_t before = f.count;
    for (unsigned i = 0; i < 20; i++) {
        snprintf(socket, sizeof socket, "old%u", i);
        untrack(a, "grace-many", socket, NULL, NULL, true);
    }
    unsigned taken = 0;
    for (unsigned i = 0; i < 21; i++) {
        snprintf(socket, sizeof socket, "new%u", i);
        snprintf(ref, sizeof ref, "n%u", i);
        plx_track t = track_of(b, "grace-many", socket, ref, i % 2 ? "x" : "y", "{\"v\":0}");
        answer x = track_with(b, &t);
        assert_int_equal(x.err, 0);
        taken += x.taken;
    }
    assert_int_equal(taken, 20);
    WAIT(&r, f.count > before);
    redis_idle(&r, 200);
    assert_int_equal(f.count, before + 1); /* the one too many */
    assert_int_equal(read_state(a, "grace-many").count, 21);
    assert_int_equal(redis_do(&r, "ZCARD plx:{t:grace-many}:pres:grace"), 0);
    assert_int_equal(redis_do(&r, "ZCARD plx:{t:grace-many}:pres:alike"), 0);
    rules.grace_ms = 0;
    unfollow(&f);
}

/* ---- the number only */

static void test_count_only(void **state)
{
    (void)state;
    size_t seen = 0;
    char socket[16], ref[16];
    rules.count_only_above = 10;
    follow(&f, b, "count");
    plx_roster *roster = plx_roster_open(c, S("count"), &rules);
    for (unsigned i = 0; i < 10; i++) {
        snprintf(socket, sizeof socket, "s%u", i);
        snprintf(ref, sizeof ref, "r%u", i);
        track(a, "count", socket, ref, "k", "{}");
    }
    WAIT(&r, read_state(a, "count").count == 10);
    WAIT(&r, plx_feed_last(f.watch.feed) == position_of(a, "count").offset);
    seen = f.count;
    for (size_t i = 0; i < seen; i++)
        assert_slice(f.event[i]->event, "presence_diff");
    track(a, "count", "s10", "r10", "k", "{}");
    expect_event(&f, &seen, "presence_count", "{\"count\":11}");
    assert_true(plx_diff_joins(f.event[seen - 1], ref_of("r10")));
    plx_event *e = roster_state(c, roster, "count");
    assert_slice(e->event, "presence_count");
    assert_slice(e->payload, "{\"count\":11}");
    plx_roster *late = plx_roster_open(a, S("count"), &rules);
    assert_slice(roster_state(a, late, "count")->payload, "{\"count\":11}");
    reading_ x = {0};
    plx_presence_read(b, S("count"), false, on_read, &x);
    WAIT(&r, x.called);
    assert_int_equal(x.picture.count, 11);
    assert_null(x.json);
    /* It stays so until it is clearly below, then everybody is told everything once. */
    for (unsigned i = 10; i > 5; i--) {
        snprintf(socket, sizeof socket, "s%u", i);
        char text[32];
        snprintf(text, sizeof text, "{\"count\":%u}", i);
        untrack(a, "count", socket, NULL, NULL, false);
        expect_event(&f, &seen, "presence_count", text);
    }
    untrack(a, "count", "s5", NULL, NULL, false);
    WAIT(&r, f.count > seen);
    assert_slice(f.event[seen]->event, "presence_state");
    assert_true(plx_diff_joins(f.event[seen], ref_of("r0")));
    picture p = picture_of(f.event[seen++]->payload);
    assert_int_equal(p.count, 5);
    assert_true(same(p, read_state(a, "count")));
    assert_true(same(p, roster_picture(c, roster, "count")));
    assert_true(same(p, roster_picture(a, late, "count")));
    track(a, "count", "s5", "r50", "k2", "{}");
    expect_event(&f, &seen, "presence_diff",
                 DIFF("\"k2\":{\"metas\":[" M("r50-------------", "") "]}", ""));
    assert_int_equal(roster_picture(c, roster, "count").count, 6);
    plx_roster_close(roster);
    plx_roster_close(late);
    unfollow(&f);
    rules.count_only_above = 0;
}

static void on_count(void *arg, int err, const plx_position *position, plx_slice json,
                     uint64_t count)
{
    answer *x = arg;
    assert_int_equal(err, 0);
    assert_int_equal(json.len, 0);
    x->called++;
    x->at = *position;
    x->at.offset = count;
}

static void test_reading_the_number(void **state)
{
    (void)state;
    answer x = {0};
    plx_presence_read(b, S("nobody was ever here"), true, on_count, &x);
    WAIT(&r, x.called);
    assert_int_equal(x.at.offset, 0);
    assert_string_not_equal(x.at.epoch, "");
    picture p = read_state(b, "nobody was ever here");
    assert_int_equal(p.count, 0);
    track(a, "number", "s", "r1", "k", "{}");
    WAIT(&r, read_state(a, "number").count == 1);
    x.called = 0;
    plx_presence_read(b, S("number"), true, on_count, &x);
    WAIT(&r, x.called);
    assert_int_equal(x.at.offset, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_socket_holds),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_many_tracks),
        cmocka_unit_test(test_cancelling),
        cmocka_unit_test(test_untrack),
        cmocka_unit_test(test_grace),
        cmocka_unit_test(test_grace_of_many),
        cmocka_unit_test(test_count_only),
        cmocka_unit_test(test_reading_the_number),
    };
    return cmocka_run_group_tests(tests, workers_up, workers_down);
}
