/* Building one Redis command in its wire form (RESP, array of bulk strings).
 *
 * The arguments are copied as they are added, so that nothing of the caller has
 * to outlive the call. How many there are is counted and written before them at
 * the end.
 */
#ifndef PLX_STORE_COMMAND_H
#define PLX_STORE_COMMAND_H

#include "base/buf.h"

/* A command larger than this is refused (PLX_E_TOOBIG): bodies and messages have smaller bounds. */
#define PLX_COMMAND_MAX (64u << 20)

typedef struct plx_command {
    plx_buf bytes;
    size_t start; /* where the finished command begins in bytes */
    size_t argc;
} plx_command;

/* Begins a command with its name. */
void plx_command_init(plx_command *c, const char *name);
/* Frees it, finished or not. */
void plx_command_fini(plx_command *c);

/* Each adds one argument: these bytes, this string, this number in decimal. A command that got too
 * large says so when it is finished. */
void plx_command_add(plx_command *c, plx_slice arg);
void plx_command_str(plx_command *c, const char *arg);
void plx_command_u64(plx_command *c, uint64_t arg);
/* The key "<prefix>{<kind>:<name>}<suffix>": everything of one topic ('t'), session ('s'), worker
 * ('w') or socket id ('i') carries the same hash tag. */
void plx_command_key(plx_command *c, const char *prefix, char kind, plx_slice name,
                     const char *suffix);
/* Makes plx_command_finish fail with PLX_E_TOOBIG: an argument is over its bound. */
void plx_command_refuse(plx_command *c);

/* Completes the command; nothing may be added any more. PLX_E_TOOBIG when it got too large. */
int plx_command_finish(plx_command *c);
/* The finished command; valid until plx_command_fini. */
plx_slice plx_command_wire(const plx_command *c);

#endif
