/* pollux disconnect ID */
#include "channel/cli/cli.h"
#include "channel/cli/operation.h"
#include <getopt.h> /* optind */
#include <stdio.h>

static int help(void)
{
    puts("Usage: pollux disconnect ID [--config FILE]\n"
         "\n"
         "Closes every socket with this id (the socket section's `id`), on both transports, and\n"
         "prints how many there were: {\"sockets\":2}. Their clients connect again, and are asked\n"
         "for their token again.\n"
         "\n"
         "Exit status: 0 done, 1 refused or Redis not reachable, 2 wrong command line.");
    return PLX_CLI_OK;
}

static int disconnect(const char *id, const char *config_path)
{
    json_object *body = plx_json_new_object();
    int status = plx_cli_add_string("disconnect", body, "id", id);

    if (status == 0)
        status = plx_cli_operation("disconnect", config_path, body, plx_admin_disconnect);
    json_object_put(body);
    return status;
}

int plx_cli_disconnect(int argc, char **argv, const char *config_path)
{
    int status = plx_cli_words("disconnect", argc, argv, 1, "one ID", help);

    return status >= 0 ? status : disconnect(argv[optind], config_path);
}
