/* Timers of a channel: their bounds, and what becomes of them with their membership. */
#include "socket_info.h"

static void fire(void)
{
    ev_timer *t = fake_timer;

    assert_non_null(t);
    fake_timer = NULL;
    ev_timer_stop(fake_loop, t);
    ev_invoke(fake_loop, t, EV_TIMER);
}

static void test_timer(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    client(s, "1", "2", "room:a", "timer", "{\"n\":1}");
    assert_true(fake_timer->at > 0.04); /* of which the loop's clock is a part */
    expect("reply 1 2 room:a ok {\"n\":1}\n");
    fire();
    expect("info room:a t {\"n\":1}\n");
    assert_null(room_a(s)->timers);
    finish(s);
}

static void test_timer_that_sets_itself_again(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    inform(s, "room:a", NULL, "again", "1");
    plx_buf_clear(&trace);
    for (int i = 0; i < 3; i++) {
        fire();
        expect("info room:a again 1\n");
        assert_int_equal(room_a(s)->timers->count, 1);
    }
    finish(s); /* and the last one goes with the socket */
}

static void test_timer_while_the_topic_is_full(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    client(s, "1", "1", "room:a", "timer", "1");
    client(s, "1", "2", "room:a", "hold", "{}");
    for (int i = 0; i < PLX_JOIN_WAITING; i++)
        inform(s, "room:a", NULL, "noreply", "{}");
    fire();
    assert_int_equal(room_a(s)->timers->count, 1); /* it comes again */
    plx_call_noreply(calls_held[0]);
    plx_buf_clear(&trace);
    fire();
    expect("info room:a t 1\n");
    finish(s);
}

static int after(const char *name, uint64_t ms, const char *json)
{
    return plx_channel_send_after(channels_held[0], calls_held[0], S(name), ms, JSON(json));
}

static int cancel(const char *name)
{
    return plx_channel_cancel(channels_held[0], calls_held[0], S(name));
}

static void test_timer_bounds(void **state)
{
    static char large[PLX_INFO_MAX + 3], name[PLX_INFO_NAME_MAX + 2];
    plx_socket *s = full_socket(true);

    (void)state;
    memset(large, '"', sizeof large - 1);
    memset(large + 1, 'x', sizeof large - 3);
    memset(name, 'n', sizeof name - 1);
    with_call(s);
    assert_int_equal(after("", 1, "{}"), PLX_E_INVALID);
    assert_int_equal(after("x", 1, "{"), PLX_E_INVALID);
    assert_int_equal(after("x", 1, large), PLX_E_TOOBIG);
    assert_int_equal(after(name, 1, "{}"), PLX_E_TOOBIG);
    assert_int_equal(after("x", 86400001, "{}"), PLX_E_TOOBIG);
    assert_int_equal(plx_channel_send_after(channels_held[0], NULL, S("x"), 1, JSON("{}")),
                     PLX_E_INVALID);
    assert_null(room_a(s)->timers);
    name[PLX_INFO_NAME_MAX] = '\0';
    assert_int_equal(after(name, 86400000, "{}"), 0);
    for (int i = 1; i < PLX_TIMERS_MAX; i++) {
        char text[16];
        snprintf(text, sizeof text, "t%d", i);
        assert_int_equal(after(text, 1, "{}"), 0);
    }
    assert_int_equal(after("one more", 1, "{}"), PLX_E_BUSY);
    assert_int_equal(after("t1", 9, "{}"), 0); /* in place of the other */
    assert_int_equal(cancel("t1"), 0);
    assert_int_equal(cancel("t1"), PLX_E_NOTFOUND);
    assert_int_equal(cancel("never"), PLX_E_NOTFOUND);
    assert_int_equal(after("one more", 1, "{}"), 0);
    plx_call_noreply(calls_held[0]);
    client(s, "1", "3", "room:a", "phx_leave", "{}");
    assert_non_null(strstr(plx_buf_cstr(&trace), "terminate room:a left\n"));
    finish(s);
}

/* Those of a join begin when it is accepted, and not at all when it is refused. */
static void test_timer_of_a_join(void **state)
{
    plx_socket *s = full_socket(true);
    ev_timer *before = fake_timer;

    (void)state;
    client(s, "2", "2", "room:b", "phx_join", "\"hold\"");
    assert_int_equal(after("first", 1, "7"), 0);
    assert_ptr_equal(fake_timer, before);
    plx_call_ok(calls_held[0], JSON("{}"));
    fake_answer_all();
    plx_buf_clear(&trace);
    fire();
    expect("info room:b first 7\n");
    held_count = 0;
    client(s, "3", "3", "room:c", "phx_join", "\"hold\"");
    assert_int_equal(after("first", 1, "8"), 0);
    plx_call_error(calls_held[0], JSON("{}"));
    assert_null(fake_timer);
    finish(s);
}

/* With long-polling nothing is started: the transport reads what is to be written down. */
static void test_timers_of_a_session(void **state)
{
    plx_socket *s = full_socket(false);
    plx_membership *m = room_a(s);
    plx_timer *t;

    (void)state;
    fake_timer = NULL;
    plx_timers_restore(m, S("kept"));
    plx_timers_restore(m, S("kept"));
    plx_timers_restore(m, S("old"));
    with_call(s);
    assert_int_equal(m->timers->count, 2);
    assert_int_equal(after("old", 5, "[1]"), 0);
    assert_int_equal(cancel("kept"), 0);
    assert_int_equal(cancel("kept"), PLX_E_NOTFOUND);
    assert_int_equal(after("brief", 1, "{}"), 0);
    assert_int_equal(cancel("brief"), 0);
    assert_int_equal(m->timers->count, 1);
    assert_null(fake_timer);
    t = PLX_CONTAINER(m->timers->list.next, plx_timer, node);
    assert_true(plx_slice_is(t->name, "kept") && t->change == PLX_TIMER_CANCELLED);
    t = PLX_CONTAINER(t->node.next, plx_timer, node);
    assert_true(plx_slice_is(t->name, "old") && t->change == PLX_TIMER_SET && t->ms == 5);
    assert_true(plx_slice_is(t->message.bytes, "[1]"));
    t = PLX_CONTAINER(t->node.next, plx_timer, node);
    assert_true(plx_slice_is(t->name, "brief") && t->change == PLX_TIMER_CANCELLED);
    assert_ptr_equal(t->node.next, &m->timers->list);
    assert_int_equal(after("kept", 9, "{}"), 0);
    assert_int_equal(m->timers->count, 2);
    plx_call_noreply(calls_held[0]);
    finish(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timer),
        cmocka_unit_test(test_timer_that_sets_itself_again),
        cmocka_unit_test(test_timer_while_the_topic_is_full),
        cmocka_unit_test(test_timer_bounds),
        cmocka_unit_test(test_timer_of_a_join),
        cmocka_unit_test(test_timers_of_a_session),
    };
    int failed;

    fake_loop = ev_loop_new(EVFLAG_AUTO);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    ev_loop_destroy(fake_loop);
    return failed;
}
