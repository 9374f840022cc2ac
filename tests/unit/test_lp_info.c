/* Messages to handle_info in a session's inbox, and its timers on their way to Redis and back. */
#include "tests/unit/lp_world.h"

/* ---- the backend of echo:* ---- */

static unsigned infos;

static void info(void *state, plx_channel *ch, plx_call *call, plx_slice name, plx_payload message)
{
    (void)state;
    infos++;
    if (plx_slice_is(name, "stop"))
        plx_call_stop(call, &message);
    else if (plx_slice_is(name, "crash"))
        plx_call_crash(call, "crash");
    else if (plx_slice_is(name, "cast")) {
        plx_channel_broadcast(ch, call, name, message);
        plx_call_noreply(call);
    } else {
        if (plx_slice_is(name, "tick"))
            plx_channel_send_after(ch, call, name, 50, message);
        plx_channel_push(ch, call, name, message);
        plx_call_ok(call, message);
    }
}

/* "set NAME", "cancel NAME": then ok, or the error. */
static void in(void *state, plx_channel *ch, plx_call *call, plx_slice event, plx_payload payload)
{
    plx_slice verb;
    int err;

    (void)state;
    plx_slice_split(&event, ' ', &verb);
    if (plx_slice_is(verb, "set"))
        err = plx_channel_send_after(ch, call, event, 1500, payload);
    else if (plx_slice_is(verb, "now"))
        err = plx_channel_send_after(ch, call, event, 0, payload);
    else
        err = plx_channel_cancel(ch, call, event);
    if (err == 0)
        plx_call_ok(call, PLX_JSON_PAYLOAD("{}"));
    else
        plx_call_error(call, PLX_JSON_PAYLOAD("{}"));
}

static const plx_backend ticking = {
    .abi = PLX_BACKEND_ABI, .name = "ticking", .handle_in = in, .handle_info = info};

#define JOIN          "[\"1\",\"1\",\"echo:a\",\"phx_join\",{}]"
#define PUSHED(event) "[\"1\",\"3\",\"echo:a\",\"" event "\",7]"
#define REPLY(status)                                                                              \
    "[\"1\",\"3\",\"echo:a\",\"phx_reply\",{\"response\":{},\"status\":\"" status "\"}]"

/* A session that has joined echo:a at 5 (slot 1), by entry 1. */
static int start(void **state)
{
    world_start(state);
    channel_entries[1].backend = &ticking;
    infos = 0;
    post("J", "S1", JOIN);
    posted_work("S1", 1, 1, PLX_ENTRY_POST, "n" JOIN);
    positioned(0, 5);
    committed(0);
    ignore_trace();
    return 0;
}

static void push(uint64_t entry, const char *event, const plx_slot_timer *waiting, size_t count)
{
    char line[200], body[201];
    snprintf(line, sizeof line, "[\"1\",\"3\",\"echo:a\",\"%s\",7]", event);
    snprintf(body, sizeof body, "n%s", line);
    due_work("S1", entry, entry, PLX_ENTRY_POST, body, waiting, count);
}

static void due_info(uint64_t entry, const char *body)
{
    due_work("S1", entry, entry, PLX_ENTRY_INFO, body, NULL, 0);
}

/* ---- messages ---- */

static void a_timer_is_worked_like_a_post(void **state)
{
    (void)state;
    due_info(2, "t1:5:helloj{\"n\":1}");
    expect("commit S1 f2 e2 [[\"1\",null,\"echo:a\",\"hello\",{\"n\":1}]]\n");
    committed(0);
    assert_int_equal(plx_longpoll_parked(lp), 0);
    due_info(3, "t1:4:castj2");
    expect("publish echo:a cast 2 3:0\n");
    published(0, 6);
    expect("commit S1 f3 e3\n");
    committed(0);
}

static void a_message_for_a_topic(void **state)
{
    (void)state;
    due_info(2, "s6:echo:a5:helloj1");
    expect("commit S1 f2 e2 [[\"1\",null,\"echo:a\",\"hello\",1]]\n");
    committed(0);
    due_info(3, "s6:echo:b5:helloj1");
    expect("commit S1 f3 e3\n");
    committed(0);
    assert_int_equal(infos, 1);
}

/* A binary one can't reach the client as it is, but its channel gets it. */
static void a_binary_message(void **state)
{
    (void)state;
    due_info(2, "t1:5:hellob\1\2");
    expect("commit S1 f2 e2\n");
    committed(0);
    assert_int_equal(infos, 1);
}

static void it_may_end_the_channel(void **state)
{
    (void)state;
    due_info(2, "t1:4:stopj1");
    expect("position echo:a\n");
    positioned(0, 9);
    expect("commit S1 f2 e2 [end 1 echo:a <=9 [\"1\",\"1\",\"echo:a\",\"phx_close\",{}]] drop 1\n");
    committed(0);
    due_info(3, "t1:5:helloj1"); /* was in the inbox already */
    expect("commit S1 f3 e3\n");
    committed(0);
    assert_int_equal(infos, 1);
}

