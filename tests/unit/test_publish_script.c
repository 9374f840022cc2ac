/* The script by which other programs publish (store/lua/public): it does exactly what the library
 * does, and takes exactly what the library takes. Run from the root of the tree. */
#include "redis_fixture.h"

#include "base/error.h"
#include "base/json_scan.h"
#include "store/rules.h"
#include "store/topic.h"

#include <dirent.h>

#define S(text) plx_slice_of(text)

static redis r;
static plx_store *store;
static plx_buf script;
static char *sha;

static void add_file(plx_buf *out, const char *path)
{
    char piece[65536];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
        plx_buf_append(out, piece, n);
    fclose(f);
}

static redisReply *command(int argc, const char *const *argv, const size_t *len)
{
    redisReply *reply = redisCommandArgv(r.admin, argc, (const char **)(uintptr_t)argv, len);
    assert_non_null(reply);
    return reply;
}

/* What the script answers to TOPIC EVENT PAYLOAD KEY KIND: the position or the error's text. */
static const char *call(plx_slice topic, plx_slice event, plx_slice payload, const char *key,
                        const char *kind)
{
    static char answer[512];
    const char *argv[] = {"EVALSHA",  sha,          "1", "plx:rules", topic.data,
                          event.data, payload.data, key, kind};
    size_t len[] = {7,         strlen(sha), 1,           9,           topic.len,
                    event.len, payload.len, strlen(key), strlen(kind)};
    redisReply *reply = command(9, argv, len);
    snprintf(answer, sizeof answer, "%.*s", (int)reply->len, reply->str);
    freeReplyObject(reply);
    return answer;
}

static const char *call_text(const char *topic, const char *event, const char *payload)
{
    return call(plx_slice_of(topic), plx_slice_of(event), plx_slice_of(payload), "", "");
}

static void assert_code(const char *answer, const char *code)
{
    char start[80];
    snprintf(start, sizeof start, "POLLUX %s: ", code);
    if (strncmp(answer, start, strlen(start)) != 0)
        fail_msg("expected %s, got %s", code, answer);
}

typedef struct outcome {
    unsigned called;
    int err;
    bool repeated;
    char position[PLX_POSITION_TEXT];
} outcome;

static void on_published(void *arg, int err, const plx_position *position, bool repeated)
{
    outcome *o = arg;
    o->called++;
    o->err = err;
    o->repeated = repeated;
    if (!err)
        plx_position_format(position, o->position);
}

static outcome publish(const plx_publication *p)
{
    outcome o = {0};
    plx_topic_publish(store, p, on_published, &o);
    WAIT(&r, o.called);
    assert_int_equal(o.err, 0);
    return o;
}

static plx_channel_config first[] = {
    {.pattern = (char *)"room:*"},
    {.pattern = (char *)"exact"},
    {.pattern = (char *)"hist:*", .has_history = true, .history_size = 120, .history_ttl_s = 50},
    {.pattern = (char *)"hist:deep:*",
     .has_history = true,
     .history_size = 300,
     .history_ttl_s = 9000},
    {.pattern = (char *)"last:*", .has_latest = true, .latest_ttl_s = 77},
};
static plx_channel_config second[] = {
    {.pattern = (char *)"hist:*", .has_history = true, .history_size = 10, .history_ttl_s = 5000},
};
static plx_socket_config sections[] = {{.channels = first, .channel_count = 5},
                                       {.channels = second, .channel_count = 1}};

static int setup(void **state)
{
    (void)state;
    redis_start(&r);
    r.config.sockets = sections;
    r.config.socket_count = 2;
    r.config.max_body_bytes = 100000;
    r.config.delivery_log.messages = 100;
    r.config.delivery_log.bytes = 40000;
    store = store_up(&r);
    WAIT(&r, redis_do(&r, "EXISTS plx:rules"));
    plx_buf_init(&script, 0);
    add_file(&script, "store/lua/public/head.lua");
    add_file(&script, "store/lua/topic.lua");
    add_file(&script, "store/lua/publish.lua");
    add_file(&script, "store/lua/public/call.lua");
    redisReply *loaded = redisCommand(r.admin, "SCRIPT LOAD %b", script.data, script.len);
    assert_int_equal(loaded->type, REDIS_REPLY_STRING);
    sha = strdup(loaded->str);
    freeReplyObject(loaded);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    plx_store_close(store);
    redis_stop(&r);
    plx_buf_fini(&script);
    free(sha);
    return 0;
}

