/* What is configured, written where the script for other programs finds it
 * (store/lua/public/call.lua): a JSON text under "<prefix>rules". By every worker, whenever it has
 * connected, and once a minute, because a Redis that was emptied has none. */
#ifndef PLX_STORE_RULES_H
#define PLX_STORE_RULES_H

#include "store/store.h"

/* Longest topic or event of the script, in bytes. */
#define PLX_RULES_NAME_MAX 1024

typedef struct plx_rules plx_rules;

/* Begins; for stores that listen. */
plx_rules *plx_rules_open(plx_store *s);
/* The connection for commands is there. NULL is fine. */
void plx_rules_conn_up(plx_rules *r);
void plx_rules_free(plx_rules *r); /* NULL is fine */

/* Appends the text. */
void plx_rules_write(const plx_config *config, plx_buf *out);

#endif
