/* Metrics out of reports: what is there is told, what is odd harms nobody. */
#include "channel/metrics.h"
#include "channel/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static json_object *reports[8];
static plx_census census;
static plx_buf out;

static void add(const char *text)
{
    json_object *report = plx_report_read(plx_slice_of(text));

    if (report)
        reports[census.count++] = report;
}

static const char *write_all(bool open)
{
    plx_buf_clear(&out);
    plx_metrics_write(&census, open, &out);
    return plx_buf_cstr(&out);
}

static int setup(void **state)
{
    (void)state;
    census = (plx_census){.reports = reports};
    plx_buf_init(&out, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < census.count; i++)
        json_object_put(reports[i]);
    plx_buf_fini(&out);
    return 0;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("not there: %s\nin: %s", part, text);
}

static void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("there: %s\nin: %s", part, text);
}

static void test_workers(void **state)
{
    const char *text;

    (void)state;
    add("{\"worker\":\"a\",\"kind\":\"websocket\",\"host\":\"h\",\"version\":\"1\","
        "\"counts\":{\"joins\":7,\"cpu_ms\":1234,\"websockets\":3}}");
    add("{\"worker\":\"b\",\"kind\":\"longpoll\",\"counts\":{\"joins\":18446744073709551615}}");
    census.silent = 2;
    text = write_all(false);
    assert_has(text, "# TYPE pollux_joins_total counter\n"
                     "pollux_joins_total{kind=\"websocket\",worker=\"a\"} 7\n"
                     "pollux_joins_total{kind=\"longpoll\",worker=\"b\"} 18446744073709551615\n#");
    assert_has(text, "pollux_cpu_seconds_total{kind=\"websocket\",worker=\"a\"} 1.234\n");
    assert_has(text, "# TYPE pollux_websockets gauge\npollux_websockets{kind=\"websocket\","
                     "worker=\"a\"} 3\n#");
    assert_has(text, "pollux_worker{kind=\"websocket\",worker=\"a\",host=\"h\",version=\"1\"} 1\n");
    assert_has(text, "\npollux_workers_silent 2\n");
    assert_has(text, "\npollux_redis_up 1\n");
    assert_lacks(text, "pollux_redis_memory_bytes");
    assert_lacks(text, "# EOF");
}

/* Whatever is counted is told under one name. */
static void test_each_count_once(void **state)
{
    const char *text;

    (void)state;
    add("{\"worker\":\"a\",\"kind\":\"websocket\",\"counts\":{\"expired\":31415}}");
    text = strstr(write_all(false), " 31415\n");
    assert_non_null(text);
    assert_null(strstr(text + 1, " 31415\n"));
}

static void test_open_metrics(void **state)
{
    const char *text;

    (void)state;
    add("{\"worker\":\"a\",\"kind\":\"websocket\",\"counts\":{\"joins\":7}}");
    census.redis_known = true;
    census.redis.memory_bytes = 99;
    census.err = -10;
    text = write_all(true);
    assert_has(text, "# TYPE pollux_joins counter\n"
                     "pollux_joins_total{kind=\"websocket\",worker=\"a\"} 7\n");
    assert_has(text, "\npollux_redis_memory_bytes 99\n");
    assert_has(text, "\npollux_redis_up 0\n");
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
}

static void test_hooks(void **state)
{
    const char *text;

    (void)state;
    add("{\"worker\":\"a\",\"kind\":\"websocket\",\"counts\":{},\"hooks\":["
        "{\"hook\":\"shop:*\",\"counts\":{\"asked\":5,\"down\":1}},"
        "{\"hook\":\"a\\\"b\\\\c\\nd\",\"counts\":{\"asked\":6}},7,null,{}]}");
    text = write_all(false);
    assert_has(text,
               "pollux_hook_requests_total{kind=\"websocket\",worker=\"a\",hook=\"shop:*\"} 5\n"
               "pollux_hook_requests_total{kind=\"websocket\",worker=\"a\","
               "hook=\"a\\\"b\\\\c\\nd\"} 6\n#");
    assert_has(text, "pollux_hook_down{kind=\"websocket\",worker=\"a\",hook=\"shop:*\"} 1\n");
    assert_lacks(text, "pollux_auth_hook_denied_total{");
}

static void test_auth_hooks(void **state)
{
    static const char *const lines[] = {"accepted_total{L} 1\n",   "denied_total{L} 2\n",
                                        "unanswered_total{L} 3\n", "cached_total{L} 4\n",
                                        "cache_entries{L} 5\n",    "cache_bytes{L} 6\n"};
    const char *text;

    (void)state;
    add("{\"worker\":\"a\",\"kind\":\"longpoll\",\"counts\":{},\"hooks\":[{\"hook\":\"/s\","
        "\"counts\":{\"accepted\":1,\"denied\":2,\"unanswered\":3,\"cached\":4,\"cache_entries\":5,"
        "\"cache_bytes\":6}}]}");
    text = write_all(false);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char line[200];
        const char *labels = strchr(lines[i], 'L');
        snprintf(line, sizeof line,
                 "pollux_auth_hook_%.*skind=\"longpoll\",worker=\"a\",hook=\"/s\"%s",
                 (int)(labels - lines[i]), lines[i], labels + 1);
        assert_has(text, line);
    }
}

/* Whoever can write to Redis can answer a call. */
static void test_odd_reports(void **state)
{
    const char *text;

    (void)state;
    add("");
    add("[]");
    add("{\"worker\":\"a\"");
    add("7");
    assert_int_equal(census.count, 0);
    add("{}");
    add("{\"worker\":7,\"kind\":null,\"counts\":[1]}");
    add("{\"worker\":{},\"counts\":{\"joins\":\"x\",\"pushes\":1.5,\"crashes\":null,\"events\":-1}"
        "}");
    add("{\"hooks\":{}}");
    assert_int_equal(census.count, 4);
    text = write_all(false);
    assert_lacks(text, "pollux_joins_total{");
    assert_lacks(text, "pollux_pushes_total{");
    assert_lacks(text, "pollux_channel_crashes_total{");
    assert_has(text, "pollux_worker{kind=\"\",worker=\"\",host=\"\",version=\"\"} 1\n");
}

static void test_what_redis_says(void **state)
{
    plx_redis_info info = {.uptime_s = 5};

    (void)state;
    plx_redis_info_parse(
        plx_slice_of("# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:77\r\n\r\n"
                     "used_memory:123456\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n"
                     "connected_clients:x\r\nno colon\r\n:\r\n"),
        &info);
    assert_string_equal(info.version, "7.0.15");
    assert_string_equal(info.policy, "allkeys-lru");
    assert_int_equal(info.uptime_s, 77);
    assert_int_equal(info.memory_bytes, 123456);
    assert_int_equal(info.clients, 0);
    plx_redis_info_parse(
        plx_slice_of("redis_version:0123456789012345678901234567890123456789\nmaxmemory:9"), &info);
    assert_int_equal(strlen(info.version), sizeof info.version - 1);
    assert_int_equal(info.memory_limit_bytes, 9);
    plx_redis_info_parse(plx_slice_make(NULL, 0), &info);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_workers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_count_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_metrics, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hooks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_auth_hooks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_odd_reports, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_redis_says, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
