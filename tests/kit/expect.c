/* The assertions, and what they say when they fail. */
#include "tests/kit/kit.h"
#include <stdio.h>
#include <stdlib.h>

static plx_test_failure *on_failure;

void plx_test_on_failure(plx_test_failure *hook)
{
    on_failure = hook;
}

/* text is freed; where the hook leaves the test its bytes are kept until the next failure. */
void plx_kit_fail(const char *file, int line, plx_buf *text)
{
    static char *what;

    free(what);
    what = plx_strdup(plx_buf_cstr(text));
    plx_buf_fini(text);
    if (!on_failure) {
        fprintf(stderr, "%s:%d: %s", file, line, what);
        abort();
    }
    on_failure(file, line, what);
}

/* ---- letters ---- */

kit_letter *plx_kit_letter(plx_list *box, enum plx_out_kind kind, plx_slice topic, plx_slice event,
                           plx_payload payload)
{
    kit_letter *l = plx_alloc_zero(1, sizeof *l);

    l->kind = kind;
    l->topic = plx_slice_dup(topic);
    l->event = plx_slice_dup(event);
    l->text = plx_slice_dup(payload.bytes);
    l->len = payload.bytes.len;
    l->binary = payload.kind == PLX_PAYLOAD_BINARY;
    plx_list_push(box, &l->node);
    return l;
}

void plx_kit_letters_free(plx_list *box)
{
    plx_list *n;

    while ((n = plx_list_shift(box))) {
        kit_letter *l = PLX_CONTAINER(n, kit_letter, node);
        free(l->topic);
        free(l->event);
        free(l->status);
        free(l->text);
        free(l);
    }
}

void plx_test_flush(plx_test_socket *s)
{
    plx_list_splice(&s->test->read, &s->mailbox);
}

void plx_test_flush_broadcasts(plx_test *t)
{
    plx_list_splice(&t->read, &t->broadcasts);
}

static void write_letter(const kit_letter *l, plx_buf *out)
{
    static const char *const kinds[] = {"reply", "push", "phx_close", "phx_error"};

    plx_buf_printf(out, "    %-9s \"%s\"", kinds[l->kind], l->topic);
    if (l->kind == PLX_OUT_REPLY)
        plx_buf_printf(out, " to ref %u: %s", l->ref, l->status);
    else if (l->kind == PLX_OUT_PUSH)
        plx_buf_printf(out, " \"%s\"", l->event);
    if (l->binary)
        plx_buf_printf(out, " %zu binary bytes\n", l->len);
    else
        plx_buf_printf(out, " %s\n", l->kind == PLX_OUT_CLOSE ? "" : l->text);
}

static void write_box(const plx_list *box, plx_buf *out)
{
    if (plx_list_empty(box))
        plx_buf_str(out, "    (nothing)\n");
    for (plx_list *n = box->next; n != box; n = n->next)
        write_letter(PLX_CONTAINER(n, kit_letter, node), out);
}

/* ---- looking for one ---- */

typedef struct wanted {
    enum plx_out_kind kind;
    const char *topic, *event, *status, *pattern;
    unsigned ref;
} wanted;

static bool is_wanted(const kit_letter *l, const wanted *w)
{
    if (l->kind != w->kind || (w->topic && strcmp(l->topic, w->topic) != 0) ||
        (w->event && strcmp(l->event, w->event) != 0) || (w->ref != 0 && l->ref != w->ref) ||
        (w->status && strcmp(l->status, w->status) != 0))
        return false;
    return !w->pattern || (!l->binary && plx_kit_match(w->pattern, l->text));
}

static kit_letter *find(const plx_list *box, const wanted *w)
{
    for (plx_list *n = box->next; n != box; n = n->next)
        if (is_wanted(PLX_CONTAINER(n, kit_letter, node), w))
            return PLX_CONTAINER(n, kit_letter, node);
    return NULL;
}

static void write_wanted(const wanted *w, plx_buf *out)
{
    static const char *const kinds[] = {"a reply", "a push", "phx_close", "phx_error"};

    plx_buf_str(out, kinds[w->kind]);
    if (w->event)
        plx_buf_printf(out, " \"%s\"", w->event);
    if (w->ref != 0)
        plx_buf_printf(out, " to ref %u", w->ref);
    if (w->status)
        plx_buf_printf(out, " with status \"%s\"", w->status);
    if (w->topic)
        plx_buf_printf(out, " on \"%s\"", w->topic);
    if (w->pattern)
        plx_buf_printf(out, " like %s", w->pattern);
    plx_buf_byte(out, '\n');
}

