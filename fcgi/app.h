/* What pollux-fcgi serves, however requests come in: the store, the channels, the long-poll
 * transport and the HTTP API, opened, asked in turn, drained and closed together.
 */
#ifndef PLX_FCGI_APP_H
#define PLX_FCGI_APP_H

#include "base/config.h"
#include "transport/http.h"
#include <ev.h>

typedef struct plx_app plx_app;

/* Starts connecting to Redis, which need not be there. Borrows config until closed. NULL when a
 * channel backend can't be opened (logged). */
plx_app *plx_app_open(struct ev_loop *loop, const plx_config *config);

/* For a process that serves one request: info and metrics do not list it among the workers. */
void plx_app_unlisted(plx_app *app);

/* Calls ready(arg), never before the return: as soon as Redis is there, or after wait_ms without
 * it. Before that every request would be answered as if it were down. Once only. */
void plx_app_wait(plx_app *app, uint64_t wait_ms, void (*ready)(void *arg), void *arg);

/* Answers the request of a plx_request, now or later; what nobody serves gets a 404. Fits
 * plx_acceptor_options.handle with the app as arg. */
void plx_app_handle(void *app, plx_http_request *r);

/* For a process that lives for one request: cleans up after a few sessions that have ended. Not
 * before Redis is there (plx_app_wait). */
void plx_app_sweep(plx_app *app);
/* Whether that goes on. */
bool plx_app_sweeping(const plx_app *app);

/* A planned stop: parked polls are answered now; `done` is called when nothing is under way. */
void plx_app_drain(plx_app *app, void (*done)(void *arg), void *arg);

/* Frees (NULL is fine). Requests not yet answered are answered or forgotten: their receiver must
 * have told `gone` before, or stay until this returns. */
void plx_app_close(plx_app *app);

#endif
