/* Intercepted events in the answers of polls: every broadcast on echo:* is judged by what the
 * channel knows. */
#include "tests/unit/lp_world.h"
#include "transport/lp_poll.h"

/* A payload does not end with a NUL. */
static double number(plx_slice text)
{
    char digits[16] = "";

    memcpy(digits, text.data, text.len < sizeof digits ? text.len : sizeof digits - 1);
    return strtod(digits, NULL);
}

/* Assigns {"min":N}: numbers below N are not shown. */
static void out(void *state, const plx_channel *ch, plx_delivery *d, plx_slice event,
                plx_payload payload)
{
    double min = 0;

    (void)state;
    assert_true(plx_slice_is(event, "e"));
    assert_true(plx_slice_is(plx_channel_transport(ch), "longpoll"));
    assert_true(plx_slice_is(plx_channel_claims(ch), "{\"claim\":1}"));
    assert_true(plx_slice_is(plx_channel_socket_id(ch), "id"));
    assert_int_equal(plx_channel_session(ch).len, PLX_SID_LEN);
    plx_object_number(plx_channel_assigns(ch), "min", &min);
    if (payload.kind == PLX_PAYLOAD_BINARY)
        plx_delivery_push(d, plx_slice_of("text"), PLX_JSON_PAYLOAD("0"));
    else if (plx_slice_is(payload.bytes, "\"boom\""))
        plx_delivery_crash(d, "boom");
    else if (plx_slice_is(payload.bytes, "\"swap\""))
        plx_delivery_push(d, plx_slice_of("min"),
                          (plx_payload){PLX_PAYLOAD_JSON, plx_channel_get(ch, "min")});
    else if (number(payload.bytes) >= min)
        plx_delivery_pass(d);
}

static const char *const events[] = {"e", NULL};
static const plx_backend judging = {
    .abi = PLX_BACKEND_ABI, .name = "judging", .intercept = events, .handle_out = out};

static int start(void **state)
{
    world_start(state);
    channel_entries[1].backend = &judging;
    return 0;
}

#define KNOWS(n) "s1:7s1:8a9:{\"min\":" #n "}"

/* Parks a poll of a session that has joined echo:a at 5 (slot 1). */
static void park(const char *name)
{
    poll(name, "S1", 0, "");
    has_slot(1, "echo:a", 5);
    viewed(0);
    caught_up("echo:a");
    turn();
    ignore_trace();
}

static void each_sees_what_its_assigns_let_through(void **state)
{
    (void)state;
    park("A");
    event("echo:a", 6, "3");
    event("echo:a", 7, "4");
    event("echo:a", 8, "\"swap\"");
    turn();
    expect("recall S1 1\n");
    recalled(0, KNOWS(4), NULL);
    turn();
    expect("unwatch echo:a\n"
           "A 200 q0 1@8 [\"[null,null,'echo:a','e',4]\",\"[null,null,'echo:a','min',4]\"]\n");
}

static void nothing_is_read_where_nothing_is_intercepted(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    has_slot(1, "room:a", 5);
    has_slot(2, "echo:a", 5);
    viewed(0);
    caught_up("room:a");
    caught_up("echo:a");
    turn();
    ignore_trace();
    event("room:a", 6, "1");
    turn();
    expect("unwatch echo:a\nunwatch room:a\nA 200 q0 1@6 [\"[null,null,'room:a','e',1]\"]\n");
}

/* The token moves over what is dropped, and the poll goes on waiting. */
static void all_dropped(void **state)
{
    (void)state;
    park("A");
    event("echo:a", 6, "1");
    turn();
    recalled(0, KNOWS(4), NULL);
    turn();
    event("echo:a", 7, "2"); /* just now it was read */
    turn();
    expect("recall S1 1\n");
    advance(101);
    event("echo:a", 8, "3");
    turn();
    expect("recall S1 1\n");
    recalled(0, KNOWS(4), NULL);
    turn();
    expect("");
    advance(9899);
    expect("look S1 q0 #1\n");
    has_slot(1, "echo:a", 5);
    viewed(0);
    turn();
    expect("unwatch echo:a\nA 204 q0 1@8 []\n");
}

/* Nothing of what would have filled an answer is shown: the poll goes on listening. */
static void many_dropped(void **state)
{
    (void)state;
    park("A");
    for (uint64_t offset = 6; offset < 6 + PLX_LP_MESSAGES; offset++)
        event("echo:a", offset, "1");
    turn();
    expect("unwatch echo:a\nrecall S1 1\n");
    recalled(0, KNOWS(4), NULL);
    turn();
    expect("watch echo:a >505\n");
    for (uint64_t offset = 506; offset < 505 + PLX_LP_MESSAGES; offset++) {
        event("echo:a", offset, "2"); /* one by one: it holds none any more */
        turn();
    }
    expect("");
    event("echo:a", 1005, "9");
    turn();
    expect("unwatch echo:a\nA 200 q0 1@1005 [\"[null,null,'echo:a','e',9]\"]\n");
}

