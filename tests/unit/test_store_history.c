/* What a topic's history still holds: retention with presence diffs in between, going on from every
 * position around the edges, and logs and metas that were lost. */
#include "redis_fixture.h"

#include "base/error.h"
#include "store/topic.h"

static redis r;
static plx_store *s;

typedef struct result {
    bool called, flag; /* flag: repeated, whole */
    int err;
    plx_position at;
} result;

static void on_published(void *arg, int err, const plx_position *position, bool repeated)
{
    *(result *)arg = (result){true, repeated, err, *position};
}

static void on_judged(void *arg, int err, const plx_position *position, bool whole)
{
    result *x = arg;
    assert_false(x->called);
    *x = (result){true, whole, err, *position};
}

/* Publishes one message for each letter: 'm' a message, 'p' a presence diff; each message's payload
 * is its number in the topic's log. Returns the last position. */
static plx_position fill(const char *topic, const char *kinds, uint64_t size)
{
    static result results[4096];
    static char payloads[4096][24];
    size_t n = strlen(kinds);
    assert_in_range(n, 1, 4096);
    memset(results, 0, sizeof results);
    for (size_t i = 0; i < n; i++) {
        snprintf(payloads[i], sizeof payloads[i], "%zu", i + 1);
        plx_publication p = {.topic = plx_slice_of(topic),
                             .event = PLX_LIT("msg"),
                             .payload = plx_slice_of(payloads[i]),
                             .kind = kinds[i] == 'p' ? PLX_KIND_PRESENCE : PLX_KIND_JSON,
                             .history_size = size,
                             .history_ttl_s = 60};
        plx_topic_publish(s, &p, on_published, &results[i]);
    }
    WAIT(&r, results[n - 1].called);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(results[i].err, 0);
    return results[n - 1].at;
}

static result since_within(const char *topic, const char *epoch, uint64_t offset, uint64_t size,
                           uint64_t ttl_s)
{
    result x = {0};
    plx_position p = {"", offset};
    plx_history history = {size, ttl_s};
    snprintf(p.epoch, sizeof p.epoch, "%s", epoch);
    plx_topic_since(s, plx_slice_of(topic), &p, &history, on_judged, &x);
    assert_false(x.called);
    WAIT(&r, x.called);
    assert_int_equal(x.err, 0);
    return x;
}

static bool whole(const char *topic, const char *epoch, uint64_t offset, uint64_t size)
{
    return since_within(topic, epoch, offset, size, 3600).flag;
}

/* What history gave, as text: "PAYLOAD PAYLOAD ... @OFFSET", or "error". */
static char given[8192];
static bool given_called;
static int given_err;

static void on_history(void *arg, int err, const plx_position *position, plx_event *const *events,
                       size_t count)
{
    size_t at = 0;
    (void)arg;
    assert_false(given_called);
    given_called = true;
    given_err = err;
    given[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        char offset[24];
        snprintf(offset, sizeof offset, "%llu", (unsigned long long)events[i]->position.offset);
        assert_slice(events[i]->payload, offset);
        assert_string_equal(events[i]->position.epoch, position->epoch);
        at += (size_t)snprintf(given + at, sizeof given - at, "%s ", offset);
    }
    snprintf(given + at, sizeof given - at, "@%llu", (unsigned long long)position->offset);
}

