/* The kit's clients: the transport under the channel core. */
#include "tests/kit/kit.h"
#include "channel/track.h"
#include <stdio.h>
#include <stdlib.h>

static plx_test_socket *client_of(const plx_socket *s)
{
    return s->transport;
}

/* ---- deliveries ---- */

kit_delivery *plx_kit_delivery_of(plx_test_socket *s, const plx_membership *m)
{
    for (plx_list *n = s->deliveries.next; n != &s->deliveries; n = n->next) {
        kit_delivery *d = PLX_CONTAINER(n, kit_delivery, node);
        if (d->m == m)
            return d;
    }
    return NULL;
}

void plx_kit_delivery_free(kit_delivery *d)
{
    plx_kit_timers_drop(d);
    plx_list_remove(&d->node);
    free(d->state);
    free(d->assigns);
    free(d);
}

static plx_diffs *diffs_of(kit_delivery *d)
{
    return d->socket->longpoll ? &d->diffs : &d->m->diffs;
}

static void give_state(kit_delivery *d)
{
    plx_buf json;

    plx_buf_init(&json, 0);
    plx_kit_people_json(d->topic, &json);
    plx_kit_letter(&d->socket->mailbox, PLX_OUT_PUSH, plx_slice_of(d->topic->name),
                   plx_slice_of("presence_state"),
                   (plx_payload){PLX_PAYLOAD_JSON, plx_buf_slice(&json)});
    plx_buf_fini(&json);
    plx_diffs_given(diffs_of(d), d->topic->offset);
}

static bool is_answered(kit_delivery *d, plx_event *e)
{
    if (!d->socket->longpoll)
        return plx_tracks_answered(d->m, e);
    return d->diffs.mode == PLX_DIFFS_WAITS && plx_diff_joins(e, plx_slice_of(d->awaited));
}

static bool takes_diff(kit_delivery *d, plx_event *e)
{
    uint64_t after = d->socket->longpoll ? d->diffs_after : d->m->diffs_after;
    bool take = plx_diffs_take(diffs_of(d), e, is_answered(d, e)) && e->position.offset > after;

    if (diffs_of(d)->mode == PLX_DIFFS_DUE)
        give_state(d);
    return take;
}

static void put(kit_delivery *d, const plx_event *e)
{
    enum plx_payload_kind kind = e->kind == PLX_KIND_BINARY ? PLX_PAYLOAD_BINARY : PLX_PAYLOAD_JSON;

    plx_kit_letter(&d->socket->mailbox, PLX_OUT_PUSH, e->topic, e->event,
                   (plx_payload){kind, e->payload});
}

/* A long-polling client at rest is looked at by whichever worker answers its poll. */
static void put_intercepted(kit_delivery *d, plx_event *e)
{
    bool scratch = !d->m && !d->socket->core;
    plx_event *seen = NULL;

    if (scratch)
        plx_kit_longpoll_build(d->socket);
    if (d->m)
        seen = plx_intercept(d->m, e, &d->crashed);
    if (scratch)
        plx_kit_longpoll_forget(d->socket);
    if (seen)
        put(d, seen);
    plx_event_unref(seen);
}

static void deliver(kit_delivery *d)
{
    plx_event *e = d->topic->log[d->after++];
    const plx_channel_entry *entry =
        plx_channels_route(&d->socket->worker->channels, plx_slice_of(d->topic->name));
    bool wanted = e->kind == PLX_KIND_PRESENCE ? takes_diff(d, e)
                                               : !plx_slice_is(e->from, d->socket->session);

    if (wanted && entry && plx_intercepts(entry, e))
        put_intercepted(d, e);
    else if (wanted)
        put(d, e);
}

static void deliver_to(kit_delivery *d, uint64_t offset)
{
    while (d && d->open && !d->crashed && d->after < offset)
        deliver(d);
}

/* A long-polling client is given what its record says: not while a message of it is being worked.
 */
static bool is_ready(const kit_delivery *d)
{
    return d->open && (d->socket->longpoll ? !d->m : d->m != NULL);
}

static void crash(kit_delivery *d)
{
    d->crashed = false;
    if (d->socket->longpoll)
        plx_kit_longpoll_build(d->socket);
    plx_membership_crash(d->m);
}

bool plx_kit_socket_deliver(plx_test_socket *s)
{
    for (plx_list *n = s->deliveries.next; n != &s->deliveries; n = n->next) {
        kit_delivery *d = PLX_CONTAINER(n, kit_delivery, node);
        if (!is_ready(d) || (!d->crashed && d->after == d->topic->offset))
            continue;
        (d->crashed ? crash : deliver)(d);
        return true;
    }
    return false;
}

