/* Barriers: what waits, what passes, in which order; and the queue of frames to one socket. */
#include "base/error.h"
#include "transport/ws_hold.h"
#include "transport/ws_out.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static char sent[256];
static plx_ws_holds *h;
static plx_socket sock;

static void on_send(void *arg, plx_blob *frame)
{
    (void)arg;
    strncat(sent, frame->data, frame->len);
}

static void on_ended(void *arg, plx_membership *m)
{
    (void)arg;
    strcat(sent, "!");
    m->watch.feed = NULL;
    plx_ws_hold_rename(h, m, NULL); /* as the core's `closed` does */
}

static uint64_t expected;

static void on_expect(void *arg, plx_membership *m, uint64_t offset)
{
    (void)arg;
    (void)m;
    expected = offset;
}

static const plx_ws_hold_ops ops = {on_send, on_expect, on_ended};

/* A membership whose deliveries stand at `after`. Nobody looks into its feed here. */
static void make(plx_membership *m, const char *topic, uint64_t after)
{
    memset(m, 0, sizeof *m);
    m->topic = plx_slice_of(topic);
    m->socket = &sock;
    plx_list_push(&sock.memberships, &m->node);
    m->watch.feed = (plx_feed *)m;
    m->watch.after = after;
}

static int setup(void **state)
{
    (void)state;
    sent[0] = '\0';
    expected = 0;
    plx_list_init(&sock.memberships);
    h = plx_ws_holds_new(&ops, NULL, 100);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    plx_ws_holds_free(h);
    return 0;
}

enum { OPENS = 1, ENDS = 2 };

/* What the transport does with a message of m that must follow `of`'s event `offset`. */
static plx_out out_of(plx_membership *m, const plx_out_barrier *barrier, int flags)
{
    plx_out out = {.membership = m,
                   .barriers = barrier,
                   .barrier_count = barrier->membership ? 1 : 0,
                   .opens = flags & OPENS,
                   .ends = flags & ENDS};
    out.topic = (plx_term){PLX_TERM_STRING, m ? m->topic : plx_slice_of("phoenix")};
    return out;
}

static void emit_after(plx_membership *m, const char *text, plx_membership *of, uint64_t offset,
                       int flags)
{
    const plx_out_barrier barrier = {of, offset};
    const plx_out out = out_of(m, &barrier, flags);
    plx_blob *frame = plx_blob_new(plx_slice_of(text));
    if (plx_ws_hold_needed(h, &out))
        assert_int_equal(plx_ws_hold_add(h, &out, frame), 0);
    else
        on_send(NULL, frame);
    plx_blob_unref(frame);
}

static void emit(plx_membership *m, const char *text)
{
    emit_after(m, text, NULL, 0, 0);
}

/* The next event of m's topic arrives. */
static void event(plx_membership *m, const char *text)
{
    plx_blob *frame = plx_blob_new(plx_slice_of(text));
    m->watch.after++;
    if (plx_ws_hold_event(h, m, frame) == 0)
        on_send(NULL, frame);
    plx_ws_hold_release(h);
    plx_blob_unref(frame);
}

static void test_reply_after_its_broadcasts(void **state)
{
    (void)state;
    plx_membership a, b;
    make(&a, "a", 5);
    make(&b, "b", 0);
    emit_after(&a, "r", &a, 7, 0);
    assert_int_equal(expected, 7);
    emit(&a, "s"); /* stays behind */
    emit(&b, "t"); /* another topic goes on */
    emit(NULL, "h");
    event(&a, "6");
    event(&b, "x");
    event(&a, "7");
    event(&a, "8");
    assert_string_equal(sent, "th6x7rs8");
    assert_int_equal(plx_ws_holds_count(h), 0);
    emit_after(&a, "n", &a, 8, 0); /* met already */
    assert_string_equal(sent, "th6x7rs8n");
}

