/* base/config: the contract file, defaults, and at every kind of mistake the line and what was
 * expected.
 */
#include "base/alloc.h"
#include "base/config.h"
#include "base/error.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define CONTRACT "tests/contract/pollux.conf"
#define SECRET   "secret = \"0123456789abcdef0123456789abcdef\"\n"

static char directory[] = "/tmp/plx-config-XXXXXX";
static char file[64];

static void write_file(const char *path, const char *text, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* Loads a text; problems are left in `problems`, which is the caller's to free. */
static int load(const char *text, plx_config **out, plx_buf *problems)
{
    write_file(file, text, strlen(text));
    plx_buf_init(problems, 0);
    return plx_config_load(file, out, problems);
}

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

static plx_config *load_contract(void)
{
    plx_config *c = NULL;
    plx_buf problems;
    plx_buf_init(&problems, 0);
    assert_int_equal(plx_config_load(CONTRACT, &c, &problems), 0);
    assert_int_equal(problems.len, 0);
    plx_buf_fini(&problems);
    return c;
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

/* ---- What is bad ---- */

typedef struct bad_case {
    const char *text;
    unsigned line;
    const char *what, *expected;
} bad_case;

#define GOOD_SOCKET      "socket \"/s\" { channel \"a\" { } }\n"
#define IN_SOCKET(text)  SECRET "socket \"/s\" {\n" text "\nchannel \"a\" { }\n}\n"
#define IN_CHANNEL(text) SECRET "socket \"/s\" {\nchannel \"a\" {\n" text "\n}\n}\n"
#define IN_AUTH(text)                                                                              \
    IN_SOCKET("auth { type = phoenix_token secret = \"01234567890123456789\" salt = x\n" text "}")
#define AT_TOP(text) SECRET text "\n" GOOD_SOCKET

static const bad_case bad_cases[] = {
    /* Syntax. */
    {AT_TOP("nonsense = 1"), 2, "unknown key \"nonsense\"", "secret, secret_file,"},
    {IN_SOCKET("window_ms = 1"), 3, "unknown key \"window_ms\" in socket \"/s\"", "websocket,"},
    {IN_CHANNEL("\nmode = 1"), 5, "unknown key \"mode\" in channel \"a\"", "backend, path,"},
    {IN_SOCKET("longpoll {\n\nwindow = 1 }"), 5, "unknown key \"window\" in longpoll", "window_ms"},
    {AT_TOP("redis { url }"), 2, "missing equal sign", "KEY = VALUE"},
    {AT_TOP("log_level = { info }"), 2, "unexpected token", "KEY = VALUE"},
    {AT_TOP("log_level info"), 2, "missing equal sign", "KEY = VALUE"},
    {AT_TOP("reader_threads += 3"), 2, "append to non-list", "KEY = VALUE"},
    {AT_TOP("trusted_proxies = { \"unix\""), 2, "brace is opened here and never closed", "}"},
    {SECRET "\nsocket \"/s\" {\n channel \"a\" {\n}\n", 3, "opened here and never closed", "}"},
    {AT_TOP("}"), 2, "closing brace too many", "KEY = VALUE"},
    {AT_TOP("\nlog_level = \"info"), 3, "string begins here and never ends", "closing quote"},
    {AT_TOP("log_level = 'info\n\n"), 2, "string begins here and never ends", "closing quote"},
    {AT_TOP("/* never\nends"), 2, "comment begins here and never ends", "*/"},
    {AT_TOP("log_level = \"\\9\""), 2, "backslash with digits", "character itself"},
    {AT_TOP("log_level = \"in\\x00fo\""), 2, "NUL in a string", "text"},
    {AT_TOP("log_level = \"a\001\""), 2, "control character", "UTF-8"},
    {AT_TOP("log_level = \"a\xff\""), 1, "not UTF-8", "UTF-8"},
    {AT_TOP("reader_threads = 4*"), 2, "unexpected *", "quotes"},
    {AT_TOP("redis|url = x"), 2, "unexpected |", "quotes"},
    {AT_TOP("socket { }"), 2, "missing title", "KEY = VALUE"},
    {AT_TOP("redis \"x\" { }"), 2, "missing opening brace", "SECTION"},
    {AT_TOP("{{{{{{{{{{{{{{{{{{"), 2, "too deep", "16"},
    {AT_TOP("include(\"/etc/passwd\")"), 2, "unknown key \"include\"", "secret,"},
    /* Given twice. */
    {AT_TOP("log_level = info\nlog_level = debug"), 3, "'log_level' is given twice", "once"},
    {AT_TOP("trusted_proxies = { unix }\ntrusted_proxies = { ::1, unix }"), 3, "given twice",
     "once"},
    {AT_TOP("redis { }\nredis { }"), 3, "section 'redis' is given twice", "once"},
    {IN_CHANNEL("history { }\n history { }"), 5, "section 'history' is given twice", "once"},
    {AT_TOP(GOOD_SOCKET), 4, "a second section \"/s\"", "each title once"},
    {IN_SOCKET("channel \"a\" { }"), 4, "a second section \"a\" in socket \"/s\"", "once"},
    {AT_TOP("socket \"/t/:a\" { }\nsocket \"/t/:b\" { }"), 3, "same paths as the one in line 2",
     "each path once"},
    /* The top. */
    {"log_level = info\n" GOOD_SOCKET, 1, "there is no 'secret'", "32 random"},
    {"\nsecret = \"short\"\n" GOOD_SOCKET, 2, "value of 'secret'", "at least 32"},
    {AT_TOP("previous_secret = \"short\""), 2, "value of 'previous_secret'", "at least 32"},
    {AT_TOP("log_level = loud"), 2, "\"loud\" is not possible for 'log_level'",
     "debug, info, warning or error"},
    {AT_TOP("trusted_proxies = { unix,\n \"nobody\" }"), 3, "\"nobody\"", "an IP address"},
    {AT_TOP("trusted_proxies = { \"10.0.0.1/8\" }"), 2, "\"10.0.0.1/8\"", "beyond the prefix"},
    {AT_TOP("trusted_proxies = { \"10.0.0.0/33\" }"), 2, "\"10.0.0.0/33\"", "an IP address"},
    {AT_TOP("max_body_bytes = 1023"), 2, "\"1023\"", "from 1024 to 1073741824"},
    {AT_TOP("max_body_bytes = -1"), 2, "\"-1\"", "a whole number"},
    {AT_TOP("queue_bytes = 1.5"), 2, "\"1.5\"", "a whole number"},
    {AT_TOP("queue_bytes = 1M"), 2, "\"1M\"", "a whole number"},
    {AT_TOP("reader_threads = \"\""), 2, "\"\" is not", "from 1 to 64"},
    {AT_TOP("reader_threads = 65"), 2, "\"65\"", "from 1 to 64"},
    {AT_TOP("reader_threads = 99999999999999999999999999"), 2, "is not possible", "from 1 to 64"},
    {AT_TOP("refuse_delay_ms = 20000"), 2, "\"20000\"", "from 0 to 10000"},
    {AT_TOP("delivery_log { messages = 1 }"), 2, "'messages'", "from 16"},
    {SECRET, 1, "no socket section", "socket \"/PATH\""},
    {"", 1, "no socket section", "socket"},
    /* Redis. */
    {AT_TOP("redis {\nurl = \"rediss://h:1/0\" }"), 3, "'url'", "stunnel"},
    {AT_TOP("redis { url = \"http://h:1/0\" }"), 2, "'url'", "unix:/PATH"},
    {AT_TOP("redis { url = \"unix:relative\" }"), 2, "'url'", "absolute path"},
    {AT_TOP("redis { url = \"redis://h:0/0\" }"), 2, "'url'", "port from 1"},
    {AT_TOP("redis { url = \"redis://h:70000/0\" }"), 2, "'url'", "port from 1"},
    {AT_TOP("redis { url = \"redis:///0\" }"), 2, "'url'", "HOST:PORT"},
    {AT_TOP("redis { url = \"redis://h/x\" }"), 2, "'url'", "database number"},
    {AT_TOP("redis { url = \"redis://u:@h/0\" }"), 2, "'url'", "password@"},
    {AT_TOP("redis { url = \"redis://u:%zz@h/0\" }"), 2, "'url'", "%XX"},
    {AT_TOP("redis { prefix = \"{x}\" }"), 2, "'prefix'", "without braces"},
    {AT_TOP("redis { prefix = \"\" }"), 2, "'prefix'", "1 to 64"},
    {AT_TOP("redis { prefix = \"a b\" }"), 2, "'prefix'", "visible"},
    /* Sockets. */
    {SECRET "socket \"s\" { }\n", 2, "\"s\" is not possible as a socket's title", "a path such as"},
    {SECRET "socket \"/s/\" { }\n", 2, "\"/s/\"", "none at its end"},
    {SECRET "socket \"/\" { }\n", 2, "\"/\"", "a path such as"},
    {SECRET "socket \"/a//b\" { }\n", 2, "\"/a//b\"", "a path such as"},
    {SECRET "socket \"/a/../b\" { }\n", 2, "\"/a/../b\"", "a path such as"},
    {SECRET "socket \"/a/:\" { }\n", 2, "\"/a/:\"", "a path such as"},
    {SECRET "socket \"/a/:x/:x\" { }\n", 2, "\"/a/:x/:x\"", "different names"},
    {SECRET "socket \"/a%20b\" { }\n", 2, "\"/a%20b\"", "a path such as"},
    {SECRET "socket \"/s\" {\nwebsocket { enabled = no }\nlongpoll { enabled = no } }\n", 2,
     "neither transport", "enabled"},
    {IN_SOCKET("websocket { enabled = maybe }"), 3, "\"maybe\"", "true or false"},
    {IN_SOCKET("websocket {\n timeout_ms = 0 }"), 4, "'timeout_ms'", "from 100"},
    {IN_SOCKET("longpoll { window_ms = 99 }"), 3, "\"99\"", "from 100 to 18000"},
    {IN_SOCKET("longpoll { window_ms = 18001 }"), 3, "\"18001\"", "from 100 to 18000"},
    {IN_SOCKET("max_channels = 0"), 3, "'max_channels'", "from 1 to 100000"},
    {IN_SOCKET("id = \"user:{user_id}\""), 3, "'id'", "{params.NAME}"},
    {IN_SOCKET("id = \"user:{params.}\""), 3, "'id'", "{params.NAME}"},
    {IN_SOCKET("id = \"user:{params.x\""), 3, "'id'", "{params.NAME}"},
    {IN_SOCKET("id = \"user:}\""), 3, "'id'", "{params.NAME}"},
    {IN_SOCKET("id = \"\""), 3, "'id'", "{params.NAME}"},
    {IN_SOCKET("id = \"a\\nb\""), 3, "'id'", "control characters"},
    {IN_SOCKET("check_origin = { }"), 2, "'check_origin' is empty", "same"},
    {IN_SOCKET("check_origin = { \"any\", \"same\" }"), 3, "\"any\" beside others", "alone"},
    {IN_SOCKET("check_origin = { \"example.com\" }"), 3, "\"example.com\"", "//HOST"},
    {IN_SOCKET("check_origin = { \"//Example.com\" }"), 3, "\"//Example.com\"", "lower case"},
    {IN_SOCKET("check_origin = { \"//a.*.com\" }"), 3, "\"//a.*.com\"", "*.DOMAIN"},
    {IN_SOCKET("check_origin = { \"http://a.com/\" }"), 3, "\"http://a.com/\"", "HOST"},
    {IN_SOCKET("check_origin = { \"//*\" }"), 3, "\"//*\"", "*.DOMAIN"},
    /* Authentication. */
    {IN_SOCKET("auth { type = magic }"), 3, "\"magic\"",
     "none, phoenix_token, jwt, ticket or hook"},
    {IN_SOCKET("\nauth { type = jwt key = x algorithms = { HS256 } }"), 4,
     "\"jwt\" is not available yet", "phoenix_token or none"},
    {IN_SOCKET("auth { type = ticket key = x }"), 3, "\"ticket\" is not available yet",
     "phoenix_token or none"},
    {IN_SOCKET("auth { type = hook url = x headers = { cookie } }"), 3,
     "\"hook\" is not available yet", "phoenix_token or none"},
    {IN_SOCKET("auth { type = phoenix_token salt = x }"), 3, "no good 'secret'", "secret_key_base"},
    {IN_SOCKET("auth { type = phoenix_token secret = \"01234567890123456789\" }"), 3,
     "no good 'salt'", "user socket"},
    {IN_SOCKET("auth { type = phoenix_token salt = x\nsecret = short }"), 4, "value of 'secret'",
     "at least 20"},
    {IN_SOCKET("auth { required = true }"), 3, "'required' without", "phoenix_token"},
    {IN_AUTH("key_digest = md5"), 4, "\"md5\"", "sha256, sha384 or sha512"},
    {IN_AUTH("key_iterations = 0"), 4, "'key_iterations'", "from 1"},
    {IN_AUTH("key_length = 8"), 4, "'key_length'", "from 16 to 256"},
    {IN_AUTH("param = \"\""), 4, "'param'", "1 to 64"},
    {IN_AUTH("claim = \"a b\""), 4, "'claim'", "visible"},
    {IN_AUTH("max_age_s = forever"), 4, "'max_age_s'", "a whole number"},
    /* Channels. */
    {SECRET "socket \"/s\" { channel \"a*b\" { } }\n", 2, "\"a*b\"", "one * at the end"},
    {SECRET "socket \"/s\" { channel \"\" { } }\n", 2, "\"\"", "a topic"},
    {IN_CHANNEL("backend = magic"), 4, "\"magic\"", "relay, echo or module"},
    {IN_CHANNEL("backend = http url = \"http://x\""), 4, "\"http\"", "not available yet"},
    {IN_CHANNEL("backend = module"), 3, "module without 'path'", "path ="},
    {IN_CHANNEL("backend = module path = \"m.so\""), 4, "\"m.so\"", "with a slash"},
    {IN_CHANNEL("\npath = \"/m.so\""), 5, "'path' with backend", "module"},
    {IN_CHANNEL("relay_to = some"), 4, "\"some\"", "all or others"},
    {IN_CHANNEL("reply = 2"), 4, "\"2\"", "true or false"},
    {IN_CHANNEL("join = nobody"), 4, "\"nobody\"", "any, authenticated or none"},
    {IN_CHANNEL("push = never"), 4, "\"never\"", "any, authenticated or none"},
    {IN_CHANNEL("only_topic = \"a:{claim.x}\""), 4, "'only_topic'", "{claims.NAME}"},
    {IN_CHANNEL("presence { }"), 4, "presence has no good 'key'", "template"},
    {IN_CHANNEL("presence { key = x meta = { \"noequals\" } }"), 4, "\"noequals\"", "NAME=TEXT"},
    {IN_CHANNEL("presence { key = x meta = { \"phx_ref=1\" } }"), 4, "\"phx_ref=1\"", "Phoenix"},
    {IN_CHANNEL("presence { key = x meta = { \"a=1\", \"a=2\" } }"), 4, "\"a=2\" beside \"a=1\"",
     "once"},
    {IN_CHANNEL("history { size = 0 }"), 4, "'size'", "from 1"},
    {IN_CHANNEL("history { ttl_s = 1e3 }"), 4, "'ttl_s'", "a whole number"},
    /* API. */
    {AT_TOP("api { keys = { k } }"), 2, "api has no good 'path'", "/api"},
    {AT_TOP("api { path = \"/api\" }"), 2, "api has no good 'keys'", "at least one"},
    {AT_TOP("api { path = \"/api\" keys = { \"\" } }"), 2, "value of 'keys'", "visible"},
    {AT_TOP("api { path = \"api\" keys = { k } }"), 2, "\"api\"", "/api"},
    {AT_TOP("api { path = \"/:a\" keys = { k } }"), 2, "\"/:a\"", "/api"},
    {AT_TOP("api { path = \"/s\" keys = { k } }"), 3, "lie inside each other", "neither"},
    {AT_TOP("api { path = \"/s/x\" keys = { k } }"), 3, "lie inside each other", "neither"},
    {SECRET "socket \"/:t/s\" { }\napi { path = \"/api\" keys = { k } }", 2,
     "lie inside each other", "neither"},
};

/* The line of `problems` that is about that line of the file, NUL-terminated. */
static const char *find_problem(const char *problems, unsigned line, const char *what,
                                const char *expected)
{
    static char found[4096];
    char prefix[96];
    snprintf(prefix, sizeof prefix, "%s:%u: ", file, line);
    for (const char *p = problems; *p; p += strcspn(p, "\n") + 1) {
        snprintf(found, sizeof found, "%.*s", (int)strcspn(p, "\n"), p);
        const char *tail = strstr(found, "(expected ");
        if (strncmp(found, prefix, strlen(prefix)) == 0 && strstr(found, what) && tail &&
            strstr(tail, expected))
            return found;
    }
    return NULL;
}

static void test_bad_ones(void **state)
{
    (void)state;
    assert_true(sizeof bad_cases / sizeof *bad_cases >= 100);
    for (size_t i = 0; i < sizeof bad_cases / sizeof *bad_cases; i++) {
        const bad_case *b = &bad_cases[i];
        plx_config *c = (plx_config *)0x1;
        plx_buf problems;
        int err = load(b->text, &c, &problems);
        if (err != PLX_E_INVALID ||
            !find_problem(plx_buf_cstr(&problems), b->line, b->what, b->expected))
            fail_msg("case %zu: %s\ngave %d\n%s", i, b->text, err, plx_buf_cstr(&problems));
        assert_ptr_equal(c, (plx_config *)0x1);
        plx_buf_fini(&problems);
        /* libConfuse's lexer is a global: whatever went wrong, the next file is read rightly. */
        plx_config_free(load_contract());
    }
}

static void test_many_problems_in_order(void **state)
{
    (void)state;
    plx_config *c;
    plx_buf problems;
    assert_int_equal(load("secret = short\nlog_level = loud\nsocket \"/s\" {\n"
                          "  longpoll { window_ms = 5 }\n  channel \"a\" { join = x }\n}\n"
                          "redis { prefix = \"{\" }\n",
                          &c, &problems),
                     PLX_E_INVALID);
    static const unsigned lines[] = {1, 2, 4, 5, 7};
    const char *p = plx_buf_cstr(&problems);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(strtoul(p + strlen(file) + 1, NULL, 10), lines[i]);
        p += strcspn(p, "\n") + 1;
    }
    assert_int_equal(*p, '\0');
    plx_buf_fini(&problems);
}

static void test_countless_problems(void **state)
{
    (void)state;
    plx_config *c;
    plx_buf text, problems;
    plx_buf_init(&text, 0);
    plx_buf_str(&text, SECRET "socket \"/s\" {\n");
    for (int i = 0; i < 500; i++)
        plx_buf_printf(&text, "channel \"%d\" { join = x }\n", i);
    plx_buf_str(&text, "}\n");
    assert_int_equal(load(plx_buf_cstr(&text), &c, &problems), PLX_E_INVALID);
    assert_non_null(strstr(plx_buf_cstr(&problems), "450 more problems"));
    assert_true(problems.len < 16384);
    plx_buf_fini(&text);
    plx_buf_fini(&problems);
}

static void test_secrets_are_not_shown(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "secret = \"hunter2\"\n" GOOD_SOCKET,
        AT_TOP("redis { url = \"redis://me:hunter2@h:99999/0\" }"),
        AT_TOP("redis { url = \"rediss://me:hunter2@h/0\" }"),
        IN_SOCKET("auth { type = phoenix_token salt = x secret = hunter2 }"),
        AT_TOP("api { path = \"/api\" keys = { \"hunter2 and more\" } }"),
    };
    for (size_t i = 0; i < 5; i++) {
        plx_config *c;
        plx_buf problems;
        assert_int_equal(load(texts[i], &c, &problems), PLX_E_INVALID);
        assert_null(strstr(plx_buf_cstr(&problems), "hunter2"));
        plx_buf_fini(&problems);
    }
}

