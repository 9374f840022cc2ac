/* A copy of a topic's presence. */
#include "store/people.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "store/presence.h"

#include <stdlib.h>

typedef struct person {
    plx_list node; /* in the list of keys */
    plx_list metas;
    plx_slice key;
    char bytes[];
} person;

typedef struct device {
    plx_list node; /* in person->metas */
    person *of;
    plx_slice ref, meta;
    char bytes[];
} device;

/* ---- one entry more or less */

void plx_people_init(plx_people *p)
{
    p->by_ref = plx_map_new();
    p->by_key = plx_map_new();
    plx_list_init(&p->keys);
}

size_t plx_people_count(const plx_people *p)
{
    return plx_map_count(p->by_ref);
}

static person *get_person(plx_people *p, plx_slice key)
{
    person *x = plx_map_get(p->by_key, key);
    if (x)
        return x;
    x = plx_alloc(sizeof *x + key.len);
    memcpy(x->bytes, key.data, key.len);
    x->key = plx_slice_make(x->bytes, key.len);
    plx_list_init(&x->metas);
    plx_list_push(&p->keys, &x->node);
    plx_map_put(p->by_key, x->key, x);
    return x;
}

static void free_device(plx_people *p, device *d)
{
    person *x = d->of;
    plx_map_remove(p->by_ref, d->ref);
    plx_list_remove(&d->node);
    free(d);
    if (!plx_list_empty(&x->metas))
        return;
    plx_map_remove(p->by_key, x->key);
    plx_list_remove(&x->node);
    free(x);
}

void plx_people_add(plx_people *p, plx_slice ref, plx_slice key, plx_slice meta)
{
    plx_people_remove(p, ref);
    device *d = plx_alloc(sizeof *d + ref.len + meta.len);
    memcpy(d->bytes, ref.data, ref.len);
    memcpy(d->bytes + ref.len, meta.data, meta.len);
    d->ref = plx_slice_make(d->bytes, ref.len);
    d->meta = plx_slice_make(d->bytes + ref.len, meta.len);
    d->of = get_person(p, key);
    plx_list_push(&d->of->metas, &d->node);
    plx_map_put(p->by_ref, d->ref, d);
}

void plx_people_remove(plx_people *p, plx_slice ref)
{
    device *d = plx_map_get(p->by_ref, ref);
    if (d)
        free_device(p, d);
}

void plx_people_clear(plx_people *p)
{
    device *d;
    size_t cursor = 0;
    while ((d = plx_map_next(p->by_ref, &cursor)) != NULL)
        free_device(p, d);
}

void plx_people_fini(plx_people *p)
{
    plx_people_clear(p);
    plx_map_free(p->by_ref);
    plx_map_free(p->by_key);
}

/* ---- diffs and states */

/* The ref out of {"phx_ref":"...",...}: its first member. */
static bool ref_of(const plx_json_value *meta, plx_slice *ref)
{
    size_t pos = 0;
    plx_slice name;
    plx_json_value value;
    if (meta->type != PLX_JSON_OBJECT || !plx_json_next(meta->text, &pos, &name, &value) ||
        !plx_slice_is(name, "\"phx_ref\"") || value.text.len != PLX_PHX_REF_LEN + 2)
        return false;
    *ref = plx_slice_make(value.text.data + 1, PLX_PHX_REF_LEN);
    return true;
}

static int walk_metas(plx_slice key, plx_slice list, plx_people_visit *visit, void *arg)
{
    size_t pos = 0;
    plx_slice none, ref;
    plx_json_value meta;
    while (plx_json_next(list, &pos, &none, &meta)) {
        if (!ref_of(&meta, &ref))
            return PLX_E_INVALID;
        visit(arg, ref, key, meta.text);
    }
    return 0;
}

int plx_people_walk(plx_slice text, plx_people_visit *visit, void *arg)
{
    size_t pos = 0, inner;
    plx_slice key, name;
    plx_json_value one, list;
    while (plx_json_next(text, &pos, &key, &one)) {
        inner = 0;
        if (one.type != PLX_JSON_OBJECT || !plx_json_next(one.text, &inner, &name, &list) ||
            !plx_slice_is(name, "\"metas\"") || list.type != PLX_JSON_ARRAY)
            return PLX_E_INVALID;
        int err = walk_metas(key, list.text, visit, arg);
        if (err)
            return err;
    }
    return 0;
}

static void visit_join(void *arg, plx_slice ref, plx_slice key, plx_slice meta)
{
    plx_people_add(arg, ref, key, meta);
}

