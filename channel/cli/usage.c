/* What every command says when its command line is wrong. */
#include "channel/cli/cli.h"

#include <stdarg.h>
#include <stdio.h>

int plx_cli_usage_error(const char *command, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "pollux%s%s: ", command ? " " : "", command ? command : "");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nTry 'pollux%s%s --help'.\n", command ? " " : "", command ? command : "");
    return PLX_CLI_USAGE;
}
