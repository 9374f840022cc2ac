/* JSON numbers. They are not converted: whether one is finite as a double follows
 * from its decimal magnitude and, for those with exactly 309 digits before the
 * point, from comparing digits with the one value that divides the finite from
 * the infinite. So a megabyte of digits costs one look at each, and no locale has
 * a say in it.
 */
#include "base/json_scan.h"
#include "base/error.h"
#include "base/json_lex.h"

typedef unsigned char byte;

/* 2^1024 - 2^970, half way between the largest double and what would be the next one: from here on
 * rounding to nearest, ties to even, gives infinity. */
static const char first_infinite[] =
    "17976931348623158079372897140530341507993413271003782693617377898044496829276475"
    "09466490179775872070963302864166928879109465555478519404026306574886715058206819"
    "08902000708383676273854845817711531764475730270069855571366959622842914819860834"
    "936475292719074168444365510704342711559699508093042880177904174497792";

#define MAX_INT_DIGITS 309
_Static_assert(sizeof first_infinite == MAX_INT_DIGITS + 1, "every digit is there");

#define HUGE_EXPONENT (1LL << 50) /* beyond any text's length, and sums of two still fit */

static bool is_digit(byte c)
{
    return c >= '0' && c <= '9';
}

static const byte *skip_digits(const byte *p, const byte *end)
{
    while (p < end && is_digit(*p))
        p++;
    return p;
}

/* Whether the digits from p to end (a point among them is skipped) are below first_infinite's. */
static bool below_infinite(const byte *p, const byte *end)
{
    for (long long i = 0; i < MAX_INT_DIGITS; i++) {
        if (p < end && *p == '.')
            p++;
        byte digit = p < end ? *p++ : '0';
        if (digit != (byte)first_infinite[i])
            return digit < (byte)first_infinite[i];
    }
    return false;
}

/* Digits from p to end with a point at `point` (== end: none), times ten to the exponent. */
static bool is_finite(const byte *p, const byte *point, const byte *end, long long exponent)
{
    while (p < end && (*p == '0' || *p == '.'))
        p++;
    if (p == end)
        return true; /* zero, whatever the exponent */
    /* How many digits stand before the point once the exponent has moved it. */
    long long int_digits = (p < point ? point - p : point + 1 - p) + exponent;
    if (int_digits != MAX_INT_DIGITS)
        return int_digits < MAX_INT_DIGITS;
    return below_infinite(p, end);
}

/* p is behind the 'e'. Values that matter are exact, larger ones become HUGE_EXPONENT. */
static const byte *scan_exponent(const byte *p, const byte *end, long long *out)
{
    bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    if (p == end || !is_digit(*p))
        return NULL;
    long long exponent = 0;
    for (; p < end && is_digit(*p); p++) {
        exponent = exponent * 10 + (*p - '0');
        if (exponent > HUGE_EXPONENT)
            exponent = HUGE_EXPONENT;
    }
    *out = negative ? -exponent : exponent;
    return p;
}

const byte *plx_json_number_scan(const byte *p, const byte *end)
{
    if (*p == '-')
        p++;
    if (p == end || !is_digit(*p))
        return NULL;
    const byte *first = p;
    p = *p == '0' ? p + 1 : skip_digits(p, end);
    const byte *point = p;
    if (p < end && *p == '.') {
        p = skip_digits(p + 1, end);
        if (p == point + 1)
            return NULL;
    }
    const byte *digits_end = p;
    long long exponent = 0;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p = scan_exponent(p + 1, end, &exponent);
        if (!p)
            return NULL;
    }
    if (exponent <= 0 && point - first < MAX_INT_DIGITS)
        return p;
    return is_finite(first, point, digits_end, exponent) ? p : NULL;
}

int plx_json_int(plx_slice number, int64_t *out)
{
    const byte *p = (const byte *)(number.data ? number.data : ""), *end = p + number.len;
    bool negative = p < end && *p == '-';
    uint64_t limit = (uint64_t)INT64_MAX + negative, n = 0;
    if (negative)
        p++;
    if (p == end)
        return PLX_E_INVALID;
    for (; p < end; p++) {
        if (!is_digit(*p))
            return PLX_E_INVALID;
        unsigned digit = (unsigned)(*p - '0');
        if (n > (limit - digit) / 10)
            return PLX_E_INVALID;
        n = n * 10 + digit;
    }
    /* In this order, because -INT64_MIN does not exist. */
    *out = negative && n > 0 ? -(int64_t)(n - 1) - 1 : (int64_t)n;
    return 0;
}
