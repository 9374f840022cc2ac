/* Notes between workers: wake, superseded, gone, done, work, and answers to calls.
 *
 * Each worker has a channel, "<prefix>{w:WORKER}". A note is a line of words, and
 * what follows it belongs to it. One for this very worker does not pass through
 * Redis. Inside store/ only.
 */
#ifndef PLX_STORE_MAILBOX_H
#define PLX_STORE_MAILBOX_H

#include "store/internal.h"
#include "store/session.h"

typedef struct plx_mail plx_mail;

/* Subscribes when the store's options say so. After _stop nothing is given out any more; both are
 * for the store that is closing. */
plx_mail *plx_mail_open(plx_store *s);
void plx_mail_stop(plx_mail *m);
void plx_mail_free(plx_mail *m);

/* Sends "<verb> <sid> <a> <b>" to a worker (a name as it came from Redis; an empty or overlong one
 * is ignored). */
void plx_mail_send(plx_store *s, plx_slice worker, const char *verb, plx_slice sid, uint64_t a,
                   uint64_t b);

/* Sends "<verb> - <a> 0\n<text>", the same way. */
void plx_mail_send_text(plx_store *s, plx_slice worker, const char *verb, uint64_t a,
                        plx_slice text);

/* Asks a worker to work a session's inbox: "work <sid> 0 0". The reply is a number: how many have
 * heard it, 0 or 1. */
void plx_mail_ask_work(plx_store *s, plx_slice worker, plx_slice sid, plx_answer_fn *answer,
                       plx_done done);

/* Subscribes to this worker's mailbox now if it was not (options.listen false). */
void plx_mail_listen(plx_mail *m);
/* Whether notes reach this worker at the moment. */
bool plx_mail_listening(const plx_mail *m);

#endif