static void test_barrier_of_another_topic(void **state)
{
    (void)state;
    plx_membership a, b;
    make(&a, "a", 0);
    make(&b, "b", 0);
    emit_after(&a, "r", &b, 2, 0);
    event(&a, "1"); /* events never wait */
    event(&b, "x");
    emit_after(NULL, "n", &b, 3, 0);
    emit_after(NULL, "o", &b, 1, 0); /* met, but of the same topic */
    event(&b, "y");
    event(&b, "z");
    assert_string_equal(sent, "1xyrzno");
}

static void test_end_comes_last(void **state)
{
    (void)state;
    plx_membership a, b;
    make(&a, "a", 0);
    make(&b, "b", 0);
    emit_after(&a, "L", &a, 2, 0);
    emit_after(&a, "C", &a, 2, ENDS);
    emit_after(&b, "r", &a, 9, 0); /* its barrier goes with a */
    event(&a, "1");
    event(&a, "2");
    assert_string_equal(sent, "12LC!r");
    assert_int_equal(plx_ws_holds_count(h), 0);
}

static void test_lost_watch_counts_as_met(void **state)
{
    (void)state;
    plx_membership a;
    make(&a, "a", 0);
    emit_after(&a, "r", &a, 3, 0);
    emit_after(&a, "E", NULL, 0, ENDS);
    a.watch.feed = NULL;
    plx_ws_hold_release(h);
    assert_string_equal(sent, "rE!");
}

/* A join reply that takes another one's place follows what that one is still to be given. */
static void test_rejoin(void **state)
{
    (void)state;
    plx_membership old, now;
    make(&old, "a", 3);
    emit_after(&old, "r", &old, 4, 0);
    make(&now, "a", 3);
    now.replaces = &old;
    now.caused = 5;
    old.watch.feed = NULL;
    plx_ws_hold_rename(h, &old, &now);
    emit_after(&now, "J", NULL, 0, OPENS);
    emit_after(&old, "C", NULL, 0, ENDS); /* follows the reply */
    emit(&now, "p");
    event(&now, "4");
    assert_string_equal(sent, "4r");
    event(&now, "5");
    event(&now, "6");
    assert_string_equal(sent, "4r5JC!p6");
    assert_int_equal(plx_ws_holds_count(h), 0);
}

/* One that goes back: the old one is given its own rest, and the replay stays behind the reply. */
static void test_rejoin_that_goes_back(void **state)
{
    (void)state;
    plx_membership old, now;
    make(&old, "a", 3);
    old.caused = 4;
    emit_after(&old, "r", &old, 4, 0);
    make(&now, "a", 0);
    now.replaces = &old;
    now.goes_back = true;
    now.caused = 4;
    emit_after(&now, "J", NULL, 0, OPENS);
    emit_after(&old, "C", NULL, 0, ENDS);
    event(&now, "1");
    event(&now, "2");
    assert_string_equal(sent, "");
    event(&old, "4");
    assert_string_equal(sent, "4rJC!12");
    event(&now, "3");
    assert_string_equal(sent, "4rJC!123");
    assert_int_equal(plx_ws_holds_count(h), 0);
}

/* The reply to a push made on a membership that was replaced meanwhile. */
static void test_barrier_of_a_replaced_one(void **state)
{
    (void)state;
    plx_membership old, now;
    make(&old, "a", 3);
    make(&now, "a", 3);
    old.watch.feed = NULL;
    emit_after(&old, "r", &old, 4, 0);
    assert_string_equal(sent, "");
    event(&now, "4");
    assert_string_equal(sent, "4r");
}

/* What an earlier message waits for is not kept behind a later join reply. */
static void test_event_that_is_waited_for_before(void **state)
{
    (void)state;
    plx_membership old, now, b;
    make(&old, "a", 0);
    make(&b, "b", 0);
    make(&now, "a", 0);
    old.watch.feed = NULL;
    emit_after(&old, "r", &old, 1, 0);
    emit_after(&now, "J", &b, 1, OPENS);
    event(&now, "1");
    event(&now, "2");
    assert_string_equal(sent, "1r");
    event(&b, "x");
    assert_string_equal(sent, "1rxJ2");
}

