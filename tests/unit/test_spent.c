/* channel/spent: what is remembered of topics that were left. */
#include "channel/spent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define S(text) plx_slice_of(text)
#define MS      1000000ull

static void test_keep_and_take(void **state)
{
    plx_spent s = {0};

    (void)state;
    assert_int_equal(plx_spent_take(&s, S("room:a")), 0);
    plx_spent_keep(&s, S("room:a"), 0, 5);
    plx_spent_keep(&s, S("room:a"), 5 * MS, 5); /* full again at this moment */
    assert_int_equal(s.count, 0);
    assert_false(s.changed);
    plx_spent_keep(&s, S("room:a"), 5 * MS + 1, 5);
    plx_spent_keep(&s, S("room:b"), 7 * MS, 5);
    plx_spent_keep(&s, S("room:a"), 9 * MS, 5); /* the newer one counts */
    assert_int_equal(s.count, 2);
    assert_true(s.changed);
    assert_int_equal(plx_spent_take(&s, S("room:")), 0);
    assert_int_equal(plx_spent_take(&s, S("room:a")), 9 * MS);
    assert_int_equal(plx_spent_take(&s, S("room:a")), 0);
    assert_int_equal(plx_spent_take(&s, S("room:b")), 7 * MS);
    plx_spent_fini(&s);
}

/* Full ones go first, then the one that is full the soonest. */
static void test_bounded(void **state)
{
    plx_spent s = {0};
    char topic[16];

    (void)state;
    for (unsigned i = 0; i < 3 * PLX_SPENT_MAX; i++) {
        snprintf(topic, sizeof topic, "t%u", i);
        plx_spent_keep(&s, S(topic), (1000 + i) * MS, 5);
        assert_true(s.count <= PLX_SPENT_MAX);
    }
    assert_int_equal(plx_spent_take(&s, S("t0")), 0);
    assert_int_equal(plx_spent_take(&s, S("t95")), 1095 * MS);
    assert_int_equal(s.count, PLX_SPENT_MAX - 1);
    plx_spent_keep(&s, S("late"), 1096 * MS, 1093);
    assert_int_equal(s.count, 2); /* t94 and late */
    assert_int_equal(plx_spent_take(&s, S("t94")), 1094 * MS);
    plx_spent_fini(&s);
}

static void test_there_and_back(void **state)
{
    plx_spent s = {0}, t = {0};
    plx_buf text;

    (void)state;
    plx_buf_init(&text, 0);
    plx_spent_pack(&s, &text);
    assert_int_equal(text.len, 0);
    plx_spent_keep(&s, S("room:a"), UINT64_MAX / 20, 5);
    plx_spent_keep(&s, S(""), 6 * MS, 5);
    plx_spent_pack(&s, &text);
    plx_spent_unpack(&t, plx_buf_slice(&text));
    assert_false(t.changed);
    assert_int_equal(plx_spent_take(&t, S("")), 6 * MS);
    assert_true(t.changed);
    assert_int_equal(plx_spent_take(&t, S("room:a")), UINT64_MAX / 20);
    plx_spent_fini(&s);
    plx_spent_fini(&t);
    plx_buf_fini(&text);
}

/* Only Pollux writes it; what Redis gives is looked at all the same. */
static void test_damaged(void **state)
{
    static const struct {
        const char *text;
        unsigned good;
    } cases[] = {
        {"", 0},
        {",", 0},
        {"0123456789abcdef1,", 1},
        {"0123456789abcdef1", 0},
        {"0123456789abcdef,", 0},
        {"0123456789abcdef0,", 0},
        {"0123456789abcde,", 0},
        {"0123456789abcdeX1,", 0},
        {"0123456789ABCDEF1,", 0},
        {"0123456789abcdef-1,", 0},
        {"0123456789abcdef99999999999999999999999,", 0},
        {"0123456789abcdef1,0123456789abcdef", 1},
        {"0123456789abcdef1,0123456789abcdee2,junk", 2},
    };
    plx_spent s = {0};
    plx_buf many;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plx_spent_unpack(&s, S(cases[i].text));
        assert_int_equal(s.count, cases[i].good);
        plx_spent_fini(&s);
    }
    plx_buf_init(&many, 0);
    for (int i = 0; i < 100; i++)
        plx_buf_printf(&many, "%016x1,", i);
    plx_spent_unpack(&s, plx_buf_slice(&many));
    assert_int_equal(s.count, PLX_SPENT_MAX);
    plx_spent_fini(&s);
    plx_buf_fini(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_and_take),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_damaged),
    };

    return cmocka_run_group_tests_name("spent", tests, NULL, NULL);
}
