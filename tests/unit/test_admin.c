/* The server API's operations: what bodies are accepted, what comes back, in every order. */
#include "admin_world.h"

static void publish(const char *body)
{
    answers = 0;
    plx_admin_publish(fake_store, plx_slice_of(body), take_answer, &answers);
}

/* The body is refused at once with this status and code. */
static void assert_refused(const char *body, unsigned status, const char *code)
{
    char expected[80];

    publish(body);
    snprintf(expected, sizeof expected, "{\"error\":{\"code\":\"%s\",\"message\":\"", code);
    if (answers != 1 || last_status != status ||
        strncmp(last_json, expected, strlen(expected)) != 0)
        fail_msg("%.200s: %u answers, %u %s", body, answers, last_status, last_json);
    assert_int_equal(fake_waiting(), 0);
}

static void test_publish(void **state)
{
    (void)state;
    publish("{\"topic\":\"room:\\u00e4\",\"event\":\"e\\n\",\"payload\":{\"a\" : 1e2}}");
    assert_int_equal(answers, 0);
    assert_string_equal(fake_peek(0)->topic, "room:\xc3\xa4");
    assert_string_equal(fake_peek(0)->event, "e\n");
    assert_string_equal(fake_peek(0)->payload, "{\"a\" : 1e2}");
    assert_int_equal(fake_peek(0)->kind, PLX_KIND_JSON);
    assert_string_equal(fake_peek(0)->key, "");
    assert_string_equal(fake_peek(0)->from, "");
    assert_int_equal(fake_peek(0)->history_size, 0);
    fake_answer(0, 0);
    assert_int_equal(answers, 1);
    assert_int_equal(last_status, 200);
    assert_string_equal(last_json, "{\"position\":\"e:1\"}");
}

static void test_publish_with_key_and_null_payload(void **state)
{
    (void)state;
    publish(" {\"key\":\"k1\",\"payload\":null,\"event\":\"e\",\"topic\":\"room:a\"} ");
    assert_string_equal(fake_peek(0)->key, "k1");
    assert_string_equal(fake_peek(0)->payload, "null");
    fake_answer(0, 0);
    assert_int_equal(last_status, 200);
}

static void test_publish_binary(void **state)
{
    (void)state;
    publish("{\"topic\":\"room:a\",\"event\":\"e\",\"payload_base64\":\"AP8=\"}");
    assert_int_equal(fake_peek(0)->kind, PLX_KIND_BINARY);
    assert_int_equal(fake_peek(0)->payload_len, 2);
    assert_memory_equal(fake_peek(0)->payload, "\0\xff", 2);
    fake_answer(0, 0);
    publish("{\"topic\":\"room:a\",\"event\":\"e\",\"payload_base64\":\"\"}");
    assert_int_equal(fake_peek(0)->payload_len, 0);
    fake_answer(0, 0);
    assert_int_equal(last_status, 200);
}

/* Several sections route it: the log must reach back as far as any of them says. */
static void test_history(void **state)
{
    (void)state;
    publish("{\"topic\":\"hist:a\",\"event\":\"e\",\"payload\":1}");
    assert_int_equal(fake_peek(0)->history_size, 50);
    fake_answer(0, 0);
    publish("{\"topic\":\"room:long:a\",\"event\":\"e\",\"payload\":1}");
    assert_int_equal(fake_peek(0)->history_size, 20);
    fake_answer(0, 0);
    assert_refused("{\"topic\":\"hist:a\",\"event\":\"e\",\"payload_base64\":\"AA==\"}", 422,
                   "binary_not_kept");
}

