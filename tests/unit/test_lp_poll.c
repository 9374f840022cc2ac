/* Polls, scripted: opened, parked, woken, answered, superseded, lost sight of, at every point. */
#include "tests/unit/lp_world.h"
#include "transport/lp_poll.h"

/* ---- a poll's plain life ---- */

static void an_event_answers_a_parked_poll(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    expect("poll S1 q0 #1\n");
    has_slot(1, "room:a", 5);
    viewed(0);
    caught_up("room:a");
    turn();
    expect("watch room:a >5\n");
    event("room:a", 6, "1");
    event("room:a", 7, "2");
    turn();
    expect("unwatch room:a\n"
           "A 200 q0 1@7 [\"[null,null,'room:a','e',1]\",\"[null,null,'room:a','e',2]\"]\n");
}

static void a_quiet_window_ends_with_204(void **state)
{
    (void)state;
    park_poll("A");
    advance(9999);
    expect("");
    advance(1);
    expect("look S1 q0 #1\n");
    has_slot(1, "room:a", 5);
    viewed(0);
    turn();
    expect("unwatch room:a\nA 204 q0 []\n");
}

static void what_was_lost_comes_again_with_the_old_token(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        poll("A", "S1", 3, "1@8");
        has_slot(1, "room:a", 5);
        has_text(4, "reply");
        viewed(0);
        event("room:a", 9, "9");
        caught_up("room:a");
        turn();
        ignore_trace();
    }
    poll_with("B", last_token);
    expect("poll S1 q4 #3\n");
    has_slot(1, "room:a", 5);
    viewed(0);
    expect("watch room:a >9\n");
}

static void a_forgotten_session_gets_500(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    viewed(PLX_E_GONE);
    expect("poll S1 q0 #1\nA 500\n");
    park_poll("B");
    session_gone("S1", 2);
    expect("unwatch room:a\nB 500\n");
}

/* ---- batching while a poll opens ---- */

static void opening_waits_for_slow_topics_but_not_long(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    has_slot(1, "room:a", 5);
    has_slot(2, "room:b", 0);
    has_text(1, "reply");
    viewed(0);
    caught_up("room:a");
    turn();
    ignore_trace();
    advance(299);
    expect("");
    advance(1);
    expect("unwatch room:b\nunwatch room:a\nA 200 q1 [\"reply\"]\n");
}

/* ---- superseding ---- */

static void a_newer_poll_answers_the_older(void **state)
{
    (void)state;
    park_poll("A");
    advance(1500);
    poll("B", "S1", 0, "");
    has_slot(1, "room:a", 5);
    held_by("w1", 1);
    viewed(0);
    expect("poll S1 q0 #2\nunwatch room:a\nA 204 q0 []\nwatch room:a >5\n");
}

/* The older poll is answered at once; the next such answer of this session comes a second later. */
static void two_pollers_can_not_chase_each_other(void **state)
{
    (void)state;
    park_poll("A");
    poll("B", "S1", 0, "");
    held_by("w1", 1);
    viewed(0);
    expect("poll S1 q0 #2\nunwatch room:a\nA 204 q0 []\n");
    poll("C", "S1", 0, "");
    held_by("w1", 2);
    viewed(0);
    expect("poll S1 q0 #3\n");
    event("room:a", 6, "1"); /* is C's */
    wake("S1", 2);
    advance(999);
    expect("");
    advance(1);
    expect("B 204 q0 []\n");
}

/* One answer a second: the last of many would wait for longer than any client does. */
static void a_crowd_of_pollers_is_answered_within_the_window(void **state)
{
    (void)state;
    char name[16];
    for (unsigned i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "P%u", i);
        poll(name, "S1", 0, "");
        if (i > 0)
            held_by("w1", i);
        viewed(0);
    }
    ignore_trace();
    advance(9999);
    assert_int_equal(plx_longpoll_parked(lp), 30 - 10);
    advance(1);
    viewed(0); /* the newest one's last look */
    turn();
    assert_int_equal(plx_longpoll_parked(lp), 0);
    ignore_trace();
}

