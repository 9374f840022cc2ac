/* What the files of presence share. Inside store/ only.
 *
 * presence.c keeps the record of each topic that has something to do;
 * presence_ask.c takes changes, presence_change.c sends them, presence_flush.c sees to it that they
 * are published; roster.c keeps copies of what is published, people.c is such a copy; owner.c,
 * owner_memo.c and owner_sweep.c are about leases.
 */
#ifndef PLX_STORE_PRESENCE_INTERNAL_H
#define PLX_STORE_PRESENCE_INTERNAL_H

#include "store/presence.h"
#include "base/map.h"
#include "store/script.h"

typedef struct plx_presence {
    plx_store *store;
    plx_map *topics; /* name -> plx_pres_topic */
    ev_timer tick;   /* once a minute while there are rosters: their keys' TTLs */
    size_t rosters;
    bool stopped; /* the store is closing */
} plx_presence;

/* What this worker has to do with one topic's presence; exists while there is something. */
typedef struct plx_pres_topic {
    plx_presence *presence;
    plx_slice name;           /* owned */
    plx_presence_rules rules; /* as given last, within their bounds */
    plx_list walk_node;       /* see plx_presence_conn_up */
    plx_later reap;

    plx_list changes; /* not sent, or untracks to be repeated first; presence_change.c */
    size_t unsent;    /* how many */
    plx_later send;
    ev_timer again;
    bool sending; /* one command at a time: what comes meanwhile goes together with the next */

    ev_timer flush; /* presence_flush.c */
    uint64_t flush_ms;
    bool flush_is_mine; /* not only in case that somebody else fails to */
    bool flushing;

    plx_roster *roster;
    unsigned in_flight; /* other commands whose answers need this record */
} plx_pres_topic;

/* A change of a topic on its way to Redis. */
enum plx_pres_verb { PLX_PRES_TRACK, PLX_PRES_UNTRACK };
#define PLX_PRES_FIELDS 6
typedef struct plx_pres_change {
    plx_list node;
    enum plx_pres_verb kind;
    int err; /* found out at once: it is not sent */
    bool repeated;
    unsigned generation; /* of our owner's name; 0: somebody else's */
    void (*fn)(void);
    void *arg;
    size_t bytes;
    plx_slice field[PLX_PRES_FIELDS]; /* arguments of the script, after the verb */
    unsigned fields;
    char text[];
} plx_pres_change;

/* A timer that has run out, but whose callback is still to come in this turn, is not active any
 * more. */
static inline bool plx_pres_running(ev_timer *timer)
{
    return ev_is_active(timer) || ev_is_pending(timer);
}

/* ---- presence.c */
plx_presence *plx_presence_open(plx_store *s);
/* Fails what has not been sent, stops timers. */
void plx_presence_stop(plx_presence *p);
void plx_presence_free(plx_presence *p);
/* The connection is up: what could not be done is repeated, before anything else is sent. */
void plx_presence_conn_up(plx_presence *p);
/* The rules within their bounds; the defaults for NULL. */
plx_presence_rules plx_pres_rules(const plx_presence_rules *rules);
/* The topic's record, made if need be; rules: NULL when they are not known. */
plx_pres_topic *plx_pres_topic_get(plx_presence *p, plx_slice topic,
                                   const plx_presence_rules *rules);
/* It may have become idle: it is freed in the next turn if so. */
void plx_pres_topic_release(plx_pres_topic *t);
/* Begins a script on the topic with the keys of presence.lua, and meta and log behind them. */
void plx_pres_begin(plx_command *c, const plx_store *s, enum plx_script script, plx_slice topic,
                    size_t keys);
#define PLX_PRES_KEYS 7
/* Adds channel, base of the window, grace, ttl. grace: whether it applies. */
void plx_pres_add_rules(plx_command *c, const plx_store *s, plx_slice topic,
                        const plx_presence_rules *rules, bool grace);

/* ---- presence_change.c */
/* The topic's part of it: no changes yet. */
void plx_pres_changes_init(plx_pres_topic *t);
/* Sends what is there, unless a command is under way. */
void plx_pres_changes_send(plx_pres_topic *t);
/* The store is closing: answers what was never sent, and forgets what nobody waits for. */
void plx_pres_changes_fail(plx_list *changes);
void plx_pres_changes_drop(plx_list *changes);

