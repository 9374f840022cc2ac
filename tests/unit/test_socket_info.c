/* What a channel module has beside join and handle_in: handle_info, broadcasts in terminate,
 * members of the assigns.
 */
#include "socket_info.h"

/* ---- handle_info ---- */

static void test_info_pushes_and_is_not_answered(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    plx_counted.infos = 0;
    assert_int_equal(inform(s, "room:a", NULL, "push", "{\"n\":1}"), 0);
    assert_int_equal(plx_counted.infos, 1);
    expect("info room:a push {\"n\":1}\npush 1 room:a pushed {\"n\":1}\n");
    inform(s, "room:a", NULL, "ok", "{}");
    inform(s, "room:a", NULL, "error", "{}");
    expect("info room:a ok {}\ninfo room:a error {}\n");
    inform(s, "room:a", NULL, "cast", "{}");
    assert_int_equal(fake_waiting(), 1);
    inform(s, "room:a", NULL, "push", "2");
    expect("info room:a cast {}\ninfo room:a push 2\n");
    fake_answer(0, 0);
    expect("push 1 room:a pushed 2 after room:a@1\nidle\n");
    finish(s);
}

static void test_info_ends_its_channel(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    join(s, "2", "room:b");
    join(s, "3", "room:c");
    inform(s, "room:a", NULL, "stop_reply", "{}");
    expect("info room:a stop_reply {}\nterminate room:a closed\nclose 1 1 room:a ends\n"
           "closed room:a\n");
    inform(s, "room:b", NULL, "crash", "{}");
    expect("info room:b crash {}\nterminate room:b crashed\n"
           "error 2 2 room:b {\"reason\":\"channel_crash\"} ends\nclosed room:b\n");
    inform(s, "room:c", NULL, "bad_json", "{}");
    expect("info room:c bad_json {}\nterminate room:c crashed\n"
           "error 3 3 room:c {\"reason\":\"channel_crash\"} ends\nclosed room:c\n");
    assert_int_equal(inform(s, "room:a", NULL, "push", "{}"), 0);
    assert_int_equal(inform(s, "nowhere", NULL, "push", "{}"), 0);
    expect("");
    finish(s);
}

static void test_info_waits_its_turn(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    client(s, "1", "2", "room:a", "hold", "{}");
    inform(s, "room:a", NULL, "hold", "1");
    client(s, "1", "3", "room:a", "ok", "{}");
    expect("");
    plx_call_ok(calls_held[0], JSON("{}"));
    expect("reply 1 2 room:a ok {}\ninfo room:a hold 1\n");
    plx_call_noreply(calls_held[1]);
    expect("reply 1 3 room:a ok {}\nidle\n");
    finish(s);
}

/* A message named like an event of the protocol is a message all the same. */
static void test_info_is_no_event(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    inform(s, "room:a", NULL, "phx_leave", "{}");
    inform(s, "room:a", NULL, "phx_join", "{}");
    inform(s, "phoenix", NULL, "heartbeat", "{}");
    expect("info room:a phx_leave {}\ninfo room:a phx_join {}\n");
    assert_non_null(room_a(s));
    finish(s);
}

static void test_info_without_a_handler(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    join(s, "2", "relay:a");
    assert_int_equal(inform(s, "relay:a", NULL, "any", "{}"), 0);
    expect("");
    assert_int_equal(fake_waiting(), 0);
    finish(s);
}

/* What is meant for one membership does not reach the next one of its topic. */
static void test_info_for_a_membership_that_is_replaced(void **state)
{
    plx_socket *s = full_socket(true);
    const plx_membership *m = room_a(s);

    (void)state;
    client(s, "1", "2", "room:a", "hold", "{}");
    client(s, "9", "9", "room:a", "phx_join", "{}");
    inform(s, "room:a", m, "push", "\"old\"");
    inform(s, "room:a", NULL, "push", "\"any\"");
    plx_call_noreply(calls_held[0]);
    fake_answer_all();
    assert_null(strstr(plx_buf_cstr(&trace), "old"));
    assert_non_null(strstr(trace.data, "push 9 room:a pushed \"any\"\n"));
    plx_buf_clear(&trace);
    finish(s);
}

/* The same with a client that joins again by the ref of its first join. */
static void test_info_for_one_that_has_the_same_ref(void **state)
{
    plx_socket *s = full_socket(true);
    const plx_membership *m = room_a(s);

    (void)state;
    inform(s, "room:a", m, "push", "\"now\"");
    expect("info room:a push \"now\"\npush 1 room:a pushed \"now\"\n");
    client(s, "1", "2", "room:a", "hold", "{}");
    client(s, "1", "1", "room:a", "phx_join", "{}");
    inform(s, "room:a", m, "push", "\"old\"");
    inform(s, "room:a", NULL, "push", "\"any\"");
    plx_call_noreply(calls_held[0]);
    fake_answer_all();
    assert_null(strstr(plx_buf_cstr(&trace), "old"));
    assert_non_null(strstr(trace.data, "push 1 room:a pushed \"any\"\n"));
    plx_buf_clear(&trace);
    finish(s);
}

