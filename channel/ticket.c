/* Tickets: verifying and signing. */
#include "channel/ticket.h"
#include "base/base64.h"
#include "base/crypto.h"
#include "base/error.h"

/* The year 10000. Who writes milliseconds in the place of seconds would make tickets for ever. */
#define LATEST_MS 253402300800000

/* Checks the signature; *text is what was signed. */
static int check_mac(plx_slice key, plx_slice ticket, plx_slice *text)
{
    char expected[PLX_SHA256_HEX];
    plx_slice rest = ticket;
    if (!plx_slice_split(&rest, '.', text) || text->len == 0 || rest.len != PLX_SHA256_HEX)
        return PLX_E_INVALID;
    plx_hmac_sha256_hex(key, *text, expected);
    return plx_equal_secret(rest, plx_slice_make(expected, PLX_SHA256_HEX)) ? 0 : PLX_E_INVALID;
}

static int find_exp(plx_slice object, plx_json_value *exp)
{
    static const char *const names[] = {"exp"};
    int err = plx_json_cut_object(object, names, exp, 1);
    return err == 0 && exp->type == PLX_JSON_NONE ? PLX_E_NOTFOUND : err;
}

static bool is_endless(const plx_json_value *exp)
{
    uint64_t ms;
    return plx_claims_time(exp, &ms) == 0 && ms >= LATEST_MS;
}

/* The signed text is the application's: whatever is wrong from here on is its mistake. */
static int read_claims(plx_slice json, uint64_t wall_ms, plx_buf *claims_json, plx_verdict *verdict)
{
    plx_slice object;
    plx_json_value exp;
    if (plx_claims_open(json, &object) != 0) {
        verdict->reason = "token is no JSON object, or has a name twice";
        return PLX_E_DENIED;
    }
    if (find_exp(object, &exp) != 0) {
        verdict->reason = "token has no exp";
        return PLX_E_DENIED;
    }
    int err = plx_claims_expiry(&exp, wall_ms, verdict);
    if (err)
        return err == PLX_E_GONE ? err : PLX_E_DENIED;
    if (is_endless(&exp)) {
        *verdict = (plx_verdict){.reason = "token's exp is beyond the year 9999: it is in seconds"};
        return PLX_E_DENIED;
    }
    err = plx_buf_add(claims_json, object);
    if (err)
        *verdict = (plx_verdict){.reason = "token's claims too long"};
    return err;
}

int plx_ticket_verify(plx_slice key, plx_slice ticket, uint64_t wall_ms, plx_buf *claims_json,
                      plx_verdict *verdict)
{
    plx_slice text;
    plx_buf json;
    *verdict = (plx_verdict){.reason = "token too long"};
    if (ticket.len > PLX_TICKET_MAX)
        return PLX_E_TOOBIG;
    verdict->reason = "token invalid";
    if (check_mac(key, ticket, &text) != 0)
        return PLX_E_INVALID;
    plx_buf_init(&json, PLX_TICKET_MAX);
    int err = plx_base64_decode(&json, text, PLX_B64_URL | PLX_B64_NOPAD | PLX_B64_EITHER);
    if (err == 0) {
        verdict->reason = NULL;
        err = read_claims(plx_buf_slice(&json), wall_ms, claims_json, verdict);
    }
    plx_buf_fini(&json);
    return err;
}

int plx_ticket_sign(plx_slice key, plx_slice claims_json, plx_buf *ticket)
{
    char mac[PLX_SHA256_HEX];
    plx_slice object;
    plx_json_value exp;
    uint64_t ms;
    plx_buf text;
    if (plx_claims_open(claims_json, &object) != 0 || find_exp(object, &exp) != 0 ||
        plx_claims_time(&exp, &ms) != 0 || ms >= LATEST_MS)
        return PLX_E_INVALID;
    plx_buf_init(&text, PLX_TICKET_MAX);
    plx_base64_encode(&text, object, PLX_B64_URL | PLX_B64_NOPAD);
    plx_hmac_sha256_hex(key, plx_buf_slice(&text), mac);
    plx_buf_byte(&text, '.');
    plx_buf_append(&text, mac, PLX_SHA256_HEX);
    int err = plx_buf_ok(&text) ? plx_buf_add(ticket, plx_buf_slice(&text)) : PLX_E_TOOBIG;
    plx_buf_fini(&text);
    return err;
}
