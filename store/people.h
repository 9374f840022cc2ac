/* The entries of one topic's presence in memory: keys and their metas, as texts, in the order in
 * which they came. Knows nothing of Redis but the form of an entry there. Inside store/ only.
 */
#ifndef PLX_STORE_PEOPLE_H
#define PLX_STORE_PEOPLE_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "store/reply.h"

typedef struct plx_people {
    plx_map *by_ref, *by_key;
    plx_list keys; /* in order */
} plx_people;

/* Nobody is there. */
void plx_people_init(plx_people *p);
/* Frees everything; usable again after plx_people_init. */
void plx_people_fini(plx_people *p);
/* Forgets everybody; usable at once. */
void plx_people_clear(plx_people *p);
/* How many metas there are. */
size_t plx_people_count(const plx_people *p);

/* key and meta: JSON texts; meta begins with its phx_ref. A ref that is there is replaced. */
void plx_people_add(plx_people *p, plx_slice ref, plx_slice key, plx_slice meta);
/* Harmless when it is not there. */
void plx_people_remove(plx_people *p, plx_slice ref);
/* {"joins":{...},"leaves":{...}}. PLX_E_INVALID: no such thing, and something may be applied. */
int plx_people_apply(plx_people *p, plx_slice diff);
/* Takes {KEY:{"metas":[...]}} in addition. PLX_E_INVALID as before. */
int plx_people_read(plx_people *p, plx_slice state);
/* Takes refs and entries in turn, as presence_state.lua gives them, in the order of their sequence.
 * What is damaged is left out. */
void plx_people_take(plx_people *p, const redisReply *entries);
/* Appends {KEY:{"metas":[META,...]},...}. */
void plx_people_json(const plx_people *p, plx_buf *out);

/* Calls visit for each meta of {KEY:{"metas":[META,...]}}; text must be valid JSON. PLX_E_INVALID:
 * not of this form (what came before was visited). */
typedef void plx_people_visit(void *arg, plx_slice ref, plx_slice key, plx_slice meta);
int plx_people_walk(plx_slice text, plx_people_visit *visit, void *arg);

#endif
