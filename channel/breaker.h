/* A circuit breaker: finds out that somebody is down by failures in a row, and then lets only one
 * trial through now and then. Plain data; it is told the time. */
#ifndef PLX_CHANNEL_BREAKER_H
#define PLX_CHANNEL_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define PLX_BREAKER_FAILURES     5 /* in a row */
#define PLX_BREAKER_PAUSE_MS     500
#define PLX_BREAKER_PAUSE_MAX_MS 10000

/* All zero at first: closed. */
typedef struct plx_breaker {
    unsigned failures; /* since the last success */
    bool open;
    bool trying;            /* one trial is under way */
    uint64_t until_ms;      /* open: no trial before */
    uint64_t next_pause_ms; /* after the next trial that fails */
    uint64_t good_ms;       /* the last success */
} plx_breaker;

/* Whether something may be tried now. *trial: it is the only one (its end must be reported with
 * that flag). */
bool plx_breaker_pass(plx_breaker *b, uint64_t now_ms, bool *trial);
/* It worked: everything may pass again. */
void plx_breaker_good(plx_breaker *b, uint64_t now_ms);
/* It failed, begun at begun_ms. One that was begun before the last success says nothing: somebody
 * who lets some wait for ever and answers others is not down. While open only the trial's failure
 * counts; each makes the pause twice as long. True when the breaker opened with this one. */
bool plx_breaker_bad(plx_breaker *b, uint64_t now_ms, uint64_t begun_ms, bool trial);

#endif
