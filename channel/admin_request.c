#include "channel/admin_request.h"

#include "base/base64.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "channel/admin_error.h"
#include "channel/message.h"
#include "channel/route.h"

#define HISTORY_LIMIT 100 /* messages that are given when nobody says how many */

/* Puts the members of an object into values, by names. 422 for any other member. */
static unsigned read_members(plx_slice json, const char *const *names, plx_json_value *values,
                             size_t count, const char *known, plx_buf *error)
{
    plx_json_value object;
    plx_slice key;
    plx_buf name;
    size_t pos = 0, i;
    unsigned status = 0;

    memset(values, 0, count * sizeof *values);
    if (plx_json_check(json, &object) != 0 || object.type != PLX_JSON_OBJECT) {
        plx_admin_error(error, "invalid_body", known, "expected a JSON object");
        return 422;
    }
    plx_buf_init(&name, 0);
    for (plx_json_value v; status == 0 && plx_json_next(object.text, &pos, &key, &v);) {
        plx_buf_clear(&name);
        plx_json_unquote(key, &name);
        for (i = 0; i < count && !plx_slice_is(plx_buf_slice(&name), names[i]); i++)
            ;
        if (i < count) {
            values[i] = v;
            continue;
        }
        plx_admin_error(error, "unknown_member", known, "unknown member \"%.*s\"",
                        name.len < 100 ? (int)name.len : 100, name.data ? name.data : "");
        status = 422;
    }
    plx_buf_fini(&name);
    return status;
}

/* A string of 1 to max bytes. */
static unsigned read_name(const plx_json_value *value, const char *what, const char *code,
                          size_t max, plx_buf *out, plx_buf *error)
{
    plx_buf_clear(out);
    if (value->type == PLX_JSON_STRING && plx_json_unquote(value->text, out) == 0 && out->len > 0 &&
        out->len <= max)
        return 0;
    plx_admin_error(error, code, NULL, "\"%s\" must be a string of 1 to %zu bytes%s", what, max,
                    value->type == PLX_JSON_NONE ? "; it is missing" : "");
    return 422;
}

static unsigned read_binary(const plx_json_value *base64, plx_admin_publication *out,
                            plx_buf *error)
{
    plx_buf text;
    int err = PLX_E_INVALID;

    plx_buf_init(&text, 0);
    plx_buf_clear(&out->binary);
    if (base64->type == PLX_JSON_STRING && plx_json_unquote(base64->text, &text) == 0)
        err = plx_base64_decode(&out->binary, plx_buf_slice(&text),
                                PLX_B64_STANDARD | PLX_B64_NOPAD | PLX_B64_EITHER);
    plx_buf_fini(&text);
    if (err != 0) {
        plx_admin_error(error, "invalid_payload", NULL,
                        "\"payload_base64\" must be a string in Base64");
        return 422;
    }
    if (out->p.history_size > 0) {
        plx_admin_error(error, "binary_not_kept",
                        "Send it as JSON, or to a channel without history.",
                        "this topic has history, which keeps JSON only");
        return 422;
    }
    out->p.kind = PLX_KIND_BINARY;
    out->p.payload = plx_buf_slice(&out->binary);
    return 0;
}

static unsigned read_payload(const plx_json_value *json, const plx_json_value *base64, size_t max,
                             plx_admin_publication *out, plx_buf *error)
{
    unsigned status = 0;

    if ((json->type == PLX_JSON_NONE) == (base64->type == PLX_JSON_NONE)) {
        plx_admin_error(error, "invalid_payload", NULL,
                        "expected either \"payload\" or \"payload_base64\"");
        return 422;
    }
    out->p.kind = PLX_KIND_JSON;
    out->p.payload = json->text;
    if (base64->type != PLX_JSON_NONE)
        status = read_binary(base64, out, error);
    if (status == 0 && out->p.payload.len > max) {
        plx_admin_error(error, "payload_too_big", "The bound is max_body_bytes.",
                        "the payload has %zu bytes, at most %zu are accepted", out->p.payload.len,
                        max);
        status = 422;
    }
    return status;
}

void plx_admin_publication_init(plx_admin_publication *a)
{
    memset(&a->p, 0, sizeof a->p);
    plx_buf_init(&a->topic, 0);
    plx_buf_init(&a->event, 0);
    plx_buf_init(&a->key, 0);
    plx_buf_init(&a->binary, 0);
}

void plx_admin_publication_fini(plx_admin_publication *a)
{
    plx_buf_fini(&a->topic);
    plx_buf_fini(&a->event);
    plx_buf_fini(&a->key);
    plx_buf_fini(&a->binary);
}

static unsigned say_unknown(plx_slice topic, plx_buf *error)
{
    plx_admin_error(error, "unknown_topic",
                    "Compare it with the channel patterns in the configuration.",
                    "no socket has a channel for the topic \"%.*s\"", (int)topic.len, topic.data);
    return 404;
}

