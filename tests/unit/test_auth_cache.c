/* channel/auth_cache: what is found, for how long, and what goes when it is full. */
#include "channel/auth_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static plx_auth_cache *cache;

static void put(const char *key, const char *text, uint64_t until_ms)
{
    plx_auth_cache_put(cache, plx_slice_of(key), true, plx_slice_of(text), until_ms);
}

/* The text under a key at time 100, or NULL. */
static const char *get(const char *key)
{
    static char copy[100];
    bool accepted = false;
    plx_slice text;
    if (!plx_auth_cache_get(cache, plx_slice_of(key), 100, &accepted, &text))
        return NULL;
    assert_true(accepted);
    snprintf(copy, sizeof copy, "%.*s", (int)text.len, text.data);
    return copy;
}

static int teardown(void **state)
{
    (void)state;
    plx_auth_cache_free(cache);
    return 0;
}

static void test_time(void **state)
{
    (void)state;
    bool accepted;
    plx_slice text;
    cache = plx_auth_cache_new(10, 10000);
    put("a", "1", 101);
    put("b", "2", 100);
    assert_string_equal(get("a"), "1");
    assert_null(get("b"));
    assert_null(get("c"));
    assert_int_equal(plx_auth_cache_count(cache), 1); /* what has run out is gone */
    put("a", "3", 200);
    assert_string_equal(get("a"), "3");
    assert_int_equal(plx_auth_cache_count(cache), 1);
    plx_auth_cache_put(cache, plx_slice_of("a"), false, plx_slice_of("no"), 200);
    assert_true(plx_auth_cache_get(cache, plx_slice_of("a"), 199, &accepted, &text));
    assert_false(accepted);
    assert_true(plx_slice_is(text, "no"));
    assert_false(plx_auth_cache_get(cache, plx_slice_of("a"), 200, &accepted, &text));
    assert_int_equal(plx_auth_cache_bytes(cache), 0);
}

static void test_entries(void **state)
{
    (void)state;
    cache = plx_auth_cache_new(3, 10000);
    put("a", "1", 200);
    put("b", "2", 200);
    put("c", "3", 200);
    assert_string_equal(get("a"), "1"); /* so that b is the one that was not used for longest */
    put("d", "4", 200);
    assert_null(get("b"));
    assert_string_equal(get("a"), "1");
    assert_string_equal(get("c"), "3");
    assert_string_equal(get("d"), "4");
    assert_int_equal(plx_auth_cache_count(cache), 3);
}

static void test_bytes(void **state)
{
    (void)state;
    char large[3000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    cache = plx_auth_cache_new(1000, 2500);
    put("k", "there before", 200);
    put("k", large, 200); /* larger than everything: not kept, and what was there is not true */
    assert_null(get("k"));
    assert_int_equal(plx_auth_cache_bytes(cache), 0);
    for (int i = 0; i < 1000; i++) {
        char key[20];
        snprintf(key, sizeof key, "key %d", i);
        put(key, "some text that is as long as claims may be", 200);
        assert_true(plx_auth_cache_bytes(cache) <= 2500);
        assert_non_null(get(key));
    }
    assert_true(plx_auth_cache_count(cache) > 5);
    assert_null(get("key 0"));
    large[2000] = '\0';
    put("k", large, 200);
    assert_non_null(get("k"));
    assert_true(plx_auth_cache_bytes(cache) <= 2500);
}

/* Keys are the same when all of their bytes are. */
static void test_whole_keys(void **state)
{
    (void)state;
    bool accepted;
    plx_slice text;
    cache = plx_auth_cache_new(10, 10000);
    plx_auth_cache_put(cache, plx_slice_make("a\0b", 3), true, plx_slice_of("1"), 200);
    plx_auth_cache_put(cache, plx_slice_make("a\0c", 3), true, plx_slice_of("2"), 200);
    plx_auth_cache_put(cache, plx_slice_make("", 0), true, plx_slice_of(""), 200);
    assert_int_equal(plx_auth_cache_count(cache), 3);
    assert_true(plx_auth_cache_get(cache, plx_slice_make("a\0c", 3), 100, &accepted, &text));
    assert_true(plx_slice_is(text, "2"));
    assert_false(plx_auth_cache_get(cache, plx_slice_of("a"), 100, &accepted, &text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_time, teardown),
        cmocka_unit_test_teardown(test_entries, teardown),
        cmocka_unit_test_teardown(test_bytes, teardown),
        cmocka_unit_test_teardown(test_whole_keys, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
