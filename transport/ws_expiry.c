/* The end of sockets whose token runs out.
 *
 * They are closed with 3000 ("Unauthorized" in IANA's registry) and a reason: on
 * any code but 1000 every phoenix.js connects anew by its reconnect timer, and asks its page for
 * params and authToken again. The deadline is one of the wall clock, as the token's own is: a
 * machine that slept, or whose clock was set, judges it as the next connect would. Sockets without
 * a deadline cost a pointer.
 */
#include "transport/ws_internal.h"

#include "base/alloc.h"

#include <stdlib.h>

struct plx_ws_expiry {
    ev_periodic timer;
};

static void on_expired(struct ev_loop *loop, ev_periodic *t, int events)
{
    (void)loop;
    (void)events;
    plx_ws_conn *c = t->data;
    c->server->counters.expired++;
    plx_ws_conn_close(c, PLX_WS_UNAUTHORIZED, true);
}

void plx_ws_expiry_start(plx_ws_conn *c, uint64_t expires_ms)
{
    plx_ws_expiry *e = plx_alloc(sizeof *e);
    /* A millisecond more, so that no token is found still good by the connect that follows. */
    ev_periodic_init(&e->timer, on_expired, (ev_tstamp)expires_ms / 1000. + .001, 0., NULL);
    e->timer.data = c;
    ev_periodic_start(c->server->loop, &e->timer);
    c->expiry = e;
}

void plx_ws_expiry_stop(plx_ws_conn *c)
{
    if (c->expiry)
        ev_periodic_stop(c->server->loop, &c->expiry->timer);
}

void plx_ws_expiry_free(plx_ws_conn *c)
{
    free(c->expiry);
}
