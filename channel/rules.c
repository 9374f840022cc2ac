#include "channel/rules.h"

#include "base/json_scan.h"
#include "channel/template.h"

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

static bool is_only_topic(const char *tmpl, plx_slice topic, plx_slice params, plx_slice claims)
{
    plx_buf text;
    bool same;

    plx_buf_init(&text, PLX_TEMPLATE_MAX);
    same = plx_template_expand(tmpl, params, claims, &text) == 0 &&
           plx_slice_eq(plx_buf_slice(&text), topic);
    plx_buf_fini(&text);
    return same;
}

bool plx_rules_may_join(const plx_channel_config *c, plx_slice topic, plx_slice params,
                        plx_slice claims)
{
    return allows(c->join, claims) &&
           (!c->only_topic || is_only_topic(c->only_topic, topic, params, claims));
}

bool plx_rules_may_push(const plx_channel_config *c, plx_slice claims)
{
    return allows(c->push, claims);
}
