/* What `publish` and `disconnect` have in common: one operation of channel/admin, from the command
 * line. */
#ifndef PLX_CHANNEL_CLI_OPERATION_H
#define PLX_CHANNEL_CLI_OPERATION_H

#include "channel/admin.h"

/* Loads the configuration, waits for Redis, calls run(store, body, cb, arg) and turns a loop until
 * it has answered, all within 5 s. What came with status 200 is printed on standard output as one
 * line; anything else becomes a complaint "pollux COMMAND: ..." on standard error. Returns the exit
 * status. */
int plx_cli_operation(const char *command, const char *config_path, plx_slice body,
                      void (*run)(plx_store *s, plx_slice body, plx_admin_cb *cb, void *arg));

/* Appends ,"NAME":"VALUE" (without the comma at the beginning of an object). A value that is not
 * UTF-8 is a usage error: 0, or PLX_CLI_USAGE after complaining. */
int plx_cli_add_string(const char *command, plx_buf *body, const char *name, const char *value);

#endif
