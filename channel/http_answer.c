/* Answers of applications are foreign text: cut by the scanner, which has validated them as a
 * whole, and relayed as they came. Nothing is done here, so a fault anywhere leaves nothing half
 * done. */
#include "channel/http_answer.h"

#include "base/alloc.h"
#include "base/base64.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "base/map.h"
#include <stdlib.h>

/* The members of each kind of answer; verbs first. */
enum { ASSIGNS, PRESENCE, PUSH, BROADCAST, FROM, STOP, VERBS, STATUS = VERBS, RESPONSE, MEMBERS };
static const char *const verbs[VERBS] = {"assigns",   "presence",       "push",
                                         "broadcast", "broadcast_from", "stop"};
static const char *const join_members[] = {"assigns",        "presence", "push",   "broadcast",
                                           "broadcast_from", "stop",     "status", "response"};
static const char *const push_members[] = {"assigns",        "presence", "push", "broadcast",
                                           "broadcast_from", "stop",     "reply"};

typedef struct reader {
    plx_http_answer *a;
    const char **why;
} reader;

static int wrong(reader *r, const char *why)
{
    *r->why = why;
    return PLX_E_INVALID;
}

static bool is_object(const plx_json_value *v)
{
    return v->type == PLX_JSON_OBJECT;
}

/* The text of an object whose members are the application's own. PHP writes an empty one as []. */
static bool take_object(const plx_json_value *v, plx_slice *text)
{
    size_t n = 1;
    bool empty =
        v->type == PLX_JSON_ARRAY && plx_json_cut_array(v->text, NULL, 0, &n) == 0 && n == 0;

    if (!empty && !is_object(v))
        return false;
    *text = empty ? plx_slice_of("{}") : v->text;
    return true;
}

/* The bytes of a string into a->text, which has room for all of them and does not move. */
static plx_slice unquote(reader *r, const plx_json_value *string)
{
    size_t before = r->a->text.len;

    plx_json_unquote(string->text, &r->a->text);
    return plx_slice_make(r->a->text.data + before, r->a->text.len - before);
}

static int read_binary(reader *r, const plx_json_value *base64, plx_payload *out)
{
    plx_buf *text = &r->a->text;
    plx_buf plain;
    size_t before = text->len;
    int err;

    plx_buf_init(&plain, 0);
    plx_json_unquote(base64->text, &plain);
    err = plx_base64_decode(text, plx_buf_slice(&plain),
                            PLX_B64_STANDARD | PLX_B64_NOPAD | PLX_B64_EITHER);
    plx_buf_fini(&plain);
    out->kind = PLX_PAYLOAD_BINARY;
    out->bytes = plx_slice_make(text->data + before, text->len - before);
    return err != 0 ? PLX_E_INVALID : 0;
}

/* ---- replies ---- */

static int read_status(reader *r, const plx_json_value *status)
{
    plx_slice text = status->text;

    r->a->replies = true;
    r->a->failed = plx_slice_is(text, "\"error\"");
    if (status->type != PLX_JSON_STRING || (!r->a->failed && !plx_slice_is(text, "\"ok\"")))
        return wrong(r, "\"status\" must be \"ok\" or \"error\"");
    return 0;
}

static int read_response(reader *r, const plx_json_value *json, const plx_json_value *base64)
{
    plx_payload *out = &r->a->response;

    *out = (plx_payload){PLX_PAYLOAD_JSON, plx_slice_of("{}")};
    if (json->type != PLX_JSON_NONE && base64->type != PLX_JSON_NONE)
        return wrong(r, "both \"response\" and \"response_base64\"");
    if (base64->type == PLX_JSON_STRING && read_binary(r, base64, out) == 0)
        return 0;
    if (base64->type != PLX_JSON_NONE)
        return wrong(r, "\"response_base64\" must be a string in Base64");
    if (json->type != PLX_JSON_NONE && !take_object(json, &out->bytes))
        return wrong(r, "\"response\" must be an object");
    return 0;
}

static int read_reply(reader *r, const plx_json_value *reply)
{
    static const char *const names[] = {"status", "response", "response_base64"};
    plx_json_value v[3];
    int err;

    if (reply->type == PLX_JSON_NONE || reply->type == PLX_JSON_NULL)
        return 0;
    if (!is_object(reply) || plx_json_cut_object(reply->text, names, v, 3) != 0)
        return wrong(r, "\"reply\" must be an object");
    err = read_status(r, &v[0]);
    return err != 0 ? err : read_response(r, &v[1], &v[2]);
}

/* ---- verbs ---- */