/* The replaced membership has something to say that waits for longer than the new one's reply. */
static void test_rejoin_while_the_old_one_waits(void **state)
{
    (void)state;
    plx_membership old, now, b;
    make(&old, "a", 0);
    make(&b, "b", 0);
    emit_after(&old, "r", &b, 1, 0);
    make(&now, "a", 0);
    now.replaces = &old;
    now.caused = 1;
    old.watch.feed = NULL;
    plx_ws_hold_rename(h, &old, &now);
    emit_after(&now, "J", NULL, 0, OPENS);
    emit_after(&old, "C", NULL, 0, ENDS);
    event(&now, "1");
    event(&now, "2");
    assert_string_equal(sent, "1");
    event(&b, "x");
    event(&now, "3");
    assert_string_equal(sent, "1xrJC!23");
    assert_int_equal(plx_ws_holds_count(h), 0);
}

/* While a join reply waits for another topic, its own topic's events wait behind it. */
static void test_events_behind_their_join_reply(void **state)
{
    (void)state;
    plx_membership a, b;
    make(&a, "a", 0);
    make(&b, "b", 0);
    emit_after(&a, "J", &b, 1, OPENS);
    emit_after(&a, "p", &b, 2, 0);
    emit_after(&a, "q", &a, 2, 0); /* the reply to a push made without waiting for the join's */
    event(&a, "1");
    event(&a, "2");
    event(&a, "3");
    assert_string_equal(sent, "");
    event(&b, "x");
    assert_string_equal(sent, "xJ");
    event(&a, "4"); /* still behind 3 */
    assert_string_equal(sent, "xJ");
    event(&b, "y");
    assert_string_equal(sent, "xJyp12q34");
    event(&a, "5");
    assert_string_equal(sent, "xJyp12q345");
}

static void test_bounds(void **state)
{
    (void)state;
    plx_membership a;
    make(&a, "a", 0);
    const plx_out_barrier barrier = {&a, 1};
    const plx_out out = out_of(&a, &barrier, 0);
    plx_blob *big = plx_blob_new(plx_slice_make(sent, 90)), *small = plx_blob_new(plx_slice_of(""));
    assert_int_equal(plx_ws_hold_add(h, &out, big), 0);
    assert_int_equal(plx_ws_hold_add(h, &out, big), PLX_E_BUSY);
    for (int i = 1; i < PLX_WS_HOLD_MAX; i++)
        assert_int_equal(plx_ws_hold_add(h, &out, small), 0);
    assert_int_equal(plx_ws_hold_add(h, &out, small), PLX_E_BUSY);
    assert_int_equal(plx_ws_holds_count(h), PLX_WS_HOLD_MAX);
    plx_blob_unref(big);
    plx_blob_unref(small);
}

/* Left and joined again while the leave's reply waits: the new one's reply and events come after.
 */
static void test_leave_and_join_again(void **state)
{
    (void)state;
    plx_membership old, now;
    make(&old, "a", 0);
    emit_after(&old, "r", &old, 1, 0);
    emit_after(&old, "L", &old, 1, 0);
    emit_after(&old, "C", &old, 1, ENDS);
    make(&now, "a", 1);
    emit_after(&now, "J", NULL, 0, OPENS);
    emit_after(&now, "p", &now, 2, 0);
    event(&now, "2");
    event(&now, "3");
    assert_string_equal(sent, "");
    event(&old, "1");
    event(&now, "4");
    assert_string_equal(sent, "1rLC!J2p34");
    assert_int_equal(plx_ws_holds_count(h), 0);
}