static void test_info_is_bounded(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    client(s, "1", "2", "room:a", "hold", "{}");
    for (int i = 0; i < PLX_JOIN_WAITING; i++)
        assert_int_equal(inform(s, "room:a", NULL, "noreply", "{}"), 0);
    assert_int_equal(inform(s, "room:a", NULL, "noreply", "{}"), PLX_E_BUSY);
    expect("");
    plx_call_noreply(calls_held[0]);
    assert_int_equal(infos, PLX_JOIN_WAITING);
    finish(s);
}

/* What a module does wrong costs nobody else anything. */
static void test_calls_that_are_answered_wrongly(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    client(s, "1", "2", "room:a", "twice", "{}");
    expect("reply 1 2 room:a ok {}\n"); /* the first answer counts */
    client(s, "1", "3", "room:a", "ok", "{}");
    expect("reply 1 3 room:a ok {}\n");
    inform(s, "room:a", NULL, "hold", "{}"); /* never answered */
    join(s, "4", "room:b");
    client(s, "1", "5", "room:a", "ok", "{}");
    client(s, "4", "6", "room:b", "ok", "{}");
    expect("reply 4 6 room:b ok {}\n");
    plx_membership_lost(room_a(s));
    plx_buf_clear(&trace);
    plx_call_stop(calls_held[0], NULL); /* after the end */
    expect("");
    finish(s);
}

/* ---- terminate ---- */

static void test_farewell(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    farewell = "xx";
    client(s, "1", "2", "room:a", "phx_leave", "{}");
    assert_int_equal(farewell_err, 0);
    assert_int_equal(fake_waiting(), 2);
    assert_string_equal(fake_peek(0)->event, "gone");
    assert_string_equal(fake_peek(0)->from, "sess");
    assert_string_equal(fake_peek(0)->producer, "");
    expect("terminate room:a left\nreply 1 2 room:a ok {}\nclose 1 1 room:a ends\n"
           "closed room:a\n");
    fake_answer_all();
    expect("idle\n");
    finish(s);
}

static void test_farewell_of_a_closed_socket(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    farewell = "x";
    plx_socket_free(s, PLX_END_CLOSED);
    assert_int_equal(fake_waiting(), 1);
    fake_answer(0, PLX_E_DOWN); /* frees what is left of the socket */
    plx_buf_fini(&trace);
}

static int refused_verbs; /* by without_a_call */

/* Everything that needs a call, where there is none: what who ports a terminate/2 may try. */
static void without_a_call(void *state, plx_channel *ch, enum plx_end_reason reason)
{
    refused_verbs = plx_channel_push(ch, NULL, S("x"), JSON("1")) == PLX_E_INVALID;
    refused_verbs += plx_channel_track(ch, NULL, S("x"), S("{}")) == PLX_E_INVALID;
    refused_verbs += plx_channel_update(ch, NULL, S("k"), S("{}")) == PLX_E_INVALID;
    refused_verbs += plx_channel_untrack(ch, NULL, S("k")) == PLX_E_INVALID;
    refused_verbs += plx_channel_send_after(ch, NULL, S("t"), 1, JSON("1")) == PLX_E_INVALID;
    refused_verbs += plx_channel_cancel(ch, NULL, S("t")) == PLX_E_INVALID;
    refused_verbs += plx_call_message_id(NULL).len == 0;
    plx_channel_presences(ch, NULL, NULL, NULL);
    plx_call_ok(NULL, JSON("{}"));
    plx_call_error(NULL, JSON("{}"));
    plx_call_noreply(NULL);
    plx_call_stop(NULL, NULL);
    plx_call_stop_error(NULL, JSON("{}"));
    plx_call_crash(NULL, "x");
    scripted_terminate(state, ch, reason);
}

static void test_verbs_in_terminate_that_need_a_call_are_refused(void **state)
{
    plx_backend ported = full;
    plx_socket *s = full_socket(true);

    (void)state;
    ported.terminate = without_a_call;
    channel_entries[1].backend = &ported;
    client(s, "1", "2", "room:a", "phx_leave", "{}");
    assert_int_equal(refused_verbs, 7);
    expect("terminate room:a left\nreply 1 2 room:a ok {}\nclose 1 1 room:a ends\n"
           "closed room:a\n");
    finish(s);
}

