/* The script by which other programs publish (store/lua/public): it does exactly what the library
 * does. Run from the root of the tree.
 */
#include "publish_script.h"

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
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_rules),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
