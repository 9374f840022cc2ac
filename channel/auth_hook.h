/* Authentication by asking the application: who is connecting with these headers and parameters?
 * (auth type "hook"). One for each such socket section and worker.
 *
 *     {"hook":"connect","socket":{"path","transport","params":{},"headers":{},"remote_ip"}}
 *     -> {"status":"ok","claims":{...},"cache_s":n}  |
 * {"status":"error","reason":"...","cache_s":n}
 *
 * An answer with cache_s is kept for so long (a day at most), under the very bytes of the
 * forwarded headers and the parameters, and gives whoever comes with the same ones the same claims,
 * or the same refusal. The cache is the worker's own, and bounded in entries and bytes; what was
 * not used for longest goes first. Equal questions at the same time are asked once.
 *
 * A client that floods us with connects waits behind all others, and is refused past a bound
 * (plx_hook_ask_for), by its address: of IPv6 the /64. Loopback addresses and Unix sockets are no
 * client's but a proxy's that is not trusted: their questions go as they come.
 */
#ifndef PLX_CHANNEL_AUTH_HOOK_H
#define PLX_CHANNEL_AUTH_HOOK_H

#include "base/config.h"
#include "base/json.h"
#include "channel/hook.h"

/* Longest claims, in bytes as the application wrote them. */
#define PLX_AUTH_CLAIMS_MAX 16384
/* The cache of one section. */
#define PLX_AUTH_CACHE_ENTRIES 10000
#define PLX_AUTH_CACHE_BYTES   8388608
#define PLX_AUTH_CACHE_MAX_S   86400
/* What may wait for answers at a time, also those who share a question: memory, roughly. */
#define PLX_AUTH_WAITING_BYTES 33554432
/* And of them those of one address. */
#define PLX_AUTH_EACH_BYTES (PLX_AUTH_WAITING_BYTES / 4)

typedef struct plx_auth_hook plx_auth_hook;
typedef struct plx_auth_question plx_auth_question;

/* socket: a section with auth type hook; borrowed, as is hooks, until closed. */
plx_auth_hook *plx_auth_hook_open(plx_hooks *hooks, const plx_socket_config *socket);
/* Questions that are left are answered with PLX_E_GONE before the return. NULL is fine. */
void plx_auth_hook_close(plx_auth_hook *h);

/* Whom to ask about. Borrowed for the call. */
typedef struct plx_auth_guest {
    const char *transport; /* "websocket" | "longpoll" */
    plx_slice remote_ip;
    json_object *params; /* all that the application may see */
    /* The value of a request header by its lower-case name; false: absent. What is not UTF-8 is
     * taken for ISO 8859-1. */
    bool (*header)(void *arg, const char *name, plx_slice *value);
    void *arg;
} plx_auth_guest;

/* err 0: claims, the text of a JSON object. PLX_E_DENIED: the application's refusal, with its
 * reason (text, perhaps empty). PLX_E_INVALID: the guest's own fault (too large to be asked about).
 * Anything else: there is no usable answer (logged and counted; see plx_hook_cb): the guest is
 * refused for now and may come again. Slices are valid until the callback returns, or, of a known
 * answer, until the next call. */
typedef struct plx_auth_answer {
    int err;
    plx_slice claims, reason;
} plx_auth_answer;
typedef void plx_auth_answer_cb(void *arg, const plx_auth_answer *answer);

/* NULL: *known is the answer, and cb is not called. Else cb will be, once and not before the
 * return. */
plx_auth_question *plx_auth_hook_ask(plx_auth_hook *h, const plx_auth_guest *guest,
                                     plx_auth_answer *known, plx_auth_answer_cb *cb, void *arg);
/* The callback will not come. */
void plx_auth_question_cancel(plx_auth_question *q);

typedef struct plx_auth_hook_counters {
    uint64_t accepted, refused; /* by the application, also from the cache */
    uint64_t unanswered;
    uint64_t cached;       /* of the accepted and refused: without asking */
    size_t entries, bytes; /* in the cache now */
} plx_auth_hook_counters;
/* They are told with the hook's own in the worker's reports, `refused` as "denied". */
plx_auth_hook_counters plx_auth_hook_counts(const plx_auth_hook *h);

#endif