/* ---- the same as the library */

/* The reply of a command as text. */
static void describe(const redisReply *reply, plx_buf *out)
{
    if (reply->type == REDIS_REPLY_INTEGER)
        plx_buf_printf(out, " %lld", reply->integer);
    else if (reply->type == REDIS_REPLY_ARRAY)
        for (size_t i = 0; i < reply->elements; i++)
            describe(reply->element[i], out);
    else
        plx_buf_printf(out, " %.*s", (int)reply->len, reply->str ? reply->str : "");
}

static void dump(const char *topic, plx_buf *out)
{
    static const char *const questions[][2] = {
        {"TTL", "log"}, {"TTL", "meta"}, {"TTL", "latest"}, {"HLEN", "latest"}};
    redisReply *reply = redis_ask(&r, "XRANGE plx:{t:%s}:log - +", topic);
    plx_buf_clear(out);
    describe(reply, out);
    freeReplyObject(reply);
    reply = redis_ask(&r, "HMGET plx:{t:%s}:meta off bytes base hist", topic);
    describe(reply, out);
    freeReplyObject(reply);
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        reply = redis_ask(&r, "%s plx:{t:%s}:%s", questions[i][0], topic, questions[i][1]);
        describe(reply, out);
        freeReplyObject(reply);
    }
}

/* The same messages one way and the other leave the same behind. */
static void compare(const char *one, const char *other, uint64_t size, uint64_t ttl_s,
                    uint64_t latest_ttl_s)
{
    char event[16], payload[700];
    plx_buf a, b;
    plx_buf_init(&a, 0);
    plx_buf_init(&b, 0);
    for (int i = 0; i < 320; i++) {
        snprintf(event, sizeof event, "e%d", i % 70);
        snprintf(payload, sizeof payload, "{\"n\":%d,\"fill\":\"%*s\"}", i, i % 600, "");
        plx_publication p = {.topic = plx_slice_of(one),
                             .event = plx_slice_of(event),
                             .payload = plx_slice_of(payload),
                             .kind = PLX_KIND_JSON,
                             .history_size = size,
                             .history_ttl_s = ttl_s,
                             .latest_ttl_s = latest_ttl_s};
        outcome o = publish(&p);
        const char *position = call_text(other, event, payload);
        assert_string_equal(strchr(position, ':'), strchr(o.position, ':'));
    }
    dump(one, &a);
    dump(other, &b);
    assert_string_equal(plx_buf_cstr(&a), plx_buf_cstr(&b));
    plx_buf_fini(&a);
    plx_buf_fini(&b);
}

static void test_the_same_as_the_library(void **state)
{
    (void)state;
    compare("room:1", "room:2", 0, 0, 0);
    compare("hist:1", "hist:2", 120, 5000, 0);
    compare("hist:deep:1", "hist:deep:2", 300, 9000, 0);
    compare("last:1", "last:2", 0, 0, 77);
}

static void test_keys(void **state)
{
    plx_publication p = {.topic = PLX_LIT("room:k"),
                         .event = PLX_LIT("e"),
                         .payload = PLX_LIT("1"),
                         .kind = PLX_KIND_JSON,
                         .key = PLX_LIT("by \xff library}")};
    char position[PLX_POSITION_TEXT];
    (void)state;
    outcome o = publish(&p);
    assert_string_equal(call(p.topic, p.event, p.payload, "by \xff library}", ""), o.position);
    snprintf(position, sizeof position, "%s", call(p.topic, p.event, p.payload, "by script", ""));
    p.key = plx_slice_of("by script");
    o = publish(&p);
    assert_true(o.repeated);
    assert_string_equal(o.position, position);
    assert_int_equal(redis_do(&r, "XLEN plx:{t:room:k}:log"), 2);
}

static void test_binary(void **state)
{
    static const char bytes[] = "\0\xff\n\"";
    (void)state;
    call(S("room:b"), S("e"), plx_slice_make(bytes, 4), "", "binary");
    redisReply *log = redisCommand(r.admin, "XRANGE plx:{t:room:b}:log - +");
    redisReply *fields = log->element[0]->element[1];
    assert_string_equal(fields->element[1]->str, "b");
    assert_int_equal(fields->element[7]->len, 4);
    assert_memory_equal(fields->element[7]->str, bytes, 4);
    freeReplyObject(log);
    assert_code(call(S("hist:b"), S("e"), S("1"), "", "binary"), "binary_not_kept");
    assert_code(call(S("room:b"), S("e"), S("1"), "", "text"), "invalid_kind");
}

