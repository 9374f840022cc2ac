/* channel/auth_hook: what is asked, which answers count, what is remembered. */
#include "tests/unit/fake_hook.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "channel/auth_hook.h"
#include "channel/report.h"

#include <inttypes.h>

static char *header_names[] = {"cookie", "Accept-Language", "x-none"};
static plx_socket_config section = {.path = "/socket",
                                    .auth = {.type = PLX_AUTH_HOOK,
                                             .url = "http://app.example/auth",
                                             .secret = "the secret of the hook",
                                             .timeout_ms = 1234,
                                             .max_in_flight = 7,
                                             .headers = {header_names, 3}}};
static plx_auth_hook *hook;
static const char *cookie, *language, *ip, *transport;

static struct {
    unsigned calls;
    int err;
    char claims[20000], reason[300];
} got;

static void take(const plx_auth_answer *a)
{
    got.err = a->err;
    snprintf(got.claims, sizeof got.claims, "%.*s", (int)a->claims.len,
             a->claims.data ? a->claims.data : "");
    snprintf(got.reason, sizeof got.reason, "%.*s", (int)a->reason.len,
             a->reason.data ? a->reason.data : "");
}

static void on_answer(void *arg, const plx_auth_answer *a)
{
    assert_ptr_equal(arg, &got);
    got.calls++;
    take(a);
}

static bool header(void *arg, const char *name, plx_slice *value)
{
    assert_ptr_equal(arg, &section);
    const char *text = strcmp(name, "cookie") == 0            ? cookie
                       : strcmp(name, "accept-language") == 0 ? language
                                                              : NULL;
    *value = plx_slice_of(text);
    return text != NULL;
}

static int setup(void **state)
{
    (void)state;
    plx_log_init("test", PLX_ERROR);
    plx_clock_fake(1000000, 5000000);
    fake_hook_reset();
    memset(&got, 0, sizeof got);
    cookie = "sid=1";
    language = NULL;
    ip = "192.0.2.1";
    transport = "websocket";
    hook = plx_auth_hook_open(NULL, &section);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    plx_auth_hook_close(hook);
    plx_clock_real();
    return 0;
}

/* Asks with these parameters; NULL: it was known, and is in `got`. */
static plx_auth_question *ask(const char *params)
{
    json_object *object;
    assert_int_equal(plx_json_read(plx_slice_of(params), &object), 0);
    const plx_auth_guest guest = {.transport = transport,
                                  .remote_ip = plx_slice_of(ip),
                                  .params = object,
                                  .header = header,
                                  .arg = &section};
    plx_auth_answer known = {.err = 99};
    plx_auth_question *q = plx_auth_hook_ask(hook, &guest, &known, on_answer, &got);
    if (!q)
        take(&known);
    json_object_put(object);
    return q;
}

static void test_question(void **state)
{
    (void)state;
    language = "de";
    assert_non_null(ask("{\"vsn\":\"2.0.0\",\"a\":{\"b\":\"c\"}}"));
    assert_string_equal(first_asked()->body,
                        "{\"hook\":\"connect\",\"socket\":{\"path\":\"/socket\",\"transport\":"
                        "\"websocket\",\"params\":{\"vsn\":\"2.0.0\",\"a\":{\"b\":\"c\"}},"
                        "\"headers\":{\"cookie\":\"sid=1\",\"accept-language\":\"de\"},"
                        "\"remote_ip\":\"192.0.2.1\"}}");
    assert_true(first_asked()->repeatable);
    assert_string_equal(first_asked()->share, first_asked()->body);
    assert_int_equal(got.calls, 0);
    answer_asked(0, "{\"status\":\"ok\",\"claims\":{\"user_id\": 42}}");
    assert_int_equal(got.calls, 1);
    assert_int_equal(got.err, 0);
    assert_string_equal(got.claims, "{\"user_id\": 42}"); /* as the application wrote it */
}