static void test_wrong_bodies(void **state)
{
    (void)state;
    assert_refused("", 400, "invalid_json");
    assert_refused("{\"topic\":\"room:a\"", 400, "invalid_json");
    assert_refused("{\"payload\":NaN}", 400, "invalid_json");
    assert_refused("7", 422, "invalid_body");
    assert_refused("\"x\"", 422, "invalid_body");
    assert_refused("{\"topic\":\"room:a\",\"event\":\"e\",\"payload\":1,\"Key\":\"k\"}", 422,
                   "unknown_member");
    assert_non_null(strstr(last_json, "Key"));
    assert_refused("{\"topic\":\"room:a\",\"event\":\"e\",\"payload\":1,\"key\\u0000\":\"k\"}", 422,
                   "unknown_member");
    assert_refused("{\"event\":\"e\",\"payload\":1}", 422, "invalid_topic");
    assert_non_null(strstr(last_json, "missing"));
    assert_refused("{\"topic\":\"\",\"event\":\"e\",\"payload\":1}", 422, "invalid_topic");
    assert_refused("{\"topic\":5,\"event\":\"e\",\"payload\":1}", 422, "invalid_topic");
    assert_refused("{\"topic\":\"room:a\",\"payload\":1}", 422, "invalid_event");
    assert_refused("{\"topic\":\"room:a\",\"event\":null,\"payload\":1}", 422, "invalid_event");
    assert_refused("{\"topic\":\"room:a\",\"event\":\"e\"}", 422, "invalid_payload");
    assert_refused("{\"topic\":\"room:a\",\"event\":\"e\",\"payload\":1,\"payload_base64\":\"\"}",
                   422, "invalid_payload");
    assert_refused("{\"topic\":\"room:a\",\"event\":\"e\",\"payload_base64\":\"?\"}", 422,
                   "invalid_payload");
    assert_refused("{\"topic\":\"room:a\",\"event\":\"e\",\"payload_base64\":5}", 422,
                   "invalid_payload");
    assert_refused("{\"topic\":\"room:a\",\"event\":\"e\",\"payload\":1,\"key\":\"\"}", 422,
                   "invalid_key");
    assert_refused("{\"topic\":\"room:a\",\"event\":\"e\",\"payload\":1,\"key\":null}", 422,
                   "invalid_key");
    assert_refused("{\"topic\":\"nowhere\",\"event\":\"e\",\"payload\":1}", 404, "unknown_topic");
    assert_non_null(strstr(last_json, "nowhere"));
    assert_non_null(strstr(last_json, "\"hint\":"));
}

/* The scanner's ranges and json-c's strings fit together. */
static void test_members(void **state)
{
    (void)state;
    /* Names in any spelling; of two the last counts; only the last payload's text is sent. */
    publish("{\"t\\u006fpic\":\"room:b\",\"topic\":\"room:\\u0000\\ud83d\\ude00\",\"payload\":[1],"
            "\"event\":\"e\",\"p\\u0061yload\":123456789012345678901234567890}");
    assert_int_equal(fake_waiting(), 1);
    assert_memory_equal(fake_peek(0)->topic, "room:\0\xf0\x9f\x98\x80", 11);
    assert_string_equal(fake_peek(0)->payload, "123456789012345678901234567890");
    fake_answer(0, 0);
    publish(
        "{\"topic\":5,\"topic\":\"room:a\",\"event\":\"e\",\"payload\":{\"a\":1,\"a\\u0000\":2}}");
    assert_string_equal(fake_peek(0)->payload, "{\"a\":1,\"a\\u0000\":2}");
    fake_answer(0, 0);
    assert_refused("{\"topic\":\"room:a\",\"topic\":{\"a\":1},\"event\":\"e\",\"payload\":1}", 422,
                   "invalid_topic");
    assert_null(strstr(last_json, "missing"));
    assert_refused("{\"topic\\u0000\":\"room:a\",\"event\":\"e\",\"payload\":1}", 422,
                   "unknown_member");
    assert_refused("{\"\":1}", 422, "unknown_member");
}

/* A long name is cut between characters: what is said about it is UTF-8. */
static void test_long_unknown_member(void **state)
{
    char name[200] = "", body[300];

    (void)state;
    for (size_t at = 0; at < 4; at++) {
        memset(name, 'x', at);
        name[at] = '\0';
        while (strlen(name) < 180)
            strcat(name, "\xf0\x9f\x98\x80");
        snprintf(body, sizeof body, "{\"%s\":1}", name);
        assert_refused(body, 422, "unknown_member");
        assert_int_equal(plx_json_check(plx_slice_of(last_json), NULL), 0);
        name[at == 0 ? 100 : 96 + at] = '\0';
        snprintf(body, sizeof body, "\"unknown member \\\"%s\\\"\"", name);
        assert_non_null(strstr(last_json, body));
    }
}

static void repeat(char *out, size_t n)
{
    memset(out, 'n', n);
    out[n] = '\0';
}