static void the_same_token_judges_again(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        poll("A", "S1", 0, "1@5");
        has_slot(1, "echo:a", 5);
        viewed(0);
        event("echo:a", 6, "3");
        event("echo:a", 7, "9");
        caught_up("echo:a");
        turn();
        recalled(0, i == 0 ? KNOWS(4) : KNOWS(2), NULL);
        ignore_trace();
        turn();
        expect(i == 0 ? "unwatch echo:a\nA 200 q0 1@7 [\"[null,null,'echo:a','e',9]\"]\n"
                      : "unwatch echo:a\nA 200 q0 1@7 [\"[null,null,'echo:a','e',3]\","
                        "\"[null,null,'echo:a','e',9]\"]\n");
    }
}

/* A reply that changed the assigns is in the queue: what follows it is judged by the new ones. */
static void a_view_makes_it_read_anew(void **state)
{
    (void)state;
    park("A");
    event("echo:a", 6, "1");
    turn();
    recalled(0, KNOWS(4), NULL);
    turn();
    ignore_trace();
    wake("S1", 1);
    has_slot(1, "echo:a", 5);
    has_text(1, "reply");
    event("echo:a", 7, "2");
    viewed(0);
    turn();
    expect("look S1 q0 #1\nrecall S1 1\n");
    recalled(0, KNOWS(2), NULL);
    turn();
    expect("unwatch echo:a\nA 200 q1 1@7 [\"reply\",\"[null,null,'echo:a','e',2]\"]\n");
}

static void only_what_holds_something_is_read(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    has_slot(1, "room:a", 5);
    has_slot(2, "echo:a", 5);
    has_slot(3, "echo:b", 5);
    has_slot(4, "echo:c", 5);
    viewed(0);
    event("room:a", 6, "1");
    event("echo:b", 6, "1");
    event("echo:c", 6, "1");
    caught_up("room:a");
    caught_up("echo:a");
    caught_up("echo:b");
    caught_up("echo:c");
    ignore_trace();
    turn();
    const bool b_first = strcmp(plx_buf_cstr(&trace), "recall S1 3 4\n") == 0;
    expect(b_first ? "recall S1 3 4\n" : "recall S1 4 3\n");
    recalled(0, b_first ? KNOWS(0) : KNOWS(9), b_first ? KNOWS(9) : KNOWS(0));
    turn();
    assert_non_null(strstr(plx_buf_cstr(&trace), "'echo:b','e',1"));
    assert_non_null(strstr(trace.data, "'room:a','e',1"));
    assert_null(strstr(trace.data, "'echo:c'"));
    ignore_trace();
}

/* ---- when it can't be read ---- */

static void a_session_that_is_gone(void **state)
{
    (void)state;
    park("A");
    event("echo:a", 6, "9");
    turn();
    recalled(PLX_E_GONE, NULL, NULL);
    expect("recall S1 1\nunwatch echo:a\nA 500\n");
}

static void what_can_not_be_judged_stays_for_the_next_poll(void **state)
{
    (void)state;
    park("A");
    event("echo:a", 6, "9");
    turn();
    recalled(PLX_E_TIMEOUT, NULL, NULL);
    turn();
    expect("recall S1 1\n");
    advance(1000);
    expect("recall S1 1\n"); /* tried again */
    recalled(PLX_E_TIMEOUT, NULL, NULL);
    store_goes();
    advance(10000);
    turn();
    assert_non_null(strstr(plx_buf_cstr(&trace), "A 204 q0 []\n")); /* the cursor stands */
    ignore_trace();
}

static void the_window_ends_while_it_is_read(void **state)
{
    (void)state;
    park("A");
    advance(9990);
    event("echo:a", 6, "9");
    turn();
    expect("recall S1 1\n");
    advance(10);
    expect("look S1 q0 #1\n");
    has_slot(1, "echo:a", 5);
    viewed(0);
    turn();
    expect("");
    recalled(0, KNOWS(0), NULL);
    turn();
    expect("unwatch echo:a\nA 200 q0 1@6 [\"[null,null,'echo:a','e',9]\"]\n");
}

static void a_client_that_goes_while_it_is_read(void **state)
{
    (void)state;
    park("A");
    event("echo:a", 6, "9");
    turn();
    clients[client_count - 1]->http.gone(&clients[client_count - 1]->http);
    clients[client_count - 1]->held = false;
    expect("recall S1 1\nunwatch echo:a\n");
    recalled(0, KNOWS(0), NULL);
    turn();
    expect("");
}

