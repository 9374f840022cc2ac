/* A POST: appended to the session's inbox, answered when its entry was worked, or when the window
 * ends.
 *
 * The worker that appends it usually gets the lease with it and works it at once
 * (lp_work.c). When another worker holds the lease, its note "done" answers; should
 * that worker die, asking again each second takes over its lease. While Redis is away
 * a POST waits for its return until the window's end.
 */
#include "transport/lp_body.h"
#include "transport/lp_internal.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/error.h"

#include <stdlib.h>

#define ASK_AGAIN_S 1.0
/* So long an entry whose POST was answered before it was worked is still asked for. */
#define KEPT_S 60.0

/* The POSTs of one session that wait here: in lp->posts_by_sid while there are any. */
typedef struct session_posts {
    plx_list posts; /* lp_post.sibling */
    char sid[PLX_SID_LEN + 1];
} session_posts;

typedef struct lp_post {
    plx_list node;    /* in lp->posts */
    plx_list sibling; /* in session_posts.posts */
    plx_longpoll *lp;
    plx_http_request *http; /* NULL once answered or gone */
    bool kept;              /* answered at its window's end; its entry is asked for all the same */
    const plx_socket_config *socket;
    char sid[PLX_SID_LEN + 1];
    uint64_t entry;  /* 0: not in the inbox yet, as far as is known */
    bool calling;    /* a store call is under way */
    bool look_again; /* a note came before the answer that tells which entry is ours */
    bool repeatable; /* carries a digest: may be sent again when its fate is unknown */
    unsigned status; /* 200, or 400 when a malformed message follows the usable ones */
    char digest[32];
    /* Marker 'n' (ndjson) or 's' (single), then the usable bytes; kept until it is in the inbox. */
    plx_buf body;
    ev_timer window, again;
} lp_post;

static plx_slice sid_of(const lp_post *p)
{
    return plx_slice_make(p->sid, PLX_SID_LEN);
}

static session_posts *posts_of(plx_longpoll *lp, plx_slice sid)
{
    return plx_map_get(lp->posts_by_sid, sid);
}

static void enlist(lp_post *p)
{
    session_posts *s = posts_of(p->lp, sid_of(p));
    if (s == NULL) {
        s = plx_alloc_zero(1, sizeof *s);
        plx_list_init(&s->posts);
        memcpy(s->sid, p->sid, sizeof s->sid);
        plx_map_put(p->lp->posts_by_sid, plx_slice_of(s->sid), s);
    }
    plx_list_push(&s->posts, &p->sibling);
    plx_list_push(&p->lp->posts, &p->node);
}

static void delist(lp_post *p)
{
    session_posts *s = posts_of(p->lp, sid_of(p));
    plx_list_remove(&p->node);
    plx_list_remove(&p->sibling);
    if (s && plx_list_empty(&s->posts)) {
        plx_map_remove(p->lp->posts_by_sid, plx_slice_of(s->sid));
        free(s);
    }
}

static void release(lp_post *p)
{
    p->http = NULL;
    p->kept = false;
    ev_timer_stop(p->lp->loop, &p->window);
    ev_timer_stop(p->lp->loop, &p->again);
    delist(p);
    if (p->calling)
        return;
    plx_buf_fini(&p->body);
    plx_lp_unref(p->lp);
    free(p);
}

static void client_gone(plx_http_request *http)
{
    release(http->handler);
}

static void finish(lp_post *p, unsigned status)
{
    plx_http_request *http = p->http;
    release(p);
    if (http)
        plx_lp_answer_status(http, status);
}

static void overload(lp_post *p)
{
    plx_http_request *http = p->http;
    release(p);
    if (http)
        plx_lp_answer_overload(http);
}

static void ask(lp_post *p);

static void posted(void *arg, int err, enum plx_post_result result, uint64_t entry, unsigned status,
                   const plx_work *work)
{
    lp_post *p = arg;
    plx_longpoll *lp = p->lp;
    p->calling = false;
    if (err == 0) {
        p->entry = entry;
        plx_buf_fini(&p->body);
    }
    if (p->http == NULL && !p->kept)
        release(p);
    else if (err == PLX_E_GONE)
        finish(p, 410);
    else if (err == PLX_E_TIMEOUT && p->entry == 0 && !p->repeatable)
        finish(p, 408); /* nobody can tell whether it is in the inbox */
    else if (err != 0 && err != PLX_E_DOWN && err != PLX_E_TIMEOUT)
        overload(p);
    else if (err == 0 && result == PLX_POST_DONE)
        finish(p, status);
    else if (err == 0 && result == PLX_POST_WAIT && p->look_again) {
        p->look_again = false;
        ask(p);
    }
    /* else: worked here or elsewhere, or Redis is away: wait. */
    if (err == 0 && result == PLX_POST_WORK)
        plx_lp_work_start(lp, work);
}

static void post(lp_post *p)
{
    plx_slice digest = plx_slice_make(p->digest, p->repeatable ? sizeof p->digest : 0);
    p->calling = true;
    plx_session_post(p->lp->store, sid_of(p), PLX_ENTRY_POST, digest, p->status,
                     plx_buf_slice(&p->body), plx_lp_life_ms(p->socket), posted, p);
}

static void ask(lp_post *p)
{
    if (p->calling || !plx_store_up(p->lp->store))
        return;
    if (p->entry == 0) {
        post(p);
        return;
    }
    p->calling = true;
    plx_session_take(p->lp->store, sid_of(p), p->entry, posted, p);
}

