/* Tokens made by Plug.Crypto and by Python, and how the tests verify them. */
#ifndef PLX_TESTS_TOKEN_SAMPLES_H
#define PLX_TESTS_TOKEN_SAMPLES_H

#include "channel/phoenix_token.h"
#include "base/base64.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "vectors.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW_MS 1700000100000

static const plx_phoenix_key standard = {.secret = PLX_LIT("another-secret-key-base"),
                                         .salt = PLX_LIT("salt"),
                                         .digest = PLX_SHA256,
                                         .iterations = 1000,
                                         .length = 32};

/* "u", signed at 1700000000000 for an hour: made with Python's hashlib and hmac. */
static const char *const foreign[] = {
    "SFMyNTY.g2gDbQAAAAF1bgYAAGjlz4sBYgAADhA.e68n_Jm0qNhy0TvtM42s1y3WRWsIVtaeOnkwfAjIyUM",
    "SFMzODQ.g2gDbQAAAAF1bgYAAGjlz4sBYgAADhA."
    "tCB51_cMQXeCuTRiSkDCYAmlC1m4pJ6JYniPbZeSMhZ3ylnyzNjhqQVqC3hgtx3L",
    "SFM1MTI.g2gDbQAAAAF1bgYAAGjlz4sBYgAADhA."
    "uvaYPiSZ8o300Fs_NlqwNpMWUC3PV6tbn4mam13t-nxtI6YQ_5hrrq9Fs9qR6m89kEB1grXrzIr9wypE-ePHgA",
};

static int verify_with(const plx_phoenix_key *key, plx_slice token, uint64_t max_age_s,
                       uint64_t now, plx_buf *out)
{
    plx_buf_clear(out);
    plx_buf_str(out, "<");
    uint64_t expires = 1;
    int err = plx_phoenix_token_verify(key, token, max_age_s, now, out, &expires);
    if (err) {
        assert_int_equal(out->len, 1);
        assert_int_equal(expires, 1); /* untouched */
    } else if (expires > 0) {
        size_t len = out->len;
        assert_true(expires > now);
        assert_int_equal(plx_phoenix_token_verify(key, token, max_age_s, expires - 1, out, NULL),
                         0);
        out->len = len;
        assert_int_equal(plx_phoenix_token_verify(key, token, max_age_s, expires, out, NULL),
                         PLX_E_GONE);
    }
    return err;
}

#endif
