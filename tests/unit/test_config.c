/* base/config: the contract file, defaults, warnings. */
#include "base/alloc.h"
#include "config_harness.h"
#include <sys/stat.h>

static plx_config *load_good(const char *text)
{
    plx_config *c = NULL;
    plx_buf problems;
    int err = load(text, &c, &problems);
    if (err)
        print_error("%s", plx_buf_cstr(&problems));
    assert_int_equal(err, 0);
    plx_buf_fini(&problems);
    return c;
}

/* ---- What is good ---- */

static const plx_channel_config *channel(const plx_config *c, const char *pattern)
{
    const plx_socket_config *s = &c->sockets[0];
    for (size_t i = 0; i < s->channel_count; i++)
        if (strcmp(s->channels[i].pattern, pattern) == 0)
            return &s->channels[i];
    return NULL;
}

static void test_contract_top(void **state)
{
    (void)state;
    plx_config *c = load_contract();
    assert_string_equal(c->file, CONTRACT);
    assert_string_equal(c->redis.url, "unix:/run/redis/redis-server.sock");
    assert_string_equal(c->redis.prefix, "plx:");
    assert_string_equal(c->secret, "replace-this-with-at-least-32-random-characters");
    assert_null(c->previous_secret);
    assert_int_equal(c->log_level, PLX_INFO);
    assert_int_equal(c->trusted_proxies.count, 2);
    assert_string_equal(c->trusted_proxies.items[0], "127.0.0.1");
    assert_string_equal(c->trusted_proxies.items[1], "unix");
    assert_string_equal(c->api.path, "/api");
    assert_int_equal(c->api.keys.count, 1);
    assert_string_equal(c->api.keys.items[0], "contract-api-key");
    plx_config_free(c);
}

static void test_contract_socket(void **state)
{
    (void)state;
    plx_config *c = load_contract();
    assert_int_equal(c->socket_count, 1);
    const plx_socket_config *s = &c->sockets[0];
    assert_string_equal(s->path, "/socket");
    assert_int_equal(s->line, 16);
    assert_true(s->websocket && s->longpoll && s->ws_compress);
    assert_int_equal(s->ws_timeout_ms, 60000);
    assert_int_equal(s->ws_max_frame_bytes, 1048576);
    assert_int_equal(s->lp_window_ms, 10000);
    assert_int_equal(s->check_origin.count, 3);
    assert_string_equal(s->check_origin.items[2], "//*.example.com");
    assert_int_equal(s->max_channels, 100);
    assert_int_equal(s->auth.type, PLX_AUTH_PHOENIX_TOKEN);
    assert_string_equal(s->auth.secret,
                        "a-secret-key-base-shared-with-the-application-that-signs-tokens");
    assert_string_equal(s->auth.salt, "user socket");
    assert_string_equal(s->auth.param, "token");
    assert_string_equal(s->auth.claim, "user_id");
    assert_int_equal(s->auth.max_age_s, 1209600);
    assert_false(s->auth.required);
    assert_string_equal(s->id, "user_socket:{params.user_id}");
    plx_config_free(c);
}

static void test_contract_channels(void **state)
{
    (void)state;
    plx_config *c = load_contract();
    assert_int_equal(c->sockets[0].channel_count, 8);
    assert_false(channel(c, "room:*")->relay_to_others);
    assert_int_equal(channel(c, "room:*")->line, 41);
    assert_true(channel(c, "quiet:*")->relay_to_others);
    assert_string_equal(channel(c, "echo:*")->backend, "echo");
    assert_int_equal(channel(c, "deny:*")->join, PLX_WHO_NONE);
    assert_int_equal(channel(c, "user:*")->push, PLX_WHO_NONE);
    assert_string_equal(channel(c, "user:*")->only_topic, "user:{claims.user_id}");
    const plx_channel_config *lobby = channel(c, "lobby:*"), *hist = channel(c, "hist:*");
    assert_true(lobby->has_presence && !lobby->has_history);
    assert_string_equal(lobby->presence_key, "{params.user_id}");
    assert_int_equal(lobby->presence_meta.count, 1);
    assert_string_equal(lobby->presence_meta.items[0], "name={params.user_id}");
    assert_true(hist->has_history && hist->reply && !hist->has_presence);
    assert_int_equal(hist->history_size, 100);
    assert_int_equal(hist->history_ttl_s, 600);
    assert_false(channel(c, "realtime:*")->has_presence);
    plx_config_free(c);
}