static void the_worker_stops_while_it_is_read(void **state)
{
    (void)state;
    park("A");
    event("echo:a", 6, "9");
    turn();
    plx_longpoll_drain(lp, NULL, NULL);
    expect("recall S1 1\nunwatch echo:a\nA 204 q0 []\n");
    recalled(0, KNOWS(0), NULL);
}

/* ---- ends ---- */

/* The state of a membership that has ended is with its end in the queue. */
static void the_last_events_are_judged_too(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    has_end(1, "closed", 1, "echo:a", 5, 7);
    view_q[0].slot.state = plx_slice_of(KNOWS(3));
    viewed(0);
    event("echo:a", 6, "2");
    event("echo:a", 7, "3");
    turn();
    expect("poll S1 q0 #1\nwatch echo:a >5\nunwatch echo:a\nrecall S1\n");
    recalled(0, NULL, NULL);
    turn();
    expect("A 200 q1 [\"[null,null,'echo:a','e',3]\",\"closed\"]\n");
}

/* It ended while the poll was parked: the record does not know it any more, the queue does. */
static void an_end_that_was_not_seen_is_looked_for(void **state)
{
    (void)state;
    park("A");
    event("echo:a", 6, "5");
    turn();
    recalled(0, NULL, NULL);
    expect("recall S1 1\nlook S1 q0 #1\n");
    has_end(1, "closed", 1, "echo:a", 5, 6);
    view_q[0].slot.state = plx_slice_of(KNOWS(3));
    viewed(0);
    turn();
    expect("unwatch echo:a\nrecall S1\n");
    recalled(0, NULL, NULL);
    turn();
    expect("A 200 q1 [\"[null,null,'echo:a','e',5]\",\"closed\"]\n");
}

/* A record that says nothing of a slot that is open: nothing unjudged leaves, and nothing hangs. */
static void a_slot_without_a_state(void **state)
{
    (void)state;
    park("A");
    event("echo:a", 6, "5");
    turn();
    recalled(0, "damaged", NULL);
    turn();
    recalled(0, NULL, NULL);
    has_slot(1, "echo:a", 5);
    viewed(0);
    turn();
    recalled(0, NULL, NULL);
    ignore_trace();
    turn();
    expect("");
    advance(10000);
    has_slot(1, "echo:a", 5);
    viewed(0);
    turn();
    assert_non_null(strstr(plx_buf_cstr(&trace), "A 204 q0 1@6 []\n"));
    ignore_trace();
}

/* ---- crash, binary ---- */

static void a_crash_is_told_to_the_inbox(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    has_slot(1, "echo:a", 5);
    has_slot(2, "room:a", 5);
    viewed(0);
    event("echo:a", 6, "1");
    event("echo:a", 7, "\"boom\"");
    event("echo:a", 8, "\"boom\"");
    event("echo:a", 9, "4");
    event("room:a", 6, "5");
    caught_up("echo:a");
    caught_up("room:a");
    ignore_trace();
    turn();
    recalled(0, KNOWS(0), NULL);
    turn();
    assert_non_null(strstr(plx_buf_cstr(&trace), "post S1 x 200 1\n"));
    assert_null(strstr(strstr(trace.data, "post S1 x") + 1, "post"));
    assert_non_null(strstr(trace.data, "[null,null,'echo:a','e',1]"));
    assert_null(strstr(trace.data, "'echo:a','e',4"));
    assert_non_null(strstr(trace.data, "[null,null,'room:a','e',5]"));
    ignore_trace();
    posted(0, PLX_POST_WAIT, 7, 0);
}

static void a_binary_message_may_become_text(void **state)
{
    (void)state;
    park("A");
    binary_event("echo:a", 6);
    turn();
    recalled(0, KNOWS(0), NULL);
    turn();
    expect("recall S1 1\nunwatch echo:a\nA 200 q0 1@6 [\"[null,null,'echo:a','text',0]\"]\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, world_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_sees_what_its_assigns_let_through),
        TEST(nothing_is_read_where_nothing_is_intercepted),
        TEST(all_dropped),
        TEST(many_dropped),
        TEST(the_same_token_judges_again),
        TEST(a_view_makes_it_read_anew),
        TEST(only_what_holds_something_is_read),
        TEST(a_session_that_is_gone),
        TEST(what_can_not_be_judged_stays_for_the_next_poll),
        TEST(the_window_ends_while_it_is_read),
        TEST(a_client_that_goes_while_it_is_read),
        TEST(the_worker_stops_while_it_is_read),
        TEST(the_last_events_are_judged_too),
        TEST(an_end_that_was_not_seen_is_looked_for),
        TEST(a_slot_without_a_state),
        TEST(a_crash_is_told_to_the_inbox),
        TEST(a_binary_message_may_become_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
