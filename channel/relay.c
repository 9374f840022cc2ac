/* The relay backend: what a client pushes is broadcast, unread. Nothing to write, nothing to run.
 *
 * But for names that mean something to the library of whoever gets them: with "phx_close" or a
 * forged reply one client would end or answer the channels of all others, with "presence_diff"
 * write their lists of who is there. Who wants them relayed names them in `events`.
 */
#include "base/error.h"
#include "channel/backends.h"
#include "channel/counters.h"
#include "channel/rules.h"

static const plx_payload ok = {PLX_PAYLOAD_JSON, PLX_LIT("{}")};

static bool is_reserved(plx_slice event)
{
    static const char *const prefixes[] = {"phx_", "chan_reply_"};
    static const char *const names[] = {"presence_state", "presence_diff", "presence_count"};

    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (plx_slice_starts(event, plx_slice_of(prefixes[i])))
            return true;
    return plx_slice_among(event, names, sizeof names / sizeof *names);
}

static bool may_relay(const plx_channel_config *options, plx_slice event)
{
    return !is_reserved(event) || plx_strings_has(&options->events, event);
}

static void relay(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                  plx_payload payload)
{
    const plx_channel_config *options = plx_channel_options(ch);
    int err;

    (void)state;
    if (!may_relay(options, event)) {
        plx_counted.rule_refusals++;
        plx_call_error(call, plx_rules_response(PLX_REFUSED_EVENT));
        return;
    }
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
