/* What Redis says of itself, and how many long-poll sessions there are: for people and metrics. */
#ifndef PLX_STORE_REDIS_INFO_H
#define PLX_STORE_REDIS_INFO_H

#include "store/store.h"

typedef struct plx_redis_info {
    char version[32], policy[32];              /* policy: maxmemory_policy; "": not told */
    uint64_t uptime_s, clients;                /* connected ones */
    uint64_t memory_bytes, memory_limit_bytes; /* limit 0: none */
    uint64_t sessions; /* long-poll sessions: those that nobody has swept yet among them */
} plx_redis_info;

/* err: the store's; PLX_E_STORE also when its ACL forbids INFO. */
typedef void plx_redis_info_cb(void *arg, int err, const plx_redis_info *info);
void plx_redis_info_read(plx_store *s, plx_redis_info_cb *cb, void *arg);

/* Reads INFO's text, "name:value\r\n" lines; what is not there stays as it is. */
void plx_redis_info_parse(plx_slice text, plx_redis_info *info);

#endif