static const char *history(const char *topic, const plx_position *since, size_t limit,
                           uint64_t size)
{
    plx_history h = {size, 3600};
    given_called = false;
    plx_topic_history(s, plx_slice_of(topic), since, limit, &h, on_history, NULL);
    assert_false(given_called);
    WAIT(&r, given_called);
    if (given_err != 0)
        return given_err == PLX_E_LOST ? "lost" : "error";
    return given;
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

static void test_every_position(void **state)
{
    (void)state;
    /*                           1234567890 */
    plx_position end = fill("a", "mmpmppmmpm", 3);
    for (uint64_t at = 0; at <= 10; at++) {
        /* Messages after it: at 10: 0, 9: 1 (10), 8: 1, 7: 2, 6: 3, 5: 3, 4: 3, 3: 4 ... */
        bool expected = at >= 4;
        if (whole("a", end.epoch, at, 3) != expected)
            fail_msg("since %d", (int)at);
        assert_true(whole("a", end.epoch, at, 6));
    }
    result x = since_within("a", end.epoch, 7, 3, 3600);
    assert_int_equal(x.at.offset, 10); /* where the topic stands, not where the client does */
    assert_string_equal(x.at.epoch, end.epoch);
    /* The future, other epochs, no position at all. */
    assert_false(whole("a", end.epoch, 11, 100));
    assert_false(whole("a", end.epoch, UINT64_MAX, 100));
    assert_false(whole("a", end.epoch, 9007199254740991, 100));
    assert_false(whole("a", "other", 10, 100));
    assert_false(whole("a", "", 10, 100));
    /* Presence diffs alone are no messages. */
    end = fill("b", "mppppp", 1);
    for (uint64_t at = 0; at <= 6; at++)
        assert_true(whole("b", end.epoch, at, 1));
}

static void test_empty_topic(void **state)
{
    (void)state;
    result x = since_within("empty", "none", 0, 10, 60);
    assert_false(x.flag);
    assert_true(strlen(x.at.epoch) > 0);
    assert_int_equal(x.at.offset, 0);
    assert_true(whole("empty", x.at.epoch, 0, 10));
    plx_position end = fill("empty", "m", 10);
    assert_string_equal(end.epoch, x.at.epoch);
    assert_true(whole("empty", x.at.epoch, 0, 10));
}

/* The longest history that must be there after so many publications is there, and nothing of it is
 * there twice as long as needed: the log is trimmed once in 100 publications. */
static void check_retention(const char *topic, const char *pattern, size_t n, uint64_t size)
{
    static char kinds[4097];
    size_t messages = 0, first = 0;
    for (size_t i = 0; i < n; i++)
        kinds[i] = pattern[i % strlen(pattern)];
    kinds[n] = '\0';
    plx_position end = fill(topic, kinds, size);
    /* The first message that counts, seen from the end. */
    for (first = n; first > 0 && messages < size; first--)
        messages += kinds[first - 1] != 'p';
    uint64_t needed = n - first, log = r.config.delivery_log.messages;
    /* Every position from the last one that is before the first message that counts on. */
    uint64_t lowest = first;
    while (lowest > 0 && kinds[lowest - 1] == 'p')
        lowest--;
    assert_true(whole(topic, end.epoch, lowest, size));
    assert_true(whole(topic, end.epoch, first, size));
    if (lowest > 0)
        assert_false(whole(topic, end.epoch, lowest - 1, size));
    long long kept = redis_do(&r, "XLEN plx:{t:%s}:log", topic);
    uint64_t least = needed > log ? needed : log;
    if (least > n)
        least = n;
    assert_in_range(kept, least, least + 100 + (n - lowest - needed) + strlen(pattern) + 1);
}

static void test_retention(void **state)
{
    (void)state;
    size_t messages = r.config.delivery_log.messages;
    r.config.delivery_log.messages = 200;
    check_retention("t1", "m", 1000, 100); /* the delivery log is longer */
    check_retention("t2", "m", 1000, 600);
    check_retention("t3", "m", 1037, 600);
    check_retention("t4", "mp", 2050, 300);
    check_retention("t5", "mppp", 3000, 100);
    check_retention("t6", "mppp", 3099, 400);
    check_retention("t7", "mpppppppppppppppppppppppppppppppppppppppp", 4000, 50);
    check_retention("t8", "m", 150, 100);
    check_retention("t9", "m", 3000, 1);
    check_retention("t10", "ppppppppppppppppppppppm", 3000, 4);
    r.config.delivery_log.messages = messages;
}

/* Only diffs follow a few messages: these stay. */
static void test_diffs_push_no_message_out(void **state)
{
    (void)state;
    size_t messages = r.config.delivery_log.messages;
    static char kinds[2001];
    r.config.delivery_log.messages = 100;
    memset(kinds, 'p', 2000);
    memset(kinds, 'm', 10);
    plx_position end = fill("diffs", kinds, 10);
    assert_true(whole("diffs", end.epoch, 0, 10));
    assert_false(whole("diffs", end.epoch, 0, 9));
    assert_string_equal(history("diffs", NULL, 100, 10), "1 2 3 4 5 6 7 8 9 10 @2000");
    r.config.delivery_log.messages = messages;
}

/* The bound in bytes is the stronger one: then it is not there, and that is said. */
static void test_bytes_win(void **state)
{
    (void)state;
    size_t bytes = r.config.delivery_log.bytes;
    static char kinds[1001];
    memset(kinds, 'm', 1000);
    r.config.delivery_log.bytes = 10000; /* about 146 messages of 68 bytes and less */
    plx_position end = fill("bytes", kinds, 1000);
    uint64_t kept = (uint64_t)redis_do(&r, "XLEN plx:{t:bytes}:log");
    assert_in_range(kept, 120, 160);
    assert_true(whole("bytes", end.epoch, 1000 - kept, 1000));
    assert_false(whole("bytes", end.epoch, 1000 - kept - 1, 1000));
    r.config.delivery_log.bytes = bytes;
}

static void test_log_is_lost(void **state)
{
    (void)state;
    plx_position end = fill("evicted", "mmmm", 10);
    redis_do(&r, "DEL plx:{t:evicted}:log");
    assert_false(whole("evicted", end.epoch, 3, 10));
    assert_true(whole("evicted", end.epoch, 4, 10)); /* nothing was missed */
    assert_string_equal(history("evicted", NULL, 10, 10), "@4");
    end.offset = 3;
    assert_string_equal(history("evicted", &end, 10, 10), "lost");
    fill("evicted", "mm", 10); /* 5 and 6 */
    assert_false(whole("evicted", end.epoch, 3, 10));
    assert_true(whole("evicted", end.epoch, 4, 10));
    assert_true(whole("evicted", end.epoch, 5, 10));
}

static void test_meta_is_lost(void **state)
{
    (void)state;
    plx_position end = fill("orphan", "mmmm", 10);
    redis_do(&r, "DEL plx:{t:orphan}:meta");
    for (uint64_t at = 0; at < 6; at++)
        assert_false(whole("orphan", end.epoch, at, 10));
    result x = since_within("orphan", end.epoch, 4, 10, 60);
    assert_string_not_equal(x.at.epoch, end.epoch);
    assert_int_equal(x.at.offset, 0);
    assert_int_equal(redis_do(&r, "EXISTS plx:{t:orphan}:log"), 0);
    assert_string_equal(history("orphan", NULL, 10, 10), "@0");
    /* The same through a publication. */
    end = fill("orphan2", "mmmm", 10);
    redis_do(&r, "DEL plx:{t:orphan2}:meta");
    plx_position next = fill("orphan2", "mm", 10);
    assert_string_not_equal(next.epoch, end.epoch);
    assert_false(whole("orphan2", end.epoch, 1, 10));
    assert_true(whole("orphan2", next.epoch, 0, 10));
}

static void test_hole(void **state)
{
    (void)state;
    plx_position end = fill("hole", "mmmmmm", 10);
    redis_do(&r, "XDEL plx:{t:hole}:log 4-0");
    assert_false(whole("hole", end.epoch, 1, 10));
    redis_do(&r, "XTRIM plx:{t:hole}:log MINID 5-0");
    assert_true(whole("hole", end.epoch, 4, 10));
    assert_false(whole("hole", end.epoch, 3, 10));
    redis_do(&r, "SET plx:{t:hole}:log rubbish");
    assert_false(whole("hole", end.epoch, 5, 10));
    assert_string_equal(history("hole", NULL, 10, 10), "@6");
    redis_do(&r, "SET plx:{t:hole}:meta rubbish");
    assert_false(whole("hole", end.epoch, 6, 10));
}

/* The log lives longer than the history where the delivery log's time is longer. */
static void test_history_ends_by_silence(void **state)
{
    (void)state;
    plx_position end = fill("old", "mmm", 10); /* written with a life of 3600 s */
    assert_in_range(redis_do(&r, "TTL plx:{t:old}:log"), 3590, 3600);
    assert_true(since_within("old", end.epoch, 1, 10, 60).flag);
    redis_do(&r, "EXPIRE plx:{t:old}:log 3530"); /* as if 70 s had gone by */
    assert_false(since_within("old", end.epoch, 1, 10, 60).flag);
    assert_true(since_within("old", end.epoch, 3, 10, 60).flag);
    assert_true(since_within("old", end.epoch, 1, 10, 100).flag);
    fill("old", "m", 10); /* counts from the last publication */
    assert_true(since_within("old", end.epoch, 1, 10, 60).flag);
}

static void test_reading(void **state)
{
    (void)state;
    /*                              123456789 */
    plx_position at = fill("read", "mmpmpmmpm", 5), since = at;
    assert_string_equal(history("read", NULL, 100, 5), "2 4 6 7 9 @9");
    assert_string_equal(history("read", NULL, 2, 5), "7 9 @9");
    assert_string_equal(history("read", NULL, 100, 100), "1 2 4 6 7 9 @9");
    since.offset = 9;
    assert_string_equal(history("read", &since, 100, 5), "@9");
    since.offset = 2;
    assert_string_equal(history("read", &since, 100, 5), "4 6 7 9 @9");
    /* Page by page. */
    assert_string_equal(history("read", &since, 2, 5), "4 6 @6");
    since.offset = 6;
    assert_string_equal(history("read", &since, 2, 5), "7 9 @9");
    since.offset = 0;
    assert_string_equal(history("read", &since, 100, 5), "lost");
    since.offset = 10;
    assert_string_equal(history("read", &since, 100, 5), "lost");
    since.offset = 9;
    strcpy(since.epoch, "other");
    assert_string_equal(history("read", &since, 100, 5), "lost");
    assert_string_equal(history("nothing", NULL, 100, 5), "@0");
}

static void test_reading_across_chunks(void **state)
{
    (void)state;
    static char kinds[3001];
    memset(kinds, 'p', 3000);
    for (size_t i = 0; i < 3000; i += 600)
        kinds[i] = 'm';
    plx_position since = fill("chunks", kinds, 50);
    assert_string_equal(history("chunks", NULL, 100, 50), "1 601 1201 1801 2401 @3000");
    since.offset = 1;
    assert_string_equal(history("chunks", &since, 3, 50), "601 1201 1801 @1801");
    assert_string_equal(history("chunks", &since, 4, 50), "601 1201 1801 2401 @3000");
}

static size_t big_count;
static uint64_t big_offset;
static void on_big(void *arg, int err, const plx_position *position, plx_event *const *events,
                   size_t count)
{
    (void)arg, (void)events;
    assert_int_equal(err, 0);
    given_called = true;
    big_count = count;
    big_offset = position->offset;
}

static void test_reading_is_bounded_in_bytes(void **state)
{
    (void)state;
    static char big[1000001];
    result x = {0};
    plx_history h = {100, 3600};
    memset(big, ' ', sizeof big - 1);
    big[0] = '1';
    for (int i = 0; i < 7; i++) {
        plx_publication p = {.topic = PLX_LIT("big"),
                             .event = PLX_LIT("msg"),
                             .payload = plx_slice_of(big),
                             .kind = PLX_KIND_JSON,
                             .history_size = 100,
                             .history_ttl_s = 60};
        x.called = false;
        plx_topic_publish(s, &p, on_published, &x);
        WAIT(&r, x.called);
    }
    x.at.offset = 1;
    given_called = false;
    plx_topic_history(s, plx_slice_of("big"), &x.at, 100, &h, on_big, NULL);
    WAIT(&r, given_called);
    assert_int_equal(big_count, 4);
    assert_int_equal(big_offset, 5); /* go on from there */
    given_called = false;
    plx_topic_history(s, plx_slice_of("big"), NULL, 100, &h, on_big, NULL);
    WAIT(&r, given_called);
    assert_int_equal(big_count, 4);
    assert_int_equal(big_offset, 7);
}

/* ---- the last message of each event */

static void on_latest(void *arg, int err, const plx_position *position, plx_event *const *events,
                      size_t count)
{
    size_t at = 0;
    (void)arg;
    assert_int_equal(err, 0);
    given_called = true;
    given[0] = '\0';
    for (size_t i = 0; i < count; i++)
        at += (size_t)snprintf(given + at, sizeof given - at, "%.*s=%.*s ",
                               (int)events[i]->event.len, events[i]->event.data,
                               (int)events[i]->payload.len, events[i]->payload.data);
    snprintf(given + at, sizeof given - at, "@%llu", (unsigned long long)position->offset);
}

static const char *latest(const char *topic)
{
    given_called = false;
    plx_topic_latest(s, plx_slice_of(topic), on_latest, NULL);
    WAIT(&r, given_called);
    return given;
}

static void say(const char *topic, const char *event, plx_slice payload, enum plx_kind kind)
{
    result x = {0};
    plx_publication p = {.topic = plx_slice_of(topic),
                         .event = plx_slice_of(event),
                         .payload = payload,
                         .kind = kind,
                         .latest_ttl_s = 50};
    plx_topic_publish(s, &p, on_published, &x);
    WAIT(&r, x.called);
    assert_int_equal(x.err, 0);
}

static void test_latest(void **state)
{
    static char big[PLX_LATEST_BYTES + 1];
    char event[16];
    (void)state;
    assert_string_equal(latest("last"), "@0");
    say("last", "b", plx_slice_of("1 2"), PLX_KIND_JSON);
    say("last", "a", plx_slice_of("[ ]"), PLX_KIND_JSON);
    say("last", "b", plx_slice_of("\" j \""), PLX_KIND_BINARY);
    say("last", "c", plx_slice_of("{}"), PLX_KIND_PRESENCE);
    assert_string_equal(latest("last"), "a=[ ] b=\" j \" @4");
    assert_in_range(redis_do(&r, "TTL plx:{t:last}:latest"), 45, 50);
    /* Too large to be kept: then the older one is not the last any more. */
    memset(big, '1', sizeof big);
    say("last", "a", plx_slice_make(big, sizeof big), PLX_KIND_JSON);
    assert_string_equal(latest("last"), "b=\" j \" @5");
    say("last", "b", plx_slice_make(big, 0), PLX_KIND_BINARY);
    assert_string_equal(latest("last"), "b= @6");
    /* At most 64 events; those that are there go on. */
    for (int i = 0; i < 100; i++) {
        snprintf(event, sizeof event, "e%d", i);
        say("last", event, plx_slice_of("1"), PLX_KIND_JSON);
    }
    assert_int_equal(redis_do(&r, "HLEN plx:{t:last}:latest"), PLX_LATEST_EVENTS);
    say("last", "e3", plx_slice_of("2"), PLX_KIND_JSON);
    assert_non_null(strstr(latest("last"), " e3=2 @107"));
    /* What is not ours. */
    redis_do(&r, "DEL plx:{t:last}:latest");
    redis_do(&r, "HSET plx:{t:last}:latest x rubbish y %s z %s", "5:j:1", "-1");
    assert_string_equal(latest("last"), "@107");
    redis_do(&r, "SET plx:{t:last}:latest rubbish");
    assert_string_equal(latest("last"), "@107");
    say("last", "e3", plx_slice_of("3"), PLX_KIND_JSON);
    assert_string_equal(latest("last"), "e3=3 @108");
    /* A topic of another kind keeps none. */
    fill("other", "mm", 10);
    assert_string_equal(latest("other"), "@2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_position),
        cmocka_unit_test(test_empty_topic),
        cmocka_unit_test(test_retention),
        cmocka_unit_test(test_diffs_push_no_message_out),
        cmocka_unit_test(test_bytes_win),
        cmocka_unit_test(test_log_is_lost),
        cmocka_unit_test(test_meta_is_lost),
        cmocka_unit_test(test_hole),
        cmocka_unit_test(test_history_ends_by_silence),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_reading_across_chunks),
        cmocka_unit_test(test_reading_is_bounded_in_bytes),
        cmocka_unit_test(test_latest),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
