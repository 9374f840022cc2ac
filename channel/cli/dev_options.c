/* The options of `pollux dev`. */
#include "channel/cli/dev.h"
#include "channel/cli/cli.h"
#include "base/redis_url.h"
#include "base/workers.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static int help(void)
{
    puts(
        "Usage: pollux dev [--config FILE] [options]\n"
        "\n"
        "Runs everything on this machine: a private Redis, the FastCGI and WebSocket workers, and\n"
        "a private web server on 127.0.0.1 with a page to try it. Prints 'ready URL' once all of "
        "it\n"
        "answers and stops it all on SIGTERM, SIGINT or when it ends for whatever reason.\n"
        "\n"
        "  --config FILE       the configuration to run; without it, the demonstration's\n"
        "  --port N            the web server's port; 0 or absent: a free one\n"
        "  --state DIR         where sockets, pid files, logs and the effective configuration\n"
        "                      (DIR/pollux.conf) go; kept. Without it: a temporary directory\n"
        "  --redis URL         use this Redis instead of a private one\n"
        "  --fcgi-workers N    1 to 256, default 2\n"
        "  --ws-workers N      1 to 256, default 2\n"
        "  --help              this page");
    return PLX_CLI_OK;
}

static bool read_number(const char *text, unsigned min, unsigned max, unsigned *out)
{
    char *end;
    unsigned long n;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    n = strtoul(text, &end, 10);
    if (*end != '\0' || errno != 0 || n < min || n > max)
        return false;
    *out = (unsigned)n;
    return true;
}

static int read_redis(const char *text, const char **out)
{
    const char *expected = "another one";
    plx_redis_url url;

    if (plx_redis_url_parse(plx_slice_of(text), &url, &expected) != 0)
        return plx_cli_usage_error("dev", "--redis: expected %s", expected);
    plx_redis_url_fini(&url);
    *out = text;
    return 0;
}

/* One option; 0 or the exit status of a usage error. */
static int read_option(plx_dev_options *o, int option)
{
    switch (option) {
    case 'p':
        return read_number(optarg, 0, 65535, &o->port)
                   ? 0
                   : plx_cli_usage_error("dev", "--port %s: expected a number from 0 to 65535",
                                         optarg);
    case 's':
        o->state = optarg;
        return *optarg != '\0' ? 0 : plx_cli_usage_error("dev", "--state needs a directory");
    case 'r':
        return read_redis(optarg, &o->redis);
    case 'f':
    case 'w':
        return read_number(optarg, 1, PLX_WORKERS_MAX,
                           option == 'f' ? &o->fcgi_workers : &o->ws_workers)
                   ? 0
                   : plx_cli_usage_error("dev", "--%s-workers %s: expected a number from 1 to %d",
                                         option == 'f' ? "fcgi" : "ws", optarg, PLX_WORKERS_MAX);
    default:
        return PLX_CLI_USAGE;
    }
}

int plx_dev_options_read(int argc, char **argv, plx_dev_options *o)
{
    static const struct option known[] = {{"port", required_argument, NULL, 'p'},
                                          {"state", required_argument, NULL, 's'},
                                          {"redis", required_argument, NULL, 'r'},
                                          {"fcgi-workers", required_argument, NULL, 'f'},
                                          {"ws-workers", required_argument, NULL, 'w'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int option, rc;

    *o = (plx_dev_options){.fcgi_workers = 2, .ws_workers = 2};
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":h", known, NULL)) != -1) {
        if (option == 'h')
            return help() + 1;
        if (option == ':')
            return plx_cli_usage_error("dev", "%s needs a value", argv[optind - 1]) + 1;
        if (option == '?')
            return plx_cli_usage_error("dev", "unknown option \"%s\"", argv[optind - 1]) + 1;
        rc = read_option(o, option);
        if (rc != 0)
            return rc + 1;
    }
    if (optind < argc)
        return plx_cli_usage_error("dev", "unexpected argument \"%s\"", argv[optind]) + 1;
    return 0;
}