static void it_may_crash_the_channel(void **state)
{
    (void)state;
    due_info(2, "t1:5:crashj1");
    positioned(0, 9);
    expect("position echo:a\ncommit S1 f2 e2 [end 1 echo:a <=9 "
           "[\"1\",\"1\",\"echo:a\",\"phx_error\",{\"reason\":\"channel_crash\"}]] drop 1\n");
    committed(0);
}

static void damaged_messages_are_left_out(void **state)
{
    static const char *const bodies[] = {
        "",         "t",          "t1",       "t1:",      "t0:1:aj1",          "t1:9:aj1",
        "t1:1:a",   "t1:1:ax1",   "t1:1:aj{", "tx:1:aj1", "s6:echo:a",         "s0:1:aj1",
        "q1:1:aj1", "s99:echo:a", "t:1:aj1",  "t1:x:aj1", "t99999999999:1:aj1"};
    (void)state;
    for (uint64_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        due_info(i + 2, bodies[i]);
        committed(0);
    }
    assert_int_equal(infos, 0);
    ignore_trace();
}

/* ---- timers ---- */

static void a_timer_is_written_with_the_commit(void **state)
{
    (void)state;
    push(2, "set a:b", NULL, 0);
    expect("commit S1 f2 e2 [" REPLY("ok") "] timer 1:a:b 1500 3:a:bj7\n");
    committed(0);
    push(3, "now x", NULL, 0);
    expect("commit S1 f3 e3 [" REPLY("ok") "] timer 1:x 0 1:xj7\n");
    committed(0);
}

static void a_timer_that_waits_can_be_cancelled(void **state)
{
    const plx_slot_timer waiting[] = {{.slot = 9, .name = PLX_LIT("a")},
                                      {.slot = 1, .name = PLX_LIT("a")}};
    (void)state;
    push(2, "cancel a", waiting, 1); /* that one is another slot's */
    expect("commit S1 f2 e2 [" REPLY("error") "]\n");
    committed(0);
    push(3, "cancel a", waiting, 2);
    expect("commit S1 f3 e3 [" REPLY("ok") "] cancel 1:a\n");
    committed(0);
}

static void one_that_sets_itself_again(void **state)
{
    (void)state;
    for (uint64_t entry = 2; entry < 5; entry++) {
        char expected[200];
        due_info(entry, "t1:4:tickj0");
        snprintf(
            expected, sizeof expected,
            "commit S1 f%d e%d [[\"1\",null,\"echo:a\",\"tick\",0]] timer 1:tick 50 4:tickj0\n",
            (int)entry, (int)entry);
        expect(expected);
        committed(0);
    }
}

static void the_bound_counts_those_that_wait(void **state)
{
    plx_slot_timer waiting[PLX_TIMERS_MAX];
    char names[PLX_TIMERS_MAX][4];

    (void)state;
    for (unsigned i = 0; i < PLX_TIMERS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "w%u", i % 100);
        waiting[i] = (plx_slot_timer){.slot = 1, .name = plx_slice_of(names[i])};
    }
    push(2, "set more", waiting, PLX_TIMERS_MAX);
    expect("commit S1 f2 e2 [" REPLY("error") "]\n");
    committed(0);
    push(3, "set w3", waiting, PLX_TIMERS_MAX);
    expect("commit S1 f3 e3 [" REPLY("ok") "] timer 1:w3 1500 2:w3j7\n");
    committed(0);
}

/* Nothing of a membership that ends with the entry is written. */
static void timers_of_a_membership_that_ends(void **state)
{
    (void)state;
    due_work("S1", 2, 2, PLX_ENTRY_POST,
             "n" PUSHED("set a") "\n[\"1\",\"4\",\"echo:a\",\"phx_leave\",{}]", NULL, 0);
    positioned(0, 6);
    assert_null(strstr(plx_buf_cstr(&trace), "timer"));
    assert_non_null(strstr(trace.data, "drop 1"));
    ignore_trace();
    committed(0);
}

static unsigned drained;

static void on_drained(void *arg)
{
    (void)arg;
    drained++;
}

/* A timer whose claim was under way when the worker was told to stop: it is worked, not left to
 * others, who would have to wait for the claim's end. */
static void what_was_claimed_is_worked_while_draining(void **state)
{
    (void)state;
    drained = 0;
    plx_longpoll_drain(lp, on_drained, NULL);
    assert_true(due_draining);
    due_busy = true;
    advance(200);
    assert_int_equal(drained, 0);
    due_info(2, "t1:4:tickj0");
    due_busy = false;
    advance(200);
    assert_int_equal(drained, 0);
    assert_non_null(strstr(plx_buf_cstr(&trace), "commit S1 f2 e2"));
    ignore_trace();
    committed(0);
    advance(100);
    assert_int_equal(drained, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, world_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_timer_is_worked_like_a_post),
        TEST(a_message_for_a_topic),
        TEST(a_binary_message),
        TEST(it_may_end_the_channel),
        TEST(it_may_crash_the_channel),
        TEST(damaged_messages_are_left_out),
        TEST(a_timer_is_written_with_the_commit),
        TEST(a_timer_that_waits_can_be_cancelled),
        TEST(one_that_sets_itself_again),
        TEST(the_bound_counts_those_that_wait),
        TEST(timers_of_a_membership_that_ends),
        TEST(what_was_claimed_is_worked_while_draining),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
