/* Phoenix.Token: verifying and signing. */
#include "channel/phoenix_token.h"
#include "base/base64.h"
#include "base/error.h"
#include "channel/etf.h"
#include <assert.h>
#include <openssl/crypto.h>

#define LEGACY_MAX_AGE_S 86400
/* Times from here on (the year 287396) count as never. */
#define EXACT_MAX ((uint64_t)1 << 53)

/* Derived keys, by the hash of all that they were derived from. A server has one or two per socket
 * section; when there are ever more, the oldest makes room. */
#define KEYS 64
typedef struct derived_key {
    uint8_t source[32];
    uint8_t bytes[PLX_PHOENIX_KEY_MAX];
    size_t len; /* 0: a free place */
} derived_key;
static derived_key keys[KEYS];
static unsigned next_key;

static const struct {
    const char *name; /* base64url("HS256") and so on */
    enum plx_digest digest;
} protections[] = {{"SFMyNTY", PLX_SHA256}, {"SFMzODQ", PLX_SHA384}, {"SFM1MTI", PLX_SHA512}};

void plx_phoenix_token_forget_keys(void)
{
    OPENSSL_cleanse(keys, sizeof keys);
    next_key = 0;
}

/* The hash of everything the key depends on; lengths first, so that no two inputs run together. */
static void hash_source(const plx_phoenix_key *key, uint8_t out[32])
{
    plx_buf b;
    plx_buf_init(&b, 0);
    plx_buf_printf(&b, "%d %u %zu %zu %zu\n", (int)key->digest, key->iterations, key->length,
                   key->secret.len, key->salt.len);
    plx_buf_add(&b, key->secret);
    plx_buf_add(&b, key->salt);
    plx_hash(PLX_SHA256, plx_buf_slice(&b), out);
    OPENSSL_cleanse(b.data, b.len);
    plx_buf_fini(&b);
}

static plx_slice derive(const plx_phoenix_key *key)
{
    uint8_t source[32];
    assert(key->length > 0 && key->length <= PLX_PHOENIX_KEY_MAX);
    hash_source(key, source);
    for (size_t i = 0; i < KEYS; i++)
        if (keys[i].len == key->length && memcmp(keys[i].source, source, sizeof source) == 0)
            return plx_slice_make(keys[i].bytes, keys[i].len);
    derived_key *k = &keys[next_key++ % KEYS];
    plx_pbkdf2(key->digest, key->secret, key->salt, key->iterations, k->bytes, key->length);
    memcpy(k->source, source, sizeof source);
    k->len = key->length;
    return plx_slice_make(k->bytes, k->len);
}

/* Exactly three parts between dots. */
static int split(plx_slice token, plx_slice parts[3])
{
    plx_slice rest = token;
    for (int i = 0; i < 3; i++)
        if (!plx_slice_split(&rest, '.', &parts[i]))
            return PLX_E_INVALID;
    return rest.data ? PLX_E_INVALID : 0;
}

static int find_protection(plx_slice name, enum plx_digest *out)
{
    for (size_t i = 0; i < sizeof protections / sizeof *protections; i++) {
        if (plx_slice_is(name, protections[i].name)) {
            *out = protections[i].digest;
            return 0;
        }
    }
    return PLX_E_INVALID;
}

/* Checks the signature and appends the payload. */
static int open_token(const plx_phoenix_key *key, plx_slice token, plx_buf *payload)
{
    plx_slice parts[3];
    enum plx_digest digest;
    uint8_t expected[PLX_DIGEST_MAX];
    plx_buf signature;
    if (split(token, parts) != 0 || find_protection(parts[0], &digest) != 0)
        return PLX_E_INVALID;
    plx_buf_init(&signature, PLX_DIGEST_MAX);
    plx_slice signed_text = plx_slice_make(token.data, token.len - parts[2].len - 1);
    plx_hmac(digest, derive(key), signed_text, expected);
    int err = plx_base64_decode(&signature, parts[2], PLX_B64_URL | PLX_B64_NOPAD);
    if (err || !plx_equal_secret(plx_buf_slice(&signature),
                                 plx_slice_make(expected, plx_digest_len(digest))))
        err = PLX_E_INVALID;
    plx_buf_fini(&signature);
    return err ? err : plx_base64_decode(payload, parts[1], PLX_B64_URL | PLX_B64_NOPAD);
}

/* The age signed into the token, in ms; *forever for infinity. */
static int read_age(plx_etf *e, double *age_ms, bool *forever)
{
    int64_t n;
    double d;
    *forever = plx_etf_atom_is(e, "infinity") == 0;
    if (*forever)
        return 0;
    if (plx_etf_int(e, &n) == 0)
        d = (double)n;
    else if (plx_etf_float(e, &d) != 0)
        return PLX_E_INVALID;
    *age_ms = d * 1000;
    return 0;
}

