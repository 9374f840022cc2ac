/* What asks applications: there in workers, which have a loop, and not where the configuration is
 * only checked. */
#include "channel/backends.h"

void plx_channels_start(plx_channels *channels, size_t count, plx_hooks *hooks)
{
    for (size_t i = 0; i < count; i++)
        if (channels[i].config->auth.type == PLX_AUTH_HOOK)
            channels[i].auth = plx_auth_hook_open(hooks, channels[i].config);
}

void plx_channels_stop(plx_channels *channels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        plx_auth_hook_close(channels[i].auth);
        channels[i].auth = NULL;
    }
}
