/* The rules of a channel section on their way through the core: what is refused is answered in its
 * place, and disturbs nobody else. */
#include "socket_harness.h"

#include "base/clock.h"

#define REFUSED(reason) "error {\"reason\":\"" reason "\"}"

static char *allowed_events[] = {(char *)"ok", (char *)"cast_ok", (char *)"hold"};
static plx_channel_config *room = &channel_configs[1];

/* room:* with these rules. */
static plx_socket *socket_with(plx_channel_config rules)
{
    plx_clock_fake(5000, 1700000000000);
    rules.pattern = (char *)"room:*";
    rules.backend = (char *)"scripted";
    *room = rules;
    return harness_socket();
}

static void over(plx_socket *s)
{
    finish(s);
    *room = (plx_channel_config){.pattern = (char *)"room:*", .backend = (char *)"scripted"};
    socket_config.auth.type = PLX_AUTH_NONE;
    plx_clock_real();
}

static void test_events(void **state)
{
    plx_socket *s = socket_with((plx_channel_config){.events = {allowed_events, 3}});

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "ok", "{}");
    client(s, "1", "3", "room:a", "cast", "{}");
    client(s, "1", "4", "room:a", "ok", "{}");
    client(s, "1", "5", "room:a", "phx_leave", "{}");
    expect("reply 1 2 room:a ok {}\n"
           "reply 1 3 room:a " REFUSED(
               "event not allowed") "\n"
                                    "reply 1 4 room:a ok {}\n"
                                    "terminate room:a left\nreply 1 5 room:a ok {}\nclose 1 1 "
                                    "room:a ends\nclosed room:a\n");
    over(s);
}

static void test_sizes(void **state)
{
    plx_socket *s = socket_with((plx_channel_config){.max_payload_bytes = 8});

    (void)state;
    client(s, "1", "1", "room:a", "phx_join", "{\"a\":123}");
    expect("reply 1 1 room:a " REFUSED("payload too large") "\n");
    client(s, "2", "2", "room:a", "phx_join", "{\"a\":12}");
    fake_answer_all();
    expect("open room:a after 0\nreply 2 2 room:a ok {} opens\nidle\n");
    client(s, "2", "3", "room:a", "ok", "{\"a\":123}");
    client_payload(s, "2", "4", "room:a", "ok", (plx_payload){PLX_PAYLOAD_BINARY, S("123456789")});
    client_payload(s, "2", "5", "room:a", "ok", (plx_payload){PLX_PAYLOAD_BINARY, S("12345678")});
    /* A leave is no push, whatever it carries. */
    client(s, "2", "6", "room:a", "phx_leave", "{\"a\":123}");
    expect("reply 2 3 room:a " REFUSED(
        "payload too large") "\n"
                             "reply 2 4 room:a " REFUSED(
                                 "payload too large") "\n"
                                                      "reply 2 5 room:a ok binary:12345678\n"
                                                      "terminate room:a left\nreply 2 6 room:a ok "
                                                      "{}\nclose 2 2 room:a ends\nclosed room:a\n");
    over(s);
}

static void test_capabilities(void **state)
{
    plx_socket_init init = {.ops = &harness_ops,
                            .store = fake_store,
                            .channels = &channels,
                            .session = PLX_LIT("sess"),
                            .params = PLX_LIT("{}"),
                            .claims =
                                PLX_LIT("{\"exp\":1,\"join\":[\"room:*\"],\"push\":[\"room:a\"]}")};
    plx_socket *s;

    (void)state;
    plx_socket_free(socket_with((plx_channel_config){0}), PLX_END_CLOSED);
    socket_config.auth.type = PLX_AUTH_TICKET;
    s = plx_socket_new(&init);
    join(s, "1", "room:a");
    join(s, "2", "room:b");
    client(s, "1", "3", "room:a", "ok", "{}");
    client(s, "2", "4", "room:b", "ok", "{}");
    client(s, "5", "5", "relay:x", "phx_join", "{}");
    expect("reply 1 3 room:a ok {}\n"
           "reply 2 4 room:b " REFUSED("unauthorized") "\n"
                                                       "reply 5 5 relay:x " REFUSED(
                                                           "unauthorized") "\n");
    over(s);
}