bool plx_kit_socket_impatient(plx_test_socket *s)
{
    for (plx_list *n = s->deliveries.next; n != &s->deliveries; n = n->next) {
        kit_delivery *d = PLX_CONTAINER(n, kit_delivery, node);
        if (is_ready(d) && diffs_of(d)->mode == PLX_DIFFS_WAITS) {
            give_state(d);
            return true;
        }
    }
    return false;
}

/* ---- what the core asks for ---- */

static void on_emit(plx_socket *s, const plx_out *out)
{
    plx_test_socket *c = client_of(s);
    kit_delivery *d = out->membership ? plx_kit_delivery_of(c, out->membership) : NULL;
    kit_letter *letter;

    for (size_t i = 0; i < out->barrier_count; i++)
        deliver_to(plx_kit_delivery_of(c, out->barriers[i].membership), out->barriers[i].offset);
    letter = plx_kit_letter(&c->mailbox, out->kind, out->topic.text, out->event, out->payload);
    if (out->kind == PLX_OUT_REPLY) {
        letter->status = plx_slice_dup(out->status);
        letter->ref = (unsigned)strtoul(out->ref.text.data ? out->ref.text.data : "", NULL, 10);
    }
    if (d && (out->opens || out->ends))
        d->open = out->opens;
}

/* What the old membership of a rejoin still owes comes before the new one's reply. */
static void replace(plx_test_socket *c, const plx_membership *m)
{
    kit_delivery *old = m->replaces ? plx_kit_delivery_of(c, m->replaces) : NULL;

    deliver_to(old, m->start.offset);
    if (old)
        old->open = false;
}

static void on_open(plx_socket *s, plx_membership *m)
{
    plx_test_socket *c = client_of(s);
    kit_delivery *d = plx_alloc_zero(1, sizeof *d);

    replace(c, m);
    d->socket = c;
    d->topic = plx_kit_topic(c->test, m->topic);
    d->m = m;
    d->after = m->start.offset;
    d->slot = m->slot = ++c->slots;
    plx_list_push(&c->deliveries, &d->node);
    plx_membership_ready(m);
    d->start = m->start;
    d->goes_back = m->goes_back;
    d->diffs_after = m->diffs_after;
    d->diffs = m->diffs;
    if (m->tracks)
        memcpy(d->awaited, m->tracks->awaited, sizeof d->awaited);
}

static void on_closed(plx_socket *s, plx_membership *m)
{
    kit_delivery *d = plx_kit_delivery_of(client_of(s), m);

    if (d && (client_of(s)->dissolving || client_of(s)->rehearses))
        d->m = NULL;
    else if (d)
        plx_kit_delivery_free(d);
}

const plx_socket_ops plx_kit_websocket = {.name = "websocket",
                                          .leased = true,
                                          .lasting = true,
                                          .emit = on_emit,
                                          .open = on_open,
                                          .closed = on_closed};
const plx_socket_ops plx_kit_longpoll = {
    .name = "longpoll", .emit = on_emit, .open = on_open, .closed = on_closed};

plx_socket *plx_kit_socket_core(plx_test_socket *s)
{
    const plx_socket_init init = {.ops = s->longpoll ? &plx_kit_longpoll : &plx_kit_websocket,
                                  .transport = s,
                                  .store = s->worker,
                                  .channels = &s->worker->channels,
                                  .session = plx_slice_of(s->session),
                                  .id = plx_slice_of(s->id),
                                  .params = plx_slice_of(s->params),
                                  .claims = plx_slice_of(s->claims)};

    return plx_socket_new(&init);
}

/* ---- a client's life ---- */

static void end(plx_test_socket *s, enum plx_end_reason reason)
{
    if (s->closed)
        return;
    if (s->longpoll)
        plx_kit_longpoll_build(s);
    s->closed = true;
    plx_socket_free(s->core, reason);
    s->core = NULL;
    plx_kit_settle(s->test);
}

void plx_test_close(plx_test_socket *s)
{
    end(s, s->longpoll ? PLX_END_EXPIRED : PLX_END_CLOSED);
}

unsigned plx_test_disconnect(plx_test *t, const char *socket_id)
{
    unsigned count = 0;

    for (plx_list *n = t->sockets.next; n != &t->sockets; n = n->next) {
        plx_test_socket *s = PLX_CONTAINER(n, plx_test_socket, node);
        if (s->closed || strcmp(s->id, socket_id) != 0)
            continue;
        end(s, PLX_END_CLOSED);
        count++;
    }
    return count;
}

static void sent_free(plx_list *list)
{
    plx_list *n;

    while ((n = plx_list_shift(list))) {
        kit_sent *m = PLX_CONTAINER(n, kit_sent, node);
        free(m->topic);
        free(m->event);
        free(m->payload);
        free(m);
    }
}