/* The end of a membership whose join reply still waits; what comes after it is nobody's. */
static void test_over_before_it_began(void **state)
{
    (void)state;
    plx_membership a, b;
    make(&a, "a", 0);
    make(&b, "b", 0);
    emit_after(&a, "J", &b, 1, OPENS);
    emit_after(&a, "C", &a, 1, ENDS);
    event(&a, "1");
    event(&a, "2");
    event(&b, "x");
    assert_string_equal(sent, "xJ1C!");
    assert_int_equal(plx_ws_holds_count(h), 0);
}

/* The socket is closed while something waits. */
static void test_forget(void **state)
{
    (void)state;
    plx_membership a, b;
    make(&a, "a", 0);
    make(&b, "b", 0);
    emit_after(&a, "r", &b, 1, 0);
    emit_after(&b, "s", &a, 1, 0);
    plx_ws_hold_rename(h, &a, NULL);
    plx_ws_hold_release(h);
    assert_string_equal(sent, "s");
    plx_ws_hold_rename(h, &b, NULL);
    plx_ws_hold_release(h);
    assert_string_equal(sent, "sr");
    emit_after(&b, "t", &b, 5, 0); /* left for teardown to free */
}

/* ---- the queue to the socket ---- */

static plx_blob *blob(size_t len, char c)
{
    plx_blob *b = plx_blob_new(plx_slice_make(NULL, len));
    memset(b->data, c, len);
    return b;
}

/* More frames than one call takes, of all sizes, through a socket that takes little at a time. */
static void test_out_queue(void **state)
{
    (void)state;
    int fds[2], size = 4096;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    plx_ws_out q = {0};
    plx_buf expected_bytes, got;
    plx_buf_init(&expected_bytes, 0);
    plx_buf_init(&got, 0);
    for (int i = 0; i < 500; i++) {
        plx_blob *b = blob((size_t)(i * 7 % 1500), (char)('a' + i % 26));
        plx_ws_out_push(&q, b);
        plx_buf_append(&expected_bytes, b->data, b->len);
        plx_blob_unref(b);
    }
    assert_int_equal(q.bytes, expected_bytes.len);
    int rc;
    unsigned full = 0;
    do {
        rc = plx_ws_out_flush(&q, fds[0]);
        assert_true(rc == 0 || rc == PLX_E_BUSY);
        full += rc == PLX_E_BUSY;
        ssize_t n = recv(fds[1], plx_buf_reserve(&got, 3001), 3001, MSG_DONTWAIT);
        if (n > 0)
            plx_buf_commit(&got, (size_t)n);
        assert_int_equal(got.len <= expected_bytes.len - q.bytes, true);
    } while (rc != 0 || got.len < expected_bytes.len);
    assert_true(full > 10);
    assert_true(plx_slice_eq(plx_buf_slice(&got), plx_buf_slice(&expected_bytes)));
    assert_null(q.head);
    assert_int_equal(q.bytes, 0);
    plx_buf_fini(&got);
    plx_buf_fini(&expected_bytes);

    plx_blob *b = blob(10, 'x');
    plx_ws_out_push(&q, b);
    close(fds[1]);
    assert_int_equal(plx_ws_out_flush(&q, fds[0]), PLX_E_SYSTEM); /* and no SIGPIPE */
    assert_int_equal(b->refs, 2);
    plx_ws_out_fini(&q);
    assert_int_equal(b->refs, 1);
    plx_blob_unref(b);
    close(fds[0]);
}

#define HELD(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELD(test_reply_after_its_broadcasts),
        HELD(test_barrier_of_another_topic),
        HELD(test_end_comes_last),
        HELD(test_lost_watch_counts_as_met),
        HELD(test_rejoin),
        HELD(test_rejoin_that_goes_back),
        HELD(test_barrier_of_a_replaced_one),
        HELD(test_event_that_is_waited_for_before),
        HELD(test_rejoin_while_the_old_one_waits),
        HELD(test_events_behind_their_join_reply),
        HELD(test_leave_and_join_again),
        HELD(test_over_before_it_began),
        HELD(test_bounds),
        HELD(test_forget),
        cmocka_unit_test(test_out_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
