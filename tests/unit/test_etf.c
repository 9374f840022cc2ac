/* channel/etf: terms to JSON and back, and everything damaged. */
#include "base/error.h"
#include "base/json_scan.h"
#include "channel/etf.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TERM(s)                                                                                    \
    {                                                                                              \
        (s), sizeof(s) - 1                                                                         \
    }

/* Reads a whole term without its version byte; PLX_E_INVALID also when bytes are left. */
static int to_json(plx_slice term, plx_buf *out)
{
    plx_etf e = {(const uint8_t *)term.data, (const uint8_t *)term.data + term.len};
    plx_buf_clear(out);
    int err = plx_etf_json(&e, out);
    return err == 0 && !plx_etf_at_end(&e) ? PLX_E_INVALID : err;
}

typedef struct good_case {
    plx_slice term;
    const char *json;
} good_case;

static const good_case good_cases[] = {
    {TERM("a\x00"), "0"},
    {TERM("a\xff"), "255"},
    {TERM("b\x00\x00\x01\x00"), "256"},
    {TERM("b\xff\xff\xff\xff"), "-1"},
    {TERM("b\x80\x00\x00\x00"), "-2147483648"},
    {TERM("n\x00\x00"), "0"},
    {TERM("n\x00\x01"), "0"},
    {TERM("n\x01\x01\x07"), "-7"},
    {TERM("n\x03\x00\x05\x00\x00"), "5"},
    {TERM("n\x08\x00\xff\xff\xff\xff\xff\xff\xff\xff"), "18446744073709551615"},
    {TERM("n\x08\x01\x00\x00\x00\x00\x00\x00\x00\x80"), "-9223372036854775808"},
    {TERM("o\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"), "18446744073709551616"},
    {TERM("F\x3f\xf8\x00\x00\x00\x00\x00\x00"), "1.5"},
    {TERM("F\x3f\xb9\x99\x99\x99\x99\x99\x9a"), "0.1"},
    {TERM("F\x40\x00\x00\x00\x00\x00\x00\x00"), "2.0"},
    {TERM("F\x80\x00\x00\x00\x00\x00\x00\x00"), "-0.0"},
    {TERM("F\x7f\xef\xff\xff\xff\xff\xff\xff"), "1.7976931348623157e+308"},
    {TERM("c1.50000000000000000000e+00\x00\x00\x00\x00\x00"), "1.5"},
    {TERM("m\x00\x00\x00\x00"), "\"\""},
    {TERM("m\x00\x00\x00\x03"
          "a\"\n"),
     "\"a\\\"\\n\""},
    {TERM("m\x00\x00\x00\x02\xc3\xa9"), "\"\xc3\xa9\""},
    {TERM("d\x00\x03nil"), "null"},
    {TERM("s\x04true"), "true"},
    {TERM("w\x05"
          "false"),
     "false"},
    {TERM("v\x00\x02\xc3\xa9"), "\"\xc3\xa9\""},
    {TERM("d\x00\x01\xe9"), "\"\xc3\xa9\""},
    {TERM("s\x01\xff"), "\"\xc3\xbf\""},
    {TERM("s\x00"), "\"\""},
    {TERM("w\x03"
          "Nil"),
     "\"Nil\""},
    {TERM("j"), "[]"},
    {TERM("k\x00\x00"), "[]"},
    {TERM("k\x00\x03\x00\x7f\xff"), "[0,127,255]"},
    {TERM("l\x00\x00\x00\x02"
          "a\x01jj"),
     "[1,[]]"},
    {TERM("l\x00\x00\x00\x00j"), "[]"},
    {TERM("h\x00"), "[]"},
    {TERM("h\x02"
          "a\x01"
          "a\x02"),
     "[1,2]"},
    {TERM("i\x00\x00\x00\x01"
          "a\x01"),
     "[1]"},
    {TERM("t\x00\x00\x00\x00"), "{}"},
    {TERM("t\x00\x00\x00\x03w\x03nila\x01m\x00\x00\x00\x01xt\x00\x00\x00\x00"
          "b\xff\xff\xff\xff"
          "F\x3f\xf8\x00\x00\x00\x00\x00\x00"),
     "{\"nil\":1,\"x\":{},\"-1\":1.5}"},
};