static unsigned read_names(const plx_config *config, const plx_json_value *values,
                           plx_admin_publication *out, plx_buf *error)
{
    unsigned status;

    status = read_name(&values[0], "topic", "invalid_topic", PLX_NAME_MAX, &out->topic, error);
    if (status == 0)
        status = read_name(&values[1], "event", "invalid_event", PLX_NAME_MAX, &out->event, error);
    if (status == 0 && values[4].type != PLX_JSON_NONE)
        status = read_name(&values[4], "key", "invalid_key", PLX_ADMIN_KEY_MAX, &out->key, error);
    if (status != 0)
        return status;
    out->p.topic = plx_buf_slice(&out->topic);
    out->p.event = plx_buf_slice(&out->event);
    out->p.key = plx_buf_slice(&out->key);
    out->p.latest_ttl_s = plx_route_latest(config, out->p.topic);
    if (plx_route_history(config, out->p.topic, &out->p.history_size, &out->p.history_ttl_s))
        return 0;
    return say_unknown(out->p.topic, error);
}

unsigned plx_admin_read_publication(const plx_config *config, plx_slice json,
                                    plx_admin_publication *out, plx_buf *error)
{
    static const char *const names[] = {"topic", "event", "payload", "payload_base64", "key"};
    plx_json_value values[5];
    unsigned status;

    memset(&out->p, 0, sizeof out->p);
    plx_buf_clear(&out->key);
    status = read_members(json, names, values, 5,
                          "Members are topic, event, payload or payload_base64, and key.", error);
    if (status == 0)
        status = read_names(config, values, out, error);
    if (status == 0)
        status = read_payload(&values[2], &values[3], config->max_body_bytes, out, error);
    return status;
}

unsigned plx_admin_read_presence(const plx_config *config, plx_slice json, plx_buf *topic,
                                 bool *count, plx_buf *error)
{
    static const char *const names[] = {"topic", "count"};
    plx_json_value values[2];
    uint64_t size = 0, ttl_s = 0;
    unsigned status = read_members(json, names, values, 2, "There are topic and count.", error);

    if (status == 0)
        status = read_name(&values[0], "topic", "invalid_topic", PLX_NAME_MAX, topic, error);
    if (status != 0)
        return status;
    *count = values[1].type != PLX_JSON_NONE && values[1].type != PLX_JSON_FALSE;
    if (plx_route_history(config, plx_buf_slice(topic), &size, &ttl_s))
        return 0;
    return say_unknown(plx_buf_slice(topic), error);
}

static unsigned read_since(const plx_json_value *value, plx_admin_history_query *out,
                           plx_buf *error)
{
    plx_buf text;
    int err = PLX_E_INVALID;

    out->has_since = value->type != PLX_JSON_NONE;
    if (!out->has_since)
        return 0;
    plx_buf_init(&text, 0);
    if (value->type == PLX_JSON_STRING && plx_json_unquote(value->text, &text) == 0)
        err = plx_position_parse(plx_buf_slice(&text), &out->since);
    plx_buf_fini(&text);
    if (err == 0)
        return 0;
    plx_admin_error(error, "invalid_since",
                    "Use a position as publish, history, or a message's ref gave it.",
                    "\"since\" must be a position, \"EPOCH:OFFSET\"");
    return 422;
}

static unsigned read_limit(const plx_json_value *value, plx_admin_history_query *out,
                           plx_buf *error)
{
    plx_slice digits = value->text;
    size_t n = 0;

    out->limit = HISTORY_LIMIT;
    if (value->type == PLX_JSON_NONE)
        return 0;
    if (value->type == PLX_JSON_STRING)
        digits = plx_slice_make(digits.data + 1, digits.len - 2);
    for (size_t i = 0; i < digits.len && n <= PLX_HISTORY_LIMIT; i++)
        n = digits.data[i] >= '0' && digits.data[i] <= '9' ? n * 10 + (size_t)(digits.data[i] - '0')
                                                           : PLX_HISTORY_LIMIT + 1;
    out->limit = n;
    if (n >= 1 && n <= PLX_HISTORY_LIMIT)
        return 0;
    plx_admin_error(error, "invalid_limit", NULL, "\"limit\" must be a number from 1 to %d",
                    PLX_HISTORY_LIMIT);
    return 422;
}

static unsigned find_history(const plx_config *config, plx_admin_history_query *out, plx_buf *error)
{
    plx_slice topic = plx_buf_slice(&out->topic);

    if (!plx_route_history(config, topic, &out->history.size, &out->history.ttl_s))
        return say_unknown(topic, error);
    if (out->history.size > 0)
        return 0;
    plx_admin_error(error, "no_history", "Give the channel a history section in the configuration.",
                    "the channel of the topic \"%.*s\" keeps no history", (int)topic.len,
                    topic.data);
    return 422;
}

unsigned plx_admin_read_history(const plx_config *config, plx_slice json,
                                plx_admin_history_query *out, plx_buf *error)
{
    static const char *const names[] = {"topic", "since", "limit"};
    plx_json_value values[3];
    unsigned status =
        read_members(json, names, values, 3, "There are topic, since and limit.", error);

    if (status == 0)
        status = read_name(&values[0], "topic", "invalid_topic", PLX_NAME_MAX, &out->topic, error);
    if (status == 0)
        status = find_history(config, out, error);
    if (status == 0)
        status = read_since(&values[1], out, error);
    if (status == 0)
        status = read_limit(&values[2], out, error);
    return status;
}

unsigned plx_admin_read_id(plx_slice json, plx_buf *id, plx_buf *error)
{
    static const char *const names[] = {"id"};
    plx_json_value value;
    unsigned status = read_members(json, names, &value, 1, "The only member is id.", error);

    return status != 0 ? status : read_name(&value, "id", "invalid_id", PLX_NAME_MAX, id, error);
}
