/* Who may join and who may push, before any backend is asked. */
#include "channel/rules.h"
#include "base/json_scan.h"
#include "channel/rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static plx_socket_config no_auth, tickets = {.auth = {.type = PLX_AUTH_TICKET}};

static plx_asker asker(const plx_socket_config *socket, const plx_channel_config *c,
                       const char *topic, const char *params, const char *claims)
{
    return (plx_asker){socket, c, plx_slice_of(topic), plx_slice_of(params), plx_slice_of(claims)};
}

static bool may_join(const plx_channel_config *c, const char *topic, const char *params,
                     const char *claims)
{
    plx_asker a = asker(&no_auth, c, topic, params, claims);
    enum plx_refusal refusal = plx_rules_join(&a, 2);

    assert_true(refusal == PLX_ALLOWED || refusal == PLX_REFUSED_WHO);
    return refusal == PLX_ALLOWED;
}

static enum plx_refusal push(const plx_channel_config *c, const char *claims, const char *event,
                             size_t bytes)
{
    plx_asker a = asker(&no_auth, c, "t", "{}", claims);
    uint64_t bucket = 0;

    return plx_rules_push(&a, plx_slice_of(event), bytes, &bucket, 0);
}

static bool may_push(const plx_channel_config *c, const char *claims)
{
    return push(c, claims, "e", 2) == PLX_ALLOWED;
}

static void test_join(void **state)
{
    plx_channel_config any = {.join = PLX_WHO_ANY}, none = {.join = PLX_WHO_NONE},
                       known = {.join = PLX_WHO_AUTHENTICATED};

    (void)state;
    assert_true(may_join(&any, "t", "{}", "{}"));
    assert_false(may_join(&none, "t", "{}", "{}"));
    assert_false(may_join(&none, "t", "{}", "{\"user_id\":1}"));
    assert_false(may_join(&known, "t", "{}", "{}"));
    assert_false(may_join(&known, "t", "{}", "{ }"));
    assert_false(may_join(&known, "t", "{}", ""));
    assert_false(may_join(&known, "t", "{\"user_id\":1}", "{}"));
    assert_true(may_join(&known, "t", "{}", "{\"user_id\":1}"));
}

static void test_push(void **state)
{
    plx_channel_config any = {.push = PLX_WHO_ANY}, none = {.push = PLX_WHO_NONE},
                       known = {.push = PLX_WHO_AUTHENTICATED};

    (void)state;
    assert_true(may_push(&any, "{}"));
    assert_false(may_push(&none, "{\"user_id\":1}"));
    assert_false(may_push(&known, "{}"));
    assert_true(may_push(&known, "{\"user_id\":1}"));
}

static void test_only_topic(void **state)
{
    plx_channel_config c = {.only_topic = (char *)"user:{claims.user_id}"};

    (void)state;
    assert_true(may_join(&c, "user:7", "{}", "{\"user_id\":\"7\"}"));
    assert_true(may_join(&c, "user:7", "{}", "{\"user_id\":7}"));
    assert_false(may_join(&c, "user:8", "{}", "{\"user_id\":\"7\"}"));
    assert_false(may_join(&c, "user:", "{}", "{\"user_id\":\"7\"}"));
    assert_false(may_join(&c, "user:7x", "{}", "{\"user_id\":\"7\"}"));
    assert_true(may_join(&c, "user:", "{}", "{\"user_id\":\"\"}"));
    /* What does not expand is nobody's topic. */
    assert_false(may_join(&c, "user:", "{}", "{}"));
    assert_false(may_join(&c, "user:7", "{\"user_id\":\"7\"}", "{}"));
    assert_false(may_join(&c, "user:null", "{}", "{\"user_id\":null}"));
    assert_false(may_join(&c, "user:{claims.user_id}", "{}", "{}"));
    assert_false(may_join(&c, "user:7", "{}", ""));
    /* What a client puts in is not expanded again. */
    assert_true(may_join(&c, "user:{claims.x}", "{}", "{\"user_id\":\"{claims.x}\",\"x\":\"7\"}"));
    c.join = PLX_WHO_NONE;
    assert_false(may_join(&c, "user:7", "{}", "{\"user_id\":\"7\"}"));
}

/* ---- capabilities ---- */

static bool capable(const plx_socket_config *socket, const char *claims, const char *topic)
{
    static const plx_channel_config open = {.backend = (char *)"relay"};
    plx_asker a = asker(socket, &open, topic, "{}", claims);
    uint64_t bucket = 0;
    bool join = plx_rules_join(&a, 2) == PLX_ALLOWED;
    bool push = plx_rules_push(&a, plx_slice_of("e"), 2, &bucket, 0) == PLX_ALLOWED;

    /* Every text here says the same of both, or names one. */
    assert_true(join == push || !strstr(claims, "join") || !strstr(claims, "push"));
    return strstr(claims, "join") ? join : push;
}

