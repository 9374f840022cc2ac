/* The backend "http" over the channel core, with an application that the test plays. */
#include "base/clock.h"
#include "base/log.h"
#include "channel/http_backend.h"
#include "channel/http_leave.h"
#include "channel/socket_core.h"
#include "tests/unit/fake_hook.h"
#include "tests/unit/socket_harness.h"

static struct ev_loop *loop;
static plx_hooks *hooks;
static plx_http_channel *app, *kept;
static plx_socket *s;
static char *all_hooks[] = {(char *)"join", (char *)"push", (char *)"leave"};

/* Channels of the harness become http ones. */
static plx_http_channel *make_http(const char *pattern, bool leave)
{
    for (size_t i = 0; i < CHANNELS; i++) {
        plx_channel_config *c = &channel_configs[i];
        if (strcmp(c->pattern, pattern) != 0)
            continue;
        c->hooks = (plx_strings){all_hooks, leave ? 3 : 2};
        c->max_in_flight = 4;
        c->timeout_ms = 1000;
        channel_entries[i].backend = leave ? &plx_http_leave_backend : &plx_http_backend;
        channel_entries[i].state = plx_http_channel_new("/socket", c);
        plx_http_channel_start(channel_entries[i].state, hooks);
        return channel_entries[i].state;
    }
    fail();
    return NULL;
}

static int set_up(void **state)
{
    (void)state;
    loop = ev_loop_new(0);
    hooks = plx_hooks_new(loop);
    s = harness_socket();
    fake_hook_reset();
    app = make_http("room:*", true);
    kept = make_http("hist:*", false);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (s)
        finish(s);
    plx_http_channel_free(app);
    plx_http_channel_free(kept);
    plx_hooks_free(hooks);
    ev_loop_destroy(loop);
    fake_presence_end();
    return 0;
}

/* The oldest question is this one; it gets that answer. */
static void asked_and_answered(const char *body, const char *json)
{
    assert_string_equal(first_asked()->body, body);
    answer_asked(0, json);
}

static void joined(const char *ref, const char *topic)
{
    client(s, ref, ref, topic, "phx_join", "{}");
    answer_asked(0, "{\"status\":\"ok\"}");
    fake_answer_all();
    plx_buf_clear(&trace);
}

#define SOCKET(assigns)                                                                            \
    "\"socket\":{\"id\":\"users:7\",\"session\":\"sess\",\"transport\":\"test\",\"claims\":{},"    \
    "\"params\":{\"user_id\":\"7\"},\"assigns\":" assigns "}}"

static void documents(void **state)
{
    static const plx_payload binary = {PLX_PAYLOAD_BINARY, PLX_LIT("\x01\xff")};

    (void)state;
    client(s, "1", "1", "room:a", "phx_join", "{ \"x\" : 1.0 }");
    assert_string_equal(first_asked()->share, "sess:0:0");
    asked_and_answered("{\"hook\":\"join\",\"topic\":\"room:a\",\"message_id\":\"sess:0:0\","
                       "\"payload\":{ \"x\" : 1.0 }," SOCKET("{}"),
                       "{\"status\":\"ok\",\"response\":{\"hi\":1},\"assigns\":{\"a\":1}}");
    fake_answer_all();
    expect("open room:a after 0\nreply 1 1 room:a ok {\"hi\":1} opens\nidle\n");
    client(s, "1", "<[1]>", "room:a", "or\"der", "[]");
    asked_and_answered("{\"hook\":\"push\",\"topic\":\"room:a\",\"message_id\":\"sess:0:1\","
                       "\"event\":\"or\\\"der\",\"ref\":[1],\"payload\":[]," SOCKET("{\"a\":1}"),
                       "");
    expect("idle\n");
    client_payload(s, "1", "-", "room:a", "bin\xff", binary);
    asked_and_answered("{\"hook\":\"push\",\"topic\":\"room:a\",\"message_id\":\"sess:0:2\","
                       "\"event\":\"bin\xef\xbf\xbd\",\"ref\":null,\"payload_base64\":"
                       "\"Af8=\"," SOCKET("{\"a\":1}"),
                       "{}");
    expect("idle\n");
    client(s, "1", "4", "room:a", "phx_leave", "{}");
    assert_non_null(strstr(first_asked()->body, "{\"hook\":\"leave\",\"topic\":\"room:a\","
                                                "\"message_id\":\"sess:leave:"));
    assert_non_null(strstr(first_asked()->body, "\",\"reason\":\"left\"," SOCKET("{\"a\":1}")));
    answer_asked(0, "");
    expect("reply 1 4 room:a ok {}\nclose 1 1 room:a ends\nclosed room:a\n");
}