/* ---- Files ---- */

static void test_files_that_are_none(void **state)
{
    (void)state;
    static const char *const paths[] = {"/nonexistent/pollux.conf", "/tmp", "/dev/zero"};
    static const int errors[] = {PLX_E_SYSTEM, PLX_E_INVALID, PLX_E_INVALID};
    for (size_t i = 0; i < 3; i++) {
        plx_config *c;
        plx_buf problems;
        plx_buf_init(&problems, 0);
        assert_int_equal(plx_config_load(paths[i], &c, &problems), errors[i]);
        assert_non_null(strstr(plx_buf_cstr(&problems), ":1: this file can't be read"));
        plx_buf_fini(&problems);
    }
}

static void test_a_file_too_long(void **state)
{
    (void)state;
    plx_config *c;
    plx_buf problems;
    size_t len = 2 * 1024 * 1024;
    char *text = plx_alloc(len + 1);
    memset(text, '\n', len);
    text[len] = '\0';
    assert_int_equal(load(text, &c, &problems), PLX_E_INVALID);
    assert_non_null(strstr(plx_buf_cstr(&problems), "too long"));
    plx_buf_fini(&problems);
    free(text);
}

static void test_a_nul_in_the_file(void **state)
{
    (void)state;
    static const char text[] = SECRET GOOD_SOCKET "\0nonsense";
    plx_config *c;
    plx_buf problems;
    plx_buf_init(&problems, 0);
    write_file(file, text, sizeof text - 1);
    assert_int_equal(plx_config_load(file, &c, &problems), PLX_E_INVALID);
    assert_non_null(find_problem(plx_buf_cstr(&problems), 3, "control character", "UTF-8"));
    plx_buf_fini(&problems);
}

