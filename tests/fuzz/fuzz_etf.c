/* Fuzzing Erlang's external term format and the tokens made of it. What must hold:
 * - what is read becomes valid JSON, within its bound, and is refused when there is one byte less
 * of it, or one more;
 * - JSON that was read from a term is written and read again as the same JSON;
 * - as the payload of a genuine token, it never makes verifying do more than succeed or refuse.
 */
#include "base/base64.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "channel/etf.h"
#include "channel/phoenix_token.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define JSON_MAX 65536

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* Reads a whole term (without version byte). */
static int read_term(plx_slice term, plx_buf *out)
{
    plx_etf e = {(const uint8_t *)term.data, (const uint8_t *)term.data + term.len};
    plx_buf_clear(out);
    int err = plx_etf_json(&e, out);
    must(out->len <= JSON_MAX);
    return err == 0 && !plx_etf_at_end(&e) ? PLX_E_INVALID : err;
}

static void there_and_back(plx_slice json)
{
    plx_buf term, again;
    plx_buf_init(&term, 0);
    plx_buf_init(&again, JSON_MAX);
    must(plx_etf_put_json(&term, json) == 0);
    must(read_term(plx_buf_slice(&term), &again) == 0);
    must(plx_slice_eq(plx_buf_slice(&again), json));
    plx_buf_fini(&term);
    plx_buf_fini(&again);
}

static void check_term(plx_slice term)
{
    plx_buf out, longer;
    plx_buf_init(&out, JSON_MAX);
    plx_buf_init(&longer, 0);
    if (read_term(term, &out) == 0) {
        must(plx_json_check(plx_buf_slice(&out), NULL) == 0);
        there_and_back(plx_buf_slice(&out));
        must(read_term(plx_slice_make(term.data, term.len - 1), &out) == PLX_E_INVALID);
        plx_buf_add(&longer, term);
        plx_buf_byte(&longer, 'j');
        must(read_term(plx_buf_slice(&longer), &out) == PLX_E_INVALID);
    }
    plx_buf_fini(&out);
    plx_buf_fini(&longer);
}

static void check_token(plx_slice payload)
{
    static const plx_phoenix_key key = {PLX_LIT("fuzzing-secret-key-base"), PLX_LIT("salt"),
                                        PLX_SHA256, 1, 32};
    uint8_t derived[32], mac[32];
    plx_buf token, out;
    plx_buf_init(&token, 0);
    plx_buf_init(&out, JSON_MAX);
    plx_pbkdf2(PLX_SHA256, key.secret, key.salt, 1, derived, 32);
    plx_buf_str(&token, "SFMyNTY.");
    plx_base64_encode(&token, payload, PLX_B64_URL | PLX_B64_NOPAD);
    plx_hmac(PLX_SHA256, plx_slice_make(derived, 32), plx_buf_slice(&token), mac);
    plx_buf_byte(&token, '.');
    plx_base64_encode(&token, plx_slice_make(mac, 32), PLX_B64_URL | PLX_B64_NOPAD);
    int err = plx_phoenix_token_verify(&key, plx_buf_slice(&token), 0, 1700000000000, &out, NULL);
    must(err == 0 || err == PLX_E_INVALID || err == PLX_E_GONE || err == PLX_E_TOOBIG);
    must(err == 0 ? plx_json_check(plx_buf_slice(&out), NULL) == 0 : out.len == 0);
    /* The input as a token by itself. */
    plx_buf_clear(&out);
    plx_phoenix_token_verify(&key, payload, 0, 1700000000000, &out, NULL);
    plx_buf_fini(&token);
    plx_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    plx_slice bytes = plx_slice_make(data, size);
    check_term(bytes);
    check_token(bytes);
    return 0;
}