/* In a session's inbox entry they have numbers of their own, the same in every run. */
static void test_farewell_numbers(void **state)
{
    const plx_slot slot = {
        .number = 5, .topic = PLX_LIT("room:z"), .start = {"e", 3}, .state = PLX_LIT("s1:7s1:8")};
    plx_socket *s = full_socket(false);

    (void)state;
    s->entry = 4;
    s->next_index = 0;
    assert_non_null(plx_socket_restore(s, &slot));
    farewell = "xx";
    client(s, "7", "9", "room:z", "phx_leave", "{}"); /* number 0 */
    assert_int_equal(fake_peek(0)->entry, 4);
    assert_int_equal(fake_peek(0)->index, (524287u + 5) * 4096);
    assert_int_equal(fake_peek(1)->index, (524287u + 5) * 4096 + 1);
    assert_int_equal(s->pending, 2);
    fake_answer_all();
    client(s, "2", "2", "room:b", "phx_join", "{}"); /* number 1 */
    fake_answer_all();
    client(s, "2", "3", "room:b", "phx_leave", "{}");
    assert_int_equal(fake_peek(0)->index, (524287u + 262143 + 1) * 4096);
    assert_int_equal(s->next_index, 3);
    finish(s);
}

static void test_farewell_needs_terminate(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    with_call(s);
    assert_int_equal(plx_channel_broadcast(channels_held[0], NULL, S("x"), JSON("1")),
                     PLX_E_INVALID);
    plx_call_noreply(calls_held[0]);
    assert_int_equal(fake_waiting(), 0);
    finish(s);
}

static void test_stop_with_an_error(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    client(s, "1", "2", "room:a", "stop_error", "{\"why\":1}");
    expect("terminate room:a closed\nreply 1 2 room:a error {\"why\":1}\n"
           "close 1 1 room:a ends\nclosed room:a\n" +
           0);
    finish(s);
}

/* ---- members of the assigns ---- */

static void test_put(void **state)
{
    static char large[16385];
    plx_socket *s = full_socket(true);
    plx_channel *ch = (plx_channel *)room_a(s);

    (void)state;
    assert_int_equal(plx_channel_get(ch, "a").len, 0);
    assert_int_equal(plx_channel_put(ch, "a", S(" 1 ")), 0);
    assert_true(plx_slice_is(plx_channel_assigns(ch), "{\"a\":1}"));
    assert_int_equal(plx_channel_put(ch, "b\"", S("{\"c\":[]}")), 0);
    assert_int_equal(plx_channel_put(ch, "a", plx_channel_get(ch, "b\"")), 0);
    assert_true(plx_slice_is(plx_channel_assigns(ch), "{\"b\\\"\":{\"c\":[]},\"a\":{\"c\":[]}}"));
    assert_true(plx_slice_is(plx_channel_get(ch, "b\""), "{\"c\":[]}"));
    assert_int_equal(plx_channel_put(ch, "b\"", S("")), 0);
    assert_int_equal(plx_channel_put(ch, "a", S("nope")), PLX_E_INVALID);
    memset(large, 'x', sizeof large - 1);
    large[0] = large[16383] = '"';
    assert_int_equal(plx_channel_put(ch, "a", S(large)), PLX_E_TOOBIG); /* with its name */
    large[16000] = '"';
    large[16001] = '\0';
    assert_int_equal(plx_channel_put(ch, "d", S(large)), 0);
    assert_int_equal(plx_channel_put(ch, "d", S("")), 0);
    assert_true(plx_slice_is(plx_channel_assigns(ch), "{\"a\":{\"c\":[]}}"));
    assert_int_equal(plx_channel_put(ch, "a", S("")), 0);
    assert_true(plx_slice_is(plx_channel_assigns(ch), "{}"));
    assert_true(room_a(s)->assigns_changed);
    finish(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info_pushes_and_is_not_answered),
        cmocka_unit_test(test_info_ends_its_channel),
        cmocka_unit_test(test_info_waits_its_turn),
        cmocka_unit_test(test_info_is_no_event),
        cmocka_unit_test(test_info_without_a_handler),
        cmocka_unit_test(test_info_for_a_membership_that_is_replaced),
        cmocka_unit_test(test_info_for_one_that_has_the_same_ref),
        cmocka_unit_test(test_info_is_bounded),
        cmocka_unit_test(test_calls_that_are_answered_wrongly),
        cmocka_unit_test(test_farewell),
        cmocka_unit_test(test_verbs_in_terminate_that_need_a_call_are_refused),
        cmocka_unit_test(test_farewell_of_a_closed_socket),
        cmocka_unit_test(test_farewell_numbers),
        cmocka_unit_test(test_farewell_needs_terminate),
        cmocka_unit_test(test_stop_with_an_error),
        cmocka_unit_test(test_put),
    };
    int failed;

    fake_loop = ev_loop_new(EVFLAG_AUTO);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    ev_loop_destroy(fake_loop);
    return failed;
}
