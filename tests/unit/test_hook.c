/* Asking an application: queue, sharing, bounds, what counts as an answer. Against an HTTP server
 * on the same loop that does what each test needs. */
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/log.h"
#include "channel/breaker.h"
#include "channel/hook.h"
#include "channel/hook_wire.h"
#include "hook_app.h"

#include <fcntl.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define SECRET "what questions are signed with"

static const plx_slice none = {NULL, 0};

typedef struct world {
    struct ev_loop *loop;
    plx_hooks *hooks;
    plx_hook *hook;
    app app;
} world;

/* What became of a question. */
typedef struct outcome {
    unsigned calls;
    int err;
    char json[256];
    size_t len;
    unsigned *total;
    plx_hook *again; /* ask once more from inside the callback */
} outcome;

static void take(void *arg, int err, plx_slice json)
{
    outcome *o = arg;
    plx_hook *again = o->again;

    o->calls++;
    o->err = err;
    o->len = json.len;
    assert_true(json.len < sizeof o->json);
    if (json.len > 0)
        memcpy(o->json, json.data, json.len);
    o->json[json.len] = '\0';
    if (o->total)
        ++*o->total;
    o->again = NULL;
    if (again)
        plx_hook_ask(again, plx_slice_of("{}"), none, PLX_HOOK_REPEATABLE, take, o);
}

static plx_hook *open_hook(world *w, uint64_t timeout_ms, size_t max_in_flight)
{
    const plx_hook_config config = {.name = "shop:*",
                                    .url = w->app.url,
                                    .secret = SECRET,
                                    .timeout_ms = timeout_ms,
                                    .max_in_flight = max_in_flight};

    return plx_hook_open(w->hooks, &config);
}

static int setup(void **state)
{
    world *w = plx_alloc_zero(1, sizeof *w);

    w->loop = ev_loop_new(0);
    app_open(&w->app, w->loop);
    w->hooks = plx_hooks_new(w->loop);
    w->hook = open_hook(w, 5000, 4);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;

    plx_hooks_free(w->hooks);
    app_close(&w->app);
    ev_loop_destroy(w->loop);
    free(w);
    return 0;
}

static plx_question *ask(world *w, const char *body, outcome *o)
{
    plx_question *q = plx_hook_ask(w->hook, plx_slice_of(body), none, PLX_HOOK_REPEATABLE, take, o);

    assert_int_equal(o->calls, 0);
    return q;
}

static void answer_ok(app *a, visit *v)
{
    (void)a;
    visit_answer(v, 200, "{\"status\":\"ok\"}");
}

static void asks_and_takes_the_answer(void **state)
{
    world *w = *state;
    outcome o = {0};

    w->app.serve = answer_ok;
    ask(w, "{}", &o);
    assert_true(run_until(w->loop, &o.calls, 1));
    assert_int_equal(o.err, 0);
    assert_string_equal(o.json, "{\"status\":\"ok\"}");
    assert_int_equal(plx_hook_counts(w->hook)->asked, 1);
    assert_int_equal(plx_hook_counts(w->hook)->in_flight, 0);
    assert_int_equal(plx_hook_counts(w->hook)->failed, 0);
}

static void check_request(app *a, visit *v)
{
    uint8_t mac[PLX_DIGEST_MAX];
    plx_buf want;

    assert_true(plx_slice_starts(v->head, plx_slice_of("POST /hook HTTP/1.1\r\n")));
    assert_true(plx_slice_is(visit_header(v, "content-type"), "application/json"));
    assert_true(plx_slice_is(visit_header(v, "User-Agent"), "pollux/" PLX_VERSION));
    assert_int_equal(visit_header(v, "Expect").len, 0);
    assert_int_equal(visit_header(v, "Accept-Encoding").len, 0);
    assert_int_equal(visit_header(v, "Transfer-Encoding").len, 0);
    assert_true(plx_slice_is(v->body, "{\"hook\":\"join\"}"));
    plx_hmac(PLX_SHA256, plx_slice_of(SECRET), plx_slice_of("1700000000.{\"hook\":\"join\"}"), mac);
    plx_buf_init(&want, 0);
    plx_buf_str(&want, "t=1700000000,v1=");
    for (size_t i = 0; i < 32; i++)
        plx_buf_printf(&want, "%02x", mac[i]);
    assert_true(plx_slice_eq(visit_header(v, "x-pollux-signature"), plx_buf_slice(&want)));
    plx_buf_fini(&want);
    answer_ok(a, v);
}

