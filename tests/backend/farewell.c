/* A module that writes down how its memberships end.
 *
 * settings: a directory. Each terminate appends a line "TOPIC SESSION REASON ASSIGNS" to the file
 * `log` there. While there is a file `fatal`, a terminate removes it and kills its process instead.
 * A join is answered with {"session": SESSION}; a push becomes the assigns, and event "leave_me"
 * stops the channel.
 */
#include "channel/backend.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const plx_backend *pollux_backend(void);

#define TEXT(s) (int)(s).len, (s).data

static int farewell_open(const char *pattern, const char *settings, void **state,
                         const char **error)
{
    (void)pattern;
    if (!settings || strlen(settings) > 200) {
        *error = "settings: expected a directory";
        return -1;
    }
    *state = strdup(settings);
    return 0;
}

static void farewell_close(void *state)
{
    free(state);
}

static void farewell_join(void *state, plx_channel *ch, plx_call *call, plx_payload payload)
{
    plx_slice session = plx_channel_session(ch);
    char text[200];
    int n = snprintf(text, sizeof text, "{\"session\":\"%.*s\"}", TEXT(session));

    (void)state, (void)payload;
    plx_call_ok(call, (plx_payload){PLX_PAYLOAD_JSON, plx_slice_make(text, (size_t)n)});
}

static void farewell_event(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                           plx_payload payload)
{
    (void)state;
    if (plx_slice_is(event, "leave_me")) {
        plx_call_stop(call, NULL);
        return;
    }
    plx_channel_assign(ch, payload.bytes);
    plx_call_ok(call, PLX_JSON_PAYLOAD("{}"));
}

static void farewell_end(void *state, plx_channel *ch, enum plx_end_reason reason)
{
    static const char *const reasons[] = {"left", "closed", "expired", "crashed"};
    plx_slice topic = plx_channel_topic(ch), session = plx_channel_session(ch);
    plx_slice assigns = plx_channel_assigns(ch);
    char path[256], line[1024];
    int n = snprintf(line, sizeof line, "%.*s %.*s %s %.*s\n", TEXT(topic), TEXT(session),
                     reasons[reason], TEXT(assigns));

    snprintf(path, sizeof path, "%s/fatal", (const char *)state);
    if (unlink(path) == 0)
        kill(getpid(), SIGKILL);
    snprintf(path, sizeof path, "%s/log", (const char *)state);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0 || n < 0 || write(fd, line, (size_t)n) != n)
        abort();
    close(fd);
}

static const plx_backend farewell = {
    .abi = PLX_BACKEND_ABI,
    .name = "farewell",
    .open = farewell_open,
    .close = farewell_close,
    .join = farewell_join,
    .handle_in = farewell_event,
    .terminate = farewell_end,
};

const plx_backend *pollux_backend(void)
{
    return &farewell;
}
