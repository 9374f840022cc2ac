/* Publishing, positions, repetitions, trimming, and logs and metas that lost each other. */
#include "redis_fixture.h"

#include "base/error.h"
#include "store/topic.h"

static redis r;
static plx_store *s;

typedef struct result {
    bool called, repeated;
    int err;
    plx_position at;
} result;

static void on_published(void *arg, int err, const plx_position *position, bool repeated)
{
    result *x = arg;
    assert_false(x->called);
    *x = (result){true, repeated, err, *position};
}

static void on_position(void *arg, int err, const plx_position *position)
{
    result *x = arg;
    assert_false(x->called);
    *x = (result){true, false, err, *position};
}

static plx_publication pub(const char *topic, const char *payload)
{
    return (plx_publication){.topic = plx_slice_of(topic),
                             .event = PLX_LIT("msg"),
                             .payload = plx_slice_of(payload),
                             .kind = PLX_KIND_JSON};
}

static result publish(plx_publication p)
{
    result x = {0};
    plx_topic_publish(s, &p, on_published, &x);
    assert_false(x.called);
    WAIT(&r, x.called);
    return x;
}

static result position(const char *topic)
{
    result x = {0};
    plx_topic_position(s, plx_slice_of(topic), on_position, &x);
    assert_false(x.called);
    WAIT(&r, x.called);
    return x;
}

static int setup(void **state)
{
    (void)state;
    redis_start(&r);
    s = store_up(&r);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    plx_store_close(s);
    redis_stop(&r);
    return 0;
}

static void test_numbers_are_dense(void **state)
{
    (void)state;
    result first = publish(pub("room:a", "{\"n\":1}"));
    assert_int_equal(first.err, 0);
    assert_int_equal(first.at.offset, 1);
    assert_false(first.repeated);
    for (unsigned i = 2; i < 20; i++) {
        result x = publish(pub("room:a", "{}"));
        assert_int_equal(x.at.offset, i);
        assert_string_equal(x.at.epoch, first.at.epoch);
    }
    result other = publish(pub("room:b", "{}"));
    assert_int_equal(other.at.offset, 1);
    assert_string_not_equal(other.at.epoch, first.at.epoch);
}

static void test_pipelined_in_order(void **state)
{
    (void)state;
    static result x[500];
    memset(x, 0, sizeof x);
    for (unsigned i = 0; i < 500; i++) {
        plx_publication p = pub("room:pipe", "{}");
        plx_topic_publish(s, &p, on_published, &x[i]);
    }
    WAIT(&r, x[499].called);
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(x[i].at.offset, i + 1);
}

static void test_position_gives_an_epoch(void **state)
{
    (void)state;
    result before = position("room:silent");
    assert_int_equal(before.at.offset, 0);
    assert_true(strlen(before.at.epoch) > 0);
    result x = publish(pub("room:silent", "{}"));
    assert_string_equal(x.at.epoch, before.at.epoch);
    assert_int_equal(x.at.offset, 1);
    result after = position("room:silent");
    assert_int_equal(after.at.offset, 1);
    assert_string_equal(after.at.epoch, before.at.epoch);
}

static void test_producer_repeats(void **state)
{
    (void)state;
    plx_publication p = pub("room:repeat", "{}");
    p.producer = plx_slice_of("session-1");
    p.entry = 7;
    p.index = 0;
    result a = publish(p);
    p.index = 1;
    result b = publish(p);
    publish(pub("room:repeat", "{}"));
    result b2 = publish(p);
    p.index = 0;
    result a2 = publish(p);
    assert_true(a2.repeated && b2.repeated && !a.repeated && !b.repeated);
    assert_int_equal(a2.at.offset, a.at.offset);
    assert_int_equal(b2.at.offset, b.at.offset);
    assert_string_equal(a2.at.epoch, a.at.epoch);
    assert_int_equal(position("room:repeat").at.offset, 3);
    /* The next entry is another message, and so is the same entry of another session. */
    p.entry = 8;
    assert_false(publish(p).repeated);
    /* A worker that stood still comes with what others have done and left behind. */
    p.entry = 7;
    assert_true(publish(p).repeated);
    p.entry = 8;
    p.producer = plx_slice_of("session-2");
    assert_false(publish(p).repeated);
    /* Whatever the hour: the other parity's hash is looked at too. */
    redis_do(&r, "RENAME plx:{t:room:repeat}:from:%d tmp",
             (int)(redis_do(&r, "EXISTS plx:{t:room:repeat}:from:0") ? 0 : 1));
    redis_do(&r, "RENAME tmp plx:{t:room:repeat}:from:0");
    assert_true(publish(p).repeated);
    redis_do(&r, "RENAME plx:{t:room:repeat}:from:0 plx:{t:room:repeat}:from:1");
    assert_true(publish(p).repeated);
}