static void test_good_terms(void **state)
{
    (void)state;
    plx_buf out;
    plx_buf_init(&out, 0);
    for (size_t i = 0; i < sizeof good_cases / sizeof *good_cases; i++) {
        int err = to_json(good_cases[i].term, &out);
        if (err || strcmp(plx_buf_cstr(&out), good_cases[i].json) != 0)
            fail_msg("case %zu: %d, %s instead of %s", i, err, plx_buf_cstr(&out),
                     good_cases[i].json);
        assert_int_equal(plx_json_check(plx_buf_slice(&out), NULL), 0);
    }
    plx_buf_fini(&out);
}

/* No beginning of a term is a term, and none is read past its end. */
static void test_truncated(void **state)
{
    (void)state;
    plx_buf out, part;
    plx_buf_init(&out, 0);
    plx_buf_init(&part, 0);
    for (size_t i = 0; i < sizeof good_cases / sizeof *good_cases; i++) {
        plx_slice term = good_cases[i].term;
        for (size_t len = 0; len < term.len; len++) {
            /* In an allocation of its own size, so that the address sanitizer watches its end. */
            plx_buf_fini(&part);
            plx_buf_append(&part, term.data, len);
            if (to_json(plx_buf_slice(&part), &out) != PLX_E_INVALID)
                fail_msg("case %zu cut to %zu bytes", i, len);
        }
    }
    plx_buf_fini(&out);
    plx_buf_fini(&part);
}

static void test_bad_terms(void **state)
{
    (void)state;
    static const plx_slice terms[] = {
        TERM(""),
        TERM("a\x01j"),                 /* bytes left over */
        TERM("\x00"),                   /* no such tag */
        TERM("P\x00\x00\x00\x02x\x9c"), /* compressed */
        TERM("m\xff\xff\xff\xff"),      /* lengths beyond the end */
        TERM("m\x00\x00\x00\x02x"),
        TERM("k\xff\xffx"),
        TERM("l\xff\xff\xff\xff"),
        TERM("h\xff"),
        TERM("i\xff\xff\xff\xff"),
        TERM("t\xff\xff\xff\xff"),
        TERM("d\xff\xffx"),
        TERM("n\xff\x00"),
        TERM("o\xff\xff\xff\xff\x00"),
        TERM("n\x01\x02\x05"),         /* a sign that is none */
        TERM("m\x00\x00\x00\x01\xff"), /* not UTF-8 */
        TERM("m\x00\x00\x00\x03\xed\xa0\x80"),
        TERM("w\x01\xff"),
        TERM("F\x7f\xf0\x00\x00\x00\x00\x00\x00"), /* infinity, NaN */
        TERM("F\x7f\xf8\x00\x00\x00\x00\x00\x00"),
        TERM("cinf\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        TERM("c0x1p3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        TERM("c\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        TERM("l\x00\x00\x00\x01" /* an improper list */
             "a\x01"
             "a\x02"),
        TERM("M\x00\x00\x00\x01\x05\xf8"),                               /* bit string */
        TERM("Xw\x01n\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01"), /* pid */
        TERM("qw\x01mw\x01"                                              /* fun m:f/0 */
             "fa\x00"),
        TERM("R\x00"),                   /* atom cache */
        TERM("t\x00\x00\x00\x01ja\x01"), /* keys that no name can be */
        TERM("t\x00\x00\x00\x01h\x00"
             "a\x01"),
        TERM("t\x00\x00\x00\x01"
             "F\x3f\xf8\x00\x00\x00\x00\x00\x00"
             "a\x01"),
        TERM("t\x00\x00\x00\x02w\x01xa\x01m\x00\x00\x00\x01xa\x02"), /* one name twice */
        TERM("t\x00\x00\x00\x02"
             "a\x01"
             "a\x01m\x00\x00\x00\x01"
             "1a\x02"),
    };
    plx_buf out;
    plx_buf_init(&out, 0);
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++)
        if (to_json(terms[i], &out) != PLX_E_INVALID)
            fail_msg("case %zu gave %s", i, plx_buf_cstr(&out));
    plx_buf_fini(&out);
}

