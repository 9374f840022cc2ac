/* The few cryptographic operations that Pollux needs, over OpenSSL's libcrypto. */
#ifndef PLX_BASE_CRYPTO_H
#define PLX_BASE_CRYPTO_H

#include "base/slice.h"
#include <stdint.h>

enum plx_digest { PLX_SHA256, PLX_SHA384, PLX_SHA512 };

#define PLX_DIGEST_MAX 64

/* Length of a digest in bytes: 32, 48 or 64. */
size_t plx_digest_len(enum plx_digest d);
/* Writes plx_digest_len(d) bytes. A failure of libcrypto aborts: nothing here may go on without. */
void plx_hash(enum plx_digest d, plx_slice data, uint8_t *out);
void plx_hmac(enum plx_digest d, plx_slice key, plx_slice data, uint8_t *out);

#define PLX_SHA256_HEX 64
/* The HMAC-SHA256 as lower-case hexadecimal digits, without a NUL. */
void plx_hmac_sha256_hex(plx_slice key, plx_slice data, char out[PLX_SHA256_HEX]);
void plx_sha1(plx_slice data, uint8_t out[20]); /* only for RFC 6455's handshake */
/* PBKDF2 (RFC 8018) with HMAC-<d>. */
void plx_pbkdf2(enum plx_digest d, plx_slice password, plx_slice salt, unsigned iterations,
                uint8_t *out, size_t out_len);
/* Unpredictable bytes. */
void plx_random(void *out, size_t len);
/* Uniform in [0, bound), bound > 0. */
uint32_t plx_random_below(uint32_t bound);
/* Random text of n characters of A-Z a-z 0-9 - _ (6 bits each), NUL-terminated: out has n + 1. */
void plx_random_id(char *out, size_t n);
/* Equality in time that depends on the lengths only. */
bool plx_equal_secret(plx_slice a, plx_slice b);

#endif
