/* The Lua scripts: loaded with every greeting, called by their SHA1.
 *
 * Keys of one call share one hash tag. A call is built by beginning a command,
 * adding exactly the announced number of keys, then the arguments.
 */
#ifndef PLX_STORE_SCRIPT_H
#define PLX_STORE_SCRIPT_H

#include "store/internal.h"

enum plx_script {
    PLX_SCRIPT_PUBLISH,
    PLX_SCRIPT_POSITION,
    PLX_SCRIPT_READ,
    PLX_SCRIPT_SINCE,
    PLX_SCRIPT_HISTORY,
    PLX_SCRIPT_LATEST,
    PLX_SCRIPT_REWIND,
    PLX_SCRIPT_CREATE,
    PLX_SCRIPT_POLL,
    PLX_SCRIPT_LOOK,
    PLX_SCRIPT_RECALL,
    PLX_SCRIPT_POST,
    PLX_SCRIPT_TAKE,
    PLX_SCRIPT_COMMIT,
    PLX_SCRIPT_RENEW,
    PLX_SCRIPT_END,
    PLX_SCRIPT_EXPIRE,
    PLX_SCRIPT_DROP,
    PLX_SCRIPT_FIRE,
    PLX_SCRIPT_DUE,
    PLX_SCRIPT_TIMERS_LIST,
    PLX_SCRIPT_TIMERS_DUE,
    PLX_SCRIPT_TIMERS_NEXT,
    PLX_SCRIPT_LISTED,
    PLX_SCRIPT_ANSWERING,
    PLX_SCRIPT_PRESENCE_CHANGE,
    PLX_SCRIPT_PRESENCE_FLUSH,
    PLX_SCRIPT_PRESENCE_STATE,
    PLX_SCRIPT_PRESENCE_DROP,
    PLX_SCRIPT_OWNER_BEAT,
    PLX_SCRIPT_OWNER_CLAIM,
    PLX_SCRIPT_OWNER_LEFT,
    PLX_SCRIPT_TALLY,
    PLX_SCRIPT_COUNT
};

/* Adds SCRIPT LOAD for every script to the greeting of s->conn. */
void plx_script_greet(plx_store *s);

void plx_script_begin(plx_command *c, enum plx_script script, size_t keys);
/* plx_command_key with the store's prefix. */
void plx_script_key(plx_command *c, const plx_store *s, char kind, plx_slice name,
                    const char *suffix);
/* Takes the command over. */
void plx_script_send(plx_store *s, plx_command *c, plx_answer_fn *answer, plx_done done);

#endif