static int read_presence(reader *r, const plx_json_value *presence)
{
    static const char *const kinds[] = {"track", "update", "untrack"};
    static const char *const names[] = {"key", "meta"};
    plx_json_value kind[3], v[2];
    size_t which = 3;

    if (presence->type == PLX_JSON_NONE)
        return 0;
    if (!is_object(presence) || plx_json_cut_object(presence->text, kinds, kind, 3) != 0)
        return wrong(r, "\"presence\" must be an object");
    for (size_t i = 0; i < 3; i++) {
        if (kind[i].type == PLX_JSON_NONE)
            continue;
        if (which < 3)
            return wrong(r, "\"presence\" must have one of track, update and untrack");
        which = i;
    }
    if (which == 3)
        return wrong(r, "\"presence\" must have one of track, update and untrack");
    r->a->presence = (enum plx_presence_verb)(which + 1);
    if (!is_object(&kind[which]) || plx_json_cut_object(kind[which].text, names, v, 2) != 0 ||
        v[0].type != PLX_JSON_STRING)
        return wrong(r, "presence needs an object with \"key\", a string");
    r->a->key = unquote(r, &v[0]);
    if (r->a->presence == PLX_PRESENCE_UNTRACK)
        return 0;
    if (!take_object(&v[1], &r->a->meta))
        return wrong(r, "presence needs \"meta\", an object");
    return 0;
}

static int read_payload(reader *r, const plx_json_value *json, const plx_json_value *base64,
                        plx_payload *out)
{
    if ((json->type == PLX_JSON_NONE) == (base64->type == PLX_JSON_NONE))
        return wrong(r, "a message needs either \"payload\" or \"payload_base64\"");
    if (base64->type != PLX_JSON_NONE)
        return base64->type == PLX_JSON_STRING && read_binary(r, base64, out) == 0
                   ? 0
                   : wrong(r, "\"payload_base64\" must be a string in Base64");
    *out = (plx_payload){.kind = PLX_PAYLOAD_JSON};
    if (!take_object(json, &out->bytes))
        return wrong(r, "\"payload\" must be an object");
    return 0;
}

static int read_message(reader *r, const plx_json_value *message, bool has_topic,
                        plx_http_message *out)
{
    static const char *const names[] = {"event", "payload", "payload_base64", "topic"};
    plx_json_value v[4];

    if (!is_object(message) || plx_json_cut_object(message->text, names, v, 4) != 0)
        return wrong(r, "a message must be an object with \"event\" and \"payload\"");
    if (v[0].type != PLX_JSON_STRING)
        return wrong(r, "\"event\" must be a string");
    out->event = unquote(r, &v[0]);
    if (has_topic && v[3].type != PLX_JSON_NONE) {
        if (v[3].type != PLX_JSON_STRING || v[3].text.len <= 2)
            return wrong(r, "\"topic\" must be a string that is not empty");
        out->topic = unquote(r, &v[3]);
    }
    return read_payload(r, &v[1], &v[2], &out->payload);
}

/* Appends a list's messages to the others. */
static int read_messages(reader *r, const plx_json_value *list, bool has_topic, size_t *count)
{
    plx_http_answer *a = r->a;
    size_t before = a->push_count + a->broadcast_count + a->from_count, pos = 0, n;
    plx_slice key;
    plx_json_value v;
    int err = 0;

    if (list->type == PLX_JSON_NONE)
        return 0;
    if (list->type != PLX_JSON_ARRAY || plx_json_cut_array(list->text, NULL, 0, &n) != 0)
        return wrong(r, "\"push\", \"broadcast\" and \"broadcast_from\" must be arrays");
    if (before + n > PLX_HTTP_MESSAGES_MAX)
        return wrong(r, "too many messages");
    if (n == 0)
        return 0;
    a->messages = plx_realloc(a->messages, (before + n) * sizeof *a->messages);
    memset(a->messages + before, 0, n * sizeof *a->messages);
    for (size_t i = 0; err == 0 && plx_json_next(list->text, &pos, &key, &v); i++)
        err = read_message(r, &v, has_topic, &a->messages[before + i]);
    *count = n;
    return err;
}

static int read_verbs(reader *r, const plx_json_value *v)
{
    plx_http_answer *a = r->a;
    int err;

    if (v[ASSIGNS].type != PLX_JSON_NONE && !take_object(&v[ASSIGNS], &a->assigns))
        return wrong(r, "\"assigns\" must be an object");
    if (v[STOP].type != PLX_JSON_NONE && v[STOP].type != PLX_JSON_TRUE &&
        v[STOP].type != PLX_JSON_FALSE)
        return wrong(r, "\"stop\" must be true or false");
    a->stop = v[STOP].type == PLX_JSON_TRUE;
    err = read_presence(r, &v[PRESENCE]);
    if (err == 0)
        err = read_messages(r, &v[PUSH], false, &a->push_count);
    if (err == 0)
        err = read_messages(r, &v[BROADCAST], true, &a->broadcast_count);
    if (err == 0)
        err = read_messages(r, &v[FROM], false, &a->from_count);
    return err;
}

/* A member that none of the names is. */
static void find_unknown(reader *r, plx_slice json, const char *const *names, size_t count)
{
    size_t pos = 0;
    plx_slice key;
    plx_json_value v;

    while (plx_json_next(json, &pos, &key, &v)) {
        plx_slice name = plx_slice_make(key.data + 1, key.len - 2);
        if (!plx_slice_among(name, names, count))
            r->a->unknown = key;
    }
}

