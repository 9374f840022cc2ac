/* The pace of answers to polls that a newer one took over. */
#include "transport/lp_pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static const plx_slice a = PLX_LIT("session-a"), b = PLX_LIT("session-b");

static void at_once_then_one_a_second(void **state)
{
    (void)state;
    plx_lp_pace p;
    plx_lp_pace_init(&p);
    assert_int_equal(plx_lp_pace_wait(&p, a, 5000), 0);
    assert_int_equal(plx_lp_pace_wait(&p, b, 5001), 0); /* each session for itself */
    assert_int_equal(plx_lp_pace_wait(&p, a, 5300), 700);
    assert_int_equal(plx_lp_pace_wait(&p, a, 5400), 1600); /* a third one queues behind it */
    assert_int_equal(plx_lp_pace_wait(&p, b, 6001), 0);
    plx_lp_pace_fini(&p);
}

static void what_is_old_is_forgotten(void **state)
{
    (void)state;
    plx_lp_pace p;
    plx_lp_pace_init(&p);
    for (unsigned i = 0; i < 1000; i++) {
        char sid[8];
        sid[0] = (char)('a' + i % 26);
        sid[1] = (char)('a' + i / 26);
        assert_int_equal(plx_lp_pace_wait(&p, plx_slice_make(sid, 2), i), 0);
    }
    assert_int_equal(plx_map_count(p.by_sid), 1000);
    assert_int_equal(plx_lp_pace_wait(&p, a, 10000), 0);
    assert_int_equal(plx_map_count(p.by_sid), 1);
    plx_lp_pace_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_once_then_one_a_second),
        cmocka_unit_test(what_is_old_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
