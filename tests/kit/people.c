/* Presence in memory, in the place of store/presence.c: entries, and the diffs of what changed. The
 * windows in which a server collects changes pass by themselves as soon as nothing else is to be
 * done. */
#include "base/error.h"
#include "base/json_scan.h"
#include "channel/track.h"
#include "tests/kit/kit.h"
#include <stdlib.h>

void plx_kit_person_free(kit_person *p)
{
    char *const texts[] = {p->ref, p->prev, p->owner, p->socket, p->key, p->meta};

    plx_list_remove(&p->node);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    free(p);
}

static kit_person *person_at(plx_list *n)
{
    return PLX_CONTAINER(n, kit_person, node);
}

static kit_person *find(const kit_topic *topic, const char *ref)
{
    for (plx_list *n = topic->people.next; n != &topic->people; n = n->next)
        if (strcmp(person_at(n)->ref, ref) == 0)
            return person_at(n);
    return NULL;
}

/* ---- texts ---- */

/* {"phx_ref":"...",META's members} */
static void write_meta(const kit_person *p, plx_buf *out)
{
    const char *rest = strchr(p->meta, '{') + 1;

    plx_buf_printf(out, "{\"phx_ref\":\"%s\"", p->ref);
    if (p->prev[0] != '\0')
        plx_buf_printf(out, ",\"phx_ref_prev\":\"%s\"", p->prev);
    rest += strspn(rest, " \t\r\n");
    if (*rest != '}')
        plx_buf_byte(out, ',');
    plx_buf_str(out, rest);
}

typedef bool kit_choice(const kit_person *p);

/* Writes a key with all of its chosen metas, where p is the first of them. */
static void write_key(const kit_topic *topic, kit_person *p, kit_choice *chosen, plx_buf *out)
{
    bool first = true;

    for (plx_list *n = topic->people.next; n != &p->node; n = n->next)
        if (chosen(person_at(n)) && strcmp(person_at(n)->key, p->key) == 0)
            return;
    if (out->data[out->len - 1] != '{')
        plx_buf_byte(out, ',');
    plx_json_quote(out, plx_slice_of(p->key));
    plx_buf_str(out, ":{\"metas\":[");
    for (plx_list *n = &p->node; n != &topic->people; n = n->next) {
        if (!chosen(person_at(n)) || strcmp(person_at(n)->key, p->key) != 0)
            continue;
        plx_buf_str(out, first ? "" : ",");
        first = false;
        write_meta(person_at(n), out);
    }
    plx_buf_str(out, "]}");
}

/* Appends {KEY:{"metas":[...]},...}; false: nobody is chosen. */
static bool write_people(const kit_topic *topic, kit_choice *chosen, plx_buf *out)
{
    size_t before = out->len;

    plx_buf_byte(out, '{');
    for (plx_list *n = topic->people.next; n != &topic->people; n = n->next)
        if (chosen(person_at(n)))
            write_key(topic, person_at(n), chosen, out);
    plx_buf_byte(out, '}');
    return out->len > before + 2;
}

static bool is_published(const kit_person *p)
{
    return p->published;
}

static bool joins(const kit_person *p)
{
    return !p->published;
}

static bool leaves(const kit_person *p)
{
    return p->published && p->leaving;
}

void plx_kit_people_json(const kit_topic *topic, plx_buf *out)
{
    write_people(topic, is_published, out);
}

/* ---- publishing ---- */

static void publish(plx_test *t, kit_topic *topic)
{
    plx_buf diff;
    plx_list *next;
    bool some;

    plx_buf_init(&diff, 0);
    plx_buf_str(&diff, "{\"joins\":");
    some = write_people(topic, joins, &diff);
    plx_buf_str(&diff, ",\"leaves\":");
    some = write_people(topic, leaves, &diff) || some;
    plx_buf_byte(&diff, '}');
    if (some)
        plx_kit_append(t, topic, PLX_KIND_PRESENCE, plx_slice_of("presence_diff"),
                       plx_buf_slice(&diff), plx_slice_of(NULL));
    plx_buf_fini(&diff);
    for (plx_list *n = topic->people.next; n != &topic->people; n = next) {
        next = n->next;
        if (person_at(n)->leaving)
            plx_kit_person_free(person_at(n));
        else
            person_at(n)->published = true;
    }
    topic->changed = false;
}

