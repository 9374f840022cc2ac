/* Connections, one step at a time: parked requests, peers that go away, abort, stall, dribble or do
 * not read, and what all of them may cost. */
#include "base/clock.h"
#include "tests/unit/fcgi_world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <cmocka.h>

#define GUARD_S 20.0 /* a test that waits longer than this has failed */

/* ---- running the loop until something is so ---- */

static void on_guard(struct ev_loop *loop, ev_timer *t, int revents)
{
    (void)loop;
    (void)revents;
    ((world *)t->data)->timed_out = true;
}

#define run_until(w, condition)                                                                    \
    do {                                                                                           \
        ev_timer guard_;                                                                           \
        ev_timer_init(&guard_, on_guard, GUARD_S, 0);                                              \
        guard_.data = (w);                                                                         \
        ev_timer_start((w)->loop, &guard_);                                                        \
        while (!(condition) && !(w)->timed_out)                                                    \
            ev_run((w)->loop, EVRUN_ONCE);                                                         \
        ev_timer_stop((w)->loop, &guard_);                                                         \
        assert_false((w)->timed_out);                                                              \
    } while (0)

/* A connection of the test's, non-blocking, with what came back on it. */
struct conn {
    int fd;
    plx_buf in;
    fc_answer answer;
    bool eof;
    ev_io io; /* so that the loop wakes for what comes back, too */
};

static void receive(struct conn *c)
{
    char chunk[65536];
    ssize_t n;

    while (!c->eof && (n = recv(c->fd, chunk, sizeof chunk, MSG_DONTWAIT)) >= 0) {
        if (n == 0)
            c->eof = true;
        plx_buf_append(&c->in, chunk, (size_t)n);
    }
    if (!c->eof && errno == ECONNRESET)
        c->eof = true;
}

static void on_client_io(struct ev_loop *loop, ev_io *w, int revents)
{
    struct conn *c = w->data;

    (void)revents;
    receive(c);
    if (c->eof)
        ev_io_stop(loop, w);
}

static void conn_open(world *w, struct conn *c)
{
    memset(c, 0, sizeof *c);
    c->fd = world_connect(w);
    assert_true(c->fd >= 0);
    plx_buf_init(&c->in, 0);
    fc_answer_init(&c->answer);
    ev_io_init(&c->io, on_client_io, c->fd, EV_READ);
    c->io.data = c;
    ev_io_start(w->loop, &c->io);
}

static void conn_close(world *w, struct conn *c)
{
    ev_io_stop(w->loop, &c->io);
    close(c->fd);
    plx_buf_fini(&c->in);
    fc_answer_fini(&c->answer);
}

static void put(struct conn *c, plx_buf *bytes)
{
    assert_true(fc_write(c->fd, plx_buf_slice(bytes)));
    plx_buf_fini(bytes);
}

static void ask(struct conn *c, bool keep, const char *uri, plx_slice body)
{
    plx_buf b;

    plx_buf_init(&b, 0);
    fc_request(&b, 1, keep, body.len > 0 ? "POST" : "GET", uri, body);
    put(c, &b);
}

static bool answered(struct conn *c)
{
    return fc_take(&c->in, &c->answer);
}

static void expect_answer(world *w, struct conn *c, unsigned status, const char *body)
{
    run_until(w, answered(c));
    assert_int_equal(fc_status(&c->answer), status);
    if (body)
        assert_string_equal(fc_body(&c->answer), body);
    fc_answer_fini(&c->answer);
    fc_answer_init(&c->answer);
}

/* The worker serves others: a request on a connection of its own is answered. */
static void expect_service(world *w)
{
    struct conn c;

    conn_open(w, &c);
    ask(&c, false, "/echo?q", plx_slice_of("hello"));
    expect_answer(w, &c, 200, "POST /echo q 192.0.2.7 hello");
    run_until(w, c.eof);
    conn_close(w, &c);
}

static void park(world *w, struct conn *c, bool keep, const char *uri)
{
    unsigned before = w->parked_count;

    conn_open(w, c);
    ask(c, keep, uri, plx_slice_of(""));
    run_until(w, w->parked_count == before + 1);
}