static void test_defaults(void **state)
{
    (void)state;
    plx_config *c = load_good(SECRET "socket \"/s\" { channel \"a\" { } }\n");
    const plx_socket_config *s = &c->sockets[0];
    assert_string_equal(c->redis.url, "redis://127.0.0.1:6379/0");
    assert_string_equal(c->redis.prefix, "plx:");
    assert_int_equal(c->log_level, PLX_INFO);
    assert_int_equal(c->trusted_proxies.count, 0);
    assert_int_equal(c->max_body_bytes, 1048576);
    assert_int_equal(c->refuse_delay_ms, 1000);
    assert_int_equal(c->queue_bytes, 1048576);
    assert_int_equal(c->reader_threads, 4);
    assert_int_equal(c->delivery_log.messages, 1024);
    assert_int_equal(c->delivery_log.bytes, 8388608);
    assert_int_equal(c->delivery_log.ttl_s, 3600);
    assert_null(c->api.path);
    assert_true(s->websocket && s->longpoll && !s->ws_compress);
    assert_int_equal(s->ws_timeout_ms, 60000);
    assert_int_equal(s->ws_max_frame_bytes, 1048576);
    assert_int_equal(s->lp_window_ms, 10000);
    assert_int_equal(s->check_origin.count, 1);
    assert_string_equal(s->check_origin.items[0], "same");
    assert_int_equal(s->max_channels, 100);
    assert_null(s->id);
    plx_config_free(c);
}

static void test_defaults_of_auth_and_channel(void **state)
{
    (void)state;
    plx_config *c = load_good(SECRET "socket \"/s\" { channel \"a\" { } }\n");
    const plx_auth_config *a = &c->sockets[0].auth;
    const plx_channel_config *ch = channel(c, "a");
    assert_int_equal(a->type, PLX_AUTH_NONE);
    assert_null(a->secret);
    assert_string_equal(a->key_digest, "sha256");
    assert_int_equal(a->key_iterations, 1000);
    assert_int_equal(a->key_length, 32);
    assert_string_equal(a->param, "token");
    assert_string_equal(a->claim, "user_id");
    assert_int_equal(a->max_age_s, 0);
    assert_string_equal(ch->backend, "relay");
    assert_int_equal(ch->join, PLX_WHO_ANY);
    assert_int_equal(ch->push, PLX_WHO_ANY);
    assert_false(ch->reply || ch->relay_to_others || ch->has_presence || ch->has_history);
    assert_null(ch->only_topic);
    plx_config_free(c);
}

static void test_everything_set(void **state)
{
    (void)state;
    plx_config *c = load_good(
        "log_level = debug\nmax_body_bytes = 2048 refuse_delay_ms = 0 queue_bytes = 65536\n"
        "reader_threads = 64 previous_secret = \"abcdefghijklmnopqrstuvwxyz-previous\"\n" SECRET
        "delivery_log { messages = 16 bytes = 65536 ttl_s = 60 }\n"
        "redis { url = \"redis://me:p%40ss@[::1]:6380/3\" prefix = \"a:\" }\n"
        "trusted_proxies = { \"10.0.0.0/8\", \"fd00::/8\", unix }\n"
        "socket \"/s/:room\" {\n"
        "  websocket { enabled = off } longpoll { enabled = YES window_ms = 18000 }\n"
        "  auth { type = phoenix_token secret = \"0123456789012345678901\" salt = x\n"
        "         key_digest = sha512 key_iterations = 5 key_length = 64 required = true }\n"
        "  channel \"m:*\" { backend = module path = \"/lib/m.so\" settings = 'a\nb' }\n"
        "}\n");
    const plx_socket_config *s = &c->sockets[0];
    assert_int_equal(c->log_level, PLX_DEBUG);
    assert_int_equal(c->max_body_bytes, 2048);
    assert_int_equal(c->refuse_delay_ms, 0);
    assert_int_equal(c->reader_threads, 64);
    assert_string_equal(c->previous_secret, "abcdefghijklmnopqrstuvwxyz-previous");
    assert_int_equal(c->delivery_log.messages, 16);
    assert_int_equal(c->trusted_proxies.count, 3);
    assert_false(s->websocket);
    assert_true(s->longpoll);
    assert_int_equal(s->lp_window_ms, 18000);
    assert_string_equal(s->auth.key_digest, "sha512");
    assert_int_equal(s->auth.key_iterations, 5);
    assert_int_equal(s->auth.key_length, 64);
    assert_true(s->auth.required);
    assert_string_equal(channel(c, "m:*")->settings, "a\nb");
    plx_config_free(c);
}

