/* The socket section's `auth` applied to a connect request. */
#include "channel/auth.h"
#include "base/alloc.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "channel/phoenix_token.h"

static enum plx_digest digest_of(const char *name)
{
    if (strcmp(name, "sha384") == 0)
        return PLX_SHA384;
    return strcmp(name, "sha512") == 0 ? PLX_SHA512 : PLX_SHA256;
}

/* With the current secret, then with the previous one. An expired token is known to be ours. */
static int verify_phoenix(const plx_auth_config *auth, plx_slice token, uint64_t wall_ms,
                          plx_buf *data)
{
    plx_phoenix_key key = {.secret = plx_slice_of(auth->secret),
                           .salt = plx_slice_of(auth->salt),
                           .digest = digest_of(auth->key_digest),
                           .iterations = auth->key_iterations,
                           .length = auth->key_length};
    int err = plx_phoenix_token_verify(&key, token, auth->max_age_s, wall_ms, data);
    if (err == PLX_E_INVALID && auth->previous_secret) {
        key.secret = plx_slice_of(auth->previous_secret);
        err = plx_phoenix_token_verify(&key, token, auth->max_age_s, wall_ms, data);
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

/* Finds the token to judge: 0 and *token (empty: none) in `scratch` or transport_token. */
static int find_token(const plx_auth_config *auth, plx_slice params_json, plx_slice transport_token,
                      plx_buf *scratch, plx_slice *token)
{
    const char *names[1] = {auth->param};
    plx_json_value v = {.type = PLX_JSON_NONE};
    *token = transport_token;
    if (params_json.len > 0 && plx_json_cut_object(params_json, names, &v, 1) != 0)
        return PLX_E_INVALID;
    if (transport_token.len > 0 || v.type == PLX_JSON_NONE || v.type == PLX_JSON_NULL)
        return 0;
    if (v.type != PLX_JSON_STRING)
        return PLX_E_DENIED;
    int err = plx_json_unquote(v.text, scratch);
    *token = plx_buf_slice(scratch);
    return err;
}

/* A map is the claims; anything else becomes the one claim that the configuration names. */
static int put_claims(const plx_auth_config *auth, plx_slice data, plx_buf *out)
{
    size_t before = out->len;
    int err;
    if (data.len > 0 && data.data[0] == '{')
        return plx_buf_add(out, data);
    plx_buf_byte(out, '{');
    plx_json_quote(out, plx_slice_of(auth->claim));
    plx_buf_byte(out, ':');
    plx_buf_add(out, data);
    err = plx_buf_byte(out, '}');
    if (err == 0 && !plx_buf_ok(out))
        err = PLX_E_TOOBIG;
    if (err)
        out->len = before;
    return err;
}

static int check_token(const plx_auth_config *auth, plx_slice token, uint64_t wall_ms,
                       plx_buf *claims_json, plx_auth_result *result)
{
    plx_buf data;
    /* A term's JSON is at most six times as long as the term ("\u0001"). */
    plx_buf_init(&data, 6 * PLX_PHOENIX_TOKEN_MAX);
    int err = verify_phoenix(auth, token, wall_ms, &data);
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

int plx_auth_check(const plx_auth_config *auth, plx_slice params_json, plx_slice transport_token,
                   uint64_t wall_ms, plx_buf *claims_json, plx_auth_result *result)
{
    plx_buf scratch;
    plx_slice token = plx_slice_of("");
    int err = 0;
    *result = (plx_auth_result){0};
    plx_buf_init(&scratch, PLX_PHOENIX_TOKEN_MAX);
    if (auth->type != PLX_AUTH_NONE)
        err = find_token(auth, params_json, transport_token, &scratch, &token);
    if (err == PLX_E_DENIED || err == PLX_E_TOOBIG) {
        result->reason = err == PLX_E_TOOBIG ? "token too long" : "token is no text";
        err = PLX_E_DENIED;
    } else if (err == 0 && token.len > 0) {
        err = check_token(auth, token, wall_ms, claims_json, result);
    } else if (err == 0 && auth->required) {
        result->reason = "token missing";
        err = PLX_E_DENIED;
    } else if (err == 0) {
        err = plx_buf_str(claims_json, "{}");
    }
    plx_buf_fini(&scratch);
    return err;
}