bool plx_kit_people_publish(plx_test *t)
{
    for (plx_list *n = t->topics.next; n != &t->topics; n = n->next) {
        kit_topic *topic = PLX_CONTAINER(n, kit_topic, node);
        if (topic->changed) {
            publish(t, topic);
            return true;
        }
    }
    return false;
}

/* ---- what is asked ---- */

/* The entry with this ref is to be replaced: the ref that the next diff names as replaced, owned.
 * NULL: it is not this socket's. */
static char *supersede(kit_topic *topic, const kit_request *r)
{
    kit_person *old = find(topic, r->prev);
    char *prev;

    if (!old || strcmp(old->socket, r->socket) != 0)
        return NULL;
    if (old->published) {
        old->leaving = true;
        return plx_strdup(old->ref);
    }
    prev = plx_strdup(old->prev);
    plx_kit_person_free(old);
    return prev;
}

static int track(plx_test *t, kit_request *r)
{
    kit_topic *topic = plx_kit_topic(t, plx_slice_of(r->topic));
    kit_person *p = find(topic, r->ref);
    char *prev;

    if (p)
        return strcmp(p->socket, r->socket) == 0 ? 0 : PLX_E_INVALID;
    prev = r->prev[0] != '\0' ? supersede(topic, r) : plx_strdup("");
    if (!prev)
        return PLX_E_INVALID;
    p = plx_alloc_zero(1, sizeof *p);
    p->ref = plx_strdup(r->ref);
    p->prev = prev;
    p->owner = plx_strdup(r->owner);
    p->socket = plx_strdup(r->socket);
    p->key = plx_strdup(r->key);
    p->meta = plx_strdup(r->meta);
    plx_list_push(&topic->people, &p->node);
    topic->changed = true;
    return 0;
}

static void answer_track(plx_test *t, kit_request *r)
{
    int err = track(t, r);
    const plx_tracked tracked = {plx_slice_of(r->ref), NULL};

    r->cb.tracked(r->arg, err, err == 0 ? &tracked : NULL);
}

void plx_presence_track(plx_store *s, const plx_presence_rules *rules, const plx_track *entry,
                        plx_track_cb *cb, void *arg)
{
    kit_request *r = plx_kit_ask(s->test, answer_track, arg);

    (void)rules;
    r->topic = plx_slice_dup(entry->topic);
    r->ref = plx_slice_dup(entry->ref);
    r->prev = plx_slice_dup(entry->prev);
    r->owner = plx_slice_dup(entry->owner);
    r->socket = plx_slice_dup(entry->socket);
    r->key = plx_slice_dup(entry->key);
    r->meta = plx_slice_dup(entry->meta);
    r->cb.tracked = cb;
}

static bool is_meant(const kit_person *p, const kit_request *r)
{
    if (strcmp(p->socket, r->socket) != 0)
        return false;
    if (r->ref)
        return strcmp(p->ref, r->ref) == 0;
    return !r->key || strcmp(p->key, r->key) == 0;
}

static void leave(kit_topic *topic, kit_person *p)
{
    topic->changed = true;
    p->leaving = true;
    if (!p->published)
        plx_kit_person_free(p);
}

static void leave_if_left(kit_topic *topic, const plx_socket *core, const plx_membership *m)
{
    plx_list *next;

    for (plx_list *n = topic->people.next; n != &topic->people; n = next) {
        kit_person *p = person_at(n);
        next = n->next;
        if (plx_slice_is(core->session, p->socket) &&
            !(m && plx_tracks_holds(m, plx_slice_of(p->ref))))
            leave(topic, p);
    }
}

