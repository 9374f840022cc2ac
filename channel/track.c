/* See track.h. The verbs themselves are in backend.h's order: track, update, untrack, presences. */
#include "channel/track.h"

#include "base/base64.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "base/log.h"
#include "channel/socket_core.h"
#include "channel/template.h"
#include <stdio.h>
#include <stdlib.h>

/* About what a change under way takes beside its strings. */
#define CHANGE_COST 512

/* ---- the list ---- */

static plx_slice key_of(const plx_held *h)
{
    return plx_slice_make(h->key, h->key_len);
}

static plx_held *find_key(const plx_membership *m, plx_slice key)
{
    for (size_t i = 0; m->tracks && i < m->tracks->count; i++)
        if (plx_slice_eq(key_of(&m->tracks->held[i]), key))
            return &m->tracks->held[i];
    return NULL;
}

static plx_held *find_ref(const plx_membership *m, const char *ref)
{
    for (size_t i = 0; m->tracks && i < m->tracks->count; i++)
        if (strcmp(m->tracks->held[i].ref, ref) == 0)
            return &m->tracks->held[i];
    return NULL;
}

static void set_meta(plx_held *h, plx_slice meta)
{
    char *old = h->meta;

    h->meta = plx_slice_dup(meta);
    h->meta_len = meta.len;
    free(old);
}

static plx_held *add(plx_membership *m, plx_slice key)
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

static void drop(plx_membership *m, plx_held *h)
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
        drop(m, &m->tracks->held[m->tracks->count - 1]);
    free(m->tracks);
    m->tracks = NULL;
}

/* A new ref: see track.h for those of long-poll sessions. */
static void make_ref(plx_held *h, const plx_call *call)
{
    const plx_socket *s = call->m->socket;
    uint8_t sum[PLX_DIGEST_MAX];
    plx_buf text;

    if (s->entry == 0) {
        plx_random_id(h->ref, PLX_PHX_REF_LEN);
        return;
    }
    plx_buf_init(&text, 0);
    plx_buf_printf(&text, "phx_ref %.*s:%llu:%u:%u", (int)s->session.len, s->session.data,
                   (unsigned long long)s->entry, (unsigned)call->number,
                   call->m->tracks->numbered++);
    plx_hash(PLX_SHA256, plx_buf_slice(&text), sum);
    plx_buf_clear(&text);
    plx_base64_encode(&text, plx_slice_make(sum, PLX_PHX_REF_LEN / 4 * 3),
                      PLX_B64_URL | PLX_B64_NOPAD);
    memcpy(h->ref, text.data, PLX_PHX_REF_LEN);
    h->ref[PLX_PHX_REF_LEN] = '\0';
    plx_buf_fini(&text);
}

/* ---- changes on their way to Redis ---- */

typedef struct change {
    plx_broadcast *settling;
    char ref[PLX_PHX_REF_LEN + 1];
} change;

static plx_slice owner_of(const plx_socket *s)
{
    return s->ops->leased ? plx_owner_name(s->store) : s->session;
}

/* The entry of a vanished socket was taken over: it is in the published state already. */
static void taken_over(plx_membership *m, const char *ref, const plx_tracked *tracked)
{
    plx_held *h = find_ref(m, ref);

    if (!h || tracked->ref.len != PLX_PHX_REF_LEN)
        return;
    memcpy(h->ref, tracked->ref.data, PLX_PHX_REF_LEN);
    m->assigns_changed = true;
    if (strcmp(m->tracks->awaited, ref) != 0 || m->diffs.mode != PLX_DIFFS_WAITS)
        return;
    m->tracks->awaited[0] = '\0';
    m->diffs.mode = PLX_DIFFS_DUE;
    if (tracked->taken_at->offset > m->diffs.at)
        m->diffs.at = tracked->taken_at->offset;
    if (m->socket->ops->tracks)
        m->socket->ops->tracks(m->socket, m);
}

static void refused(const plx_membership *m, int err)
{
    plx_log_limited(PLX_WARNING, "presence on \"%.*s\" was refused: %s", (int)m->topic.len,
                    m->topic.data, plx_strerror(err));
}

static bool is_outage(int err)
{
    return err == PLX_E_DOWN || err == PLX_E_TIMEOUT || err == PLX_E_BUSY || err == PLX_E_STORE;
}

/* A WebSocket's client that could not be tracked at its join is told to join again. (A long-poll
 * session's message is handled again by whoever has its lease then.) */
static void tracked(void *arg, int err, const plx_tracked *result)
{
    change *c = arg;
    plx_call *call = plx_call_ref(c->settling->call);
    plx_membership *m = call->m;
    plx_socket *s = m->socket;

    plx_socket_enter(s);
    if (err == 0 && result->taken_at)
        taken_over(m, c->ref, result);
    else if (err != 0)
        refused(m, err);
    if (is_outage(err) && s->entry == 0 && call->kind == PLX_CALL_JOIN)
        plx_membership_lost(m);
    plx_broadcast_done(c->settling, is_outage(err) || call->kind != PLX_CALL_JOIN ? err : 0, NULL,
                       false);
    free(c);
    plx_call_unref(call);
    plx_socket_exit(s);
}

