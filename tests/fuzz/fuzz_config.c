/* Fuzzing the configuration reader with files. What must hold:
 * - a file is accepted, or refused with lines that name it;
 * - what is accepted keeps the promises of base/config.h;
 * - whatever came before, a good file is read rightly afterwards (libConfuse's lexer is a global).
 */
#include "base/config.h"
#include "base/error.h"
#include "base/placeholder.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* A file in memory, and its name. */
static const char *put_file(const void *data, size_t size)
{
    static char path[64];
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("config", 0);
    must(fd >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    must(ftruncate(fd, 0) == 0);
    must(pwrite(fd, data, size, 0) == (ssize_t)size);
    return path;
}

static void check_channel(const plx_channel_config *ch)
{
    must(ch->line > 0);
    must(plx_pattern_valid(plx_slice_of(ch->pattern)));
    must(ch->backend && ch->join <= PLX_WHO_NONE && ch->push <= PLX_WHO_NONE);
    must(strcmp(ch->backend, "module") != 0 || ch->path);
    must(!ch->only_topic || plx_template_valid(plx_slice_of(ch->only_topic)));
    must(!ch->has_presence || ch->presence_key);
    must(ch->history_size > 0 && ch->history_ttl_s > 0);
}

static void check_socket(const plx_socket_config *s)
{
    must(s->line > 0 && s->path[0] == '/' && s->path[strlen(s->path) - 1] != '/');
    must(s->websocket || s->longpoll);
    must(s->lp_window_ms >= 100 && s->lp_window_ms <= 18000);
    must(s->ws_timeout_ms > 0 && s->ws_max_frame_bytes > 0 && s->max_channels > 0);
    must(s->check_origin.count > 0);
    must(!s->id || plx_template_valid(plx_slice_of(s->id)));
    must(s->auth.type == PLX_AUTH_NONE ||
         (s->auth.type == PLX_AUTH_PHOENIX_TOKEN && s->auth.secret && s->auth.salt));
    must(s->auth.key_digest && s->auth.param && s->auth.claim && s->auth.key_length <= 256);
    for (size_t i = 0; i < s->channel_count; i++)
        check_channel(&s->channels[i]);
}

static void check_config(const plx_config *c)
{
    must(c->file && c->redis.url && c->redis.prefix && strlen(c->secret) >= 32);
    must(!strpbrk(c->redis.prefix, "{}"));
    must(c->log_level <= PLX_ERROR && c->reader_threads >= 1 && c->reader_threads <= 64);
    must(c->max_body_bytes > 0 && c->queue_bytes > 0 && c->delivery_log.messages > 0);
    must(!c->api.path || c->api.keys.count > 0);
    must(c->socket_count > 0);
    for (size_t i = 0; i < c->socket_count; i++)
        check_socket(&c->sockets[i]);
}

/* Each line is "[warning: ]FILE:LINE: text". */
static void check_problems(const plx_buf *problems, const char *path)
{
    plx_slice rest = plx_buf_slice(problems), line, warning = PLX_LIT("warning: ");
    while (rest.len > 0 && plx_slice_split(&rest, '\n', &line)) {
        if (plx_slice_starts(line, warning))
            line = plx_slice_make(line.data + warning.len, line.len - warning.len);
        must(plx_slice_starts(line, plx_slice_of(path)));
        line = plx_slice_make(line.data + strlen(path), line.len - strlen(path));
        must(line.len > 5 && line.data[0] == ':' && line.data[1] >= '1' && line.data[1] <= '9');
    }
}

static void load(const void *data, size_t size, bool must_be_good)
{
    const char *path = put_file(data, size);
    plx_config *c = NULL;
    plx_buf problems;
    plx_buf_init(&problems, 0);
    int err = plx_config_load(path, &c, &problems);
    must(err == 0 || (!must_be_good && err == PLX_E_INVALID && problems.len > 0));
    check_problems(&problems, path);
    if (err == 0) {
        check_config(c);
        plx_config_free(c);
    }
    plx_buf_fini(&problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char good[] = "secret = \"0123456789abcdef0123456789abcdef\" # a comment\n"
                               "socket \"/s\" { channel \"a:*\" { reply = true } }\n";
    load(data, size, false);
    load(good, sizeof good - 1, true);
    return 0;
}