/* Generations count in each worker by itself: the same number does not mean the same poll. */
static void superseded_in_a_worker_with_the_same_count(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    held_by("w2", 1);
    viewed(0);
    expect("poll S1 q0 #1\nsupersede w2 S1 #1\n");
}

static void superseded_before_it_was_opened(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    superseded("S1", 1);
    has_slot(1, "room:a", 5);
    held_by("w2", 7);
    viewed(0);
    turn();
    expect("poll S1 q0 #1\nA 204 q0 []\nsupersede w2 S1 #7\n");
    superseded("S1", 1);
    expect("");
}

static void a_look_finds_that_another_took_over(void **state)
{
    (void)state;
    park_poll("A");
    advance(2000);
    wake("S1", 1);
    viewed(PLX_E_BUSY);
    expect("look S1 q0 #1\nunwatch room:a\nA 204 q0 []\n");
}

static void a_superseding_poll_whose_client_went_away(void **state)
{
    (void)state;
    park_poll("A");
    advance(1000);
    poll("B", "S1", 0, "");
    go("B");
    held_by("w1", 1);
    viewed(0);
    expect("poll S1 q0 #2\nunwatch room:a\nA 204 q0 []\n");
}

/* The answer of the superseded poll lets in what waited behind it on its connection; that may be
 * the end of the very poll that superseded it. */
static void goes_while_it_supersedes(client *c)
{
    if (strcmp(c->name, "A") == 0)
        go("B");
}

static void gone_while_it_supersedes(void **state)
{
    (void)state;
    park_poll("A");
    advance(1000);
    on_answer = goes_while_it_supersedes;
    poll("B", "S1", 0, "");
    has_slot(1, "room:a", 5);
    held_by("w1", 1);
    viewed(0);
    expect("poll S1 q0 #2\nunwatch room:a\nA 204 q0 []\n");
}

/* ---- clients that go away ---- */

static void gone_at_every_point(void **state)
{
    (void)state;
    poll("A", "S1", 0, ""); /* opening */
    go("A");
    has_slot(1, "room:a", 5);
    viewed(0);
    park_poll("B"); /* parked */
    go("B");
    park_poll("C"); /* looking */
    wake("S1", 3);
    go("C");
    has_text(1, "reply");
    viewed(0);
    park_poll("D"); /* with something to be answered */
    event("room:a", 6, "1");
    go("D");
    turn();
    park_poll("E"); /* reporting a gap */
    lost("room:a");
    go("E");
    posted(0, PLX_POST_WAIT, 1, 0);
    park_poll("F"); /* superseded, and not the first one within a second */
    superseded("S1", 6);
    park_poll("F2");
    superseded("S1", 7);
    go("F2");
    park_poll("G"); /* at the window's end */
    advance(10000);
    go("G");
    viewed(0);
    ignore_trace();
    advance(60000);
    expect("");
    assert_int_equal(calls_waiting(), 0);
    assert_int_equal(plx_longpoll_parked(lp), 0);
}

/* ---- Redis is away ---- */

static void a_poll_during_an_outage_is_held_and_keeps_its_token(void **state)
{
    (void)state;
    store_goes();
    poll("A", "S1", 3, "1@8");
    advance(9999);
    expect("");
    advance(1);
    expect("A 204 q3 1@8 []\n");
    poll("B", "S1", 3, "1@8");
    advance(1000);
    store_comes();
    expect("poll S1 q3 #2\n");
    has_slot(1, "room:a", 5);
    viewed(0);
    expect("watch room:a >8\n");
}

static void an_outage_while_it_opens(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    store_goes();
    viewed(PLX_E_TIMEOUT);
    turn();
    expect("poll S1 q0 #1\n");
    advance(5000);
    expect("");
    store_comes();
    expect("poll S1 q0 #1\n");
}

static void an_outage_of_a_parked_poll_is_followed_by_a_look(void **state)
{
    (void)state;
    park_poll("A");
    store_goes();
    store_comes();
    expect("look S1 q0 #1\n");
    store_goes();
    viewed(PLX_E_TIMEOUT);
    store_comes();
    expect("look S1 q0 #1\n");
}

