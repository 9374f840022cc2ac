/* JSON Web Tokens: verifying and signing. See the header for what is libjwt's part. */
#include "channel/jwt.h"
#include "base/base64.h"
#include "base/error.h"
#include <jwt.h>
#include <openssl/err.h>
#include <stdlib.h>

static const struct {
    const char *name;
    jwt_alg_t alg;
} known[] = {{"HS256", JWT_ALG_HS256},
             {"HS384", JWT_ALG_HS384},
             {"HS512", JWT_ALG_HS512},
             {"RS256", JWT_ALG_RS256},
             {"ES256", JWT_ALG_ES256}};

/* ---- the outer form ---- */

/* The three parts between dots. Base64url without padding and canonical, as RFC 7515 2 has it:
 * libjwt is laxer. */
static int split(plx_slice token, plx_slice parts[3])
{
    plx_slice rest = token;
    for (int i = 0; i < 3; i++)
        if (!plx_slice_split(&rest, '.', &parts[i]) || parts[i].len == 0)
            return PLX_E_INVALID;
    return rest.data || memchr(token.data, '=', token.len) ? PLX_E_INVALID : 0;
}

static int decode(plx_slice part, plx_buf *out)
{
    plx_buf_clear(out);
    return plx_base64_decode(out, part, PLX_B64_URL | PLX_B64_NOPAD);
}

/* Whether a JSON string is exactly that text. */
static bool string_is(const plx_json_value *v, const char *text)
{
    plx_buf out;
    if (v->type != PLX_JSON_STRING)
        return false;
    plx_buf_init(&out, 0);
    plx_json_unquote(v->text, &out);
    bool is = plx_slice_is(plx_buf_slice(&out), text);
    plx_buf_fini(&out);
    return is;
}

static bool is_listed(const plx_strings *algorithms, const plx_json_value *alg)
{
    for (size_t i = 0; i < algorithms->count; i++)
        if (string_is(alg, algorithms->items[i]))
            return true;
    return false;
}

/* The algorithm is one of ours, and nothing is asked that we don't know (RFC 7515 4.1.11). */
static int check_header(const plx_jwt_rules *rules, plx_slice json, plx_verdict *verdict)
{
    static const char *const names[] = {"alg", "crit"};
    plx_json_value v[2];
    plx_slice object;
    if (plx_claims_open(json, &object) != 0 || plx_json_cut_object(object, names, v, 2) != 0)
        return PLX_E_INVALID;
    if (is_listed(rules->algorithms, &v[0]) && v[1].type == PLX_JSON_NONE)
        return 0;
    verdict->reason = "token is signed with an algorithm that is not configured";
    return PLX_E_INVALID;
}

/* ---- the signature ---- */

static int check_signature(plx_slice key, plx_slice token)
{
    plx_buf text;
    jwt_t *jwt = NULL;
    plx_buf_init(&text, 0);
    plx_buf_add(&text, token);
    int failed =
        jwt_decode(&jwt, plx_buf_cstr(&text), (const unsigned char *)key.data, (int)key.len);
    if (!failed) {
        /* What libjwt took for the algorithm is never "none" behind check_header. */
        failed = jwt_get_alg(jwt) == JWT_ALG_NONE;
        jwt_free(jwt);
    }
    plx_buf_fini(&text);
    ERR_clear_error(); /* others on this thread look into libcrypto's queue, too */
    return failed ? PLX_E_INVALID : 0;
}

/* ---- the claims ---- */

static int deny(plx_verdict *verdict, const char *reason)
{
    *verdict = (plx_verdict){.reason = reason};
    return PLX_E_DENIED;
}

static bool is_audience(const plx_json_value *aud, const char *audience)
{
    plx_json_value item;
    plx_slice key;
    size_t pos = 0;
    if (aud->type != PLX_JSON_ARRAY)
        return string_is(aud, audience);
    while (plx_json_next(aud->text, &pos, &key, &item))
        if (string_is(&item, audience))
            return true;
    return false;
}

static int check_party(const plx_jwt_rules *rules, const plx_json_value *iss,
                       const plx_json_value *aud, plx_verdict *verdict)
{
    if (rules->issuer && !string_is(iss, rules->issuer))
        return deny(verdict, "token is of another issuer");
    if (!rules->audience && aud->type != PLX_JSON_NONE)
        return deny(verdict, "token is for an audience, and none is configured");
    if (rules->audience && !is_audience(aud, rules->audience))
        return deny(verdict, "token is for another audience");
    return 0;
}

