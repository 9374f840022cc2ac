/* Clients connect: what a socket module says to it. */
#include "base/error.h"
#include "channel/admission.h"
#include "tests/kit/kit.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- the module ---- */

void plx_test_socket_module_at(plx_test *t, const plx_socket_module *module, const char *settings,
                               const char *file, int line)
{
    plx_buf text;

    plx_buf_init(&text, 0);
    for (unsigned i = 0; i < KIT_WORKERS && text.len == 0; i++) {
        plx_admitter *a = &t->workers[i].channels.admitter;
        const char *why = NULL;
        plx_admitter_close(a);
        if (!plx_module_fits(module->abi, &text))
            break;
        if (module->open && module->open(t->section.path, settings, &a->state, &why) != 0)
            plx_buf_str(&text, why ? why : "it gives no reason");
        else
            a->module = module;
    }
    if (text.len > 0) {
        char *why = plx_strdup(plx_buf_cstr(&text));
        plx_buf_clear(&text);
        plx_buf_printf(&text, "the socket module does not open: %s\n", why);
        free(why);
        plx_kit_fail(file, line, &text);
        return;
    }
    plx_buf_fini(&text);
}

/* ---- asking it ---- */

/* A header of the client's, unescaped into the scratch buffer of the question. */
typedef struct question {
    const char *headers; /* JSON object */
    char value[4096];
} question;

static bool find_header(void *arg, const char *name, plx_slice *value)
{
    question *q = arg;
    int len = plx_object_text(plx_slice_of(q->headers), name, q->value, sizeof q->value);

    *value = plx_slice_make(q->value, len > 0 ? (size_t)len : 0);
    return len >= 0;
}

static void replace(char **text, const plx_buf *with)
{
    free(*text);
    *text = plx_slice_dup(plx_buf_slice(with));
}

/* NULL: the client is let in, and s has the claims and the id that it is given. Else why not,
 * owned.
 */
static char *ask(plx_test_socket *s, const plx_test_client *client, question *q)
{
    plx_admission answer = {.header = find_header, .arg = q};
    const plx_connect_info info = {
        .path = plx_slice_of(s->test->section.path),
        .transport = plx_slice_of(s->longpoll ? "longpoll" : "websocket"),
        .remote_ip = plx_slice_of(client->remote_ip ? client->remote_ip : "127.0.0.1"),
        .params = plx_slice_of(s->params),
        .claims = plx_slice_of(s->claims)};
    char *why = NULL;

    if (!s->worker->channels.admitter.module)
        return NULL;
    plx_admitter_ask(&s->worker->channels.admitter, &info, &answer);
    if (answer.refused)
        why = plx_strdup(answer.why);
    if (answer.has_claims)
        replace(&s->claims, &answer.claims);
    if (answer.has_id)
        replace(&s->id, &answer.id);
    plx_admitter_done(&answer);
    return why;
}

/* ---- a client ---- */

static char *object_of(const char *text, const char *what)
{
    char *json = plx_kit_json(text ? text : "{}");

    if (!json || json[0] != '{') {
        fprintf(stderr, "pollux-test: the %s must be a JSON object, not %s\n", what, text);
        abort();
    }
    return json;
}

static plx_test_socket *socket_new(plx_test *t, const plx_test_client *client)
{
    plx_test_socket *s = plx_alloc_zero(1, sizeof *s);

    s->test = t;
    s->longpoll = client->transport == PLX_TEST_LONGPOLL;
    t->names++;
    s->name = client->name ? plx_strdup(client->name) : plx_asprintf("socket %u", t->names);
    s->session = plx_asprintf("session-%u", t->names);
    s->id = plx_strdup(client->id ? client->id : "");
    s->params = object_of(client->params, "connect parameters");
    s->claims = object_of(client->claims, "claims");
    plx_list_init(&s->sent);
    plx_list_init(&s->deliveries);
    plx_list_init(&s->mailbox);
    plx_list_init(&s->ends);
    plx_list_push(&t->sockets, &s->node);
    s->worker = &t->workers[t->names % KIT_WORKERS];
    return s;
}

/* The socket, or NULL and *why, owned. */
static plx_test_socket *connect_client(plx_test *t, const plx_test_client *client, char **why)
{
    static const plx_test_client defaults = {.name = NULL};
    plx_test_socket *s;
    char *headers;
    question q;

    client = client ? client : &defaults;
    headers = object_of(client->headers, "headers");
    s = socket_new(t, client);
    q.headers = headers;
    *why = ask(s, client, &q);
    free(headers);
    if (*why) {
        s->closed = true;
        plx_kit_socket_free(s);
        return NULL;
    }
    if (!s->longpoll)
        s->core = plx_kit_socket_core(s);
    return s;
}

plx_test_socket *plx_test_connect_at(plx_test *t, const plx_test_client *client, const char *file,
                                     int line)
{
    char *why;
    plx_test_socket *s = connect_client(t, client, &why);
    plx_buf text;

    if (s)
        return s;
    plx_buf_init(&text, 0);
    plx_buf_printf(&text, "the socket module refuses: %s\n", why);
    free(why);
    plx_kit_fail(file, line, &text);
    return NULL;
}

const char *plx_test_assert_refused_at(plx_test *t, const plx_test_client *client, const char *file,
                                       int line)
{
    char *why;
    plx_test_socket *s = connect_client(t, client, &why);
    const char *kept;
    plx_buf text;

    if (!s) {
        kept = plx_kit_letter(&t->read, PLX_OUT_PUSH, plx_slice_of(NULL), plx_slice_of(NULL),
                              (plx_payload){PLX_PAYLOAD_JSON, plx_slice_of(why)})
                   ->text;
        free(why);
        return kept;
    }
    plx_buf_init(&text, 0);
    plx_buf_printf(&text, "expected that %s is refused, but it is let in\n  id \"%s\", claims %s\n",
                   s->name, s->id, s->claims);
    plx_kit_fail(file, line, &text);
    return NULL;
}
