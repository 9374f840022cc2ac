/* What a module's tests have no use for, so that the kit needs no libcurl: asking applications over
 * HTTP. A configuration of the kit has module channels only, so none of this is called. */
#include "channel/http_backend.h"

#include <stdlib.h>

const plx_backend plx_http_backend = {.abi = PLX_BACKEND_ABI, .name = "http"};
const plx_backend plx_http_leave_backend = {.abi = PLX_BACKEND_ABI, .name = "http"};

plx_http_channel *plx_http_channel_new(const char *path, const plx_channel_config *config)
{
    (void)path;
    (void)config;
    abort();
}

void plx_http_channel_free(plx_http_channel *c)
{
    (void)c;
}

void plx_http_channel_start(plx_http_channel *c, plx_hooks *hooks)
{
    (void)c;
    (void)hooks;
}

void plx_http_channel_stop(plx_http_channel *c)
{
    (void)c;
}

size_t plx_http_channel_leaves(const plx_http_channel *c)
{
    (void)c;
    return 0;
}

bool plx_http_channel_telling(const plx_http_channel *c)
{
    (void)c;
    return false;
}