static int check_times(const plx_json_value *exp, const plx_json_value *nbf, uint64_t wall_ms,
                       plx_verdict *verdict)
{
    uint64_t from;
    int err = 0;
    if (nbf->type != PLX_JSON_NONE) {
        if (plx_claims_time(nbf, &from) != 0)
            return deny(verdict, "token's nbf is no number");
        if (wall_ms < from)
            return deny(verdict, "token is not valid yet");
    }
    if (exp->type != PLX_JSON_NONE)
        err = plx_claims_expiry(exp, wall_ms, verdict);
    return err == PLX_E_INVALID ? PLX_E_DENIED : err;
}

static int read_claims(const plx_jwt_rules *rules, plx_slice json, uint64_t wall_ms,
                       plx_buf *claims_json, plx_verdict *verdict)
{
    static const char *const names[] = {"exp", "nbf", "iss", "aud"};
    plx_json_value v[4];
    plx_slice object;
    if (plx_claims_open(json, &object) != 0 || plx_json_cut_object(object, names, v, 4) != 0)
        return deny(verdict, "token is no JSON object, or has a name twice");
    int err = check_times(&v[0], &v[1], wall_ms, verdict);
    if (err == 0)
        err = check_party(rules, &v[2], &v[3], verdict);
    if (err == 0) {
        err = plx_buf_add(claims_json, object);
        if (err)
            *verdict = (plx_verdict){.reason = "token's claims too long"};
    }
    return err;
}

int plx_jwt_verify(const plx_jwt_rules *rules, plx_slice key, plx_slice token, uint64_t wall_ms,
                   plx_buf *claims_json, plx_verdict *verdict)
{
    plx_slice parts[3];
    plx_buf json;
    *verdict = (plx_verdict){.reason = "token too long"};
    if (token.len > PLX_JWT_MAX)
        return PLX_E_TOOBIG;
    verdict->reason = "token invalid";
    if (split(token, parts) != 0)
        return PLX_E_INVALID;
    plx_buf_init(&json, PLX_JWT_MAX);
    int err = decode(parts[2], &json);
    if (err == 0)
        err = decode(parts[0], &json);
    if (err == 0)
        err = check_header(rules, plx_buf_slice(&json), verdict);
    if (err == 0)
        err = decode(parts[1], &json);
    /* libjwt reads the payload before it checks the signature: not without a look at it. */
    if (err == 0)
        err = plx_json_check(plx_buf_slice(&json), NULL);
    if (err == 0)
        err = check_signature(key, token);
    if (err == 0) {
        verdict->reason = NULL;
        err = read_claims(rules, plx_buf_slice(&json), wall_ms, claims_json, verdict);
    }
    plx_buf_fini(&json);
    return err;
}

/* ---- signing ---- */

static jwt_alg_t algorithm_of(const char *name)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].alg;
    return JWT_ALG_NONE;
}

/* libjwt's own text of the token, or NULL. `object` is valid. */
static char *encode(jwt_alg_t alg, plx_slice key, const char *object)
{
    jwt_t *jwt = NULL;
    char *text = NULL;
    if (jwt_new(&jwt) == 0 && jwt_add_grants_json(jwt, object) == 0 &&
        jwt_set_alg(jwt, alg, (const unsigned char *)key.data, (int)key.len) == 0)
        text = jwt_encode_str(jwt);
    jwt_free(jwt);
    ERR_clear_error();
    return text;
}

int plx_jwt_sign(const char *algorithm, plx_slice key, plx_slice claims_json, plx_buf *token)
{
    plx_slice object;
    plx_buf json;
    jwt_alg_t alg = algorithm_of(algorithm);
    if (alg == JWT_ALG_NONE || plx_claims_open(claims_json, &object) != 0)
        return PLX_E_INVALID;
    plx_buf_init(&json, 0);
    plx_buf_add(&json, object);
    char *text = encode(alg, key, plx_buf_cstr(&json));
    int err = text ? PLX_E_TOOBIG : PLX_E_INVALID;
    if (text && strlen(text) <= PLX_JWT_MAX)
        err = plx_buf_str(token, text);
    free(text);
    plx_buf_fini(&json);
    return err;
}