/* What is in the inbox is worked in its turn, however long an application thinks about what stands
 * before it; the replies come with a poll. On 408 every client would throw its session away, and
 * ask that application about all of its joins anew. The client has no more reason to ask: should
 * the lease's holder die, it is still asked for from here; and should that be this worker, by
 * whoever looks at what is due. */
static void keep(lp_post *p)
{
    plx_http_request *http = p->http;

    if (p->lp->draining) {
        finish(p, p->status);
        return;
    }
    p->http = NULL;
    p->kept = true;
    plx_session_unattended(p->lp->store, sid_of(p));
    ev_timer_set(&p->window, KEPT_S, 0.);
    ev_timer_start(p->lp->loop, &p->window);
    plx_lp_answer_status(http, p->status);
}

static void on_window(struct ev_loop *loop, ev_timer *t, int events)
{
    lp_post *p = t->data;

    (void)loop;
    (void)events;
    if (p->http && p->entry != 0 && plx_store_up(p->lp->store))
        keep(p);
    else
        finish(p, 408);
}

static void on_again(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)loop;
    (void)events;
    ask(t->data);
}

static void start_timers(lp_post *p)
{
    ev_timer_init(&p->window, on_window, plx_lp_seconds(p->socket->lp_window_ms), 0.);
    p->window.data = p;
    ev_timer_start(p->lp->loop, &p->window);
    ev_timer_init(&p->again, on_again, ASK_AGAIN_S, ASK_AGAIN_S);
    p->again.data = p;
    ev_timer_start(p->lp->loop, &p->again);
}

static void make_digest(lp_post *p)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t sum[PLX_DIGEST_MAX];
    plx_hash(PLX_SHA256, plx_buf_slice(&p->body), sum);
    for (size_t i = 0; i < sizeof p->digest / 2; i++) {
        p->digest[2 * i] = hex[sum[i] >> 4];
        p->digest[2 * i + 1] = hex[sum[i] & 15];
    }
    if (p->status != 200)
        p->digest[0] = 'x'; /* not the same as a POST without the malformed message at its end */
}

void plx_lp_post_start(const plx_lp_request *r, const plx_lp_cursor *cursor)
{
    plx_slice type = {NULL, 0};
    r->http->header(r->http, "content-type", &type);
    bool ndjson = plx_lp_body_is_ndjson(type);
    plx_lp_body_check check;
    plx_lp_body_judge(cursor->vsn, ndjson, r->http->body, &check);
    if (check.messages == 0) {
        plx_lp_answer_status(r->http, check.malformed ? 400 : 200);
        return;
    }
    lp_post *p = plx_alloc_zero(1, sizeof *p);
    p->lp = plx_lp_ref(r->lp);
    p->http = r->http;
    p->socket = r->socket;
    memcpy(p->sid, cursor->sid, sizeof p->sid);
    p->repeatable = check.all_refs;
    p->status = check.malformed ? 400 : 200;
    plx_buf_init(&p->body, 0);
    plx_buf_byte(&p->body, ndjson ? 'n' : 's');
    plx_buf_append(&p->body, r->http->body.data, check.usable);
    make_digest(p);
    plx_list_init(&p->node);
    plx_list_init(&p->sibling);
    enlist(p);
    r->http->handler = p;
    r->http->gone = client_gone;
    start_timers(p);
    ask(p);
}

void plx_lp_post_up(plx_longpoll *lp)
{
    for (plx_list *n = lp->posts.next; n != &lp->posts; n = n->next)
        ask(PLX_CONTAINER(n, lp_post, node));
}

/* Finishes the session's POSTs that wait for `entry` (0: all). They are set apart first, because an
 * answer may let in further requests. */
static void finish_all(plx_longpoll *lp, plx_slice sid, uint64_t entry, unsigned status)
{
    plx_list due, *node, *next;
    session_posts *s = posts_of(lp, sid);
    if (s == NULL)
        return;
    plx_list_init(&due);
    for (node = s->posts.next; node != &s->posts; node = next) {
        lp_post *p = PLX_CONTAINER(node, lp_post, sibling);
        next = node->next;
        if (entry != 0 && p->entry != entry) {
            /* Notes come over another connection than answers: it may have been for this one. */
            p->look_again = p->look_again || p->entry == 0;
            continue;
        }
        plx_list_remove(&p->node);
        plx_list_push(&due, &p->node);
    }
    while ((node = plx_list_shift(&due)))
        finish(PLX_CONTAINER(node, lp_post, node), status);
}

void plx_lp_post_done(plx_longpoll *lp, plx_slice sid, uint64_t entry, unsigned status)
{
    if (entry != 0)
        finish_all(lp, sid, entry, status);
}

void plx_lp_post_gone(plx_longpoll *lp, plx_slice sid)
{
    finish_all(lp, sid, 0, 410);
}

void plx_lp_posts_drain(plx_longpoll *lp)
{
    plx_list *next;
    for (plx_list *n = lp->posts.next; n != &lp->posts; n = next) {
        lp_post *p = PLX_CONTAINER(n, lp_post, node);
        next = n->next;
        if (p->kept)
            release(p);
    }
}

void plx_lp_posts_end(plx_longpoll *lp)
{
    plx_list *n;
    while ((n = lp->posts.next) != &lp->posts)
        overload(PLX_CONTAINER(n, lp_post, node));
}
