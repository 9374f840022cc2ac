/* A module that knows nothing but the public header: whatever is pushed is broadcast and answered.
 */
#include "channel/backend.h"

static void parrot_in(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                      plx_payload payload)
{
    (void)state;
    plx_channel_broadcast(ch, call, event, payload);
    plx_call_ok(call, payload);
}

static const plx_backend parrot = {
    .abi = PLX_BACKEND_ABI, .name = "parrot", .handle_in = parrot_in};

const plx_backend *pollux_backend(void)
{
    return &parrot;
}
