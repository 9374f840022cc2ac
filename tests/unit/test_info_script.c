/* The script that tells other programs what runs (store/lua/public/info.lua), and what workers
 * leave in Redis for it (store/tally). Run from the root of the tree. */
#include "redis_fixture.h"

#include "base/json.h"
#include "base/json_scan.h"
#include "base/list.h"
#include "base/utf8.h"
#include "store/control.h"
#include "store/tally.h"
#include "store/topic.h"

#define KINDS 2

static redis r;
static char *sha;

typedef struct worker {
    plx_control control;
    plx_store *store;
    const char *kind;
    unsigned sockets, channels, polls;
} worker;

static worker workers[KINDS] = {{.kind = "websocket"}, {.kind = "longpoll"}};

static void on_tally(plx_control *c, plx_buf *out)
{
    const worker *w = PLX_CONTAINER(c, worker, control);
    plx_buf_printf(out, "{\"worker\":\"%s\",\"kind\":\"%s\"", plx_store_worker(w->store), w->kind);
    if (w->kind[0] == 'w')
        plx_buf_printf(out, ",\"sockets\":%u", w->sockets);
    else
        plx_buf_printf(out, ",\"polls_waiting\":%u", w->polls);
    plx_buf_printf(out, ",\"channels\":%u,\"memory_bytes\":123456789012}", w->channels);
}

/* ---- asking */

/* The reply to EVALSHA with up to two arguments; NULL ends them. */
static redisReply *call_as(const char *verb, plx_slice a, plx_slice b)
{
    const char *argv[] = {verb, sha, "1", "plx:rules", a.data, b.data};
    size_t len[] = {strlen(verb), strlen(sha), 1, 9, a.len, b.len};
    int argc = b.data ? 6 : a.data ? 5 : 4;
    redisReply *reply = redisCommandArgv(r.admin, argc, (const char **)(uintptr_t)argv, len);
    assert_non_null(reply);
    return reply;
}

/* The answer, owned by the caller; what it was is strict JSON. */
static json_object *ask(const char *a, const char *b)
{
    json_object *info = NULL;
    redisReply *reply = call_as("EVALSHA", plx_slice_of(a), plx_slice_of(b));
    plx_slice text = plx_slice_make(reply->str, reply->len);
    if (reply->type != REDIS_REPLY_STRING || plx_json_check(text, NULL) != 0 ||
        plx_json_read(text, &info) != 0)
        fail_msg("%s", reply->str);
    freeReplyObject(reply);
    return info;
}

static json_object *member(json_object *of, const char *name)
{
    json_object *value = NULL;
    if (!json_object_object_get_ex(of, name, &value))
        fail_msg("no \"%s\" in %s", name, json_object_to_json_string(of));
    return value;
}

static int64_t number(json_object *of, const char *name)
{
    return json_object_get_int64(member(of, name));
}

static size_t count(json_object *info)
{
    return json_object_array_length(member(info, "workers"));
}

/* A number of the answer to no arguments. */
static int64_t told(const char *name)
{
    json_object *info = ask(NULL, NULL);
    int64_t n = number(info, name);
    json_object_put(info);
    return n;
}

static int64_t told_sockets(void)
{
    json_object *info = ask(NULL, NULL);
    int64_t n = number(member(info, "sockets"), "websocket");
    json_object_put(info);
    return n;
}

/* What a worker named so has left that long ago (negative: is going to). */
static void leave(const char *name, long long age_ms)
{
    redisReply *t = redis_ask(&r, "TIME");
    long long now = atoll(t->element[0]->str) * 1000 + atoll(t->element[1]->str) / 1000;
    freeReplyObject(t);
    redis_do(&r,
             "HSET plx:{workers} %s {\"worker\":\"%s\",\"kind\":\"websocket\",\"sockets\":1000}",
             name, name);
    redis_do(&r, "ZADD plx:{workers}:at %lld %s", now - age_ms, name);
}

static void forget(const char *name)
{
    redis_do(&r, "HDEL plx:{workers} %s", name);
    redis_do(&r, "ZREM plx:{workers}:at %s", name);
}

/* Asks until so many workers are told and so many are silent. name: one that leaves something that
 * old before each time, or NULL. */
