/* The list of what a membership tracks. */
#include "base/base64.h"
#include "base/crypto.h"
#include "channel/track_internal.h"
#include <stdlib.h>

plx_slice plx_held_key(const plx_held *h)
{
    return plx_slice_make(h->key, h->key_len);
}

plx_held *plx_tracks_find(const plx_membership *m, plx_slice key)
{
    for (size_t i = 0; m->tracks && i < m->tracks->count; i++)
        if (plx_slice_eq(plx_held_key(&m->tracks->held[i]), key))
            return &m->tracks->held[i];
    return NULL;
}

plx_held *plx_tracks_find_ref(const plx_membership *m, const char *ref)
{
    for (size_t i = 0; m->tracks && i < m->tracks->count; i++)
        if (strcmp(m->tracks->held[i].ref, ref) == 0)
            return &m->tracks->held[i];
    return NULL;
}

bool plx_tracks_holds(const plx_membership *m, plx_slice ref)
{
    for (size_t i = 0; m->tracks && i < m->tracks->count; i++)
        if (plx_slice_is(ref, m->tracks->held[i].ref))
            return true;
    return false;
}

bool plx_tracks_among(const plx_membership *m, plx_slice refs)
{
    size_t found = 0, i;

    if (!m->tracks)
        return true;
    for (i = 0; i + PLX_PHX_REF_LEN <= refs.len; i += PLX_PHX_REF_LEN)
        found += plx_tracks_holds(m, plx_slice_make(refs.data + i, PLX_PHX_REF_LEN));
    return found == m->tracks->count;
}

void plx_tracks_set_meta(plx_held *h, plx_slice meta)
{
    char *old = h->meta;

    h->meta = plx_slice_dup(meta);
    h->meta_len = meta.len;
    free(old);
}

plx_held *plx_tracks_add(plx_membership *m, plx_slice key)
{
    bool first = m->tracks == NULL;
    size_t count = first ? 0 : m->tracks->count;
    plx_held *h;

    m->tracks = plx_realloc(m->tracks, sizeof *m->tracks + (count + 1) * sizeof *h);
    if (first)
        *m->tracks = (plx_tracks){.count = 0};
    h = &m->tracks->held[count];
    *h = (plx_held){.key = plx_slice_dup(key), .key_len = key.len};
    m->tracks->count = count + 1;
    m->assigns_changed = true;
    return h;
}

void plx_tracks_drop(plx_membership *m, plx_held *h)
{
    plx_tracks *t = m->tracks;

    free(h->key);
    free(h->meta);
    t->count--;
    memmove(h, h + 1, (size_t)(&t->held[t->count] - h) * sizeof *h);
    m->assigns_changed = true;
}

void plx_tracks_free(plx_membership *m)
{
    while (m->tracks && m->tracks->count > 0)
        plx_tracks_drop(m, &m->tracks->held[m->tracks->count - 1]);
    free(m->tracks);
    m->tracks = NULL;
}

void plx_tracks_make_ref(plx_held *h, const plx_call *call)
{
    const plx_socket *s = call->m->socket;
    uint8_t sum[PLX_DIGEST_MAX];
    plx_buf text;

    if (s->entry == 0) {
        plx_random_id(h->ref, PLX_PHX_REF_LEN);
        return;
    }
    plx_buf_init(&text, 0);
    plx_buf_printf(&text, "phx_ref %.*s:%llu:%u:%u:", (int)s->session.len, s->session.data,
                   (unsigned long long)s->entry, (unsigned)call->number,
                   call->m->tracks->numbered++);
    plx_buf_add(&text, plx_held_key(h));
    plx_hash(PLX_SHA256, plx_buf_slice(&text), sum);
    plx_buf_clear(&text);
    plx_base64_encode(&text, plx_slice_make(sum, PLX_PHX_REF_LEN / 4 * 3),
                      PLX_B64_URL | PLX_B64_NOPAD);
    memcpy(h->ref, text.data, PLX_PHX_REF_LEN);
    h->ref[PLX_PHX_REF_LEN] = '\0';
    plx_buf_fini(&text);
}