static void test_depth(void **state)
{
    (void)state;
    plx_buf term, out;
    plx_buf_init(&out, 0);
    for (int depth = PLX_ETF_DEPTH - 1; depth <= PLX_ETF_DEPTH + 1; depth++) {
        plx_buf_init(&term, 0);
        for (int i = 0; i < depth; i++)
            plx_buf_append(&term, "h\x01", 2);
        plx_buf_append(&term, "a\x00", 2);
        assert_int_equal(to_json(plx_buf_slice(&term), &out),
                         depth <= PLX_ETF_DEPTH ? 0 : PLX_E_INVALID);
        /* An empty list is one more, in JSON as here. */
        term.len -= 2;
        plx_buf_byte(&term, 'j');
        assert_int_equal(to_json(plx_buf_slice(&term), &out),
                         depth < PLX_ETF_DEPTH ? 0 : PLX_E_INVALID);
        plx_buf_fini(&term);
    }
    /* A million deep: no stack is used up. */
    plx_buf_init(&term, 0);
    for (int i = 0; i < 1000000; i++)
        plx_buf_append(&term, "l\x00\x00\x00\x01", 5);
    assert_int_equal(to_json(plx_buf_slice(&term), &out), PLX_E_INVALID);
    plx_buf_fini(&term);
    plx_buf_fini(&out);
}

static void test_big_integers(void **state)
{
    (void)state;
    uint8_t term[3 + PLX_ETF_BIG + 1] = {'n'};
    plx_buf out;
    plx_buf_init(&out, 0);
    memset(term + 3, 0xff, PLX_ETF_BIG + 1);
    for (unsigned len = PLX_ETF_BIG - 1; len <= PLX_ETF_BIG + 1; len++) {
        term[1] = (uint8_t)len;
        int err = to_json(plx_slice_make(term, 3 + len), &out);
        assert_int_equal(err, len <= PLX_ETF_BIG ? 0 : PLX_E_INVALID);
        if (err == 0)
            assert_int_equal(plx_json_check(plx_buf_slice(&out), NULL), 0);
    }
    plx_buf_fini(&out);
}

/* Out of room at every length: always the error, never a wrong success. */
static void test_full_buffer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good_cases / sizeof *good_cases; i++) {
        size_t need = strlen(good_cases[i].json);
        for (size_t max = 1; max <= need; max++) {
            plx_buf out;
            plx_buf_init(&out, max);
            assert_int_equal(to_json(good_cases[i].term, &out), max < need ? PLX_E_TOOBIG : 0);
            plx_buf_fini(&out);
        }
    }
}

static void test_pieces(void **state)
{
    (void)state;
    static const char bytes[] = "\x83h\x04n\x06\x00\x01\x02\x03\x04\x05\x06s\x08infinity"
                                "F\x3f\xf8\x00\x00\x00\x00\x00\x00j";
    plx_etf e;
    uint32_t arity;
    int64_t n;
    double d;
    assert_int_equal(plx_etf_open(&e, plx_slice_make(bytes, sizeof bytes - 1)), 0);
    assert_int_equal(plx_etf_int(&e, &n), PLX_E_INVALID);
    assert_int_equal(plx_etf_tuple(&e, &arity), 0);
    assert_int_equal(arity, 4);
    assert_int_equal(plx_etf_tuple(&e, &arity), PLX_E_INVALID);
    assert_int_equal(plx_etf_float(&e, &d), PLX_E_INVALID);
    assert_int_equal(plx_etf_int(&e, &n), 0);
    assert_true(n == 0x060504030201);
    assert_int_equal(plx_etf_atom_is(&e, "nil"), PLX_E_INVALID);
    assert_int_equal(plx_etf_atom_is(&e, "infinity"), 0);
    assert_int_equal(plx_etf_float(&e, &d), 0);
    assert_true(d == 1.5);
    assert_false(plx_etf_at_end(&e));
    assert_int_equal(plx_etf_int(&e, &n), PLX_E_INVALID);
    static const plx_slice bad[] = {TERM(""), TERM("\x83"), TERM("\x82j"), TERM("\x83P\x00\x00")};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(plx_etf_open(&e, bad[i]), PLX_E_INVALID);
}

static void test_integers_that_do_not_fit(void **state)
{
    (void)state;
    static const plx_slice terms[] = {TERM("\x83n\x08\x00\x00\x00\x00\x00\x00\x00\x00\x80"),
                                      TERM("\x83n\x09\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01")};
    for (size_t i = 0; i < 2; i++) {
        plx_etf e;
        int64_t n;
        assert_int_equal(plx_etf_open(&e, terms[i]), 0);
        assert_int_equal(plx_etf_int(&e, &n), PLX_E_INVALID);
    }
}

/* ---- Writing ---- */

