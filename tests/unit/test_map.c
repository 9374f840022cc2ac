/* The hash map against a plain array that does the same. */
#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define KEYS 2000

typedef struct entry {
    char key[16];
    bool present, seen;
} entry;

static entry entries[KEYS];

static plx_slice key_of(const entry *e)
{
    return plx_slice_of(e->key);
}

static int make_entries(void **state)
{
    (void)state;
    for (int i = 0; i < KEYS; i++) {
        /* Lengths around the hash's word size, and prefixes of each other. */
        snprintf(entries[i].key, sizeof entries[i].key, "%0*d", 1 + i % 15, i);
        entries[i].present = entries[i].seen = false;
    }
    return 0;
}

static void empty_map(void **state)
{
    (void)state;
    plx_map *m = plx_map_new();
    size_t cursor = 0;
    assert_int_equal(plx_map_count(m), 0);
    assert_null(plx_map_get(m, plx_slice_of("a")));
    assert_null(plx_map_remove(m, plx_slice_of("a")));
    assert_null(plx_map_next(m, &cursor));
    plx_map_free(m);
    plx_map_free(NULL);
}

static void put_replaces_value_and_key(void **state)
{
    (void)state;
    plx_map *m = plx_map_new();
    char first[] = "topic", second[] = "topic";
    int one, two;
    assert_null(plx_map_put(m, plx_slice_of(first), &one));
    assert_ptr_equal(plx_map_put(m, plx_slice_of(second), &two), &one);
    first[0] = 'X'; /* the first key's bytes may go now */
    assert_ptr_equal(plx_map_get(m, plx_slice_of("topic")), &two);
    assert_int_equal(plx_map_count(m), 1);
    assert_ptr_equal(plx_map_remove(m, plx_slice_of("topic")), &two);
    assert_null(plx_map_get(m, plx_slice_of("topic")));
    plx_map_free(m);
}

static void empty_and_binary_keys(void **state)
{
    (void)state;
    plx_map *m = plx_map_new();
    int a, b, c;
    assert_null(plx_map_put(m, plx_slice_make(NULL, 0), &a));
    assert_null(plx_map_put(m, plx_slice_make("\0", 1), &b));
    assert_null(plx_map_put(m, plx_slice_make("\0\0", 2), &c));
    assert_ptr_equal(plx_map_get(m, plx_slice_of("")), &a);
    assert_ptr_equal(plx_map_get(m, plx_slice_make("\0", 1)), &b);
    assert_ptr_equal(plx_map_get(m, plx_slice_make("\0\0", 2)), &c);
    assert_ptr_equal(plx_map_remove(m, plx_slice_of("")), &a);
    assert_null(plx_map_get(m, plx_slice_make(NULL, 0)));
    assert_int_equal(plx_map_count(m), 2);
    plx_map_free(m);
}

static void expect_same(plx_map *m)
{
    size_t count = 0, cursor = 0, walked = 0;
    entry *e;
    for (int i = 0; i < KEYS; i++) {
        void *expected = entries[i].present ? &entries[i] : NULL;
        assert_ptr_equal(plx_map_get(m, key_of(&entries[i])), expected);
        count += entries[i].present;
        entries[i].seen = false;
    }
    assert_int_equal(plx_map_count(m), count);
    while ((e = plx_map_next(m, &cursor))) {
        assert_true(e->present);
        assert_false(e->seen);
        e->seen = true;
        walked++;
    }
    assert_int_equal(walked, count);
}

static void random_operations_match_a_model(void **state)
{
    (void)state;
    plx_map *m = plx_map_new();
    srand(20261120);
    for (int step = 0; step < 60000; step++) {
        /* Phases of growing and of shrinking, so that the table is rebuilt both ways. */
        bool growing = step / 10000 % 2 == 0;
        entry *e = &entries[rand() % KEYS];
        if (rand() % 4 == 0 ? !growing : growing) {
            assert_ptr_equal(plx_map_put(m, key_of(e), e), e->present ? e : NULL);
            e->present = true;
        } else {
            assert_ptr_equal(plx_map_remove(m, key_of(e)), e->present ? e : NULL);
            e->present = false;
        }
        if (step % 2000 == 0)
            expect_same(m);
    }
    expect_same(m);
    plx_map_free(m);
}

static void walk_may_remove_what_it_returned(void **state)
{
    (void)state;
    for (int keep = 1; keep <= 3; keep++) {
        plx_map *m = plx_map_new();
        for (int i = 0; i < KEYS; i++) {
            plx_map_put(m, key_of(&entries[i]), &entries[i]);
            entries[i].present = true;
            entries[i].seen = false;
        }
        size_t cursor = 0;
        int walked = 0;
        entry *e;
        while ((e = plx_map_next(m, &cursor))) {
            assert_false(e->seen);
            e->seen = true;
            if (++walked % keep == 0) { /* keep 1 removes all of them */
                assert_ptr_equal(plx_map_remove(m, key_of(e)), e);
                e->present = false;
            }
        }
        assert_int_equal(walked, KEYS);
        expect_same(m);
        plx_map_free(m);
    }
}

/* Comings and goings at a constant size must not fill the table with the marks of what left, or a
 * look-up that finds nothing would visit all of it: minutes instead of a moment. */
static void churn_stays_fast(void **state)
{
    (void)state;
    plx_map *m = plx_map_new();
    static char keys[50000][24];
    alarm(60);
    for (int i = 0; i < 50000; i++) {
        snprintf(keys[i], sizeof keys[i], "session%d", i);
        plx_map_put(m, plx_slice_of(keys[i]), keys[i]);
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 50000; i++) {
            assert_ptr_equal(plx_map_remove(m, plx_slice_of(keys[i])), keys[i]);
            assert_null(plx_map_get(m, plx_slice_of(keys[i])));
            plx_map_put(m, plx_slice_of(keys[i]), keys[i]);
        }
    }
    alarm(0);
    assert_int_equal(plx_map_count(m), 50000);
    plx_map_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_map),
        cmocka_unit_test(put_replaces_value_and_key),
        cmocka_unit_test(empty_and_binary_keys),
        cmocka_unit_test_setup(random_operations_match_a_model, make_entries),
        cmocka_unit_test_setup(walk_may_remove_what_it_returned, make_entries),
        cmocka_unit_test(churn_stays_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
