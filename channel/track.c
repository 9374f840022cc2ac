/* See track.h. How tracking begins and ends; track_list (the list itself), track_change (what goes
 * to Redis), track_record (how it is kept between two messages) and track_verbs (what backends may
 * do) are the rest. */
#include "base/error.h"
#include "base/json_scan.h"
#include "channel/template.h"
#include "channel/track_internal.h"

/* ---- configuration ---- */

static int expand(const plx_membership *m, const char *tmpl, plx_buf *out)
{
    return plx_template_expand(tmpl, m->socket->params, m->socket->claims, out);
}

/* NAME=TEMPLATE as a member. A value that is missing is null, as in Phoenix. */
static void add_member(const plx_membership *m, const char *pair, plx_buf *out)
{
    size_t name = strcspn(pair, "=");
    plx_buf value;

    plx_buf_init(&value, 0);
    plx_json_quote(out, plx_slice_make(pair, name));
    plx_buf_byte(out, ':');
    if (expand(m, pair + name + 1, &value) == 0)
        plx_json_quote(out, plx_buf_slice(&value));
    else
        plx_buf_str(out, "null");
    plx_buf_fini(&value);
}

static void add_configured(plx_membership *m)
{
    const plx_channel_config *c = m->entry->config;
    plx_buf key, meta;
    int err;

    plx_buf_init(&key, 0);
    plx_buf_init(&meta, 0);
    err = expand(m, c->presence_key, &key);
    for (size_t i = 0; i < c->presence_meta.count; i++) {
        plx_buf_byte(&meta, i == 0 ? '{' : ',');
        add_member(m, c->presence_meta.items[i], &meta);
    }
    plx_buf_str(&meta, c->presence_meta.count == 0 ? "{}" : "}");
    if ((err != 0 && err != PLX_E_NOTFOUND) || key.len > PLX_KEY_BYTES || meta.len > PLX_META_BYTES)
        plx_tracks_refused(m, PLX_E_TOOBIG);
    else if (!plx_tracks_find(m, plx_buf_slice(&key)))
        plx_tracks_set_meta(plx_tracks_add(m, plx_buf_slice(&key)), plx_buf_slice(&meta));
    plx_buf_fini(&key);
    plx_buf_fini(&meta);
}

/* ---- beginning and end ---- */

void plx_tracks_begin(plx_call *call)
{
    plx_membership *m = call->m;

    if (m->entry->config->has_presence)
        add_configured(m);
    if (!m->tracks || m->tracks->count == 0)
        return;
    m->diffs = (plx_diffs){PLX_DIFFS_WAITS, m->start.offset};
    m->diffs_after = 0; /* its state says which diffs are not for it */
    for (size_t i = 0; i < m->tracks->count; i++) {
        plx_tracks_make_ref(&m->tracks->held[i], call);
        plx_tracks_send(call, &m->tracks->held[i], "");
    }
    memcpy(m->tracks->awaited, m->tracks->held[0].ref, sizeof m->tracks->awaited);
    if (m->socket->ops->tracks)
        m->socket->ops->tracks(m->socket, m);
}

static void untrack(const plx_membership *m, plx_slice ref, bool vanished)
{
    const plx_socket *s = m->socket;
    const plx_untrack u = {.topic = m->topic,
                           .owner = plx_tracks_owner(s),
                           .socket = s->session,
                           .ref = ref,
                           .grace = vanished};

    plx_presence_untrack(s->store, &m->entry->rules, &u, NULL, NULL);
}

/* A worker that has lost a long-poll session's lease without knowing must not hit what its
 * successor tracked: there by refs. A WebSocket's socket is nobody else's. */
void plx_tracks_end(plx_membership *m, bool vanished)
{
    static const plx_slice any = {NULL, 0};

    if (!m->tracks || m->socket->keeps_presence)
        return;
    if (m->socket->ops->leased)
        untrack(m, any, vanished);
    else
        for (size_t i = 0; i < m->tracks->count; i++)
            untrack(m, plx_slice_of(m->tracks->held[i].ref), vanished);
}

bool plx_tracks_answered(const plx_membership *m, plx_event *e)
{
    if (m->diffs.mode != PLX_DIFFS_WAITS || !m->tracks)
        return false;
    if (plx_diff_joins(e, plx_slice_of(m->tracks->awaited)))
        return true;
    for (size_t i = 0; i < m->tracks->count; i++) /* updated meanwhile */
        if (strcmp(m->tracks->held[i].ref, m->tracks->awaited) != 0 &&
            plx_diff_joins(e, plx_slice_of(m->tracks->held[i].ref)))
            return true;
    return false;
}
