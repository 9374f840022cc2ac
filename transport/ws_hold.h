/* Messages that must not go out yet (promise 4: a reply follows the broadcasts that handling its
 * push caused).
 *
 * The core says with each message how far this socket must have got in which
 * topics (barriers). What has not got there waits here, in the order in which the
 * core said it, one lane for each topic: a later message of a topic stays behind an
 * earlier one, whichever membership they belong to; other topics go on. A join
 * reply that waits holds back the events of its membership too.
 */
#ifndef PLX_TRANSPORT_WS_HOLD_H
#define PLX_TRANSPORT_WS_HOLD_H

#include "base/blob.h"
#include "channel/socket.h"

#define PLX_WS_HOLD_MAX 1000 /* messages per connection */

typedef struct plx_ws_holds plx_ws_holds; /* of one connection */

typedef struct plx_ws_hold_ops {
    /* Let this frame out now. */
    void (*send)(void *arg, plx_blob *frame);
    /* Something waits until m has been given `offset`: its feed should make sure of it. */
    void (*expect)(void *arg, plx_membership *m, uint64_t offset);
    /* The message that ends m has just been sent: stop its deliveries, plx_membership_release. May
     * call back into plx_ws_hold_rename. */
    void (*ended)(void *arg, plx_membership *m);
} plx_ws_hold_ops;

/* max_bytes: bound for the frames that wait. */
plx_ws_holds *plx_ws_holds_new(const plx_ws_hold_ops *ops, void *arg, size_t max_bytes);
void plx_ws_holds_free(plx_ws_holds *h); /* NULL is fine; drops what waits */

/* Whether the message has to wait now. h may be NULL: nothing waits yet. */
bool plx_ws_hold_needed(const plx_ws_holds *h, const plx_out *out);

/* Keeps a message (its frame; a reference of its own). PLX_E_BUSY when too much waits: the
 * connection can't be served in order any more and has to be closed. For out->ends the caller calls
 * plx_membership_hold. */
int plx_ws_hold_add(plx_ws_holds *h, const plx_out *out, plx_blob *frame);

/* An event at m->watch.after: 0 when it may go out now, 1 when it was kept behind m's join reply
 * (or belongs to nobody any more), PLX_E_BUSY as above. */
int plx_ws_hold_event(plx_ws_holds *h, plx_membership *m, plx_blob *frame);

/* Lets out everything whose barriers are met. To be called after an event was delivered, and when a
 * watch was stopped or lost (which counts as met). */
void plx_ws_hold_release(plx_ws_holds *h);

/* Barriers that name `old` mean `now` from here on; with now NULL, `old` is about to be freed and
 * they are gone. */
void plx_ws_hold_rename(plx_ws_holds *h, plx_membership *old, plx_membership *now);

/* Messages that wait. h may be NULL. */
size_t plx_ws_holds_count(const plx_ws_holds *h);

#endif
