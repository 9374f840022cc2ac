/* POSTs over HTTP on the worker's loop: the only place where libcurl is used. No queue, no
 * judgement: channel/hook decides who is asked when, and what an answer is worth.
 *
 * HTTP/1.1 and http or https alone (TLS with the system's certificate authorities). Redirections
 * are not followed; no proxy is used, whatever the environment names; no cookies, no Expect, no
 * compression. Connections are kept and reused, a few of them also while nothing is asked.
 */
#ifndef PLX_CHANNEL_HTTP_CLIENT_H
#define PLX_CHANNEL_HTTP_CLIENT_H

#include "base/slice.h"
#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct plx_http_client plx_http_client;
typedef struct plx_http_post plx_http_post; /* one that is under way */

/* After the fork, on the loop's thread. Costs next to nothing until the first POST. Never NULL. */
plx_http_client *plx_http_client_new(struct ev_loop *loop);
/* Drops what is under way. Not from inside a callback. NULL is fine. */
void plx_http_client_free(plx_http_client *client);

typedef struct plx_http_question {
    const char *url;       /* copied */
    const char *signature; /* the value of x-pollux-signature; copied */
    plx_slice body;        /* JSON; borrowed until the end of the POST */
    uint64_t timeout_ms;   /* of all of it, from looking up the name on; at least 1 */
    size_t answer_max;     /* bytes of the answer's body; more is PLX_E_TOOBIG */
    /* May be sent again when a kept connection turns out to be closed before a byte of the answer
     * came, although the application may have seen it. */
    bool repeatable;
} plx_http_question;

typedef struct plx_http_result {
    /* 0: status and body are whole. Else PLX_E_TIMEOUT; PLX_E_DOWN (no connection, or broken off
     * before an answer began); PLX_E_INVALID (no HTTP, half an answer); PLX_E_TOOBIG. */
    int err;
    unsigned status; /* 0: none came */
    plx_slice body;
    const char *why; /* of an error, for the log */
} plx_http_result;

/* What it holds is valid until the callback returns. */
typedef void plx_http_done(void *arg, const plx_http_result *result);

/* The callback comes once, never before the return. Never NULL. */
plx_http_post *plx_http_client_post(plx_http_client *client, const plx_http_question *request,
                                    plx_http_done *done, void *arg);
/* Breaks it off: the callback will not come. Not from inside it. */
void plx_http_post_drop(plx_http_post *post);

#endif