static void test_producer_repeat_in_another_epoch(void **state)
{
    (void)state;
    plx_publication p = pub("room:re", "{}");
    p.producer = plx_slice_of("s");
    p.entry = 1;
    result a = publish(p);
    redis_do(&r, "DEL plx:{t:room:re}:meta plx:{t:room:re}:log");
    result b = publish(p);
    assert_false(b.repeated);
    assert_string_not_equal(a.at.epoch, b.at.epoch);
}

static void test_idempotency_key(void **state)
{
    (void)state;
    plx_publication p = pub("room:key", "{}");
    p.key = plx_slice_of("order 17 \xff");
    result a = publish(p);
    result b = publish(p);
    assert_true(b.repeated);
    assert_int_equal(b.at.offset, a.at.offset);
    redisReply *keys = redis_ask(&r, "KEYS plx:{t:room:key}:key:*");
    assert_int_equal(keys->elements, 1);
    long long ttl = redis_do(&r, "TTL %b", keys->element[0]->str, keys->element[0]->len);
    assert_in_range(ttl, 290, 300);
    freeReplyObject(keys);
    char longkey[2000];
    memset(longkey, 'x', sizeof longkey);
    p.key = plx_slice_make(longkey, sizeof longkey);
    assert_int_equal(publish(p).err, PLX_E_TOOBIG);
}

static void test_trim_by_count(void **state)
{
    (void)state;
    r.config.delivery_log.messages = 200;
    static result x[1000];
    memset(x, 0, sizeof x);
    for (unsigned i = 0; i < 1000; i++) {
        plx_publication p = pub("room:trim", "{}");
        plx_topic_publish(s, &p, on_published, &x[i]);
    }
    WAIT(&r, x[999].called);
    assert_in_range(redis_do(&r, "XLEN plx:{t:room:trim}:log"), 200, 301);
    /* A topic with history keeps more. */
    memset(x, 0, sizeof x);
    for (unsigned i = 0; i < 1000; i++) {
        plx_publication p = pub("room:hist", "{}");
        p.history_size = 600;
        p.history_ttl_s = 7200;
        plx_topic_publish(s, &p, on_published, &x[i]);
    }
    WAIT(&r, x[999].called);
    assert_in_range(redis_do(&r, "XLEN plx:{t:room:hist}:log"), 600, 701);
    assert_in_range(redis_do(&r, "TTL plx:{t:room:hist}:log"), 7190, 7200);
    assert_in_range(redis_do(&r, "TTL plx:{t:room:hist}:meta"), 7190 + 86400, 7200 + 86400);
    assert_in_range(redis_do(&r, "TTL plx:{t:room:trim}:log"), 3590, 3600);
    r.config.delivery_log.messages = 1024;
}

