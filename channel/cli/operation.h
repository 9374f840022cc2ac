/* What commands have in common that are one operation of channel/admin. */
#ifndef PLX_CHANNEL_CLI_OPERATION_H
#define PLX_CHANNEL_CLI_OPERATION_H

#include "base/json.h"
#include "channel/admin.h"

/* Loads the configuration, waits for Redis, calls run(store, body, cb, arg) with the body as text
 * and turns a loop until it has answered, all within 5 s. What came with status 200 or 207
 * (PLX_CLI_REFUSED then) is printed on standard output as one line; anything else becomes a
 * complaint "pollux COMMAND: ..." on standard error. Returns the exit status. */
int plx_cli_operation(const char *command, const char *config_path, json_object *body,
                      void (*run)(plx_store *s, plx_slice body, plx_admin_cb *cb, void *arg));

/* Puts a string into the body. A value that is not UTF-8 is a usage error: 0, or PLX_CLI_USAGE
 * after complaining. */
int plx_cli_add_string(const char *command, json_object *body, const char *name, const char *value);

/* Reads the command line of a command that has words and no option but --help: -1 when there are
 * `count` words (from argv[optind] on), else the exit status, after help() or after complaining
 * that `expected` was expected. */
int plx_cli_words(const char *command, int argc, char **argv, int count, const char *expected,
                  int (*help)(void));

#endif