static json_object *expect_with(const char *name, long long age_ms, size_t told_count,
                                int64_t silent)
{
    uint64_t until = fixture_ms() + 30000;
    for (;;) {
        if (name)
            leave(name, age_ms);
        json_object *info = ask(NULL, NULL);
        if (count(info) == told_count && number(info, "workers_silent") == silent)
            return info;
        if (fixture_ms() > until)
            fail_msg("%s", json_object_to_json_string(info));
        json_object_put(info);
        loop_turn(r.loop);
    }
}

static json_object *expect(size_t told_count, int64_t silent)
{
    return expect_with(NULL, 0, told_count, silent);
}

/* ---- life */

static void start_worker(worker *w)
{
    w->control.tally = on_tally;
    w->store = store_open(&r);
    plx_control_set(w->store, &w->control);
    WAIT(&r, plx_store_up(w->store));
    WAIT(&r, redis_do(&r, "HEXISTS plx:{workers} %s", plx_store_worker(w->store)));
}

static int setup(void **state)
{
    static char text[65536];
    FILE *f = fopen("store/lua/public/info.lua", "rb");
    (void)state;
    assert_non_null(f);
    size_t len = fread(text, 1, sizeof text, f);
    fclose(f);
    redis_start(&r);
    r.config.max_body_bytes = 100000;
    for (size_t i = 0; i < KINDS; i++)
        start_worker(&workers[i]);
    WAIT(&r, redis_do(&r, "EXISTS plx:rules"));
    redisReply *loaded = redisCommand(r.admin, "SCRIPT LOAD %b", text, len);
    assert_int_equal(loaded->type, REDIS_REPLY_STRING);
    sha = strdup(loaded->str);
    freeReplyObject(loaded);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++)
        plx_store_close(workers[i].store);
    redis_stop(&r);
    free(sha);
    return 0;
}

/* ---- tests */

/* Counts are those of each worker's last word, which comes by itself. */
static void test_counts(void **state)
{
    (void)state;
    workers[0].sockets = 7;
    workers[0].channels = 9;
    workers[1].polls = 5;
    workers[1].channels = 6;
    redis_do(&r, "ZADD plx:sweep 1 s1 2 s2");
    WAIT(&r, told("polls_waiting") == 5);
    WAIT(&r, told_sockets() == 7);
    json_object *info = expect(KINDS, 0), *list;
    assert_int_equal(number(member(info, "sockets"), "longpoll"), 2);
    assert_int_equal(number(member(info, "channels"), "websocket"), 9);
    assert_int_equal(number(member(info, "channels"), "longpoll"), 6);
    assert_string_equal(json_object_get_string(member(info, "version")), PLX_VERSION);
    assert_string_equal(json_object_get_string(member(member(info, "redis"), "status")), "up");
    assert_true(number(member(info, "redis"), "memory_bytes") > 10000);
    list = member(info, "workers");
    for (size_t i = 0; i < KINDS; i++) { /* by kind */
        json_object *w = json_object_array_get_idx(list, i);
        assert_string_equal(json_object_get_string(member(w, "worker")),
                            plx_store_worker(workers[KINDS - 1 - i].store));
        assert_int_equal(number(w, "memory_bytes"), 123456789012);
        assert_true(number(w, "age_ms") <= number(info, "age_ms"));
    }
    assert_false(json_object_object_get_ex(info, "about", NULL));
    assert_in_range(number(info, "age_ms"), 0, PLX_TALLY_FRESH_MS);
    json_object_put(info);
}

static void test_who_said_nothing_for_long_is_not_told(void **state)
{
    (void)state;
    int64_t sockets = workers[0].sockets;
    json_object *info = expect_with("a-while", PLX_TALLY_FRESH_MS / 2, KINDS + 1, 0);
    assert_int_equal(number(member(info, "sockets"), "websocket"), sockets + 1000);
    assert_true(number(info, "age_ms") >= PLX_TALLY_FRESH_MS / 2);
    json_object_put(info);
    forget("a-while");
    leave("future", -3600000); /* the clock has gone back */
    info = expect_with("stale", PLX_TALLY_FRESH_MS + 1, KINDS, 1);
    assert_int_equal(number(member(info, "sockets"), "websocket"), sockets);
    json_object_put(info);
    forget("future");
}

static void test_the_dead_are_dropped(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++) {
        char name[16];
        snprintf(name, sizeof name, "dead%d", i);
        leave(name, PLX_TALLY_DROP_MS + 1);
    }
    leave("stale", PLX_TALLY_DROP_MS + 1);
    json_object_put(expect(KINDS, 0));
    WAIT(&r, redis_do(&r, "HLEN plx:{workers}") == KINDS);
    assert_int_equal(redis_do(&r, "ZCARD plx:{workers}:at"), KINDS);
    assert_true(redis_do(&r, "TTL plx:{workers}") > 600); /* no key stays for ever */
    assert_true(redis_do(&r, "TTL plx:{workers}:at") > 600);
}