static void verbs_come_before_the_reply(void **state)
{
    (void)state;
    joined("1", "room:a");
    client(s, "1", "2", "room:a", "x", "{}");
    answer_asked(0, "{\"reply\":{\"status\":\"error\",\"response\":{\"r\":1}},"
                    "\"push\":[{\"event\":\"p\",\"payload\":{}}],"
                    "\"broadcast\":[{\"event\":\"b\",\"payload\":{ }}],"
                    "\"broadcast_from\":[{\"event\":\"f\",\"payload\":{}}]}");
    expect("push 1 room:a p {}\n");
    assert_int_equal(fake_waiting(), 2);
    assert_string_equal(fake_peek(0)->payload, "{ }");
    assert_string_equal(fake_peek(0)->from, "");
    assert_string_equal(fake_peek(1)->from, "sess");
    fake_answer_all();
    expect("reply 1 2 room:a error {\"r\":1} after room:a@1\nidle\n");
    client(s, "1", "3", "room:a", "x", "{}");
    answer_asked(0, "{\"stop\":true,\"reply\":{\"status\":\"error\"}}");
    expect("reply 1 3 room:a error {} after room:a@1\nclose 1 1 room:a after room:a@1 ends\n"
           "closed room:a\nidle\n");
}

/* Of an answer that is impossible anywhere nothing is done. */
static void impossible_verbs(void **state)
{
    static const char *const cases[] = {
        "{\"broadcast\":[{\"event\":\"b\",\"payload\":{}},{\"event\":\"b\"}]}",
        "{\"push\":[{\"event\":\"b\",\"payload\":{}}],\"stop\":7}",
        "{\"assigns\":{\"a\":1},\"presence\":{\"update\":{\"key\":\"k\",\"meta\":{}}}}",
        "{\"assigns\":{\"a\":1},\"presence\":{\"track\":{\"key\":\"k\",\"meta\":{\"phx_ref\":1}}}}",
        "{\"broadcast\":[{\"event\":\"b\",\"payload\":{}},{\"event\":\"b\",\"payload_base64\":\"\","
        "\"topic\":\"hist:x\"}]}",
    };
    plx_buf text;

    (void)state;
    joined("1", "room:a");
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        client(s, "1", "2", "room:a", "x", "{}");
        answer_asked(0, cases[i]);
        expect("reply 1 2 room:a error {\"reason\":\"unavailable\"}\nidle\n");
        assert_int_equal(complaint_count, i + 1);
        assert_int_equal(fake_waiting(), 0);
        assert_null(fake_changes);
        assert_int_equal(plx_socket_find(s, S("room:a"))->assigns.len, 0);
    }
    plx_buf_init(&text, 0);
    plx_buf_str(&text, "{\"assigns\":{\"a\":\"");
    for (unsigned i = 0; i < PLX_ASSIGNS_MAX; i++)
        plx_buf_byte(&text, 'x');
    plx_buf_str(&text, "\"},\"push\":[{\"event\":\"p\",\"payload\":{}}]}");
    client(s, "1", "2", "room:a", "x", "{}");
    answer_asked(0, plx_buf_cstr(&text));
    expect("reply 1 2 room:a error {\"reason\":\"unavailable\"}\nidle\n");
    plx_buf_fini(&text);
    /* A push to this socket alone is not kept: it may be binary. */
    client(s, "5", "5", "hist:a", "phx_join", "{}");
    answer_asked(0, "{\"status\":\"ok\",\"push\":[{\"event\":\"p\",\"payload_base64\":\"eA\"}]}");
    fake_answer_all();
    assert_non_null(strstr(plx_buf_cstr(&trace), "push 5 hist:a p binary:x"));
}

