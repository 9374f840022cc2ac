/* Opening a session: GET without a usable token.
 *
 *   ASKING   the application is asked who it is (auth type hook only)
 *   OPENING  accepted: the session is created, which waits a few seconds for an absent Redis (a
 *            fail-over is then invisible) and is told to come back after that
 *   REFUSED, UNAVAILABLE  the answer waits for a random time, because stock clients come back for
 *            ever without any; not so for others that could not be let in
 */
#include "transport/lp_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"

#include <stdlib.h>

enum connect_state { ASKING, OPENING, REFUSED, UNAVAILABLE };

typedef struct plx_lp_connecting {
    plx_list node; /* in lp->connects */
    plx_longpoll *lp;
    plx_http_request *http; /* NULL once answered or gone */
    const plx_socket_config *socket;
    enum connect_state state;
    plx_connecting *asking; /* NULL when the application has answered, or is not asked */
    ev_timer timer;         /* the end of waiting, or of a refusal's delay */
    bool creating;          /* the script is under way */
    char sid[PLX_SID_LEN + 1];
    enum plx_vsn vsn;
    uint64_t expires_ms;
    plx_buf params, claims, id;
} plx_lp_connecting;

static void try_create(plx_lp_connecting *c);

/* Frees it, unless the store still holds it. */
static void release(plx_lp_connecting *c)
{
    c->http = NULL;
    if (c->asking)
        plx_connect_cancel(c->asking);
    c->asking = NULL;
    ev_timer_stop(c->lp->loop, &c->timer);
    plx_list_remove(&c->node);
    if (c->creating)
        return;
    plx_buf_fini(&c->params);
    plx_buf_fini(&c->claims);
    plx_buf_fini(&c->id);
    plx_lp_unref(c->lp);
    free(c);
}

static void client_gone(plx_http_request *http)
{
    release(http->handler);
}

/* The end of waiting, whatever it was for. */
static void turn_away(plx_lp_connecting *c)
{
    plx_http_request *http = c->http;
    bool refused = c->state == REFUSED;
    release(c);
    if (refused)
        plx_lp_answer_status(http, 403);
    else
        plx_lp_answer_overload(http);
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)loop;
    (void)events;
    turn_away(t->data);
}

static plx_lp_connecting *hold(plx_longpoll *lp, plx_http_request *http,
                               const plx_socket_config *socket)
{
    plx_lp_connecting *c = plx_alloc_zero(1, sizeof *c);
    c->lp = plx_lp_ref(lp);
    c->http = http;
    c->socket = socket;
    plx_buf_init(&c->params, 0);
    plx_buf_init(&c->claims, 0);
    plx_buf_init(&c->id, 0);
    plx_list_init(&c->node);
    plx_list_push(&lp->connects, &c->node);
    ev_init(&c->timer, on_timer);
    c->timer.data = c;
    http->handler = c;
    http->gone = client_gone;
    return c;
}

static void wait(plx_lp_connecting *c, enum connect_state state, uint64_t wait_ms)
{
    c->state = state;
    ev_timer_stop(c->lp->loop, &c->timer);
    ev_timer_set(&c->timer, plx_lp_seconds(wait_ms), 0.);
    ev_timer_start(c->lp->loop, &c->timer);
}

static void refuse(plx_lp_connecting *c, enum connect_state how)
{
    uint64_t most = c->lp->config->refuse_delay_ms;
    if (how == REFUSED)
        c->lp->refused++;
    else
        c->lp->unavailable++;
    c->state = how;
    if (most == 0 || c->lp->draining)
        turn_away(c);
    else
        wait(c, how, plx_random_below((uint32_t)most + 1));
}

void plx_lp_refuse(plx_longpoll *lp, plx_http_request *http)
{
    refuse(hold(lp, http, NULL), REFUSED);
}

static void answer_open(plx_lp_connecting *c)
{
    c->lp->opened++;
    plx_lp_cursor cursor = {.vsn = c->vsn};
    memcpy(cursor.sid, c->sid, sizeof cursor.sid);
    plx_buf token;
    plx_buf_init(&token, 0);
    plx_lp_token_make(plx_slice_of(c->lp->config->secret), plx_slice_of(c->socket->path), &cursor,
                      &token);
    plx_http_request *http = c->http;
    release(c);
    plx_lp_answer_open(http, plx_buf_slice(&token));
    plx_buf_fini(&token);
}