void plx_kit_socket_free(plx_test_socket *s)
{
    plx_list *n;

    end(s, PLX_END_CLOSED);
    while ((n = s->deliveries.next) != &s->deliveries)
        plx_kit_delivery_free(PLX_CONTAINER(n, kit_delivery, node));
    while ((n = plx_list_shift(&s->ends))) {
        free(PLX_CONTAINER(n, kit_end, node)->topic);
        free(PLX_CONTAINER(n, kit_end, node));
    }
    plx_kit_letters_free(&s->mailbox);
    sent_free(&s->sent);
    plx_list_remove(&s->node);
    free(s->name);
    free(s->session);
    free(s->id);
    free(s->params);
    free(s->claims);
    free(s);
}

/* ---- what a client sends ---- */

static bool is_meant(const kit_delivery *d, const kit_sent *sent)
{
    if (sent->info == KIT_ANY_SLOT)
        return d->m && d->m->state == PLX_JOINED && strcmp(d->topic->name, sent->topic) == 0;
    return d->m && d->slot == sent->info;
}

/* Nobody gets what a timer brings to a channel that has ended. */
static void inform(plx_test_socket *s, const kit_sent *sent)
{
    const plx_payload message = {sent->binary ? PLX_PAYLOAD_BINARY : PLX_PAYLOAD_JSON,
                                 plx_slice_make(sent->payload, sent->payload_len)};

    for (plx_list *n = s->deliveries.next; n != &s->deliveries; n = n->next) {
        const kit_delivery *d = PLX_CONTAINER(n, kit_delivery, node);
        if (is_meant(d, sent)) {
            plx_socket_inform(s->core, plx_slice_of(sent->topic), d->m, plx_slice_of(sent->event),
                              message);
            return;
        }
    }
}

static void handle(plx_test_socket *s, const kit_sent *sent)
{
    char ref[16];
    plx_message m = {.topic = {PLX_TERM_STRING, plx_slice_of(sent->topic)},
                     .event = {PLX_TERM_STRING, plx_slice_of(sent->event)},
                     .payload = {sent->binary ? PLX_PAYLOAD_BINARY : PLX_PAYLOAD_JSON,
                                 plx_slice_make(sent->payload, sent->payload_len)}};

    snprintf(ref, sizeof ref, "%u", sent->ref);
    m.ref = (plx_term){PLX_TERM_STRING, plx_slice_of(ref)};
    if (strcmp(sent->event, "phx_join") == 0)
        m.join_ref = m.ref;
    plx_socket_handle(s->core, &m);
}

bool plx_kit_socket_handle_next(plx_test_socket *s, bool keep)
{
    plx_list one, *n = s->sent.next;
    const kit_sent *sent = PLX_CONTAINER(n, kit_sent, node);

    if (n == &s->sent)
        return false;
    plx_list_init(&one);
    if (!keep) {
        plx_list_remove(n);
        plx_list_push(&one, n);
    }
    (sent->info ? inform : handle)(s, sent);
    sent_free(&one);
    return true;
}

unsigned plx_test_push_payload(plx_test_socket *s, const char *topic, const char *event,
                               plx_payload payload)
{
    kit_sent *sent = plx_alloc_zero(1, sizeof *sent);

    sent->topic = plx_strdup(topic);
    sent->event = plx_strdup(event);
    sent->payload = plx_slice_dup(payload.bytes);
    sent->payload_len = payload.bytes.len;
    sent->binary = payload.kind == PLX_PAYLOAD_BINARY;
    sent->ref = ++s->ref;
    plx_list_push(&s->sent, &sent->node);
    if (s->closed)
        sent_free(&s->sent); /* as after a lost connection */
    else if (!s->longpoll)
        plx_kit_socket_handle_next(s, false);
    plx_kit_settle(s->test);
    return s->ref;
}

unsigned plx_test_push(plx_test_socket *s, const char *topic, const char *event, const char *json)
{
    char *text = plx_kit_json(json ? json : "{}");
    unsigned ref;

    if (!text) {
        fprintf(stderr, "pollux-test: what is pushed must be JSON, not %s\n", json);
        abort();
    }
    ref =
        plx_test_push_payload(s, topic, event, (plx_payload){PLX_PAYLOAD_JSON, plx_slice_of(text)});
    free(text);
    return ref;
}

unsigned plx_test_join(plx_test_socket *s, const char *topic, const char *json)
{
    return plx_test_push(s, topic, "phx_join", json);
}

unsigned plx_test_leave(plx_test_socket *s, const char *topic)
{
    return plx_test_push(s, topic, "phx_leave", "{}");
}
