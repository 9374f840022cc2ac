/* A module that has nothing to offer. */
#include "channel/backend.h"

const plx_backend *pollux_backend(void);

const plx_backend *pollux_backend(void)
{
    return NULL;
}