/* Redis refuses a script (out of memory, say) and no outage ends that would try again. */
static void a_refused_script_is_tried_again(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    viewed(PLX_E_STORE);
    turn();
    advance(999);
    expect("poll S1 q0 #1\n");
    advance(1);
    expect("poll S1 q0 #1\n");
    has_slot(1, "room:a", 5);
    viewed(0);
    caught_up("room:a");
    wake("S1", 1);
    viewed(PLX_E_STORE);
    ignore_trace();
    advance(1000);
    expect("look S1 q0 #1\n");
}

/* The command was given while the connection was down, and it failed after its return. */
static void an_answer_of_the_outage_comes_after_its_end(void **state)
{
    (void)state;
    park_poll("A");
    wake("S1", 1);
    store_goes();
    store_comes();
    expect("look S1 q0 #1\n");
    viewed(PLX_E_DOWN);
    advance(1000);
    expect("look S1 q0 #1\n");
}

static void what_came_during_a_failed_look_goes_out(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    has_slot(1, "room:a", 5);
    has_slot(2, "room:b", 5);
    viewed(0);
    caught_up("room:a");
    wake("S1", 1);
    event("room:a", 6, "1"); /* waits for room:b */
    turn();
    ignore_trace();
    viewed(PLX_E_TIMEOUT);
    caught_up("room:b");
    turn();
    expect("unwatch room:b\nunwatch room:a\nA 200 q0 1@6 [\"[null,null,'room:a','e',1]\"]\n");
}

static void a_last_look_that_takes_long_is_not_waited_for(void **state)
{
    (void)state;
    park_poll("A");
    advance(10000);
    expect("look S1 q0 #1\n");
    advance(999);
    expect("");
    advance(1);
    expect("unwatch room:a\nA 204 q0 []\n");
    viewed(0);
    expect("");
}

static void a_window_that_ends_in_an_outage_gives_what_there_is(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    has_slot(1, "room:a", 5);
    has_reply(1, "reply", 1, 6);
    viewed(0);
    caught_up("room:a");
    turn();
    store_goes();
    ignore_trace();
    advance(10000);
    expect("expect 6\nunwatch room:a\nA 204 q0 []\n");
}

/* ---- gaps ---- */

static void a_gap_is_told_to_the_inbox_once(void **state)
{
    (void)state;
    park_poll("A");
    lost("room:a");
    turn();
    expect("post S1 l 200 1\n");
    assert_string_equal(last_digest, "1"); /* a second poll's report is taken for the same */
    posted(0, PLX_POST_WAIT, 4, 0);
    turn();
    expect("");
}

static void a_gap_before_an_end_that_waits_is_no_matter(void **state)
{
    (void)state;
    poll("A", "S1", 0, "1@7");
    has_end(1, "closed", 1, "room:a", 5, 9);
    viewed(0);
    lost("room:a");
    turn();
    expect("poll S1 q0 #1\nwatch room:a >7\nA 200 q1 [\"closed\"]\n");
}

static void a_gap_found_at_once_holds_up_nothing(void **state)
{
    (void)state;
    poll("A", "S1", 0, "");
    has_slot(1, "room:a", 5);
    has_reply(1, "reply", 1, 9);
    viewed(0);
    lost("room:a");
    turn();
    expect("poll S1 q0 #1\nwatch room:a >5\npost S1 l 200 1\nA 200 q1 [\"reply\"]\n");
    posted(PLX_E_DOWN, PLX_POST_WAIT, 0, 0);
}

/* ---- bounds ---- */

static void binary_broadcasts_never_fill_a_poll(void **state)
{
    (void)state;
    park_poll("A");
    for (unsigned i = 6; i < 606; i++)
        binary_event("room:a", i);
    turn();
    expect("");
    event("room:a", 606, "1");
    turn();
    expect("unwatch room:a\nA 200 q0 1@606 [\"[null,null,'room:a','e',1]\"]\n");
}

