/* base/config: at every kind of mistake the line and what was expected. */
#include "config_harness.h"

#define KEY "0123456789abcdefghijklmnop"

typedef struct bad_case {
    const char *text;
    unsigned line;
    const char *what, *expected;
} bad_case;

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
    {AT_TOP("log_level = \"a\xff\""), 2, "not UTF-8", "UTF-8"},
    {AT_TOP("\n# \xc3\xa9 is, this is cut: \xc3\n"), 3, "not UTF-8", "UTF-8"},
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
    {IN_SOCKET("\nauth { type = jwt algorithms = { HS256 } }"), 4, "no good 'key'", "PEM"},
    {IN_SOCKET("auth { type = jwt key = " KEY " }"), 3, "no good 'algorithms'", "HS256"},
    {IN_SOCKET("auth { type = jwt key = " KEY "\nalgorithms = { none } }"), 4, "\"none\"", "ES256"},
    {IN_SOCKET("auth { type = jwt key = " KEY "\nalgorithms = { HS256, RS256 } }"), 4,
     "mixes shared secrets", "one kind"},
    {IN_SOCKET("auth { type = jwt algorithms = { HS256 }\nkey = short }"), 4, "value of 'key'",
     "at least 16"},
    {IN_SOCKET("auth { type = ticket }"), 3, "no good 'key'", "signed"},
    {IN_SOCKET("auth { type = hook secret = " KEY " }"), 3, "no good 'url'", "http://"},
    {IN_SOCKET("auth { type = hook url = \"http://a/b\" }"), 3, "no good 'secret'", "signed"},
    {IN_SOCKET("auth { type = hook secret = " KEY "\nurl = \"ftp://a/b\" }"), 4, "\"ftp://a/b\"",
     "https://"},
    {IN_SOCKET("auth { type = hook secret = " KEY "\nurl = \"http://u:p@a/b\" }"), 4,
     "\"http://u:p@a/b\"", "without a user"},
    {IN_SOCKET("auth { type = hook secret = " KEY " url = \"http://a/b\"\nheaders = { \"a b\" } }"),
     4, "\"a b\"", "cookie"},
    {IN_SOCKET("auth { type = hook secret = " KEY
               " url = \"http://a/b\" }\ncheck_origin = { any }"),
     4, "\"any\" although cookies", "same"},
    {IN_SOCKET("auth { type = hook secret = " KEY
               " url = \"http://a/b\" headers = { Authorization } }\ncheck_origin = { any }"),
     4, "\"any\" although cookies", "same"},
    {IN_AUTH("csrf_param = x"), 4, "belong together", "both"},
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
    {IN_CHANNEL("\nevents = { }"), 3, "'events' is empty", "push = \"none\""},
    {IN_CHANNEL("backend = magic"), 4, "\"magic\"", "relay, echo, module or http"},
    {IN_CHANNEL("backend = http secret = " KEY), 3, "good 'url'", "http://"},
    {IN_CHANNEL("backend = http url = \"http://x\""), 3, "good 'secret'", "signed"},
    {IN_CHANNEL("hooks = { join, part }"), 4, "\"part\"", "join, push or leave"},
    {IN_CHANNEL("events = { \"\" }"), 4, "'events'", "some text"},
    {IN_CHANNEL("rate { per_s = 0 }"), 4, "'per_s'", "from 1"},
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
    {IN_CHANNEL("latest { }\n history { }"), 4, "'latest' beside 'history'", "one of them"},
    {IN_CHANNEL("latest { ttl_s = 0 }"), 4, "'ttl_s'", "from 1"},
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

/* The origin that was left out must not be followed by a complaint that none is left. */
static void test_a_bad_origin_is_one_problem(void **state)
{
    (void)state;
    plx_config *c;
    plx_buf problems;
    assert_int_equal(load(IN_SOCKET("check_origin = { \"example.com\" }"), &c, &problems),
                     PLX_E_INVALID);
    assert_non_null(find_problem(plx_buf_cstr(&problems), 3, "\"example.com\"", "//HOST"));
    assert_null(strstr(plx_buf_cstr(&problems), "is empty"));
    plx_buf_fini(&problems);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_ones),
        cmocka_unit_test(test_a_bad_origin_is_one_problem),
        cmocka_unit_test(test_many_problems_in_order),
        cmocka_unit_test(test_countless_problems),
        cmocka_unit_test(test_secrets_are_not_shown),
    };
    return cmocka_run_group_tests_name("config_bad", tests, make_directory, remove_directory);
}
