/* How the server API's operations answer: a document, and for errors always the same member:
 * {"error":{"code","message","hint"}}. */
#ifndef PLX_CHANNEL_ADMIN_ERROR_H
#define PLX_CHANNEL_ADMIN_ERROR_H

#include "base/json.h"
#include "channel/admin.h"

/* Puts the member "error" into a document. code: a short name for programs; hint: what to do about
 * it, or NULL (no member). The message is a sentence for people; it may hold what the caller sent,
 * as UTF-8. */
void plx_admin_error(json_object *document, const char *code, const char *hint, const char *format,
                     ...) __attribute__((format(printf, 4, 5)));

/* The error "unavailable", of a store's call that asked for a change. */
void plx_admin_unavailable(json_object *document, int err);

/* Calls cb with a document, which it takes. */
void plx_admin_answer(plx_admin_cb *cb, void *arg, unsigned status, json_object *document);

#endif