/* Bytes that no JSON could hold. */
static void test_latin1_header(void **state)
{
    (void)state;
    cookie = "name=Andr\xe9; sid=1";
    ask("{}");
    assert_non_null(strstr(first_asked()->body, "\"cookie\":\"name=Andr\xc3\xa9; sid=1\""));
    answer_asked(0, "{\"status\":\"ok\"}");
    assert_string_equal(got.claims, "{}");
}

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int err;
        const char *text;
    } cases[] = {
        {"{\"status\":\"ok\"}", 0, "{}"},
        {"{\"status\":\"ok\",\"claims\":{}}", 0, "{}"},
        {"{\"status\":\"ok\",\"claims\":[]}", 0, "{}"}, /* PHP's empty array */
        {"{\"status\":\"ok\",\"claims\":{\"a\":1.50},\"more\":[]}", 0, "{\"a\":1.50}"},
        {"{\"status\":\"ok\",\"claims\":{},\"cache_s\":null}", 0, "{}"},
        {"{\"status\":\"error\",\"reason\":\"not you\"}", PLX_E_DENIED, "not you"},
        {"{\"status\":\"error\",\"reason\":\"\\u00e9\"}", PLX_E_DENIED, "\xc3\xa9"},
        {"{\"status\":\"error\"}", PLX_E_DENIED, ""},
        {"{\"status\":\"error\",\"reason\":{\"x\":1},\"claims\":7}", PLX_E_DENIED, ""},
        /* Wrong. */
        {"", PLX_E_DOWN, "it is empty"},
        {"{}", PLX_E_DOWN, "\"status\" is neither \"ok\" nor \"error\""},
        {"{\"status\":\"OK\"}", PLX_E_DOWN, "\"status\" is neither \"ok\" nor \"error\""},
        {"{\"status\":true}", PLX_E_DOWN, "\"status\" is neither \"ok\" nor \"error\""},
        {"{\"status\":\"okay\"}", PLX_E_DOWN, "\"status\" is neither \"ok\" nor \"error\""},
        {"{\"status\":\"ok\",\"claims\":[0]}", PLX_E_DOWN, "\"claims\" is no object"},
        {"{\"status\":\"ok\",\"claims\":null}", PLX_E_DOWN, "\"claims\" is no object"},
        {"{\"status\":\"ok\",\"claims\":\"{}\"}", PLX_E_DOWN, "\"claims\" is no object"},
        {"{\"status\":\"ok\",\"cache_s\":-1}", PLX_E_DOWN, "\"cache_s\" is no number of seconds"},
        {"{\"status\":\"ok\",\"cache_s\":1.5}", PLX_E_DOWN, "\"cache_s\" is no number of seconds"},
        {"{\"status\":\"ok\",\"cache_s\":\"9\"}", PLX_E_DOWN,
         "\"cache_s\" is no number of seconds"},
        {"{\"status\":\"ok\",\"cache_s\":9e99}", PLX_E_DOWN, "\"cache_s\" is no number of seconds"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned before = complaint_count;
        assert_non_null(ask("{}"));
        answer_asked(0, cases[i].json);
        if (got.calls != i + 1 || got.err != cases[i].err)
            fail_msg("%s: %d", cases[i].json, got.err);
        if (got.err == 0)
            assert_string_equal(got.claims, cases[i].text);
        else if (got.err == PLX_E_DENIED)
            assert_string_equal(got.reason, cases[i].text);
        else
            assert_string_equal(last_complaint, cases[i].text);
        assert_int_equal(complaint_count - before, got.err == PLX_E_DOWN);
    }
    plx_auth_hook_counters c = plx_auth_hook_counts(hook);
    assert_int_equal(c.accepted, 5);
    assert_int_equal(c.refused, 4);
    assert_int_equal(c.unanswered, 12);
}

static void assert_reported(json_object *report, const char *name, uint64_t expected)
{
    uint64_t n = UINT64_MAX;
    if (!plx_report_get(report, name, &n) || n != expected)
        fail_msg("%s is %" PRIu64 ", not %" PRIu64, name, n, expected);
}

/* What is counted is told in the worker's reports. */
static void test_reported(void **state)
{
    (void)state;
    json_object *report = plx_json_new_object();
    ask("{\"a\":\"1\"}");
    answer_asked(0, "{\"status\":\"ok\",\"cache_s\":60}");
    for (size_t i = 0; i < 2; i++)
        assert_null(ask("{\"a\":\"1\"}"));
    ask("{\"a\":\"2\"}");
    answer_asked(0, "{\"status\":\"error\"}");
    ask("{\"a\":\"3\"}");
    answer_asked(PLX_E_TIMEOUT, "");
    opened_as.report(opened_as.user, report);
    assert_reported(report, "accepted", 3);
    assert_reported(report, "denied", 1);
    assert_reported(report, "unanswered", 1);
    assert_reported(report, "cached", 2);
    assert_reported(report, "cache_entries", 1);
    assert_reported(report, "cache_bytes", plx_auth_hook_counts(hook).bytes);
    json_object_put(report);
}