static void test_who_ends_takes_it_away(void **state)
{
    (void)state;
    worker third = {.kind = "websocket", .sockets = 1};
    plx_store *mute = store_up(&r); /* has nothing to say */
    start_worker(&third);
    json_object_put(expect(KINDS + 1, 0));
    plx_store_close(mute);
    plx_store_close(third.store);
    WAIT(&r, redis_do(&r, "HLEN plx:{workers}") == KINDS);
    WAIT(&r, redis_do(&r, "ZCARD plx:{workers}:at") == KINDS);
}

static bool is_hash(const char *key)
{
    redisReply *type = redis_ask(&r, "TYPE %s", key);
    bool hash = strcmp(type->str, "hash") == 0;
    freeReplyObject(type);
    return hash;
}

/* Keys of other types or half of them gone. */
static void test_it_heals(void **state)
{
    (void)state;
    redis_do(&r, "DEL plx:{workers}:at");
    redis_do(&r, "HSET plx:{workers} orphan {}");
    json_object_put(expect(KINDS, 0));
    assert_int_equal(redis_do(&r, "HEXISTS plx:{workers} orphan"), 0);
    freeReplyObject(redis_ask(&r, "SET plx:{workers} x"));
    WAIT(&r, is_hash("plx:{workers}"));
    json_object_put(expect(KINDS, 0));
}

static void test_odd_words(void **state)
{
    (void)state;
    static const char *const said[] = {"x", "{}", "[]", "7", "{\"worker\":\"other\"}", ""};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        leave("odd", 0);
        redis_do(&r, "HSET plx:{workers} odd %s", said[i]);
        json_object_put(expect(KINDS, 0));
    }
    forget("odd");
}

static void test_without_memory(void **state)
{
    (void)state;
    freeReplyObject(redis_ask(&r, "CONFIG SET maxmemory 1"));
    workers[1].polls = 77;
    WAIT(&r, told("polls_waiting") == 77);
    freeReplyObject(redis_ask(&r, "CONFIG SET maxmemory-policy allkeys-lru maxmemory 0"));
    json_object *info = ask(NULL, NULL);
    assert_non_null(
        strstr(json_object_get_string(member(member(info, "redis"), "warning")), "noeviction"));
    json_object_put(info);
    freeReplyObject(redis_ask(&r, "CONFIG SET maxmemory-policy noeviction"));
}

static void on_published(void *arg, int err, const plx_position *position, bool repeated)
{
    (void)repeated;
    assert_int_equal(err, 0);
    plx_position_format(position, arg);
}

static void test_about(void **state)
{
    (void)state;
    char position[PLX_POSITION_TEXT] = "";
    json_object *info = ask("topic", "room:\"\\{ü}\n"), *about = member(info, "about");
    assert_string_equal(json_object_get_string(member(about, "topic")), "room:\"\\{ü}\n");
    assert_null(member(about, "position"));
    assert_int_equal(number(about, "presence"), 0);
    assert_int_equal(number(about, "workers_following"), 0);
    json_object_put(info);

    plx_publication p = {
        .topic = PLX_LIT("room:1"), .event = PLX_LIT("e"), .payload = PLX_LIT("1")};
    plx_topic_publish(workers[0].store, &p, on_published, position);
    WAIT(&r, position[0]);
    redis_do(&r, "HSET plx:{t:room:1}:pres ref1 x ref2 y");
    redisContext *follower = redisConnectUnix(r.socket);
    freeReplyObject(redisCommand(follower, "SSUBSCRIBE plx:{t:room:1}"));
    about = member(info = ask("topic", "room:1"), "about");
    assert_string_equal(json_object_get_string(member(about, "position")), position);
    assert_int_equal(number(about, "presence"), 2);
    assert_int_equal(number(about, "workers_following"), 1);
    json_object_put(info);
    redisFree(follower);

    redis_do(&r, "ZADD plx:{i:user:1} 1 s1 2 s2 3 s3");
    about = member(info = ask("id", "user:1"), "about");
    assert_string_equal(json_object_get_string(member(about, "id")), "user:1");
    assert_int_equal(number(about, "longpoll"), 3);
    json_object_put(info);
}