/* Things that libConfuse by itself gets wrong: lists with comments, the comment at the very end. */
static void test_comments_and_line_ends(void **state)
{
    (void)state;
    plx_config *c = load_good("\xef\xbb\xbf# first\r\n" SECRET "trusted_proxies = { # in a list\r\n"
                              "  \"unix\", // two kinds /* of */\r\n"
                              "  /* \" */ \"::1\" }\r\n"
                              "redis { url = redis://localhost:1/0 }\n"
                              "socket \"/ab\" {}\n");
    plx_config_free(c);
}

static void test_comments_are_not_in_strings(void **state)
{
    (void)state;
    plx_config *c = load_good(SECRET "socket '/s' { channel \"a//#/*\" { backend = echo } } # end");
    assert_string_equal(c->sockets[0].channels[0].pattern, "a//#/*");
    plx_config_free(c);
}

static void test_environment(void **state)
{
    (void)state;
    setenv("PLX_TEST_SECRET", "0123456789abcdef0123456789abcdef-env", 1);
    plx_config *c = load_good("secret = \"${PLX_TEST_SECRET}\" log_level = ${PLX_NONE:-error}\n"
                              "socket \"/s\" { id = \"u:{params.u}\" }\n");
    assert_string_equal(c->secret, "0123456789abcdef0123456789abcdef-env");
    assert_int_equal(c->log_level, PLX_ERROR);
    assert_string_equal(c->sockets[0].id, "u:{params.u}");
    plx_config_free(c);
}

static void test_path_of_the_file(void **state)
{
    (void)state;
    unsetenv("POLLUX_CONFIG");
    assert_string_equal(plx_config_path(NULL), "/etc/pollux/pollux.conf");
    setenv("POLLUX_CONFIG", "", 1);
    assert_string_equal(plx_config_path(NULL), "/etc/pollux/pollux.conf");
    setenv("POLLUX_CONFIG", "/x", 1);
    assert_string_equal(plx_config_path(NULL), "/x");
    assert_string_equal(plx_config_path("/y"), "/y");
    unsetenv("POLLUX_CONFIG");
}

static void test_patterns(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "room:*", "*", "ünï:*", "room:1"};
    static const char *const bad[] = {"", "a*b", "**", "*a", "a**"};
    for (size_t i = 0; i < 5; i++) {
        assert_true(plx_pattern_valid(plx_slice_of(good[i])));
        assert_false(plx_pattern_valid(plx_slice_of(bad[i])));
    }
}