static void test_large_claims(void **state)
{
    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        char *json = malloc(PLX_AUTH_CLAIMS_MAX + 100);
        int at = sprintf(json, "{\"status\":\"ok\",\"claims\":{\"a\":\"");
        memset(json + at, 'x', PLX_AUTH_CLAIMS_MAX - 8 + extra);
        strcpy(json + at + PLX_AUTH_CLAIMS_MAX - 8 + extra, "\"}}");
        ask("{}");
        answer_asked(0, json);
        assert_int_equal(got.err, extra == 0 ? 0 : PLX_E_DOWN);
        free(json);
    }
    assert_string_equal(last_complaint, "\"claims\" are too large");
}

static void test_long_reason_is_cut(void **state)
{
    (void)state;
    char json[2100] = "{\"status\":\"error\",\"reason\":\"";
    memset(json + strlen(json), 'x', 2000);
    strcat(json, "\"}");
    ask("{}");
    answer_asked(0, json);
    assert_int_equal(got.err, PLX_E_DENIED);
    assert_int_equal(strlen(got.reason), 200);
}

/* Whatever went wrong: the guest may come again. */
static void test_no_answer(void **state)
{
    (void)state;
    static const int errors[] = {PLX_E_TIMEOUT, PLX_E_DOWN, PLX_E_BUSY, PLX_E_INVALID, PLX_E_GONE};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        ask("{}");
        answer_asked(errors[i], "");
        assert_int_equal(got.err, PLX_E_DOWN);
    }
    assert_int_equal(complaint_count, 0); /* the hook has logged it */
    assert_int_equal(plx_auth_hook_counts(hook).unanswered, 5);
}

static void test_kept(void **state)
{
    (void)state;
    ask("{\"a\":\"1\"}");
    answer_asked(0, "{\"status\":\"ok\",\"claims\":{\"n\":1},\"cache_s\":60}");
    memset(&got, 0, sizeof got);
    assert_null(ask("{\"a\":\"1\"}"));
    assert_int_equal(got.calls, 0);
    assert_int_equal(got.err, 0);
    assert_string_equal(got.claims, "{\"n\":1}");
    /* By another way and address: the same guest. */
    transport = "longpoll";
    ip = "192.0.2.2";
    assert_null(ask("{\"a\":\"1\"}"));
    assert_int_equal(asked_count, 1);
    /* Other parameters, another cookie, a header more or less: another one. */
    assert_non_null(ask("{\"a\":\"2\"}"));
    assert_non_null(ask("{}"));
    cookie = "sid=2";
    assert_non_null(ask("{\"a\":\"1\"}"));
    cookie = NULL;
    assert_non_null(ask("{\"a\":\"1\"}"));
    cookie = "sid=1";
    language = "de";
    assert_non_null(ask("{\"a\":\"1\"}"));
    language = NULL;
    assert_int_equal(asked_count, 6);
    plx_clock_fake(1059999, 0); /* whatever the wall clock says */
    assert_null(ask("{\"a\":\"1\"}"));
    plx_clock_fake(1060000, 0);
    assert_non_null(ask("{\"a\":\"1\"}"));
    plx_auth_hook_counters c = plx_auth_hook_counts(hook);
    assert_int_equal(c.cached, 3);
    assert_int_equal(c.accepted, 4);
}

/* A page can't put a header's text where another guest's parameters would stand. */
static void test_keys_are_not_ambiguous(void **state)
{
    (void)state;
    cookie = "x\"},\"params\":{\"a\":\"1";
    ask("{}");
    answer_asked(0, "{\"status\":\"ok\",\"claims\":{\"n\":1},\"cache_s\":60}");
    cookie = "x";
    assert_non_null(ask("{\"a\":\"1\"}"));
    assert_non_null(ask("{\"headers\":{\"cookie\":\"x\"}}"));
}

static void test_not_kept(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "{\"status\":\"ok\"}",
        "{\"status\":\"ok\",\"cache_s\":0}",
        "{\"status\":\"error\",\"reason\":\"x\"}",
        "{\"status\":\"ok\",\"claims\":[0],\"cache_s\":60}",
        "{\"status\":\"no\",\"cache_s\":60}",
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        assert_non_null(ask("{}"));
        answer_asked(0, answers[i]);
    }
    assert_int_equal(plx_auth_hook_counts(hook).entries, 0);
}

static void test_kept_refusal(void **state)
{
    (void)state;
    ask("{}");
    answer_asked(0, "{\"status\":\"error\",\"reason\":\"banned\",\"cache_s\":999999999999}");
    assert_null(ask("{}"));
    assert_int_equal(got.err, PLX_E_DENIED);
    assert_string_equal(got.reason, "banned");
    plx_clock_fake(1000000 + 86399999, 0);
    assert_null(ask("{}"));
    plx_clock_fake(1000000 + 86400000, 0); /* a day is the longest */
    assert_non_null(ask("{}"));
}

