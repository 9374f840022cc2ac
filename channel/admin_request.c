#include "channel/admin_request.h"

#include "base/base64.h"
#include "base/error.h"
#include "channel/admin_error.h"
#include "channel/message.h"
#include "channel/report.h"
#include "channel/route.h"
#include "store/rules.h"

_Static_assert(PLX_NAME_MAX == PLX_RULES_NAME_MAX, "every way to publish has the same bounds");

/* Bytes of a wrong member's name that an error quotes. */
#define QUOTED_MAX 100

#define HISTORY_LIMIT 100 /* messages that are given when nobody says how many */

unsigned plx_admin_read_body(plx_slice body, plx_json_value *value, json_object *error)
{
    if (plx_json_check(body, value) == 0)
        return 0;
    plx_admin_error(error, "invalid_json",
                    "Let a JSON library write it. NaN, single quotes, raw newlines in strings, lone"
                    " surrogates and text that is not UTF-8 are no JSON.",
                    body.len == 0 ? "the body is empty" : "the body is no valid JSON (RFC 8259)");
    return 400;
}

/* The name of a member among the known ones, or NULL with an error. It is read as json-c reads a
 * value: as a name it would end at a U+0000. */
static const char *known_name(plx_slice key, const char *const *names, const char *known,
                              json_object *error)
{
    json_object *name = NULL;
    const char *found = NULL;
    plx_slice text;

    plx_json_read(key, &name);
    text = plx_json_text(name);
    for (; *names && !found; names++)
        found = plx_slice_is(text, *names) ? *names : NULL;
    if (!found) {
        size_t len = text.len < QUOTED_MAX ? text.len : QUOTED_MAX;
        while (len < text.len && len > 0 && (text.data[len] & 0xC0) == 0x80)
            len--; /* not into a character */
        plx_admin_error(error, "unknown_member", known, "unknown member \"%.*s\"", (int)len,
                        text.data);
    }
    json_object_put(name);
    return found;
}

/* Puts the members that are strings into `members`, the others as null; the text of the one called
 * "payload", which is only passed on, goes to *payload. 422 for a member whose name is not among
 * `names`. */
static unsigned read_members(plx_json_value body, const char *const *names, const char *known,
                             json_object *members, plx_slice *payload, json_object *error)
{
    plx_json_value value;
    plx_slice key;

    if (body.type != PLX_JSON_OBJECT) {
        plx_admin_error(error, "invalid_body", known, "expected a JSON object");
        return 422;
    }
    for (size_t pos = 0; plx_json_next(body.text, &pos, &key, &value);) {
        const char *name = known_name(key, names, known, error);
        json_object *string = NULL;
        if (!name)
            return 422;
        if (strcmp(name, "payload") == 0) {
            *payload = value.text;
            continue;
        }
        if (value.type == PLX_JSON_STRING)
            plx_json_read(value.text, &string);
        plx_json_put(members, name, string);
    }
    return 0;
}

/* A string of 1 to max bytes. */
static unsigned read_name(json_object *members, const char *name, const char *code, size_t max,
                          plx_slice *out, json_object *error)
{
    json_object *value;
    bool there = json_object_object_get_ex(members, name, &value);

    *out = plx_json_text(value);
    if (out->len > 0 && out->len <= max)
        return 0;
    plx_admin_error(error, code,
                    there ? "Shorten it, or write it as a JSON string in UTF-8."
                          : "Add it; the README's table of the server API shows each request.",
                    "\"%s\" must be a string of 1 to %zu bytes%s", name, max,
                    there ? "" : "; it is missing");
    return 422;
}