static void test_trim_by_bytes(void **state)
{
    (void)state;
    static char big[10000];
    static result x[200];
    memset(big, ' ', sizeof big - 1);
    memset(x, 0, sizeof x);
    big[0] = '1';
    r.config.delivery_log.bytes = 200000;
    for (unsigned i = 0; i < 200; i++) {
        plx_publication p = pub("room:bytes", big);
        plx_topic_publish(s, &p, on_published, &x[i]);
    }
    WAIT(&r, x[199].called);
    assert_int_equal(x[199].err, 0);
    long long kept = redis_do(&r, "XLEN plx:{t:room:bytes}:log");
    assert_in_range(kept, 17, 20); /* 7/8 of 200,000 bytes to all of them */
    /* One message larger than the bound is kept until the next. */
    r.config.delivery_log.bytes = 5000;
    assert_int_equal(publish(pub("room:bytes", big)).err, 0);
    assert_int_equal(redis_do(&r, "XLEN plx:{t:room:bytes}:log"), 1);
    r.config.delivery_log.bytes = 8388608;
}

static void test_log_without_meta(void **state)
{
    (void)state;
    result a = {0};
    for (int i = 0; i < 5; i++)
        a = publish(pub("room:orphan", "{}"));
    redis_do(&r, "DEL plx:{t:room:orphan}:meta");
    result b = publish(pub("room:orphan", "{}"));
    assert_int_equal(b.err, 0);
    assert_int_equal(b.at.offset, 1);
    assert_string_not_equal(a.at.epoch, b.at.epoch);
    assert_int_equal(redis_do(&r, "XLEN plx:{t:room:orphan}:log"), 1);
    /* The same when somebody asks for the position first. */
    redis_do(&r, "DEL plx:{t:room:orphan}:meta");
    result c = position("room:orphan");
    assert_int_equal(c.at.offset, 0);
    assert_int_equal(redis_do(&r, "EXISTS plx:{t:room:orphan}:log"), 0);
    assert_string_equal(publish(pub("room:orphan", "{}")).at.epoch, c.at.epoch);
}

static void test_meta_without_log(void **state)
{
    (void)state;
    result a = {0};
    for (int i = 0; i < 5; i++)
        a = publish(pub("room:expired", "{}"));
    redis_do(&r, "DEL plx:{t:room:expired}:log");
    assert_int_equal(position("room:expired").at.offset, 5);
    result b = publish(pub("room:expired", "{}"));
    assert_int_equal(b.at.offset, 6);
    assert_string_equal(a.at.epoch, b.at.epoch);
}

/* Whatever is in the keys, publishing heals it with a new epoch and never leaves a hole. */
static void test_garbage_in_keys(void **state)
{
    (void)state;
    static const char *const spoil[] = {
        "SET plx:{t:room:bad}:meta rubbish",
        "SET plx:{t:room:bad}:log rubbish",
        "HSET plx:{t:room:bad}:meta off banana",
        "HSET plx:{t:room:bad}:meta off 9223372036854775807",
        "HSET plx:{t:room:bad}:meta off -5",
        "HSET plx:{t:room:bad}:meta epoch a:b",
        "HSET plx:{t:room:bad}:meta epoch abcdefghijklmnopqrstuvwxyz0123456789",
        "HDEL plx:{t:room:bad}:meta epoch",
        "HDEL plx:{t:room:bad}:meta off",
        "XADD plx:{t:room:bad}:log 999999-7 x y",
    };
    for (size_t i = 0; i < sizeof spoil / sizeof spoil[0]; i++) {
        result a = publish(pub("room:bad", "{}"));
        assert_int_equal(a.err, 0);
        redis_do(&r, spoil[i]);
        result b = publish(pub("room:bad", "{}"));
        if (b.err != 0)
            fail_msg("%s: %d", spoil[i], b.err);
        assert_string_not_equal(a.at.epoch, b.at.epoch);
        assert_int_equal(b.at.offset, 1);
        assert_int_equal(redis_do(&r, "XLEN plx:{t:room:bad}:log"), 1);
    }
    redis_do(&r, "SET plx:{t:room:bad2}:meta rubbish");
    assert_int_equal(position("room:bad2").err, 0);
    redis_do(&r, "SET plx:{t:room:bad3}:from:0 rubbish");
    redis_do(&r, "SET plx:{t:room:bad3}:from:1 rubbish");
    /* SHA-256 of "k" */
    redis_do(&r, "HSET plx:{t:room:bad3}:key:"
                 "8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a a b");
    plx_publication p = pub("room:bad3", "{}");
    p.producer = plx_slice_of("s");
    p.entry = 1;
    p.key = plx_slice_of("k");
    assert_int_equal(publish(p).err, 0);
    assert_true(publish(p).repeated);
}

