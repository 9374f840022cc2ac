/* The rules of a channel section that come before its backend: who may join, who may push. */
#ifndef PLX_CHANNEL_RULES_H
#define PLX_CHANNEL_RULES_H

#include "base/config.h"
#include "base/slice.h"

/* join = any | authenticated | none, and only_topic: the template must expand (params and claims
 * are JSON objects) and be the topic. */
bool plx_rules_may_join(const plx_channel_config *c, plx_slice topic, plx_slice params,
                        plx_slice claims);
/* push = any | authenticated | none. */
bool plx_rules_may_push(const plx_channel_config *c, plx_slice claims);

#endif
