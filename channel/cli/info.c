/* pollux info */
#include "channel/cli/cli.h"
#include "channel/cli/operation.h"
#include <getopt.h>
#include <stdio.h>

static int help(void)
{
    puts("Usage: pollux info [--config FILE]\n"
         "\n"
         "Prints what runs: the workers of both kinds on all machines, as far as they answer\n"
         "within half a second, with their sockets, channels and memory; Redis; and what is\n"
         "configured, without secrets.\n"
         "\n"
         "Exit status: 0 done, 1 Redis not reachable, 2 wrong command line.");
    return PLX_CLI_OK;
}

int plx_cli_info(int argc, char **argv, const char *config_path)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    json_object *query;
    int c, status;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (c == 'h')
            return help();
        return plx_cli_usage_error("info", "unknown option \"%s\"", argv[optind - 1]);
    }
    if (argc != optind)
        return plx_cli_usage_error("info", "unexpected argument \"%s\"", argv[optind]);
    query = plx_json_new_object();
    status = plx_cli_operation("info", config_path, query, plx_admin_info);
    json_object_put(query);
    return status;
}
