/* The hooks of a worker: opened, told about, closed. What they ask goes through hook.c. */
#include "channel/hook_internal.h"

#include "base/alloc.h"
#include "base/log.h"

#include <stdlib.h>

const plx_hook_counters *plx_hook_counts(const plx_hook *hook)
{
    return &hook->counters;
}

const char *plx_hook_name(const plx_hook *hook)
{
    return hook->config.name;
}

void plx_hook_report(const plx_hook *hook, struct json_object *report)
{
    if (hook->config.report)
        hook->config.report(hook->config.user, report);
}

void plx_hook_complain(plx_hook *hook, const char *why)
{
    hook->counters.wrong++;
    plx_log_limited(PLX_WARNING, "hook \"%s\" answers wrongly: %s", hook->config.name, why);
}

plx_hook *plx_hook_open(plx_hooks *hooks, const plx_hook_config *config)
{
    plx_hook *h = plx_alloc_zero(1, sizeof *h);

    h->hooks = hooks;
    h->config = *config;
    h->shared = plx_map_new();
    h->asking = plx_fair_new();
    plx_hook_queue_init(h);
    plx_list_push(&hooks->list, &h->node);
    return h;
}

void plx_hook_close(plx_hook *hook)
{
    plx_hook_queue_end(hook);
    plx_list_remove(&hook->node);
    plx_map_free(hook->shared);
    plx_fair_free(hook->asking);
    free(hook);
}

const plx_hook *plx_hooks_next(const plx_hooks *hooks, const plx_hook *after)
{
    const plx_list *n;

    if (!hooks)
        return NULL;
    n = after ? after->node.next : hooks->list.next;
    return n != &hooks->list ? PLX_CONTAINER((plx_list *)n, plx_hook, node) : NULL;
}

plx_hooks *plx_hooks_new(struct ev_loop *loop)
{
    plx_hooks *hooks = plx_alloc_zero(1, sizeof *hooks);

    hooks->loop = loop;
    hooks->client = plx_http_client_new(loop);
    plx_laters_init(&hooks->laters, loop);
    plx_list_init(&hooks->list);
    return hooks;
}

struct ev_loop *plx_hooks_loop(const plx_hooks *hooks)
{
    return hooks->loop;
}

void plx_hooks_free(plx_hooks *hooks)
{
    if (!hooks)
        return;
    while (!plx_list_empty(&hooks->list))
        plx_hook_close(PLX_CONTAINER(hooks->list.next, plx_hook, node));
    plx_http_client_free(hooks->client);
    plx_laters_fini(&hooks->laters);
    free(hooks);
}
