/* Opening a long-poll session: asking the application, waiting for Redis, refusing; and the end of
 * a session whose token runs out. */
#include "tests/unit/fake_hook.h"
#include "tests/unit/lp_world.h"

#include "base/log.h"
#include "channel/phoenix_token.h"

static const char *cookie;

static bool cookie_or_type(const plx_http_request *r, const char *name, plx_slice *value)
{
    if (strcmp(name, "cookie") != 0)
        return header(r, name, value);
    *value = plx_slice_of(cookie);
    return cookie != NULL;
}

static void connect_with(const char *name, const char *query)
{
    client *c = new_client(name, "GET", "");
    snprintf(c->query, sizeof c->query, "%s", query);
    c->http.query = plx_slice_of(c->query);
    c->http.header = cookie_or_type;
    assert_true(plx_longpoll_handle(lp, &c->http));
}

static char *header_names[] = {"cookie"};

static int start(void **state)
{
    plx_log_init("test", PLX_INFO);
    world_start(state);
    fake_hook_reset();
    cookie = "sid=1";
    static char *any[] = {"any"};
    socket_config.check_origin = (plx_strings){any, 1};
    socket_config.auth = (plx_auth_config){.param = "token", .claim = "user_id"};
    config.refuse_delay_ms = 0;
    channels.auth = NULL;
    return 0;
}

static int start_hook(void **state)
{
    start(state);
    socket_config.auth.type = PLX_AUTH_HOOK;
    socket_config.auth.headers = (plx_strings){header_names, 1};
    channels.auth = plx_auth_hook_open(NULL, &socket_config);
    return 0;
}

static int stop(void **state)
{
    world_stop(state);
    plx_auth_hook_close(channels.auth);
    channels.auth = NULL;
    return 0;
}

static void accept_asked(void)
{
    answer_asked(0, "{\"status\":\"ok\",\"claims\":{\"user_id\":1}}");
}

static void test_without_a_hook(void **state)
{
    (void)state;
    connect_with("a", "vsn=2.0.0");
    expect("create /socket\n");
    created(0);
    expect("a 410 q0 []\n");
    connect_with("b", "vsn=9.9.9");
    expect("b 403\n");
}

static void test_asked(void **state)
{
    (void)state;
    connect_with("a", "vsn=2.0.0&x=1");
    expect("");
    assert_non_null(strstr(first_asked()->body, "\"transport\":\"longpoll\""));
    assert_non_null(strstr(first_asked()->body, "\"params\":{\"vsn\":\"2.0.0\",\"x\":\"1\"}"));
    assert_int_equal(plx_longpoll_parked(lp), 1);
    advance(60000); /* its own time limit is the hook's */
    expect("");
    accept_asked();
    expect("create /socket\n");
    created(0);
    expect("a 410 q0 []\n");
    assert_int_equal(plx_longpoll_parked(lp), 0);
}

static void test_refused(void **state)
{
    (void)state;
    connect_with("a", "");
    answer_asked(0, "{\"status\":\"error\",\"reason\":\"no\"}");
    expect("a 403\n");
    connect_with("b", "");
    answer_asked(PLX_E_DOWN, "");
    expect("b HTTP 503 500\n");
    connect_with("c", "");
    answer_asked(0, "{\"status\":\"ok\",\"claims\":1}");
    expect("c HTTP 503 500\n");
    /* After a random delay. */
    config.refuse_delay_ms = 1000;
    connect_with("d", "");
    answer_asked(0, "{\"status\":\"error\",\"reason\":\"no\"}");
    connect_with("e", "");
    answer_asked(PLX_E_DOWN, "");
    assert_int_equal(plx_longpoll_parked(lp), 2);
    advance(1000);
    assert_int_equal(plx_longpoll_parked(lp), 0);
    const char *log = plx_buf_cstr(&trace);
    assert_non_null(strstr(log, "d 403\n"));
    assert_non_null(strstr(log, "e HTTP 503 500\n"));
    ignore_trace();
}

static void test_client_goes_while_asked(void **state)
{
    (void)state;
    connect_with("a", "");
    connect_with("b", "x=1");
    go("a");
    assert_int_equal(cancelled_count, 1);
    assert_int_equal(plx_longpoll_parked(lp), 1);
    accept_asked();
    go("b"); /* and one whose session is being made */
    created(0);
    expect("create /socket\n");
    assert_int_equal(plx_longpoll_parked(lp), 0);
}

/* Nothing of a hook's waiting is disturbed by Redis, nor the other way round. */
static void test_redis_goes_meanwhile(void **state)
{
    (void)state;
    connect_with("a", "");
    store_goes();
    store_comes();
    expect("");
    store_goes();
    accept_asked();
    expect("");
    advance(1000);
    store_comes();
    expect("create /socket\n");
    created(0);
    expect("a 410 q0 []\n");
    /* Redis does not come back. */
    store_goes();
    connect_with("b", "");
    accept_asked();
    advance(4999);
    expect("");
    advance(1);
    expect("b HTTP 503 500\n");
    store_comes();
}

static unsigned drained;

static void on_drained(void *arg)
{
    (void)arg;
    drained++;
}

static void test_drain_waits_for_the_answer(void **state)
{
    (void)state;
    drained = 0;
    connect_with("a", "");
    plx_longpoll_drain(lp, on_drained, NULL);
    advance(100);
    assert_int_equal(drained, 0);
    accept_asked();
    created(0);
    expect("create /socket\na 410 q0 []\n");
    advance(100);
    assert_int_equal(drained, 1);
}

