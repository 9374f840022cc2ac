/* See fair.h. */
#include "channel/fair.h"

#include "base/alloc.h"
#include "base/map.h"

#include <assert.h>
#include <stdlib.h>

struct plx_fair {
    plx_map *shares; /* by plx_fair_share.name */
};

plx_fair *plx_fair_new(void)
{
    plx_fair *f = plx_alloc_zero(1, sizeof *f);

    f->shares = plx_map_new();
    return f;
}

void plx_fair_free(plx_fair *f)
{
    plx_map_free(f->shares);
    free(f);
}

const plx_fair_share *plx_fair_find(const plx_fair *f, plx_slice name)
{
    return plx_map_get(f->shares, name);
}

static plx_fair_share *share_new(plx_fair *f, plx_slice name)
{
    plx_fair_share *share = plx_alloc_zero(1, sizeof *share + name.len);
    char *copy = (char *)(share + 1);

    memcpy(copy, name.data, name.len);
    share->name = plx_slice_make(copy, name.len);
    plx_map_put(f->shares, share->name, share);
    return share;
}

plx_fair_share *plx_fair_add(plx_fair *f, plx_slice name, size_t bytes)
{
    plx_fair_share *share = plx_map_get(f->shares, name);

    if (!share)
        share = share_new(f, name);
    share->count++;
    share->bytes += bytes;
    return share;
}

void plx_fair_drop(plx_fair *f, plx_fair_share *share, size_t bytes)
{
    assert(share->count > 0 && share->bytes >= bytes);
    share->bytes -= bytes;
    if (--share->count > 0)
        return;
    plx_map_remove(f->shares, share->name);
    free(share);
}