static const char *transport_of(const plx_test_socket *s)
{
    return s->longpoll ? "longpoll" : "websocket";
}

static void write_mailbox(const plx_test_socket *s, plx_buf *out)
{
    plx_buf_printf(out, "  in the mailbox of %s (%s%s):\n", s->name, transport_of(s),
                   s->closed ? ", closed" : "");
    write_box(&s->mailbox, out);
    if (s->core && s->core->pending > 0)
        plx_buf_str(out, "  (a call of this socket has not been answered yet)\n");
}

/* box is s's mailbox, or what was broadcast (s NULL). */
static const char *take(plx_test *t, plx_test_socket *s, const wanted *w, const char *file,
                        int line)
{
    plx_list *box = s ? &s->mailbox : &t->broadcasts;
    kit_letter *l = find(box, w);
    plx_buf text;

    if (l) {
        plx_list_remove(&l->node);
        plx_list_push(&t->read, &l->node);
        return l->text;
    }
    plx_buf_init(&text, 0);
    plx_buf_str(&text, s ? "expected " : "expected as a broadcast ");
    write_wanted(w, &text);
    if (s) {
        write_mailbox(s, &text);
    } else {
        plx_buf_str(&text, "  broadcast so far:\n");
        write_box(box, &text);
    }
    plx_kit_fail(file, line, &text);
    return NULL;
}

static void refute(plx_test *t, plx_test_socket *s, const wanted *w, const char *file, int line)
{
    const kit_letter *l = find(s ? &s->mailbox : &t->broadcasts, w);
    plx_buf text;

    if (!l)
        return;
    plx_buf_init(&text, 0);
    plx_buf_str(&text, "did not expect ");
    write_wanted(w, &text);
    plx_buf_printf(&text, "  %s:\n", s ? s->name : "it was broadcast");
    write_letter(l, &text);
    plx_kit_fail(file, line, &text);
}

/* ---- the assertions ---- */

const char *plx_test_assert_reply_at(plx_test_socket *s, unsigned ref, const char *status,
                                     const char *pattern, const char *file, int line)
{
    const wanted w = {.kind = PLX_OUT_REPLY, .status = status, .pattern = pattern, .ref = ref};

    return take(s->test, s, &w, file, line);
}

const char *plx_test_subscribe_and_join_at(plx_test_socket *s, const char *topic, const char *json,
                                           const char *file, int line)
{
    return plx_test_assert_reply_at(s, plx_test_join(s, topic, json), "ok", NULL, file, line);
}

const char *plx_test_assert_push_at(plx_test_socket *s, const char *topic, const char *event,
                                    const char *pattern, const char *file, int line)
{
    const wanted w = {.kind = PLX_OUT_PUSH, .topic = topic, .event = event, .pattern = pattern};

    return take(s->test, s, &w, file, line);
}

const char *plx_test_assert_broadcast_at(plx_test *t, const char *topic, const char *event,
                                         const char *pattern, const char *file, int line)
{
    const wanted w = {.kind = PLX_OUT_PUSH, .topic = topic, .event = event, .pattern = pattern};

    return take(t, NULL, &w, file, line);
}

const char *plx_test_assert_close_at(plx_test_socket *s, const char *topic, const char *file,
                                     int line)
{
    const wanted w = {.kind = PLX_OUT_CLOSE, .topic = topic};

    return take(s->test, s, &w, file, line);
}

const char *plx_test_assert_crash_at(plx_test_socket *s, const char *topic, const char *file,
                                     int line)
{
    const wanted w = {.kind = PLX_OUT_ERROR, .topic = topic};

    return take(s->test, s, &w, file, line);
}

static const char *reason_of(enum plx_end_reason reason)
{
    static const char *const names[] = {"PLX_END_LEFT", "PLX_END_CLOSED", "PLX_END_EXPIRED",
                                        "PLX_END_CRASHED"};

    return (size_t)reason < sizeof names / sizeof *names ? names[reason] : "?";
}

