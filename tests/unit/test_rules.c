/* Who may join and who may push, before any backend is asked. */
#include "channel/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static bool may_join(const plx_channel_config *c, const char *topic, const char *params,
                     const char *claims)
{
    return plx_rules_may_join(c, plx_slice_of(topic), plx_slice_of(params), plx_slice_of(claims));
}

static bool may_push(const plx_channel_config *c, const char *claims)
{
    return plx_rules_may_push(c, plx_slice_of(claims));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_push),
        cmocka_unit_test(test_only_topic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
