/* The application that ran when the recordings in tests/vectors were made, as a channel module.
 *
 * `room:*` answers each event as the recorded server did (see tests/vectors/README.md); with
 * settings = "others" every event is broadcast to the others only, which is what `quiet:*` did.
 * It is also the shortest example of a module that uses every verb.
 */
#include "base/json_scan.h"
#include "channel/backend.h"

const plx_backend *pollux_backend(void);

static const plx_payload empty_object = {PLX_PAYLOAD_JSON, PLX_LIT("{}")};

/* The value of one member of a JSON object; PLX_JSON_NONE when there is none or no object. */
static plx_json_value member(plx_payload payload, const char *name)
{
    plx_json_value value = {PLX_JSON_NONE, {NULL, 0}};

    if (payload.kind == PLX_PAYLOAD_JSON &&
        plx_json_cut_object(payload.bytes, &name, &value, 1) != 0)
        value.type = PLX_JSON_NONE;
    return value;
}

static bool is_object(plx_payload payload)
{
    plx_json_value value;

    return plx_json_check(payload.bytes, &value) == 0 && value.type == PLX_JSON_OBJECT;
}

/* {"got": X}: X keeps its bytes. */
static void answer_got(plx_call *call, plx_slice x)
{
    plx_buf out;

    plx_buf_init(&out, 0);
    plx_buf_str(&out, "{\"got\":");
    plx_buf_add(&out, x);
    plx_buf_str(&out, "}");
    if (plx_buf_ok(&out))
        plx_call_ok(call, (plx_payload){PLX_PAYLOAD_JSON, plx_buf_slice(&out)});
    else
        plx_call_crash(call, "out of memory");
    plx_buf_fini(&out);
}

static void room_join(void *state, plx_channel *ch, plx_call *call, plx_payload payload)
{
    plx_json_value echo = member(payload, "echo_join");

    (void)state;
    (void)ch;
    if (member(payload, "deny").type == PLX_JSON_TRUE)
        plx_call_error(call, PLX_JSON_PAYLOAD("{\"reason\":\"unauthorized\"}"));
    else if (member(payload, "crash_join").type == PLX_JSON_TRUE)
        plx_call_crash(call, "crash_join");
    else if (echo.type != PLX_JSON_NONE)
        answer_got(call, echo.text);
    else
        plx_call_ok(call, empty_object);
}

/* The recorded server's V2 serializer could not broadcast JSON that is no object, its V1 serializer
 * could: the channel of a V2 sender crashed. */
static bool can_broadcast(const plx_channel *ch, plx_payload payload)
{
    static const char *const names[] = {"vsn"};
    plx_json_value vsn;

    if (payload.kind == PLX_PAYLOAD_BINARY || is_object(payload))
        return true;
    if (plx_json_cut_object(plx_channel_params(ch), names, &vsn, 1) != 0)
        return false;
    return vsn.type != PLX_JSON_STRING || !plx_slice_starts(vsn.text, plx_slice_of("\"2"));
}

static void broadcast(plx_channel *ch, plx_call *call, plx_slice event, plx_payload payload)
{
    if (!can_broadcast(ch, payload)) {
        plx_call_crash(call, "payload is no object");
        return;
    }
    plx_channel_broadcast(ch, call, event, payload);
    plx_call_noreply(call);
}

static void push_back(plx_channel *ch, plx_call *call, const char *event, plx_payload payload)
{
    plx_channel_push(ch, call, plx_slice_of(event), payload);
    plx_call_noreply(call);
}

static void room_event(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                       plx_payload payload)
{
    (void)state;
    if (plx_slice_is(event, "echo") || plx_slice_is(event, "bin_echo"))
        plx_call_ok(call, payload);
    else if (plx_slice_is(event, "ack"))
        plx_call_ok(call, empty_object);
    else if (plx_slice_is(event, "fail"))
        plx_call_error(call, PLX_JSON_PAYLOAD("{\"reason\":\"no\"}"));
    else if (plx_slice_is(event, "bin_fail"))
        plx_call_error(call, payload);
    else if (plx_slice_is(event, "push"))
        push_back(ch, call, "pushed", payload);
    else if (plx_slice_is(event, "bin_push"))
        push_back(ch, call, "bin_pushed", payload);
    else if (plx_slice_is(event, "boom"))
        plx_call_crash(call, "boom");
    else if (plx_slice_is(event, "stop") || plx_slice_is(event, "stop_shutdown"))
        plx_call_stop(call, NULL);
    else if (plx_slice_is(event, "stop_reply"))
        plx_call_stop(call, &payload);
    else
        broadcast(ch, call, event, payload);
}

static void quiet_event(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                        plx_payload payload)
{
    (void)state;
    plx_channel_broadcast_from(ch, call, event, payload);
    plx_call_noreply(call);
}

static void event_by_settings(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                              plx_payload payload)
{
    (state ? quiet_event : room_event)(state, ch, call, event, payload);
}

static int recorded_open(const char *pattern, const char *settings, void **state,
                         const char **error)
{
    static char others;

    (void)pattern;
    *state = NULL;
    if (!settings)
        return 0;
    if (strcmp(settings, "others") != 0) {
        *error = "settings: expected nothing or \"others\"";
        return -1;
    }
    *state = &others;
    return 0;
}

static const plx_backend recorded = {
    .abi = PLX_BACKEND_ABI,
    .name = "recorded",
    .open = recorded_open,
    .join = room_join,
    .handle_in = event_by_settings,
};

const plx_backend *pollux_backend(void)
{
    return &recorded;
}