void plx_kit_people_left(plx_test_socket *s)
{
    for (plx_list *n = s->test->topics.next; n != &s->test->topics; n = n->next) {
        kit_topic *topic = PLX_CONTAINER(n, kit_topic, node);
        const plx_membership *m = plx_socket_find(s->core, plx_slice_of(topic->name));
        plx_buf refs;

        plx_buf_init(&refs, 0);
        for (plx_list *l = topic->people.next; l != &topic->people; l = l->next)
            plx_buf_str(&refs, person_at(l)->ref);
        if (!m || plx_tracks_among(m, plx_buf_slice(&refs)))
            leave_if_left(topic, s->core, m);
        plx_buf_fini(&refs);
    }
}

static void answer_untrack(plx_test *t, kit_request *r)
{
    kit_topic *topic = plx_kit_topic(t, plx_slice_of(r->topic));
    plx_list *next;

    for (plx_list *n = topic->people.next; n != &topic->people; n = next) {
        kit_person *p = person_at(n);
        next = n->next;
        if (is_meant(p, r))
            leave(topic, p);
    }
    if (r->cb.done)
        r->cb.done(r->arg, 0);
}

void plx_presence_untrack(plx_store *s, const plx_presence_rules *rules, const plx_untrack *u,
                          plx_presence_cb *cb, void *arg)
{
    kit_request *r = plx_kit_ask(s->test, answer_untrack, arg);

    (void)rules;
    r->topic = plx_slice_dup(u->topic);
    r->socket = plx_slice_dup(u->socket);
    r->ref = u->ref.len > 0 ? plx_slice_dup(u->ref) : NULL;
    r->key = u->key.data ? plx_slice_dup(u->key) : NULL;
    r->cb.done = cb;
}

static void answer_read(plx_test *t, kit_request *r)
{
    kit_topic *topic = plx_kit_topic(t, plx_slice_of(r->topic));
    const plx_position position = {.epoch = "memory", .offset = topic->offset};
    uint64_t count = 0;
    plx_buf json;

    for (plx_list *n = topic->people.next; n != &topic->people; n = n->next)
        count += person_at(n)->published;
    plx_buf_init(&json, 0);
    plx_kit_people_json(topic, &json);
    r->cb.listed(r->arg, 0, &position, plx_buf_slice(&json), count);
    plx_buf_fini(&json);
}

void plx_presence_read(plx_store *s, plx_slice topic, bool count_only, plx_presence_state_cb *cb,
                       void *arg)
{
    kit_request *r = plx_kit_ask(s->test, answer_read, arg);

    (void)count_only;
    r->topic = plx_slice_dup(topic);
    r->cb.listed = cb;
}

bool plx_diff_joins(plx_event *e, plx_slice ref)
{
    static const char *const names[] = {"joins"};
    plx_json_value value;
    plx_buf wanted;
    bool found;

    if (e->kind != PLX_KIND_PRESENCE || plx_json_cut_object(e->payload, names, &value, 1) != 0)
        return false;
    plx_buf_init(&wanted, 0);
    plx_buf_printf(&wanted, "\"phx_ref\":\"%.*s\"", (int)ref.len, ref.data);
    found = value.text.len > 0 &&
            memmem(value.text.data, value.text.len, wanted.data, wanted.len) != NULL;
    plx_buf_fini(&wanted);
    return found;
}

/* ---- leases: no worker of the kit dies ---- */

plx_slice plx_owner_name(const plx_store *s)
{
    return plx_slice_of(s->number == 0 ? "worker-1" : "worker-2");
}

void plx_owner_note(plx_store *s, plx_slice topic, plx_slice socket, plx_slice record)
{
    (void)s, (void)topic, (void)socket, (void)record;
}

void plx_owner_forget(plx_store *s, plx_slice topic, plx_slice socket)
{
    (void)s, (void)topic, (void)socket;
}

void plx_owner_settle(plx_store *s, plx_slice owner, plx_slice topic, plx_slice socket)
{
    (void)s, (void)owner, (void)topic, (void)socket;
}

void plx_owner_sweep_start(plx_store *s, plx_owner_sweep *sweep)
{
    (void)s, (void)sweep;
}
