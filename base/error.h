/* The errors that Pollux's functions return.
 *
 * A fallible function returns 0 or one of these (all negative) and writes its
 * out-parameters only on success. The three families ask for three reactions: a
 * peer's mistake becomes a protocol error to that peer, an environment failure
 * (Redis away, no descriptors) is logged once and degrades, a bug asserts.
 */
#ifndef PLX_BASE_ERROR_H
#define PLX_BASE_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

enum plx_error {
    PLX_OK = 0,
    /* A peer's mistake. */
    PLX_E_INVALID = -1,  /* malformed: not JSON, wrong shape, bad token, bad argument */
    PLX_E_TOOBIG = -2,   /* larger than a configured or fixed bound */
    PLX_E_DENIED = -3,   /* well formed, but not allowed */
    PLX_E_NOTFOUND = -4, /* names something that does not exist */
    PLX_E_GONE = -5,     /* the session existed once, or its end is decided */
    PLX_E_BUSY = -6,     /* somebody else holds it, or a queue is full: try again */
    /* The environment. */
    PLX_E_DOWN = -10,    /* Redis (or a hook) can't be reached now */
    PLX_E_TIMEOUT = -11, /* no answer in time; whether it took effect is unknown */
    PLX_E_SYSTEM = -12,  /* a system call failed; errno was logged */
    PLX_E_STORE = -13,   /* Redis answered with an error; it was logged */
    /* Recovery. */
    PLX_E_LOST = -20 /* the log no longer holds what was asked for, or another epoch */
};

/* A short English phrase for a PLX_E* value ("unknown error" for any other). Static storage. */
const char *plx_strerror(int error);

#ifdef __cplusplus
}
#endif

#endif
