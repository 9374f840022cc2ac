/* The server closes a channel in the midst of whatever its client and its backend do. */
#include "tests/unit/socket_harness.h"

static plx_membership *member(plx_socket *s, const char *topic)
{
    plx_membership *m = plx_socket_find(s, plx_slice_of(topic));
    assert_non_null(m);
    return m;
}

static void test_joined(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    join(s, "2", "room:b");
    plx_membership_close(member(s, "room:a"), NULL);
    expect("terminate room:a closed\nclose 1 1 room:a ends\nclosed room:a\n");
    assert_int_equal(s->membership_count, 1);
    assert_int_equal(s->pending, 0);
    assert_null(plx_socket_find(s, S("room:a")));
    /* What the client sends before it hears of it finds nobody. */
    client(s, "1", "3", "room:a", "ok", "{}");
    client(s, "1", "4", "room:a", "phx_leave", "{}");
    expect("reply - 3 room:a error {\"reason\":\"unmatched topic\"}\nreply 1 4 room:a ok {}\n");
    client(s, "5", "5", "room:a", "phx_join", "{}");
    fake_answer_all();
    expect("open room:a after 0\nreply 5 5 room:a ok {} opens\nidle\n");
    finish(s);
}

/* The close waits for what the topic held, but not for another epoch's numbers, nor for less than
 * the socket's own broadcasts. */
static void test_barrier(void **state)
{
    plx_socket *s = harness_socket();
    plx_position after = {"e", 7}, foreign = {"other", 9}, low = {"e", 1};

    (void)state;
    join(s, "1", "room:a");
    memcpy(after.epoch, member(s, "room:a")->start.epoch, sizeof after.epoch);
    low = after;
    low.offset = 1;
    plx_membership_close(member(s, "room:a"), &after);
    expect("terminate room:a closed\nclose 1 1 room:a after room:a@7 ends\nclosed room:a\n");
    join(s, "2", "room:a");
    plx_membership_close(member(s, "room:a"), &foreign);
    expect("terminate room:a closed\nclose 2 2 room:a ends\nclosed room:a\n");
    join(s, "3", "room:a");
    fake_offset = 40;
    client(s, "3", "4", "room:a", "cast_ok", "{}");
    fake_answer_all();
    expect("reply 3 4 room:a ok {} after room:a@41\nidle\n");
    plx_membership_close(member(s, "room:a"), &low);
    expect("terminate room:a closed\nclose 3 3 room:a after room:a@41 ends\nclosed room:a\n");
    finish(s);
}

/* A backend that thinks about a push does not keep anybody in; its answer comes to nothing. */
static void test_open_call(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "hold", "{}");
    client(s, "1", "3", "room:a", "ok", "{}");
    expect("");
    plx_membership_close(member(s, "room:a"), NULL);
    expect("terminate room:a closed\nclose 1 1 room:a ends\n"
           "reply - 3 room:a error {\"reason\":\"unmatched topic\"}\nclosed room:a\n");
    plx_call_stop(calls_held[0], NULL);
    assert_int_equal(s->pending, 0);
    expect("");
    finish(s);
}

static void test_broadcast_under_way(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "cast_ok", "{}");
    plx_membership_close(member(s, "room:a"), NULL);
    expect("terminate room:a closed\n");
    fake_answer_all();
    expect("reply 1 2 room:a ok {} after room:a@1\nclose 1 1 room:a after room:a@1 ends\n"
           "closed room:a\nidle\n");
    finish(s);
}

#define REFUSED "{\"reason\":\"unsubscribed\"}"

static void test_while_joining(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    /* The backend thinks. */
    client(s, "1", "1", "room:a", "phx_join", "\"hold\"");
    plx_membership_close(member(s, "room:a"), NULL);
    expect("reply 1 1 room:a error " REFUSED "\n");
    plx_call_ok(calls_held[0], JSON("{}"));
    expect("terminate room:a closed\n");
    /* The position is being read. */
    client(s, "2", "2", "room:a", "phx_join", "{}");
    plx_membership_close(member(s, "room:a"), NULL);
    expect("terminate room:a closed\nreply 2 2 room:a error " REFUSED "\n");
    fake_answer_all();
    expect("");
    /* The transport prepares. */
    auto_ready = false;
    client(s, "3", "3", "room:a", "phx_join", "{}");
    fake_answer_all();
    expect("open room:a after 0\n");
    plx_membership_close(member(s, "room:a"), NULL);
    expect("terminate room:a closed\nreply 3 3 room:a error " REFUSED " ends\nclosed room:a\n");
    assert_int_equal(s->pending, 0);
    assert_int_equal(s->membership_count, 0);
    finish(s);
}

/* A rejoin is under way: both the new one and the one that it replaces end. */
static void test_while_joining_again(void **state)
{
    plx_socket *s = harness_socket();

    (void)state;
    join(s, "1", "room:a");
    client(s, "2", "2", "room:a", "phx_join", "\"hold\"");
    expect("terminate room:a left\n");
    plx_membership_close(member(s, "room:a"), NULL);
    expect("reply 2 2 room:a error " REFUSED "\nclose 1 1 room:a ends\nclosed room:a\n");
    plx_call_error(calls_held[0], JSON("{}"));
    expect("");
    assert_int_equal(s->membership_count, 0);
    finish(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joined),        cmocka_unit_test(test_barrier),
        cmocka_unit_test(test_open_call),     cmocka_unit_test(test_broadcast_under_way),
        cmocka_unit_test(test_while_joining), cmocka_unit_test(test_while_joining_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
