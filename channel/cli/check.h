/* Parts of `pollux check`. */
#ifndef PLX_CHANNEL_CLI_CHECK_H
#define PLX_CHANNEL_CLI_CHECK_H

#include "base/config.h"

/* Whether the configuration's modules are there and can be loaded and opened as workers do it; else
 * stderr says what is wrong. It is tried in a process of its own: foreign code may take it along.
 */
bool plx_check_modules(const plx_config *c);

#endif
