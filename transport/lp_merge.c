/* See lp_merge.h for the rules. */
#include "transport/lp_merge.h"

#include "base/alloc.h"
#include "base/json_scan.h"

#include <stdlib.h>

void plx_lp_topic_init(plx_lp_topic *t, uint32_t slot, uint64_t start, uint64_t delivered,
                       bool open)
{
    *t = (plx_lp_topic){.slot = slot,
                        .start = start,
                        .delivered = delivered,
                        .seen = delivered,
                        .last = UINT64_MAX,
                        .sure = UINT64_MAX,
                        .open = open};
    plx_list_init(&t->node);
}

void plx_lp_topic_fini(plx_lp_topic *t)
{
    for (size_t i = t->head; i < t->count; i++)
        plx_event_unref(t->events[i]);
    plx_event_unref(t->state);
    t->state = NULL;
    free(t->events);
    t->events = NULL;
    t->head = t->count = t->capacity = t->bytes = 0;
    plx_list_remove(&t->node);
}

void plx_lp_topic_add(plx_lp_topic *t, plx_event *e)
{
    if (t->head == t->count)
        t->head = t->count = 0;
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
    return a->messages >= PLX_LP_MESSAGES || a->out->len - a->start + 1 + next_bytes > PLX_LP_BYTES;
}

static void separate(answer *a)
{
    if (a->messages++ > 0)
        plx_buf_byte(a->out, ',');
}

/* Puts an event into the answer, unless it can't reach this socket. False: it has no room. */
static bool put_event(plx_lp_merge *m, const plx_lp_topic *t, plx_event *e, answer *a)
{
    const plx_blob *text = m->encode(m->arg, t, e);
    if (text == NULL)
        return true;
    if (full(a, text->len))
        return false;
    separate(a);
    plx_buf_append(a->out, text->data, text->len);
    return true;
}

/* Puts the topic's state into the answer: a broadcast's text, with the socket's join_ref in the
 * place of the null. False: it has no room. */
static bool put_state(plx_lp_merge *m, plx_lp_topic *t, answer *a)
{
    const plx_slice head = PLX_LIT("\"[null");
    const plx_blob *text = m->encode(m->arg, t, t->state);
    if (text && full(a, text->len + t->join_ref.len))
        return false;
    if (text) {
        separate(a);
        if (t->join_ref.len > 0) {
            plx_buf_str(a->out, "\"[");
            plx_buf_add(a->out, t->join_ref);
            plx_buf_append(a->out, text->data + head.len, text->len - head.len);
        } else {
            plx_buf_append(a->out, text->data, text->len);
        }
    }
    plx_diffs_given(&t->diffs, t->state->position.offset);
    plx_event_unref(t->state);
    t->state = NULL;
    return true;
}

/* Puts an entry's text into the answer. False: it has no room. */
static bool put_entry(const plx_lp_entry *e, answer *a)
{
    if (full(a, e->text.len + 2))
        return false;
    const answer before = *a;
    size_t len = a->out->len;
    separate(a);
    plx_json_quote(a->out, e->text);
    if (before.messages == 0 || a->out->len - a->start <= PLX_LP_BYTES)
        return true;
    a->out->len = len;
    *a = before;
    return false;
}

/* Takes the oldest waiting event off the topic. */
static void drop_event(plx_lp_topic *t)
{
    plx_event *e = t->events[t->head++];
    t->bytes -= e->payload.len;
    plx_event_unref(e);
}

/* Delivers the events of a topic up to `limit`. False when the answer became full before. */
static bool deliver(plx_lp_merge *m, plx_lp_topic *t, uint64_t limit, answer *a)
{
    if (t->state && !put_state(m, t, a))
        return false;
    while (t->head < t->count && t->events[t->head]->position.offset <= limit) {
        plx_event *e = t->events[t->head];
        if (!put_event(m, t, e, a))
            return false;
        t->delivered = e->position.offset;
        drop_event(t);
    }
    /* Everything up to there was seen and was either delivered or not for this socket. */
    uint64_t covered = limit < t->seen ? limit : t->seen;
    if (covered > t->delivered)
        t->delivered = covered;
    return true;
}

