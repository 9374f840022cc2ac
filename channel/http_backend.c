/* See http_backend.h. */
#include "channel/http_backend.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "channel/http_act.h"
#include "channel/http_ask.h"
#include "channel/http_leave.h"
#include "channel/socket_core.h"
#include <stdlib.h>

#define UNAVAILABLE PLX_JSON_PAYLOAD("{\"reason\":\"unavailable\"}")

struct plx_http_channel {
    const plx_channel_config *config;
    char *name;
    bool joins, pushes;
    plx_hook *hook; /* NULL: not started */
    plx_http_leaves *leaves;
};

/* A join or push that waits for the application. */
typedef struct asked {
    plx_http_channel *of;
    plx_channel *ch;
    plx_call *call;
    enum plx_http_question question;
    plx_buf body; /* until it is sent */
} asked;

/* ---- answers ---- */

static void unavailable(plx_call *call)
{
    plx_call_error(call, UNAVAILABLE);
}

static void note_unknown(const plx_http_channel *c, const plx_http_answer *a)
{
    if (a->unknown.len > 0)
        plx_log_limited(PLX_WARNING, "hook \"%s\": a member of the answer means nothing here: %.*s",
                        c->name, (int)(a->unknown.len < 64 ? a->unknown.len : 64), a->unknown.data);
}

static void carry_out(const asked *q, const plx_http_answer *answer)
{
    plx_buf assigns;
    const char *why;

    plx_buf_init(&assigns, PLX_ASSIGNS_MAX);
    if (plx_http_act_check(q->ch, answer, &assigns, &why) == 0) {
        note_unknown(q->of, answer);
        plx_http_act(q->ch, q->call, answer, plx_buf_slice(&assigns));
    } else {
        plx_hook_complain(q->of->hook, why);
        unavailable(q->call);
    }
    plx_buf_fini(&assigns);
}

static void answered(void *arg, int err, plx_slice json)
{
    asked q = *(asked *)arg;
    plx_http_answer answer;
    const char *why;

    free(arg);
    if (err != 0) {
        unavailable(q.call);
    } else if (plx_http_answer_read(json, q.question, &answer, &why) != 0) {
        plx_hook_complain(q.of->hook, why);
        unavailable(q.call);
    } else {
        carry_out(&q, &answer);
        plx_http_answer_fini(&answer);
    }
}

/* ---- questions ---- */

static asked *asked_new(plx_http_channel *c, plx_call *call, const plx_http_ask *document)
{
    asked *q = plx_alloc(sizeof *q);

    *q = (asked){.of = c,
                 .ch = (plx_channel *)(uintptr_t)document->channel,
                 .call = call,
                 .question = document->question};
    plx_buf_init(&q->body, 0);
    plx_http_ask_write(document, &q->body);
    return q;
}

static void send(void *arg)
{
    asked *q = arg;
    /* A push may have effects that must not come twice without need; the application knows a
     * repetition by its message_id, if it looks. And who is in goes before who comes. */
    unsigned flags = q->question == PLX_HTTP_JOIN ? PLX_HOOK_REPEATABLE | PLX_HOOK_YIELDS : 0;

    plx_hook_ask(q->of->hook, plx_buf_slice(&q->body), plx_call_message_id(q->call), flags,
                 answered, q);
    plx_buf_fini(&q->body);
}

/* A socket and a topic, for the order of leaves and joins. */
static void name_place(const plx_channel *ch, plx_buf *out)
{
    plx_buf_add(out, plx_channel_session(ch));
    plx_buf_byte(out, ' ');
    plx_buf_add(out, plx_channel_topic(ch));
}

static void ask_join(plx_http_channel *c, asked *q)
{
    plx_buf place;

    plx_buf_init(&place, 0);
    name_place(q->ch, &place);
    if (!c->leaves || !plx_http_leaves_wait(c->leaves, plx_buf_slice(&place), send, q))
        send(q);
    plx_buf_fini(&place);
}