static void test_bounds(void **state)
{
    char name[2100], body[4400];

    (void)state;
    repeat(name, 1020);
    snprintf(body, sizeof body, "{\"topic\":\"room:%s\",\"event\":\"e\",\"payload\":1}", name);
    assert_refused(body, 422, "invalid_topic");
    snprintf(body, sizeof body, "{\"topic\":\"room:%s\",\"event\":\"e\",\"payload\":1}", name + 1);
    publish(body);
    fake_answer(0, 0);
    assert_int_equal(last_status, 200);
    repeat(name, 1025);
    snprintf(body, sizeof body, "{\"topic\":\"room:a\",\"event\":\"%s\",\"payload\":1}", name);
    assert_refused(body, 422, "invalid_event");
    repeat(name, 257);
    snprintf(body, sizeof body,
             "{\"topic\":\"room:a\",\"event\":\"e\",\"payload\":1,\"key\":\"%s\"}", name);
    assert_refused(body, 422, "invalid_key");
    repeat(name, 1999);
    snprintf(body, sizeof body, "{\"topic\":\"room:a\",\"event\":\"e\",\"payload\":\"%s\"}", name);
    assert_refused(body, 422, "payload_too_big");
    snprintf(body, sizeof body, "{\"topic\":\"room:a\",\"event\":\"e\",\"payload\":\"%s\"}",
             name + 1);
    publish(body);
    fake_answer(0, 0);
    assert_int_equal(last_status, 200);
}

static void test_store_away(void **state)
{
    static const int errors[] = {PLX_E_DOWN, PLX_E_TIMEOUT, PLX_E_STORE};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        publish("{\"topic\":\"room:a\",\"event\":\"e\",\"payload\":1}");
        fake_answer(0, errors[i]);
        assert_int_equal(answers, 1);
        assert_int_equal(last_status, 503);
        assert_non_null(strstr(last_json, "{\"error\":{\"code\":\"unavailable\""));
        assert_int_equal(strstr(last_json, "Nothing was done") != NULL, errors[i] == PLX_E_DOWN);
    }
}

static void test_array(void **state)
{
    (void)state;
    publish("[]");
    assert_int_equal(answers, 1);
    assert_int_equal(last_status, 200);
    assert_string_equal(last_json, "[]");
    publish("[{\"topic\":\"room:a\",\"event\":\"e\",\"payload\":1},"
            "{\"topic\":\"room:b\",\"event\":\"e\",\"payload\":2}]");
    assert_string_equal(fake_peek(0)->payload, "1");
    assert_string_equal(fake_peek(1)->payload, "2");
    fake_answer(1, 0); /* in the order of the request, whatever comes first */
    assert_int_equal(answers, 0);
    fake_answer(0, 0);
    assert_int_equal(last_status, 200);
    assert_string_equal(last_json, "[{\"position\":\"e:2\"},{\"position\":\"e:1\"}]");
}

static void test_array_with_failures(void **state)
{
    (void)state;
    publish("[{\"topic\":\"nowhere\",\"event\":\"e\",\"payload\":1},"
            "{\"topic\":\"room:b\",\"event\":\"e\",\"payload\":2},7,"
            "{\"topic\":\"room:c\",\"event\":\"e\",\"payload\":3}]");
    assert_int_equal(fake_waiting(), 2);
    fake_answer(0, 0);
    fake_answer(0, PLX_E_DOWN);
    assert_int_equal(answers, 1);
    assert_int_equal(last_status, 207);
    assert_non_null(strstr(last_json, "[{\"error\":{\"code\":\"unknown_topic\""));
    assert_non_null(
        strstr(last_json, "}},{\"position\":\"e:1\"},{\"error\":{\"code\":\"invalid_body\""));
    assert_non_null(strstr(last_json, ",{\"error\":{\"code\":\"unavailable\""));
    publish("[{}]");
    assert_int_equal(last_status, 207);
}

static void test_array_too_long(void **state)
{
    static char body[1001 * 3 + 2];

    (void)state;
    strcpy(body, "[");
    for (int i = 0; i < 1001; i++)
        strcat(body, i ? ",7" : "7");
    strcat(body, "]");
    assert_refused(body, 422, "too_many");
}

static void disconnect(const char *body)
{
    answers = 0;
    plx_admin_disconnect(fake_store, plx_slice_of(body), take_answer, &answers);
}

static void unsubscribe(const char *body)
{
    answers = 0;
    plx_admin_unsubscribe(fake_store, plx_slice_of(body), take_answer, &answers);
}

