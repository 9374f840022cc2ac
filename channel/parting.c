/* See parting.h. */
#include "channel/parting.h"

#include "base/crypto.h"
#include "base/error.h"
#include "base/log.h"
#include "channel/socket_core.h"
#include <stdlib.h>

struct plx_parting {
    plx_membership *m; /* a reference */
    unsigned left;     /* its end, and broadcasts under way */
    int err;
    bool pending; /* counts in the socket's pending */
    bool noted;   /* the note with the worker's lease is to be forgotten */
    char *id;
};

/* The refs tell the memberships of one session on one topic apart, and the slot, where there is
 * one. */
static char *make_id(const plx_membership *m)
{
    const plx_socket *s = m->socket;
    uint8_t digest[PLX_DIGEST_MAX];
    plx_buf text;
    char *id;

    plx_buf_init(&text, 0);
    plx_buf_printf(&text, "%u %d %zu %zu ", (unsigned)m->slot, (int)m->join_ref.kind,
                   m->join_ref.text.len, m->ref.text.len);
    plx_buf_add(&text, m->join_ref.text);
    plx_buf_add(&text, m->ref.text);
    plx_buf_add(&text, m->topic);
    plx_hash(PLX_SHA256, plx_buf_slice(&text), digest);
    plx_buf_clear(&text);
    for (size_t i = 0; i < 8; i++)
        plx_buf_printf(&text, "%02x", digest[i]);
    id = plx_asprintf("%.*s:leave:%s", (int)s->session.len, s->session.data, plx_buf_cstr(&text));
    plx_buf_fini(&text);
    return id;
}

plx_parting *plx_parting_begin(plx_channel *ch)
{
    plx_parting *p = plx_alloc_zero(1, sizeof *p);
    plx_membership *m = (plx_membership *)ch;
    plx_socket *s = m->socket;

    p->m = m;
    m->refs++;
    p->left = 1;
    p->id = make_id(m);
    p->noted = m->noted;
    m->noted = false;
    if (s->partings) {
        s->partings->begun(s->partings);
    } else if (s->entry != 0 && !s->closing) {
        p->pending = true;
        s->pending++;
    }
    return p;
}

void plx_parting_let_go(plx_parting *p)
{
    plx_socket *s = p->m->socket;

    if (!p->pending)
        return;
    p->pending = false;
    plx_socket_enter(s);
    s->pending--;
    plx_socket_exit(s);
}

/* A newer membership of the same topic has its note in the same place. */
static void forget(const plx_parting *p)
{
    plx_socket *s = p->m->socket;
    const plx_membership *newer = plx_socket_find(s, p->m->topic);

    if (!newer || !newer->noted)
        plx_owner_forget(s->store, p->m->topic, s->session);
}

static void done(plx_parting *p, int err)
{
    plx_socket *s = p->m->socket;

    if (p->err == 0)
        p->err = err;
    if (--p->left > 0)
        return;
    if (p->noted && p->err != PLX_E_GONE)
        forget(p);
    if (s->partings)
        s->partings->ended(s->partings, p->err);
    plx_parting_let_go(p);
    plx_membership_unref(p->m);
    free(p->id);
    free(p);
}

void plx_parting_end(plx_parting *p, int err)
{
    done(p, err);
}

plx_slice plx_parting_id(const plx_parting *p)
{
    return plx_slice_of(p->id);
}

static plx_slice topic_of(const plx_parting *p, plx_slice topic)
{
    return topic.len > 0 ? topic : p->m->topic;
}

int plx_parting_check(const plx_parting *p, plx_slice topic, plx_slice event, plx_payload payload)
{
    return plx_socket_check_broadcast(p->m->socket, topic_of(p, topic), event, payload);
}

static void published(void *arg, int err, const plx_position *position, bool repeated)
{
    plx_parting *p = arg;

    (void)position;
    (void)repeated;
    if (err != 0)
        plx_log_limited(PLX_WARNING, "a broadcast at the end of \"%.*s\" failed: %s",
                        (int)p->m->topic.len, p->m->topic.data, plx_strerror(err));
    done(p, err);
}

void plx_parting_broadcast(plx_parting *p, uint32_t index, plx_slice topic, plx_slice event,
                           plx_payload payload, bool to_others)
{
    plx_socket *s = p->m->socket;
    plx_publication pub = {.topic = topic_of(p, topic),
                           .event = event,
                           .payload = payload.bytes,
                           .kind =
                               payload.kind == PLX_PAYLOAD_BINARY ? PLX_KIND_BINARY : PLX_KIND_JSON,
                           .producer = plx_parting_id(p),
                           .entry = 1,
                           .index = index};

    plx_socket_retain(s, pub.topic, &pub);
    if (to_others)
        pub.from = s->session;
    p->left++;
    plx_topic_publish(s->store, &pub, published, p);
}