/* Nor for longer than a stopping worker has. */
static void test_drain_does_not_wait_for_ever(void **state)
{
    (void)state;
    drained = 0;
    connect_with("a", "");
    plx_longpoll_drain(lp, on_drained, NULL);
    connect_with("b", "x=1");
    advance(2499);
    expect("");
    advance(51);
    expect("a HTTP 503 500\nb HTTP 503 500\n");
    assert_int_equal(cancelled_count, 2);
    advance(50);
    assert_int_equal(drained, 1);
}

static void test_end_while_asked(void **state)
{
    (void)state;
    connect_with("a", "");
    connect_with("b", "x=1");
    plx_longpoll_free(lp);
    expect("a HTTP 503 500\nb HTTP 503 500\n");
    assert_int_equal(cancelled_count, 2);
    assert_true(plx_list_empty(&asked));
    lp = plx_longpoll_new(store, &config, &channels);
}

/* ---- expiry ---- */

static char secret[] = "0123456789abcdef0123456789abcdef", salt[] = "salt", sha256[] = "sha256";

/* Connects with a token that is good for so long from now. */
static void connect_for(const char *name, uint64_t seconds)
{
    const plx_phoenix_key key = {plx_slice_of(secret), plx_slice_of(salt), PLX_SHA256, 1000, 32};
    char query[1000];
    plx_buf token;
    socket_config.auth = (plx_auth_config){.type = PLX_AUTH_PHOENIX_TOKEN,
                                           .secret = secret,
                                           .salt = salt,
                                           .key_digest = sha256,
                                           .key_iterations = 1000,
                                           .key_length = 32,
                                           .param = "token",
                                           .claim = "user_id"};
    plx_buf_init(&token, 0);
    plx_phoenix_token_sign(&key, PLX_SHA256, plx_slice_of("7"), plx_wall_ms(), seconds, &token);
    snprintf(query, sizeof query, "token=%s", plx_buf_cstr(&token));
    plx_buf_fini(&token);
    connect_with(name, query);
}

static void test_expiry_goes_with_the_session(void **state)
{
    (void)state;
    connect_for("a", 60);
    expect("create /socket expires in 60001\n");
    created(0);
    expect("a 410 q0 []\n");
    connect_for("b", 0); /* never */
    expect("create /socket\n");
    created(0);
    ignore_trace();
}

/* What is left when Redis is back counts; a token that has run out by then is refused. */
static void test_expiry_while_redis_is_away(void **state)
{
    (void)state;
    store_goes();
    connect_for("a", 60);
    connect_for("b", 3);
    advance(3500);
    store_comes();
    expect("create /socket expires in 56501\nb 403\n");
    created(0);
    expect("a 410 q0 []\n");
}

/* The window ends where the session does; the look finds it gone, and the client starts anew. */
static void test_parked_poll_at_the_end(void **state)
{
    (void)state;
    poll("a", "S1", 0, "");
    view.expires_in_ms = 3000;
    viewed(0);
    expect("poll S1 q0 #1\n");
    advance(3019);
    expect("");
    advance(1);
    expect("look S1 q0 #1\n");
    viewed(PLX_E_GONE);
    expect("a 500\n");
    assert_int_equal(plx_longpoll_parked(lp), 0);
}

/* Redis' clock is behind ours by a little: the next poll learns of the same end again. */
static void test_end_that_is_not_there_yet(void **state)
{
    (void)state;
    poll("a", "S1", 0, "");
    view.expires_in_ms = 3000;
    viewed(0);
    advance(3020);
    viewed(0);
    turn();
    expect("poll S1 q0 #1\nlook S1 q0 #1\na 204 q0 []\n");
}

static void test_end_beyond_the_window(void **state)
{
    (void)state;
    poll("a", "S1", 0, "");
    view.expires_in_ms = UINT64_C(100000000000000);
    viewed(0);
    advance(10000);
    viewed(0);
    turn();
    expect("poll S1 q0 #1\nlook S1 q0 #1\na 204 q0 []\n");
    poll("b", "S1", 0, "");
    viewed(PLX_E_GONE); /* it ended between two polls */
    expect("poll S1 q0 #2\nb 500\n");
    post("c", "S1", "[null,\"1\",\"phoenix\",\"heartbeat\",{}]");
    posted(PLX_E_GONE, PLX_POST_WAIT, 0, 0);
    const char *end = strstr(plx_buf_cstr(&trace), "c 410\n");
    assert_non_null(end);
    ignore_trace();
}

/* A message that is there before the end is delivered before it. */
static void test_message_before_the_end(void **state)
{
    (void)state;
    poll("a", "S1", 0, "");
    view.expires_in_ms = 3000;
    has_text(1, "[]");
    viewed(0);
    turn();
    expect("poll S1 q0 #1\na 200 q1 [\"[]\"]\n");
}

#define TEST(f)      cmocka_unit_test_setup_teardown(f, start, stop)
#define TEST_HOOK(f) cmocka_unit_test_setup_teardown(f, start_hook, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_without_a_hook),
        TEST_HOOK(test_asked),
        TEST_HOOK(test_refused),
        TEST_HOOK(test_client_goes_while_asked),
        TEST_HOOK(test_redis_goes_meanwhile),
        TEST_HOOK(test_drain_waits_for_the_answer),
        TEST_HOOK(test_drain_does_not_wait_for_ever),
        TEST_HOOK(test_end_while_asked),
        TEST(test_expiry_goes_with_the_session),
        TEST(test_expiry_while_redis_is_away),
        TEST(test_parked_poll_at_the_end),
        TEST(test_end_that_is_not_there_yet),
        TEST(test_end_beyond_the_window),
        TEST(test_message_before_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