static void change_done(void *arg, int err)
{
    change *c = arg;

    /* The store repeats it by itself; what was asked will be so. */
    plx_broadcast_done(c->settling, err == PLX_E_DOWN || err == PLX_E_TIMEOUT ? 0 : err, NULL,
                       false);
    free(c);
}

static change *change_new(plx_call *call, const char *ref, size_t bytes)
{
    change *c = plx_alloc_zero(1, sizeof *c);

    snprintf(c->ref, sizeof c->ref, "%s", ref);
    c->settling = plx_broadcast_new(call, CHANGE_COST + bytes);
    return c;
}

/* Sends an entry with its meta, which is not needed any more then. prev: the ref that it replaces.
 */
static void send_entry(plx_call *call, plx_held *h, const char *prev)
{
    const plx_membership *m = call->m;
    const plx_socket *s = m->socket;
    const plx_track t = {.topic = m->topic,
                         .ref = plx_slice_of(h->ref),
                         .prev = plx_slice_of(prev),
                         .owner = owner_of(s),
                         .socket = s->session,
                         .key = key_of(h),
                         .meta = plx_slice_make(h->meta, h->meta_len)};

    plx_presence_track(s->store, &m->entry->rules, &t, tracked,
                       change_new(call, h->ref, h->key_len + h->meta_len));
    free(h->meta);
    h->meta = NULL;
}

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
        refused(m, PLX_E_TOOBIG);
    else if (!find_key(m, plx_buf_slice(&key)))
        set_meta(add(m, plx_buf_slice(&key)), plx_buf_slice(&meta));
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
        make_ref(&m->tracks->held[i], call);
        send_entry(call, &m->tracks->held[i], "");
    }
    memcpy(m->tracks->awaited, m->tracks->held[0].ref, sizeof m->tracks->awaited);
    if (m->socket->ops->tracks)
        m->socket->ops->tracks(m->socket, m);
}

static void untrack(const plx_membership *m, plx_slice ref, bool vanished)
{
    const plx_socket *s = m->socket;
    const plx_untrack u = {.topic = m->topic,
                           .owner = owner_of(s),
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

/* ---- records ---- */

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
        pack(out, 't', m->tracks->held[i].ref, PLX_PHX_REF_LEN, key_of(&m->tracks->held[i]));
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
        plx_held *h = add(m, plx_slice_make(bytes.data + ref.len, bytes.len - ref.len));
        memcpy(h->ref, ref.data, ref.len);
        return 0;
    }
    if (kind != 'w' || bytes.len != PLX_PHX_REF_LEN || !m->tracks)
        return PLX_E_INVALID;
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

/* ---- the verbs ---- */

static int check_entry(const plx_membership *m, plx_slice key, plx_slice meta)
{
    plx_json_value value, forged[2];
    static const char *const names[] = {"phx_ref", "phx_ref_prev"};

    (void)m;
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

int plx_channel_track(plx_channel *ch, plx_call *call, plx_slice key, plx_slice meta)
{
    plx_membership *m = (plx_membership *)ch;
    int err = check_entry(m, key, meta);
    plx_held *h;

    if (err != 0)
        return err;
    if (find_key(m, key))
        return PLX_E_DENIED;
    if (m->tracks && m->tracks->count >= PLX_TRACKS_MAX)
        return PLX_E_TOOBIG;
    if (is_over(m))
        return 0;
    h = add(m, key);
    set_meta(h, meta);
    if (!has_place(call))
        return 0;
    make_ref(h, call);
    send_entry(call, h, "");
    return 0;
}

int plx_channel_update(plx_channel *ch, plx_call *call, plx_slice key, plx_slice meta)
{
    plx_membership *m = (plx_membership *)ch;
    plx_held *h = find_key(m, key);
    int err = h ? check_entry(m, key, meta) : PLX_E_NOTFOUND;
    char prev[PLX_PHX_REF_LEN + 1];

    if (err != 0 || is_over(m))
        return err;
    set_meta(h, meta);
    if (!has_place(call))
        return 0;
    memcpy(prev, h->ref, sizeof prev);
    make_ref(h, call);
    m->assigns_changed = true;
    send_entry(call, h, prev);
    return 0;
}

int plx_channel_untrack(plx_channel *ch, plx_call *call, plx_slice key)
{
    plx_membership *m = (plx_membership *)ch;
    const plx_socket *s = m->socket;
    plx_held *h = find_key(m, key);

    if (!h)
        return PLX_E_NOTFOUND;
    if (is_over(m))
        return 0;
    if (has_place(call)) {
        const plx_untrack u = {.topic = m->topic,
                               .owner = owner_of(s),
                               .socket = s->session,
                               .ref = plx_slice_of(h->ref)};
        plx_presence_untrack(s->store, &m->entry->rules, &u, change_done,
                             change_new(call, h->ref, key.len));
    }
    drop(m, h);
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
    listing *l = plx_alloc(sizeof *l);

    *l = (listing){plx_call_ref(call), cb, arg};
    plx_presence_read(m->socket->store, m->topic, false, listed, l);
}
