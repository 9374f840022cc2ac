/* Many web servers at once, in threads of their own, against one worker: what the threads hand to
 * the loop and back stays whole, whoever closes or aborts when. Built for ThreadSanitizer. */
#include "tests/unit/fcgi_world.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define CLIENTS 12
#define ROUNDS  40

struct client {
    world *w;
    ev_async *done;
    unsigned number;
    unsigned wrong; /* what this client found fault with */
};

static bool read_answer(int fd, fc_answer *a)
{
    char chunk[16384];
    plx_buf b;
    bool ok = false;

    plx_buf_init(&b, 0);
    while (!(ok = fc_take(&b, a))) {
        ssize_t n = recv(fd, chunk, sizeof chunk, 0);
        if (n <= 0)
            break;
        plx_buf_append(&b, chunk, (size_t)n);
    }
    plx_buf_fini(&b);
    return ok;
}

static bool closed(int fd)
{
    char c;

    return recv(fd, &c, 1, 0) == 0;
}

/* A request with a body of its own length and pattern; the echo must be exactly that. */
static bool echo(struct client *c, int fd, unsigned round, bool keep)
{
    size_t len = (c->number * 7919 + round * 104729) % 150000;
    char *body = malloc(len + 1), uri[40], want[64];
    plx_buf request;
    fc_answer a;
    bool ok;

    memset(body, (int)('a' + (c->number + round) % 26), len);
    snprintf(uri, sizeof uri, "/echo/%u?%u", c->number, round);
    snprintf(want, sizeof want, "POST /echo/%u %u 192.0.2.7 ", c->number, round);
    plx_buf_init(&request, 0);
    fc_answer_init(&a);
    fc_request(&request, 1 + round, keep, "POST", uri, plx_slice_make(body, len));
    ok = fc_write(fd, plx_buf_slice(&request)) && read_answer(fd, &a) && a.id == 1 + round;
    if (ok) {
        const char *got = fc_body(&a);
        size_t skip = strlen(want);
        ok = got && a.out.len - (size_t)(got - a.out.data) == skip + len &&
             memcmp(got, want, skip) == 0 && memcmp(got + skip, body, len) == 0;
    }
    plx_buf_fini(&request);
    fc_answer_fini(&a);
    free(body);
    return ok;
}

static void kept_alive(struct client *c)
{
    int fd = world_connect(c->w);

    for (unsigned i = 0; i < ROUNDS; i++)
        c->wrong += !echo(c, fd, i, true);
    close(fd);
}

static void one_each(struct client *c)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        int fd = world_connect(c->w);
        c->wrong += !echo(c, fd, i, false);
        c->wrong += !closed(fd);
        close(fd);
    }
}

static void send_request(struct client *c, int fd, bool keep, const char *uri, plx_slice body)
{
    plx_buf b;

    plx_buf_init(&b, 0);
    fc_request(&b, 1, keep, body.len ? "POST" : "GET", uri, body);
    c->wrong += !fc_write(fd, plx_buf_slice(&b));
    plx_buf_fini(&b);
}

/* Goes away without waiting: while the request is read, decoded or parked. */
static void impatient(struct client *c)
{
    static char body[100000];

    for (unsigned i = 0; i < ROUNDS; i++) {
        int fd = world_connect(c->w);
        send_request(c, fd, i & 1, i % 3 ? "/park" : "/keep",
                     plx_slice_make(body, i % 4 ? 0 : sizeof body));
        close(fd);
    }
}

static void aborting(struct client *c)
{
    int fd = world_connect(c->w);

    for (unsigned i = 0; i < ROUNDS; i++) {
        plx_buf b;
        fc_answer a;
        plx_buf_init(&b, 0);
        fc_answer_init(&a);
        fc_request(&b, 1, true, "GET", "/park", plx_slice_of(""));
        fc_record(&b, FCGI_ABORT_REQUEST, 1, plx_slice_of(""), 0);
        c->wrong += !fc_write(fd, plx_buf_slice(&b)) || !read_answer(fd, &a);
        plx_buf_fini(&b);
        fc_answer_fini(&a);
    }
    close(fd);
}

