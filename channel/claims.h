/* What tickets and JWTs have in common: a JSON object that came signed, and times in it. */
#ifndef PLX_CHANNEL_CLAIMS_H
#define PLX_CHANNEL_CLAIMS_H

#include "base/json_scan.h"
#include <stdint.h>

/* What a token turned out to be. reason is static and holds nothing of the token; NULL: it is good.
 * expires_ms: the first millisecond of the wall clock at which it is expired; 0: never, and after
 * an error. */
typedef struct plx_verdict {
    const char *reason;
    uint64_t expires_ms;
} plx_verdict;

#define PLX_CLAIMS_FOREVER UINT64_MAX

/* Validates a text that must be a JSON object in which no name is there twice (which of the two
 * counts is a question that every reader answers in its own way). *object is its text without white
 * space around it; it borrows. PLX_E_INVALID. */
int plx_claims_open(plx_slice text, plx_slice *object);

/* Seconds since 1970 (RFC 7519's NumericDate, a fraction is allowed) as milliseconds, rounded up;
 * before 1970: 0; from 2^53 ms on: PLX_CLAIMS_FOREVER. PLX_E_INVALID: no number. */
int plx_claims_time(const plx_json_value *v, uint64_t *ms);

/* Judges an `exp` that is there: PLX_E_INVALID (no number), PLX_E_GONE (expired), or 0 with
 * verdict->expires_ms. Sets verdict->reason after an error. */
int plx_claims_expiry(const plx_json_value *exp, uint64_t wall_ms, plx_verdict *verdict);

#endif
