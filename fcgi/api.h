/* The server API over HTTP: POST {api.path}/publish, /disconnect and /unsubscribe,
 * GET {api.path}/presence, /history, /health, /info and /metrics.
 *
 * Every request needs a key: "Authorization: Bearer KEY", or "X-Pollux-Key: KEY" (Apache drops the
 * former unless it is told not to). Answers are JSON; what the bodies mean is channel/admin's.
 */
#ifndef PLX_FCGI_API_H
#define PLX_FCGI_API_H

#include "base/config.h"
#include "store/store.h"
#include "transport/http.h"

typedef struct plx_api plx_api;

/* Borrows both until freed. */
plx_api *plx_api_new(plx_store *store, const plx_config *config);

/* Whether the path is below api.path; if so the request is taken and will be answered (perhaps
 * before the return), or dropped when its `gone` is called. 401 without a right key, 404 for
 * another path, 405 with Allow for another method. Without api.path or keys nothing is taken. */
bool plx_api_handle(plx_api *api, plx_http_request *r);

/* Requests that are not answered yet keep nothing of it. */
void plx_api_free(plx_api *api);

#endif
