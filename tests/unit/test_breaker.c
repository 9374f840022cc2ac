/* The circuit breaker, told the time by the test. */
#include "channel/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static bool passes(plx_breaker *b, uint64_t now, bool as_trial)
{
    bool trial = !as_trial;

    return plx_breaker_pass(b, now, &trial) && trial == as_trial;
}

static void open_it(plx_breaker *b, uint64_t now)
{
    for (int i = 1; i < PLX_BREAKER_FAILURES; i++)
        assert_false(plx_breaker_bad(b, now, now, false));
    assert_true(plx_breaker_bad(b, now, now, false));
}

static void opens_after_failures_in_a_row(void **state)
{
    plx_breaker b = {0};
    bool trial;

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 1; i < PLX_BREAKER_FAILURES; i++)
            assert_false(plx_breaker_bad(&b, 1000, 1000, false));
        assert_true(passes(&b, 1000, false));
        plx_breaker_good(&b, 1000);
    }
    open_it(&b, 1000);
    assert_false(plx_breaker_pass(&b, 1000, &trial));
    assert_false(plx_breaker_pass(&b, 1000 + PLX_BREAKER_PAUSE_MS - 1, &trial));
}

static void one_trial_at_a_time(void **state)
{
    plx_breaker b = {0};
    bool trial;

    (void)state;
    open_it(&b, 1000);
    assert_true(passes(&b, 1500, true));
    assert_false(plx_breaker_pass(&b, 1500, &trial));
    assert_false(plx_breaker_pass(&b, 99999, &trial));
    plx_breaker_good(&b, 1000);
    assert_true(passes(&b, 99999, false));
    assert_true(passes(&b, 99999, false));
}

static void the_pause_grows_up_to_its_bound(void **state)
{
    static const uint64_t pauses[] = {500, 1000, 2000, 4000, 8000, 10000, 10000};
    plx_breaker b = {0};
    uint64_t now = 1000;
    bool trial;

    (void)state;
    open_it(&b, now);
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        now += pauses[i];
        assert_false(plx_breaker_pass(&b, now - 1, &trial));
        assert_true(passes(&b, now, true));
        assert_false(plx_breaker_bad(&b, now, now, true));
    }
    plx_breaker_good(&b, 1000);
    open_it(&b, now);
    assert_true(passes(&b, now + 500, true)); /* short again */
}

/* What had been sent before the breaker opened fails one after the other: that says nothing new. */
static void late_failures_do_not_prolong_the_pause(void **state)
{
    plx_breaker b = {0};

    (void)state;
    open_it(&b, 1000);
    for (int i = 0; i < 100; i++)
        assert_false(plx_breaker_bad(&b, 1400, 1400, false));
    assert_true(passes(&b, 1500, true));
    assert_false(plx_breaker_bad(&b, 1501, 1501, false));
    assert_false(passes(&b, 1502, true)); /* the trial is still under way */
}

static void a_late_success_closes_it(void **state)
{
    plx_breaker b = {0};

    (void)state;
    open_it(&b, 1000);
    plx_breaker_good(&b, 1000);
    assert_true(passes(&b, 1001, false));
}

/* Somebody who sleeps over every second question, and answers the others. */
static void failures_begun_before_a_success_do_not_count(void **state)
{
    plx_breaker b = {0};

    (void)state;
    plx_breaker_good(&b, 3000);
    for (int i = 0; i < 100; i++)
        assert_false(plx_breaker_bad(&b, 4000, 1000, false));
    assert_true(passes(&b, 4000, false));
    for (int i = 1; i < PLX_BREAKER_FAILURES; i++)
        assert_false(plx_breaker_bad(&b, 6000, 3000, false));
    assert_true(plx_breaker_bad(&b, 6000, 3000, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_after_failures_in_a_row),
        cmocka_unit_test(one_trial_at_a_time),
        cmocka_unit_test(the_pause_grows_up_to_its_bound),
        cmocka_unit_test(late_failures_do_not_prolong_the_pause),
        cmocka_unit_test(a_late_success_closes_it),
        cmocka_unit_test(failures_begun_before_a_success_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
