/* Requests under way: from the intake through the pool to a handler, and the answer back. */
#include "base/alloc.h"
#include "base/error.h"
#include "fcgi/peer_internal.h"
#include "fcgi/answer.h"

#include <stdlib.h>

void plx_call_free(plx_call *c)
{
    plx_list_remove(&c->link);
    plx_buf_fini(&c->records);
    plx_request_fini(&c->request);
    free(c);
}

static void count(plx_call *c, size_t bytes)
{
    c->host->in_calls += bytes - c->bytes;
    c->bytes = bytes;
}

/* Nobody holds the call any more. */
static void bury(plx_call *c)
{
    if (c->host == NULL) { /* answered after the end: no loop is left that would reap it */
        plx_call_free(c);
        return;
    }
    count(c, 0);
    plx_list_remove(&c->link);
    plx_list_push(&c->host->dead_calls, &c->link);
}

void plx_call_cut_off(plx_call *c)
{
    void (*gone)(plx_http_request *);

    c->peer->call = NULL;
    c->peer = NULL;
    if (!c->handled || c->request.http.gone == NULL)
        return;
    gone = c->request.http.gone;
    c->request.http.gone = NULL;
    gone(&c->request.http);
    bury(c);
}

/* plx_http_request.respond */
static void respond(plx_http_request *http, const plx_http_response *response)
{
    plx_call *c = PLX_CONTAINER(http, plx_call, request.http);
    plx_peer *p = c->peer;

    http->gone = NULL;
    if (p != NULL) {
        p->call = NULL;
        c->peer = NULL;
        plx_peer_answer(p, response);
    }
    bury(c);
    if (p != NULL)
        plx_peer_resume(p);
}

void plx_call_start(plx_peer *p)
{
    plx_host *h = p->host;
    plx_call *c = plx_alloc_zero(1, sizeof *c);

    c->host = h;
    c->peer = p;
    p->call = c;
    plx_list_init(&c->link);
    plx_list_push(&h->calls, &c->link);
    plx_buf_init(&c->records, 0);
    plx_intake_take(&p->intake, &c->records);
    c->body_len = p->intake.body;
    count(c, c->records.len);
    plx_pool_submit(h->pool, &c->job);
}

/* ---- the pool's side ---- */

static void load(void *arg, char *const *params, plx_slice body)
{
    plx_call *c = arg;

    c->loaded = plx_request_load(&c->request, params, body);
}

void plx_call_work(plx_pool_job *job, plx_codec *codec)
{
    plx_call *c = PLX_CONTAINER(job, plx_call, job);

    c->decoded = plx_codec_decode(codec, plx_buf_slice(&c->records), c->body_len, load, c);
    plx_buf_fini(&c->records);
}

/* What libfcgi or the request's content forbids; 0: nothing. */
static unsigned refusal(const plx_call *c)
{
    if (c->decoded == PLX_E_SYSTEM)
        return 503;
    return c->decoded != 0 || c->loaded != 0 ? 400 : 0;
}

void plx_call_done(void *arg, plx_pool_job *job)
{
    plx_host *h = arg;
    plx_call *c = PLX_CONTAINER(job, plx_call, job);

    c->request.http.respond = respond;
    if (c->peer == NULL) {
        bury(c);
    } else if (refusal(c) != 0) {
        respond(&c->request.http, plx_answer_error(refusal(c)));
    } else {
        count(c, c->request.vars.cap + c->request.http.body.len);
        plx_request_trust(&c->request, h->config);
        c->handled = true;
        h->handle(h->arg, &c->request.http);
    }
}