static void the_request_is_signed(void **state)
{
    world *w = *state;
    outcome o = {0};

    plx_clock_fake(plx_now_ms(), 1700000000987);
    w->app.serve = check_request;
    ask(w, "{\"hook\":\"join\"}", &o);
    assert_true(run_until(w->loop, &o.calls, 1));
    plx_clock_real();
    assert_int_equal(o.err, 0);
}

/* Large enough for several writes. */
static void a_large_question_arrives_whole(void **state)
{
    world *w = *state;
    outcome o = {0};
    size_t len = 900000;
    char *text = plx_alloc(len + 1);

    memset(text, 'x', len);
    text[len] = '\0';
    ask(w, text, &o);
    assert_true(run_until(w->loop, &w->app.requests, 1));
    assert_int_equal(app_asking(&w->app, 0)->body.len, len);
    assert_memory_equal(app_asking(&w->app, 0)->body.data, text, len);
    visit_answer(app_asking(&w->app, 0), 200, "");
    assert_true(run_until(w->loop, &o.calls, 1));
    free(text);
}

/* ---- what counts as an answer ---- */

static const char *said;

static void say_it(app *a, visit *v)
{
    (void)a;
    visit_say(v, said);
    visit_close(v);
}

static void whole_answers(void **state)
{
    static const struct {
        const char *raw, *json;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "{}"},
        {"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n {} \r\n", "{}"},
        {"HTTP/1.0 200 OK\r\n\r\n{\"a\":1}", "{\"a\":1}"},
        {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "{}"},
        {"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ""},
        {"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n\r\n\t", ""},
        {"HTTP/1.1 204 No Content\r\n\r\n", ""},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "{}"},
    };
    world *w = *state;

    w->app.serve = say_it;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        outcome o = {0};
        said = cases[i].raw;
        ask(w, "{}", &o);
        assert_true(run_until(w->loop, &o.calls, 1));
        assert_int_equal(o.err, 0);
        assert_string_equal(o.json, cases[i].json);
    }
    assert_int_equal(plx_hook_counts(w->hook)->failed, 0);
}