static void test_round_trips(void **state)
{
    (void)state;
    static const char *const texts[] = {"0",
                                        "255",
                                        "256",
                                        "-1",
                                        "-2147483648",
                                        "2147483648",
                                        "-2147483649",
                                        "9223372036854775807",
                                        "-9223372036854775808",
                                        "18446744073709551616",
                                        "-123456789012345678901234567890",
                                        "1.5",
                                        "-0.1",
                                        "true",
                                        "false",
                                        "null",
                                        "\"\"",
                                        "\"a\\\"\\n\"",
                                        "\"\xc3\xa9\"",
                                        "[]",
                                        "{}",
                                        "[1,[2,[]],{}]",
                                        "{\"a\":{\"b\":[1,\"x\",null]},\"c\":1.25}"};
    plx_buf term, out;
    plx_buf_init(&term, 0);
    plx_buf_init(&out, 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        plx_buf_clear(&term);
        assert_int_equal(plx_etf_put_json(&term, plx_slice_of(texts[i])), 0);
        assert_int_equal(to_json(plx_buf_slice(&term), &out), 0);
        assert_string_equal(plx_buf_cstr(&out), texts[i]);
    }
    plx_buf_fini(&term);
    plx_buf_fini(&out);
}

/* The bytes that Erlang's term_to_binary writes for the same values. */
static void test_written_bytes(void **state)
{
    (void)state;
    static const good_case cases[] = {
        {TERM("a\x01"), "1"},
        {TERM("b\xff\xff\xff\xff"), "-1"},
        {TERM("n\x04\x00\x00\x00\x00\x80"), "2147483648"},
        {TERM("n\x0d\x00\xd2\x0a\x3f\x4e\xee\xe0\x73\xc3\xf6\x0f\xe9\x8e\x01"),
         "123456789012345678901234567890"},
        {TERM("F\x3f\xf8\x00\x00\x00\x00\x00\x00"), "1.5"},
        {TERM("m\x00\x00\x00\x02hi"), "\"hi\""},
        {TERM("w\x03nil"), "null"},
        {TERM("j"), "[]"},
        {TERM("l\x00\x00\x00\x01"
              "a\x01j"),
         "[1]"},
        {TERM("t\x00\x00\x00\x01m\x00\x00\x00\x01"
              "aa\x01"),
         "{\"a\":1}"},
    };
    plx_buf term;
    plx_buf_init(&term, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plx_buf_clear(&term);
        assert_int_equal(plx_etf_put_json(&term, plx_slice_of(cases[i].json)), 0);
        assert_int_equal(term.len, cases[i].term.len);
        assert_memory_equal(term.data, cases[i].term.data, term.len);
    }
    plx_buf_fini(&term);
}

static void test_what_can_not_be_written(void **state)
{
    (void)state;
    plx_buf term, deep;
    plx_buf_init(&term, 0);
    plx_buf_init(&deep, 0);
    for (int i = 0; i <= PLX_ETF_DEPTH; i++)
        plx_buf_byte(&deep, '[');
    for (int i = 0; i <= PLX_ETF_DEPTH; i++)
        plx_buf_byte(&deep, ']');
    assert_int_equal(plx_etf_put_json(&term, plx_buf_slice(&deep)), PLX_E_INVALID);
    plx_buf_clear(&deep);
    plx_buf_byte(&deep, '9');
    for (int i = 0; i < 306; i++)
        plx_buf_byte(&deep, '9');
    assert_int_equal(plx_etf_put_json(&term, plx_buf_slice(&deep)), PLX_E_INVALID);
    assert_int_equal(plx_etf_put_json(&term, plx_slice_of("nonsense")), PLX_E_INVALID);
    assert_int_equal(plx_etf_put_json(&term, plx_slice_of("")), PLX_E_INVALID);
    plx_buf_fini(&term);
    plx_buf_fini(&deep);
    for (size_t max = 1; max < 27; max++) {
        plx_buf small;
        plx_buf_init(&small, max);
        assert_int_equal(plx_etf_put_json(&small, plx_slice_of("{\"a\":[true,300,\"x\"]}")),
                         PLX_E_TOOBIG);
        plx_buf_fini(&small);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_terms),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_bad_terms),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_big_integers),
        cmocka_unit_test(test_full_buffer),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_integers_that_do_not_fit),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_written_bytes),
        cmocka_unit_test(test_what_can_not_be_written),
    };
    return cmocka_run_group_tests_name("etf", tests, NULL, NULL);
}