static void no_answer(void **state)
{
    (void)state;
    client(s, "1", "1", "room:a", "phx_join", "{}");
    answer_asked(PLX_E_DOWN, "");
    expect("reply 1 1 room:a error {\"reason\":\"unavailable\"}\nidle\n");
    assert_int_equal(asked_count, 1); /* no leave of a refused join */
    joined("2", "room:a");
    client(s, "2", "3", "room:a", "x", "{}");
    answer_asked(PLX_E_TIMEOUT, "");
    expect("reply 2 3 room:a error {\"reason\":\"unavailable\"}\nidle\n");
}

/* The application lets somebody in who is gone: it is told so. */
static void a_join_of_a_socket_that_is_gone(void **state)
{
    (void)state;
    client(s, "1", "1", "room:a", "phx_join", "{}");
    plx_socket_free(s, PLX_END_CLOSED);
    s = NULL;
    answer_asked(0, "{\"status\":\"ok\",\"presence\":{\"track\":{\"key\":\"k\",\"meta\":{}}},"
                    "\"push\":[{\"event\":\"p\",\"payload\":{}}]}");
    assert_non_null(strstr(first_asked()->body, "\"reason\":\"closed\""));
    answer_asked(0, "");
    assert_null(fake_changes);
}

static void without_a_hook_nothing_can_be_asked(void **state)
{
    (void)state;
    joined("1", "room:a");
    plx_http_channel_stop(app);
    client(s, "1", "2", "room:a", "x", "{}");
    expect("reply 1 2 room:a error {\"reason\":\"unavailable\"}\n");
    client(s, "1", "3", "room:a", "phx_leave", "{}");
    expect("reply 1 3 room:a ok {}\nclose 1 1 room:a ends\nclosed room:a\n");
}

/* ---- leaves ---- */

static void broadcasts_of_a_leave(void **state)
{
    char *id;

    (void)state;
    joined("1", "room:a");
    client(s, "1", "2", "room:a", "phx_leave", "{}");
    id = strstr(first_asked()->body, "sess:leave:");
    assert_non_null(id);
    id = strndup(id, strlen("sess:leave:") + 16);
    answer_asked(0, "{\"push\":[{\"event\":\"p\",\"payload\":{}}],"
                    "\"broadcast\":[{\"event\":\"b\",\"payload\":{}},{\"event\":\"c\","
                    "\"payload\":{},\"topic\":\"hist:x\"}],"
                    "\"broadcast_from\":[{\"event\":\"f\",\"payload\":{}}],\"stop\":true,"
                    "\"assigns\":{\"a\":1},\"presence\":{\"untrack\":{\"key\":\"k\"}}}");
    assert_int_equal(fake_waiting(), 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_string_equal(fake_peek(i)->producer, id); /* once, however often it is reported */
        assert_int_equal(fake_peek(i)->entry, 1);
        assert_int_equal(fake_peek(i)->index, i);
    }
    assert_string_equal(fake_peek(1)->topic, "hist:x");
    assert_int_equal(fake_peek(1)->history_size, 100);
    assert_string_equal(fake_peek(2)->topic, "room:a");
    assert_string_equal(fake_peek(2)->from, "sess");
    fake_answer_all();
    assert_int_equal(plx_http_channel_leaves(app), 0);
    free(id);
}

/* A long-poll entry is not done before the application was told; when it can't be reached the
 * entry goes on, and the leave is asked again. */
