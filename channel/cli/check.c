/* pollux check: is the configuration right, and can its Redis be used?
 *
 * Problems and warnings go to stderr, "FILE: ok" and notes to stdout. Redis is asked
 * with hiredis's blocking calls: there is nothing else to do meanwhile.
 */
#include "base/config.h"
#include "base/error.h"
#include "base/redis_url.h"
#include "channel/cli/check.h"
#include "channel/cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TIMEOUT_S 2

static int help(void)
{
    puts("Usage: pollux check [--config FILE] [--no-redis]\n"
         "\n"
         "Reads the configuration and names each problem with file, line and what was expected,\n"
         "loads its modules, then connects to its Redis.\n"
         "\n"
         "  --config FILE   the configuration; else $POLLUX_CONFIG, else /etc/pollux/pollux.conf\n"
         "  --no-redis      do not connect\n"
         "  --help          this page\n"
         "\n"
         "Exit status: 0 all is well, 1 there are problems, 2 wrong command line.");
    return PLX_CLI_OK;
}

/* ---- The configuration ---- */

static bool check_config(const char *file, plx_config **c)
{
    if (plx_config_open(file, true, c) != 0)
        return false;
    if (!plx_check_modules(*c)) {
        plx_config_free(*c);
        return false;
    }
    printf("%s: ok\n", file);
    return true;
}

/* ---- Redis ---- */

static bool complain(const char *what, const char *why)
{
    fprintf(stderr, "redis: %s: %s\n", what, why);
    return false;
}

/* Runs a command; NULL after complaining when there is no answer or an error. */
static redisReply *ask(redisContext *r, const char *what, int argc, const char **argv)
{
    redisReply *reply = redisCommandArgv(r, argc, argv, NULL);
    if (!reply) {
        bool late = r->err == REDIS_ERR_IO && errno == EAGAIN;
        complain(what, late ? "no answer within 2 s" : r->errstr);
    } else if (reply->type == REDIS_REPLY_ERROR) {
        complain(what, reply->str);
        freeReplyObject(reply);
        reply = NULL;
    }
    return reply;
}

static bool say(redisContext *r, const char *what, int argc, const char **argv)
{
    redisReply *reply = ask(r, what, argc, argv);
    bool good = reply != NULL;
    if (good)
        freeReplyObject(reply);
    return good;
}

/* Who we are, and which database. */
static bool enter(redisContext *r, const plx_redis_url *u)
{
    char db[16];
    const char *with_user[] = {"AUTH", u->user, u->password}, *without[] = {"AUTH", u->password};
    const char *select[] = {"SELECT", db};
    snprintf(db, sizeof db, "%d", u->db);
    if (u->password && u->user && !say(r, "logging in", 3, with_user))
        return false;
    if (u->password && !u->user && !say(r, "logging in", 2, without))
        return false;
    return u->db == 0 || say(r, "choosing the database", 2, select);
}

/* The value of "NAME:VALUE\r\n" in what INFO answered; empty when it is not there. */
static plx_slice info_value(plx_slice info, const char *name)
{
    plx_slice line;
    while (plx_slice_split(&info, '\n', &line)) {
        size_t len = strlen(name);
        if (!plx_slice_starts(line, plx_slice_of(name)) || line.len <= len || line.data[len] != ':')
            continue;
        plx_slice value = plx_slice_make(line.data + len + 1, line.len - len - 1);
        if (value.len > 0 && value.data[value.len - 1] == '\r')
            value.len--;
        return value;
    }
    return plx_slice_of("");
}

/* Sharded pub/sub came with Redis 7.0. */
static bool judge_version(plx_slice info)
{
    plx_slice version = info_value(info, "redis_version");
    printf("redis: version %.*s\n", (int)version.len, version.data);
    if (atoi(version.data) >= 7)
        return true;
    return complain("too old", "expected version 7.0 or newer, for sharded pub/sub");
}

static void judge_memory(plx_slice info)
{
    plx_slice policy = info_value(info, "maxmemory_policy");
    if (policy.len > 0 && !plx_slice_is(policy, "noeviction"))
        fprintf(stderr,
                "warning: redis: maxmemory-policy is %.*s: when memory runs short, sessions and "
                "messages vanish (expected noeviction)\n",
                (int)policy.len, policy.data);
}

static void judge_persistence(plx_slice info)
{
    if (plx_slice_is(info_value(info, "aof_enabled"), "1"))
        puts("redis: appendonly is on: sessions and logs survive a restart of Redis");
    else
        puts("redis: appendonly is off: after a restart of Redis clients connect and join anew");
}

static bool judge(redisContext *r)
{
    static const char *sections[] = {"server", "memory", "persistence"};
    bool good = true;
    for (size_t i = 0; i < 3; i++) {
        const char *command[] = {"INFO", sections[i]};
        redisReply *reply = ask(r, "INFO", 2, command);
        if (!reply)
            return false;
        plx_slice info = plx_slice_make(reply->str, reply->len);
        if (reply->type != REDIS_REPLY_STRING)
            good = complain("INFO", "an answer that is no text");
        else if (i == 0)
            good = judge_version(info);
        else if (i == 1)
            judge_memory(info);
        else
            judge_persistence(info);
        freeReplyObject(reply);
        if (!good)
            return false;
    }
    return true;
}

static redisContext *connect_to(const plx_redis_url *u)
{
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    redisContext *r = u->unix_path ? redisConnectUnixWithTimeout(u->unix_path, timeout)
                                   : redisConnectWithTimeout(u->host, u->port, timeout);
    if (!r)
        complain("connecting", "no memory");
    else if (r->err)
        complain(u->unix_path ? u->unix_path : u->host, r->errstr);
    else if (redisSetTimeout(r, timeout) == REDIS_OK)
        return r;
    if (r)
        redisFree(r);
    return NULL;
}

static bool check_redis(const plx_config *c)
{
    plx_redis_url u;
    const char *expected;
    if (plx_redis_url_parse(plx_slice_of(c->redis.url), &u, &expected) != 0)
        return complain("url", expected);
    redisContext *r = connect_to(&u);
    bool good = r && enter(r, &u) && judge(r);
    if (r)
        redisFree(r);
    plx_redis_url_fini(&u);
    return good;
}

int plx_cli_check(int argc, char **argv, const char *config_path)
{
    static const struct option known[] = {
        {"no-redis", no_argument, NULL, 'n'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    bool redis = true;
    int option;
    plx_config *c;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":h", known, NULL)) != -1) {
        if (option == 'h')
            return help();
        if (option != 'n')
            return plx_cli_usage_error("check", "unknown option \"%s\"", argv[optind - 1]);
        redis = false;
    }
    if (optind < argc)
        return plx_cli_usage_error("check", "unexpected argument \"%s\"", argv[optind]);
    if (!check_config(config_path, &c))
        return PLX_CLI_REFUSED;
    /* Before what Redis has to say, also when stdout is a pipe. */
    fflush(stdout);
    bool good = !redis || check_redis(c);
    plx_config_free(c);
    return good ? PLX_CLI_OK : PLX_CLI_REFUSED;
}
