/* What the channels need of a worker that serves, in a file of its own: `check` and the test kit do
 * without, and so without libcurl. */
#include "channel/backends.h"
#include "channel/http_backend.h"

/* The next http channel of a section after the first *at entries (counted up), or NULL. */
static plx_http_channel *next_http(const plx_channels *c, size_t *at)
{
    while (*at < c->config->channel_count) {
        const plx_channel_entry *e = &c->entries[(*at)++];
        if (plx_channel_is_http(e))
            return e->state;
    }
    return NULL;
}

void plx_channels_start(plx_channels *channels, size_t count, plx_hooks *hooks)
{
    plx_http_channel *c;

    for (size_t i = 0; i < count; i++) {
        if (channels[i].config->auth.type == PLX_AUTH_HOOK)
            channels[i].auth = plx_auth_hook_open(hooks, channels[i].config);
        for (size_t at = 0; (c = next_http(&channels[i], &at));)
            plx_http_channel_start(c, hooks);
    }
}

void plx_channels_stop(plx_channels *channels, size_t count)
{
    plx_http_channel *c;

    for (size_t i = 0; i < count; i++) {
        plx_auth_hook_close(channels[i].auth);
        channels[i].auth = NULL;
        for (size_t at = 0; (c = next_http(&channels[i], &at));)
            plx_http_channel_stop(c);
    }
}

bool plx_channels_telling(const plx_channels *channels, size_t count)
{
    const plx_http_channel *c;

    for (size_t i = 0; i < count; i++)
        for (size_t at = 0; (c = next_http(&channels[i], &at));)
            if (plx_http_channel_telling(c))
                return true;
    return false;
}