static void join(void *state, plx_channel *ch, plx_call *call, plx_payload payload)
{
    plx_http_channel *c = state;

    if (!c->joins) {
        plx_call_ok(call, plx_empty_object);
    } else if (!c->hook) {
        unavailable(call);
    } else {
        const plx_http_ask document = {.question = PLX_HTTP_JOIN,
                                       .channel = ch,
                                       .message_id = plx_call_message_id(call),
                                       .payload = payload};
        ask_join(c, asked_new(c, call, &document));
    }
}

static void handle_in(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                      plx_payload payload)
{
    plx_http_channel *c = state;

    if (!c->pushes ||
        (c->config->events.count > 0 && !plx_strings_has(&c->config->events, event))) {
        plx_relay_backend.handle_in(NULL, ch, call, event, payload);
    } else if (!c->hook) {
        unavailable(call);
    } else {
        const plx_http_ask document = {.question = PLX_HTTP_PUSH,
                                       .channel = ch,
                                       .message_id = plx_call_message_id(call),
                                       .payload = payload,
                                       .event = event,
                                       .ref = call->ref};
        send(asked_new(c, call, &document));
    }
}

static void terminate(void *state, plx_channel *ch, enum plx_end_reason reason)
{
    plx_http_channel *c = state;
    plx_parting *parting = plx_parting_begin(ch);
    const plx_http_ask document = {.question = PLX_HTTP_LEAVE,
                                   .channel = ch,
                                   .message_id = plx_parting_id(parting),
                                   .reason = reason};
    plx_buf body, place;

    if (!c->leaves) {
        plx_parting_end(parting, PLX_E_GONE);
        return;
    }
    plx_buf_init(&body, 0);
    plx_buf_init(&place, 0);
    plx_http_ask_write(&document, &body);
    name_place(ch, &place);
    plx_http_leaves_add(c->leaves, parting, plx_buf_slice(&place), plx_buf_slice(&body));
    plx_buf_fini(&body);
    plx_buf_fini(&place);
}

const plx_backend plx_http_backend = {
    .abi = PLX_BACKEND_ABI,
    .name = "http",
    .join = join,
    .handle_in = handle_in,
};

const plx_backend plx_http_leave_backend = {
    .abi = PLX_BACKEND_ABI,
    .name = "http",
    .join = join,
    .handle_in = handle_in,
    .terminate = terminate,
};

/* ---- life ---- */

plx_http_channel *plx_http_channel_new(const char *path, const plx_channel_config *config)
{
    plx_http_channel *c = plx_alloc_zero(1, sizeof *c);
    const plx_strings *hooks = &config->hooks;

    c->config = config;
    c->name = plx_asprintf("%s %s", path, config->pattern);
    c->joins = hooks->count == 0 || plx_strings_has(hooks, plx_slice_of("join"));
    c->pushes = hooks->count == 0 || plx_strings_has(hooks, plx_slice_of("push"));
    return c;
}

void plx_http_channel_free(plx_http_channel *c)
{
    plx_http_channel_stop(c);
    free(c->name);
    free(c);
}

void plx_http_channel_start(plx_http_channel *c, plx_hooks *hooks)
{
    const plx_hook_config config = {.name = c->name,
                                    .url = c->config->url,
                                    .secret = c->config->secret,
                                    .timeout_ms = c->config->timeout_ms,
                                    .max_in_flight = c->config->max_in_flight};

    c->hook = plx_hook_open(hooks, &config);
    /* Half of the places at most: joins and pushes need not wait for those who have left. */
    if (plx_strings_has(&c->config->hooks, plx_slice_of("leave")))
        c->leaves =
            plx_http_leaves_new(c->hook, plx_hooks_loop(hooks), (c->config->max_in_flight + 1) / 2);
}

void plx_http_channel_stop(plx_http_channel *c)
{
    plx_hook *hook = c->hook;

    plx_http_leaves_free(c->leaves);
    c->leaves = NULL;
    c->hook = NULL;
    if (hook)
        plx_hook_close(hook);
}

size_t plx_http_channel_leaves(const plx_http_channel *c)
{
    return plx_http_leaves_count(c->leaves);
}

bool plx_http_channel_telling(const plx_http_channel *c)
{
    return plx_http_leaves_telling(c->leaves);
}
