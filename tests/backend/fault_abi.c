/* A module that was made for a later version of the interface. */
#include "channel/backend.h"

const plx_backend *pollux_backend(void);

static const plx_backend later = {.abi = PLX_BACKEND_ABI + 1, .name = "later"};

const plx_backend *pollux_backend(void)
{
    return &later;
}