/* Writes a secret file beside the configuration. */
static void write_secret(const char *text, mode_t mode)
{
    char path[96];
    snprintf(path, sizeof path, "%s/secret", directory);
    write_file(path, text, strlen(text));
    assert_int_equal(chmod(path, mode), 0);
}

static void test_secret_file(void **state)
{
    (void)state;
    plx_config *c;
    plx_buf problems;
    write_secret("  0123456789abcdef0123456789abcdef\r\n", 0600);
    assert_int_equal(load("secret_file = \"secret\"\n" GOOD_SOCKET, &c, &problems), 0);
    assert_string_equal(c->secret, "0123456789abcdef0123456789abcdef");
    assert_int_equal(problems.len, 0);
    plx_config_free(c);
    write_secret("0123456789abcdef0123456789abcdef", 0644);
    assert_int_equal(load("\nsecret_file = \"secret\"\n" GOOD_SOCKET, &c, &problems), 0);
    assert_memory_equal(plx_buf_cstr(&problems), "warning: ", 9);
    assert_non_null(strstr(plx_buf_cstr(&problems), ":2: 'secret_file'"));
    assert_non_null(strstr(plx_buf_cstr(&problems), "can be read by everybody"));
    plx_config_free(c);
    plx_buf_fini(&problems);
}

