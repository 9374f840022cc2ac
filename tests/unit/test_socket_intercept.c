/* Events that a backend intercepts: which, and what its handle_out says for each subscriber. */
#include "socket_info.h"

static plx_event *event_of(const char *name, const char *payload, enum plx_kind kind)
{
    const plx_position at = {"e", 9};

    return plx_event_new(S("room:a"), &at, kind, S(name), S(payload), S("who"));
}

static plx_event *seen(plx_socket *s, const char *payload, bool *crashed)
{
    plx_event *e = event_of("secret", payload, PLX_KIND_JSON), *got;

    assert_true(plx_intercepts(room_a(s)->entry, e));
    got = plx_intercept(room_a(s), e, crashed);
    plx_event_unref(e);
    return got;
}

static void test_which_events_are_intercepted(void **state)
{
    plx_socket *s = full_socket(true);
    const struct {
        const char *name;
        enum plx_kind kind;
        bool is;
    } cases[] = {{"secret", PLX_KIND_JSON, true},      {"whisper", PLX_KIND_BINARY, true},
                 {"secrets", PLX_KIND_JSON, false},    {"secre", PLX_KIND_JSON, false},
                 {"secret", PLX_KIND_PRESENCE, false}, {"", PLX_KIND_JSON, false}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plx_event *e = event_of(cases[i].name, "1", cases[i].kind);
        assert_int_equal(plx_intercepts(&channel_entries[1], e), cases[i].is);
        assert_false(plx_intercepts(&channel_entries[2], e));
        plx_event_unref(e);
    }
    finish(s);
}

static void test_intercept(void **state)
{
    plx_socket *s = full_socket(true);
    bool crashed = true;
    plx_event *e;

    (void)state;
    plx_counted.intercepted = 0;
    assert_null(seen(s, "\"nothing\"", &crashed));
    assert_int_equal(plx_counted.intercepted, 1);
    assert_false(crashed);
    e = seen(s, "\"pass\"", &crashed);
    assert_true(plx_slice_is(e->event, "secret") && plx_slice_is(e->payload, "\"pass\""));
    plx_event_unref(e);
    e = seen(s, "\"topic\"", &crashed);
    assert_true(plx_slice_is(e->event, "room:a") && plx_slice_is(e->payload, "[1]"));
    assert_true(e->kind == PLX_KIND_JSON && e->position.offset == 9);
    assert_true(plx_slice_is(e->from, "who") && plx_slice_is(e->topic, "room:a"));
    plx_event_unref(e);
    e = seen(s, "\"binary\"", &crashed);
    assert_true(e->kind == PLX_KIND_BINARY && e->payload.len == 2);
    plx_event_unref(e);
    e = seen(s, "\"bad\"", &crashed); /* what was said before stands */
    assert_true(plx_slice_is(e->payload, "2"));
    plx_event_unref(e);
    e = seen(s, "\"last\"", &crashed);
    assert_true(plx_slice_is(e->payload, "\"last\""));
    plx_event_unref(e);
    assert_null(seen(s, "\"crash\"", &crashed));
    assert_true(crashed);
    finish(s);
}

static void test_crash_of_a_membership(void **state)
{
    plx_socket *s = full_socket(true);

    (void)state;
    join(s, "2", "room:b");
    client(s, "1", "2", "room:a", "hold", "{}");
    plx_counted.crashes = 0;
    plx_membership_crash(room_a(s));
    assert_int_equal(plx_counted.crashes, 1);
    expect("terminate room:a crashed\nerror 1 1 room:a {\"reason\":\"channel_crash\"} ends\n"
           "closed room:a\n");
    plx_call_ok(calls_held[0], JSON("{}"));
    client(s, "2", "3", "room:b", "ok", "{}");
    expect("reply 2 3 room:b ok {}\n");
    finish(s);
}

/* The last messages, which a joiner is given, are judged as well. */
static void test_latest_is_intercepted(void **state)
{
    static const plx_backend keeper = {.abi = PLX_BACKEND_ABI,
                                       .name = "keeper",
                                       .terminate = scripted_terminate,
                                       .intercept = intercepted,
                                       .handle_out = out};
    plx_socket *s = full_socket(true);

    (void)state;
    channel_entries[6].backend = &keeper;
    fake_latest[0] = event_of("secret", "\"nothing\"", PLX_KIND_JSON);
    fake_latest[1] = event_of("secret", "\"topic\"", PLX_KIND_JSON);
    fake_latest[2] = event_of("secret", "\"crash\"", PLX_KIND_JSON);
    fake_latest[3] = event_of("open", "{}", PLX_KIND_JSON);
    fake_latest_count = 4;
    client(s, "3", "3", "last:a", "phx_join", "{}");
    fake_answer_all();
    expect("open last:a after 0\nreply 3 3 last:a ok {} opens\npush 3 last:a last:a [1]\n"
           "push 3 last:a open {}\nidle\n");
    while (fake_latest_count > 0)
        plx_event_unref(fake_latest[--fake_latest_count]);
    finish(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_events_are_intercepted),
        cmocka_unit_test(test_intercept),
        cmocka_unit_test(test_crash_of_a_membership),
        cmocka_unit_test(test_latest_is_intercepted),
    };
    int failed;

    fake_loop = ev_loop_new(EVFLAG_AUTO);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    ev_loop_destroy(fake_loop);
    return failed;
}