/* ---- the whole ---- */

static int read_join(reader *r, plx_slice json)
{
    static const plx_json_value none = {PLX_JSON_NONE, {NULL, 0}};
    plx_json_value v[MEMBERS];
    int err;

    if (json.len == 0 || plx_json_cut_object(json, join_members, v, MEMBERS) != 0)
        return wrong(r, "a join needs an answer with \"status\"");
    find_unknown(r, json, join_members, MEMBERS);
    err = read_status(r, &v[STATUS]);
    if (err == 0)
        err = read_response(r, &v[RESPONSE], &none);
    if (err == 0)
        err = read_verbs(r, v);
    if (err == 0 && r->a->stop)
        err = wrong(r, "a join can't \"stop\": it is refused with \"status\":\"error\"");
    return err;
}

static int read_push(reader *r, plx_slice json)
{
    plx_json_value v[VERBS + 1];
    int err;

    if (json.len == 0)
        return 0;
    if (plx_json_cut_object(json, push_members, v, VERBS + 1) != 0)
        return wrong(r, "no object");
    find_unknown(r, json, push_members, VERBS + 1);
    err = read_reply(r, &v[VERBS]);
    return err != 0 ? err : read_verbs(r, v);
}

static int read_leave(reader *r, plx_slice json)
{
    plx_json_value v[VERBS];

    if (json.len == 0)
        return 0;
    if (plx_json_cut_object(json, verbs, v, VERBS) != 0)
        return wrong(r, "no object");
    find_unknown(r, json, verbs, VERBS);
    return read_verbs(r, v);
}

int plx_http_answer_read(plx_slice json, enum plx_http_question question, plx_http_answer *out,
                         const char **why)
{
    static int (*const readers[])(reader *, plx_slice) = {read_join, read_push, read_leave};
    reader r = {out, why};
    int err;

    *out = (plx_http_answer){.failed = false};
    /* No string is longer unquoted, no binary longer decoded. */
    plx_buf_init(&out->text, json.len);
    plx_buf_reserve(&out->text, json.len);
    err = readers[question](&r, json);
    if (err != 0)
        plx_http_answer_fini(out);
    return err;
}

void plx_http_answer_fini(plx_http_answer *a)
{
    free(a->messages);
    plx_buf_fini(&a->text);
    *a = (plx_http_answer){.failed = false};
}

/* ---- assigns ---- */

typedef struct member {
    plx_slice name; /* unquoted */
    plx_slice key;  /* with its quotes */
    plx_slice value;
    bool null;
} member;

typedef struct members {
    member *list;
    size_t count;
    plx_map *by_name; /* the last one of each name */
    plx_buf names;
} members;

static void members_read(members *m, plx_slice object)
{
    size_t pos = 0, capacity = 0;
    plx_json_value v;
    member e;

    *m = (members){.by_name = plx_map_new()};
    plx_buf_init(&m->names, object.len);
    plx_buf_reserve(&m->names, object.len);
    while (plx_json_next(object, &pos, &e.key, &v)) {
        size_t before = m->names.len;
        plx_json_unquote(e.key, &m->names);
        e.name = plx_slice_make(m->names.data + before, m->names.len - before);
        e.value = v.text;
        e.null = v.type == PLX_JSON_NULL;
        if (m->count == capacity)
            m->list = plx_realloc(m->list, (capacity = capacity * 2 + 8) * sizeof *m->list);
        m->list[m->count++] = e;
    }
    for (size_t i = 0; i < m->count; i++)
        plx_map_put(m->by_name, m->list[i].name, &m->list[i]);
}

static void members_fini(members *m)
{
    plx_map_free(m->by_name);
    plx_buf_fini(&m->names);
    free(m->list);
}

/* Those that are the last of their name, are not null, and are not in `without`. */
static void write_members(const members *m, const members *without, plx_buf *out)
{
    for (size_t i = 0; i < m->count; i++) {
        const member *e = &m->list[i];
        if (e->null || plx_map_get(m->by_name, e->name) != e ||
            (without && plx_map_get(without->by_name, e->name)))
            continue;
        if (out->data[out->len - 1] != '{')
            plx_buf_byte(out, ',');
        plx_buf_add(out, e->key);
        plx_buf_byte(out, ':');
        plx_buf_add(out, e->value);
    }
}

int plx_http_assigns_merge(plx_slice assigns, plx_slice changes, plx_buf *out)
{
    members old, new;

    members_read(&old, assigns);
    members_read(&new, changes);
    if (plx_buf_byte(out, '{') == 0) {
        write_members(&old, &new, out);
        write_members(&new, NULL, out);
        plx_buf_byte(out, '}');
    }
    members_fini(&old);
    members_fini(&new);
    return plx_buf_ok(out) ? 0 : PLX_E_TOOBIG;
}
