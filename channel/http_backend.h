/* The backend "http": the application decides, in any language, over HTTP (channel/hook).
 *
 *   join, push --document--> hook --answer--> looked at --> verbs --> reply
 *   leave      --document--> leaves (own queue) --answer--> broadcasts
 *
 * What is not asked (`hooks`, `events`) is treated as backend "relay" does. A question that gets no
 * usable answer is answered to the client with the error {"reason":"unavailable"}.
 *
 * Which questions are the same? The documents of two sockets never are: they name the session, and
 * the application may well look at it (or answer with a push, assigns or presence that are meant
 * for this one only). So an answer is shared only between repetitions of one message, known by its
 * message_id: that is what happens when a worker loses a long-poll session's lease and gets it back
 * while its question is still under way.
 */
#ifndef PLX_CHANNEL_HTTP_BACKEND_H
#define PLX_CHANNEL_HTTP_BACKEND_H

#include "base/config.h"
#include "channel/backend.h"
#include "channel/hook.h"

/* Without and with a hook for leaves: memberships of the first need no terminate, and so no note in
 * Redis either. Their state is a plx_http_channel. */
extern const plx_backend plx_http_backend, plx_http_leave_backend;

typedef struct plx_http_channel plx_http_channel;

/* path: of the socket section. Both borrowed. Until it is started, nothing can be asked. */
plx_http_channel *plx_http_channel_new(const char *path, const plx_channel_config *config);
void plx_http_channel_free(plx_http_channel *c);

void plx_http_channel_start(plx_http_channel *c, plx_hooks *hooks);
/* Ends its questions: their calls are answered, leaves are left to other workers. */
void plx_http_channel_stop(plx_http_channel *c);
/* Leaves that are not answered yet; and whether some are being told now. */
size_t plx_http_channel_leaves(const plx_http_channel *c);
bool plx_http_channel_telling(const plx_http_channel *c);

#endif