/* ---- what is JSON */

static void assert_alike(plx_slice json)
{
    bool good = plx_json_check(json, NULL) == 0;
    const char *answer = call(S("room:json"), S("e"), json, "", "");
    bool taken = strncmp(answer, "POLLUX", 6) != 0;
    if (!taken && strncmp(answer, "POLLUX invalid_json", 19) != 0)
        fail_msg("%s", answer);
    if (good != taken)
        fail_msg("%s, but the scanner says %d: %.*s", answer, good, (int)json.len, json.data);
}

static const char *const texts[] = {
    "",
    " ",
    "1",
    "-",
    "-0",
    "01",
    "1.",
    ".5",
    "1.5e",
    "1e5",
    "1E+5",
    "1e-",
    "1e400",
    "-1e400",
    "1e-400",
    "0e999",
    "1.7976931348623157e308",
    "1.7976931348623159e308",
    "NaN",
    "nan",
    "inf",
    "Infinity",
    "0x10",
    "1_0",
    "+1",
    "1 2",
    "true",
    "True",
    "tru",
    "truex",
    "null",
    "nul",
    "false",
    "[]",
    "[ ]",
    "[,]",
    "[1,]",
    "[1,2",
    "[1 2]",
    "[1],",
    "]",
    "{}",
    "{ }",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{\"a\" : 1 , \"b\":[{}]}",
    "{a:1}",
    "{'a':1}",
    "{\"a\":1]",
    "[1}",
    "{\"a\":1}}",
    "{,}",
    "{\"a\":1 \"b\":2}",
    "{1:2}",
    "\"",
    "\"a",
    "\"a\\\"",
    "\"\\u12\"",
    "\"\\u00e4\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\\ud800\\udc00\"",
    "\"\\ud800x\"",
    "\"\\ud800\\u0041\"",
    "\"\\uDBFF\\uDFFF\"",
    "\"\\x\"",
    "\"\\/\\b\\f\\n\\r\\t\\\\\"",
    "\"\n\"",
    "\"\t\"",
    "\"\x7f\"",
    "\"\x1f\"",
    "\"\xc3\xa4\"",
    "\"\xc3\"",
    "\"\xff\"",
    "\"\xed\xa0\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xc0\x80\"",
    "\"\xf0\x9f\x98\x80\"",
    "\"\xf0\x8f\xbf\xbf\"",
    "\"\xe0\x9f\xbf\"",
    "\xef\xbb\xbf{}",
    "\f1",
    "\v1",
    "1\xc2\xa0",
    " \t\r\n1\n ",
    "/**/1",
    "[1/**/]",
    "\"a\" \"b\"",
};

static void test_what_is_json(void **state)
{
    char deep[256];
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_alike(plx_slice_of(texts[i]));
    assert_alike(plx_slice_make("\"\0\"", 3));
    assert_alike(plx_slice_make("1\0", 2));
    for (int depth = 98; depth <= 102; depth++) {
        memset(deep, '[', 102);
        memset(deep + depth, ']', 102);
        assert_alike(plx_slice_make(deep, (size_t)depth * 2));
    }
}

/* Texts that were JSON once. */
static void test_what_is_json_no_more(void **state)
{
    static const char *const seeds[] = {
        "{\"a\":[1,2.5e3,\"x\\u00e4\\ud83d\\ude00\",null],\"b\":{\"c\":true}}",
        "[\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\",-0.5,[],{}]", " {\"k\" : \"v\\n\"} "};
    static const char alphabet[] = "[]{},:\"\\ \n0123456789.eE+-tfnu\x01\x7f\x80\xbf\xc3\xed\xf4";
    uint32_t x = 12345;
    char text[128];
    (void)state;
    for (int i = 0; i < 4000; i++) {
        const char *seed = seeds[i % 3];
        size_t len = strlen(seed);
        memcpy(text, seed, len);
        for (int changes = 1 + i % 3; changes > 0; changes--) {
            x = x * 1664525u + 1013904223u;
            size_t at = (x >> 8) % len;
            x = x * 1664525u + 1013904223u;
            if ((x >> 28) < 5 && len > 1) {
                memmove(text + at, text + at + 1, len - at - 1);
                len--;
            } else {
                text[at] = alphabet[(x >> 8) % (sizeof alphabet - 1)];
            }
        }
        assert_alike(plx_slice_make(text, len));
    }
}

static void test_corpus(void **state)
{
    static const char dir[] = "tests/fuzz/corpus/json_scan";
    char path[512];
    unsigned count = 0;
    DIR *d = opendir(dir);
    (void)state;
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        plx_buf text;
        if (e->d_name[0] == '.')
            continue;
        plx_buf_init(&text, 0);
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        add_file(&text, path);
        if (text.len > 0 && text.len <= r.config.max_body_bytes)
            assert_alike(plx_buf_slice(&text));
        plx_buf_fini(&text);
        count++;
    }
    closedir(d);
    assert_true(count > 10);
}

