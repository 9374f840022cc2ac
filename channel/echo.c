/* The echo backend: every push is answered with its own payload. For diagnosis and measurements. */
#include "channel/backends.h"

static void echo(void *state, plx_channel *ch, plx_call *call, plx_slice event, plx_payload payload)
{
    (void)state;
    (void)ch;
    (void)event;
    plx_call_ok(call, payload);
}

const plx_backend plx_echo_backend = {
    .abi = PLX_BACKEND_ABI,
    .name = "echo",
    .handle_in = echo,
};