/* The slot goes on where the one before it of the same topic stands. */
static void go_on_from(plx_lp_merge *m, plx_lp_topic *t)
{
    const plx_lp_topic *before = t->follows ? plx_lp_merge_topic(m, t->follows) : NULL;
    if (before == NULL || before->delivered <= t->delivered)
        return;
    t->delivered = before->delivered;
    while (t->head < t->count && t->events[t->head]->position.offset <= t->delivered)
        drop_event(t);
}

enum progress { GO_ON, FULL, BLOCKED };

/* Brings one slot up to an offset, as a barrier or an end asks. */
static enum progress reach(plx_lp_merge *m, uint32_t slot, uint64_t offset, answer *a)
{
    plx_lp_topic *t = plx_lp_merge_topic(m, slot);
    if (t == NULL || !t->open || t->ended || t->delivered >= offset)
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
    if (!put_entry(e, a))
        return FULL;
    m->q = e->id;
    plx_lp_topic *t = plx_lp_merge_topic(m, e->slot);
    if (t && e->kind == PLX_Q_OPEN) {
        t->open = true;
        go_on_from(m, t);
    }
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
    for (plx_list *n = m->topics.next; p != FULL && n != &m->topics; n = n->next) {
        plx_lp_topic *t = PLX_CONTAINER(n, plx_lp_topic, node);
        if (t->open && !t->ended && !deliver(m, t, t->last < t->sure ? t->last : t->sure, &a))
            p = FULL;
    }
    return a.messages;
}

static int by_slot(const void *a, const void *b)
{
    uint32_t x = ((const plx_lp_mark *)a)->slot, y = ((const plx_lp_mark *)b)->slot;
    return x < y ? -1 : x > y;
}

/* What ended past its end is kept until the topic's next slot has taken it over. */
static void keep_past(const plx_lp_merge *m, plx_lp_cursor *c)
{
    for (plx_list *l = m->topics.next; l != &m->topics; l = l->next) {
        const plx_lp_topic *t = PLX_CONTAINER(l, plx_lp_topic, node);
        if (t->ended && t->last > 0 && t->delivered > t->last)
            plx_lp_cursor_keep(c, t->life, t->delivered);
    }
    for (plx_list *l = m->topics.next; l != &m->topics; l = l->next) {
        const plx_lp_topic *t = PLX_CONTAINER(l, plx_lp_topic, node);
        if (t->open && !t->ended)
            plx_lp_cursor_keep(c, t->life, 0);
    }
}

static plx_lp_mark mark_of(const plx_lp_topic *t)
{
    plx_lp_mark mark = {.slot = t->slot, .offset = t->delivered, .state_at = t->diffs.at};
    if (t->diffs.mode == PLX_DIFFS_HAS)
        mark.state = PLX_LP_STATE_SENT;
    else if (t->diffs.mode == PLX_DIFFS_DUE)
        mark.state = PLX_LP_STATE_DUE;
    return mark;
}

void plx_lp_merge_cursor(const plx_lp_merge *m, plx_lp_cursor *c)
{
    size_t n = 0;
    for (plx_list *l = m->topics.next; l != &m->topics; l = l->next)
        n++;
    c->q = m->q;
    keep_past(m, c);
    free(c->marks);
    c->marks = plx_alloc_zero(n + 1, sizeof *c->marks);
    c->mark_count = 0;
    for (plx_list *l = m->topics.next; l != &m->topics; l = l->next) {
        const plx_lp_topic *t = PLX_CONTAINER(l, plx_lp_topic, node);
        /* Also of a slot whose end is still in the queue: it is not to begin again from its start.
         */
        const plx_lp_mark mark = mark_of(t);
        if (!t->ended && (t->delivered > t->start || mark.state != PLX_LP_STATE_NONE))
            c->marks[c->mark_count++] = mark;
    }
    qsort(c->marks, c->mark_count, sizeof *c->marks, by_slot);
}