/* A payload of the longest kind stops Redis for no longer than a moment, whatever is in it. */
static void test_long_payloads(void **state)
{
    static char text[100000];
    static const char fills[] = {'1', ' ', '[', '\\', 'a', '"', '\xc3'};
    (void)state;
    for (size_t i = 0; i < sizeof fills; i++) {
        memset(text, fills[i], sizeof text);
        uint64_t start = fixture_ms();
        assert_alike(plx_slice_make(text, sizeof text));
        text[0] = text[sizeof text - 1] = '"';
        assert_alike(plx_slice_make(text, sizeof text));
        assert_true(fixture_ms() - start < 1000);
    }
}

/* ---- what else is refused */

static void test_arguments(void **state)
{
    static char big[100001];
    char name[1026];
    (void)state;
    memset(name, 'x', sizeof name);
    memcpy(name, "room:", 5);
    assert_code(call_text("", "e", "1"), "invalid_topic");
    assert_code(call_text("room:\xff", "e", "1"), "invalid_topic");
    assert_code(call(plx_slice_make(name, 1025), S("e"), S("1"), "", ""), "invalid_topic");
    assert_null(strstr(call(plx_slice_make(name, 1024), S("e"), S("1"), "", ""), "POLLUX"));
    assert_code(call_text("room:1", "", "1"), "invalid_event");
    assert_code(call_text("room:1", "\xc0\x80", "1"), "invalid_event");
    assert_code(call_text("rooms:1", "e", "1"), "unknown_topic");
    assert_code(call_text("exactly", "e", "1"), "unknown_topic");
    assert_null(strstr(call_text("exact", "e", "1"), "POLLUX"));
    memset(big, '1', sizeof big);
    assert_code(call(S("room:1"), S("e"), plx_slice_make(big, sizeof big), "", ""),
                "payload_too_big");
    name[257] = '\0';
    assert_code(call(S("room:1"), S("e"), S("1"), name, ""), "invalid_key");
    const char *none[] = {"EVALSHA", sha, "0"};
    const size_t len[] = {7, strlen(sha), 1};
    redisReply *reply = command(3, none, len);
    assert_code(reply->str, "no_rules");
    freeReplyObject(reply);
}

static void test_rules(void **state)
{
    static const char *const odd[] = {"", "{", "7", "[]", "{}", "{\"format\":2}"};
    plx_buf text;
    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        redis_do(&r, "SET plx:rules %s", odd[i]);
        assert_non_null(strstr(call_text("room:1", "e", "1"), "POLLUX "));
    }
    redis_do(&r, "SET plx:rules %s", "{\"format\":2}");
    assert_code(call_text("room:1", "e", "1"), "other_version");
    redis_do(&r, "DEL plx:rules");
    assert_code(call_text("room:1", "e", "1"), "no_rules");
    redis_do(&r, "LPUSH plx:rules x");
    assert_code(call_text("room:1", "e", "1"), "no_rules");
    redis_do(&r, "DEL plx:rules");
    plx_store *another = store_up(&r); /* a worker that starts */
    WAIT(&r, redis_do(&r, "EXISTS plx:rules"));
    assert_true(redis_do(&r, "TTL plx:rules") > 3600); /* no key stays for ever */
    plx_store_close(another);
    assert_null(strstr(call_text("room:1", "e", "1"), "POLLUX"));
    plx_buf_init(&text, 0);
    plx_rules_write(&r.config, &text);
    assert_int_equal(plx_json_check(plx_buf_slice(&text), NULL), 0);
    plx_buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_as_the_library),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_what_is_json),
        cmocka_unit_test(test_what_is_json_no_more),
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_long_payloads),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_rules),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