static unsigned read_binary(json_object *base64, plx_admin_publication *out, json_object *error)
{
    plx_slice text = plx_json_text(base64);

    plx_buf_clear(&out->binary);
    if (!text.data || plx_base64_decode(&out->binary, text,
                                        PLX_B64_STANDARD | PLX_B64_NOPAD | PLX_B64_EITHER) != 0) {
        plx_admin_error(error, "invalid_payload",
                        "Use the alphabet with + and / or that with - and _; padding is optional.",
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

static unsigned read_payload(plx_slice json, size_t max, plx_admin_publication *out,
                             json_object *error)
{
    json_object *base64;
    bool is_binary = json_object_object_get_ex(out->members, "payload_base64", &base64);
    unsigned status = 0;

    if (is_binary == (json.len > 0)) {
        plx_admin_error(error, "invalid_payload",
                        "Send any JSON value as \"payload\", or bytes as \"payload_base64\".",
                        "expected either \"payload\" or \"payload_base64\"");
        return 422;
    }
    out->p.kind = PLX_KIND_JSON;
    out->p.payload = json;
    if (is_binary)
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
    a->members = NULL;
    plx_buf_init(&a->binary, 0);
}

void plx_admin_publication_fini(plx_admin_publication *a)
{
    json_object_put(a->members);
    plx_buf_fini(&a->binary);
}

static unsigned say_unknown(plx_slice topic, json_object *error)
{
    plx_admin_error(error, "unknown_topic",
                    "Compare it with the channel patterns in the configuration.",
                    "no socket has a channel for the topic \"%.*s\"", (int)topic.len, topic.data);
    return 404;
}

static unsigned read_names(const plx_config *config, plx_admin_publication *out, json_object *error)
{
    json_object *members = out->members;
    plx_publication *p = &out->p;
    plx_route_kept kept;
    unsigned status;

    status = read_name(members, "topic", "invalid_topic", PLX_NAME_MAX, &p->topic, error);
    if (status == 0)
        status = read_name(members, "event", "invalid_event", PLX_NAME_MAX, &p->event, error);
    if (status == 0 && json_object_object_get_ex(members, "key", NULL))
        status = read_name(members, "key", "invalid_key", PLX_ADMIN_KEY_MAX, &p->key, error);
    if (status != 0)
        return status;
    if (!plx_route_topic(config, p->topic, &kept))
        return say_unknown(p->topic, error);
    p->history_size = kept.history_size;
    p->history_ttl_s = kept.history_ttl_s;
    p->latest_ttl_s = kept.latest_ttl_s;
    return 0;
}

unsigned plx_admin_read_publication(const plx_config *config, plx_json_value body,
                                    plx_admin_publication *out, json_object *error)
{
    static const char *const names[] = {"topic", "event", "payload", "payload_base64", "key", NULL};
    plx_slice payload = {0};
    unsigned status;

    plx_admin_publication_fini(out);
    plx_admin_publication_init(out);
    out->members = plx_json_new_object();
    status =
        read_members(body, names, "Members are topic, event, payload or payload_base64, and key.",
                     out->members, &payload, error);
    if (status == 0)
        status = read_names(config, out, error);
    if (status == 0)
        status = read_payload(payload, config->max_body_bytes, out, error);
    return status;
}

unsigned plx_admin_read_presence(const plx_config *config, plx_json_value query, plx_buf *topic,
                                 bool *count, json_object *error)
{
    static const char *const names[] = {"topic", "count", NULL};
    json_object *members = plx_json_new_object(), *asked;
    plx_route_kept kept;
    plx_slice text, none;
    unsigned status =
        read_members(query, names, "There are topic and count.", members, &none, error);

    if (status == 0)
        status = read_name(members, "topic", "invalid_topic", PLX_NAME_MAX, &text, error);
    if (status == 0) {
        plx_buf_add(topic, text);
        *count = json_object_object_get_ex(members, "count", &asked);
        if (!plx_route_topic(config, text, &kept))
            status = say_unknown(text, error);
    }
    json_object_put(members);
    return status;
}

static unsigned read_since(json_object *members, plx_admin_history_query *out, json_object *error)
{
    json_object *value;

    out->has_since = json_object_object_get_ex(members, "since", &value);
    if (!out->has_since || plx_position_parse(plx_json_text(value), &out->since) == 0)
        return 0;
    plx_admin_error(error, "invalid_since",
                    "Use a position as publish, history, or a message's ref gave it.",
                    "\"since\" must be a position, \"EPOCH:OFFSET\"");
    return 422;
}

static unsigned read_limit(json_object *members, plx_admin_history_query *out, json_object *error)
{
    json_object *value;
    plx_slice digits;
    size_t n = 0;

    out->limit = HISTORY_LIMIT;
    if (!json_object_object_get_ex(members, "limit", &value))
        return 0;
    digits = plx_json_text(value);
    for (size_t i = 0; i < digits.len && n <= PLX_HISTORY_LIMIT; i++)
        n = digits.data[i] >= '0' && digits.data[i] <= '9' ? n * 10 + (size_t)(digits.data[i] - '0')
                                                           : PLX_HISTORY_LIMIT + 1;
    out->limit = n;
    if (n >= 1 && n <= PLX_HISTORY_LIMIT)
        return 0;
    plx_admin_error(error, "invalid_limit", "Ask for more with the \"since\" of the answer.",
                    "\"limit\" must be a number from 1 to %d", PLX_HISTORY_LIMIT);
    return 422;
}

static unsigned find_history(const plx_config *config, plx_admin_history_query *out,
                             json_object *error)
{
    plx_route_kept kept;

    if (!plx_route_topic(config, out->topic, &kept))
        return say_unknown(out->topic, error);
    out->history.size = kept.history_size;
    out->history.ttl_s = kept.history_ttl_s;
    if (out->history.size > 0)
        return 0;
    plx_admin_error(error, "no_history", "Give the channel a history section in the configuration.",
                    "the channel of the topic \"%.*s\" keeps no history", (int)out->topic.len,
                    out->topic.data);
    return 422;
}

unsigned plx_admin_read_history(const plx_config *config, plx_json_value query,
                                plx_admin_history_query *out, json_object *error)
{
    static const char *const names[] = {"topic", "since", "limit", NULL};
    plx_slice none;
    unsigned status;

    out->members = plx_json_new_object();
    status =
        read_members(query, names, "There are topic, since and limit.", out->members, &none, error);
    if (status == 0)
        status =
            read_name(out->members, "topic", "invalid_topic", PLX_NAME_MAX, &out->topic, error);
    if (status == 0)
        status = find_history(config, out, error);
    if (status == 0)
        status = read_since(out->members, out, error);
    if (status == 0)
        status = read_limit(out->members, out, error);
    return status;
}

unsigned plx_admin_read_id(plx_json_value body, plx_buf *id, json_object *error)
{
    static const char *const names[] = {"id", NULL};
    json_object *members = plx_json_new_object();
    plx_slice text, none;
    unsigned status = read_members(body, names, "The only member is id.", members, &none, error);

    if (status == 0)
        status = read_name(members, "id", "invalid_id", PLX_NAME_MAX, &text, error);
    if (status == 0)
        plx_buf_add(id, text);
    json_object_put(members);
    return status;
}

unsigned plx_admin_read_unsubscribe(const plx_config *config, plx_json_value body, plx_buf *id,
                                    plx_buf *topic, json_object *error)
{
    static const char *const names[] = {"id", "topic", NULL};
    json_object *members = plx_json_new_object();
    plx_route_kept kept;
    plx_slice name, channel, none;
    unsigned status = read_members(body, names, "Members are id and topic.", members, &none, error);

    if (status == 0)
        status = read_name(members, "id", "invalid_id", PLX_NAME_MAX, &name, error);
    if (status == 0)
        status = read_name(members, "topic", "invalid_topic", PLX_NAME_MAX, &channel, error);
    if (status == 0) {
        plx_buf_add(id, name);
        plx_buf_add(topic, channel);
        if (!plx_route_topic(config, channel, &kept))
            status = say_unknown(channel, error);
    }
    json_object_put(members);
    return status;
}

unsigned plx_admin_read_info(plx_json_value query, plx_buf *about, json_object *error)
{
    static const char *const names[] = {"topic", "id", NULL};
    json_object *members = plx_json_new_object();
    bool topic, id;
    plx_slice text, none;
    unsigned status = read_members(query, names, "There are topic and id.", members, &none, error);

    topic = json_object_object_get_ex(members, "topic", NULL);
    id = json_object_object_get_ex(members, "id", NULL);
    if (status == 0 && topic && id) {
        plx_admin_error(error, "invalid_query", "Ask twice.",
                        "only one of topic and id is told of");
        status = 422;
    } else if (status == 0 && (topic || id)) {
        status = read_name(members, topic ? "topic" : "id", topic ? "invalid_topic" : "invalid_id",
                           PLX_NAME_MAX, &text, error);
        if (status == 0) {
            plx_buf_byte(about, topic ? PLX_ABOUT_TOPIC : PLX_ABOUT_ID);
            plx_buf_add(about, text);
        }
    }
    json_object_put(members);
    return status;
}
