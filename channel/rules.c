/* Who may join and what may be pushed, before any backend is asked. */
#include "channel/rules.h"

#include "base/json_scan.h"
#include "channel/rate.h"
#include "channel/template.h"
#include <assert.h>
#include <stdlib.h>

/* Claims without a member are those of a socket without a token. */
static bool authenticated(plx_slice claims)
{
    size_t pos = 0;
    plx_slice key;
    plx_json_value value;

    return claims.len > 0 && plx_json_next(claims, &pos, &key, &value);
}

static bool allows(enum plx_who who, plx_slice claims)
{
    return who == PLX_WHO_ANY || (who == PLX_WHO_AUTHENTICATED && authenticated(claims));
}

static bool is_only_topic(const char *tmpl, const plx_asker *a)
{
    plx_buf text;
    bool same;

    plx_buf_init(&text, PLX_TEMPLATE_MAX);
    same = plx_template_expand(tmpl, a->params, a->claims, &text) == 0 &&
           plx_slice_eq(plx_buf_slice(&text), a->topic);
    plx_buf_fini(&text);
    return same;
}

/* ---- capabilities ---- */

static bool matches(plx_slice pattern, plx_slice topic)
{
    if (pattern.data[pattern.len - 1] != '*')
        return plx_slice_eq(pattern, topic);
    pattern.len--;
    return plx_slice_starts(topic, pattern);
}

/* Whether one of the list's patterns is the topic's; *valid: whether it is a list of patterns. */
static bool find_pattern(plx_slice list, plx_slice topic, bool *valid)
{
    plx_buf pattern;
    plx_json_value item;
    plx_slice key;
    size_t pos = 0;
    bool found = false;

    plx_buf_init(&pattern, 0);
    *valid = true;
    while (*valid && plx_json_next(list, &pos, &key, &item)) {
        plx_buf_clear(&pattern);
        *valid = item.type == PLX_JSON_STRING && plx_json_unquote(item.text, &pattern) == 0 &&
                 plx_pattern_valid(plx_buf_slice(&pattern));
        found = found || (*valid && matches(plx_buf_slice(&pattern), topic));
    }
    plx_buf_fini(&pattern);
    return found;
}

static bool has_capability(const plx_asker *a, const char *name)
{
    enum plx_auth_type type = a->socket->auth.type;
    plx_json_value list;
    bool valid;

    if ((type != PLX_AUTH_TICKET && type != PLX_AUTH_JWT && type != PLX_AUTH_HOOK) ||
        a->claims.len == 0)
        return true;
    if (plx_json_cut_object(a->claims, &name, &list, 1) != 0)
        return false;
    if (list.type == PLX_JSON_NONE)
        return true;
    return list.type == PLX_JSON_ARRAY && find_pattern(list.text, a->topic, &valid) && valid;
}

/* ---- what is asked for ---- */

static bool is_event(const plx_channel_config *c, plx_slice event)
{
    return c->events.count == 0 || strcmp(c->backend, "http") == 0 ||
           plx_strings_has(&c->events, event);
}

static bool fits(const plx_channel_config *c, size_t bytes)
{
    return c->max_payload_bytes == 0 || bytes <= c->max_payload_bytes;
}

enum plx_refusal plx_rules_join(const plx_asker *a, size_t payload_bytes)
{
    const plx_channel_config *c = a->channel;

    if (!allows(c->join, a->claims) || !has_capability(a, "join") ||
        (c->only_topic && !is_only_topic(c->only_topic, a)))
        return PLX_REFUSED_WHO;
    return fits(c, payload_bytes) ? PLX_ALLOWED : PLX_REFUSED_SIZE;
}

enum plx_refusal plx_rules_push(const plx_asker *a, plx_slice event, size_t payload_bytes,
                                uint64_t *bucket, uint64_t now_ms)
{
    const plx_channel_config *c = a->channel;

    if (!allows(c->push, a->claims) || !has_capability(a, "push"))
        return PLX_REFUSED_WHO;
    if (!is_event(c, event))
        return PLX_REFUSED_EVENT;
    if (!fits(c, payload_bytes))
        return PLX_REFUSED_SIZE;
    if (c->has_rate && !plx_rate_take(bucket, c->rate_per_s, c->rate_burst, now_ms))
        return PLX_REFUSED_RATE;
    return PLX_ALLOWED;
}

plx_payload plx_rules_response(enum plx_refusal refusal)
{
    switch (refusal) {
    case PLX_ALLOWED:
        break;
    case PLX_REFUSED_WHO:
        return PLX_JSON_PAYLOAD("{\"reason\":\"unauthorized\"}");
    case PLX_REFUSED_EVENT:
        return PLX_JSON_PAYLOAD("{\"reason\":\"event not allowed\"}");
    case PLX_REFUSED_SIZE:
        return PLX_JSON_PAYLOAD("{\"reason\":\"payload too large\"}");
    case PLX_REFUSED_RATE:
        return PLX_JSON_PAYLOAD("{\"reason\":\"rate limited\"}");
    }
    assert(!"a refusal");
    abort();
}
