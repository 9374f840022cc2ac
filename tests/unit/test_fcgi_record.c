/* FastCGI records. */
#include "base/error.h"
#include "tests/unit/fcgi_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static void test_parse(void **state)
{
    plx_buf b;
    plx_record r = {0};
    (void)state;

    plx_buf_init(&b, 0);
    fc_record(&b, FCGI_STDIN, 0x1234, plx_slice_of("hello"), 3);
    assert_int_equal(b.len, 16);
    for (size_t n = 0; n < b.len; n++)
        assert_int_equal(plx_record_parse(plx_slice_make(b.data, n), &r), PLX_E_BUSY);
    assert_int_equal(plx_record_parse(plx_buf_slice(&b), &r), 0);
    assert_int_equal(r.type, FCGI_STDIN);
    assert_int_equal(r.id, 0x1234);
    assert_int_equal(r.total, 16);
    assert_true(plx_slice_is(r.content, "hello"));
    plx_buf_fini(&b);
}

static void test_other_version_is_refused_at_its_first_byte(void **state)
{
    plx_record r;
    (void)state;

    assert_int_equal(plx_record_parse(plx_slice_of("G"), &r), PLX_E_INVALID);
    assert_int_equal(plx_record_parse(plx_slice_of("\x02"), &r), PLX_E_INVALID);
}

static void test_longest_record(void **state)
{
    static char content[65535];
    plx_buf b;
    plx_record r = {0};
    (void)state;

    plx_buf_init(&b, 0);
    fc_record(&b, FCGI_PARAMS, 1, plx_slice_make(content, sizeof content), 255);
    assert_int_equal(b.len, PLX_RECORD_MAX);
    assert_int_equal(plx_record_parse(plx_buf_slice(&b), &r), 0);
    assert_int_equal(r.content.len, 65535);
    assert_int_equal(r.total, PLX_RECORD_MAX);
    plx_buf_fini(&b);
}

static void test_end(void **state)
{
    plx_buf b;
    (void)state;

    plx_buf_init(&b, 0);
    plx_record_end(&b, 258, FCGI_CANT_MPX_CONN);
    assert_int_equal(b.len, 16);
    assert_memory_equal(b.data, "\x01\x03\x01\x02\x00\x08\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00",
                        16);
    plx_buf_fini(&b);
}

static void manage(unsigned type, plx_buf *names, plx_buf *out)
{
    plx_record r = {.type = type, .content = plx_buf_slice(names)};

    plx_buf_clear(out);
    plx_record_manage(out, &r, 77);
}

static void test_get_values(void **state)
{
    plx_buf names, out, want;
    (void)state;

    plx_buf_init(&names, 0);
    plx_buf_init(&out, 0);
    plx_buf_init(&want, 0);
    fc_pair(&names, "FCGI_MPXS_CONNS", "");
    fc_pair(&names, "NEVER_HEARD_OF", "x");
    fc_pair(&names, "FCGI_MAX_REQS", "");
    fc_pair(&want, "FCGI_MPXS_CONNS", "0");
    fc_pair(&want, "FCGI_MAX_REQS", "77");
    manage(FCGI_GET_VALUES, &names, &out);
    plx_record r = {0};
    assert_int_equal(plx_record_parse(plx_buf_slice(&out), &r), 0);
    assert_int_equal(r.type, FCGI_GET_VALUES_RESULT);
    assert_int_equal(r.id, 0);
    assert_true(plx_slice_eq(r.content, plx_buf_slice(&want)));
    plx_buf_fini(&names);
    plx_buf_fini(&out);
    plx_buf_fini(&want);
}

static void test_get_values_cut_off_anywhere_is_answered(void **state)
{
    plx_buf names, out;
    (void)state;

    plx_buf_init(&names, 0);
    plx_buf_init(&out, 0);
    fc_pair(&names, "FCGI_MAX_CONNS", "");
    plx_buf_append(&names, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    for (size_t n = names.len; n > 0; n--) {
        char *exact = malloc(n); /* so that a read past the end is seen */
        memcpy(exact, names.data, n);
        plx_record r = {.type = FCGI_GET_VALUES, .content = plx_slice_make(exact, n)};
        plx_buf_clear(&out);
        plx_record_manage(&out, &r, 5);
        plx_record answer = {0};
        assert_int_equal(plx_record_parse(plx_buf_slice(&out), &answer), 0);
        assert_int_equal(answer.content.len, n >= 16 ? 17 : 0);
        free(exact);
    }
    plx_buf_fini(&names);
    plx_buf_fini(&out);
}

static void test_unknown_management_type(void **state)
{
    plx_buf none, out;
    (void)state;

    plx_buf_init(&none, 0);
    plx_buf_init(&out, 0);
    manage(99, &none, &out);
    assert_int_equal(out.len, 16);
    assert_memory_equal(out.data,
                        "\x01\x0b\x00\x00\x00\x08\x00\x00\x63\x00\x00\x00\x00\x00\x00\x00", 16);
    plx_buf_fini(&out);
}

/* ---- pairs ---- */

static void test_pairs_at_every_split(void **state)
{
    char long_value[300];
    plx_buf b;
    (void)state;

    memset(long_value, 'v', sizeof long_value - 1);
    long_value[sizeof long_value - 1] = '\0';
    plx_buf_init(&b, 0);
    fc_pair(&b, "A", "1");
    fc_pair(&b, "", "");
    fc_pair(&b, "NAME", long_value);
    fc_pair(&b, "B", "");
    for (size_t cut = 0; cut <= b.len; cut++) {
        plx_record_pairs p = {0};
        assert_int_equal(plx_record_pairs_feed(&p, plx_slice_make(b.data, cut), 1000), 0);
        bool at_end = cut == 0 || cut == 4 || cut == 6 || cut == b.len - 3 || cut == b.len;
        assert_int_equal(plx_record_pairs_whole(&p), at_end);
        assert_int_equal(plx_record_pairs_feed(&p, plx_slice_make(b.data + cut, b.len - cut), 1000),
                         0);
        assert_true(plx_record_pairs_whole(&p));
    }
    plx_buf_fini(&b);
}

static void test_pairs_bound(void **state)
{
    plx_record_pairs p = {0};
    (void)state;

    assert_int_equal(plx_record_pairs_feed(&p, plx_slice_of("\x05\x06"), 11), 0);
    p = (plx_record_pairs){0};
    assert_int_equal(plx_record_pairs_feed(&p, plx_slice_of("\x05\x07"), 11), PLX_E_TOOBIG);
    p = (plx_record_pairs){0};
    /* The two lengths together overflow 32 bits. */
    assert_int_equal(
        plx_record_pairs_feed(&p, plx_slice_of("\xff\xff\xff\xff\xff\xff\xff\xff"), 65536),
        PLX_E_TOOBIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_other_version_is_refused_at_its_first_byte),
        cmocka_unit_test(test_longest_record),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_get_values),
        cmocka_unit_test(test_get_values_cut_off_anywhere_is_answered),
        cmocka_unit_test(test_unknown_management_type),
        cmocka_unit_test(test_pairs_at_every_split),
        cmocka_unit_test(test_pairs_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
