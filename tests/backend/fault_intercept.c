/* A module that intercepts an event and has no function to be asked about it. */
#include "channel/backend.h"

const plx_backend *pollux_backend(void);

static const char *const events[] = {"shout", NULL};
static const plx_backend deaf = {.abi = PLX_BACKEND_ABI, .name = "deaf", .intercept = events};

const plx_backend *pollux_backend(void)
{
    return &deaf;
}
