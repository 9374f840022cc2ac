/* What kind of key a text is, as far as signatures of tokens need to know. */
#ifndef PLX_BASE_PEM_H
#define PLX_BASE_PEM_H

#include "base/slice.h"

enum plx_pem {
    PLX_PEM_NONE,     /* no PEM at all: a shared secret */
    PLX_PEM_RSA,      /* a public RSA key of at least 2048 bits (RFC 7518 3.3) */
    PLX_PEM_RSA_WEAK, /* ... of fewer */
    PLX_PEM_P256,     /* a public key on the curve P-256 */
    PLX_PEM_OTHER     /* PEM, but nothing of these: a private key, a certificate, damaged */
};

/* Never fails; a text with "-----BEGIN" in it counts as PEM. */
enum plx_pem plx_pem_kind(plx_slice text);

#endif
