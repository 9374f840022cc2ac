/* Fuzzing JSON Web Tokens. The input is taken as a token, and as header and payload (the first line
 * and the rest) of one with a genuine signature. What must hold:
 * - a token gives a valid JSON object, which is within what was signed, or a reason, and nothing;
 * - only the configured algorithm is accepted, whatever the header says;
 * - no genuine token is genuine under another key.
 */
#include "base/base64.h"
#include "base/crypto.h"
#include "base/error.h"
#include "channel/jwt.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW_MS 1700000000000

static const plx_slice key = PLX_LIT("fuzzing-key-0123"), other = PLX_LIT("fuzzing-key-0124");
static const plx_slice public_key =
    PLX_LIT("-----BEGIN PUBLIC KEY-----\n"
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAECYrEkQwGT9O8vgVYg/cQmcTNXq0M\n"
            "1LxfyFWs5mstJDyJDjM9dICxKm1ks6ptBrfC+QxD/hAQHWdXwyvOG6WDBw==\n"
            "-----END PUBLIC KEY-----\n");

static void must(bool ok)
{
    if (!ok)
        abort();
}

static int verify(const char *algorithm, const char *party, plx_slice with, plx_slice token,
                  plx_buf *claims)
{
    char *listed[] = {(char *)(uintptr_t)algorithm};
    const plx_strings algorithms = {listed, 1};
    const plx_jwt_rules rules = {&algorithms, party, party};
    plx_verdict v;
    plx_json_value value;
    plx_buf_clear(claims);
    int err = plx_jwt_verify(&rules, with, token, NOW_MS, claims, &v);
    must(!err == !v.reason);
    if (err) {
        must(claims->len == 0 && v.expires_ms == 0);
        return err;
    }
    must(v.expires_ms == 0 || v.expires_ms > NOW_MS);
    must(plx_json_check(plx_buf_slice(claims), &value) == 0 && value.type == PLX_JSON_OBJECT);
    return 0;
}

static void check_genuine(plx_slice header, plx_slice payload)
{
    uint8_t mac[PLX_DIGEST_MAX];
    plx_buf token, claims;
    plx_buf_init(&token, 0);
    plx_buf_init(&claims, 0);
    plx_base64_encode(&token, header, PLX_B64_URL | PLX_B64_NOPAD);
    plx_buf_byte(&token, '.');
    plx_base64_encode(&token, payload, PLX_B64_URL | PLX_B64_NOPAD);
    plx_hmac(PLX_SHA256, key, plx_buf_slice(&token), mac);
    plx_buf_byte(&token, '.');
    plx_base64_encode(&token, plx_slice_make(mac, 32), PLX_B64_URL | PLX_B64_NOPAD);
    plx_slice text = plx_buf_slice(&token);
    if (verify("HS256", NULL, key, text, &claims) == 0)
        must(memmem(payload.data, payload.len, claims.data, claims.len) != NULL);
    verify("HS256", "pollux", key, text, &claims);
    must(verify("HS256", NULL, other, text, &claims) != 0);
    must(verify("HS512", NULL, key, text, &claims) != 0);
    must(verify("ES256", NULL, public_key, text, &claims) != 0);
    plx_buf_fini(&token);
    plx_buf_fini(&claims);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    plx_slice rest = plx_slice_make(data, size), header;
    plx_buf claims;
    plx_buf_init(&claims, 0);
    verify("HS256", NULL, key, rest, &claims);
    verify("ES256", NULL, public_key, rest, &claims);
    plx_buf_fini(&claims);
    if (size > 0 && plx_slice_split(&rest, '\n', &header) && rest.data)
        check_genuine(header, rest);
    return 0;
}
