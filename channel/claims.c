/* A JSON object that came signed. */
#include "channel/claims.h"
#include "base/error.h"
#include "base/map.h"
#include <math.h>
#include <stdlib.h>

/* Milliseconds are exact as doubles below. */
#define EXACT_MAX 9007199254740992.0

/* Whether two members have one name, once escapes are read. `object` is valid. */
static bool has_twins(plx_slice object)
{
    plx_map *seen = plx_map_new();
    plx_buf names;
    plx_slice key;
    plx_json_value value;
    size_t pos = 0;
    bool twins = false;
    plx_buf_init(&names, 0);
    /* In one piece, because the map borrows: unescaped they are never longer. */
    plx_buf_reserve(&names, object.len);
    while (!twins && plx_json_next(object, &pos, &key, &value)) {
        size_t from = names.len;
        plx_json_unquote(key, &names);
        twins = plx_map_put(seen, plx_slice_make(names.data + from, names.len - from), seen);
    }
    plx_map_free(seen);
    plx_buf_fini(&names);
    return twins;
}

int plx_claims_open(plx_slice text, plx_slice *object)
{
    plx_json_value value;
    if (plx_json_check(text, &value) != 0 || value.type != PLX_JSON_OBJECT || has_twins(value.text))
        return PLX_E_INVALID;
    *object = value.text;
    return 0;
}

int plx_claims_time(const plx_json_value *v, uint64_t *ms)
{
    plx_buf digits;
    if (v->type != PLX_JSON_NUMBER)
        return PLX_E_INVALID;
    plx_buf_init(&digits, 0);
    plx_buf_add(&digits, v->text);
    double d = ceil(strtod(plx_buf_cstr(&digits), NULL) * 1000);
    plx_buf_fini(&digits);
    if (d <= 0)
        *ms = 0;
    else
        *ms = d < EXACT_MAX ? (uint64_t)d : PLX_CLAIMS_FOREVER;
    return 0;
}

int plx_claims_expiry(const plx_json_value *exp, uint64_t wall_ms, plx_verdict *verdict)
{
    uint64_t ms;
    if (plx_claims_time(exp, &ms) != 0) {
        verdict->reason = "token's exp is no number";
        return PLX_E_INVALID;
    }
    if (wall_ms >= ms) {
        verdict->reason = "token expired";
        return PLX_E_GONE;
    }
    verdict->expires_ms = ms == PLX_CLAIMS_FOREVER ? 0 : ms;
    return 0;
}
