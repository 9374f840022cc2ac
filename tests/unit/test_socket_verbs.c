/* What backends may ask of the core: relay and echo, rules, assigns, bounds of verbs, producers;
 * and what of a membership is kept between two requests.
 */
#include "tests/unit/socket_harness.h"

static void test_relay(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "relay:a");
    join(s, "2", "others:a");
    join(s, "3", "acked:a");
    client(s, "1", "4", "relay:a", "msg", "{\"n\" : 1e5}");
    client(s, "2", "5", "others:a", "msg", "{}");
    client(s, "3", "6", "acked:a", "msg", "{}");
    assert_int_equal(fake_waiting(), 3);
    assert_string_equal(fake_peek(0)->topic, "relay:a");
    assert_string_equal(fake_peek(0)->payload, "{\"n\" : 1e5}");
    assert_string_equal(fake_peek(0)->from, "");
    assert_string_equal(fake_peek(0)->producer, "");
    assert_int_equal(fake_peek(0)->kind, PLX_KIND_JSON);
    assert_string_equal(fake_peek(1)->from, "sess");
    expect("");
    fake_answer_all();
    expect("reply 3 6 acked:a ok {} after acked:a@3\nidle\n");
    finish(s);
}

static void test_relay_binary(void **state)
{
    plx_payload binary = {PLX_PAYLOAD_BINARY, PLX_LIT("\x01\0\xff")};
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "relay:a");
    join(s, "2", "hist:a");
    client_payload(s, "1", "3", "relay:a", "msg", binary);
    assert_int_equal(fake_peek(0)->kind, PLX_KIND_BINARY);
    assert_int_equal(fake_peek(0)->payload_len, 3);
    assert_int_equal(fake_peek(0)->history_size, 0);
    fake_answer_all();
    expect("idle\n");
    client_payload(s, "2", "4", "hist:a", "msg", binary);
    assert_int_equal(fake_waiting(), 0);
    expect("reply 2 4 hist:a error {\"reason\":\"binary not kept\"}\n");
    client(s, "2", "5", "hist:a", "msg", "{}");
    assert_int_equal(fake_peek(0)->history_size, 100);
    finish(s);
}

static void test_echo(void **state)
{
    plx_payload binary = {PLX_PAYLOAD_BINARY, PLX_LIT("bytes")};
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "echo:a");
    client(s, "1", "2", "echo:a", "any", "{\"n\" : 1.0}");
    client_payload(s, "1", "3", "echo:a", "any", binary);
    expect("reply 1 2 echo:a ok {\"n\" : 1.0}\nreply 1 3 echo:a ok binary:bytes\n");
    finish(s);
}

static void test_rules(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    client(s, "1", "1", "none:a", "phx_join", "{}");
    client(s, "2", "2", "mine:8", "phx_join", "{}");
    expect("reply 1 1 none:a error {\"reason\":\"unauthorized\"}\n"
           "reply 2 2 mine:8 error {\"reason\":\"unauthorized\"}\n");
    join(s, "3", "mine:7");
    assert_non_null(plx_socket_find(s, S("mine:7")));
    join(s, "4", "mute:a");
    client(s, "4", "5", "mute:a", "ok", "{}");
    client(s, "4", "-", "mute:a", "ok", "{}");
    client(s, "4", "6", "mute:a", "phx_leave", "{}");
    expect("reply 4 5 mute:a error {\"reason\":\"unauthorized\"}\n"
           "reply 4 - mute:a error {\"reason\":\"unauthorized\"}\n"
           "terminate mute:a left\nreply 4 6 mute:a ok {}\nclose 4 4 mute:a ends\n"
           "closed mute:a\n");
    finish(s);
}

static void test_about_the_channel(void **state)
{
    plx_socket *s = harness_socket();
    plx_channel *ch;

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "hold", "{}");
    ch = channels_held[0];
    assert_true(plx_slice_is(plx_channel_topic(ch), "room:a"));
    assert_true(plx_slice_is(plx_channel_params(ch), "{\"user_id\":\"7\"}"));
    assert_true(plx_slice_is(plx_channel_claims(ch), "{}"));
    assert_true(plx_slice_is(plx_channel_socket_id(ch), "users:7"));
    assert_true(plx_slice_is(plx_channel_session(ch), "sess"));
    assert_true(plx_slice_is(plx_channel_transport(ch), "test"));
    assert_true(plx_slice_is(plx_channel_assigns(ch), "{}"));
    assert_true(plx_slice_is(plx_call_message_id(calls_held[0]), "sess:0:1"));
    plx_call_noreply(calls_held[0]);
    finish(s);
}