static void test_capabilities(void **state)
{
    static const struct {
        const char *claims, *topic;
        bool allowed;
    } cases[] = {
        {"{\"exp\":1}", "room:1", true},
        {"", "room:1", true},
        {"{}", "room:1", true},
        {"{\"join\":[\"room:*\"]}", "room:1", true},
        {"{\"join\":[\"room:*\"]}", "room:", true},
        {"{\"join\":[\"room:*\"]}", "room", false},
        {"{\"join\":[\"room:*\"]}", "Room:1", false},
        {"{\"join\":[\"room:1\"]}", "room:1", true},
        {"{\"join\":[\"room:1\"]}", "room:12", false},
        {"{\"join\":[\"a\",\"room:*\"]}", "room:1", true},
        {"{\"join\":[\"*\"]}", "anything", true},
        {"{\"join\":[\"r\\u006fom:*\"]}", "room:1", true},
        {"{\"j\\u006fin\":[\"a\"],\"join\":[\"room:1\"]}", "a", false},
        {"{\"push\":[\"room:*\"]}", "room:1", true},
        {"{\"push\":[\"room:*\"]}", "hall:1", false},
        /* No list of patterns: nothing. */
        {"{\"join\":[]}", "room:1", false},
        {"{\"join\":null}", "room:1", false},
        {"{\"join\":\"room:1\"}", "room:1", false},
        {"{\"join\":true}", "room:1", false},
        {"{\"join\":{\"room:1\":true}}", "room:1", false},
        {"{\"join\":[[\"room:1\"]]}", "room:1", false},
        {"{\"join\":[\"room:1\",7]}", "room:1", false},
        {"{\"join\":[7,\"room:1\"]}", "room:1", false},
        {"{\"join\":[\"room:1\",\"\"]}", "room:1", false},
        {"{\"join\":[\"room:1\",\"r*m\"]}", "room:1", false},
        {"{\"join\":[\"**\"]}", "room:1", false},
        {"{\"push\":\"*\"}", "room:1", false},
        {"no claims", "room:1", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(capable(&tickets, cases[i].claims, cases[i].topic), cases[i].allowed);
}

/* Whose claims are capabilities. */
static void test_capable_types(void **state)
{
    static const char nothing[] = "{\"join\":[]}";

    (void)state;
    for (int type = PLX_AUTH_NONE; type <= PLX_AUTH_HOOK; type++) {
        plx_socket_config socket = {.auth = {.type = (enum plx_auth_type)type}};
        bool own = type == PLX_AUTH_NONE || type == PLX_AUTH_PHOENIX_TOKEN;
        assert_int_equal(capable(&socket, nothing, "room:1"), own);
    }
}

/* A capability opens nothing that the channel's own rules close. */
static void test_capabilities_and_rules(void **state)
{
    plx_channel_config c = {.backend = (char *)"relay", .join = PLX_WHO_NONE, .push = PLX_WHO_NONE};
    plx_asker a = asker(&tickets, &c, "t", "{}", "{\"join\":[\"*\"],\"push\":[\"*\"]}");
    uint64_t bucket = 0;

    (void)state;
    assert_int_equal(plx_rules_join(&a, 2), PLX_REFUSED_WHO);
    assert_int_equal(plx_rules_push(&a, plx_slice_of("e"), 2, &bucket, 0), PLX_REFUSED_WHO);
    c.join = PLX_WHO_ANY;
    c.only_topic = (char *)"user:{claims.user_id}";
    assert_int_equal(plx_rules_join(&a, 2), PLX_REFUSED_WHO);
}

/* ---- events, sizes, rates ---- */

static void test_events(void **state)
{
    char *items[] = {(char *)"said", (char *)"typing"};
    plx_channel_config c = {.backend = (char *)"relay", .events = {items, 2}};

    (void)state;
    assert_int_equal(push(&c, "{}", "said", 2), PLX_ALLOWED);
    assert_int_equal(push(&c, "{}", "typing", 2), PLX_ALLOWED);
    assert_int_equal(push(&c, "{}", "Said", 2), PLX_REFUSED_EVENT);
    assert_int_equal(push(&c, "{}", "sai", 2), PLX_REFUSED_EVENT);
    assert_int_equal(push(&c, "{}", "", 2), PLX_REFUSED_EVENT);
    c.backend = (char *)"http"; /* there it says whom to ask */
    assert_int_equal(push(&c, "{}", "other", 2), PLX_ALLOWED);
    c.backend = (char *)"echo";
    c.push = PLX_WHO_NONE;
    assert_int_equal(push(&c, "{}", "other", 2), PLX_REFUSED_WHO);
}

static void test_sizes(void **state)
{
    plx_channel_config c = {.backend = (char *)"relay", .max_payload_bytes = 10};
    plx_asker a = asker(&no_auth, &c, "t", "{}", "{}");

    (void)state;
    assert_int_equal(push(&c, "{}", "e", 10), PLX_ALLOWED);
    assert_int_equal(push(&c, "{}", "e", 11), PLX_REFUSED_SIZE);
    assert_int_equal(plx_rules_join(&a, 10), PLX_ALLOWED);
    assert_int_equal(plx_rules_join(&a, 11), PLX_REFUSED_SIZE);
    c.max_payload_bytes = 0;
    assert_int_equal(push(&c, "{}", "e", SIZE_MAX), PLX_ALLOWED);
}

/* How many of n messages at once are let through. */
static unsigned at_once(uint64_t *bucket, unsigned n, uint64_t per_s, uint64_t burst, uint64_t now)
{
    unsigned allowed = 0;

    while (n-- > 0)
        allowed += plx_rate_take(bucket, per_s, burst, now);
    return allowed;
}

static void test_rate(void **state)
{
    const uint64_t t = 1700000000000;
    uint64_t bucket = 0;

    (void)state;
    assert_int_equal(at_once(&bucket, 10, 2, 3, t), 3);
    assert_int_equal(at_once(&bucket, 10, 2, 3, t + 499), 0);
    assert_int_equal(at_once(&bucket, 10, 2, 3, t + 500), 1);
    assert_int_equal(at_once(&bucket, 10, 2, 3, t + 1500), 2);
    assert_int_equal(at_once(&bucket, 10, 2, 3, t + 1000000), 3);
    /* Burst 0: as many as in a second. In the long run per_s, whatever the pattern. */
    bucket = 0;
    assert_int_equal(at_once(&bucket, 100, 7, 0, t), 7);
    unsigned sum = 0;
    for (uint64_t ms = 0; ms < 100000; ms += 37)
        sum += at_once(&bucket, 3, 7, 0, t + ms);
    assert_in_range(sum, 699, 701);
    /* The ends of the ranges. */
    bucket = 0;
    assert_int_equal(at_once(&bucket, 10, 1, 1, 0), 1);
    bucket = 0;
    assert_int_equal(at_once(&bucket, 1000001, 1000000, 1000000, t), 1000000);
    assert_int_equal(at_once(&bucket, 1002, 1000000, 1000000, t + 1), 1000);
    bucket = 0;
    assert_int_equal(at_once(&bucket, 1000001, 1, 1000000, t), 1000000);
}

/* A clock that goes back (another Redis) costs what is in the bucket, never more. */
static void test_rate_and_clocks(void **state)
{
    const uint64_t t = 1700000000000;
    uint64_t bucket = 0;

    (void)state;
    assert_int_equal(at_once(&bucket, 10, 10, 5, t), 5);
    assert_int_equal(at_once(&bucket, 10, 10, 5, t - 3600000), 0);
    assert_int_equal(at_once(&bucket, 10, 10, 5, t - 3600000 + 99), 0);
    assert_int_equal(at_once(&bucket, 10, 10, 5, t - 3600000 + 100), 1);
    assert_int_equal(at_once(&bucket, 10, 10, 5, t - 3600000 + 600), 5);
    bucket = UINT64_MAX;
    assert_int_equal(at_once(&bucket, 10, 10, 5, t), 0);
    assert_int_equal(at_once(&bucket, 10, 10, 5, t + 500), 5);
}

/* A refused push takes nothing out of the bucket. */
static void test_refusals_are_free(void **state)
{
    char *items[] = {(char *)"said"};
    plx_channel_config c = {.backend = (char *)"relay",
                            .events = {items, 1},
                            .max_payload_bytes = 10,
                            .has_rate = true,
                            .rate_per_s = 1,
                            .rate_burst = 1};
    plx_asker a = asker(&no_auth, &c, "t", "{}", "{}");
    uint64_t bucket = 0;

    (void)state;
    assert_int_equal(plx_rules_push(&a, plx_slice_of("x"), 2, &bucket, 5), PLX_REFUSED_EVENT);
    assert_int_equal(plx_rules_push(&a, plx_slice_of("said"), 11, &bucket, 5), PLX_REFUSED_SIZE);
    assert_int_equal(bucket, 0);
    assert_int_equal(plx_rules_push(&a, plx_slice_of("said"), 2, &bucket, 5), PLX_ALLOWED);
    uint64_t before = bucket;
    assert_int_equal(plx_rules_push(&a, plx_slice_of("said"), 2, &bucket, 5), PLX_REFUSED_RATE);
    assert_int_equal(bucket, before);
}

static void test_responses(void **state)
{
    (void)state;
    for (int i = PLX_REFUSED_WHO; i <= PLX_REFUSED_RATE; i++) {
        plx_payload p = plx_rules_response((enum plx_refusal)i);
        assert_int_equal(p.kind, PLX_PAYLOAD_JSON);
        assert_int_equal(plx_json_check(p.bytes, NULL), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_push),
        cmocka_unit_test(test_only_topic),
        cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_capable_types),
        cmocka_unit_test(test_capabilities_and_rules),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_rate_and_clocks),
        cmocka_unit_test(test_refusals_are_free),
        cmocka_unit_test(test_responses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