static plx_channel_config limited(uint64_t per_s, uint64_t burst)
{
    return (plx_channel_config){.has_rate = true, .rate_per_s = per_s, .rate_burst = burst};
}

static void test_rate(void **state)
{
    plx_socket *s = socket_with(limited(10, 2));

    (void)state;
    join(s, "1", "room:a");
    join(s, "2", "room:b");
    for (int i = 0; i < 3; i++)
        client(s, "1", "3", "room:a", "ok", "{}");
    client(s, "2", "4", "room:b", "ok", "{}"); /* each topic has its own */
    plx_clock_fake(5100, 0);
    client(s, "1", "5", "room:a", "ok", "{}");
    client(s, "1", "6", "room:a", "ok", "{}");
    expect("reply 1 3 room:a ok {}\nreply 1 3 room:a ok {}\n"
           "reply 1 3 room:a " REFUSED("rate limited") "\n"
                                                       "reply 2 4 room:b ok {}\n"
                                                       "reply 1 5 room:a ok {}\n"
                                                       "reply 1 6 room:a " REFUSED(
                                                           "rate limited") "\n");
    over(s);
}

/* Joining again, with or without leaving before, is no way to a full bucket. */
static void test_rate_and_rejoin(void **state)
{
    plx_socket *s = socket_with(limited(1, 1));

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "ok", "{}");
    client(s, "3", "3", "room:a", "phx_join", "{}");
    fake_answer_all();
    plx_buf_clear(&trace);
    client(s, "3", "4", "room:a", "ok", "{}");
    expect("reply 3 4 room:a " REFUSED("rate limited") "\n");
    client(s, "3", "5", "room:a", "phx_leave", "{}");
    join(s, "6", "room:a");
    client(s, "6", "7", "room:a", "ok", "{}");
    expect("reply 6 7 room:a " REFUSED("rate limited") "\n");
    /* A refused join does not, either. */
    client(s, "6", "8", "room:a", "phx_leave", "{}");
    client(s, "9", "9", "room:a", "phx_join", "\"error\"");
    join(s, "10", "room:a");
    client(s, "10", "11", "room:a", "ok", "{}");
    expect("reply 10 11 room:a " REFUSED("rate limited") "\n");
    plx_clock_fake(6000, 0);
    client(s, "10", "12", "room:a", "ok", "{}");
    expect("reply 10 12 room:a ok {}\n");
    over(s);
}

/* What waited behind a slow answer is judged by when it came. */
static void test_rate_of_what_waits(void **state)
{
    plx_socket *s = socket_with(limited(10, 1));

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "hold", "{}");
    plx_clock_fake(5100, 0);
    client(s, "1", "3", "room:a", "ok", "{}");
    plx_clock_fake(5150, 0);
    client(s, "1", "4", "room:a", "ok", "{}");
    plx_clock_fake(5200, 0);
    client(s, "1", "5", "room:a", "ok", "{}");
    plx_clock_fake(9000, 0);
    plx_call_ok(calls_held[0], JSON("{}"));
    expect("reply 1 2 room:a ok {}\nreply 1 3 room:a ok {}\n"
           "reply 1 4 room:a " REFUSED("rate limited") "\n"
                                                       "reply 1 5 room:a ok {}\nidle\n");
    over(s);
}

