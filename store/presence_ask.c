/* What callers ask to be changed: checked, copied, and put behind the topic's other changes. And
 * what a socket has. */
#include "base/alloc.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "store/presence_internal.h"

#define UNSENT_MAX     10000 /* changes of a topic in this worker; above it tracks are refused */
#define NAME_MAX_BYTES 64

static plx_pres_change *new_change(enum plx_pres_verb kind, const plx_slice *field, unsigned fields)
{
    size_t len = 0;
    for (unsigned i = 0; i < fields; i++)
        len += field[i].len;
    plx_pres_change *x = plx_alloc_zero(1, sizeof *x + len);
    char *at = x->text;
    x->kind = kind;
    x->bytes = len + 64;
    x->fields = fields;
    for (unsigned i = 0; i < fields; i++) {
        x->field[i] = plx_slice_make(at, field[i].len);
        if (field[i].len > 0)
            memcpy(at, field[i].data, field[i].len);
        at += field[i].len;
    }
    return x;
}

static void enqueue(plx_store *s, plx_slice topic, const plx_presence_rules *rules,
                    plx_pres_change *x)
{
    plx_pres_topic *t = plx_pres_topic_get(s->presence, topic, rules);
    if (x->kind == PLX_PRES_TRACK && t->unsent >= UNSENT_MAX && !x->err)
        x->err = PLX_E_BUSY;
    t->unsent++;
    plx_list_push(&t->changes, &x->node);
    if (!t->sending)
        plx_later_add(&s->laters, &t->send);
}

static bool good_ref(plx_slice ref)
{
    for (size_t i = 0; i < ref.len; i++) {
        char c = ref.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              c == '-' || c == '_'))
            return false;
    }
    return ref.len == PLX_PHX_REF_LEN;
}

static bool good_name(plx_slice name)
{
    return name.len > 0 && name.len <= NAME_MAX_BYTES;
}

/* What stands behind the brace of a meta, spaces and all; "}" for one without members. */
static int meta_rest(plx_slice meta, plx_slice *rest)
{
    static const char *const forged[] = {"phx_ref", "phx_ref_prev"};
    plx_json_value found[2], value, first;
    plx_slice name;
    size_t pos = 0;
    if (plx_json_cut_object(meta, forged, found, 2) != 0 || found[0].type != PLX_JSON_NONE ||
        found[1].type != PLX_JSON_NONE || plx_json_check(meta, &value) != 0)
        return PLX_E_INVALID;
    if (plx_json_next(value.text, &pos, &name, &first))
        *rest = plx_slice_make(value.text.data + 1, value.text.len - 1);
    else
        *rest = plx_slice_make("}", 1);
    return 0;
}

static int check_track(const plx_track *t, plx_slice *rest)
{
    if (t->meta.len > PLX_META_BYTES || t->key.len > PLX_KEY_BYTES)
        return PLX_E_TOOBIG;
    if (!good_ref(t->ref) || (t->prev.len > 0 && !good_ref(t->prev)) || !good_name(t->owner) ||
        !good_name(t->socket))
        return PLX_E_INVALID;
    return meta_rest(t->meta, rest);
}

void plx_presence_track(plx_store *s, const plx_presence_rules *rules, const plx_track *t,
                        plx_track_cb *cb, void *arg)
{
    plx_buf key;
    plx_slice rest = {0};
    int err = check_track(t, &rest);
    plx_buf_init(&key, 0);
    if (!err)
        plx_json_quote(&key, t->key);
    plx_slice field[] = {t->owner, t->socket, t->ref, t->prev, plx_buf_slice(&key), rest};
    plx_pres_change *x = new_change(PLX_PRES_TRACK, field, err ? 0 : 6);
    plx_buf_fini(&key);
    x->err = err;
    x->generation = plx_owner_generation(s, t->owner);
    x->fn = (void (*)(void))cb;
    x->arg = arg;
    enqueue(s, t->topic, rules, x);
}

void plx_presence_untrack(plx_store *s, const plx_presence_rules *rules, const plx_untrack *u,
                          plx_presence_cb *cb, void *arg)
{
    plx_buf key;
    plx_slice by = PLX_LIT("a"), value = {0}, vanished = plx_slice_of(u->grace ? "1" : "0");
    int err = good_name(u->socket) ? 0 : PLX_E_INVALID;
    plx_buf_init(&key, 0);
    if (u->ref.len > 0) {
        by = plx_slice_of("r");
        value = u->ref;
    } else if (u->key.data) {
        by = plx_slice_of("k");
        plx_json_quote(&key, u->key);
        value = plx_buf_slice(&key);
    }
    plx_slice field[] = {u->socket, by, value, vanished};
    plx_pres_change *x = new_change(PLX_PRES_UNTRACK, field, err ? 0 : 4);
    plx_buf_fini(&key);
    x->err = err;
    x->generation = plx_owner_generation(s, u->owner);
    x->fn = (void (*)(void))cb;
    x->arg = arg;
    enqueue(s, u->topic, rules, x);
}

static void have_held(const plx_done *done, int err, const redisReply *reply)
{
    static const plx_slice nothing = {NULL, 0};
    plx_slice refs = err ? nothing : plx_reply_slice(reply);
    ((plx_presence_held_cb *)done->fn)(done->arg, err, refs);
}

void plx_presence_held(plx_store *s, plx_slice topic, plx_slice socket, plx_presence_held_cb *cb,
                       void *arg)
{
    plx_command c;
    plx_command_init(&c, "HGET");
    plx_script_key(&c, s, 't', topic, ":pres:own");
    plx_command_add(&c, socket);
    plx_conn_send(s->conn, &c, 0, have_held, PLX_DONE((void (*)(void))cb, arg));
}