static void created(void *arg, int err)
{
    plx_lp_connecting *c = arg;
    c->creating = false;
    if (c->http == NULL) {
        plx_list_init(&c->node);
        release(c); /* gone meanwhile; the session expires by itself */
    } else if (err == 0) {
        answer_open(c);
    } else if (err != PLX_E_DOWN && err != PLX_E_TIMEOUT) {
        plx_http_request *http = c->http;
        release(c);
        plx_lp_answer_overload(http);
    }
    /* Redis is away: the timer, or its return, goes on. */
}

static void try_create(plx_lp_connecting *c)
{
    uint64_t now_ms = plx_wall_ms();
    if (c->expires_ms != 0 && c->expires_ms <= now_ms) {
        refuse(c, REFUSED); /* while it waited for Redis */
        return;
    }
    /* A new id for every try: whether an earlier one took effect may be unknown. */
    plx_random_id(c->sid, PLX_SID_LEN);
    plx_session_init init = {
        .sid = plx_slice_make(c->sid, PLX_SID_LEN),
        .mount = plx_slice_of(c->socket->path),
        .vsn = c->vsn,
        .params = plx_buf_slice(&c->params),
        .claims = plx_buf_slice(&c->claims),
        .id = plx_buf_slice(&c->id),
        .life_ms = plx_lp_life_ms(c->socket),
        .expires_in_ms = c->expires_ms != 0 ? c->expires_ms - now_ms : 0,
    };
    c->creating = true;
    plx_session_create(c->lp->store, &init, created, c);
}

void plx_lp_connect_up(plx_longpoll *lp)
{
    plx_list *next;
    for (plx_list *n = lp->connects.next; n != &lp->connects; n = next) {
        plx_lp_connecting *c = PLX_CONTAINER(n, plx_lp_connecting, node);
        next = n->next;
        if (c->state == OPENING && !c->creating)
            try_create(c);
    }
}

static void open_session(plx_lp_connecting *c, const plx_connected *who)
{
    c->vsn = who->vsn;
    c->expires_ms = who->expires_ms;
    plx_buf_add(&c->params, who->params);
    plx_buf_add(&c->claims, who->claims);
    plx_buf_add(&c->id, who->id);
    wait(c, OPENING, PLX_LP_CONNECT_WAIT_MS);
    if (plx_store_up(c->lp->store))
        try_create(c);
}

static void judged(void *arg, int err, const plx_connected *who)
{
    plx_lp_connecting *c = arg;
    c->asking = NULL;
    if (err == 0) {
        open_session(c, who);
    } else if (err == PLX_E_INVALID) {
        plx_http_request *http = c->http;
        release(c);
        plx_lp_answer_method(http);
    } else {
        refuse(c, err == PLX_E_DOWN ? UNAVAILABLE : REFUSED);
    }
}

/* The pair that holds the session token is no connect parameter; nor is a stray one that only looks
 * like one. */
static bool skip_pair(void *arg, size_t index, plx_slice name, plx_slice value)
{
    const plx_lp_request *r = arg;
    return plx_slice_is(name, "token") && (index == r->token_index || plx_lp_token_form(value));
}

void plx_lp_connect(const plx_lp_request *r)
{
    plx_slice auth = {NULL, 0};
    if (!r->http->header(r->http, "x-phoenix-authtoken", &auth))
        auth = plx_slice_make(NULL, 0);
    const plx_connect who = {
        .config = r->lp->config,
        .socket = r->socket,
        .hook = r->channels->auth,
        .admitter = &r->channels->admitter,
        .transport = "longpoll",
        .request = r->http,
        .path_vars = r->route->vars,
        .path_var_count = r->route->var_count,
        .auth_token = auth,
        .skip = skip_pair,
        .skip_arg = (void *)(uintptr_t)r,
    };
    plx_lp_connecting *c = hold(r->lp, r->http, r->socket);
    plx_connecting *asking = plx_connect_start(&who, judged, c);
    if (!asking)
        return;
    c->asking = asking;
    if (r->lp->draining)
        wait(c, ASKING, PLX_LP_DRAIN_MS);
}

void plx_lp_connects_drain(plx_longpoll *lp)
{
    for (plx_list *n = lp->connects.next; n != &lp->connects; n = n->next) {
        plx_lp_connecting *c = PLX_CONTAINER(n, plx_lp_connecting, node);
        if (c->state == ASKING)
            wait(c, ASKING, PLX_LP_DRAIN_MS);
    }
}

void plx_lp_connects_end(plx_longpoll *lp)
{
    plx_list *n;
    while ((n = lp->connects.next) != &lp->connects)
        turn_away(PLX_CONTAINER(n, plx_lp_connecting, node));
}
