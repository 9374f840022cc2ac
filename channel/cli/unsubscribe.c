/* pollux unsubscribe ID TOPIC */
#include "channel/cli/cli.h"
#include "channel/cli/operation.h"
#include <getopt.h> /* optind */
#include <stdio.h>

static int help(void)
{
    puts("Usage: pollux unsubscribe ID TOPIC [--config FILE]\n"
         "\n"
         "Closes the channel of this topic on every socket with this id, on both transports, and\n"
         "prints how many there were: {\"channels\":N}. The clients get phx_close, after which\n"
         "phoenix.js does not join again by itself.\n"
         "\n"
         "  ID     as the socket's `id` template makes it, e.g. user_socket:42\n"
         "\n"
         "Exit status: 0 done, 1 refused or Redis not reachable, 2 wrong command line.");
    return PLX_CLI_OK;
}

static int unsubscribe(const char *id, const char *topic, const char *config_path)
{
    json_object *body = plx_json_new_object();
    int status = plx_cli_add_string("unsubscribe", body, "id", id);

    if (status == 0)
        status = plx_cli_add_string("unsubscribe", body, "topic", topic);
    if (status == 0)
        status = plx_cli_operation("unsubscribe", config_path, body, plx_admin_unsubscribe);
    json_object_put(body);
    return status;
}

int plx_cli_unsubscribe(int argc, char **argv, const char *config_path)
{
    int status = plx_cli_words("unsubscribe", argc, argv, 2, "one ID and one TOPIC", help);

    return status >= 0 ? status : unsubscribe(argv[optind], argv[optind + 1], config_path);
}