static void an_entry_waits_for_its_leave(void **state)
{
    (void)state;
    s->entry = 7;
    joined("1", "room:a");
    client(s, "1", "2", "room:a", "phx_leave", "{}");
    expect("reply 1 2 room:a ok {}\nclose 1 1 room:a ends\nclosed room:a\n");
    assert_int_equal(s->pending, 1);
    answer_asked(PLX_E_TIMEOUT, ""); /* it was told, or nearly so */
    expect("idle\n");
    assert_int_equal(plx_http_channel_leaves(app), 0);
    joined("3", "room:a");
    client(s, "3", "4", "room:a", "phx_leave", "{}");
    plx_buf_clear(&trace);
    answer_asked(PLX_E_DOWN, "");
    expect("idle\n");
    assert_int_equal(s->pending, 0);
    assert_int_equal(plx_http_channel_leaves(app), 1);
    assert_true(plx_list_empty(&asked));
    ev_timer_stop(loop, fake_timer);
    ev_invoke(loop, fake_timer, 0);
    answer_asked(0, "");
    assert_int_equal(plx_http_channel_leaves(app), 0);
}

static void leaves_are_not_asked_for_ever(void **state)
{
    uint64_t now = plx_now_ms();
    unsigned times = 0;

    (void)state;
    plx_clock_fake(now, plx_wall_ms());
    joined("1", "room:a");
    client(s, "1", "2", "room:a", "phx_leave", "{}");
    for (; plx_http_channel_leaves(app) > 0; times++) {
        answer_asked(PLX_E_DOWN, "");
        plx_clock_fake(now += PLX_LEAVE_RETRY_MS, plx_wall_ms());
        if (plx_list_empty(&asked) && plx_http_channel_leaves(app) > 0) {
            ev_timer_stop(loop, fake_timer);
            ev_invoke(loop, fake_timer, 0);
        }
    }
    assert_in_range(times, 50, PLX_LEAVE_PATIENCE_MS / PLX_LEAVE_RETRY_MS + 1);
    plx_clock_real();
}

/* In Phoenix the old channel has terminated before the new one joins. */
static void a_rejoin_is_asked_after_the_leave(void **state)
{
    (void)state;
    joined("1", "room:a");
    joined("2", "room:b");
    client(s, "3", "3", "room:a", "phx_join", "{}");
    assert_int_equal(asked_count, 3); /* two joins, the leave */
    client(s, "2", "4", "room:b", "x", "{}");
    assert_int_equal(asked_count, 4); /* others go on */
    assert_non_null(strstr(first_asked()->body, "\"hook\":\"leave\",\"topic\":\"room:a\""));
    answer_asked(PLX_E_TIMEOUT, "");
    answer_asked(0, "");
    assert_non_null(strstr(first_asked()->body, "\"hook\":\"join\",\"topic\":\"room:a\""));
    answer_asked(0, "{\"status\":\"ok\"}");
    fake_answer_all();
    assert_non_null(strstr(plx_buf_cstr(&trace), "reply 3 3 room:a ok {} opens\n"));
    /* When the application can't be reached, the join finds that out by itself. */
    client(s, "5", "5", "room:a", "phx_join", "{}");
    answer_asked(PLX_E_DOWN, "");
    assert_non_null(strstr(first_asked()->body, "\"hook\":\"join\""));
    answer_asked(PLX_E_DOWN, "");
    assert_int_equal(plx_http_channel_leaves(app), 1);
    assert_false(plx_http_channel_telling(app));
    client(s, "6", "6", "room:a", "phx_join", "{}");
    assert_non_null(strstr(first_asked()->body, "\"hook\":\"join\""));
    answer_asked(0, "{\"status\":\"ok\"}");
    fake_answer_all();
}

/* One that other leaves stand before; and the end of the worker. */
static void a_join_does_not_wait_for_other_leaves(void **state)
{
    static const char *const topics[] = {"room:a", "room:b", "room:c", "room:d"};

    (void)state;
    socket_config.max_channels = 100;
    for (unsigned i = 0; i < 4; i++)
        joined("1", topics[i]);
    for (unsigned i = 0; i < 4; i++)
        client(s, "1", "2", topics[i], "phx_leave", "{}");
    client(s, "4", "4", "room:d", "phx_join", "{}");
    assert_int_equal(plx_http_channel_leaves(app), 4); /* two of them are asked */
    answer_asked(0, "");
    answer_asked(0, "");
    assert_non_null(strstr(first_asked()->body, "\"hook\":\"leave\",\"topic\":\"room:d\""));
    plx_buf_clear(&trace);
    plx_http_channel_stop(app);
    expect("reply 4 4 room:d error {\"reason\":\"unavailable\"}\nidle\n");
    socket_config.max_channels = 3;
}

