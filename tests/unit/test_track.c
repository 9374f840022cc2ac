/* What a membership tracks: from configuration and by verbs, through joins, ends, failures,
 * records. */
#include "base/log.h"
#include "channel/track.h"
#include "channel/socket_core.h"
#include "tests/unit/socket_harness.h"

static plx_socket *s;

static int set_up(void **state)
{
    (void)state;
    s = harness_socket();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (s)
        finish(s);
    fake_presence_end();
    return 0;
}

/* Takes the oldest change, which has to be this one. */
static void took(const char *key, const char *meta, const char *prev)
{
    fake_change *c = fake_changes;
    assert_non_null(c);
    assert_false(c->untracks);
    assert_string_equal(c->key, key);
    assert_string_equal(c->meta, meta);
    assert_string_equal(c->prev, prev);
    assert_string_equal(c->owner, "sess");
    assert_string_equal(c->socket, "sess");
    assert_int_equal(strlen(c->ref), PLX_PHX_REF_LEN);
    fake_change_answer(0, 0);
}

static void untracked(bool grace)
{
    fake_change *c = fake_changes;
    assert_non_null(c);
    assert_true(c->untracks);
    assert_int_equal(c->grace, grace);
    fake_change_free(fake_change_take());
}

static void a_join_is_tracked_at_its_place(void **state)
{
    (void)state;
    client(s, "1", "1", "lobby:a", "phx_join", "{}");
    assert_null(fake_changes); /* not before its position is known */
    fake_answer_all();
    plx_membership *m = plx_socket_find(s, S("lobby:a"));
    assert_int_equal(m->diffs.mode, PLX_DIFFS_WAITS);
    took("7", "{\"name\":\"7\",\"gone\":null}", "");
    client(s, "1", "2", "lobby:a", "phx_leave", "{}");
    untracked(false);
    assert_null(fake_changes);
}

static void a_socket_that_vanishes_is_untracked_with_grace(void **state)
{
    (void)state;
    join(s, "1", "lobby:a");
    fake_change_answer(0, 0);
    plx_socket_free(s, PLX_END_CLOSED);
    s = NULL;
    untracked(true);
    fake_reset();
    plx_buf_fini(&trace);
}

static void a_rejoin_untracks_the_old_one_first(void **state)
{
    (void)state;
    join(s, "1", "lobby:a");
    fake_change_answer(0, 0);
    client(s, "2", "2", "lobby:a", "phx_join", "{}");
    fake_answer_all();
    untracked(false);
    took("7", "{\"name\":\"7\",\"gone\":null}", "");
}

static void an_entry_that_redis_did_not_take_ends_the_membership(void **state)
{
    (void)state;
    join(s, "1", "lobby:a");
    fake_change_answer(PLX_E_DOWN, 0);
    const char *got = plx_buf_cstr(&trace);
    assert_non_null(strstr(got, "error 1 1 lobby:a {\"reason\":\"gap\"} ends"));
    untracked(false);
}

static void a_takeover_needs_no_diff(void **state)
{
    (void)state;
    join(s, "1", "lobby:a");
    plx_membership *m = plx_socket_find(s, S("lobby:a"));
    fake_change_answer(0, 40);
    assert_int_equal(m->diffs.mode, PLX_DIFFS_DUE);
    assert_int_equal(m->diffs.at, 40);
    assert_string_equal(m->tracks->held[0].ref, "TakenTakenTaken0");
}

