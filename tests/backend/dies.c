/* A module that loses its worker in the worst moment: after the broadcasts of a push went out and
 * before the push is answered, so that another worker handles the same message again.
 *
 * settings: a file name. While that file exists, a push of event "die" removes it, broadcasts, and
 * leaves the process a tenth of a second to live; the call is never answered. Every other push is
 * broadcast and answered.
 */
#include "channel/backend.h"
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

const plx_backend *pollux_backend(void);

static int dies_open(const char *pattern, const char *settings, void **state, const char **error)
{
    (void)pattern;
    if (!settings) {
        *error = "settings: expected a file name";
        return -1;
    }
    *state = strdup(settings);
    return 0;
}

static void dies_close(void *state)
{
    free(state);
}

static void dies_event(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                       plx_payload payload)
{
    const struct itimerval soon = {{0, 0}, {0, 100000}};

    plx_channel_broadcast(ch, call, event, payload);
    plx_channel_broadcast(ch, call, plx_slice_of("again"), payload);
    if (plx_slice_is(event, "die") && unlink(state) == 0)
        setitimer(ITIMER_REAL, &soon, NULL); /* nobody handles SIGALRM: it ends the process */
    else
        plx_call_ok(call, payload);
}

static const plx_backend dies = {
    .abi = PLX_BACKEND_ABI,
    .name = "dies",
    .open = dies_open,
    .close = dies_close,
    .handle_in = dies_event,
};

const plx_backend *pollux_backend(void)
{
    return &dies;
}
