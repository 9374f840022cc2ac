/* Sharded pub/sub: one connection, any number of channels, subscribed again after
 * every reconnect.
 *
 * Delivery is best effort by nature; whoever must not miss anything compares
 * offsets (feeds) or looks again (polls).
 */
#ifndef PLX_STORE_SUBSCRIBER_H
#define PLX_STORE_SUBSCRIBER_H

#include "store/internal.h"

typedef struct plx_subscriber plx_subscriber;
typedef struct plx_subscription plx_subscription;

typedef struct plx_subscription_ops {
    /* From now on messages come; called again after every reconnect. */
    void (*confirmed)(void *owner);
    /* The connection was lost; `confirmed` will follow some time. May be NULL; must not begin or
     * end subscriptions. */
    void (*interrupted)(void *owner);
    void (*message)(void *owner, plx_slice payload);
} plx_subscription_ops;

/* Opens the pub/sub connection, which is tried again for as long as it is away. Closing frees every
 * subscription without calling its owner. */
plx_subscriber *plx_subscriber_open(plx_store *s);
void plx_subscriber_close(plx_subscriber *sub);

/* Whether the connection works, and while it does, since when (plx_now_ms). */
bool plx_subscriber_up(const plx_subscriber *sub);
uint64_t plx_subscriber_up_since(const plx_subscriber *sub);

/* Subscribes to a channel (copied), which must not have an owner at the moment. The result is valid
 * until plx_subscription_end. Calls nothing back before it has returned. */
plx_subscription *plx_subscription_begin(plx_subscriber *sub, plx_slice channel,
                                         const plx_subscription_ops *ops, void *owner);
/* No callbacks any more. Allowed from inside them. */
void plx_subscription_end(plx_subscriber *sub, plx_subscription *x);

/* Number of channels, for tests. */
size_t plx_subscriber_count(const plx_subscriber *sub);

#endif
