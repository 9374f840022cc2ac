/* The end of a session that has expired or was ended: what it tracked goes, its backends are told,
 * its record is dropped. */
#include "transport/lp_body.h"
#include "transport/lp_work.h"

#include "base/alloc.h"
#include "channel/parting.h"

#include <stdlib.h>

static const plx_slice any = {NULL, 0};

/* A session's record is dropped only when everything that it tracked was untracked and the backends
 * were told of its end: until then another worker finds it again. */
typedef struct cleanup {
    plx_longpoll *lp;
    plx_partings partings;
    uint64_t fence;
    unsigned left;
    bool failed;
    char sid[PLX_SID_LEN + 1];
} cleanup;

static void dropped(void *arg, int err)
{
    cleanup *c = arg;
    (void)err;
    c->lp->cleanups--;
    plx_lp_unref(c->lp);
    free(c);
}

static void cleaned(void *arg, int err)
{
    cleanup *c = arg;
    c->failed = c->failed || err != 0;
    if (--c->left > 0)
        return;
    if (c->failed)
        dropped(c, err);
    else
        plx_session_drop(c->lp->store, plx_slice_make(c->sid, PLX_SID_LEN), c->fence, dropped, c);
}

static void parting_begun(plx_partings *p)
{
    PLX_CONTAINER(p, cleanup, partings)->left++;
}

static void parting_ended(plx_partings *p, int err)
{
    cleaned(PLX_CONTAINER(p, cleanup, partings), err);
}

void plx_lp_untrack(plx_longpoll *lp, plx_slice sid, plx_slice topic, plx_slice ref, bool vanished,
                    plx_presence_cb *cb, void *arg)
{
    const plx_presence_rules *rules =
        plx_channels_presence(lp->channels, lp->config->socket_count, topic);
    static const plx_presence_rules standard = {.window_ms = 50, .ttl_s = 86400};
    const plx_untrack u = {
        .topic = topic, .owner = sid, .socket = sid, .ref = ref, .grace = vanished};
    plx_presence_untrack(lp->store, rules ? rules : &standard, &u, cb, arg);
}

void plx_lp_work_lost(plx_lp_work *w)
{
    for (plx_list *n = w->socket->memberships.next; n != &w->socket->memberships; n = n->next) {
        const plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        if (m->tracks)
            plx_lp_untrack(w->lp, plx_lp_work_sid(w), m->topic, any, false, NULL, NULL);
    }
    plx_socket_end_new(w->socket);
}

static void clean_topic(cleanup *c, plx_slice topic, bool vanished)
{
    c->left++;
    plx_lp_untrack(c->lp, plx_slice_make(c->sid, PLX_SID_LEN), topic, any, vanished, cleaned, c);
}

/* A worker that died over this entry may have tracked what its joins ask for. */
static void clean_entry(cleanup *c, const plx_work *work, bool vanished)
{
    plx_lp_body walk;
    plx_message m;
    plx_slice body = work->entry.body;
    if (work->entry.id == 0 || work->entry.kind != PLX_ENTRY_POST || body.len == 0)
        return;
    plx_lp_body_init(&walk, work->vsn == 1 ? PLX_V1 : PLX_V2, body.data[0] == 'n',
                     plx_slice_make(body.data + 1, body.len - 1));
    while (plx_lp_body_next(&walk, &m) > 0)
        if (m.event.kind == PLX_TERM_STRING && plx_slice_is(m.event.text, "phx_join") &&
            m.topic.kind == PLX_TERM_STRING && m.topic.text.len > 0)
            clean_topic(c, m.topic.text, vanished);
    plx_lp_body_fini(&walk);
}

/* The caller's part of it is still to come: cleaned(c, 0). */
static cleanup *clean(plx_longpoll *lp, const plx_work *work, const plx_socket *s, bool vanished)
{
    cleanup *c = plx_alloc_zero(1, sizeof *c);
    c->lp = plx_lp_ref(lp);
    lp->cleanups++;
    c->partings = (plx_partings){parting_begun, parting_ended};
    c->fence = work->fence;
    c->left = 1;
    memcpy(c->sid, work->sid.data, PLX_SID_LEN);
    for (plx_list *n = s ? s->memberships.next : NULL; s && n != &s->memberships; n = n->next) {
        const plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        if (m->tracks)
            clean_topic(c, m->topic, vanished);
    }
    clean_entry(c, work, vanished);
    return c;
}

void plx_lp_work_sweep(plx_longpoll *lp, const plx_work *work, const char *reason)
{
    plx_lp_work scratch = {.lp = lp, .abandoned = true};
    bool expired = strcmp(reason, "expired") == 0, token = strcmp(reason, "token expired") == 0;
    plx_socket *s = plx_lp_work_build(&scratch, work);
    plx_lp_post_gone(lp, work->sid);
    lp->expired += token;
    cleanup *c = clean(lp, work, s, expired || token || strcmp(reason, "disconnected") == 0);
    if (s) {
        s->entry = 0;             /* it is not worked: what terminate says is nobody else's */
        s->keeps_presence = true; /* that was seen to */
        s->partings = &c->partings;
        plx_socket_free(s, expired ? PLX_END_EXPIRED : PLX_END_CLOSED);
    }
    cleaned(c, 0);
}
