/* pollux presence TOPIC [--count] */
#include "channel/cli/cli.h"
#include "channel/cli/operation.h"
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

static int help(void)
{
    puts("Usage: pollux presence TOPIC [--count] [--config FILE]\n"
         "\n"
         "Prints who is on the topic: {\"KEY\":{\"metas\":[{\"phx_ref\":...}, ...]}, ...}, one "
         "meta for\n"
         "each device, tab or other socket of a key.\n"
         "\n"
         "  --count   only how many metas there are: {\"count\":N}. For a topic that is\n"
         "            count-only the one thing that can be asked\n"
         "\n"
         "Put -- before a TOPIC that begins with a minus sign.\n"
         "Exit status: 0 done, 1 refused (nothing routes the topic, it is count-only) or Redis\n"
         "not reachable, 2 wrong command line.");
    return PLX_CLI_OK;
}

static int presence(const char *topic, bool count, const char *config_path)
{
    json_object *query = plx_json_new_object();
    int status = plx_cli_add_string("presence", query, "topic", topic);

    if (status == 0 && count)
        status = plx_cli_add_string("presence", query, "count", "");
    if (status == 0)
        status = plx_cli_operation("presence", config_path, query, plx_admin_presence);
    json_object_put(query);
    return status;
}

int plx_cli_presence(int argc, char **argv, const char *config_path)
{
    static const struct option options[] = {
        {"count", no_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
    bool count = false;
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (c == 'h')
            return help();
        if (c != 'c')
            return plx_cli_usage_error("presence", "unknown option \"%s\"", argv[optind - 1]);
        count = true;
    }
    if (argc - optind != 1)
        return plx_cli_usage_error("presence", "expected one TOPIC");
    return presence(argv[optind], count, config_path);
}
