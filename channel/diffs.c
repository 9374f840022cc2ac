#include "channel/diffs.h"

bool plx_diffs_take(plx_diffs *d, const plx_event *e, bool answers)
{
    uint64_t offset = e->position.offset;

    switch (d->mode) {
    case PLX_DIFFS_PLAIN:
        return true;
    case PLX_DIFFS_HAS:
        return offset > d->at;
    case PLX_DIFFS_WAITS:
        if (answers)
            d->mode = PLX_DIFFS_DUE;
        break;
    case PLX_DIFFS_DUE:
        break;
    }
    if (offset > d->at)
        d->at = offset;
    return false;
}

void plx_diffs_given(plx_diffs *d, uint64_t offset)
{
    d->mode = PLX_DIFFS_HAS;
    if (offset > d->at)
        d->at = offset;
}
