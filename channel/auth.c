/* The socket section's `auth` applied to a connect request. */
#include "channel/auth.h"
#include "base/crypto.h"
#include "base/error.h"
#include "channel/jwt.h"
#include "channel/phoenix_token.h"
#include "channel/ticket.h"
#include <assert.h>
#include <stdlib.h>

static enum plx_digest digest_of(const char *name)
{
    if (strcmp(name, "sha384") == 0)
        return PLX_SHA384;
    return strcmp(name, "sha512") == 0 ? PLX_SHA512 : PLX_SHA256;
}

/* ---- what each type makes of a token with one of its keys ---- */

static const char *reason_of(int err)
{
    switch (err) {
    case PLX_E_GONE:
        return "token expired";
    case PLX_E_TOOBIG:
        return "token too long";
    }
    return "token invalid";
}

static int verify_phoenix(const plx_auth_config *auth, const char *secret, plx_slice token,
                          uint64_t wall_ms, plx_buf *data, plx_verdict *verdict)
{
    const plx_phoenix_key key = {.secret = plx_slice_of(secret),
                                 .salt = plx_slice_of(auth->salt),
                                 .digest = digest_of(auth->key_digest),
                                 .iterations = auth->key_iterations,
                                 .length = auth->key_length};
    *verdict = (plx_verdict){0};
    int err =
        plx_phoenix_token_verify(&key, token, auth->max_age_s, wall_ms, data, &verdict->expires_ms);
    if (err)
        verdict->reason = reason_of(err);
    return err;
}

static int verify_ticket(const plx_auth_config *auth, const char *key, plx_slice token,
                         uint64_t wall_ms, plx_buf *data, plx_verdict *verdict)
{
    (void)auth;
    return plx_ticket_verify(plx_slice_of(key), token, wall_ms, data, verdict);
}

static int verify_jwt(const plx_auth_config *auth, const char *key, plx_slice token,
                      uint64_t wall_ms, plx_buf *data, plx_verdict *verdict)
{
    const plx_jwt_rules rules = {&auth->algorithms, auth->issuer, auth->audience};
    return plx_jwt_verify(&rules, plx_slice_of(key), token, wall_ms, data, verdict);
}

typedef int verify_fn(const plx_auth_config *auth, const char *key, plx_slice token,
                      uint64_t wall_ms, plx_buf *data, plx_verdict *verdict);

/* With the current key, then with the previous one. Whatever else is wrong with a token than its
 * signature, the other key would not make it right. */
static int verify_with_either(verify_fn *verify, const char *key, const char *previous,
                              const plx_auth_config *auth, plx_slice token, uint64_t wall_ms,
                              plx_buf *data, plx_verdict *verdict)
{
    int err = verify(auth, key, token, wall_ms, data, verdict);
    if (err == PLX_E_INVALID && previous)
        err = verify(auth, previous, token, wall_ms, data, verdict);
    return err;
}

static int verify_token(const plx_auth_config *auth, plx_slice token, uint64_t wall_ms,
                        plx_buf *data, plx_verdict *verdict)
{
    switch (auth->type) {
    case PLX_AUTH_PHOENIX_TOKEN:
        return verify_with_either(verify_phoenix, auth->secret, auth->previous_secret, auth, token,
                                  wall_ms, data, verdict);
    case PLX_AUTH_TICKET:
        return verify_with_either(verify_ticket, auth->key, auth->previous_key, auth, token,
                                  wall_ms, data, verdict);
    case PLX_AUTH_JWT:
        return verify_with_either(verify_jwt, auth->key, auth->previous_key, auth, token, wall_ms,
                                  data, verdict);
    default:
        assert(!"a type of auth that is decided by a token");
        abort();
    }
}

/* ---- connecting ---- */

/* Finds the token to judge (empty: none); PLX_E_DENIED for a parameter that is no text. */
static int find_token(const plx_auth_config *auth, json_object *params, plx_slice transport_token,
                      plx_slice *token)
{
    json_object *value = NULL;
    *token = transport_token;
    if (transport_token.len > 0)
        return 0;
    json_object_object_get_ex(params, auth->param, &value);
    if (value && !json_object_is_type(value, json_type_string))
        return PLX_E_DENIED;
    *token = plx_json_text(value);
    return 0;
}

/* A map is the claims; anything else becomes the one claim that the configuration names. */
static int put_claims(const plx_auth_config *auth, plx_slice data, plx_buf *out)
{
    if (data.len > 0 && data.data[0] == '{')
        return plx_buf_add(out, data);
    json_object *claims = plx_json_new_object();
    plx_json_put(claims, auth->claim, plx_json_new_verbatim(data));
    int err = plx_json_write(out, claims);
    json_object_put(claims);
    return err;
}

static int check_token(const plx_auth_config *auth, plx_slice token, uint64_t wall_ms,
                       plx_buf *claims_json, plx_auth_result *result)
{
    plx_buf data;
    plx_verdict verdict;
    /* A term's JSON is at most six times as long as the term ("\u0001"). */
    plx_buf_init(&data, 6 * PLX_PHOENIX_TOKEN_MAX);
    int err = verify_token(auth, token, wall_ms, &data, &verdict);
    if (err) {
        result->reason = verdict.reason;
        err = PLX_E_DENIED;
    } else {
        err = put_claims(auth, plx_buf_slice(&data), claims_json);
        result->authenticated = err == 0;
        result->expires_ms = err == 0 ? verdict.expires_ms : 0;
    }
    plx_buf_fini(&data);
    return err;
}

int plx_auth_check(const plx_auth_config *auth, json_object *params, plx_slice transport_token,
                   uint64_t wall_ms, plx_buf *claims_json, plx_auth_result *result)
{
    plx_slice token = plx_slice_of("");
    assert(auth->type != PLX_AUTH_HOOK);
    *result = (plx_auth_result){0};
    if (auth->type != PLX_AUTH_NONE && find_token(auth, params, transport_token, &token) != 0) {
        result->reason = "token is no text";
        return PLX_E_DENIED;
    }
    if (token.len > 0)
        return check_token(auth, token, wall_ms, claims_json, result);
    if (auth->required) {
        result->reason = "token missing";
        return PLX_E_DENIED;
    }
    return plx_buf_str(claims_json, "{}");
}
