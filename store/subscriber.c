/* SSUBSCRIBE and SUNSUBSCRIBE are confirmed in order. A channel that is left and
 * entered again in quick succession has several confirmations under way, and only
 * the last one says that messages come from now on without a hole: so each channel
 * counts what is outstanding, and messages before the last confirmation are
 * dropped. A channel that nobody owns stays until its last confirmation.
 *
 * A PING goes out behind the subscriptions of a loop turn; its answer comes after
 * their confirmations, so the connection's time-out covers them.
 */
#include "store/subscriber.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"

#include <stdlib.h>

#define CHUNK 64 /* channels in one command after a reconnect */

struct plx_subscription {
    plx_slice channel;               /* owned */
    const plx_subscription_ops *ops; /* NULL: nobody owns it any more */
    void *owner;
    unsigned outstanding; /* confirmations that are still to come */
};

struct plx_subscriber {
    plx_store *store;
    plx_conn *conn;
    plx_map *channels;
    plx_later fence; /* the PING of this turn */
};

static void pinged(const plx_done *done, int err, const redisReply *reply)
{
    (void)done, (void)err, (void)reply;
}

static void send_fence(plx_later *item)
{
    plx_subscriber *sub = PLX_CONTAINER(item, plx_subscriber, fence);
    plx_command ping;
    plx_command_init(&ping, "PING");
    plx_conn_send(sub->conn, &ping, 0, pinged, PLX_DONE(NULL, NULL));
}

static void free_subscription(plx_subscriber *sub, plx_subscription *x)
{
    plx_map_remove(sub->channels, x->channel);
    free((void *)x->channel.data);
    free(x);
}

static void send_one(plx_subscriber *sub, const char *verb, plx_subscription *x)
{
    if (!plx_conn_up(sub->conn))
        return; /* everything is subscribed when it comes up */
    plx_command c;
    plx_command_init(&c, verb);
    plx_command_add(&c, x->channel);
    x->outstanding++;
    plx_conn_send(sub->conn, &c, PLX_SEND_NO_REPLY, NULL, PLX_DONE(NULL, NULL));
    plx_later_add(&sub->store->laters, &sub->fence);
}

plx_subscription *plx_subscription_begin(plx_subscriber *sub, plx_slice channel,
                                         const plx_subscription_ops *ops, void *owner)
{
    plx_subscription *x = plx_map_get(sub->channels, channel);
    if (!x) {
        x = plx_alloc_zero(1, sizeof *x);
        x->channel = plx_slice_copy(channel);
        plx_map_put(sub->channels, x->channel, x);
    }
    x->ops = ops;
    x->owner = owner;
    send_one(sub, "SSUBSCRIBE", x);
    return x;
}

void plx_subscription_end(plx_subscriber *sub, plx_subscription *x)
{
    x->ops = NULL;
    x->owner = NULL;
    send_one(sub, "SUNSUBSCRIBE", x);
    if (x->outstanding == 0)
        free_subscription(sub, x);
}

/* ---- what comes in */

static void take_confirmation(plx_subscriber *sub, plx_slice channel)
{
    plx_subscription *x = plx_map_get(sub->channels, channel);
    if (!x || x->outstanding == 0) {
        plx_conn_break(sub->conn, "unasked subscription");
        return;
    }
    if (--x->outstanding > 0)
        return;
    if (x->ops)
        x->ops->confirmed(x->owner);
    else
        free_subscription(sub, x);
}

static void take_message(plx_subscriber *sub, plx_slice channel, plx_slice payload)
{
    plx_subscription *x = plx_map_get(sub->channels, channel);
    if (x && x->ops && x->outstanding == 0)
        x->ops->message(x->owner, payload);
}

static bool take_push(void *owner, const redisReply *reply)
{
    plx_subscriber *sub = owner;
    const redisReply *kind = plx_reply_at(reply, 0);
    plx_slice channel = plx_reply_slice(plx_reply_at(reply, 1));
    if (plx_reply_is(kind, "smessage")) {
        take_message(sub, channel, plx_reply_slice(plx_reply_at(reply, 2)));
    } else if (plx_reply_is(kind, "ssubscribe")) {
        take_confirmation(sub, channel);
    } else if (plx_reply_is(kind, "sunsubscribe")) {
        take_confirmation(sub, channel);
    } else if (reply->type == REDIS_REPLY_ERROR) {
        plx_log_limited(
            PLX_ERROR,
            "redis: sharded pub/sub refused (needs Redis 7.0, and access to our channels): %s",
            reply->str);
        plx_conn_break(sub->conn, reply->str);
    } else {
        return false;
    }
    return true;
}

/* ---- the connection */

static void subscribe_chunk(plx_subscriber *sub, plx_command *c, size_t *count)
{
    if (*count == 0)
        return;
    plx_conn_send(sub->conn, c, PLX_SEND_NO_REPLY, NULL, PLX_DONE(NULL, NULL));
    *count = 0;
}

static void conn_up(void *owner)
{
    plx_subscriber *sub = owner;
    plx_subscription *x;
    size_t cursor = 0, count = 0;
    plx_command c;
    while ((x = plx_map_next(sub->channels, &cursor)) != NULL) {
        if (count == 0)
            plx_command_init(&c, "SSUBSCRIBE");
        plx_command_add(&c, x->channel);
        x->outstanding = 1;
        if (++count == CHUNK)
            subscribe_chunk(sub, &c, &count);
    }
    subscribe_chunk(sub, &c, &count);
    plx_later_add(&sub->store->laters, &sub->fence);
    plx_store_changed(sub->store);
}

static void conn_down(void *owner)
{
    plx_subscriber *sub = owner;
    plx_subscription *x;
    size_t cursor = 0;
    /* Two walks: a callback may begin or end subscriptions, and maps must not grow in a walk. */
    while ((x = plx_map_next(sub->channels, &cursor)) != NULL) {
        x->outstanding = 0;
        if (!x->ops)
            free_subscription(sub, x);
    }
    cursor = 0;
    while ((x = plx_map_next(sub->channels, &cursor)) != NULL) {
        if (x->ops && x->ops->interrupted)
            x->ops->interrupted(x->owner);
    }
    plx_store_changed(sub->store);
}

plx_subscriber *plx_subscriber_open(plx_store *s)
{
    static const plx_conn_ops ops = {"pub/sub", NULL, conn_up, conn_down, take_push};
    plx_subscriber *sub = plx_alloc_zero(1, sizeof *sub);
    sub->store = s;
    sub->channels = plx_map_new();
    plx_later_init(&sub->fence, send_fence);
    sub->conn = plx_conn_open(s->loop, &s->laters, &s->url, &ops, sub);
    return sub;
}

void plx_subscriber_close(plx_subscriber *sub)
{
    plx_conn_close(sub->conn);
    plx_later_cancel(&sub->fence);
    plx_subscription *x;
    size_t cursor = 0;
    while ((x = plx_map_next(sub->channels, &cursor)) != NULL)
        free_subscription(sub, x);
    plx_map_free(sub->channels);
    free(sub);
}

bool plx_subscriber_up(const plx_subscriber *sub)
{
    return plx_conn_up(sub->conn);
}

uint64_t plx_subscriber_up_since(const plx_subscriber *sub)
{
    return plx_conn_up_since(sub->conn);
}

size_t plx_subscriber_count(const plx_subscriber *sub)
{
    return plx_map_count(sub->channels);
}