/* Parks, and releases whatever is parked through a second connection until it is answered. */
static void parking(struct client *c)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        int fd = world_connect(c->w), other = world_connect(c->w);
        fc_answer a;
        char byte;
        fc_answer_init(&a);
        send_request(c, fd, true, "/park", plx_slice_of(""));
        while (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
            c->wrong += !echo(c, other, i, true);
        c->wrong += !read_answer(fd, &a) || !strstr(plx_buf_cstr(&a.out), "released");
        fc_answer_fini(&a);
        close(fd);
        close(other);
    }
}

static void releasing(struct client *c)
{
    int fd = world_connect(c->w);

    for (unsigned i = 0; i < ROUNDS * 20; i++) {
        fc_answer a;
        fc_answer_init(&a);
        send_request(c, fd, true, "/release", plx_slice_of(""));
        c->wrong += !read_answer(fd, &a);
        fc_answer_fini(&a);
    }
    close(fd);
}

static void *run_client(void *arg)
{
    static void (*const kinds[])(struct client *) = {kept_alive, one_each, impatient,
                                                     aborting,   parking,  releasing};
    struct client *c = arg;

    kinds[c->number % 6](c);
    __atomic_add_fetch((unsigned *)c->done->data, 1, __ATOMIC_SEQ_CST);
    ev_async_send(c->w->loop, c->done);
    return NULL;
}

static void on_done(struct ev_loop *loop, ev_async *a, int revents)
{
    (void)revents;
    if (__atomic_load_n((unsigned *)a->data, __ATOMIC_SEQ_CST) == CLIENTS)
        ev_break(loop, EVBREAK_ALL);
}

/* Parked requests must not outlive the last `releasing` client, or `parking` ones would wait. */
static void on_tick(struct ev_loop *loop, ev_timer *t, int revents)
{
    (void)loop;
    (void)revents;
    world_release(t->data);
}

static void test_many_clients_at_once(void **state)
{
    struct client clients[CLIENTS];
    pthread_t threads[CLIENTS];
    unsigned finished = 0;
    ev_async done;
    ev_timer tick;
    world w;
    (void)state;

    world_init(&w);
    world_start(&w);
    ev_async_init(&done, on_done);
    done.data = &finished;
    ev_async_start(w.loop, &done);
    ev_timer_init(&tick, on_tick, 0.05, 0.05);
    tick.data = &w;
    ev_timer_start(w.loop, &tick);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.w = &w, .done = &done, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, run_client, &clients[i]), 0);
    }
    ev_run(w.loop, 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(clients[i].wrong, 0);
    }
    ev_timer_stop(w.loop, &tick);
    ev_async_stop(w.loop, &done);
    world_release(&w);
    world_fini(&w);
}

/* The worker is stopped while requests are queued, being decoded and parked. */
static void test_stop_in_the_middle(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns < 30; turns++) {
        int fds[40];
        world w;
        world_init(&w);
        world_start(&w);
        for (int i = 0; i < 40; i++) {
            struct client c = {.w = &w};
            fds[i] = world_connect(&w);
            send_request(&c, fds[i], true, i & 1 ? "/park" : "/keep", plx_slice_of("a body"));
        }
        for (unsigned i = 0; i < turns / 3; i++)
            ev_run(w.loop, EVRUN_NOWAIT);
        plx_acceptor_free(w.acceptor);
        w.acceptor = NULL;
        for (unsigned i = 0; i < w.parked_count; i++)
            assert_null(w.parked[i]->gone); /* only those that can't be told are left */
        world_release(&w);
        world_fini(&w);
        for (int i = 0; i < 40; i++)
            close(fds[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_clients_at_once),
        cmocka_unit_test(test_stop_in_the_middle),
    };
    if (plx_codec_library() != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
