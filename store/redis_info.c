/* See redis_info.h. */
#include "store/redis_info.h"
#include "base/alloc.h"
#include "base/error.h"
#include "store/internal.h"

#include <stdlib.h>

typedef struct asking {
    plx_redis_info_cb *cb;
    void *arg;
    plx_redis_info info;
    int err; /* the first one */
} asking;

static void copy_text(char *to, size_t size, plx_slice value)
{
    size_t len = value.len < size - 1 ? value.len : size - 1;
    memcpy(to, value.data, len);
    to[len] = '\0';
}

static void read_line(plx_slice name, plx_slice value, plx_redis_info *info)
{
    if (plx_slice_is(name, "redis_version"))
        copy_text(info->version, sizeof info->version, value);
    else if (plx_slice_is(name, "maxmemory_policy"))
        copy_text(info->policy, sizeof info->policy, value);
    else if (plx_slice_is(name, "uptime_in_seconds"))
        plx_decimal_parse(value, &info->uptime_s);
    else if (plx_slice_is(name, "connected_clients"))
        plx_decimal_parse(value, &info->clients);
    else if (plx_slice_is(name, "used_memory"))
        plx_decimal_parse(value, &info->memory_bytes);
    else if (plx_slice_is(name, "maxmemory"))
        plx_decimal_parse(value, &info->memory_limit_bytes);
}

void plx_redis_info_parse(plx_slice text, plx_redis_info *info)
{
    plx_slice line, name;
    while (plx_slice_split(&text, '\n', &line)) {
        if (line.len > 0 && line.data[line.len - 1] == '\r')
            line.len--;
        if (plx_slice_split(&line, ':', &name) && line.data)
            read_line(name, line, info);
    }
}

static void on_info(const plx_done *done, int err, const redisReply *reply)
{
    asking *a = done->arg;
    a->err = err;
    if (!err)
        plx_redis_info_parse(plx_reply_slice(reply), &a->info);
}

/* Commands are answered in their order: this is the last. */
static void on_sessions(const plx_done *done, int err, const redisReply *reply)
{
    asking *a = done->arg;
    if (!err && !plx_reply_u64(reply, &a->info.sessions))
        err = plx_store_odd("number of sessions");
    a->cb(a->arg, a->err ? a->err : err, &a->info);
    free(a);
}

void plx_redis_info_read(plx_store *s, plx_redis_info_cb *cb, void *arg)
{
    asking *a = plx_alloc_zero(1, sizeof *a);
    plx_command info, sessions;
    a->cb = cb;
    a->arg = arg;
    plx_command_init(&info, "INFO");
    plx_command_str(&info, "server");
    plx_command_str(&info, "clients");
    plx_command_str(&info, "memory");
    plx_conn_send(s->conn, &info, 0, on_info, PLX_DONE(NULL, a));
    char *key = plx_asprintf("%ssweep", plx_store_prefix(s));
    plx_command_init(&sessions, "ZCARD");
    plx_command_str(&sessions, key);
    free(key);
    plx_conn_send(s->conn, &sessions, 0, on_sessions, PLX_DONE(NULL, a));
}