static int setup(void **state)
{
    world *w = malloc(sizeof *w);

    world_init(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;

    world_release(w);
    world_fini(w);
    plx_clock_real();
    free(w);
    return 0;
}

/* ---- answers ---- */

static void test_parked_and_answered(void **state)
{
    world *w = *state;
    struct conn c;

    world_start(w);
    park(w, &c, false, "/park");
    expect_service(w);
    assert_false(answered(&c));
    world_release(w);
    expect_answer(w, &c, 200, "released");
    run_until(w, c.eof);
    assert_int_equal(w->gone, 0);
    conn_close(w, &c);
}

static void test_keep_alive(void **state)
{
    world *w = *state;
    struct conn c;

    world_start(w);
    conn_open(w, &c);
    for (int i = 0; i < 5; i++) {
        ask(&c, true, "/echo", plx_slice_of("again"));
        expect_answer(w, &c, 200, "POST /echo  192.0.2.7 again");
    }
    ask(&c, true, "/park", plx_slice_of(""));
    run_until(w, w->parked_count == 1);
    world_release(w);
    expect_answer(w, &c, 200, "released");
    ask(&c, false, "/echo", plx_slice_of("last"));
    expect_answer(w, &c, 200, "POST /echo  192.0.2.7 last");
    run_until(w, c.eof);
    conn_close(w, &c);
}

static void test_next_request_waits_for_the_parked_one(void **state)
{
    static char big[200000];
    world *w = *state;
    struct conn c;
    plx_buf b;

    world_start(w);
    park(w, &c, true, "/park");
    plx_buf_init(&b, 0);
    fc_request(&b, 1, true, "POST", "/echo", plx_slice_make(big, sizeof big));
    fc_request(&b, 1, false, "POST", "/echo", plx_slice_of("last"));
    size_t at = 0;
    for (int idle = 0; idle < 20;) { /* as much as goes in before it is read from no more */
        ssize_t n = send(c.fd, b.data + at, b.len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        ev_run(w->loop, EVRUN_NOWAIT);
    }
    assert_int_equal(w->handled, 1);
    expect_service(w);
    world_release(w);
    expect_answer(w, &c, 200, "released");
    while (at < b.len) {
        ssize_t n = send(c.fd, b.data + at, b.len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        ev_run(w->loop, EVRUN_NOWAIT);
    }
    expect_answer(w, &c, 200, NULL);
    expect_answer(w, &c, 200, "POST /echo  192.0.2.7 last");
    run_until(w, c.eof);
    plx_buf_fini(&b);
    conn_close(w, &c);
}

static void test_head_of_an_answer(void **state)
{
    world *w = *state;
    struct conn c;

    world_start(w);
    conn_open(w, &c);
    ask(&c, true, "/size?3", plx_slice_of(""));
    run_until(w, answered(&c));
    assert_string_equal(plx_buf_cstr(&c.answer.out), "Status: 200 OK\r\n"
                                                     "content-type: text/plain\r\n"
                                                     "x-test: yes\r\n"
                                                     "content-length: 3\r\n\r\nzzz");
    conn_close(w, &c);
}

static void test_refused_requests_leave_the_connection_usable(void **state)
{
    static char big[600001];
    world *w = *state;
    struct conn c;
    plx_buf b, params;

    world_start(w);
    conn_open(w, &c);
    plx_buf_init(&b, 0);
    fc_request(&b, 1, true, "POST", "/echo", plx_slice_make(big, sizeof big));
    size_t at = 0; /* neither side may wait for the other */
    while (at < b.len) {
        ssize_t n = send(c.fd, b.data + at, b.len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        ev_run(w->loop, EVRUN_NOWAIT);
    }
    plx_buf_fini(&b);
    expect_answer(
        w, &c, 413,
        "{\"status\":413,\"error\":{\"code\":\"too_large\",\"message\":\"the request body "
        "is larger than max_body_bytes\",\"hint\":\"Send less at once, or raise "
        "max_body_bytes.\"}}");

    plx_buf_init(&b, 0); /* a body that ends before its length */
    plx_buf_init(&params, 0);
    fc_pair(&params, "REQUEST_METHOD", "POST");
    fc_pair(&params, "REQUEST_URI", "/echo");
    fc_pair(&params, "CONTENT_LENGTH", "10");
    fc_begin(&b, 1, FCGI_RESPONDER, FCGI_KEEP_CONN);
    fc_stream(&b, FCGI_PARAMS, 1, plx_buf_slice(&params), 100);
    fc_stream(&b, FCGI_STDIN, 1, plx_slice_of("short"), 100);
    put(&c, &b);
    plx_buf_fini(&params);
    expect_answer(w, &c, 400, NULL);

    plx_buf_init(&b, 0); /* parameters cut off */
    fc_begin(&b, 1, FCGI_RESPONDER, FCGI_KEEP_CONN);
    fc_stream(&b, FCGI_PARAMS, 1, plx_slice_of("\x04\x04NAME"), 100);
    fc_stream(&b, FCGI_STDIN, 1, plx_slice_of(""), 100);
    put(&c, &b);
    expect_answer(w, &c, 400, NULL);
    assert_int_equal(w->handled, 0);

    ask(&c, true, "/echo", plx_slice_of("fine"));
    expect_answer(w, &c, 200, "POST /echo  192.0.2.7 fine");
    conn_close(w, &c);
}

/* ---- clients that go away ---- */

static void test_close_while_parked(void **state)
{
    world *w = *state;
    struct conn c;

    world_start(w);
    park(w, &c, true, "/park");
    conn_close(w, &c);
    run_until(w, w->gone == 1);
    assert_int_equal(w->parked_count, 0);
    assert_int_equal(plx_acceptor_peers(w->acceptor), 0);
}

static void test_close_while_parked_without_gone(void **state)
{
    world *w = *state;
    struct conn c;

    world_start(w);
    park(w, &c, true, "/keep");
    conn_close(w, &c);
    run_until(w, plx_acceptor_peers(w->acceptor) == 0);
    assert_int_equal(w->parked_count, 1);
    world_release(w); /* answers into nothing */
    expect_service(w);
}

static void test_abort_of_a_kept_connection(void **state)
{
    world *w = *state;
    struct conn c;
    plx_buf b;

    world_start(w);
    park(w, &c, true, "/park");
    plx_buf_init(&b, 0);
    fc_record(&b, FCGI_ABORT_REQUEST, 1, plx_slice_of(""), 0);
    put(&c, &b);
    run_until(w, answered(&c));
    assert_int_equal(w->gone, 1);
    assert_int_equal(c.answer.out.len, 0); /* finished, and empty */
    assert_int_equal(c.answer.protocol_status, FCGI_REQUEST_COMPLETE);
    fc_answer_init(&c.answer);
    ask(&c, true, "/echo", plx_slice_of("next"));
    expect_answer(w, &c, 200, "POST /echo  192.0.2.7 next");
    conn_close(w, &c);
}

static void test_abort_of_a_single_request(void **state)
{
    world *w = *state;
    struct conn c;
    plx_buf b;

    world_start(w);
    park(w, &c, false, "/keep");
    plx_buf_init(&b, 0);
    fc_record(&b, FCGI_ABORT_REQUEST, 1, plx_slice_of(""), 0);
    put(&c, &b);
    run_until(w, answered(&c));
    run_until(w, c.eof);
    assert_int_equal(w->gone, 0); /* did not want to know */
    conn_close(w, &c);
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int revents)
{
    (void)loop;
    (void)revents;
    *(bool *)t->data = true;
}

/* An aborted poll leaves nothing that keeps the loop awake, not even with unread bytes on its
 * connection. */
static void test_aborted_polls_leave_an_idle_worker(void **state)
{
    enum { POLLS = 100 };
    world *w = *state;
    struct conn *c = calloc(POLLS, sizeof *c);
    bool over = false;
    ev_timer t;
    unsigned turns = 0;

    world_start(w);
    for (int i = 0; i < POLLS; i++) {
        plx_buf b;
        park(w, &c[i], true, "/park");
        plx_buf_init(&b, 0);
        fc_record(&b, FCGI_ABORT_REQUEST, 1, plx_slice_of(""), 0);
        fc_record(&b, FCGI_STDIN, 1, plx_slice_of("of nobody"), 0);
        put(&c[i], &b);
        run_until(w, answered(&c[i]));
    }
    assert_int_equal(w->gone, POLLS);
    ev_run(w->loop, EVRUN_NOWAIT);
    ev_timer_init(&t, on_timer, 0.3, 0);
    t.data = &over;
    ev_timer_start(w->loop, &t);
    while (!over) {
        ev_run(w->loop, EVRUN_ONCE);
        turns++;
    }
    assert_true(turns <= 3);
    for (int i = 0; i < POLLS; i++)
        conn_close(w, &c[i]);
    free(c);
}

/* ---- peers that stall ---- */

static void test_fifty_stalled_peers_of_each_kind(void **state)
{
    enum { EACH = 50 };
    world *w = *state;
    struct conn *c = calloc(4 * EACH, sizeof *c);
    plx_buf whole;

    plx_clock_fake(1000000, 1000000);
    world_start(w);
    plx_buf_init(&whole, 0);
    fc_request(&whole, 1, false, "POST", "/echo", plx_slice_of("body"));
    const size_t sent[4] = {0, 1, 4,
                            whole.len - 1}; /* nothing, a byte, half a header, almost all */
    for (int i = 0; i < 4 * EACH; i++) {
        conn_open(w, &c[i]);
        assert_true(fc_write(c[i].fd, plx_slice_make(whole.data, sent[i / EACH])));
    }
    run_until(w, plx_acceptor_peers(w->acceptor) == 4 * EACH);
    for (int i = 0; i < 20; i++)
        expect_service(w);

    /* Those that stopped in the middle are closed in the end, those that said nothing are not. */
    plx_clock_fake(1000000 + 29999, 1000000);
    plx_acceptor_sweep(w->acceptor);
    assert_int_equal(plx_acceptor_peers(w->acceptor), 4 * EACH);
    plx_clock_fake(1000000 + 30001, 1000000);
    plx_acceptor_sweep(w->acceptor);
    assert_int_equal(plx_acceptor_peers(w->acceptor), EACH);
    ask(&c[0], false, "/echo", plx_slice_of("at last"));
    expect_answer(w, &c[0], 200, "POST /echo  192.0.2.7 at last");
    for (int i = 0; i < 4 * EACH; i++)
        conn_close(w, &c[i]);
    plx_buf_fini(&whole);
    free(c);
}

/* Large bodies that come byte by byte hold up nobody, not even another large body. */
static void test_dribbled_bodies(void **state)
{
    enum { PEERS = 50 };
    static char body[500000];
    world *w = *state;
    struct conn c[PEERS], big;
    plx_buf b;

    world_start(w);
    for (int i = 0; i < PEERS; i++) {
        conn_open(w, &c[i]);
        plx_buf_init(&b, 0);
        fc_request(&b, 1, false, "POST", "/echo", plx_slice_make(body, sizeof body));
        assert_true(fc_write(c[i].fd, plx_slice_make(b.data, 1000)));
        plx_buf_fini(&b);
    }
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < PEERS; i++)
            assert_true(fc_write(c[i].fd, plx_slice_make("", 1)));
        expect_service(w);
    }
    memset(body, 'B', sizeof body);
    conn_open(w, &big);
    plx_buf_init(&b, 0);
    fc_request(&b, 1, false, "POST", "/echo", plx_slice_make(body, sizeof body));
    for (size_t at = 0; at < b.len;) {
        ssize_t n = send(big.fd, b.data + at, b.len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        ev_run(w->loop, EVRUN_NOWAIT);
    }
    plx_buf_fini(&b);
    run_until(w, answered(&big));
    assert_int_equal(fc_status(&big.answer), 200);
    assert_true(big.answer.out.len > sizeof body);
    conn_close(w, &big);
    for (int i = 0; i < PEERS; i++)
        conn_close(w, &c[i]);
}

static void test_oldest_unfinished_request_gives_way(void **state)
{
    static char part[60000];
    world *w = *state;
    struct conn c[4];
    plx_buf b;

    w->options.staged_max = 150000;
    world_start(w);
    for (int i = 0; i < 4; i++) {
        conn_open(w, &c[i]);
        plx_buf_init(&b, 0);
        fc_begin(&b, 1, FCGI_RESPONDER, 0);
        fc_stream(&b, FCGI_PARAMS, 1, plx_slice_of(""), 1);
        fc_record(&b, FCGI_STDIN, 1, plx_slice_make(part, sizeof part), 0);
        put(&c[i], &b);
        if (i < 2)
            run_until(w, plx_acceptor_peers(w->acceptor) == (size_t)i + 1);
        ev_run(w->loop, EVRUN_NOWAIT);
        ev_run(w->loop, EVRUN_NOWAIT);
    }
    run_until(w, c[0].eof && c[1].eof);
    assert_false(c[2].eof || c[3].eof);
    expect_service(w);
    for (int i = 0; i < 4; i++)
        conn_close(w, &c[i]);
}

static void test_too_much_under_way_is_told_so(void **state)
{
    static char part[60000];
    world *w = *state;
    struct conn c[4];

    w->options.staged_max = 150000;
    world_start(w);
    for (int i = 0; i < 3; i++) {
        conn_open(w, &c[i]);
        ask(&c[i], true, "/park", plx_slice_make(part, sizeof part));
        run_until(w, w->parked_count == (unsigned)i + 1);
    }
    conn_open(w, &c[3]);
    ask(&c[3], true, "/echo", plx_slice_of("one more"));
    expect_answer(w, &c[3], 503, NULL);
    world_release(w);
    ask(&c[3], true, "/echo", plx_slice_of("again"));
    expect_answer(w, &c[3], 200, "POST /echo  192.0.2.7 again");
    for (int i = 0; i < 4; i++)
        conn_close(w, &c[i]);
}

/* ---- peers that do not read ---- */

static void test_slow_reader(void **state)
{
    world *w = *state;
    struct conn c;

    world_start(w);
    conn_open(w, &c);
    ev_io_stop(w->loop, &c.io); /* it does not read */
    ask(&c, false, "/size?1000000", plx_slice_of(""));
    run_until(w, w->handled == 1);
    for (int i = 0; i < 20; i++)
        expect_service(w);
    ev_io_start(w->loop, &c.io); /* now it does */
    run_until(w, answered(&c));
    assert_int_equal(strspn(fc_body(&c.answer), "z"), 1000000);
    run_until(w, c.eof);
    conn_close(w, &c);
}

static void test_reader_that_never_reads_is_closed(void **state)
{
    world *w = *state;
    struct conn c;

    plx_clock_fake(5000, 5000);
    world_start(w);
    conn_open(w, &c);
    ev_io_stop(w->loop, &c.io);
    ask(&c, true, "/size?1000000", plx_slice_of(""));
    run_until(w, w->handled == 1);
    plx_clock_fake(5000 + 29999, 5000);
    plx_acceptor_sweep(w->acceptor);
    assert_int_equal(plx_acceptor_peers(w->acceptor), 1);
    plx_clock_fake(5000 + 30001, 5000);
    plx_acceptor_sweep(w->acceptor);
    assert_int_equal(plx_acceptor_peers(w->acceptor), 0);
    conn_close(w, &c);
}

static void test_oldest_unread_answer_gives_way(void **state)
{
    world *w = *state;
    struct conn c[3];

    w->options.unsent_max = 1500000;
    world_start(w);
    for (unsigned i = 0; i < 3; i++) {
        conn_open(w, &c[i]);
        ev_io_stop(w->loop, &c[i].io);
        ask(&c[i], true, "/size?900000", plx_slice_of(""));
        run_until(w, w->handled == i + 1);
    }
    ev_run(w->loop, EVRUN_NOWAIT);
    assert_int_equal(plx_acceptor_peers(w->acceptor), 2);
    ev_io_start(w->loop, &c[2].io);
    run_until(w, answered(&c[2]));
    for (int i = 0; i < 3; i++)
        conn_close(w, &c[i]);
}

/* Whoever asks for values without reading them is not read from either. */
static void test_flood_of_management_records(void **state)
{
    world *w = *state;
    struct conn c;
    plx_buf b, names;
    size_t total = 0;

    world_start(w);
    conn_open(w, &c);
    ev_io_stop(w->loop, &c.io);
    plx_buf_init(&b, 0);
    plx_buf_init(&names, 0);
    fc_pair(&names, "FCGI_MAX_CONNS", "");
    for (int i = 0; i < 2000; i++)
        fc_record(&b, FCGI_GET_VALUES, 0, plx_buf_slice(&names), 0);
    for (int idle = 0; idle < 50;) {
        ssize_t n = send(c.fd, b.data, b.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        total += n > 0 ? (size_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        ev_run(w->loop, EVRUN_NOWAIT);
        assert_true(total < 3000000); /* the sockets' buffers and ours are full before that */
    }
    expect_service(w);
    plx_buf_fini(&b);
    plx_buf_fini(&names);
    conn_close(w, &c);
}

/* ---- no FastCGI ---- */

static void test_nonsense_closes_only_its_own_connection(void **state)
{
    world *w = *state;
    struct conn parked, c;

    world_start(w);
    park(w, &parked, true, "/park");
    conn_open(w, &c);
    assert_true(fc_write(c.fd, plx_slice_of("GET / HTTP/1.1\r\nHost: x\r\n\r\n")));
    run_until(w, c.eof);
    conn_close(w, &c);
    world_release(w);
    expect_answer(w, &parked, 200, "released");
    conn_close(w, &parked);
}

static void test_multiplexing_beside_a_parked_request(void **state)
{
    world *w = *state;
    struct conn c;
    plx_buf b;

    world_start(w);
    park(w, &c, true, "/park");
    plx_buf_init(&b, 0);
    fc_request(&b, 2, true, "GET", "/echo", plx_slice_of(""));
    put(&c, &b);
    run_until(w, answered(&c));
    assert_int_equal(c.answer.id, 2);
    assert_int_equal(c.answer.protocol_status, FCGI_CANT_MPX_CONN);
    fc_answer_init(&c.answer);
    world_release(w);
    expect_answer(w, &c, 200, "released");
    conn_close(w, &c);
}

/* ---- descriptors ---- */

static void test_no_descriptors_left(void **state)
{
    world *w = *state;
    struct rlimit before, few;
    struct conn c;
    bool over = false;
    unsigned turns = 0;
    ev_timer t;

    world_start(w);
    expect_service(w);
    run_until(w, plx_acceptor_peers(w->acceptor) == 0);
    conn_open(w, &c); /* waits in the listener's queue */
    int highest = dup(0);
    close(highest);
    getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    few.rlim_cur = (rlim_t)highest; /* accept has none to give */
    setrlimit(RLIMIT_NOFILE, &few);
    ask(&c, false, "/echo", plx_slice_of("patience"));
    ev_timer_init(&t, on_timer, 0.35, 0);
    t.data = &over;
    ev_timer_start(w->loop, &t);
    while (!over) {
        ev_run(w->loop, EVRUN_ONCE);
        turns++;
    }
    assert_int_equal(w->handled, 1);
    assert_true(turns <= 12); /* every 100 ms: it does not spin */
    setrlimit(RLIMIT_NOFILE, &before);
    expect_answer(w, &c, 200, "POST /echo  192.0.2.7 patience");
    conn_close(w, &c);
}

/* How many descriptors this process may have: `more` than it has now. */
static void allow_descriptors(unsigned more, struct rlimit *before)
{
    struct rlimit few;
    int next = dup(0);

    close(next);
    getrlimit(RLIMIT_NOFILE, before);
    few = *before;
    few.rlim_cur = (rlim_t)next + more;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
}

/* More peers that say nothing, or half a request, than there are descriptors: each new one takes
 * the place of the one that has been silent for longest; parked polls stay. */
static void test_silent_peers_make_room(void **state)
{
    enum { PEERS = 60, ROOM = 20 };
    world *w = *state;
    struct conn peers[PEERS], poll, late[3];
    struct rlimit before;
    plx_buf some;
    unsigned left = 0;

    w->options.stall_ms = 3600000;
    world_start(w);
    park(w, &poll, true, "/park");
    for (unsigned i = 0; i < PEERS; i++) {
        conn_open(w, &peers[i]); /* waits in the listener's queue */
        plx_buf_init(&some, 0);
        fc_begin(&some, 1, FCGI_RESPONDER, 0);
        if (i % 2 == 1)
            put(&peers[i], &some);
        plx_buf_fini(&some);
    }
    for (unsigned i = 0; i < 3; i++) {
        conn_open(w, &late[i]);
        ask(&late[i], true, "/echo", plx_slice_of("me too"));
    }
    allow_descriptors(ROOM, &before);
    for (unsigned i = 0; i < 3; i++)
        expect_answer(w, &late[i], 200, "POST /echo  192.0.2.7 me too");
    for (unsigned i = 0; i < PEERS; i++) {
        receive(&peers[i]);
        left += !peers[i].eof;
    }
    assert_in_range(left, ROOM - 6, ROOM - 3); /* nobody went without need */
    assert_false(peers[PEERS - 1].eof);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(w->parked_count, 1);
    world_release(w);
    expect_answer(w, &poll, 200, "released");
    for (unsigned i = 0; i < 3; i++) {
        ask(&late[i], true, "/echo", plx_slice_of("again")); /* it is no stranger any more */
        expect_answer(w, &late[i], 200, "POST /echo  192.0.2.7 again");
        conn_close(w, &late[i]);
    }
    for (unsigned i = 0; i < PEERS; i++)
        conn_close(w, &peers[i]);
    conn_close(w, &poll);
}

/* ---- who may connect ---- */

static int tcp_listener(int family, struct sockaddr_in *addr)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof any;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 ||
        (family == AF_INET ? bind(fd, (struct sockaddr *)&local, sizeof local)
                           : bind(fd, (struct sockaddr *)&any, sizeof any)) != 0 ||
        listen(fd, 10) != 0 || getsockname(fd, (struct sockaddr *)&any, &len) != 0)
        return -1;
    *addr = local;
    addr->sin_port = any.sin6_port; /* at the same place in both */
    return fd;
}

/* FCGI_WEB_SERVER_ADDRS as given: is a connection from 127.0.0.1 served? */
static bool served_when_allowed(world *w, int family, const char *allowed)
{
    struct sockaddr_in addr;
    struct conn c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    int listener = tcp_listener(family, &addr);

    assert_true(listener >= 0);
    setenv("FCGI_WEB_SERVER_ADDRS", allowed, 1);
    w->options.listen_fd = listener;
    world_start(w);
    unsetenv("FCGI_WEB_SERVER_ADDRS");
    plx_buf_init(&c.in, 0);
    fc_answer_init(&c.answer);
    assert_int_equal(connect(c.fd, (struct sockaddr *)&addr, sizeof addr), 0);
    ev_io_init(&c.io, on_client_io, c.fd, EV_READ);
    c.io.data = &c;
    ev_io_start(w->loop, &c.io);
    ask(&c, false, "/echo", plx_slice_of(""));
    run_until(w, c.eof);
    bool served = answered(&c);
    conn_close(w, &c);
    plx_acceptor_free(w->acceptor);
    w->acceptor = NULL;
    close(listener);
    return served;
}

static void test_web_server_addresses(void **state)
{
    world *w = *state;

    assert_true(served_when_allowed(w, AF_INET, "10.0.0.1, 127.0.0.1"));
    assert_false(served_when_allowed(w, AF_INET, "10.0.0.1,127.0.0.10"));
    assert_true(served_when_allowed(w, AF_INET, ""));
    assert_true(served_when_allowed(w, AF_INET6, "127.0.0.1"));
    assert_false(served_when_allowed(w, AF_INET6, "127.0.0.2"));
}

/* ---- stopping ---- */

static void on_emptied(void *arg)
{
    ((world *)arg)->emptied = true;
}

static void test_drain(void **state)
{
    world *w = *state;
    struct conn idle, parked, late, partial;
    plx_buf b;

    world_start(w);
    conn_open(w, &idle);
    ask(&idle, true, "/echo", plx_slice_of(""));
    expect_answer(w, &idle, 200, NULL);
    park(w, &parked, true, "/park");
    conn_open(w, &partial);
    plx_buf_init(&b, 0);
    fc_request(&b, 1, true, "POST", "/echo", plx_slice_of("rest"));
    assert_true(fc_write(partial.fd, plx_slice_make(b.data, 20)));
    run_until(w, plx_acceptor_peers(w->acceptor) == 3);
    ev_run(w->loop, EVRUN_NOWAIT);
    conn_open(w, &late);
    ask(&late, true, "/echo", plx_slice_of(""));
    run_until(w, answered(&late));
    fc_answer_fini(&late.answer);
    fc_answer_init(&late.answer);
    ask(&late, true, "/echo", plx_slice_of("just in time")); /* not read yet */

    plx_acceptor_drain(w->acceptor, on_emptied, w);
    assert_false(w->emptied);
    expect_answer(w, &late, 200, "POST /echo  192.0.2.7 just in time");
    run_until(w, late.eof); /* although it asked to be kept */
    run_until(w, idle.eof);
    assert_true(fc_write(partial.fd, plx_slice_make(b.data + 20, b.len - 20)));
    plx_buf_fini(&b);
    expect_answer(w, &partial, 200, "POST /echo  192.0.2.7 rest");
    assert_false(w->emptied);
    world_release(w);
    expect_answer(w, &parked, 200, "released");
    conn_close(w, &idle);
    conn_close(w, &late);
    conn_close(w, &partial);
    conn_close(w, &parked);
    run_until(w, w->emptied);
    assert_int_equal(plx_acceptor_peers(w->acceptor), 0);
}

static void test_drain_gives_stalled_peers_a_second(void **state)
{
    world *w = *state;
    struct conn partial, lingering;

    plx_clock_fake(1000, 1000);
    world_start(w);
    conn_open(w, &partial);
    assert_true(fc_write(partial.fd, plx_slice_make("\x01", 1)));
    conn_open(w, &lingering); /* answered, but does not close its end */
    ask(&lingering, false, "/echo", plx_slice_of(""));
    expect_answer(w, &lingering, 200, NULL);
    run_until(w, plx_acceptor_peers(w->acceptor) == 2);
    ev_run(w->loop, EVRUN_NOWAIT);
    plx_acceptor_drain(w->acceptor, on_emptied, w);
    plx_clock_fake(2001, 1000);
    plx_acceptor_sweep(w->acceptor);
    assert_int_equal(plx_acceptor_peers(w->acceptor), 1);
    plx_clock_fake(3001, 1000);
    plx_acceptor_sweep(w->acceptor);
    run_until(w, w->emptied);
    conn_close(w, &partial);
    conn_close(w, &lingering);
}

static void test_free_tells_handlers(void **state)
{
    world *w = *state;
    struct conn told, untold;

    world_start(w);
    park(w, &told, true, "/park");
    park(w, &untold, true, "/keep");
    plx_acceptor_free(w->acceptor);
    w->acceptor = NULL;
    assert_int_equal(w->gone, 1);
    assert_int_equal(w->parked_count, 1);
    world_release(w); /* after the end: nothing but memory is left of it */
    conn_close(w, &told);
    conn_close(w, &untold);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(test_parked_and_answered),
        WITH(test_keep_alive),
        WITH(test_next_request_waits_for_the_parked_one),
        WITH(test_head_of_an_answer),
        WITH(test_refused_requests_leave_the_connection_usable),
        WITH(test_close_while_parked),
        WITH(test_close_while_parked_without_gone),
        WITH(test_abort_of_a_kept_connection),
        WITH(test_abort_of_a_single_request),
        WITH(test_aborted_polls_leave_an_idle_worker),
        WITH(test_fifty_stalled_peers_of_each_kind),
        WITH(test_dribbled_bodies),
        WITH(test_oldest_unfinished_request_gives_way),
        WITH(test_too_much_under_way_is_told_so),
        WITH(test_slow_reader),
        WITH(test_reader_that_never_reads_is_closed),
        WITH(test_oldest_unread_answer_gives_way),
        WITH(test_flood_of_management_records),
        WITH(test_nonsense_closes_only_its_own_connection),
        WITH(test_multiplexing_beside_a_parked_request),
        WITH(test_no_descriptors_left),
        WITH(test_silent_peers_make_room),
        WITH(test_web_server_addresses),
        WITH(test_drain),
        WITH(test_drain_gives_stalled_peers_a_second),
        WITH(test_free_tells_handlers),
    };
    if (plx_codec_library() != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