void plx_test_assert_terminate_at(plx_test_socket *s, const char *topic, enum plx_end_reason reason,
                                  const char *file, int line)
{
    plx_buf text;

    for (plx_list *n = s->ends.next; n != &s->ends; n = n->next) {
        kit_end *end = PLX_CONTAINER(n, kit_end, node);
        if (end->reason != reason || strcmp(end->topic, topic) != 0)
            continue;
        plx_list_remove(&end->node);
        free(end->topic);
        free(end);
        return;
    }
    plx_buf_init(&text, 0);
    plx_buf_printf(&text, "expected terminate on \"%s\" with %s\n  of %s (%s) there ended:\n",
                   topic, reason_of(reason), s->name, transport_of(s));
    if (plx_list_empty(&s->ends))
        plx_buf_str(&text, "    (nothing)\n");
    for (plx_list *n = s->ends.next; n != &s->ends; n = n->next) {
        const kit_end *end = PLX_CONTAINER(n, kit_end, node);
        plx_buf_printf(&text, "    \"%s\" %s\n", end->topic, reason_of(end->reason));
    }
    plx_kit_fail(file, line, &text);
}

void plx_test_refute_reply_at(plx_test_socket *s, unsigned ref, const char *file, int line)
{
    const wanted w = {.kind = PLX_OUT_REPLY, .ref = ref};

    refute(s->test, s, &w, file, line);
}

void plx_test_refute_push_at(plx_test_socket *s, const char *topic, const char *event,
                             const char *pattern, const char *file, int line)
{
    const wanted w = {.kind = PLX_OUT_PUSH, .topic = topic, .event = event, .pattern = pattern};

    refute(s->test, s, &w, file, line);
}

void plx_test_refute_broadcast_at(plx_test *t, const char *topic, const char *event,
                                  const char *pattern, const char *file, int line)
{
    const wanted w = {.kind = PLX_OUT_PUSH, .topic = topic, .event = event, .pattern = pattern};

    refute(t, NULL, &w, file, line);
}

/* ---- state ---- */

/* The text stays with the world. */
static const char *compare(plx_test *t, const char *what, const char *topic, plx_slice json,
                           const char *pattern, const char *file, int line)
{
    const kit_letter *l = plx_kit_letter(&t->read, PLX_OUT_PUSH, plx_slice_of(topic),
                                         plx_slice_of(what), (plx_payload){PLX_PAYLOAD_JSON, json});
    plx_buf text;

    if (plx_kit_match(pattern, l->text))
        return l->text;
    plx_buf_init(&text, 0);
    plx_buf_printf(&text, "expected the %s on \"%s\" to be like %s\n  but: %s\n", what, topic,
                   pattern, l->text);
    plx_kit_fail(file, line, &text);
    return NULL;
}

const char *plx_test_assert_presence_at(plx_test *t, const char *topic, const char *pattern,
                                        const char *file, int line)
{
    const char *json;
    plx_buf text;

    plx_buf_init(&text, 0);
    plx_kit_people_json(plx_kit_topic(t, plx_slice_of(topic)), &text);
    json = plx_kit_letter(&t->read, PLX_OUT_PUSH, plx_slice_of(topic), plx_slice_of("presence"),
                          (plx_payload){PLX_PAYLOAD_JSON, plx_buf_slice(&text)})
               ->text;
    plx_buf_fini(&text);
    return compare(t, "presence", topic, plx_slice_of(json), pattern, file, line);
}

static const kit_delivery *open_delivery(const plx_test_socket *s, const char *topic)
{
    for (const plx_list *n = s->deliveries.next; n != &s->deliveries; n = n->next) {
        const kit_delivery *d = PLX_CONTAINER(n, kit_delivery, node);
        if (d->open && strcmp(d->topic->name, topic) == 0)
            return d;
    }
    return NULL;
}

static plx_slice assigns_of(const kit_delivery *d)
{
    return d->m ? plx_channel_assigns((const plx_channel *)(const void *)d->m)
                : plx_slice_of(d->assigns);
}

const char *plx_test_assert_assigns_at(plx_test_socket *s, const char *topic, const char *pattern,
                                       const char *file, int line)
{
    const kit_delivery *d = open_delivery(s, topic);
    plx_buf text;

    if (d)
        return compare(s->test, "assigns", topic, assigns_of(d), pattern, file, line);
    plx_buf_init(&text, 0);
    plx_buf_printf(&text, "%s (%s) has not joined \"%s\"\n", s->name, transport_of(s), topic);
    plx_kit_fail(file, line, &text);
    return NULL;
}
