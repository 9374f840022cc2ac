/* The socket section's `auth` applied to a connect request. */
#include "channel/auth.h"
#include "base/alloc.h"
#include "base/crypto.h"
#include "base/error.h"
#include "channel/phoenix_token.h"

static enum plx_digest digest_of(const char *name)
{
    if (strcmp(name, "sha384") == 0)
        return PLX_SHA384;
    return strcmp(name, "sha512") == 0 ? PLX_SHA512 : PLX_SHA256;
}

/* With the current secret, then with the previous one. An expired token is known to be ours. */
static int verify_phoenix(const plx_auth_config *auth, plx_slice token, uint64_t wall_ms,
                          plx_buf *data, uint64_t *expires_ms)
{
    plx_phoenix_key key = {.secret = plx_slice_of(auth->secret),
                           .salt = plx_slice_of(auth->salt),
                           .digest = digest_of(auth->key_digest),
                           .iterations = auth->key_iterations,
                           .length = auth->key_length};
    int err = plx_phoenix_token_verify(&key, token, auth->max_age_s, wall_ms, data, expires_ms);
    if (err == PLX_E_INVALID && auth->previous_secret) {
        key.secret = plx_slice_of(auth->previous_secret);
        err = plx_phoenix_token_verify(&key, token, auth->max_age_s, wall_ms, data, expires_ms);
    }
    return err;
}

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
    /* A term's JSON is at most six times as long as the term ("\u0001"). */
    plx_buf_init(&data, 6 * PLX_PHOENIX_TOKEN_MAX);
    int err = verify_phoenix(auth, token, wall_ms, &data, &result->expires_ms);
    if (err) {
        result->reason = reason_of(err);
        err = PLX_E_DENIED;
    } else {
        err = put_claims(auth, plx_buf_slice(&data), claims_json);
        result->authenticated = err == 0;
    }
    plx_buf_fini(&data);
    return err;
}

int plx_auth_check(const plx_auth_config *auth, json_object *params, plx_slice transport_token,
                   uint64_t wall_ms, plx_buf *claims_json, plx_auth_result *result)
{
    plx_slice token = plx_slice_of("");
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
