/* A module that needs a function which nobody has. */
#include "channel/backend.h"

const plx_backend *pollux_backend(void);
const plx_backend *nobody_has_this(void);

const plx_backend *pollux_backend(void)
{
    return nobody_has_this();
}
