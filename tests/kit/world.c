/* Topics' logs in memory, in the place of store/topic.c; and the order in which things happen. */
#include "base/error.h"
#include "tests/kit/kit.h"
#include <stdio.h>
#include <stdlib.h>

/* More than any test needs: past it something goes round for ever. */
#define STEPS_MAX 1000000u

#define EPOCH "memory"

static plx_position at(uint64_t offset)
{
    return (plx_position){.epoch = EPOCH, .offset = offset};
}

/* ---- topics ---- */

kit_topic *plx_kit_topic(plx_test *t, plx_slice name)
{
    kit_topic *topic;

    for (plx_list *n = t->topics.next; n != &t->topics; n = n->next) {
        topic = PLX_CONTAINER(n, kit_topic, node);
        if (plx_slice_is(name, topic->name))
            return topic;
    }
    topic = plx_alloc_zero(1, sizeof *topic);
    topic->name = plx_slice_dup(name);
    plx_list_init(&topic->people);
    plx_list_push(&t->topics, &topic->node);
    return topic;
}

void plx_kit_topic_free(kit_topic *topic)
{
    plx_list *n;

    for (uint64_t i = 0; i < topic->offset; i++)
        plx_event_unref(topic->log[i]);
    while ((n = plx_list_shift(&topic->people)))
        plx_kit_person_free(PLX_CONTAINER(n, kit_person, node));
    plx_list_remove(&topic->node);
    free(topic->log);
    free(topic->name);
    free(topic);
}

plx_event *plx_kit_append(plx_test *t, kit_topic *topic, enum plx_kind kind, plx_slice event,
                          plx_slice payload, plx_slice from)
{
    const plx_position position = at(topic->offset + 1);
    const plx_payload shown = {kind == PLX_KIND_BINARY ? PLX_PAYLOAD_BINARY : PLX_PAYLOAD_JSON,
                               payload};
    plx_event *e;

    if (topic->offset == topic->capacity) {
        topic->capacity = topic->capacity ? 2 * topic->capacity : 16;
        topic->log = plx_realloc(topic->log, topic->capacity * sizeof(plx_event *));
    }
    e = plx_event_new(plx_slice_of(topic->name), &position, kind, event, payload, from);
    topic->log[topic->offset++] = e;
    plx_kit_letter(&t->broadcasts, PLX_OUT_PUSH, e->topic, event, shown);
    return e;
}

/* ---- what is asked ---- */

kit_request *plx_kit_ask(plx_test *t, void (*answer)(plx_test *t, kit_request *r), void *arg)
{
    kit_request *r = plx_alloc_zero(1, sizeof *r);

    r->answer = answer;
    r->arg = arg;
    plx_list_push(&t->requests, &r->node);
    return r;
}

static void request_free(kit_request *r)
{
    char *const texts[] = {r->topic, r->event, r->payload, r->from, r->producer, r->ref,
                           r->prev,  r->owner, r->socket,  r->key,  r->meta};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    free(r);
}

static bool answer_next(plx_test *t)
{
    plx_list *n = plx_list_shift(&t->requests);
    kit_request *r;

    if (!n)
        return false;
    r = PLX_CONTAINER(n, kit_request, node);
    r->answer(t, r);
    request_free(r);
    return true;
}

uint64_t plx_kit_made(const plx_test *t, const kit_request *r)
{
    for (const plx_list *n = t->made.next; n != &t->made; n = n->next) {
        const kit_made *made = PLX_CONTAINER(n, kit_made, node);
        if (made->entry == r->entry && made->index == r->index &&
            strcmp(made->producer, r->producer) == 0)
            return made->offset;
    }
    return 0;
}

void plx_kit_note_made(plx_test *t, const kit_request *r, uint64_t offset)
{
    kit_made *made = plx_alloc_zero(1, sizeof *made);

    made->producer = plx_strdup(r->producer);
    made->entry = r->entry;
    made->index = r->index;
    made->offset = offset;
    plx_list_push(&t->made, &made->node);
}

static void answer_publish(plx_test *t, kit_request *r)
{
    bool numbered = r->producer[0] != '\0';
    plx_position position = at(numbered ? plx_kit_made(t, r) : 0);
    bool repeated = position.offset > 0;

    if (!repeated)
        position = plx_kit_append(t, plx_kit_topic(t, plx_slice_of(r->topic)), r->kind,
                                  plx_slice_of(r->event),
                                  plx_slice_make(r->payload, r->payload_len), plx_slice_of(r->from))
                       ->position;
    if (numbered && !repeated)
        plx_kit_note_made(t, r, position.offset);
    if (r->cb.published)
        r->cb.published(r->arg, 0, &position, repeated);
}