static void visit_leave(void *arg, plx_slice ref, plx_slice key, plx_slice meta)
{
    (void)key, (void)meta;
    plx_people_remove(arg, ref);
}

int plx_people_apply(plx_people *p, plx_slice diff)
{
    static const char *const names[] = {"joins", "leaves"};
    plx_json_value part[2];
    if (plx_json_cut_object(diff, names, part, 2) != 0 || part[0].type != PLX_JSON_OBJECT ||
        part[1].type != PLX_JSON_OBJECT)
        return PLX_E_INVALID;
    int err = plx_people_walk(part[0].text, visit_join, p);
    return err ? err : plx_people_walk(part[1].text, visit_leave, p);
}

int plx_people_read(plx_people *p, plx_slice state)
{
    plx_json_value value;
    if (plx_json_check(state, &value) != 0 || value.type != PLX_JSON_OBJECT)
        return PLX_E_INVALID;
    return plx_people_walk(value.text, visit_join, p);
}

void plx_people_json(const plx_people *p, plx_buf *out)
{
    plx_buf_byte(out, '{');
    for (const plx_list *k = p->keys.next; k != &p->keys; k = k->next) {
        const person *x = PLX_CONTAINER(k, person, node);
        if (k != p->keys.next)
            plx_buf_byte(out, ',');
        plx_buf_add(out, x->key);
        plx_buf_str(out, ":{\"metas\":[");
        for (const plx_list *m = x->metas.next; m != &x->metas; m = m->next) {
            if (m != x->metas.next)
                plx_buf_byte(out, ',');
            plx_buf_add(out, PLX_CONTAINER(m, device, node)->meta);
        }
        plx_buf_str(out, "]}");
    }
    plx_buf_byte(out, '}');
}

/* ---- entries as Redis has them (see presence.lua) */

typedef struct entry {
    uint64_t seq;
    plx_slice ref, prev, key, rest;
} entry;

static bool parse_entry(plx_slice ref, plx_slice packed, entry *out)
{
    plx_slice rest = packed, head, word;
    uint64_t number[5], before;
    if (ref.len != PLX_PHX_REF_LEN || !plx_slice_split(&rest, '\n', &head) || !rest.data)
        return false;
    for (size_t i = 0; i < 5; i++) {
        if (!plx_slice_split(&head, ' ', &word) || !plx_decimal_parse(word, &number[i]))
            return false;
        if (i > 0 && number[i] > packed.len)
            return false;
    }
    before = number[1] + number[2];
    if (before + number[3] + number[4] >= rest.len)
        return false;
    const char *at = rest.data + before;
    out->seq = number[0];
    out->ref = ref;
    out->prev = plx_slice_make(at, (size_t)number[3]);
    at += number[3];
    out->key = plx_slice_make(at, (size_t)number[4]);
    at += number[4];
    out->rest = plx_slice_make(at, rest.len - (size_t)(at - rest.data));
    return true;
}

static int by_seq(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Like meta_text of presence.lua. */
static void take_entry(plx_people *p, const entry *e, plx_buf *text)
{
    plx_json_value key, meta;
    plx_buf_clear(text);
    plx_buf_str(text, "{\"phx_ref\":\"");
    plx_buf_add(text, e->ref);
    plx_buf_byte(text, '"');
    if (e->prev.len > 0) {
        plx_buf_str(text, ",\"phx_ref_prev\":\"");
        plx_buf_add(text, e->prev);
        plx_buf_byte(text, '"');
    }
    if (!plx_slice_is(e->rest, "}"))
        plx_buf_byte(text, ',');
    plx_buf_add(text, e->rest);
    if (plx_json_check(e->key, &key) == 0 && key.type == PLX_JSON_STRING &&
        plx_json_check(plx_buf_slice(text), &meta) == 0)
        plx_people_add(p, e->ref, key.text, meta.text);
}

void plx_people_take(plx_people *p, const redisReply *entries)
{
    size_t pairs = plx_reply_count(entries) / 2, count = 0;
    entry *list = plx_alloc(pairs * sizeof *list);
    plx_buf text;
    for (size_t i = 0; i < pairs; i++) {
        if (parse_entry(plx_reply_slice(plx_reply_at(entries, 2 * i)),
                        plx_reply_slice(plx_reply_at(entries, 2 * i + 1)), &list[count]))
            count++;
    }
    qsort(list, count, sizeof *list, by_seq);
    plx_buf_init(&text, 0);
    for (size_t i = 0; i < count; i++)
        take_entry(p, &list[i], &text);
    plx_buf_fini(&text);
    free(list);
}
