/* The script by which other programs publish, called as they call it. Run from the root of the
 * tree. */
#ifndef PLX_TESTS_PUBLISH_SCRIPT_H
#define PLX_TESTS_PUBLISH_SCRIPT_H

#include "redis_fixture.h"

#include "base/error.h"
#include "base/json_scan.h"
#include "store/rules.h"
#include "store/topic.h"

#include <dirent.h>

#define S(text) plx_slice_of(text)

static redis r;
static plx_store *store;
static plx_buf script;
static char *sha;

static void add_file(plx_buf *out, const char *path)
{
    char piece[65536];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
        plx_buf_append(out, piece, n);
    fclose(f);
}

static redisReply *command(int argc, const char *const *argv, const size_t *len)
{
    redisReply *reply = redisCommandArgv(r.admin, argc, (const char **)(uintptr_t)argv, len);
    assert_non_null(reply);
    return reply;
}

/* What the script answers to TOPIC EVENT PAYLOAD KEY KIND: the position or the error's text. */
static const char *call(plx_slice topic, plx_slice event, plx_slice payload, const char *key,
                        const char *kind)
{
    static char answer[512];
    const char *argv[] = {"EVALSHA",  sha,          "1", "plx:rules", topic.data,
                          event.data, payload.data, key, kind};
    size_t len[] = {7,         strlen(sha), 1,           9,           topic.len,
                    event.len, payload.len, strlen(key), strlen(kind)};
    redisReply *reply = command(9, argv, len);
    snprintf(answer, sizeof answer, "%.*s", (int)reply->len, reply->str);
    freeReplyObject(reply);
    return answer;
}

static plx_channel_config first[] = {
    {.pattern = (char *)"room:*"},
    {.pattern = (char *)"exact"},
    {.pattern = (char *)"hist:*", .has_history = true, .history_size = 120, .history_ttl_s = 50},
    {.pattern = (char *)"hist:deep:*",
     .has_history = true,
     .history_size = 300,
     .history_ttl_s = 9000},
    {.pattern = (char *)"last:*", .has_latest = true, .latest_ttl_s = 77},
};
static plx_channel_config second[] = {
    {.pattern = (char *)"hist:*", .has_history = true, .history_size = 10, .history_ttl_s = 5000},
};
static plx_socket_config sections[] = {{.channels = first, .channel_count = 5},
                                       {.channels = second, .channel_count = 1}};

static int setup(void **state)
{
    (void)state;
    redis_start(&r);
    r.config.sockets = sections;
    r.config.socket_count = 2;
    r.config.max_body_bytes = 100000;
    r.config.delivery_log.messages = 100;
    r.config.delivery_log.bytes = 40000;
    store = store_up(&r);
    WAIT(&r, redis_do(&r, "EXISTS plx:rules"));
    plx_buf_init(&script, 0);
    add_file(&script, "store/lua/public/head.lua");
    add_file(&script, "store/lua/topic.lua");
    add_file(&script, "store/lua/publish.lua");
    add_file(&script, "store/lua/public/call.lua");
    redisReply *loaded = redisCommand(r.admin, "SCRIPT LOAD %b", script.data, script.len);
    assert_int_equal(loaded->type, REDIS_REPLY_STRING);
    sha = strdup(loaded->str);
    freeReplyObject(loaded);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    plx_store_close(store);
    redis_stop(&r);
    plx_buf_fini(&script);
    free(sha);
    return 0;
}

#endif
