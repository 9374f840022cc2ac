/* Fuzzing tickets. The input is taken as a ticket, and as the JSON (or no JSON) of a genuine one.
 * What must hold:
 * - a ticket gives a valid JSON object, which is within what was signed, or a reason, and nothing;
 * - what can be signed is accepted, or has expired, and gives the same object;
 * - no genuine ticket is genuine under another key, or with a character more.
 */
#include "base/base64.h"
#include "base/crypto.h"
#include "base/error.h"
#include "channel/ticket.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW_MS 1700000000000

static const plx_slice key = PLX_LIT("fuzzing-key-0123"), other = PLX_LIT("fuzzing-key-0124");

static void must(bool ok)
{
    if (!ok)
        abort();
}

static int verify(plx_slice with, plx_slice ticket, plx_buf *claims)
{
    plx_verdict v;
    plx_json_value value;
    plx_buf_clear(claims);
    int err = plx_ticket_verify(with, ticket, NOW_MS, claims, &v);
    must(!err == !v.reason);
    if (err) {
        must(claims->len == 0 && v.expires_ms == 0);
        return err;
    }
    must(v.expires_ms == 0 || v.expires_ms > NOW_MS);
    must(plx_json_check(plx_buf_slice(claims), &value) == 0 && value.type == PLX_JSON_OBJECT);
    return 0;
}

/* A ticket for anything, as whoever has the key may make it. */
static void sign_anything(plx_slice json, bool padded, plx_buf *ticket)
{
    uint8_t mac[PLX_DIGEST_MAX];
    plx_base64_encode(ticket, json, padded ? PLX_B64_STANDARD : PLX_B64_URL | PLX_B64_NOPAD);
    plx_hmac(PLX_SHA256, key, plx_buf_slice(ticket), mac);
    plx_buf_byte(ticket, '.');
    for (int i = 0; i < 32; i++)
        plx_buf_printf(ticket, "%02x", mac[i]);
}

static void check_genuine(plx_slice json, bool padded)
{
    plx_buf ticket, claims;
    plx_buf_init(&ticket, 0);
    plx_buf_init(&claims, 0);
    sign_anything(json, padded, &ticket);
    int err = verify(key, plx_buf_slice(&ticket), &claims);
    if (err == 0)
        must(memmem(json.data, json.len, claims.data, claims.len) != NULL);
    else
        must(err == PLX_E_DENIED || err == PLX_E_GONE || err == PLX_E_TOOBIG || json.len == 0);
    must(verify(other, plx_buf_slice(&ticket), &claims) != 0);
    plx_buf_byte(&ticket, '0');
    must(verify(key, plx_buf_slice(&ticket), &claims) != 0);
    plx_buf_fini(&ticket);
    plx_buf_fini(&claims);
}

static void check_signing(plx_slice json)
{
    plx_buf ticket, claims;
    plx_buf_init(&ticket, 0);
    plx_buf_init(&claims, 0);
    if (plx_ticket_sign(key, json, &ticket) == 0) {
        int err = verify(key, plx_buf_slice(&ticket), &claims);
        must(err == 0 || err == PLX_E_GONE);
    } else {
        must(ticket.len == 0);
    }
    plx_buf_fini(&ticket);
    plx_buf_fini(&claims);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    plx_slice bytes = plx_slice_make(data, size);
    plx_buf claims;
    plx_buf_init(&claims, 0);
    verify(key, bytes, &claims);
    plx_buf_fini(&claims);
    check_genuine(bytes, false);
    check_genuine(bytes, true);
    check_signing(bytes);
    return 0;
}