static int judge_age(int64_t signed_ms, double age_ms, bool forever, uint64_t wall_ms,
                     uint64_t *expires_ms)
{
    *expires_ms = 0;
    if (forever)
        return 0;
    if (age_ms <= 0)
        return PLX_E_GONE;
    if (signed_ms > (int64_t)wall_ms)
        return PLX_E_INVALID;
    /* In doubles, because a token may say any age; a millisecond is exact up to 2^53. */
    double last_ms = (double)signed_ms + age_ms;
    if (last_ms < (double)wall_ms)
        return PLX_E_GONE;
    if (last_ms < (double)EXACT_MAX)
        *expires_ms = (uint64_t)last_ms + 1;
    return 0;
}

/* {data, signed_at_ms, max_age_s} or, of old, {data, signed_at_ms}. */
static int read_payload(plx_slice payload, uint64_t max_age_s, uint64_t wall_ms, plx_buf *json,
                        uint64_t *expires_ms)
{
    plx_etf e;
    uint32_t arity;
    int64_t signed_ms;
    double age_ms = LEGACY_MAX_AGE_S * 1000.0;
    bool forever = false;
    if (plx_etf_open(&e, payload) != 0 || plx_etf_tuple(&e, &arity) != 0 ||
        (arity != 2 && arity != 3))
        return PLX_E_INVALID;
    int err = plx_etf_json(&e, json);
    if (err)
        return err;
    if (plx_etf_int(&e, &signed_ms) != 0 || (arity == 3 && read_age(&e, &age_ms, &forever) != 0) ||
        !plx_etf_at_end(&e))
        return PLX_E_INVALID;
    if (max_age_s > 0) {
        age_ms = (double)max_age_s * 1000;
        forever = false;
    }
    return judge_age(signed_ms, age_ms, forever, wall_ms, expires_ms);
}

int plx_phoenix_token_verify(const plx_phoenix_key *key, plx_slice token, uint64_t max_age_s,
                             uint64_t wall_ms, plx_buf *data_json, uint64_t *expires_ms)
{
    plx_buf payload;
    size_t before = data_json->len;
    uint64_t expires = 0;
    if (token.len > PLX_PHOENIX_TOKEN_MAX)
        return PLX_E_TOOBIG;
    plx_buf_init(&payload, PLX_PHOENIX_TOKEN_MAX);
    int err = open_token(key, token, &payload);
    if (err == 0)
        err = read_payload(plx_buf_slice(&payload), max_age_s, wall_ms, data_json, &expires);
    if (err)
        data_json->len = before;
    else if (expires_ms)
        *expires_ms = expires;
    plx_buf_fini(&payload);
    return err;
}

static int put_payload(plx_buf *out, plx_slice json, uint64_t signed_at_ms, uint64_t max_age_s)
{
    plx_etf_put_version(out);
    plx_etf_put_tuple(out, 3);
    int err = plx_etf_put_json(out, json);
    if (err)
        return err;
    plx_etf_put_int(out, (int64_t)signed_at_ms);
    if (max_age_s > 0)
        plx_etf_put_int(out, (int64_t)max_age_s);
    else
        plx_etf_put_atom(out, "infinity");
    return plx_buf_ok(out) ? 0 : PLX_E_TOOBIG;
}

static int put_signature(const plx_phoenix_key *key, enum plx_digest digest, plx_buf *token)
{
    uint8_t mac[PLX_DIGEST_MAX];
    plx_hmac(digest, derive(key), plx_buf_slice(token), mac);
    plx_buf_byte(token, '.');
    return plx_base64_encode(token, plx_slice_make(mac, plx_digest_len(digest)),
                             PLX_B64_URL | PLX_B64_NOPAD);
}

int plx_phoenix_token_sign(const plx_phoenix_key *key, enum plx_digest signature,
                           plx_slice data_json, uint64_t signed_at_ms, uint64_t max_age_s,
                           plx_buf *token)
{
    plx_buf payload, text;
    plx_buf_init(&payload, PLX_PHOENIX_TOKEN_MAX);
    plx_buf_init(&text, PLX_PHOENIX_TOKEN_MAX);
    int err = put_payload(&payload, data_json, signed_at_ms, max_age_s);
    for (size_t i = 0; i < sizeof protections / sizeof *protections; i++)
        if (protections[i].digest == signature)
            plx_buf_str(&text, protections[i].name);
    plx_buf_byte(&text, '.');
    if (err == 0)
        err = plx_base64_encode(&text, plx_buf_slice(&payload), PLX_B64_URL | PLX_B64_NOPAD);
    if (err == 0)
        err = put_signature(key, signature, &text);
    if (err == 0)
        err = plx_buf_add(token, plx_buf_slice(&text));
    plx_buf_fini(&payload);
    plx_buf_fini(&text);
    return err;
}