/* ---- presence_flush.c */
/* The topic's part of it: nothing is due. */
void plx_pres_flush_init(plx_pres_topic *t);
/* Something is to be published in so many ms (negative: nothing); mine: by this worker, else only
 * if nobody else has done so a little later. */
void plx_pres_due(plx_pres_topic *t, int64_t due_in_ms, bool mine);
/* Reads what the scripts say about that: {due, mine} at i and i + 1. False: a wrong shape. */
bool plx_pres_read_due(const redisReply *reply, size_t i, int64_t *due_in_ms);
/* "p <ms>" came through the topic's channel, an event of kind 'p' through its feed. */
void plx_presence_noted(plx_store *s, plx_slice topic, plx_slice note);
void plx_presence_flushed(plx_store *s, plx_slice topic);

/* ---- roster.c */
/* The snapshot's script; the answer is for presence_state.lua's shape. */
void plx_pres_ask_state(plx_store *s, plx_slice topic, const plx_presence_rules *rules,
                        bool entries, plx_answer_fn *answer, plx_done done);
/* Keeps the keys alive. */
void plx_roster_tick(plx_roster *r);
/* The store is closing: the roster stays what it is, for its users to close. */
void plx_roster_orphan(plx_roster *r);

/* ---- owner.c */
typedef struct plx_owner plx_owner;
/* All are harmless on NULL. */
void plx_owner_close(plx_owner *o);
void plx_owner_halt(plx_owner *o);
void plx_owner_conn_up(plx_owner *o);
/* Which of this worker's names it is: 0 none, else a number that grows with each loss. */
unsigned plx_owner_generation(const plx_store *s, plx_slice owner);
bool plx_owner_is_current(const plx_store *s, unsigned generation);
/* Whether nobody can have taken this worker for dead, so that what it tracks is not an orphan. */
bool plx_owner_is_sure(const plx_store *s);
/* Something is about to be tracked on the topic; notes that in Redis before. */
void plx_owner_touch(plx_store *s, plx_slice topic);
/* Entries came or went; `known` false: it is not known whether. */
void plx_owner_count(plx_store *s, plx_slice topic, unsigned generation, int64_t change,
                     bool known);
/* The keys of an owner. */
void plx_owner_key(plx_command *c, const plx_store *s, plx_slice owner, const char *suffix);
void plx_owners_key(plx_command *c, const plx_store *s, const char *suffix);
/* A sign of life in the list (suffix "" or ":dead"). */
void plx_owner_send_beat(plx_store *s, plx_slice owner, const char *suffix, uint64_t ms, bool fresh,
                         plx_answer_fn *answer, plx_done done);

/* A worker's deadline is shorter than the promise by what finding it takes. */
#define PLX_OWNER_DEADLINE_MS (PLX_OWNER_LEASE_MS - 1000)

/* ---- owner_memo.c */
/* Notes about memberships that did not reach Redis: the newest for each. */
typedef struct plx_owner_memos {
    plx_store *store;
    plx_map *failed;
} plx_owner_memos;
/* clear: whatever failed is of no use any more. repeat: Redis is there, they are sent again. */
void plx_owner_memos_init(plx_owner_memos *m, plx_store *s);
void plx_owner_memos_fini(plx_owner_memos *m);
void plx_owner_memos_clear(plx_owner_memos *m);
void plx_owner_memos_repeat(plx_owner_memos *m);
plx_owner_memos *plx_owner_memos_of(plx_store *s); /* NULL: this worker is no owner */
/* Reads the hash's field, which names a membership; slices point into it. False: it is none. */
bool plx_owner_field_parse(plx_slice field, plx_slice *topic, plx_slice *socket);
/* plx_owner_settle by the hash's field. */
void plx_owner_settle_field(plx_store *s, plx_slice owner, plx_slice field);

/* ---- owner_sweep.c */
typedef struct plx_owner_sweeper plx_owner_sweeper;
/* All are harmless on NULL. */
void plx_owner_sweeper_stop(plx_owner_sweeper *sw);
void plx_owner_sweeper_free(plx_owner_sweeper *sw);
/* The membership was seen to. */
void plx_owner_sweeper_settled(plx_owner_sweeper *sw, plx_slice owner, plx_slice field);

#endif