static void test_assigns(void **state)
{
    static char big[16400];
    plx_socket *s = harness_socket();
    plx_membership *m;
    plx_channel *ch;

    (void)state;
    join(s, "1", "room:a");
    m = plx_socket_find(s, S("room:a"));
    ch = (plx_channel *)m;
    assert_false(m->assigns_changed);
    assert_int_equal(plx_channel_assign(ch, S("[]")), PLX_E_INVALID);
    assert_int_equal(plx_channel_assign(ch, S("{")), PLX_E_INVALID);
    assert_int_equal(plx_channel_assign(ch, S(" {\"a\":[1]} ")), 0);
    assert_true(plx_slice_is(plx_channel_assigns(ch), "{\"a\":[1]}"));
    assert_true(m->assigns_changed);
    assert_int_equal(plx_channel_assign(ch, plx_channel_assigns(ch)), 0);
    assert_true(plx_slice_is(plx_channel_assigns(ch), "{\"a\":[1]}"));
    memset(big, ' ', sizeof big);
    memcpy(big, "{}", 2);
    assert_int_equal(plx_channel_assign(ch, plx_slice_make(big, 16385)), PLX_E_TOOBIG);
    assert_int_equal(plx_channel_assign(ch, plx_slice_make(big, 16384)), 0);
    finish(s);
}

static void test_limits_of_verbs(void **state)
{
    static char big[4000001], name[1025];
    plx_payload huge = {PLX_PAYLOAD_BINARY, {big, sizeof big}};
    plx_socket *s = harness_socket();
    plx_channel *ch;
    plx_call *call;

    (void)state;
    memset(name, 'n', sizeof name);
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "hold", "{}");
    ch = channels_held[0];
    call = calls_held[0];
    assert_int_equal(plx_channel_push(ch, call, S("e"), JSON("{")), PLX_E_INVALID);
    assert_int_equal(plx_channel_push(ch, call, S("e"), JSON("")), PLX_E_INVALID);
    assert_int_equal(plx_channel_push(ch, call, S("e"), huge), PLX_E_TOOBIG);
    assert_int_equal(plx_channel_push(ch, call, plx_slice_make(name, 1025), JSON("{}")),
                     PLX_E_TOOBIG);
    assert_int_equal(plx_channel_broadcast(ch, call, S("e"), JSON("NaN")), PLX_E_INVALID);
    assert_int_equal(plx_channel_broadcast_to(ch, call, S(""), S("e"), JSON("{}")), PLX_E_INVALID);
    assert_int_equal(
        plx_channel_broadcast_to(ch, call, plx_slice_make(name, 1025), S("e"), JSON("{}")),
        PLX_E_TOOBIG);
    assert_int_equal(plx_channel_broadcast_to(ch, call, S("hist:x"), S("e"),
                                              (plx_payload){PLX_PAYLOAD_BINARY, {"b", 1}}),
                     PLX_E_INVALID);
    assert_int_equal(fake_waiting(), 0);
    huge.bytes.len--;
    assert_int_equal(plx_channel_push(ch, call, plx_slice_make(name, 1024), JSON("{}")), 0);
    assert_int_equal(plx_channel_broadcast(ch, call, S("e"), huge), 0);
    for (unsigned i = 1; i < 4096; i++)
        assert_int_equal(plx_channel_broadcast(ch, call, S("e"), JSON("1")), 0);
    assert_int_equal(plx_channel_broadcast(ch, call, S("e"), JSON("1")), PLX_E_TOOBIG);
    plx_buf_clear(&trace);
    plx_call_ok(call, JSON("{}"));
    expect("");
    fake_answer_all();
    expect("relieved\nreply 1 2 room:a ok {} after room:a@4096\nidle\n");
    finish(s);
}

