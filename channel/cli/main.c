/* pollux: the command line.
 *
 * Reads the options that stand before the command, takes --config out wherever it
 * stands (an argument that is the very text "--config" goes behind "--"), and hands
 * over to the command's own function. Commands are a table: adding one is a line
 * here, a prototype in cli.h and a file.
 */
#include "channel/cli/cli.h"
#include "base/config.h"
#include "base/log.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct command {
    const char *name;
    int (*run)(int argc, char **argv, const char *config_path);
    const char *arguments, *about;
    bool own_default; /* without --config it is handed NULL instead of the usual places */
};

static const struct command commands[] = {
    {"dev", plx_cli_dev, "[options]", "run everything on this machine: try Pollux, test with it",
     true},
    {"check", plx_cli_check, "", "validate the configuration and reach its Redis", false},
    {"publish", plx_cli_publish, "TOPIC EVENT JSON", "broadcast to a topic, print the position",
     false},
    {"presence", plx_cli_presence, "TOPIC", "print who is on a topic, or --count", false},
    {"history", plx_cli_history, "TOPIC", "print what a topic's history holds", false},
    {"disconnect", plx_cli_disconnect, "ID", "close every socket of an id", false},
    {"info", plx_cli_info, "", "print what runs, on all machines", false},
    {"unsubscribe", plx_cli_unsubscribe, "ID TOPIC", "close a topic's channel on them", false},
    {"token", plx_cli_token, "sign|verify", "make and check tokens as sockets take them", true},
};

#define COMMANDS (sizeof commands / sizeof *commands)

static int help(void)
{
    char left[64];
    size_t i;

    puts("Usage: pollux [--config FILE] COMMAND [ARGUMENTS]\n"
         "\n"
         "Phoenix sockets and channels for any web application.\n"
         "\n"
         "Commands:");
    for (i = 0; i < COMMANDS; i++) {
        snprintf(left, sizeof left, "%s %s", commands[i].name, commands[i].arguments);
        printf("  %-27s %s\n", left, commands[i].about);
    }
    puts("\n"
         "Options, before or after the command:\n"
         "  --config FILE   the configuration; else $POLLUX_CONFIG, else /etc/pollux/pollux.conf\n"
         "  --version       print the version\n"
         "  --help          this page; after a command: about that command\n"
         "\n"
         "Results are JSON on standard output. Exit status: 0 done, 1 it did not work or was\n"
         "refused, 2 wrong command line.");
    return PLX_CLI_OK;
}

static int version(void)
{
    puts("pollux " PLX_VERSION);
    return PLX_CLI_OK;
}

/* Reads "--config FILE" or "--config=FILE" at argv[i]. Returns how many arguments it took: 0 when
 * it is something else, -1 when the file is missing. */
static int read_config_option(int argc, char **argv, int i, const char **file)
{
    if (strncmp(argv[i], "--config=", 9) == 0) {
        *file = argv[i] + 9;
        return **file == '\0' ? -1 : 1;
    }
    if (strcmp(argv[i], "--config") != 0)
        return 0;
    if (i + 1 >= argc || argv[i + 1][0] == '\0')
        return -1;
    *file = argv[i + 1];
    return 2;
}

/* Takes every --config out of argv[first..]; returns the new argc, or -1 when one lacks its file.
 */
static int take_config_option(int argc, char **argv, int first, const char **file)
{
    int in = first, out = first, taken = 0;

    while (in < argc && strcmp(argv[in], "--") != 0) {
        taken = read_config_option(argc, argv, in, file);
        if (taken < 0)
            return -1;
        if (taken == 0)
            argv[out++] = argv[in++];
        else
            in += taken;
    }
    while (in < argc)
        argv[out++] = argv[in++];
    argv[out] = NULL;
    return out;
}

static const struct command *find_command(const char *name)
{
    size_t i;

    for (i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int run_command(int argc, char **argv, const char *file)
{
    const struct command *c;

    if (strcmp(argv[0], "help") == 0) {
        if (argc == 1)
            return help();
        argv[0] = argv[1]; /* "pollux help X" is "pollux X --help" */
        argv[1] = "--help";
        argc = 2;
    }
    c = find_command(argv[0]);
    if (c == NULL)
        return plx_cli_usage_error(NULL, "unknown command \"%s\"", argv[0]);
    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return version();
    optind = 1;
    return c->run(argc, argv, file == NULL && c->own_default ? NULL : plx_config_path(file));
}

int main(int argc, char **argv)
{
    const char *file = NULL;
    int i = 1;

    plx_log_init("pollux", PLX_INFO);
    argc = take_config_option(argc, argv, 1, &file);
    if (argc < 0)
        return plx_cli_usage_error(NULL, "--config needs a file");
    if (i < argc && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0))
        return help();
    if (i < argc && strcmp(argv[i], "--version") == 0)
        return version();
    if (i < argc && argv[i][0] == '-')
        return plx_cli_usage_error(NULL, "unknown option \"%s\"", argv[i]);
    if (i >= argc)
        return plx_cli_usage_error(NULL, "a command is missing");
    return run_command(argc - i, argv + i, file);
}