static void test_any_bytes(void **state)
{
    (void)state;
    static const char odd[] = "a b\0c\r\n{}\xff";
    plx_publication p = {.topic = {odd, sizeof odd - 1},
                         .event = {odd, sizeof odd - 1},
                         .payload = {odd, sizeof odd - 1},
                         .from = {odd, sizeof odd - 1},
                         .kind = PLX_KIND_BINARY};
    assert_int_equal(publish(p).at.offset, 1);
    assert_int_equal(publish(p).at.offset, 2);
    p.payload = p.event = p.from = plx_slice_make(NULL, 0);
    assert_int_equal(publish(p).at.offset, 3);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    result a = publish(pub("room:oom", "{}"));
    redis_do(&r, "CONFIG SET maxmemory 1");
    result b = publish(pub("room:oom", "{}"));
    assert_int_equal(b.err, PLX_E_STORE);
    assert_int_equal(publish(pub("room:oom2", "{}")).err, PLX_E_STORE);
    assert_int_equal(position("room:oom3").err, PLX_E_STORE);
    assert_int_equal(redis_do(&r, "KEYS plx:{t:room:oom?}*"), 0);
    redis_do(&r, "CONFIG SET maxmemory 0");
    result c = publish(pub("room:oom", "{}"));
    assert_int_equal(c.at.offset, 2); /* nothing was numbered that is not in the log */
    assert_string_equal(a.at.epoch, c.at.epoch);
    assert_int_equal(redis_do(&r, "XLEN plx:{t:room:oom}:log"), 2);
}

static void test_script_flush(void **state)
{
    (void)state;
    static result x[50];
    memset(x, 0, sizeof x);
    publish(pub("room:flush", "{}"));
    redis_do(&r, "SCRIPT FLUSH");
    for (unsigned i = 0; i < 50; i++) {
        plx_publication p = pub("room:flush", "{}");
        plx_topic_publish(s, &p, on_published, &x[i]);
        if (i == 25)
            loop_turn(r.loop);
    }
    WAIT(&r, x[49].called);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(x[i].err, 0);
        assert_int_equal(x[i].at.offset, i + 2);
    }
    assert_true(plx_store_up(s));
}

static void test_position_text(void **state)
{
    (void)state;
    plx_position p;
    char text[PLX_POSITION_TEXT];
    static const char *const bad[] = {"",
                                      ":",
                                      ":1",
                                      "a",
                                      "a:",
                                      "a:-1",
                                      "a:1:2",
                                      "a b:1",
                                      "a:1 ",
                                      "a:99999999999999999999",
                                      "a:18446744073709551616",
                                      "abcdefghijklmnopqrstuvwxy:1"};
    assert_int_equal(plx_position_parse(plx_slice_of("aZ_-9:18446744073709551615"), &p), 0);
    assert_string_equal(p.epoch, "aZ_-9");
    assert_true(p.offset == UINT64_MAX);
    plx_position_format(&p, text);
    assert_string_equal(text, "aZ_-9:18446744073709551615");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(plx_position_parse(plx_slice_of(bad[i]), &p), PLX_E_INVALID);
    assert_string_equal(p.epoch, "aZ_-9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_dense),
        cmocka_unit_test(test_pipelined_in_order),
        cmocka_unit_test(test_position_gives_an_epoch),
        cmocka_unit_test(test_producer_repeats),
        cmocka_unit_test(test_producer_repeat_in_another_epoch),
        cmocka_unit_test(test_idempotency_key),
        cmocka_unit_test(test_trim_by_count),
        cmocka_unit_test(test_trim_by_bytes),
        cmocka_unit_test(test_log_without_meta),
        cmocka_unit_test(test_meta_without_log),
        cmocka_unit_test(test_garbage_in_keys),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_script_flush),
        cmocka_unit_test(test_position_text),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