static void a_busy_topic_stops_at_what_an_answer_holds(void **state)
{
    (void)state;
    park_poll("A");
    for (unsigned i = 6; i < 1006; i++)
        event("room:a", i, "1");
    expect("unwatch room:a\n");
    turn();
    assert_non_null(strstr(plx_buf_cstr(&trace), "A 200 q0 1@505"));
    ignore_trace();
}

/* While a reply waits for one topic, the others hold no more than an answer together. */
static void a_blocked_poll_is_bounded_over_all_topics(void **state)
{
    (void)state;
    static char name[12][10];
    poll("A", "S1", 0, "");
    has_slot(1, "room:a", 5);
    has_reply(1, "blocks", 1, 900);
    for (unsigned i = 2; i < 12; i++) {
        snprintf(name[i], sizeof name[i], "room:%u", i);
        has_slot(i, name[i], 0);
        has_open(i, "joined", i, name[i], 0);
    }
    viewed(0);
    turn();
    ignore_trace();
    for (unsigned i = 2; i < 12; i++)
        for (unsigned n = 1; n <= 100; n++)
            event(name[i], n, "1");
    lp_poll *p = PLX_CONTAINER(lp->polls.next, lp_poll, node);
    assert_true(p->held < PLX_LP_MESSAGES + 10);
    turn();
    ignore_trace();
    /* It goes on with the topic that is waited for. */
    for (unsigned n = 6; n <= 505; n++)
        event("room:a", n, "1");
    turn();
    assert_non_null(strstr(plx_buf_cstr(&trace), "A 200 q0 1@505"));
    ignore_trace();
}

/* A reply waits for two topics. The second had been stopped when another one had filled the answer.
 */
static void the_topic_that_is_waited_for_is_watched_again(void **state)
{
    (void)state;
    const plx_barrier both[] = {{1, 8}, {2, 8}};
    poll("A", "S1", 0, "");
    has_slot(1, "room:a", 5);
    has_slot(2, "room:b", 5);
    has_slot(3, "room:c", 5);
    has_reply(1, "reply", 1, 8);
    view_q[0].barriers = both;
    view_q[0].barrier_count = 2;
    has_open(2, "joined", 3, "room:c", 5);
    viewed(0);
    turn();
    for (unsigned n = 6; n < 506; n++)
        event("room:c", n, "1");
    event_from("room:b", 6, "1", sid_text("S1"));
    turn();
    ignore_trace();
    for (unsigned n = 6; n <= 8; n++)
        event_from("room:a", n, "1", sid_text("S1"));
    turn();
    expect("watch room:b >6\nexpect 8\n");
    event_from("room:b", 7, "1", sid_text("S1"));
    event("room:b", 8, "1");
    turn();
    assert_non_null(strstr(plx_buf_cstr(&trace), "A 200 q2 1@8 2@8 3@502\n"));
    ignore_trace();
}

/* Quoting makes a text up to twice as long: what counts is what is sent. */
static void quotes_count_in_the_size_of_an_answer(void **state)
{
    (void)state;
    static char text[100001];
    memset(text, '"', sizeof text - 1);
    poll("A", "S1", 0, "");
    for (unsigned i = 1; i <= 10; i++)
        has_text(i, text);
    viewed(0);
    turn();
    assert_true(last_length < PLX_LP_BYTES + 500);
    ignore_trace();
    poll_with("B", last_token);
    expect("poll S1 q5 #2\n");
}