static void wrong_answers(void **state)
{
    static const struct {
        const char *raw;
        int err;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", PLX_E_INVALID},
        {"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull", PLX_E_INVALID},
        {"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a\":NaN}", PLX_E_INVALID},
        {"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{} {}", PLX_E_INVALID},
        {"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n\xef\xbb\xbf{}", PLX_E_INVALID},
        {"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n<html></html", PLX_E_INVALID},
        {"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a\":1", PLX_E_INVALID}, /* half */
        {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", PLX_E_INVALID},
        {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n", PLX_E_INVALID},
        {"HTTP/1.1 200 OK\r\nconte", PLX_E_INVALID},
        {"HTTP/1.0 200 OK\r\n\r\n{\"a\":", PLX_E_INVALID},
        {"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}", PLX_E_INVALID},
        {"HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 2\r\n\r\n{}", PLX_E_INVALID},
        {"HTTP/1.1 400 X\r\ncontent-length: 2\r\n\r\n{}", PLX_E_INVALID},
        {"HTTP/1.1 404 X\r\ncontent-length: 2\r\n\r\n{}", PLX_E_INVALID},
        {"SSH-2.0-OpenSSH_9.2\r\n", PLX_E_INVALID},
        {"", PLX_E_DOWN},
    };
    world *w = *state;
    size_t n = sizeof cases / sizeof *cases;

    w->app.serve = say_it;
    for (size_t i = 0; i < n; i++) {
        outcome o = {0};
        said = cases[i].raw;
        ask(w, "{}", &o);
        assert_true(run_until(w->loop, &o.calls, 1));
        if (o.err != cases[i].err)
            fail_msg("%s: %d", said, o.err);
        assert_int_equal(o.len, 0);
    }
    assert_int_equal(plx_hook_counts(w->hook)->failed, n);
    assert_int_equal(w->app.requests, n); /* no redirection was followed, nothing was repeated */
    assert_false(plx_hook_counts(w->hook)->down);
}

static void endless_headers(app *a, visit *v)
{
    char line[1000];

    memset(line, 'h', sizeof line);
    line[0] = 'a';
    line[1] = ':';
    line[sizeof line - 2] = '\r';
    line[sizeof line - 1] = '\n';
    visit_write(v, "HTTP/1.1 200 OK\r\n", 17);
    for (int i = 0; i < 100; i++)
        visit_write(v, line, sizeof line);
    (void)a;
}

static void too_large(app *a, visit *v)
{
    char *text = plx_alloc(PLX_HOOK_ANSWER_MAX + 2);
    char *head =
        plx_asprintf("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n", PLX_HOOK_ANSWER_MAX + 1);

    memset(text, ' ', PLX_HOOK_ANSWER_MAX + 1);
    fcntl(v->io.fd, F_SETFL, fcntl(v->io.fd, F_GETFL) | O_NONBLOCK);
    visit_write(v, head, strlen(head));
    visit_write(v, text, PLX_HOOK_ANSWER_MAX + 1);
    free(head);
    free(text);
    (void)a;
}

static void without_bounds(void **state)
{
    void (*const cases[])(app *, visit *) = {endless_headers, too_large};
    world *w = *state;

    for (size_t i = 0; i < 2; i++) {
        outcome o = {0};
        int size = 2 * PLX_HOOK_ANSWER_MAX;
        w->app.serve = cases[i];
        setsockopt(w->app.fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
        ask(w, "{}", &o);
        assert_true(run_until(w->loop, &o.calls, 1));
        assert_int_equal(o.err, PLX_E_INVALID);
    }
}

/* ---- connections ---- */

static void connections_are_kept(void **state)
{
    world *w = *state;

    w->app.serve = answer_ok;
    for (int i = 0; i < 20; i++) {
        outcome o = {0};
        ask(w, "{}", &o);
        assert_true(run_until(w->loop, &o.calls, 1));
    }
    assert_int_equal(w->app.requests, 20);
    assert_int_equal(w->app.connections, 1);
}

static void close_after_first(app *a, visit *v)
{
    if (a->requests == 2)
        visit_close(v);
    else
        answer_ok(a, v);
}

/* The application closes a kept connection at the moment at which the next question is sent. */
static void a_closed_connection(void **state)
{
    world *w = *state;
    outcome o[3] = {{0}, {0}, {0}};

    w->app.serve = close_after_first;
    ask(w, "{}", &o[0]);
    assert_true(run_until(w->loop, &o[0].calls, 1));
    plx_hook_ask(w->hook, plx_slice_of("{\"n\":2}"), none, PLX_HOOK_REPEATABLE, take, &o[1]);
    assert_true(run_until(w->loop, &o[1].calls, 1));
    assert_int_equal(o[1].err, 0);
    assert_int_equal(w->app.requests, 3);
    w->app.requests = 1;
    plx_hook_ask(w->hook, plx_slice_of("{\"n\":3}"), none, 0, take, &o[2]);
    assert_true(run_until(w->loop, &o[2].calls, 1));
    assert_int_equal(o[2].err, PLX_E_DOWN);
    assert_int_equal(w->app.requests, 2);
}

/* ---- bounds ---- */

static void the_bound_of_questions_in_flight_holds(void **state)
{
    world *w = *state;
    outcome o[100];
    unsigned total = 0;

    memset(o, 0, sizeof o);
    for (int i = 0; i < 100; i++) {
        o[i].total = &total;
        ask(w, "{}", &o[i]);
    }
    assert_int_equal(plx_hook_counts(w->hook)->waiting, 96);
    for (unsigned done = 0; done < 100; done++) {
        assert_true(run_until(w->loop, &w->app.requests, done < 96 ? done + 4 : 100));
        visit_answer(app_asking(&w->app, 0), 200, "{}");
        assert_true(run_until(w->loop, &total, done + 1));
    }
    for (int i = 0; i < 100; i++)
        assert_true(o[i].calls == 1 && o[i].err == 0);
    assert_int_equal(w->app.most_asking, 4);
    assert_int_equal(plx_hook_counts(w->hook)->most_in_flight, 4);
    assert_int_equal(plx_hook_counts(w->hook)->waiting, 0);
}

static void too_much_waits(void **state)
{
    world *w = *state;
    unsigned count = 4 + PLX_HOOK_WAITING_MAX, total = 0;
    outcome *o = plx_alloc_zero(count + 1, sizeof *o);

    for (unsigned i = 0; i <= count; i++) {
        o[i].total = &total;
        ask(w, "{}", &o[i]);
    }
    assert_true(run_until(w->loop, &total, 1));
    assert_int_equal(o[count].calls, 1);
    assert_int_equal(o[count].err, PLX_E_BUSY);
    assert_int_equal(plx_hook_counts(w->hook)->refused, 1);
    plx_hooks_free(w->hooks);
    w->hooks = NULL;
    assert_int_equal(total, count + 1);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(o[i].err, PLX_E_GONE);
    free(o);
}

static void too_many_bytes_wait(void **state)
{
    world *w = *state;
    size_t len = PLX_HOOK_WAITING_BYTES / 2 + 1;
    char *text = plx_alloc_zero(1, len);
    outcome o[7];
    unsigned total = 0;

    memset(o, 0, sizeof o);
    for (int i = 0; i < 7; i++) {
        o[i].total = &total;
        plx_hook_ask(w->hook, plx_slice_make(text, i < 4 ? 2 : len), none, PLX_HOOK_REPEATABLE,
                     take, &o[i]);
    }
    assert_true(run_until(w->loop, &total, 2));
    assert_int_equal(o[4].calls, 0);
    assert_int_equal(o[5].err, PLX_E_BUSY);
    assert_int_equal(o[6].err, PLX_E_BUSY);
    free(text);
    plx_hooks_free(w->hooks); /* the outcomes are this function's */
    w->hooks = NULL;
}

/* Four places: three for those that yield, and they do not fill the others' queue. */
static void who_yields_leaves_a_quarter(void **state)
{
    world *w = *state;
    unsigned count = 3 + PLX_HOOK_WAITING_MAX, total = 0;
    outcome *joins = plx_alloc_zero(count + 1, sizeof *joins);
    outcome push[2] = {{0}, {0}};

    for (unsigned i = 0; i <= count; i++) {
        joins[i].total = &total;
        plx_hook_ask(w->hook, plx_slice_of("j"), none, PLX_HOOK_YIELDS, take, &joins[i]);
    }
    assert_true(run_until(w->loop, &joins[count].calls, 1));
    assert_int_equal(joins[count].err, PLX_E_BUSY);
    assert_int_equal(plx_hook_counts(w->hook)->in_flight, 3);
    plx_hook_ask(w->hook, plx_slice_of("p"), none, 0, take, &push[0]);
    plx_hook_ask(w->hook, plx_slice_of("p"), none, 0, take, &push[1]);
    assert_true(run_until(w->loop, &w->app.requests, 4));
    for (int i = 0; i < 2; i++) { /* the second one finds the place of the first, before any join */
        visit *v = NULL;
        for (unsigned n = 0; (v = app_asking(&w->app, n)) && !plx_slice_is(v->body, "p");)
            n++;
        assert_non_null(v);
        visit_answer(v, 200, "{}");
        assert_true(run_until(w->loop, &push[i].calls, 1));
        assert_true(run_until(w->loop, &w->app.requests, i == 0 ? 5 : 4));
    }
    assert_int_equal(total, 1);
    assert_int_equal(plx_hook_counts(w->hook)->waiting, PLX_HOOK_WAITING_MAX);
    w->app.serve = answer_ok;
    visit_answer(app_asking(&w->app, 0), 200, "{}");
    assert_true(run_until(w->loop, &total, 2));
    plx_hooks_free(w->hooks); /* the outcomes are this function's */
    w->hooks = NULL;
    free(joins);
}

/* The first question that is this text and not answered yet. */
static visit *asked_by(world *w, const char *body)
{
    visit *v;

    for (unsigned n = 0; (v = app_asking(&w->app, n)) && !plx_slice_is(v->body, body);)
        n++;
    assert_non_null(v);
    return v;
}

/* One client floods an application that answers nothing: whoever else comes finds a place in
 * flight, later the first that is free, and room to wait. */
static void a_flood_from_one_waits_behind_all_others(void **state)
{
    world *w = *state;
    const plx_slice flooder = plx_slice_of("192.0.2.1"), quiet = plx_slice_of("192.0.2.2"),
                    third = plx_slice_of("192.0.2.3");
    plx_hook *hook = open_hook(w, 60000, 8);
    unsigned most = PLX_HOOK_EACH_MAX, total = 0;
    outcome *flood = plx_alloc_zero(2 * most, sizeof *flood), other[3];

    memset(other, 0, sizeof other);
    for (unsigned i = 0; i < 2 * most; i++) {
        flood[i].total = &total;
        plx_hook_ask_for(hook, flooder, plx_slice_of("f"), none, 0, take, &flood[i]);
    }
    assert_true(run_until(w->loop, &total, most));
    for (unsigned i = 0; i < 2 * most; i++) {
        assert_int_equal(flood[i].calls, i < most ? 0 : 1);
        assert_int_equal(flood[i].err, i < most ? 0 : PLX_E_BUSY);
    }
    assert_int_equal(plx_hook_counts(hook)->in_flight, 7);
    for (int i = 0; i < 3; i++)
        plx_hook_ask_for(hook, i == 2 ? third : quiet, plx_slice_of("q"), none, 0, take, &other[i]);
    assert_true(run_until(w->loop, &w->app.requests, 8)); /* the first of them is there */
    visit_answer(asked_by(w, "q"), 200, "{}");
    assert_true(run_until(w->loop, &other[0].calls, 1));
    assert_true(run_until(w->loop, &w->app.requests, 9)); /* and takes nobody's place */
    visit_answer(asked_by(w, "q"), 200, "{}");
    assert_true(run_until(w->loop, &other[2].calls, 1));
    assert_int_equal(other[0].err + other[2].err, 0);
    assert_int_equal(total, most); /* of the flood nothing was answered yet, but refused */
    w->app.serve = answer_ok;
    for (visit *v; (v = app_asking(&w->app, 0));)
        visit_answer(v, 200, "{}");
    assert_true(run_until(w->loop, &total, 2 * most));
    assert_true(run_until(w->loop, &other[1].calls, 1));
    total = 0; /* what it had is given back */
    for (unsigned i = 0; i < most; i++) {
        flood[i] = (outcome){.total = &total};
        plx_hook_ask_for(hook, flooder, plx_slice_of("f"), none, 0, take, &flood[i]);
    }
    assert_true(run_until(w->loop, &total, most));
    for (unsigned i = 0; i < most; i++)
        assert_int_equal(flood[i].err, 0);
    free(flood);
}

/* A cancelled question keeps its place in flight, and counts as its client's. */
static void who_cancels_is_still_asking(void **state)
{
    world *w = *state;
    const plx_slice flooder = plx_slice_of("192.0.2.1"), quiet = plx_slice_of("192.0.2.2");
    plx_hook *hook = open_hook(w, 60000, 8);
    outcome left = {0}, other[2];
    unsigned total = 0;

    memset(other, 0, sizeof other);
    for (int i = 0; i < 20; i++)
        plx_question_cancel(
            plx_hook_ask_for(hook, flooder, plx_slice_of("f"), none, 0, take, &left));
    assert_int_equal(plx_hook_counts(hook)->in_flight, 7);
    for (int i = 0; i < 2; i++) {
        other[i].total = &total;
        plx_hook_ask_for(hook, quiet, plx_slice_of("q"), none, 0, take, &other[i]);
    }
    assert_int_equal(plx_hook_counts(hook)->in_flight, 8);
    assert_int_equal(plx_hook_counts(hook)->waiting, 1);
    w->app.serve = answer_ok;
    for (visit *v; (v = app_asking(&w->app, 0));)
        visit_answer(v, 200, "{}");
    assert_true(run_until(w->loop, &total, 2));
    assert_int_equal(left.calls, 0);
}

/* The time in the queue counts. */
static void nobody_waits_for_longer_than_the_timeout(void **state)
{
    world *w = *state;
    plx_hook *hook = open_hook(w, 1000, 1);
    outcome a = {0}, b = {0}, c = {0};
    uint64_t before = plx_now_ms();

    plx_hook_ask(hook, plx_slice_of("1"), none, PLX_HOOK_REPEATABLE, take, &a);
    plx_hook_ask(hook, plx_slice_of("2"), none, PLX_HOOK_REPEATABLE, take, &b);
    assert_true(run_until(w->loop, &w->app.requests, 1));
    assert_true(run_until(w->loop, &a.calls, 1));
    assert_true(run_until(w->loop, &b.calls, 1));
    assert_int_equal(a.err, PLX_E_TIMEOUT);
    assert_int_equal(b.err, PLX_E_TIMEOUT);
    assert_true(plx_now_ms() - before >= 999);
    w->app.serve = answer_ok; /* also of "2", if it was sent at its last moment */
    plx_hook_ask(hook, plx_slice_of("3"), none, PLX_HOOK_REPEATABLE, take, &c);
    assert_true(run_until(w->loop, &c.calls, 1));
    assert_int_equal(c.err, 0);
}

static char order[64];

static void note_and_answer(app *a, visit *v)
{
    strncat(order, v->body.data, v->body.len < 1 ? 0 : 1);
    answer_ok(a, v);
}

/* One place. Whoever asks again as soon as it is answered does so behind those who wait. */
static void the_busy_do_not_starve_the_others(void **state)
{
    world *w = *state;
    plx_hook *hook = open_hook(w, 5000, 1);
    outcome o[4];
    unsigned total = 0;

    order[0] = '\0';
    memset(o, 0, sizeof o);
    for (int i = 0; i < 4; i++) {
        o[i].total = &total;
        plx_hook_ask(hook, plx_slice_of(i == 0 ? "busy" : "other"), none,
                     i == 3 ? PLX_HOOK_YIELDS : 0, take, &o[i]);
    }
    o[0].again = hook; /* "{}" */
    w->app.serve = note_and_answer;
    assert_true(run_until(w->loop, &total, 5));
    assert_string_equal(order, "boo{o");
    assert_int_equal(plx_hook_counts(hook)->waiting, 0);
    assert_int_equal(plx_hook_counts(hook)->in_flight, 0);
}

/* ---- sharing and cancelling ---- */

static void equal_questions_are_asked_once(void **state)
{
    world *w = *state;
    outcome o[4];
    unsigned total = 0;
    plx_slice share = plx_slice_of("the same");

    memset(o, 0, sizeof o);
    for (int i = 0; i < 4; i++) {
        o[i].total = &total;
        plx_hook_ask(w->hook, plx_slice_of(i < 3 ? "1" : "2"),
                     i < 3 ? share : plx_slice_of("another"), PLX_HOOK_REPEATABLE, take, &o[i]);
    }
    w->app.serve = answer_ok;
    assert_true(run_until(w->loop, &total, 4));
    for (int i = 0; i < 4; i++)
        assert_string_equal(o[i].json, "{\"status\":\"ok\"}");
    assert_int_equal(w->app.requests, 2);
    assert_int_equal(plx_hook_counts(w->hook)->shared, 2);
    plx_hook_ask(w->hook, plx_slice_of("1"), share, PLX_HOOK_REPEATABLE, take,
                 &o[0]); /* nothing is kept */
    assert_true(run_until(w->loop, &total, 5));
    assert_int_equal(w->app.requests, 3);
}

static void cancelled_questions(void **state)
{
    world *w = *state;
    outcome o[8];
    plx_question *q[8];
    unsigned total = 0;

    memset(o, 0, sizeof o);
    for (int i = 0; i < 8; i++) {
        o[i].total = &total;
        q[i] =
            plx_hook_ask(w->hook, plx_slice_of("{}"), i == 1 || i == 7 ? plx_slice_of("s") : none,
                         PLX_HOOK_REPEATABLE, take, &o[i]);
    }
    assert_true(run_until(w->loop, &w->app.requests, 4));
    plx_question_cancel(q[0]); /* in flight */
    plx_question_cancel(q[1]); /* in flight, shared with the last one */
    plx_question_cancel(q[5]); /* waiting */
    assert_int_equal(plx_hook_counts(w->hook)->in_flight, 4);
    assert_int_equal(plx_hook_counts(w->hook)->waiting, 2);
    while (w->app.asking > 0)
        visit_answer(app_asking(&w->app, 0), 200, "{}");
    w->app.serve = answer_ok;
    assert_true(run_until(w->loop, &total, 5));
    assert_int_equal(w->app.requests, 6);
    for (int i = 0; i < 8; i++)
        assert_int_equal(o[i].calls, i != 0 && i != 1 && i != 5);
}

/* ---- the breaker ---- */

static void fail_500(app *a, visit *v)
{
    (void)a;
    visit_answer(v, 500, "{}");
}

/* What a web server says of the application behind it is what a refused connection would be:
 * whoever may ask again does so. What the application says itself is not. */
static void an_application_behind_a_web_server_is_down(void **state)
{
    const struct {
        unsigned status;
        int err;
    } all[] = {{500, PLX_E_INVALID}, {501, PLX_E_INVALID}, {502, PLX_E_DOWN},
               {503, PLX_E_DOWN},    {504, PLX_E_DOWN},    {505, PLX_E_INVALID},
               {404, PLX_E_INVALID}, {201, PLX_E_INVALID}};

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const plx_http_result r = {.status = all[i].status, .body = plx_slice_of("{}")};
        plx_slice json;
        const char *why;
        assert_int_equal(plx_hook_judge(&r, &json, &why), all[i].err);
        assert_non_null(why);
    }
}

static void a_down_application_is_found_out(void **state)
{
    world *w = *state;
    uint64_t now = plx_now_ms();
    unsigned total = 0;
    outcome o[30];

    memset(o, 0, sizeof o);
    plx_clock_fake(now, plx_wall_ms());
    w->app.serve = fail_500;
    for (int i = 0; i < 20; i++) {
        o[i].total = &total;
        ask(w, "{}", &o[i]);
    }
    assert_true(run_until(w->loop, &total, 20));
    /* Four were in flight at a time: those that waited fail at once. */
    assert_in_range(w->app.requests, PLX_BREAKER_FAILURES, PLX_BREAKER_FAILURES + 3);
    assert_int_equal(o[0].err, PLX_E_INVALID);
    assert_int_equal(o[19].err, PLX_E_DOWN);
    assert_true(plx_hook_counts(w->hook)->down);
    assert_int_equal(plx_hook_counts(w->hook)->opened, 1);
    assert_int_equal(plx_hook_counts(w->hook)->refused, 20 - w->app.requests);

    /* After the pause one question tries, the next ones do not wait for it. */
    plx_clock_fake(now + PLX_BREAKER_PAUSE_MS, plx_wall_ms());
    w->app.requests = 0;
    w->app.serve = NULL;
    ask(w, "{}", &o[20]);
    ask(w, "{}", &o[21]);
    assert_true(run_until(w->loop, &o[21].calls, 1));
    assert_int_equal(o[21].err, PLX_E_DOWN);
    assert_true(run_until(w->loop, &w->app.requests, 1));
    visit_answer(app_asking(&w->app, 0), 200, "{}");
    assert_true(run_until(w->loop, &o[20].calls, 1));
    assert_int_equal(o[20].err, 0);
    assert_false(plx_hook_counts(w->hook)->down);
    w->app.serve = answer_ok;
    ask(w, "{}", &o[22]);
    assert_true(run_until(w->loop, &o[22].calls, 1));
    assert_int_equal(o[22].err, 0);
    plx_clock_real();
}

/* The first ones after 60 % of their time; the others find a place then, and run out of theirs. */
static void late_is_not_down(void **state)
{
    world *w = *state;
    plx_hook *hook = open_hook(w, 3000, PLX_BREAKER_FAILURES + 3);
    unsigned n = PLX_BREAKER_FAILURES + 3, total = 0, late = 0;
    outcome o[2 * (PLX_BREAKER_FAILURES + 3)];
    uint64_t begun = plx_now_ms();

    memset(o, 0, sizeof o);
    for (unsigned i = 0; i < 2 * n; i++) {
        o[i].total = &total;
        plx_hook_ask(hook, plx_slice_of("{}"), none, 0, take, &o[i]);
    }
    assert_true(run_until(w->loop, &w->app.requests, n));
    while (plx_now_ms() - begun < 1800)
        ev_run(w->loop, EVRUN_NOWAIT);
    while (w->app.asking > 0)
        visit_answer(app_asking(&w->app, 0), 200, "{}");
    assert_true(run_until(w->loop, &total, 2 * n));
    for (unsigned i = 0; i < 2 * n; i++)
        late += o[i].err == PLX_E_TIMEOUT;
    assert_int_equal(late, n);
    assert_false(plx_hook_counts(hook)->down);
    assert_int_equal(plx_hook_counts(hook)->opened, 0);
}

static void nobody_listens(void **state)
{
    world *w = *state;
    outcome o[10];

    memset(o, 0, sizeof o);
    ev_io_stop(w->loop, &w->app.io);
    close(w->app.fd);
    for (int i = 0; i < 10; i++) {
        ask(w, "{}", &o[i]);
        assert_true(run_until(w->loop, &o[i].calls, 1));
        assert_int_equal(o[i].err, PLX_E_DOWN);
    }
    assert_int_equal(plx_hook_counts(w->hook)->asked, PLX_BREAKER_FAILURES);
    assert_int_equal(plx_hook_counts(w->hook)->refused, 10 - PLX_BREAKER_FAILURES);
    w->app.fd = socket(AF_INET, SOCK_STREAM, 0); /* for app_close */
}

/* ---- names ---- */

static _Atomic unsigned resolving;

/* In the place of libc's, also for libcurl. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    (void)name;
    (void)service;
    (void)hints;
    (void)out;
    resolving++;
    while (resolving < 100) /* for ever: the test ends it */
        usleep(1000);
    return EAI_AGAIN;
}

/* Giving up must not wait for the thread that looks up the name. */
static void a_name_that_takes_for_ever(void **state)
{
    world *w = *state;
    const plx_hook_config config = {.name = "slow",
                                    .url = "http://slow.example/",
                                    .secret = SECRET,
                                    .timeout_ms = 100,
                                    .max_in_flight = 1};
    plx_hook *hook = plx_hook_open(w->hooks, &config);
    outcome slow = {0}, other = {0};

    w->app.serve = answer_ok;
    plx_hook_ask(hook, plx_slice_of("{}"), none, PLX_HOOK_REPEATABLE, take, &slow);
    ask(w, "{}", &other);
    assert_true(run_until(w->loop, &other.calls, 1));
    assert_int_equal(other.err, 0);
    assert_true(run_until(w->loop, &slow.calls, 1));
    assert_int_equal(slow.err, PLX_E_TIMEOUT);
    for (int i = 0; i < 10000 && resolving == 0; i++)
        usleep(1000); /* its thread may come late on a busy machine */
    assert_int_equal(resolving, 1);
    resolving = 100;
}

/* ---- the end ---- */

static void closing_tells_everybody(void **state)
{
    world *w = *state;
    plx_hook *second = open_hook(w, 5000, 1);
    outcome o[3] = {{0}, {0}, {0}};

    for (int i = 0; i < 3; i++)
        plx_hook_ask(second, plx_slice_of("{}"), none, PLX_HOOK_REPEATABLE, take, &o[i]);
    o[1].again = second;
    assert_true(run_until(w->loop, &w->app.requests, 1));
    plx_hook_close(second);
    assert_int_equal(o[0].calls, 1);
    assert_int_equal(o[1].calls, 2); /* it asked once more */
    assert_int_equal(o[2].calls, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(o[i].err, PLX_E_GONE);
    assert_ptr_equal(plx_hooks_next(w->hooks, NULL), w->hook);
    assert_null(plx_hooks_next(w->hooks, w->hook));
    assert_null(plx_hooks_next(NULL, NULL));
}

static void asking_from_inside_a_callback(void **state)
{
    world *w = *state;
    outcome o = {.again = w->hook};

    w->app.serve = answer_ok;
    ask(w, "{}", &o);
    assert_true(run_until(w->loop, &o.calls, 2));
    assert_int_equal(o.err, 0);
    assert_int_equal(w->app.connections, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(asks_and_takes_the_answer),
        TEST(the_request_is_signed),
        TEST(a_large_question_arrives_whole),
        TEST(whole_answers),
        TEST(wrong_answers),
        TEST(without_bounds),
        TEST(connections_are_kept),
        TEST(a_closed_connection),
        TEST(the_bound_of_questions_in_flight_holds),
        TEST(too_much_waits),
        TEST(too_many_bytes_wait),
        TEST(who_yields_leaves_a_quarter),
        TEST(a_flood_from_one_waits_behind_all_others),
        TEST(who_cancels_is_still_asking),
        TEST(nobody_waits_for_longer_than_the_timeout),
        TEST(the_busy_do_not_starve_the_others),
        TEST(equal_questions_are_asked_once),
        TEST(cancelled_questions),
        TEST(an_application_behind_a_web_server_is_down),
        TEST(a_down_application_is_found_out),
        TEST(late_is_not_down),
        TEST(nobody_listens),
        TEST(a_name_that_takes_for_ever),
        TEST(closing_tells_everybody),
        TEST(asking_from_inside_a_callback),
    };
    plx_log_init("test", PLX_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
