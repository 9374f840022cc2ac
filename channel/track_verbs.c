/* What a backend may do with presence, in the order of backend.h: track, update, untrack,
 * presences. */
#include "base/error.h"
#include "base/json_scan.h"
#include "base/log.h"
#include "channel/track_internal.h"
#include <stdlib.h>

static int check_entry(plx_slice key, plx_slice meta)
{
    plx_json_value value, forged[2];
    static const char *const names[] = {"phx_ref", "phx_ref_prev"};

    if (key.len > PLX_KEY_BYTES || meta.len > PLX_META_BYTES)
        return PLX_E_TOOBIG;
    if (plx_json_check(meta, &value) != 0 || value.type != PLX_JSON_OBJECT ||
        plx_json_cut_object(meta, names, forged, 2) != 0 || forged[0].type != PLX_JSON_NONE ||
        forged[1].type != PLX_JSON_NONE)
        return PLX_E_INVALID;
    return 0;
}

/* Another worker has a long-poll session's message now, or the socket is gone. */
static bool is_over(const plx_membership *m)
{
    return m->socket->closing || m->state == PLX_ENDED;
}

/* Whether the membership has its place in the log yet; if not, entries wait for it. */
static bool has_place(const plx_call *call)
{
    return call->kind != PLX_CALL_JOIN || call->m->state == PLX_JOINED;
}

int plx_tracks_check(const plx_membership *m, plx_slice key, plx_slice meta)
{
    int err = check_entry(key, meta);

    if (err != 0)
        return err;
    if (plx_tracks_find(m, key))
        return PLX_E_DENIED;
    return m->tracks && m->tracks->count >= PLX_TRACKS_MAX ? PLX_E_TOOBIG : 0;
}

int plx_channel_track(plx_channel *ch, plx_call *call, plx_slice key, plx_slice meta)
{
    plx_membership *m = (plx_membership *)ch;
    int err = call ? plx_tracks_check(m, key, meta) : PLX_E_INVALID;
    plx_held *h;

    if (err != 0 || is_over(m))
        return err;
    h = plx_tracks_add(m, key);
    plx_tracks_set_meta(h, meta);
    if (!has_place(call))
        return 0;
    plx_tracks_make_ref(h, call);
    plx_tracks_send(call, h, "");
    return 0;
}

int plx_channel_update(plx_channel *ch, plx_call *call, plx_slice key, plx_slice meta)
{
    plx_membership *m = (plx_membership *)ch;
    plx_held *h = plx_tracks_find(m, key);
    int err = h ? check_entry(key, meta) : PLX_E_NOTFOUND;
    char prev[PLX_PHX_REF_LEN + 1];

    if (!call)
        return PLX_E_INVALID;
    if (err != 0 || is_over(m))
        return err;
    plx_tracks_set_meta(h, meta);
    if (!has_place(call))
        return 0;
    memcpy(prev, h->ref, sizeof prev);
    plx_tracks_make_ref(h, call);
    m->assigns_changed = true;
    plx_tracks_send(call, h, prev);
    return 0;
}

int plx_channel_untrack(plx_channel *ch, plx_call *call, plx_slice key)
{
    plx_membership *m = (plx_membership *)ch;
    plx_held *h = plx_tracks_find(m, key);

    if (!h || !call)
        return call ? PLX_E_NOTFOUND : PLX_E_INVALID;
    if (is_over(m))
        return 0;
    if (has_place(call))
        plx_tracks_take_back(call, h);
    plx_tracks_drop(m, h);
    return 0;
}

typedef struct listing {
    plx_call *call;
    plx_presences_cb *cb;
    void *arg;
} listing;

static void listed(void *arg, int err, const plx_position *position, plx_slice json, uint64_t count)
{
    static const plx_slice none = {NULL, 0};
    listing *l = arg;
    plx_call *call = l->call;
    plx_socket *s = call->m->socket;

    (void)position;
    (void)count;
    plx_socket_enter(s);
    if (err == 0 && json.len == 0)
        err = PLX_E_TOOBIG;
    l->cb(l->arg, (plx_channel *)call->m, call, err, err == 0 ? json : none);
    free(l);
    plx_call_unref(call);
    plx_socket_exit(s);
}

void plx_channel_presences(plx_channel *ch, plx_call *call, plx_presences_cb *cb, void *arg)
{
    plx_membership *m = (plx_membership *)ch;
    listing *l;

    if (!call) {
        plx_log_limited(PLX_ERROR, "backend \"%s\" asks for presences without a call",
                        m->entry->backend->name);
        return;
    }
    l = plx_alloc(sizeof *l);
    *l = (listing){plx_call_ref(call), cb, arg};
    plx_presence_read(m->socket->store, m->topic, false, listed, l);
}