/* A long-poll session's broadcasts can be told from each other when the entry is worked again. */
static void test_producer(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    s->entry = 9;
    join(s, "1", "room:a");
    s->entry = 10;
    s->next_index = 0;
    client(s, "1", "2", "room:a", "cast", "{}");
    client(s, "1", "3", "room:a", "hold", "{}");
    plx_channel_broadcast(channels_held[0], calls_held[0], S("x"), JSON("1"));
    plx_channel_broadcast(channels_held[0], calls_held[0], S("y"), JSON("2"));
    assert_true(plx_slice_is(plx_call_message_id(calls_held[0]), "sess:10:1"));
    assert_int_equal(fake_waiting(), 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_string_equal(fake_peek(i)->producer, "sess");
        assert_int_equal(fake_peek(i)->entry, 10);
    }
    assert_int_equal(fake_peek(0)->index, 0);
    assert_int_equal(fake_peek(1)->index, 4096);
    assert_int_equal(fake_peek(2)->index, 4097);
    plx_call_noreply(calls_held[0]);
    finish(s);
}

static void test_pack_and_restore(void **state)
{
    plx_socket *s = harness_socket(), *t;
    plx_slot slot = {.number = 3, .topic = S("room:a"), .start = {"e", 5}, .diffs_after = 9};
    plx_membership *m;
    plx_buf packed;

    (void)state;
    plx_buf_init(&packed, 0);
    client(s, "-", "<[\"r:1\"]>", "room:a", "phx_join", "\"assign\"");
    fake_answer_all();
    plx_membership_pack(plx_socket_find(s, S("room:a")), &packed);
    assert_string_equal(plx_buf_cstr(&packed), "n0:j7:[\"r:1\"]a7:{\"a\":1}");
    finish(s);
    t = harness_socket();
    slot.state = plx_buf_slice(&packed);
    m = plx_socket_restore(t, &slot);
    assert_non_null(m);
    assert_int_equal(m->slot, 3);
    assert_int_equal(m->start.offset, 5);
    assert_int_equal(m->diffs_after, 9);
    assert_int_equal(m->state, PLX_JOINED);
    assert_int_equal(t->membership_count, 1);
    assert_false(m->assigns_changed);
    assert_true(plx_slice_is(plx_channel_assigns((plx_channel *)m), "{\"a\":1}"));
    client(t, "-", "2", "room:a", "ok", "{}");
    client(t, "-", "3", "room:a", "phx_leave", "{}");
    expect("reply <[\"r:1\"]> 2 room:a ok {}\nterminate room:a left\n"
           "reply <[\"r:1\"]> 3 room:a ok {}\nclose - - room:a ends\nclosed room:a\n");
    finish(t);
    plx_buf_fini(&packed);
}

static plx_membership *restore(plx_socket *s, const char *topic, plx_slice state)
{
    plx_slot slot = {.number = 1, .topic = S(topic), .start = {"e", 0}, .state = state};

    return plx_socket_restore(s, &slot);
}

static void test_restore_damaged(void **state)
{
    static const char whole[] = "s1:1s2:22a7:{\"a\":1}";
    static const char *const damaged[] = {"x1:1s2:22",
                                          "s1:1s2:22a2:[]",
                                          "s1:1s2:22b2:{}",
                                          "s1:1s2:22a2:{}x",
                                          "s:1s2:22",
                                          "s-1:1s2:22",
                                          "s99999999999999999999999:1",
                                          "s1:1s2:22a3:{}"};
    plx_socket *s = harness_socket();

    (void)state;
    assert_null(restore(s, "nope", S(whole)));
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++)
        assert_null(restore(s, "room:a", S(damaged[i])));
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        char *cut = plx_alloc(n); /* so that a read past its end is seen */
        plx_membership *m;
        memcpy(cut, whole, n);
        m = restore(s, "room:a", plx_slice_make(cut, n));
        assert_int_equal(m != NULL, n == 9); /* exactly without the assigns */
        free(cut);
    }
    assert_non_null(restore(s, "room:b", S(whole)));
    finish(s);
}

static void test_free_and_forget(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    join(s, "2", "room:b");
    plx_socket_free(s, PLX_END_EXPIRED);
    expect("terminate room:a expired\nterminate room:b expired\nclosed room:a\nclosed room:b\n");
    s = harness_socket();
    join(s, "1", "room:a");
    plx_socket_forget(s);
    expect("closed room:a\n");
    plx_buf_fini(&trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relay),
        cmocka_unit_test(test_relay_binary),
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_about_the_channel),
        cmocka_unit_test(test_assigns),
        cmocka_unit_test(test_limits_of_verbs),
        cmocka_unit_test(test_producer),
        cmocka_unit_test(test_pack_and_restore),
        cmocka_unit_test(test_restore_damaged),
        cmocka_unit_test(test_free_and_forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
