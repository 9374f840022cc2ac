/* Phoenix.Token: what an existing Phoenix application signs, verified without Erlang.
 *
 *     PROTECTED "." base64url(payload) "." base64url(HMAC(key, PROTECTED "." base64url(payload)))
 *
 * PROTECTED is SFMyNTY, SFMzODQ or SFM1MTI (HS256, HS384, HS512 in base64), key =
 * PBKDF2(secret_key_base, salt), payload the external term {data, signed_at_ms,
 * max_age_s}. Derived keys are remembered (a PBKDF2 costs about half a millisecond,
 * and a stranger decides how often one is needed), so all of this belongs to the
 * event loop: not thread-safe.
 */
#ifndef PLX_CHANNEL_PHOENIX_TOKEN_H
#define PLX_CHANNEL_PHOENIX_TOKEN_H

#include "base/buf.h"
#include "base/crypto.h"
#include <stdint.h>

#define PLX_PHOENIX_TOKEN_MAX 8192 /* longer tokens are refused unread */
#define PLX_PHOENIX_KEY_MAX   256  /* longest derived key in bytes */

/* How the signing key is derived: Phoenix.Token's key_* options. */
typedef struct plx_phoenix_key {
    plx_slice secret; /* secret_key_base */
    plx_slice salt;
    enum plx_digest digest; /* key_digest, of PBKDF2; the signature's is named in the token */
    unsigned iterations;    /* key_iterations: 1000 */
    size_t length;          /* key_length: 32; 1..PLX_PHOENIX_KEY_MAX */
} plx_phoenix_key;

/* Verifies a token as Plug.Crypto.verify/4 does: max_age_s replaces the age signed into the token;
 * 0 leaves that one (an integer, a float, or infinity; a payload of the old form {data,
 * signed_at_ms} counts as signed for 86400 s). A token signed after wall_ms is invalid, without
 * tolerance. On success its data is appended to data_json. PLX_E_INVALID: malformed, signed by
 * somebody else, signed in the future, or data that JSON can't say (channel/etf). PLX_E_GONE:
 * genuine, but expired. PLX_E_TOOBIG: longer than PLX_PHOENIX_TOKEN_MAX, or data_json is full.
 * After an error data_json is as it was. *expires_ms (may be NULL): the first millisecond of the
 * wall clock at which the token is expired; 0: never. */
int plx_phoenix_token_verify(const plx_phoenix_key *key, plx_slice token, uint64_t max_age_s,
                             uint64_t wall_ms, plx_buf *data_json, uint64_t *expires_ms);

/* Appends a token for data_json, as Plug.Crypto.sign/4 makes it but for the digest of the signature
 * (there always SHA-256). max_age_s 0: infinity. PLX_E_INVALID: data_json is no JSON, or holds what
 * terms can't (channel/etf); PLX_E_TOOBIG: the token would be longer than PLX_PHOENIX_TOKEN_MAX. */
int plx_phoenix_token_sign(const plx_phoenix_key *key, enum plx_digest signature,
                           plx_slice data_json, uint64_t signed_at_ms, uint64_t max_age_s,
                           plx_buf *token);

/* Wipes the remembered keys. */
void plx_phoenix_token_forget_keys(void);

#endif
