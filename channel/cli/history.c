/* pollux history TOPIC [--since POSITION] [--limit N] */
#include "channel/cli/cli.h"
#include "channel/cli/operation.h"
#include <getopt.h>
#include <stdio.h>

static int help(void)
{
    puts("Usage: pollux history TOPIC [--since POSITION] [--limit N] [--config FILE]\n"
         "\n"
         "Prints the last messages that the topic's history holds, oldest first:\n"
         "{\"messages\":[{\"position\",\"event\",\"payload\"}],\"position\":\"EPOCH:OFFSET\"}\n"
         "\n"
         "  --since POSITION  the messages after that position instead, all or none: it must\n"
         "                    still be in reach. The position that is printed last is the one\n"
         "                    to go on from.\n"
         "  --limit N         at most so many messages, 1 to 1000 (100)\n"
         "\n"
         "Put -- before a TOPIC that begins with a minus sign.\n"
         "Exit status: 0 done, 1 refused (the position is out of reach, the topic has no\n"
         "history) or Redis not reachable, 2 wrong command line.");
    return PLX_CLI_OK;
}

static int history(const char *topic, const char *since, const char *limit, const char *config_path)
{
    const char *const words[][2] = {{"topic", topic}, {"since", since}, {"limit", limit}};
    json_object *query = plx_json_new_object();
    int status = 0;

    for (size_t i = 0; status == 0 && i < 3; i++) {
        if (words[i][1])
            status = plx_cli_add_string("history", query, words[i][0], words[i][1]);
    }
    if (status == 0)
        status = plx_cli_operation("history", config_path, query, plx_admin_history);
    json_object_put(query);
    return status;
}

int plx_cli_history(int argc, char **argv, const char *config_path)
{
    static const struct option options[] = {{"since", required_argument, NULL, 's'},
                                            {"limit", required_argument, NULL, 'l'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *since = NULL, *limit = NULL;
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (c == 'h')
            return help();
        if (c == ':')
            return plx_cli_usage_error("history", "%s needs a value", argv[optind - 1]);
        if (c == 's')
            since = optarg;
        else if (c == 'l')
            limit = optarg;
        else
            return plx_cli_usage_error("history", "unknown option \"%s\"", argv[optind - 1]);
    }
    if (argc - optind != 1)
        return plx_cli_usage_error("history", "expected one TOPIC");
    return history(argv[optind], since, limit, config_path);
}
