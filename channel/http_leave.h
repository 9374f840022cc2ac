/* The leave questions of one channel section: they wait here, where they can't crowd out joins and
 * pushes and are not refused when a whole worker's sockets end at once.
 *
 * Who leaves a topic and joins it again, or just joins again, is asked about in this order (in
 * Phoenix the old channel has terminated before the new one joins): such a join waits here.
 *
 * While the application can't be reached a leave is asked again, for up to a minute; one that was
 * sent is not repeated (channel/parting sees to it that another worker does when this one dies).
 */
#ifndef PLX_CHANNEL_HTTP_LEAVE_H
#define PLX_CHANNEL_HTTP_LEAVE_H

#include "channel/hook.h"
#include "channel/parting.h"

#define PLX_LEAVES_MAX        100000   /* leaves that wait; more are given up, logged */
#define PLX_LEAVES_BYTES      33554432 /* and their bytes */
#define PLX_LEAVE_PATIENCE_MS 60000
#define PLX_LEAVE_RETRY_MS    1000

typedef struct plx_http_leaves plx_http_leaves;

/* at_once: so many of them are in flight together. The hook is borrowed. */
plx_http_leaves *plx_http_leaves_new(plx_hook *hook, struct ev_loop *loop, size_t at_once);
/* The partings that are left end with PLX_E_GONE. Before the hook is closed. NULL is fine. */
void plx_http_leaves_free(plx_http_leaves *l);

/* Takes `parting`; body (copied) is the question, place (copied) names the socket and the topic.
 * One with the same id that is under way already ends with that one. */
void plx_http_leaves_add(plx_http_leaves *l, plx_parting *parting, plx_slice place, plx_slice body);
/* True: cb comes once the application was asked about the last leave of this place, or could not be
 * (also from inside plx_http_leaves_free), not before the return. False: there is nothing to wait
 * for. */
bool plx_http_leaves_wait(plx_http_leaves *l, plx_slice place, void (*cb)(void *arg), void *arg);
/* Those that are not answered yet. */
size_t plx_http_leaves_count(const plx_http_leaves *l);
/* Whether some are being told now, and not only waiting for the application to come back. */
bool plx_http_leaves_telling(const plx_http_leaves *l);

#endif
