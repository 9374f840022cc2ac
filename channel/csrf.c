/* Double-submitted cookies. */
#include "channel/csrf.h"
#include "base/crypto.h"

/* Cuts `name = value`; what has no equals sign is no cookie that a server could have set. */
static bool cut(plx_slice pair, plx_slice *name, plx_slice *value)
{
    const char *at = pair.len > 0 ? memchr(pair.data, '=', pair.len) : NULL;
    if (!at)
        return false;
    size_t before = (size_t)(at - pair.data);
    *name = plx_slice_trim(plx_slice_make(pair.data, before));
    *value = plx_slice_trim(plx_slice_make(at + 1, pair.len - before - 1));
    return true;
}

bool plx_csrf_ok(plx_slice cookie_header, plx_slice name, plx_slice proof)
{
    plx_slice pair, cookie, value;
    bool found = false, same = true;
    if (proof.len == 0)
        return false;
    while (plx_slice_split(&cookie_header, ';', &pair)) {
        if (!cut(pair, &cookie, &value) || !plx_slice_eq(cookie, name))
            continue;
        found = true;
        same = plx_equal_secret(value, proof) && same;
    }
    return found && same;
}
