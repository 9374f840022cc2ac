/* The long-poll transport over an abstract HTTP request: sessions in Redis, any worker.
 *
 *   GET without token   lp_connect  -> plx_session_create -> 410 and a token
 *   GET with token      lp_poll     -> plx_session_poll, feeds; parked; answered with a new token
 *   POST with token     lp_post     -> plx_session_post; lp_work runs the channel core over the
 *                                      session's record and commits
 *
 * Every answer that a client is to read is HTTP 200, with the status that phoenix.js looks at in
 * its body. See lp_token.h for the token that acknowledges.
 */
#ifndef PLX_TRANSPORT_LONGPOLL_H
#define PLX_TRANSPORT_LONGPOLL_H

#include "channel/backends.h"
#include "store/store.h"
#include "transport/http.h"

typedef struct plx_longpoll plx_longpoll;

/* One per worker; free it before the store is closed. Takes the store's mailbox, sweep and
 * control channel for itself. Borrows everything until freed. channels: an array parallel to
 * config->sockets. */
plx_longpoll *plx_longpoll_new(plx_store *store, const plx_config *config,
                               const plx_channels *channels);

/* From now on it reports nothing of itself: a process for one request is no worker. */
void plx_longpoll_unlisted(plx_longpoll *lp);

/* Whether the path belongs to a long-poll mount ("<socket path>/longpoll"); if so the request is
 * taken and will be answered (perhaps before the return), or dropped when its `gone` is called. */
bool plx_longpoll_handle(plx_longpoll *lp, plx_http_request *r);

/* A worker's planned stop: parked polls are answered 204 with the same token now, new polls at
 * once; POSTs under way are finished. `done` is called when nothing is left. */
void plx_longpoll_drain(plx_longpoll *lp, void (*done)(void *arg), void *arg);

/* Requests that are held now: parked polls, waiting POSTs and connects. */
size_t plx_longpoll_parked(const plx_longpoll *lp);
/* Whether some session is being cleaned up after. */
bool plx_longpoll_cleaning(const plx_longpoll *lp);

/* Answers every request that is held, ends what is under way, frees it. NULL is fine. */
void plx_longpoll_free(plx_longpoll *lp);

#endif
