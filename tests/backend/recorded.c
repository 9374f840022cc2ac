/* The application that ran when the recordings in tests/vectors were made, as a channel module.
 *
 * `room:*` answers each event as the recorded server did (see tests/vectors/README.md); with
 * settings = "others" every event is broadcast to the others only, which is what `quiet:*` did,
 * with "lobby" it keeps presence as `lobby:*` did. It is also the shortest example of a module that
 * uses every verb.
 */
#include "base/error.h"
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

/* ---- lobby:* ---- */

/* The connect parameter user_id as JSON: a string, or null. */
static plx_slice user_json(const plx_channel *ch)
{
    static const char *const names[] = {"user_id"};
    plx_json_value user;

    if (plx_json_cut_object(plx_channel_params(ch), names, &user, 1) != 0 ||
        user.type != PLX_JSON_STRING)
        return plx_slice_of("null");
    return user.text;
}

/* The key: its text, or the empty one. */
static void user_key(const plx_channel *ch, plx_buf *out)
{
    plx_slice json = user_json(ch);

    if (json.data[0] == '"')
        plx_json_unquote(json, out);
}

static void lobby_join(void *state, plx_channel *ch, plx_call *call, plx_payload payload)
{
    plx_buf key, meta;

    (void)state;
    (void)payload;
    plx_buf_init(&key, 0);
    plx_buf_init(&meta, 0);
    user_key(ch, &key);
    plx_buf_str(&meta, "{\"online_at\":1,\"name\":");
    plx_buf_add(&meta, user_json(ch));
    plx_buf_str(&meta, "}");
    if (plx_channel_track(ch, call, plx_buf_slice(&key), plx_buf_slice(&meta)) == 0)
        plx_call_ok(call, empty_object);
    else
        plx_call_crash(call, "track");
    plx_buf_fini(&key);
    plx_buf_fini(&meta);
}

static void lobby_listed(void *arg, plx_channel *ch, plx_call *call, int err, plx_slice json)
{
    (void)arg;
    (void)ch;
    if (err == 0)
        plx_call_ok(call, (plx_payload){PLX_PAYLOAD_JSON, json});
    else
        plx_call_error(call, PLX_JSON_PAYLOAD("{\"reason\":\"unavailable\"}"));
}

static const char *reason_of(int err)
{
    return err == PLX_E_TOOBIG     ? "{\"reason\":\"too large\"}"
           : err == PLX_E_NOTFOUND ? "{\"reason\":\"not tracked\"}"
           : err == PLX_E_DENIED   ? "{\"reason\":\"already tracked\"}"
                                   : "{\"reason\":\"invalid meta\"}";
}

static void answer_change(plx_call *call, int err)
{
    if (err == 0)
        plx_call_ok(call, empty_object);
    else
        plx_call_error(call, (plx_payload){PLX_PAYLOAD_JSON, plx_slice_of(reason_of(err))});
}

/* {"key": K, "meta": M}: one more entry (the recorded server had no such event). */
static void track_more(plx_channel *ch, plx_call *call, plx_payload payload)
{
    plx_json_value key = member(payload, "key"), meta = member(payload, "meta");
    plx_buf text;

    plx_buf_init(&text, 0);
    if (key.type == PLX_JSON_STRING)
        plx_json_unquote(key.text, &text);
    answer_change(call, plx_channel_track(ch, call, plx_buf_slice(&text), meta.text));
    plx_buf_fini(&text);
}

static void lobby_event(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                        plx_payload payload)
{
    plx_buf key;

    (void)state;
    plx_buf_init(&key, 0);
    user_key(ch, &key);
    if (plx_slice_is(event, "update"))
        answer_change(call, plx_channel_update(ch, call, plx_buf_slice(&key), payload.bytes));
    else if (plx_slice_is(event, "untrack"))
        answer_change(call, plx_channel_untrack(ch, call, plx_buf_slice(&key)));
    else if (plx_slice_is(event, "list"))
        plx_channel_presences(ch, call, lobby_listed, NULL);
    else if (plx_slice_is(event, "track"))
        track_more(ch, call, payload);
    else if (plx_slice_is(event, "boom"))
        plx_call_crash(call, "boom");
    else if (plx_slice_is(event, "stop"))
        plx_call_stop(call, NULL);
    else
        plx_call_noreply(call);
    plx_buf_fini(&key);
}

/* ---- which channel this is ---- */

static const char others[] = "others", lobby[] = "lobby";

static void join_by_settings(void *state, plx_channel *ch, plx_call *call, plx_payload payload)
{
    if (state == lobby)
        lobby_join(state, ch, call, payload);
    else
        room_join(state, ch, call, payload);
}

static void event_by_settings(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                              plx_payload payload)
{
    (state == others  ? quiet_event
     : state == lobby ? lobby_event
                      : room_event)(state, ch, call, event, payload);
}

static int recorded_open(const char *pattern, const char *settings, void **state,
                         const char **error)
{
    static const char *const names[] = {others, lobby};

    (void)pattern;
    *state = NULL;
    if (!settings)
        return 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(settings, names[i]) == 0)
            *state = (void *)(uintptr_t)names[i];
    if (*state)
        return 0;
    *error = "settings: expected nothing, \"others\" or \"lobby\"";
    return -1;
}

static const plx_backend recorded = {
    .abi = PLX_BACKEND_ABI,
    .name = "recorded",
    .open = recorded_open,
    .join = join_by_settings,
    .handle_in = event_by_settings,
};

const plx_backend *pollux_backend(void)
{
    return &recorded;
}