static void test_bounded(void **state)
{
    (void)state;
    char params[64];
    for (int i = 0; i < PLX_AUTH_CACHE_ENTRIES + 500; i++) {
        snprintf(params, sizeof params, "{\"n\":\"%d\"}", i);
        ask(params);
        answer_asked(0, "{\"status\":\"ok\",\"cache_s\":60}");
    }
    assert_int_equal(plx_auth_hook_counts(hook).entries, PLX_AUTH_CACHE_ENTRIES);
    assert_true(plx_auth_hook_counts(hook).bytes <= PLX_AUTH_CACHE_BYTES);
    assert_non_null(ask("{\"n\":\"0\"}"));
    assert_null(ask("{\"n\":\"10000\"}"));
}

static void test_too_large_a_question(void **state)
{
    (void)state;
    char *large = malloc(300000);
    memset(large, 'x', 299999);
    large[299999] = '\0';
    cookie = large;
    assert_null(ask("{}"));
    assert_int_equal(got.err, PLX_E_INVALID);
    assert_int_equal(asked_count, 0);
    free(large);
}

/* Everybody who waits costs memory, whether the question is shared or not. */
static void test_waiting_is_bounded(void **state)
{
    (void)state;
    char large[10001];
    memset(large, 'x', 10000);
    large[10000] = '\0';
    cookie = large;
    plx_auth_question *some[3000];
    char address[64];
    size_t n = 0, each;
    while ((some[n] = ask("{}")))
        assert_true(++n < 3000);
    assert_int_equal(got.err, PLX_E_DOWN);
    each = n; /* of one address; others find room */
    assert_in_range(each, 225, 275);
    ip = address;
    do
        snprintf(address, sizeof address, "2001:db8:0:%zx::1", n);
    while ((some[n] = ask("{}")) && ++n < 3000);
    assert_int_equal(got.err, PLX_E_DOWN);
    assert_in_range(n, 4 * each, 4 * each + 3);
    plx_auth_question_cancel(some[--n]);
    some[n] = ask("{}");
    assert_non_null(some[n++]);
    assert_null(ask("{}"));
    answer_asked(0, "{\"status\":\"ok\"}");
    assert_non_null(ask("{}"));
}

/* Two of them are the same client, as far as the hook is told. */
static bool are_one(const char *one, const char *other)
{
    ip = one;
    plx_auth_question *a = ask("{}");
    ip = other;
    plx_auth_question *b = ask("{\"b\":\"\"}");
    plx_question *q[2] = {first_asked(),
                          PLX_CONTAINER(first_asked()->node.next, plx_question, node)};
    bool same = plx_slice_eq(plx_buf_slice(&q[0]->who), plx_buf_slice(&q[1]->who));
    plx_auth_question_cancel(a);
    plx_auth_question_cancel(b);
    return same;
}

static void test_who_is_one_client(void **state)
{
    (void)state;
    static const char *const nobody[] = {
        "unix", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "", "nonsense"};
    assert_true(are_one("192.0.2.1", "::ffff:192.0.2.1"));
    assert_false(are_one("192.0.2.1", "192.0.2.2"));
    assert_true(are_one("2001:db8::1", "2001:db8::ffff:0:0:2"));
    assert_false(are_one("2001:db8::1", "2001:db8:0:1::1"));
    for (size_t i = 0; i < sizeof nobody / sizeof *nobody; i++) {
        ip = nobody[i];
        ask("{}");
        assert_int_equal(first_asked()->who.len, 0);
        answer_asked(0, "{\"status\":\"ok\"}");
    }
}

static void test_cancel(void **state)
{
    (void)state;
    plx_auth_question *first = ask("{}");
    ask("{\"a\":\"1\"}");
    plx_auth_question_cancel(first);
    assert_int_equal(cancelled_count, 1);
    answer_asked(0, "{\"status\":\"ok\"}");
    assert_int_equal(got.calls, 1);
    ask("{}");
    plx_auth_hook_close(hook); /* what is left is told */
    assert_int_equal(got.calls, 2);
    assert_int_equal(got.err, PLX_E_DOWN);
    hook = NULL;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_question),
        TEST(test_latin1_header),
        TEST(test_answers),
        TEST(test_reported),
        TEST(test_large_claims),
        TEST(test_long_reason_is_cut),
        TEST(test_no_answer),
        TEST(test_kept),
        TEST(test_keys_are_not_ambiguous),
        TEST(test_not_kept),
        TEST(test_kept_refusal),
        TEST(test_bounded),
        TEST(test_too_large_a_question),
        TEST(test_waiting_is_bounded),
        TEST(test_who_is_one_client),
        TEST(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