/* A refusal keeps its place: after what was pushed before it, before what was pushed later. */
static void test_order(void **state)
{
    plx_socket *s = socket_with((plx_channel_config){.events = {allowed_events, 3}});

    (void)state;
    join(s, "1", "room:a");
    client(s, "1", "2", "room:a", "cast_ok", "{}");
    client(s, "1", "3", "room:a", "no", "{}");
    client(s, "1", "4", "room:a", "ok", "{}");
    expect("");
    fake_answer_all();
    expect("reply 1 2 room:a ok {} after room:a@1\nreply 1 3 room:a " REFUSED(
        "event not allowed") " after room:a@1\nreply 1 4 room:a ok {} after room:a@1\nidle\n");
    over(s);
}

static plx_membership *restored(plx_socket *s, plx_slice packed)
{
    plx_slot slot = {.number = 1, .topic = S("room:a"), .start = {"e", 0}, .state = packed};
    plx_membership *m = plx_socket_restore(s, &slot);

    assert_non_null(m);
    s->entry = 7;
    s->entry_ms = 1700000000000;
    s->next_index = 0;
    return m;
}

/* Long-polling: one worker after the other, and one of them twice. */
static void test_rate_over_workers(void **state)
{
    plx_socket *s = socket_with(limited(10, 2));
    plx_membership *m;
    plx_buf first, second;

    (void)state;
    plx_buf_init(&first, 0);
    plx_buf_init(&second, 0);
    join(s, "1", "room:a");
    m = plx_socket_find(s, S("room:a"));
    plx_membership_pack(m, &first);
    assert_string_equal(plx_buf_cstr(&first), "s1:1s1:1"); /* before the first push: nothing */
    finish(s);
    /* The same entry is worked twice, the second time much later: the same answers. */
    for (int i = 0; i < 2; i++) {
        plx_clock_fake(5000 + 60000 * (uint64_t)i, 1700000000000 + 60000 * (uint64_t)i);
        s = harness_socket();
        m = restored(s, plx_buf_slice(&first));
        client(s, "1", "2", "room:a", "ok", "{}");
        assert_true(m->assigns_changed);
        client(s, "1", "3", "room:a", "ok", "{}");
        client(s, "1", "4", "room:a", "ok", "{}");
        expect("reply 1 2 room:a ok {}\nreply 1 3 room:a ok {}\n"
               "reply 1 4 room:a " REFUSED("rate limited") "\n");
        plx_buf_clear(&second);
        plx_membership_pack(m, &second);
        assert_string_equal(plx_buf_cstr(&second), "s1:1s1:1b19:1700000000200000000");
        finish(s);
    }
    /* Another worker, 100 ms later by Redis' clock; its own clocks don't matter. */
    plx_clock_fake(1, 1);
    s = harness_socket();
    m = restored(s, plx_buf_slice(&second));
    assert_false(m->assigns_changed);
    s->entry_ms += 100;
    client(s, "1", "5", "room:a", "ok", "{}");
    client(s, "1", "6", "room:a", "ok", "{}");
    expect("reply 1 5 room:a ok {}\nreply 1 6 room:a " REFUSED("rate limited") "\n");
    plx_buf_fini(&first);
    plx_buf_fini(&second);
    over(s);
}

static void test_damaged_buckets(void **state)
{
    static const char *const damaged[] = {"s1:1s1:1b0:",    "s1:1s1:1b2:-1",
                                          "s1:1s1:1b2:1x",  "s1:1s1:1b20:99999999999999999999",
                                          "s1:1s1:1b3:1.5", "s1:1s1:1b2:{}"};
    plx_socket *s = socket_with((plx_channel_config){0});

    (void)state;
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        plx_slot slot = {.number = 1, .topic = S("room:a"), .state = S(damaged[i])};
        assert_null(plx_socket_restore(s, &slot));
    }
    over(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),          cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_capabilities),    cmocka_unit_test(test_rate),
        cmocka_unit_test(test_rate_and_rejoin), cmocka_unit_test(test_rate_of_what_waits),
        cmocka_unit_test(test_order),           cmocka_unit_test(test_rate_over_workers),
        cmocka_unit_test(test_damaged_buckets),
    };

    return cmocka_run_group_tests_name("socket_rules", tests, NULL, NULL);
}
