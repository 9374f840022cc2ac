/* What a membership tracks, in a record: of a long-poll session, or for a poll (the hint). */
#include "base/error.h"
#include "base/json_scan.h"
#include "channel/track_internal.h"
#include <stdio.h>

static void pack(plx_buf *out, char kind, const char *head, size_t head_len, plx_slice tail)
{
    plx_buf_byte(out, (unsigned char)kind);
    plx_buf_u64(out, head_len + tail.len);
    plx_buf_byte(out, ':');
    plx_buf_append(out, head, head_len);
    plx_buf_add(out, tail);
}

void plx_tracks_pack(const plx_membership *m, plx_buf *out)
{
    static const plx_slice none = {NULL, 0};
    char offset[24];

    for (size_t i = 0; m->tracks && i < m->tracks->count; i++)
        pack(out, 't', m->tracks->held[i].ref, PLX_PHX_REF_LEN, plx_held_key(&m->tracks->held[i]));
    if (m->diffs.mode == PLX_DIFFS_WAITS && m->tracks)
        pack(out, 'w', m->tracks->awaited, PLX_PHX_REF_LEN, none);
    if (m->diffs.mode == PLX_DIFFS_DUE) {
        snprintf(offset, sizeof offset, "%llu", (unsigned long long)m->diffs.at);
        pack(out, 'd', offset, strlen(offset), none);
    }
}

/* A ref as plx_random_id makes them. */
static bool is_ref(plx_slice s)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    if (s.len != PLX_PHX_REF_LEN)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!memchr(good, s.data[i], sizeof good - 1))
            return false;
    return true;
}

static int read_offset(plx_slice s, uint64_t *out)
{
    uint64_t n = 0;

    if (s.len == 0 || s.len > 19)
        return PLX_E_INVALID;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return PLX_E_INVALID;
        n = n * 10 + (uint64_t)(s.data[i] - '0');
    }
    *out = n;
    return 0;
}

int plx_tracks_unpack(plx_membership *m, char kind, plx_slice bytes)
{
    plx_slice ref =
        plx_slice_make(bytes.data, bytes.len < PLX_PHX_REF_LEN ? bytes.len : PLX_PHX_REF_LEN);

    if (kind == 'd') {
        m->diffs.mode = PLX_DIFFS_DUE;
        return read_offset(bytes, &m->diffs.at);
    }
    if (!is_ref(ref) || bytes.len > PLX_PHX_REF_LEN + PLX_KEY_BYTES)
        return PLX_E_INVALID;
    if (kind == 't' && (!m->tracks || m->tracks->count < PLX_TRACKS_MAX)) {
        plx_held *h = plx_tracks_add(m, plx_slice_make(bytes.data + ref.len, bytes.len - ref.len));
        memcpy(h->ref, ref.data, ref.len);
        return 0;
    }
    if (kind != 'w' || bytes.len != PLX_PHX_REF_LEN)
        return PLX_E_INVALID;
    if (!m->tracks) /* it has taken back all that it tracked */
        m->tracks = plx_alloc_zero(1, sizeof *m->tracks);
    m->diffs = (plx_diffs){PLX_DIFFS_WAITS, m->start.offset};
    memcpy(m->tracks->awaited, ref.data, ref.len);
    return 0;
}

static void add_term(plx_buf *out, plx_term t)
{
    if (t.kind == PLX_TERM_STRING)
        plx_json_quote(out, t.text);
    else
        plx_buf_add(out, t.kind == PLX_TERM_NULL ? plx_slice_of("null") : t.text);
}

/* "w" REF JOIN_REF, or "d" OFFSET ":" JOIN_REF. */
void plx_hint_pack(const plx_membership *m, plx_buf *out)
{
    if (m->diffs.mode == PLX_DIFFS_WAITS && m->tracks)
        plx_buf_printf(out, "w%s", m->tracks->awaited);
    else if (m->diffs.mode == PLX_DIFFS_DUE)
        plx_buf_printf(out, "d%llu:", (unsigned long long)m->diffs.at);
    else
        return;
    add_term(out, plx_membership_join_ref(m));
}

int plx_hint_unpack(plx_slice bytes, plx_hint *out)
{
    plx_hint h = {.diffs = {PLX_DIFFS_PLAIN, 0}};
    const char *colon;

    *out = h;
    if (bytes.len == 0)
        return 0;
    if (bytes.data[0] == 'w' && bytes.len > 1 + PLX_PHX_REF_LEN) {
        h.diffs.mode = PLX_DIFFS_WAITS;
        h.ref = plx_slice_make(bytes.data + 1, PLX_PHX_REF_LEN);
        h.join_ref = plx_slice_make(h.ref.data + h.ref.len, bytes.len - 1 - PLX_PHX_REF_LEN);
    } else if (bytes.data[0] == 'd' && (colon = memchr(bytes.data, ':', bytes.len)) != NULL) {
        h.diffs.mode = PLX_DIFFS_DUE;
        h.join_ref = plx_slice_make(colon + 1, (size_t)(bytes.data + bytes.len - colon - 1));
        if (read_offset(plx_slice_make(bytes.data + 1, (size_t)(colon - bytes.data - 1)),
                        &h.diffs.at) != 0)
            return PLX_E_INVALID;
    } else {
        return PLX_E_INVALID;
    }
    if (plx_json_check(h.join_ref, NULL) != 0)
        return PLX_E_INVALID;
    *out = h;
    return 0;
}
