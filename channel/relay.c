/* The relay backend: what a client pushes is broadcast, unread. Nothing to write, nothing to run.
 */
#include "base/error.h"
#include "channel/backends.h"

static const plx_payload ok = {PLX_PAYLOAD_JSON, PLX_LIT("{}")};

static void relay(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                  plx_payload payload)
{
    const plx_channel_config *options = plx_channel_options(ch);
    int err;

    (void)state;
    err = (options->relay_to_others ? plx_channel_broadcast_from
                                    : plx_channel_broadcast)(ch, call, event, payload);
    /* Only a topic with history takes no binary message. */
    if (err == PLX_E_INVALID && payload.kind == PLX_PAYLOAD_BINARY)
        plx_call_error(call, PLX_JSON_PAYLOAD("{\"reason\":\"binary not kept\"}"));
    else if (err != 0)
        plx_call_crash(call, plx_strerror(err));
    else if (options->reply)
        plx_call_ok(call, ok);
    else
        plx_call_noreply(call);
}

const plx_backend plx_relay_backend = {
    .abi = PLX_BACKEND_ABI,
    .name = "relay",
    .handle_in = relay,
};
