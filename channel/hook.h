/* Questions to an application over HTTP (APPLICATIONS: Hooks): how a worker asks, and what of it
 * counts as an answer. The only place where libcurl is used.
 *
 * A question is a POST of a JSON document, signed:
 *
 *     x-pollux-signature: t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t "." body)>
 *
 * Nothing here blocks: libcurl's multi interface runs on the worker's loop, with connections that
 * are kept and reused. Each hook (one for each section of the configuration that names a URL) has
 * its own bound of questions in flight; more of them wait in order, bounded as well. Equal
 * questions that are under way at the same time are asked once. An application that is down is
 * found out by its failures in a row: then questions fail at once, but for one now and then that
 * tries whether it is back.
 *
 * Redirections are not followed; answers over PLX_HOOK_ANSWER_MAX are cut off and refused; what
 * an application says wrongly is logged (bounded) and counted.
 */
#ifndef PLX_CHANNEL_HOOK_H
#define PLX_CHANNEL_HOOK_H

#include "base/slice.h"
#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#define PLX_HOOK_ANSWER_MAX  1048576
#define PLX_HOOK_WAITING_MAX 1024 /* questions of one hook that wait for a place in flight */

typedef struct plx_hooks plx_hooks; /* a worker's: the multi handle on its loop */
typedef struct plx_hook plx_hook;   /* one URL with its bound, breaker and counters */
typedef struct plx_question plx_question;

/* After the fork, once per worker. Never NULL. */
plx_hooks *plx_hooks_new(struct ev_loop *loop);
/* Ends every question that is left with PLX_E_GONE; its callbacks come before the return. */
void plx_hooks_free(plx_hooks *hooks);

typedef struct plx_hook_config {
    const char *name;         /* for the log: "shop:*" or "/socket" */
    const char *url, *secret; /* borrowed for the hook's life */
    uint64_t timeout_ms;      /* of one question, with its time in the queue */
    size_t max_in_flight;
} plx_hook_config;

plx_hook *plx_hook_open(plx_hooks *hooks, const plx_hook_config *config);
void plx_hook_close(plx_hook *hook); /* like plx_hooks_free, for this one */

/* What becomes of a question. err 0: json is the answer, a valid JSON object, or empty for 204 and
 * for 200 without a body. Else json is empty: PLX_E_TIMEOUT; PLX_E_DOWN (no connection, or the
 * breaker is open); PLX_E_BUSY (too much waits); PLX_E_INVALID (another status, a redirection, no
 * JSON object, too large, half an answer); PLX_E_GONE. json is valid until the callback returns.
 */
typedef void plx_hook_cb(void *arg, int err, plx_slice json);

/* Asks. body: the JSON document, copied. share: questions of this hook with equal bytes here are
 * asked once while one of them is under way, and get the same answer; empty: never. repeatable: a
 * question that was broken off before any answer (a kept connection that the other side closed
 * at that moment) may be sent again once. The callback comes once, never before the return. */
plx_question *plx_hook_ask(plx_hook *hook, plx_slice body, plx_slice share, bool repeatable,
                           plx_hook_cb *cb, void *arg);
/* The callback will not come. */
void plx_question_cancel(plx_question *question);

typedef struct plx_hook_counters {
    uint64_t asked;   /* sent to the application */
    uint64_t shared;  /* answered by another's answer */
    uint64_t failed;  /* PLX_E_DOWN, PLX_E_TIMEOUT, PLX_E_INVALID */
    uint64_t refused; /* at once: breaker, PLX_E_BUSY */
    uint64_t most_in_flight;
} plx_hook_counters;
const plx_hook_counters *plx_hook_counts(const plx_hook *hook);

#endif
