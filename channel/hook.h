/* Questions to an application over HTTP: how a worker asks, and what of it counts as an answer.
 *
 * A question is a POST of a JSON document, signed:
 *
 *     x-pollux-signature: t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t "." body)>
 *
 * Nothing here blocks (channel/http_client runs on the worker's loop, with connections that are
 * kept and reused). Each hook (one for each section of the configuration that names a URL) has
 * its own bound of questions in flight; more of them wait in order, bounded as well. Equal
 * questions that are under way at the same time are asked once, when whoever asks says that they
 * may be. An application that is down is found out by its failures in a row (no connection, no
 * answer in time, status 5xx): then questions fail at once, also those that wait, but for one now
 * and then that tries whether it is back (channel/breaker).
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

struct json_object;

#define PLX_HOOK_ANSWER_MAX 1048576
/* Questions of one hook that wait for a place in flight, and bytes of them (one may be larger); as
 * many again of those that yield. */
#define PLX_HOOK_WAITING_MAX   1024
#define PLX_HOOK_WAITING_BYTES 8388608

typedef struct plx_hooks plx_hooks; /* a worker's: the multi handle on its loop */
typedef struct plx_hook plx_hook;   /* one URL with its bound, breaker and counters */
typedef struct plx_question plx_question;

/* After the fork, once per worker. Never NULL. */
plx_hooks *plx_hooks_new(struct ev_loop *loop);
/* Ends every question that is left with PLX_E_GONE; its callbacks come before the return. Closes
 * the hooks that are left. Not from inside a callback. NULL is fine. */
void plx_hooks_free(plx_hooks *hooks);

typedef struct plx_hook_config {
    /* Borrowed for the hook's life. name: for the log and the counters, "shop:*" or "/socket". */
    const char *name, *url, *secret;
    uint64_t timeout_ms; /* of one question, with its time in the queue */
    size_t max_in_flight;
    /* What its user counts besides: added to the hook's part of a report (channel/report.h). NULL:
     * nothing. */
    void (*report)(const void *user, struct json_object *report);
    const void *user;
} plx_hook_config;

/* The loop it was made on. */
struct ev_loop *plx_hooks_loop(const plx_hooks *hooks);

plx_hook *plx_hook_open(plx_hooks *hooks, const plx_hook_config *config);
void plx_hook_close(plx_hook *hook); /* like plx_hooks_free, for this one */

/* What becomes of a question. err 0: json is the answer, a valid JSON object, or empty for 204 and
 * for 200 without a body (white space is none). Else json is empty: PLX_E_TIMEOUT; PLX_E_DOWN (no
 * connection, status 502 to 504 from the web server before it, or the breaker is open); PLX_E_BUSY
 * (too much waits); PLX_E_INVALID (another status, a redirection, no JSON object, too large, half
 * an answer); PLX_E_GONE. json is valid until the callback returns.
 */
typedef void plx_hook_cb(void *arg, int err, plx_slice json);

enum plx_hook_flags {
    /* When a kept connection turns out to be closed before a byte of the answer came, the question
     * may be sent again, although the application may have seen it. */
    PLX_HOOK_REPEATABLE = 1,
    /* It leaves a quarter of the places in flight to others, and waits in a queue of its own: an
     * application that is slow with questions of one kind still answers those of another. */
    PLX_HOOK_YIELDS = 2
};

/* Asks. body: the JSON document, copied. share: questions of this hook with equal bytes here are
 * asked once while one of them is under way, and get the same answer (or fail with it, then perhaps
 * before their own time is over); empty: never. The callback comes once, never before the return.
 */
plx_question *plx_hook_ask(plx_hook *hook, plx_slice body, plx_slice share, unsigned flags,
                           plx_hook_cb *cb, void *arg);
/* The same for somebody of many (a client's address), so that no one of them keeps the others from
 * being heard: of what one `who` has under way (sent or waiting), the first question goes as it
 * comes, more of it yields (PLX_HOOK_YIELDS), and past PLX_HOOK_EACH_MAX it is refused with
 * PLX_E_BUSY. A cancelled question that was sent counts until its place is free. who: copied;
 * empty: nobody in particular. */
#define PLX_HOOK_EACH_MAX (PLX_HOOK_WAITING_MAX / 4)
plx_question *plx_hook_ask_for(plx_hook *hook, plx_slice who, plx_slice body, plx_slice share,
                               unsigned flags, plx_hook_cb *cb, void *arg);
/* Before its callback: that will not come. What was sent already keeps its place in flight until
 * the application has answered or its time is over: the bound is one of questions that the
 * application works on. */
void plx_question_cancel(plx_question *question);

typedef struct plx_hook_counters {
    uint64_t asked;   /* sent to the application */
    uint64_t shared;  /* answered by another's answer */
    uint64_t failed;  /* of those sent: PLX_E_DOWN, PLX_E_TIMEOUT, PLX_E_INVALID */
    uint64_t refused; /* not sent: breaker, PLX_E_BUSY, or no place in flight in time */
    uint64_t wrong;   /* plx_hook_complain */
    uint64_t in_flight, most_in_flight, waiting; /* now; ever; now */
    uint64_t opened; /* times that the breaker found the application down */
    bool down;       /* it does so now */
} plx_hook_counters;
const plx_hook_counters *plx_hook_counts(const plx_hook *hook);
const char *plx_hook_name(const plx_hook *hook);
/* Lets the hook's user add what it counts; see plx_hook_config. */
void plx_hook_report(const plx_hook *hook, struct json_object *report);
/* Walks a worker's hooks, oldest first: `after` NULL gives the first; NULL at the end (and for
 * hooks NULL). */
const plx_hook *plx_hooks_next(const plx_hooks *hooks, const plx_hook *after);

/* An answer was a JSON object, but not what it has to be: logs why (bounded) and counts it. */
void plx_hook_complain(plx_hook *hook, const char *why);

#endif