static void verbs_are_checked_and_bounded(void **state)
{
    (void)state;
    char key[PLX_KEY_BYTES + 2], meta[PLX_META_BYTES + 16];
    join(s, "1", "lobby:a");
    fake_change_answer(0, 0);
    client(s, "1", "2", "lobby:a", "hold", "{}");
    plx_channel *ch = channels_held[0];
    plx_call *call = calls_held[0];
    static const char *const bad[] = {
        "", "1", "[]", "{", "{\"phx_ref\":1}", "{\"phx_ref_prev\":1}", "{\"phx\\u005fref\":1}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(plx_channel_track(ch, call, S("k"), S(bad[i])), PLX_E_INVALID);
    memset(key, 'k', sizeof key);
    assert_int_equal(plx_channel_track(ch, call, plx_slice_make(key, PLX_KEY_BYTES + 1), S("{}")),
                     PLX_E_TOOBIG);
    memset(meta, ' ', sizeof meta);
    meta[0] = '{';
    meta[sizeof meta - 1] = '}';
    assert_int_equal(plx_channel_track(ch, call, S("k"), plx_slice_make(meta, sizeof meta)),
                     PLX_E_TOOBIG);
    assert_int_equal(plx_channel_track(ch, call, S("7"), S("{}")), PLX_E_DENIED);
    assert_int_equal(plx_channel_update(ch, call, S("k"), S("{}")), PLX_E_NOTFOUND);
    assert_int_equal(plx_channel_untrack(ch, call, S("k")), PLX_E_NOTFOUND);
    assert_null(fake_changes);
    for (int i = 0; i < PLX_TRACKS_MAX - 1; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(plx_channel_track(ch, call, S(key), S("{}")), 0);
        fake_change_answer(0, 0);
    }
    assert_int_equal(plx_channel_track(ch, call, S("one more"), S("{}")), PLX_E_TOOBIG);
    plx_call_noreply(call);
}

static void an_update_names_what_it_replaces(void **state)
{
    (void)state;
    join(s, "1", "lobby:a");
    plx_membership *m = plx_socket_find(s, S("lobby:a"));
    fake_change_answer(0, 0);
    char first[PLX_PHX_REF_LEN + 1];
    memcpy(first, m->tracks->held[0].ref, sizeof first);
    client(s, "1", "2", "lobby:a", "hold", "{}");
    assert_int_equal(plx_channel_update(channels_held[0], calls_held[0], S("7"), S("{\"x\":1}")),
                     0);
    plx_call_ok(calls_held[0], JSON("{}"));
    assert_null(strstr(plx_buf_cstr(&trace), "reply 1 2")); /* not before Redis has it */
    took("7", "{\"x\":1}", first);
    assert_non_null(strstr(plx_buf_cstr(&trace), "reply 1 2"));
}

/* As when a worker died over the entry and another one handles it again. */
static void refs_of_a_repeated_entry_are_the_same(void **state)
{
    (void)state;
    char refs[2][PLX_PHX_REF_LEN + 1];
    for (int i = 0; i < 2; i++) {
        finish(s);
        fake_presence_end();
        s = harness_socket();
        s->entry = 5;
        join(s, "1", "lobby:a");
        assert_false(fake_changes->untracks);
        memcpy(refs[i], fake_changes->ref, sizeof refs[i]);
        fake_change_answer(0, 0);
    }
    assert_string_equal(refs[0], refs[1]);
    s->entry = 6;
    s->next_index = 0;
    join(s, "2", "lobby:b");
    assert_string_not_equal(fake_changes->ref, refs[0]);
    fake_change_answer(0, 0);
}

/* The application answers the repetition with another key: that is another entry. */
static void refs_of_other_keys_are_others(void **state)
{
    (void)state;
    static const char *const keys[] = {"x", "y", "x"};
    char refs[3][PLX_PHX_REF_LEN + 1];
    for (int i = 0; i < 3; i++) {
        finish(s);
        fake_presence_end();
        s = harness_socket();
        s->entry = 5;
        join(s, "1", "lobby:a");
        fake_change_answer(0, 0);
        client(s, "1", "2", "lobby:a", "hold", "{}");
        assert_int_equal(
            plx_channel_track(channels_held[0], calls_held[0], plx_slice_of(keys[i]), S("{}")), 0);
        memcpy(refs[i], fake_changes->ref, sizeof refs[i]);
        fake_change_answer(0, 0);
        plx_call_noreply(calls_held[0]);
    }
    assert_string_equal(refs[0], refs[2]);
    assert_string_not_equal(refs[0], refs[1]);
}

static void records_bring_it_back(void **state)
{
    (void)state;
    plx_buf packed, again, hint;
    plx_buf_init(&packed, 0);
    plx_buf_init(&again, 0);
    plx_buf_init(&hint, 0);
    join(s, "1", "lobby:a");
    fake_change_answer(0, 0);
    plx_membership *m = plx_socket_find(s, S("lobby:a"));
    plx_membership_pack(m, &packed);
    plx_hint_pack(m, &hint);
    plx_hint h;
    assert_int_equal(plx_hint_unpack(plx_buf_slice(&hint), &h), 0);
    assert_int_equal(h.diffs.mode, PLX_DIFFS_WAITS);
    assert_true(plx_slice_is(h.ref, m->tracks->held[0].ref));
    assert_true(plx_slice_is(h.join_ref, "\"1\""));
    plx_slot slot = {.number = 3, .topic = S("lobby:b"), .state = plx_buf_slice(&packed)};
    plx_membership *back = plx_socket_restore(s, &slot);
    assert_non_null(back);
    plx_membership_pack(back, &again);
    assert_true(plx_slice_eq(plx_buf_slice(&packed), plx_buf_slice(&again)));
    for (size_t i = 0; i < packed.len; i++) { /* cut off anywhere: refused, or without its tail */
        slot.topic = S("lobby:c");
        slot.state.len = i;
        plx_membership *cut = plx_socket_restore(s, &slot);
        if (cut)
            plx_membership_end(cut, PLX_END_LEFT);
    }
    plx_buf_fini(&packed);
    plx_buf_fini(&again);
    plx_buf_fini(&hint);
}

/* Such a long-poll session lost its channel with its next message. */
static void a_record_of_one_that_untracked_everything(void **state)
{
    (void)state;
    plx_buf packed;
    plx_buf_init(&packed, 0);
    join(s, "1", "lobby:a");
    fake_change_answer(0, 0);
    client(s, "1", "2", "lobby:a", "hold", "{}");
    assert_int_equal(plx_channel_untrack(channels_held[0], calls_held[0], S("7")), 0);
    fake_change_answer(0, 0);
    plx_call_noreply(calls_held[0]);
    plx_membership *m = plx_socket_find(s, S("lobby:a"));
    assert_int_equal(m->diffs.mode, PLX_DIFFS_WAITS);
    plx_membership_pack(m, &packed);
    plx_slot slot = {.number = 3, .topic = S("lobby:b"), .state = plx_buf_slice(&packed)};
    plx_membership *back = plx_socket_restore(s, &slot);
    assert_non_null(back);
    assert_int_equal(back->diffs.mode, PLX_DIFFS_WAITS);
    assert_string_equal(back->tracks->awaited, m->tracks->awaited);
    assert_int_equal(back->tracks->count, 0);
    plx_buf_fini(&packed);
}

static void the_list_comes_to_the_call(void *arg, plx_channel *ch, plx_call *call, int err,
                                       plx_slice json)
{
    (void)ch;
    *(int *)arg = err;
    plx_call_ok(call, (plx_payload){PLX_PAYLOAD_JSON, json});
}

static void presences_are_listed(void **state)
{
    (void)state;
    int err = 1;
    join(s, "1", "lobby:a");
    fake_change_answer(0, 0);
    client(s, "1", "2", "lobby:a", "hold", "{}");
    plx_channel_presences(channels_held[0], calls_held[0], the_list_comes_to_the_call, &err);
    fake_change_answer(0, 0);
    assert_int_equal(err, 0);
    assert_non_null(strstr(plx_buf_cstr(&trace), "reply 1 2 lobby:a ok {\"k\":{\"metas\":[]}}"));
}

/* ---- a list that comes when nobody wants it any more ---- */

typedef struct late {
    unsigned calls;
    int err;
} late;

/* Does whatever a backend may do with its channel and its call. */
static void too_late(void *arg, plx_channel *ch, plx_call *call, int err, plx_slice json)
{
    late *l = arg;
    l->calls++;
    l->err = err;
    assert_int_equal(json.len > 0, err == 0);
    assert_true(plx_channel_topic(ch).len > 0);
    assert_true(plx_call_message_id(call).len > 0);
    assert_int_equal(plx_channel_put(ch, "late", S("true")), 0);
    assert_int_equal(plx_channel_push(ch, call, S("late"), JSON("{}")), 0);
    assert_int_equal(plx_channel_track(ch, call, S("late"), S("{}")), 0);
    assert_int_equal(plx_channel_untrack(ch, call, S("nobody")), PLX_E_NOTFOUND);
    assert_int_equal(plx_channel_send_after(ch, call, S("late"), 10, JSON("{}")), 0);
    assert_int_equal(plx_channel_broadcast(ch, call, S("late"), JSON("{}")), 0);
    if (err == 0)
        plx_call_ok(call, (plx_payload){PLX_PAYLOAD_JSON, json});
    else
        plx_call_error(call, JSON("{}"));
}

static void ask_for_a_list(late *l)
{
    *l = (late){0, 1};
    join(s, "1", "lobby:a");
    fake_change_answer(0, 0);
    client(s, "1", "2", "lobby:a", "hold", "{}");
    plx_channel_presences(channels_held[0], calls_held[0], too_late, l);
    plx_buf_clear(&trace);
}

/* The list's answer is the oldest change but for the untracking of who was in. */
static void the_list_comes(late *l, int err)
{
    assert_int_equal(l->calls, 0);
    while (l->calls == 0 && fake_changes)
        fake_change_answer(err, 0);
    assert_int_equal(l->calls, 1);
    assert_int_equal(l->err, err);
    assert_null(strstr(plx_buf_cstr(&trace), "late"));
    assert_null(strstr(plx_buf_cstr(&trace), "reply 1 2"));
}

static void a_list_that_comes_after_its_socket(void **state)
{
    (void)state;
    static const int errors[] = {0, PLX_E_DOWN};
    for (int i = 0; i < 4; i++) {
        late l;
        ask_for_a_list(&l);
        if (i < 2)
            plx_socket_free(s, PLX_END_CLOSED);
        else
            plx_socket_forget(s); /* a long-poll session whose worker stops */
        the_list_comes(&l, errors[i % 2]);
        fake_reset();
        fake_presence_end();
        plx_buf_fini(&trace);
        s = harness_socket();
    }
}

static void a_list_that_comes_after_its_channel(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        late l;
        ask_for_a_list(&l);
        if (i == 0)
            plx_membership_close(plx_socket_find(s, S("lobby:a")), NULL);
        else if (i == 1)
            plx_membership_lost(plx_socket_find(s, S("lobby:a")));
        else
            client(s, "9", "9", "lobby:a", "phx_join", "{}"); /* waits behind the push */
        if (i < 2)
            the_list_comes(&l, 0);
        else
            fake_change_answer(0, 0);
        assert_int_equal(l.calls, 1);
        fake_answer_all();
        while (fake_changes)
            fake_change_answer(0, 0);
        fake_answer_all();
        assert_int_equal(s->pending, 0);
        plx_buf_clear(&trace);
        join(s, "7", "lobby:b"); /* the socket is none the worse */
        fake_change_answer(0, 0);
        finish(s);
        fake_presence_end();
        s = harness_socket();
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_join_is_tracked_at_its_place),
        T(a_socket_that_vanishes_is_untracked_with_grace),
        T(a_rejoin_untracks_the_old_one_first),
        T(an_entry_that_redis_did_not_take_ends_the_membership),
        T(a_takeover_needs_no_diff),
        T(verbs_are_checked_and_bounded),
        T(an_update_names_what_it_replaces),
        T(refs_of_a_repeated_entry_are_the_same),
        T(refs_of_other_keys_are_others),
        T(records_bring_it_back),
        T(a_record_of_one_that_untracked_everything),
        T(presences_are_listed),
        T(a_list_that_comes_after_its_socket),
        T(a_list_that_comes_after_its_channel),
    };
    plx_log_init("test", PLX_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