static void test_bad_secret_files(void **state)
{
    (void)state;
    plx_config *c;
    plx_buf problems;
    write_secret("short", 0600);
    static const struct {
        const char *text, *what;
    } cases[] = {{"secret_file = \"secret\"\n" GOOD_SOCKET, "is not possible"},
                 {"secret_file = \"/nonexistent\"\n" GOOD_SOCKET, "can't be read"},
                 {"secret_file = \"/tmp\"\n" GOOD_SOCKET, "no regular file"},
                 {"secret_file = \"secret\" " AT_TOP(""), "beside the secret itself"}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(load(cases[i].text, &c, &problems), PLX_E_INVALID);
        assert_non_null(strstr(plx_buf_cstr(&problems), cases[i].what));
        assert_null(strstr(plx_buf_cstr(&problems), "there is no 'secret'"));
        plx_buf_fini(&problems);
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
        {IN_AUTH("issuer = x"), ":4: 'issuer' has no effect"},
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

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(file, sizeof file, "%s/pollux.conf", directory);
    return 0;
}

static int remove_directory(void **state)
{
    char path[96];
    (void)state;
    snprintf(path, sizeof path, "%s/secret", directory);
    unlink(path);
    unlink(file);
    return rmdir(directory);
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
        cmocka_unit_test(test_bad_ones),
        cmocka_unit_test(test_many_problems_in_order),
        cmocka_unit_test(test_countless_problems),
        cmocka_unit_test(test_secrets_are_not_shown),
        cmocka_unit_test(test_files_that_are_none),
        cmocka_unit_test(test_a_file_too_long),
        cmocka_unit_test(test_a_nul_in_the_file),
        cmocka_unit_test(test_secret_file),
        cmocka_unit_test(test_bad_secret_files),
        cmocka_unit_test(test_warnings),
    };
    return cmocka_run_group_tests_name("config", tests, make_directory, remove_directory);
}
