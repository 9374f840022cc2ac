/* Numbers in JSON: what is finite as a double, and what is an integer. */
#include "json_samples.h"

static bool number_is_finite(const char *text)
{
    return is_valid(text, strlen(text));
}

/* Around the largest double, in all ways of writing it; strtod is the judge. */
static void numbers_are_finite_as_doubles(void **state)
{
    (void)state;
    static const char *const digits[] = {
        "1",
        "17976931348623157",
        "17976931348623158",
        "179769313486231580793",
        "179769313486231580794",
        "17976931348623159",
        "2",
        "9",
        "0",
        "000",
        /* 2^1024 - 2^970 is the first that rounds to infinity; one less, itself, one more */
        "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017"
        "97758"
        "720709633028641669288791094655554785194040263065748867150582068190890200070838367627385484"
        "58177"
        "115317644757302700698555713669596228429148198608349364752927190741684443655107043427115596"
        "99508"
        "093042880177904174497791",
        "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017"
        "97758"
        "720709633028641669288791094655554785194040263065748867150582068190890200070838367627385484"
        "58177"
        "115317644757302700698555713669596228429148198608349364752927190741684443655107043427115596"
        "99508"
        "093042880177904174497792",
        "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017"
        "97758"
        "720709633028641669288791094655554785194040263065748867150582068190890200070838367627385484"
        "58177"
        "115317644757302700698555713669596228429148198608349364752927190741684443655107043427115596"
        "99508"
        "093042880177904174497793",
    };
    unsigned finite = 0, infinite = 0;
    for (size_t d = 0; d < sizeof digits / sizeof *digits; d++) {
        int len = (int)strlen(digits[d]);
        for (int point = 1; point <= len; point++) {
            /* From four magnitudes below the largest double's to four above. */
            for (int exponent = 305 - point; exponent <= 313 - point; exponent++) {
                char text[400];
                bool zero_first = digits[d][0] == '0';
                snprintf(text, sizeof text, "%s%.*s%s%se%d", exponent % 2 ? "-" : "",
                         zero_first ? 1 : point, digits[d], point < len ? "." : "",
                         digits[d] + point, exponent);
                bool expected = isfinite(strtod(text, NULL));
                if (number_is_finite(text) != expected)
                    fail_msg("%s", text);
                expected ? finite++ : infinite++;
            }
        }
    }
    assert_true(finite > 1000 && infinite > 1000);
}

static void numbers_without_exponent(void **state)
{
    (void)state;
    char text[700];
    memset(text, '9', sizeof text);
    for (size_t len = 300; len < 320; len++)
        assert_int_equal(is_valid(text, len), len < 309);
    memset(text, '1', sizeof text);
    for (size_t len = 300; len < 320; len++)
        assert_int_equal(is_valid(text, len), len < 310);
    /* Leading zeros of a fraction, moved back by the exponent. */
    memset(text, '0', sizeof text);
    text[1] = '.';
    memcpy(text + 302, "1e609", 5); /* 10^-301 * 10^609 */
    assert_true(is_valid(text, 307));
    memcpy(text + 302, "1e610", 5);
    assert_false(is_valid(text, 307));
    memcpy(text + 302, "0e999", 5);
    assert_true(is_valid(text, 307));
}

/* A megabyte of anything costs one pass. */
static void huge_numbers(void **state)
{
    (void)state;
    const size_t len = 1 << 20;
    char *text = malloc(len);
    memset(text, '9', len);
    assert_false(is_valid(text, len));
    text[1] = '.';
    assert_true(is_valid(text, len));
    memcpy(text + len - 5, "e+307", 5);
    assert_true(is_valid(text, len));
    memcpy(text + len - 5, "e+308", 5);
    assert_false(is_valid(text, len));
    memset(text, '0', len);
    memcpy(text, "1e", 2);
    assert_true(is_valid(text, len));
    text[len - 1] = '9';
    assert_true(is_valid(text, len));
    text[len - 3] = '9';
    assert_false(is_valid(text, len));
    /* 10^1000000 * 10^-1000001, and the exponent is what makes it small enough */
    memset(text, '0', len);
    text[0] = '1';
    memcpy(text + 1000001, "e-999693", 8);
    assert_true(is_valid(text, 1000009));
    memcpy(text + 1000001, "e-999691", 8);
    assert_false(is_valid(text, 1000009));
    free(text);
}

static void integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"-0", 0},
                {"7", 7},
                {"-7", -7},
                {"1234567890123", 1234567890123},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775807", -INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    static const char *const bad[] = {"",
                                      "-",
                                      "1.0",
                                      "1e2",
                                      "-0.0",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "9223372036854775810",
                                      "18446744073709551616",
                                      "18446744073709551617",
                                      "123456789012345678901234567890",
                                      "\"1\"",
                                      "null"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t n = 42;
        assert_int_equal(plx_json_int(plx_slice_of(good[i].text), &n), 0);
        assert_true(n == good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t n = 42;
        assert_int_equal(plx_json_int(plx_slice_of(bad[i]), &n), PLX_E_INVALID);
        assert_true(n == 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_finite_as_doubles),
        cmocka_unit_test(numbers_without_exponent),
        cmocka_unit_test(huge_numbers),
        cmocka_unit_test(integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