static void test_unsubscribe(void **state)
{
    static const struct {
        const char *body, *code;
        unsigned status;
    } wrong[] = {
        {"{\"id\":\"a\"}", "invalid_topic", 422},
        {"{\"topic\":\"room:a\"}", "invalid_id", 422},
        {"{\"id\":\"a\",\"topic\":\"nope:a\"}", "unknown_topic", 404},
        {"{\"id\":\"a\",\"topic\":[]}", "invalid_topic", 422},
        {"{\"id\":\"a\",\"topic\":\"room:a\",\"x\":1}", "unknown_member", 422},
        {"[]", "invalid_body", 422},
        {"", "invalid_json", 400},
    };

    (void)state;
    unsubscribe("{\"id\":\"users:7\",\"topic\":\"room:\\u00e4\"}");
    assert_int_equal(answers, 0);
    assert_string_equal(fake_disconnect_id, "users:7");
    assert_string_equal(fake_unsubscribe_topic, "room:\xc3\xa4");
    fake_disconnect_cb(fake_disconnect_arg, 0, 3);
    assert_int_equal(last_status, 200);
    assert_string_equal(last_json, "{\"channels\":3}");
    unsubscribe("{\"id\":\"users:7\",\"topic\":\"room:a\"}");
    fake_disconnect_cb(fake_disconnect_arg, PLX_E_DOWN, 0);
    assert_int_equal(last_status, 503);
    assert_non_null(strstr(last_json, "\"hint\":\"Nothing was done"));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        unsubscribe(wrong[i].body);
        assert_int_equal(answers, 1);
        assert_int_equal(last_status, wrong[i].status);
        assert_non_null(strstr(last_json, wrong[i].code));
    }
    free(fake_disconnect_id);
    free(fake_unsubscribe_topic);
    fake_disconnect_id = fake_unsubscribe_topic = NULL;
}

static void test_disconnect(void **state)
{
    (void)state;
    disconnect("{\"id\":\"users:7\"}");
    assert_int_equal(answers, 0);
    assert_string_equal(fake_disconnect_id, "users:7");
    fake_disconnect_cb(fake_disconnect_arg, 0, 3);
    assert_int_equal(last_status, 200);
    assert_string_equal(last_json, "{\"sockets\":3}");
    disconnect("{\"id\":\"users:7\"}");
    fake_disconnect_cb(fake_disconnect_arg, PLX_E_TIMEOUT, 0);
    assert_int_equal(last_status, 503);
    disconnect("{\"id\":\"\"}");
    assert_int_equal(last_status, 422);
    disconnect("{}");
    assert_int_equal(last_status, 422);
    disconnect("{\"id\":\"a\",\"topic\":\"b\"}");
    assert_non_null(strstr(last_json, "unknown_member"));
    disconnect("[");
    assert_int_equal(last_status, 400);
    free(fake_disconnect_id);
    fake_disconnect_id = NULL;
}

static void test_keys(void **state)
{
    (void)state;
    assert_true(plx_admin_key_ok(&fake_config, plx_slice_of("first-key")));
    assert_true(plx_admin_key_ok(&fake_config, plx_slice_of("second-key")));
    assert_false(plx_admin_key_ok(&fake_config, plx_slice_of("second-ke")));
    assert_false(plx_admin_key_ok(&fake_config, plx_slice_of("second-keyy")));
    assert_false(plx_admin_key_ok(&fake_config, plx_slice_of("")));
    fake_config.api.keys.count = 0;
    assert_false(plx_admin_key_ok(&fake_config, plx_slice_of("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_publish, setup),
        cmocka_unit_test_setup(test_publish_with_key_and_null_payload, setup),
        cmocka_unit_test_setup(test_publish_binary, setup),
        cmocka_unit_test_setup(test_history, setup),
        cmocka_unit_test_setup(test_wrong_bodies, setup),
        cmocka_unit_test_setup(test_members, setup),
        cmocka_unit_test_setup(test_long_unknown_member, setup),
        cmocka_unit_test_setup(test_bounds, setup),
        cmocka_unit_test_setup(test_store_away, setup),
        cmocka_unit_test_setup(test_array, setup),
        cmocka_unit_test_setup(test_array_with_failures, setup),
        cmocka_unit_test_setup(test_array_too_long, setup),
        cmocka_unit_test_setup(test_disconnect, setup),
        cmocka_unit_test_setup(test_unsubscribe, setup),
        cmocka_unit_test_setup(test_keys, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
