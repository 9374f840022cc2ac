/* JSON Web Tokens (RFC 7519, compact form): what an existing login service signs.
 *
 * The signature is libjwt's business. Everything else is decided here, because
 * libjwt takes more than we want: which algorithms count (before any key is
 * touched; never "none"), what is JSON, names given twice, and the registered
 * claims. The key's kind belongs to the configuration (base/pem), so that a public
 * key is never taken for a shared secret. A header's jwk, jku, x5u and kid are
 * never looked at.
 *
 * libjwt parses the claims, too, though nothing of that is used: a token with an
 * integer beyond 64 bits or a \u0000 in it is refused, as is a `typ` other than JWT.
 */
#ifndef PLX_CHANNEL_JWT_H
#define PLX_CHANNEL_JWT_H

#include "base/config.h"
#include "channel/claims.h"

#define PLX_JWT_MAX 8192 /* longer ones are refused unread */

/* What is expected of a token. issuer, audience: NULL: none is configured. */
typedef struct plx_jwt_rules {
    const plx_strings *algorithms; /* of HS256 HS384 HS512 RS256 ES256, all of the key's kind */
    const char *issuer;            /* `iss` must be there and be it */
    /* `aud` must be there and be it, or an array with it. NULL: a token that is for some audience
     * is refused, as RFC 7519 4.1.3 demands. */
    const char *audience;
} plx_jwt_rules;

/* Verifies a token; its payload, as it was signed, is appended to claims_json. key: the shared
 * secret, or a PEM public key. exp (if there is one), nbf, iss and aud are judged without
 * tolerance. PLX_E_INVALID: malformed, another algorithm, or signed with another key. PLX_E_DENIED:
 * genuine, but its claims are malformed or not what is expected. PLX_E_GONE: genuine, but expired.
 * PLX_E_TOOBIG: longer than PLX_JWT_MAX, or claims_json is full. After an error claims_json is as
 * it was and verdict->reason says why. */
int plx_jwt_verify(const plx_jwt_rules *rules, plx_slice key, plx_slice token, uint64_t wall_ms,
                   plx_buf *claims_json, plx_verdict *verdict);

/* Appends a token for an object, which libjwt writes anew (numbers by their value). key: the shared
 * secret, or a PEM private key. PLX_E_INVALID: no object, a name twice in it, what libjwt does not
 * take (see above), an unknown algorithm, or a key that is not fit for it; PLX_E_TOOBIG. After an
 * error `token` is as it was. */
int plx_jwt_sign(const char *algorithm, plx_slice key, plx_slice claims_json, plx_buf *token);

#endif