static void assert_refused(const redisReply *reply, const char *code)
{
    char start[80];
    snprintf(start, sizeof start, "POLLUX %s: ", code);
    if (reply->type != REDIS_REPLY_ERROR || strncmp(reply->str, start, strlen(start)) != 0)
        fail_msg("expected %s, got %s", code, reply->str);
    assert_non_null(strstr(reply->str, ". ")); /* what to do */
}

static void test_arguments(void **state)
{
    (void)state;
    static char longest[1025];
    memset(longest, 'x', 1024);
    json_object_put(ask("topic", longest));
    static const char *const wrong[][3] = {
        {"x", "y", "invalid_query"},       {"", "", "invalid_query"},
        {"room:1", NULL, "invalid_query"}, {"topic", NULL, "invalid_topic"},
        {"topic", "", "invalid_topic"},    {"id", NULL, "invalid_id"},
        {"id", "\xff", "invalid_id"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        redisReply *reply =
            call_as("EVALSHA", plx_slice_of(wrong[i][0]),
                    wrong[i][1] ? plx_slice_of(wrong[i][1]) : plx_slice_make(NULL, 0));
        assert_refused(reply, wrong[i][2]);
        freeReplyObject(reply);
    }
    char *too_long = malloc(1026);
    memset(too_long, 'x', 1025);
    too_long[1025] = '\0';
    redisReply *reply = call_as("EVALSHA", plx_slice_of("id"), plx_slice_of(too_long));
    assert_refused(reply, "invalid_id");
    freeReplyObject(reply);
    free(too_long);
    reply = redisCommand(r.admin, "EVALSHA %s 1 plx:rules topic a b", sha);
    assert_refused(reply, "invalid_query");
    freeReplyObject(reply);
}

/* Names are what the rest of Pollux takes for UTF-8, and nothing else. */
static void test_utf8(void **state)
{
    (void)state;
    static const unsigned char edges[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
                                          0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec,
                                          0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5};
    enum { EDGES = sizeof edges };
    for (size_t i = 0; i < (size_t)EDGES * EDGES * EDGES * 2; i++) {
        char text[4] = {(char)edges[i % EDGES], (char)edges[i / EDGES % EDGES],
                        (char)edges[i / EDGES / EDGES % EDGES], (char)0x80};
        plx_slice name = plx_slice_make(text, i < (size_t)EDGES * EDGES * EDGES ? 3 : 4);
        redisReply *reply = call_as("EVALSHA", plx_slice_of("id"), name);
        if ((reply->type == REDIS_REPLY_STRING) != plx_utf8_valid(name))
            fail_msg("%02x %02x %02x (%zu): %s", text[0] & 255, text[1] & 255, text[2] & 255,
                     name.len, reply->str);
        if (reply->type == REDIS_REPLY_STRING)
            assert_int_equal(plx_json_check(plx_slice_make(reply->str, reply->len), NULL), 0);
        freeReplyObject(reply);
    }
}

static void test_reads_only(void **state)
{
    (void)state;
    redisReply *reply = call_as("EVALSHA_RO", plx_slice_of("topic"), plx_slice_of("room:1"));
    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    freeReplyObject(reply);
}

static void test_rules(void **state)
{
    (void)state;
    static const char *const odd[] = {"x", "7", "{}", "{\"format\":2}"};
    redisReply *reply;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        freeReplyObject(redis_ask(&r, "SET plx:rules %s", odd[i]));
        reply = call_as("EVALSHA", plx_slice_make(NULL, 0), plx_slice_make(NULL, 0));
        assert_refused(reply, i < 2 ? "no_rules" : "other_version");
        freeReplyObject(reply);
    }
    redis_do(&r, "DEL plx:rules");
    reply = call_as("EVALSHA", plx_slice_make(NULL, 0), plx_slice_make(NULL, 0));
    assert_refused(reply, "no_rules");
    freeReplyObject(reply);
    reply = redisCommand(r.admin, "EVALSHA %s 0", sha);
    assert_refused(reply, "no_rules");
    freeReplyObject(reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_who_said_nothing_for_long_is_not_told),
        cmocka_unit_test(test_the_dead_are_dropped),
        cmocka_unit_test(test_who_ends_takes_it_away),
        cmocka_unit_test(test_it_heals),
        cmocka_unit_test(test_odd_words),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_about),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_reads_only),
        cmocka_unit_test(test_rules),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
