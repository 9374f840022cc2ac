/* The front part of URLs: [scheme:]//[userinfo@]host[:port] and whatever follows.
 *
 * Splits and checks, decodes nothing, copies nothing. Origins, Redis addresses and
 * the configuration's check of both are written in these terms (RFC 3986 3.1, 3.2).
 */
#ifndef PLX_BASE_URL_H
#define PLX_BASE_URL_H

#include "base/buf.h"
#include "base/slice.h"

typedef struct plx_url {
    plx_slice scheme; /* as written, without ':'; empty: the text began with "//" */
    bool has_userinfo;
    plx_slice userinfo; /* still percent-encoded */
    plx_slice host;     /* never empty; an IPv6 address without its brackets */
    int port;           /* -1: none was written */
    plx_slice rest;     /* from the first '/', '?' or '#' after the authority on; may be empty */
} plx_url;

/* Splits text; the slices in *out point into it. PLX_E_INVALID: no "//", a scheme that is none, an
 * empty host or one with characters that no host has, a port that is no number from 1 to 65535. An
 * empty port ("host:") counts as none. */
int plx_url_split(plx_slice text, plx_url *out);

/* The port that a scheme (compared without case) stands for: http and ws 80, https and wss 443,
 * redis 6379; -1 for any other. */
int plx_url_default_port(plx_slice scheme);

/* Appends text with each %XX decoded; '+' stays '+'. PLX_E_INVALID for a '%' without two
 * hexadecimal digits or a decoded NUL, PLX_E_TOOBIG. */
int plx_url_decode(plx_slice text, plx_buf *out);

#endif
