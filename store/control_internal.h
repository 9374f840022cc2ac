/* What control.c shows to the rest of store/. */
#ifndef PLX_STORE_CONTROL_INTERNAL_H
#define PLX_STORE_CONTROL_INTERNAL_H

#include "store/control.h"
#include "store/internal.h"

typedef struct plx_calls plx_calls;

plx_calls *plx_calls_open(plx_store *s);
/* Answers every call that is still open with PLX_E_DOWN. */
void plx_calls_stop(plx_calls *cs);
void plx_calls_free(plx_calls *cs);

/* Answers to calls reach this worker from now on. */
void plx_calls_ready(plx_store *s);
/* A worker answers: so many sockets for the call with this number. */
void plx_calls_count(plx_store *s, uint64_t call, uint64_t sockets);

#endif