static void a_text_is_quoted_once_for_all_polls(void **state)
{
    (void)state;
    enum { POLLS = 5000 };
    char name[16];
    quiet = true;
    for (unsigned i = 0; i < POLLS; i++) {
        snprintf(name, sizeof name, "S%u", i);
        poll(name, name, 0, "");
        has_slot(1, "room:a", 5);
        viewed(0);
    }
    caught_up("room:a");
    turn();
    ignore_trace();
    plx_event *e = make_event("room:a", 6, PLX_KIND_JSON, "{\"a\":1}", "");
    give_event(e);
    turn();
    plx_blob *quoted = e->encoded[PLX_ENC_V2_QUOTED];
    assert_non_null(quoted);
    plx_slice text = plx_slice_make(quoted->data, quoted->len);
    assert_true(plx_slice_is(text, "\"[null,null,\\\"room:a\\\",\\\"e\\\",{\\\"a\\\":1}]\""));
    assert_int_equal(e->refs, 1);
    assert_int_equal(plx_longpoll_parked(lp), 0);
    plx_event_unref(e);
    ignore_trace();
}

/* ---- the end ---- */

static void on_drained(void *arg)
{
    (void)arg;
    note("drained");
}

static void draining_answers_what_is_parked(void **state)
{
    (void)state;
    park_poll("A");
    event("room:a", 6, "1");
    poll("B", "S2", 3, "1@8"); /* opening */
    ignore_trace();
    plx_longpoll_drain(lp, on_drained, NULL);
    expect("unwatch room:a\nA 200 q0 1@6 [\"[null,null,'room:a','e',1]\"]\nB 204 q3 1@8 []\n");
    poll("C", "S3", 3, "1@8");
    expect("C 204 q3 1@8 []\n");
    advance(50);
    expect("drained\n");
    viewed(0);
    expect("");
}

static void asks_again(client *c)
{
    static unsigned times;
    if (times++ < 3)
        poll("X", "S4", 0, "");
    (void)c;
}

/* An answer lets in the next request of its connection, also while everything is being ended. */
static void requests_that_come_during_the_end(void **state)
{
    (void)state;
    park_poll("A");
    post("B", "S1", "[\"1\",\"2\",\"room:a\",\"e\",1]");
    ignore_trace();
    on_answer = asks_again;
    quiet = true;
    plx_longpoll_free(lp);
    expect("A 204 q0 []\nX 204 q0 []\nX 204 q0 []\nX 204 q0 []\nB HTTP 503 500\n");
    on_answer = NULL;
    fail_calls(PLX_E_DOWN);
    lp = plx_longpoll_new(store, &config, &channels); /* for the tear-down */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_start, world_stop)
    const struct CMUnitTest tests[] = {
        T(an_event_answers_a_parked_poll),
        T(a_quiet_window_ends_with_204),
        T(what_was_lost_comes_again_with_the_old_token),
        T(a_forgotten_session_gets_500),
        T(opening_waits_for_slow_topics_but_not_long),
        T(a_newer_poll_answers_the_older),
        T(two_pollers_can_not_chase_each_other),
        T(a_crowd_of_pollers_is_answered_within_the_window),
        T(superseded_in_a_worker_with_the_same_count),
        T(superseded_before_it_was_opened),
        T(a_look_finds_that_another_took_over),
        T(a_superseding_poll_whose_client_went_away),
        T(gone_while_it_supersedes),
        T(gone_at_every_point),
        T(a_poll_during_an_outage_is_held_and_keeps_its_token),
        T(an_outage_while_it_opens),
        T(an_outage_of_a_parked_poll_is_followed_by_a_look),
        T(a_refused_script_is_tried_again),
        T(an_answer_of_the_outage_comes_after_its_end),
        T(what_came_during_a_failed_look_goes_out),
        T(a_last_look_that_takes_long_is_not_waited_for),
        T(a_window_that_ends_in_an_outage_gives_what_there_is),
        T(a_gap_is_told_to_the_inbox_once),
        T(a_gap_before_an_end_that_waits_is_no_matter),
        T(a_gap_found_at_once_holds_up_nothing),
        T(binary_broadcasts_never_fill_a_poll),
        T(a_busy_topic_stops_at_what_an_answer_holds),
        T(a_blocked_poll_is_bounded_over_all_topics),
        T(the_topic_that_is_waited_for_is_watched_again),
        T(quotes_count_in_the_size_of_an_answer),
        T(a_text_is_quoted_once_for_all_polls),
        T(draining_answers_what_is_parked),
        T(requests_that_come_during_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