/* Half of the places; the others wait here, in order, and are not lost. */
static void many_leaves_at_once(void **state)
{
    char topic[24], ref[16];

    (void)state;
    socket_config.max_channels = 100;
    for (int i = 0; i < 50; i++) {
        snprintf(topic, sizeof topic, "room:%d", i);
        snprintf(ref, sizeof ref, "%d", i);
        joined(ref, topic);
    }
    asked_count = 0;
    plx_socket_free(s, PLX_END_CLOSED);
    s = NULL;
    assert_int_equal(asked_count, 2);
    assert_int_equal(plx_http_channel_leaves(app), 50);
    for (int i = 0; i < 50; i++) {
        snprintf(topic, sizeof topic, "room:%d\"", i);
        assert_non_null(strstr(first_asked()->body, topic));
        answer_asked(0, "");
    }
    assert_int_equal(asked_count, 50);
    assert_int_equal(plx_http_channel_leaves(app), 0);
    socket_config.max_channels = 3;
}

typedef struct watcher {
    plx_partings partings;
    unsigned begun, ended, gone;
} watcher;

static void begun(plx_partings *p)
{
    PLX_CONTAINER(p, watcher, partings)->begun++;
}

static void ended(plx_partings *p, int err)
{
    watcher *w = PLX_CONTAINER(p, watcher, partings);

    w->ended++;
    w->gone += err == PLX_E_GONE;
}

/* Whoever sweeps a session up waits until the application was told; told twice, it is asked once
 * at a time; and at the worker's end it is left to others. */
static void a_sweep_waits(void **state)
{
    watcher w[3];
    plx_socket *again[3];

    (void)state;
    memset(w, 0, sizeof w);
    joined("1", "room:a");
    for (int i = 0; i < 3; i++) {
        plx_buf packed;
        plx_socket_init init = {.ops = &harness_ops,
                                .store = fake_store,
                                .channels = &channels,
                                .session = i < 2 ? S("other") : S("third"),
                                .params = PLX_LIT("{}"),
                                .claims = PLX_LIT("{}")};
        plx_buf_init(&packed, 0);
        plx_membership_pack(plx_socket_find(s, S("room:a")), &packed);
        const plx_slot slot = {.number = 1, .topic = S("room:a"), .state = plx_buf_slice(&packed)};
        again[i] = plx_socket_new(&init);
        assert_non_null(plx_socket_restore(again[i], &slot));
        plx_buf_fini(&packed);
        w[i].partings = (plx_partings){begun, ended};
        again[i]->partings = &w[i].partings;
        again[i]->keeps_presence = true;
    }
    asked_count = 0;
    plx_socket_free(again[0], PLX_END_EXPIRED);
    plx_socket_free(again[1], PLX_END_EXPIRED);
    plx_socket_free(again[2], PLX_END_EXPIRED);
    assert_int_equal(asked_count, 2);
    assert_true(w[0].begun == 1 && w[0].ended == 0);
    answer_asked(0, "{\"broadcast\":[{\"event\":\"b\",\"payload\":{}}]}");
    assert_true(w[0].ended == 0 && w[1].ended == 1); /* the broadcast is under way */
    fake_answer_all();
    assert_true(w[0].ended == 1 && w[0].gone == 0);
    plx_http_channel_stop(app);
    assert_true(w[2].ended == 1 && w[2].gone == 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(documents),
        T(verbs_come_before_the_reply),
        T(impossible_verbs),
        T(no_answer),
        T(a_join_of_a_socket_that_is_gone),
        T(without_a_hook_nothing_can_be_asked),
        T(broadcasts_of_a_leave),
        T(an_entry_waits_for_its_leave),
        T(leaves_are_not_asked_for_ever),
        T(a_rejoin_is_asked_after_the_leave),
        T(a_join_does_not_wait_for_other_leaves),
        T(many_leaves_at_once),
        T(a_sweep_waits),
    };
    plx_log_init("test", PLX_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
