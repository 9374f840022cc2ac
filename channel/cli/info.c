/* pollux info [--topic T | --id ID] */
#include "channel/cli/cli.h"
#include "channel/cli/operation.h"
#include <getopt.h>
#include <stdio.h>

static int help(void)
{
    puts("Usage: pollux info [--topic TOPIC | --id ID] [--config FILE]\n"
         "\n"
         "Prints what runs: the workers of both kinds on all machines, as far as they answer\n"
         "within half a second, with their sockets, channels and memory; Redis; and what is\n"
         "configured, without secrets.\n"
         "\n"
         "  --topic TOPIC  also how many channels of this topic are joined (\"about\")\n"
         "  --id ID        also how many sockets there are with this id\n"
         "\n"
         "Exit status: 0 done, 1 Redis not reachable, 2 wrong command line.");
    return PLX_CLI_OK;
}

int plx_cli_info(int argc, char **argv, const char *config_path)
{
    static const struct option options[] = {{"topic", required_argument, NULL, 't'},
                                            {"id", required_argument, NULL, 'i'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    json_object *query = plx_json_new_object();
    int c, status = 0;

    opterr = 0;
    while (status == 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (c == 'h') {
            json_object_put(query);
            return help();
        }
        if (c == 't' || c == 'i')
            status = plx_cli_add_string("info", query, c == 't' ? "topic" : "id", optarg);
        else
            status = plx_cli_usage_error(
                "info", c == ':' ? "%s needs a value" : "unknown option \"%s\"", argv[optind - 1]);
    }
    if (status == 0 && argc != optind)
        status = plx_cli_usage_error("info", "unexpected argument \"%s\"", argv[optind]);
    if (status == 0)
        status = plx_cli_operation("info", config_path, query, plx_admin_info);
    json_object_put(query);
    return status;
}
