/* A hook from inside: its queue (hook.c), and what opens, names and closes it (hook_open.c). */
#ifndef PLX_CHANNEL_HOOK_INTERNAL_H
#define PLX_CHANNEL_HOOK_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "channel/breaker.h"
#include "channel/fair.h"
#include "channel/hook.h"
#include "channel/http_client.h"
#include "store/later.h"

struct plx_hooks {
    struct ev_loop *loop;
    plx_http_client *client;
    plx_laters laters;
    plx_list list; /* plx_hook.node */
};

typedef struct plx_hook_queue {
    plx_list list; /* plx_trip.node */
    size_t count, bytes;
} plx_hook_queue;

struct plx_hook {
    plx_list node;
    plx_hooks *hooks;
    plx_hook_config config;
    plx_hook_counters counters;
    plx_breaker breaker;
    plx_map *shared;           /* by plx_trip.share */
    plx_fair *asking;          /* who has how many trips */
    plx_list flying, refused;  /* plx_trip.node */
    plx_hook_queue waiting[2]; /* [1]: those that yield */
    size_t yielding;           /* of those in flight */
    ev_timer late;             /* for the first one that waits */
    plx_later later;
};

/* The parts of a hook that hold its trips; the rest of it is there. */
void plx_hook_queue_init(plx_hook *h);
/* Refuses what waits, drops what flies, and tells all who asked: nobody is left. */
void plx_hook_queue_end(plx_hook *h);

#endif