void plx_kit_made_free(plx_test *t)
{
    plx_list *n;

    while ((n = plx_list_shift(&t->made))) {
        free(PLX_CONTAINER(n, kit_made, node)->producer);
        free(PLX_CONTAINER(n, kit_made, node));
    }
}

void plx_topic_publish(plx_store *s, const plx_publication *p, plx_publish_cb *cb, void *arg)
{
    kit_request *r = plx_kit_ask(s->test, answer_publish, arg);

    r->topic = plx_slice_dup(p->topic);
    r->event = plx_slice_dup(p->event);
    r->payload = plx_slice_dup(p->payload);
    r->payload_len = p->payload.len;
    r->from = plx_slice_dup(p->from);
    r->producer = plx_slice_dup(p->producer);
    r->entry = p->entry;
    r->index = p->index;
    r->kind = p->kind;
    r->cb.published = cb;
}

static void answer_position(plx_test *t, kit_request *r)
{
    const plx_position position = at(plx_kit_topic(t, plx_slice_of(r->topic))->offset);

    r->cb.positioned(r->arg, 0, &position);
}

void plx_topic_position(plx_store *s, plx_slice topic, plx_position_cb *cb, void *arg)
{
    kit_request *r = plx_kit_ask(s->test, answer_position, arg);

    r->topic = plx_slice_dup(topic);
    r->cb.positioned = cb;
}

static uint64_t messages_after(const kit_topic *topic, uint64_t offset)
{
    uint64_t n = 0;

    for (uint64_t i = offset; i < topic->offset; i++)
        n += topic->log[i]->kind != PLX_KIND_PRESENCE;
    return n;
}

static void answer_since(plx_test *t, kit_request *r)
{
    const kit_topic *topic = plx_kit_topic(t, plx_slice_of(r->topic));
    const plx_position position = at(topic->offset);
    bool whole = strcmp(r->since.epoch, EPOCH) == 0 && r->since.offset <= topic->offset &&
                 messages_after(topic, r->since.offset) <= r->size;

    r->cb.judged(r->arg, 0, &position, whole);
}

void plx_topic_since(plx_store *s, plx_slice topic, const plx_position *since,
                     const plx_history *history, plx_since_cb *cb, void *arg)
{
    kit_request *r = plx_kit_ask(s->test, answer_since, arg);

    r->topic = plx_slice_dup(topic);
    r->since = *since;
    r->size = history->size;
    r->cb.judged = cb;
}

/* No channel of the kit has `latest`. */
static void answer_latest(plx_test *t, kit_request *r)
{
    const plx_position position = at(plx_kit_topic(t, plx_slice_of(r->topic))->offset);

    r->cb.latest(r->arg, 0, &position, NULL, 0);
}

void plx_topic_latest(plx_store *s, plx_slice topic, plx_latest_cb *cb, void *arg)
{
    kit_request *r = plx_kit_ask(s->test, answer_latest, arg);

    r->topic = plx_slice_dup(topic);
    r->cb.latest = cb;
}

const plx_config *plx_store_config(const plx_store *s)
{
    return &s->test->config;
}

/* ---- the order of things ---- */

static bool step_socket(plx_test_socket *s)
{
    return plx_kit_longpoll_work(s) || plx_kit_socket_deliver(s);
}

static bool step_sockets(plx_test *t, bool (*step)(plx_test_socket *s))
{
    for (plx_list *n = t->sockets.next; n != &t->sockets; n = n->next)
        if (step(PLX_CONTAINER(n, plx_test_socket, node)))
            return true;
    return false;
}

static bool step(plx_test *t)
{
    return answer_next(t) || step_sockets(t, step_socket) || plx_kit_people_publish(t) ||
           step_sockets(t, plx_kit_socket_impatient);
}

void plx_kit_count(unsigned *steps)
{
    if (++*steps <= STEPS_MAX)
        return;
    fputs("pollux-test: it does not come to rest: something answers itself for ever\n", stderr);
    abort();
}

void plx_kit_settle(plx_test *t)
{
    unsigned steps = 0;

    while (step(t))
        plx_kit_count(&steps);
}
