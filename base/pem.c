/* PEM keys, read with OpenSSL. */
#include "base/pem.h"
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#define RSA_BITS_MIN 2048

static enum plx_pem kind_of(EVP_PKEY *key)
{
    char curve[32] = "";
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
        return EVP_PKEY_get_bits(key) < RSA_BITS_MIN ? PLX_PEM_RSA_WEAK : PLX_PEM_RSA;
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
        EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL) == 1 &&
        strcmp(curve, "prime256v1") == 0)
        return PLX_PEM_P256;
    return PLX_PEM_OTHER;
}

enum plx_pem plx_pem_kind(plx_slice text)
{
    enum plx_pem kind = PLX_PEM_OTHER;
    if (text.len == 0 || !memmem(text.data, text.len, "-----BEGIN", 10))
        return PLX_PEM_NONE;
    if (text.len > INT_MAX)
        return PLX_PEM_OTHER;
    BIO *bio = BIO_new_mem_buf(text.data, (int)text.len);
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    if (key)
        kind = kind_of(key);
    EVP_PKEY_free(key);
    BIO_free(bio);
    ERR_clear_error(); /* others on this thread look into the queue, too */
    return kind;
}
