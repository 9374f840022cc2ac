/* Clients of the long-poll transport in unit tests: requests made up, answers written down. See
 * lp_world.h. */
#ifndef PLX_TESTS_LP_CLIENTS_H
#define PLX_TESTS_LP_CLIENTS_H

#include "tests/unit/lp_fake_store.h"
#include "transport/longpoll.h"
#include "transport/lp_token.h"

typedef struct client {
    plx_http_request http;
    char name[16], query[17000];
    const char *type;
    bool held;
} client;

static client *clients[TIMERS_MAX];
static size_t client_count;
static char last_token[17000];
static plx_longpoll *lp;
static void (*on_answer)(client *c); /* called inside respond */

static bool header(const plx_http_request *r, const char *name, plx_slice *value)
{
    const client *c = (const client *)(const void *)r;
    if (strcmp(name, "content-type") != 0 || !c->type)
        return false;
    *value = plx_slice_of(c->type);
    return true;
}

/* SLOT@OFFSET, with a state that is due ~AT, with one that was sent +AT. */
static void trace_mark(const plx_lp_mark *m)
{
    plx_buf_printf(&trace, " %u@%" PRIu64, m->slot, m->offset);
    if (m->state != PLX_LP_STATE_NONE)
        plx_buf_printf(&trace, "%c%" PRIu64, m->state == PLX_LP_STATE_DUE ? '~' : '+', m->state_at);
}

static void note_token(plx_slice token)
{
    plx_lp_cursor c;
    plx_slice none = {NULL, 0};
    snprintf(last_token, sizeof last_token, "%.*s", TEXT(token));
    if (plx_lp_token_read(token, plx_slice_of(config.secret), none, plx_slice_of("/socket"), &c)) {
        plx_buf_str(&trace, " bad token");
        return;
    }
    plx_buf_printf(&trace, " q%" PRIu64, c.q);
    for (size_t i = 0; i < c.mark_count; i++)
        trace_mark(&c.marks[i]);
    for (size_t i = 0; i < c.past_count; i++)
        plx_buf_printf(&trace, " past@%" PRIu64, c.past[i].offset);
    plx_lp_cursor_fini(&c);
}

/* {"status":N,"token":"T","messages":[...]}: quotes inside of messages are written as '. */
static void note_body(const char *body)
{
    const char *token = strstr(body, "\"token\":\""), *messages = strstr(body, "\"messages\":");
    plx_buf_printf(&trace, "%d", atoi(strstr(body, ":") + 1));
    if (token) {
        token += 9;
        note_token(plx_slice_make(token, strcspn(token, "\"")));
    }
    if (!messages || strlen(messages) > 4000)
        return;
    plx_buf_byte(&trace, ' ');
    for (const char *c = messages + 11; c[1]; c++) {
        if (c[0] == '\\' && c[1] == '"')
            continue;
        plx_buf_byte(&trace, (unsigned char)(c[0] == '"' && c[-1] == '\\' ? '\'' : c[0]));
    }
}

static size_t last_length; /* of the messages of the last answer */

static void respond(plx_http_request *r, const plx_http_response *response)
{
    client *c = (client *)(void *)r;
    char *body = plx_slice_dup(response->body);
    assert_true(c->held);
    c->held = false;
    c->http.gone = NULL;
    last_length = response->body.len;
    plx_buf_printf(&trace, "%s ", c->name);
    if (response->status != 200)
        plx_buf_printf(&trace, "HTTP %u ", response->status);
    note_body(body);
    plx_buf_byte(&trace, '\n');
    free(body);
    if (on_answer)
        on_answer(c);
}

static client *find_client(const char *name)
{
    for (size_t i = 0; i < client_count; i++)
        if (strcmp(clients[i]->name, name) == 0 && clients[i]->held)
            return clients[i];
    fail_msg("no client %s", name);
    return NULL;
}

static client *new_client(const char *name, const char *method, const char *token)
{
    client *c = plx_alloc_zero(1, sizeof *c);
    assert_true(client_count < TIMERS_MAX);
    clients[client_count++] = c;
    snprintf(c->name, sizeof c->name, "%s", name);
    snprintf(c->query, sizeof c->query, "vsn=2.0.0&token=%s", token);
    c->http.method = plx_slice_of(method);
    c->http.path = plx_slice_of("/socket/longpoll");
    c->http.query = plx_slice_of(c->query);
    c->http.header = header;
    c->http.respond = respond;
    c->held = true;
    return c;
}

/* A token of the session "NAME" with marks: "1@5 2@9". */
static const char *token_of(const char *sid, uint64_t q, const char *marks)
{
    static char text[17000];
    plx_lp_mark list[64];
    plx_lp_cursor c = {.vsn = PLX_V2, .q = q, .marks = list};
    unsigned slot;
    uint64_t offset;
    int used;
    memcpy(c.sid, sid_text(sid), sizeof c.sid);
    while (sscanf(marks, " %u@%" SCNu64 "%n", &slot, &offset, &used) == 2) {
        list[c.mark_count++] = (plx_lp_mark){.slot = slot, .offset = offset};
        marks += used;
        if (sscanf(marks, "~%" SCNu64 "%n", &offset, &used) == 1) {
            c.marks[c.mark_count - 1].state = PLX_LP_STATE_DUE;
        } else if (sscanf(marks, "+%" SCNu64 "%n", &offset, &used) == 1) {
            c.marks[c.mark_count - 1].state = PLX_LP_STATE_SENT;
        } else {
            continue;
        }
        c.marks[c.mark_count - 1].state_at = offset;
        marks += used;
    }
    plx_buf b;
    plx_buf_init(&b, 0);
    plx_lp_token_make(plx_slice_of(config.secret), plx_slice_of("/socket"), &c, &b);
    snprintf(text, sizeof text, "%s", plx_buf_cstr(&b));
    plx_buf_fini(&b);
    return text;
}

static UNUSED void poll_with(const char *name, const char *token)
{
    client *c = new_client(name, "GET", token);
    assert_true(plx_longpoll_handle(lp, &c->http));
}

static UNUSED void poll(const char *name, const char *sid, uint64_t q, const char *marks)
{
    poll_with(name, token_of(sid, q, marks));
}

/* Several lines: separated by \n. */
static UNUSED void post(const char *name, const char *sid, const char *body)
{
    client *c = new_client(name, "POST", token_of(sid, 0, ""));
    c->type = "application/x-ndjson";
    c->http.body = plx_slice_of(body);
    assert_true(plx_longpoll_handle(lp, &c->http));
}

/* The client's connection is closed. */
static UNUSED void go(const char *name)
{
    client *c = find_client(name);
    c->held = false;
    assert_non_null(c->http.gone);
    c->http.gone(&c->http);
}

#endif
