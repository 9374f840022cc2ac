/* Who is connecting: the socket section's `auth` applied to a connect request. */
#ifndef PLX_CHANNEL_AUTH_H
#define PLX_CHANNEL_AUTH_H

#include "base/buf.h"
#include "base/config.h"
#include "base/json.h"

typedef struct plx_auth_result {
    bool authenticated; /* a token was given and is right (its claims may still be {}) */
    const char *reason; /* PLX_E_DENIED: why, for the log; static, holds nothing of the token */
    /* The first millisecond of the wall clock at which the token would be refused as expired; 0:
     * never, no token, or an error. */
    uint64_t expires_ms;
} plx_auth_result;

/* Judges a connect request by its token; a hook (PLX_AUTH_HOOK, asserted) asks the application
 * instead. params: the connect parameters, an object (NULL: none).
 * transport_token: phoenix.js's authToken as the transport carried it (X-Phoenix-AuthToken, or the
 * subprotocol, decoded); empty: none.
 *
 * The transport's token is looked at first, then the parameter auth.param; an empty value (or null)
 * is none. A wrong one is always refused, also where `required` is false, and the second is not
 * tried then. With type none every token is ignored.
 *
 * Appends the claims, a JSON object, to claims_json: {} without a token; what a ticket or
 * JWT says, as it was signed; a Phoenix.Token's data when that is a map, else {auth.claim: data}.
 * Returns 0; PLX_E_DENIED with result->reason; PLX_E_TOOBIG when claims_json is full. After an
 * error claims_json is as it was and result->authenticated is false. */
int plx_auth_check(const plx_auth_config *auth, json_object *params, plx_slice transport_token,
                   uint64_t wall_ms, plx_buf *claims_json, plx_auth_result *result);

#endif
