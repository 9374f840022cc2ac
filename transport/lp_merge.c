/* See lp_merge.h for the rules. */
#include "transport/lp_merge.h"

#include "base/alloc.h"
#include "base/json_scan.h"

#include <stdlib.h>

void plx_lp_topic_init(plx_lp_topic *t, uint32_t slot, uint64_t delivered, bool open)
{
    *t = (plx_lp_topic){.slot = slot, .delivered = delivered, .seen = delivered, .open = open};
    plx_list_init(&t->node);
}

void plx_lp_topic_fini(plx_lp_topic *t)
{
    for (size_t i = t->head; i < t->count; i++)
        plx_event_unref(t->events[i]);
    free(t->events);
    t->events = NULL;
    t->head = t->count = t->capacity = t->bytes = 0;
    plx_list_remove(&t->node);
}

void plx_lp_topic_add(plx_lp_topic *t, plx_event *e)
{
    if (t->count == t->capacity) {
        t->capacity = t->capacity ? t->capacity * 2 : 4;
        t->events = plx_realloc(t->events, t->capacity * sizeof *t->events);
    }
    t->events[t->count++] = plx_event_ref(e);
    t->bytes += e->payload.len;
}

plx_lp_entry *plx_lp_entry_copy(const plx_q_entry *e)
{
    size_t barriers = e->barrier_count * sizeof *e->barriers;
    plx_lp_entry *copy = plx_alloc(sizeof *copy + barriers + e->text.len);
    char *text = (char *)(copy + 1) + barriers;
    *copy = (plx_lp_entry){.id = e->id,
                           .kind = e->kind,
                           .slot = e->slot.number,
                           .end = e->end,
                           .barrier_count = e->barrier_count,
                           .barriers = (plx_barrier *)(void *)(copy + 1),
                           .text = plx_slice_make(text, e->text.len)};
    plx_list_init(&copy->node);
    if (barriers > 0)
        memcpy(copy->barriers, e->barriers, barriers);
    if (e->text.len > 0)
        memcpy(text, e->text.data, e->text.len);
    return copy;
}

void plx_lp_merge_init(plx_lp_merge *m)
{
    *m = (plx_lp_merge){.q = 0};
    plx_list_init(&m->topics);
    plx_list_init(&m->entries);
}

void plx_lp_merge_fini(plx_lp_merge *m)
{
    plx_list *node;
    while ((node = plx_list_shift(&m->entries)))
        free(PLX_CONTAINER(node, plx_lp_entry, node));
}

plx_lp_topic *plx_lp_merge_topic(plx_lp_merge *m, uint32_t slot)
{
    for (plx_list *n = m->topics.next; n != &m->topics; n = n->next) {
        plx_lp_topic *t = PLX_CONTAINER(n, plx_lp_topic, node);
        if (t->slot == slot)
            return t;
    }
    return NULL;
}

/* An answer in the making. */
typedef struct answer {
    plx_buf *out;
    size_t start; /* bytes in out before it */
    size_t messages;
} answer;

static bool full(const answer *a, size_t next_bytes)
{
    if (a->messages == 0)
        return false;
    return a->messages >= PLX_LP_MESSAGES || a->out->len - a->start + next_bytes > PLX_LP_BYTES;
}

static void separate(answer *a)
{
    if (a->messages > 0)
        plx_buf_byte(a->out, ',');
}

/* Delivers the events of a topic up to `limit`. False when the answer became full before. */
static bool deliver(plx_lp_merge *m, plx_lp_topic *t, uint64_t limit, answer *a)
{
    while (t->head < t->count && t->events[t->head]->position.offset <= limit) {
        plx_event *e = t->events[t->head];
        if (full(a, e->payload.len))
            return false;
        size_t before = a->out->len;
        separate(a);
        if (m->encode(m->arg, t, e, a->out))
            a->messages++;
        else
            a->out->len = before;
        t->delivered = e->position.offset;
        t->bytes -= e->payload.len;
        t->head++;
        plx_event_unref(e);
    }
    /* Everything up to there was seen and was either delivered or not for this socket. */
    uint64_t covered = limit < t->seen ? limit : t->seen;
    if (covered > t->delivered)
        t->delivered = covered;
    return true;
}

enum progress { GO_ON, FULL, BLOCKED };

/* Brings one slot up to an offset, as a barrier or an end asks. */
static enum progress reach(plx_lp_merge *m, uint32_t slot, uint64_t offset, answer *a)
{
    plx_lp_topic *t = plx_lp_merge_topic(m, slot);
    if (t == NULL || t->ended || t->delivered >= offset)
        return GO_ON; /* ended before, or delivered by an earlier answer */
    if (!deliver(m, t, offset, a))
        return FULL;
    if (t->delivered >= offset || t->lost)
        return GO_ON;
    m->blocked_slot = slot;
    m->blocked_offset = offset;
    return BLOCKED;
}

static enum progress take_entry(plx_lp_merge *m, plx_lp_entry *e, answer *a)
{
    for (size_t i = 0; i < e->barrier_count; i++) {
        enum progress p = reach(m, e->barriers[i].slot, e->barriers[i].offset, a);
        if (p != GO_ON)
            return p;
    }
    if (e->kind == PLX_Q_END) {
        enum progress p = reach(m, e->slot, e->end, a);
        if (p != GO_ON)
            return p;
    }
    if (full(a, e->text.len))
        return FULL;
    separate(a);
    plx_json_quote(a->out, e->text);
    a->messages++;
    m->q = e->id;
    plx_lp_topic *t = plx_lp_merge_topic(m, e->slot);
    if (t && e->kind == PLX_Q_OPEN)
        t->open = true;
    if (t && e->kind == PLX_Q_END)
        t->ended = true;
    plx_list_remove(&e->node);
    free(e);
    return GO_ON;
}

size_t plx_lp_merge_run(plx_lp_merge *m, plx_buf *out)
{
    answer a = {.out = out, .start = out->len};
    enum progress p = GO_ON;
    m->blocked_slot = 0;
    m->blocked_offset = 0;
    while (p == GO_ON && !plx_list_empty(&m->entries))
        p = take_entry(m, PLX_CONTAINER(m->entries.next, plx_lp_entry, node), &a);
    if (p != GO_ON)
        return a.messages;
    for (plx_list *n = m->topics.next; n != &m->topics; n = n->next) {
        plx_lp_topic *t = PLX_CONTAINER(n, plx_lp_topic, node);
        if (t->open && !t->ended && !deliver(m, t, UINT64_MAX, &a))
            break;
    }
    return a.messages;
}

void plx_lp_merge_cursor(const plx_lp_merge *m, plx_lp_cursor *c)
{
    size_t n = 0;
    for (plx_list *l = m->topics.next; l != &m->topics; l = l->next)
        n++;
    c->q = m->q;
    free(c->marks);
    c->marks = plx_alloc_zero(n + 1, sizeof *c->marks);
    c->mark_count = 0;
    for (plx_list *l = m->topics.next; l != &m->topics; l = l->next) {
        const plx_lp_topic *t = PLX_CONTAINER(l, plx_lp_topic, node);
        if (t->open && !t->ended)
            c->marks[c->mark_count++] = (plx_lp_mark){t->slot, t->delivered};
    }
}
