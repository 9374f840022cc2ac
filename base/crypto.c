/* Thin glue over OpenSSL 3.
 *
 * Every failure here is a bug or a broken libcrypto (no memory, a provider that
 * can't be loaded): going on would mean unsigned tokens or predictable ids, so the
 * process says why and aborts.
 */
#include "base/crypto.h"
#include "base/log.h"

#include <assert.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    char reason[256];
    ERR_error_string_n(ERR_get_error(), reason, sizeof reason);
    plx_err("libcrypto: %s failed: %s", what, reason);
    abort();
}

static const EVP_MD *algorithm(enum plx_digest d)
{
    switch (d) {
    case PLX_SHA256:
        return EVP_sha256();
    case PLX_SHA384:
        return EVP_sha384();
    case PLX_SHA512:
        return EVP_sha512();
    }
    assert(!"a digest of enum plx_digest");
    abort();
}

/* libcrypto gives NULL pointers meanings of their own: an empty slice must not be one. */
static const void *bytes_of(plx_slice s)
{
    return s.data ? s.data : "";
}

size_t plx_digest_len(enum plx_digest d)
{
    return (size_t)EVP_MD_get_size(algorithm(d));
}

void plx_hash(enum plx_digest d, plx_slice data, uint8_t *out)
{
    must(EVP_Digest(bytes_of(data), data.len, out, NULL, algorithm(d), NULL) == 1, "EVP_Digest");
}

void plx_sha1(plx_slice data, uint8_t out[20])
{
    must(EVP_Digest(bytes_of(data), data.len, out, NULL, EVP_sha1(), NULL) == 1, "EVP_Digest");
}

static EVP_MAC_CTX *new_hmac(enum plx_digest d)
{
    char name[] = OSSL_MAC_NAME_HMAC, digest[16];
    EVP_MAC *mac = EVP_MAC_fetch(NULL, name, NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
    snprintf(digest, sizeof digest, "%s", EVP_MD_get0_name(algorithm(d)));
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    must(ctx && EVP_MAC_CTX_set_params(ctx, params) == 1, "EVP_MAC_CTX_new");
    EVP_MAC_free(mac); /* the context holds it */
    return ctx;
}

/* Looking the algorithms up takes libcrypto twice as long as a short text: done once a thread. */
void plx_hmac(enum plx_digest d, plx_slice key, plx_slice data, uint8_t *out)
{
    static _Thread_local EVP_MAC_CTX *kept[PLX_SHA512 + 1];
    size_t len;
    if (!kept[d])
        kept[d] = new_hmac(d);
    must(EVP_MAC_init(kept[d], bytes_of(key), key.len, NULL) == 1 &&
             EVP_MAC_update(kept[d], bytes_of(data), data.len) == 1 &&
             EVP_MAC_final(kept[d], out, &len, plx_digest_len(d)) == 1,
         "HMAC");
}

void plx_hmac_sha256_hex(plx_slice key, plx_slice data, char out[PLX_SHA256_HEX])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t mac[PLX_DIGEST_MAX];
    plx_hmac(PLX_SHA256, key, data, mac);
    for (size_t i = 0; i < PLX_SHA256_HEX / 2; i++) {
        out[2 * i] = digits[mac[i] >> 4];
        out[2 * i + 1] = digits[mac[i] & 15];
    }
}

void plx_pbkdf2(enum plx_digest d, plx_slice password, plx_slice salt, unsigned iterations,
                uint8_t *out, size_t out_len)
{
    assert(password.len <= INT_MAX && salt.len <= INT_MAX && out_len <= INT_MAX);
    assert(iterations > 0 && iterations <= INT_MAX);
    must(PKCS5_PBKDF2_HMAC(bytes_of(password), (int)password.len, bytes_of(salt), (int)salt.len,
                           (int)iterations, algorithm(d), (int)out_len, out) == 1,
         "PKCS5_PBKDF2_HMAC");
}

void plx_random(void *out, size_t len)
{
    assert(len <= INT_MAX);
    must(RAND_bytes(out, (int)len) == 1, "RAND_bytes");
}

uint32_t plx_random_below(uint32_t bound)
{
    assert(bound > 0);
    /* 2^32 mod bound values at the low end would make the small results likelier: draw again. */
    uint32_t unfair = (uint32_t)-bound % bound;
    uint32_t n;
    do {
        plx_random(&n, sizeof n);
    } while (n < unfair);
    return n % bound;
}

void plx_random_id(char *out, size_t n)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    plx_random(out, n);
    for (size_t i = 0; i < n; i++)
        out[i] = letters[(unsigned char)out[i] & 63];
    out[n] = '\0';
}

bool plx_equal_secret(plx_slice a, plx_slice b)
{
    return a.len == b.len && CRYPTO_memcmp(bytes_of(a), bytes_of(b), a.len) == 0;
}