static void test_warnings(void **state)
{
    (void)state;
    static const struct {
        const char *text, *warning;
    } cases[] = {
        {AT_TOP("api { path = \"/api\" keys = { short } }"), ":2: an api key is shorter"},
        {SECRET "socket \"/s\" { }\n", ":2: socket \"/s\" has no channel"},
        {IN_CHANNEL("backend = echo reply = true"), ":3: 'relay_to' and 'reply' have no effect"},
        {IN_CHANNEL("settings = x"), ":4: 'settings' has no effect"},
        {IN_CHANNEL("join = authenticated"), ":4: join = \"authenticated\""},
        {IN_CHANNEL("\npush = authenticated"), ":5: push = \"authenticated\""},
        {IN_CHANNEL("only_topic = \"a:{claims.x}\""), ":4: 'only_topic' asks for claims"},
        {"secret = \"CHANGE-THIS-456789abcdef0123456789\"\n" GOOD_SOCKET, ":1: 'secret' still"},
        {AT_TOP("previous_secret = \"0123456789-Replace-This-0123456789\""),
         ":2: 'previous_secret' still looks like an example"},
        {IN_SOCKET("auth { type = phoenix_token salt = x\nsecret = \"replace-this-0123456789\" }"),
         ":4: auth's 'secret' still looks like an example"},
        {IN_AUTH("issuer = x"), ":4: 'issuer' has no effect"},
        {IN_SOCKET("auth { type = hook url = \"http://x\" secret = abcdefghijklmnopqrstuvwxyz\n"
                   "required = true }"),
         ":4: 'required' has no effect with auth type \"hook\""},
        {IN_SOCKET("auth { type = jwt algorithms = { HS256 } key = abcdefghijklmnopqrstuvwxyz\n"
                   "claim = sub }"),
         ":4: 'claim' has no effect with auth type \"jwt\""},
        {IN_CHANNEL("\nurl = \"http://x\""), ":5: 'url' has no effect with backend \"relay\""},
        {IN_CHANNEL("backend = echo\nsecret = abcdefghijklmnopqrstuvwxyz"), ":5: 'secret' has no"},
        {IN_CHANNEL("timeout_ms = 100"), ":4: 'timeout_ms' has no effect"},
        {IN_CHANNEL("max_in_flight = 3"), ":4: 'max_in_flight' has no effect"},
        {IN_CHANNEL("hooks = { join }"), ":4: 'hooks' has no effect"},
        {IN_CHANNEL("backend = http url = \"http://x\" secret = abcdefghijklmnopqrstuvwxyz\n"
                    "hooks = { join }\nevents = { order }"),
         ":6: 'events' has no effect without \"push\""},
        {IN_CHANNEL("only_topic = \"b:{params.x}\""), ":4: 'only_topic' is never a topic"},
        {IN_CHANNEL("only_topic = b"), ":4: 'only_topic' is never a topic"},
        {IN_CHANNEL("only_topic = \"ab{params.x}\""), ":4: 'only_topic' is never a topic"},
        {SECRET "socket \"/s\" { channel \"user:*\" { only_topic = \"usr:{params.id}\" } }\n",
         ":2: 'only_topic' is never a topic"},
        {SECRET "socket \"/s\" { channel \"user:*\" { only_topic = use } }\n",
         ":2: 'only_topic' is never a topic"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plx_config *c;
        plx_buf problems;
        assert_int_equal(load(cases[i].text, &c, &problems), 0);
        assert_memory_equal(plx_buf_cstr(&problems), "warning: ", 9);
        assert_non_null(strstr(plx_buf_cstr(&problems), cases[i].warning));
        plx_buf_fini(&problems);
        plx_config_free(c);
    }
}

/* Templates that do fit their pattern are not complained about. */
static void test_no_warnings(void **state)
{
    (void)state;
    static const char *const texts[] = {
        IN_CHANNEL("only_topic = a"),
        IN_CHANNEL("only_topic = \"{params.x}\""),
        IN_CHANNEL("only_topic = \"a{params.x}\""),
        SECRET "socket \"/s\" { channel \"user:*\" { only_topic = \"user:{params.id}\" } }\n",
        SECRET "socket \"/s\" { channel \"user:*\" { only_topic = \"user:1\" } }\n",
        SECRET "socket \"/s\" { channel \"user:*\" { only_topic = \"us{params.id}\" } }\n",
        SECRET "socket \"/s\" { channel \"*\" { only_topic = \"user:{params.id}\" } }\n",
        IN_CHANNEL("backend = http url = \"http://x\" secret = abcdefghijklmnopqrstuvwxyz "
                   "hooks = { join, push } events = { order } timeout_ms = 100 max_in_flight = 3"),
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        plx_config *c;
        plx_buf problems;
        assert_int_equal(load(texts[i], &c, &problems), 0);
        assert_string_equal(plx_buf_cstr(&problems), "");
        plx_buf_fini(&problems);
        plx_config_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contract_top),
        cmocka_unit_test(test_contract_socket),
        cmocka_unit_test(test_contract_channels),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_defaults_of_auth_and_channel),
        cmocka_unit_test(test_everything_set),
        cmocka_unit_test(test_comments_and_line_ends),
        cmocka_unit_test(test_comments_are_not_in_strings),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_path_of_the_file),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_no_warnings),
    };
    return cmocka_run_group_tests_name("config", tests, make_directory, remove_directory);
}
