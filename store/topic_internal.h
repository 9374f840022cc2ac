/* What topic.c shares with the rest of store/. */
#ifndef PLX_STORE_TOPIC_INTERNAL_H
#define PLX_STORE_TOPIC_INTERNAL_H

#include "store/event.h"
#include "store/script.h"

/* Reads {epoch, offset, ...}. False: a wrong shape, and *out is untouched. */
bool plx_topic_read_position(const redisReply *reply, plx_position *out);

/* Asks where the topic stands: answer's reply is {epoch, offset}. */
void plx_topic_ask_position(plx_store *s, plx_slice topic, plx_answer_fn *answer, plx_done done);
/* The topic was seen at `seen`, and no longer reaches so far. Same answer. */
void plx_topic_rewind(plx_store *s, plx_slice topic, const plx_position *seen,
                      plx_answer_fn *answer, plx_done done);
/* A piece of the log from `first` on; see lua/read.lua for the answer. */
void plx_topic_read(plx_store *s, plx_slice topic, uint64_t first, size_t max_entries,
                    size_t max_bytes, plx_answer_fn *answer, plx_done done);

/* Begins a call of a script with the keys meta and log. */
void plx_topic_begin(plx_command *c, const plx_store *s, enum plx_script script, plx_slice topic);
/* Adds the argument "new epoch", for a topic that has none; another one each time. */
void plx_topic_add_epoch(plx_command *c, plx_store *s);
/* Adds the arguments "log ttl" and "seconds that meta outlives the log". */
void plx_topic_add_lifetimes(plx_command *c, const plx_store *s);

/* The events of such an answer and of a pub/sub message. NULL when it has a wrong shape. */
plx_event *plx_topic_entry_event(plx_slice topic, const char *epoch, const redisReply *entry);
plx_event *plx_topic_message_event(plx_slice topic, plx_slice message);

#endif
