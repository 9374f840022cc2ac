/* What a backend may ask about its channel and do on it: the rest of backend.h. */
#include "base/error.h"
#include "base/json_scan.h"
#include "base/log.h"
#include "channel/counters.h"
#include "channel/route.h"
#include "channel/socket_core.h"
#include "store/topic.h"
#include <stdlib.h>

/* About what a broadcast under way takes beside its strings: here, and as a command to Redis. */
#define BROADCAST_COST 512

static const plx_membership *of(const plx_channel *ch)
{
    return (const plx_membership *)ch;
}

plx_slice plx_channel_topic(const plx_channel *ch)
{
    return of(ch)->topic;
}

plx_slice plx_channel_params(const plx_channel *ch)
{
    return of(ch)->socket->params;
}

plx_slice plx_channel_claims(const plx_channel *ch)
{
    return of(ch)->socket->claims;
}

plx_slice plx_channel_socket_id(const plx_channel *ch)
{
    return of(ch)->socket->id;
}

plx_slice plx_channel_session(const plx_channel *ch)
{
    return of(ch)->socket->session;
}

plx_slice plx_channel_transport(const plx_channel *ch)
{
    return plx_slice_of(of(ch)->socket->ops->name);
}

const plx_channel_config *plx_channel_options(const plx_channel *ch)
{
    return of(ch)->entry->config;
}

struct ev_loop *plx_channel_loop(const plx_channel *ch)
{
    return plx_store_loop(of(ch)->socket->store);
}

plx_slice plx_call_message_id(const plx_call *call)
{
    plx_call *mutable_call = (plx_call *)call; /* made when it is first asked for */
    const plx_socket *s = call ? call->m->socket : NULL;

    if (!call)
        return plx_slice_make(NULL, 0);
    if (!call->id)
        mutable_call->id = plx_asprintf("%.*s:%llu:%u", (int)s->session.len, s->session.data,
                                        (unsigned long long)s->entry, (unsigned)call->number);
    return plx_slice_of(call->id);
}

int plx_call_check_payload(const plx_call *call, plx_payload payload)
{
    if (payload.kind == PLX_PAYLOAD_BINARY)
        return 0;
    if (payload.bytes.data == call->own.bytes.data && payload.bytes.len == call->own.bytes.len &&
        call->own.kind == PLX_PAYLOAD_JSON && payload.bytes.len > 0)
        return 0; /* the client's own: it was checked when it was decoded */
    return plx_json_check(payload.bytes, NULL);
}

/* The longest payload of a verb: whatever a client can send can be relayed. */
size_t plx_socket_payload_max(const plx_socket *s)
{
    size_t frame = s->channels->config->ws_max_frame_bytes;
    size_t body = plx_store_config(s->store)->max_body_bytes;

    return frame > body ? frame : body;
}

static int check(const plx_call *call, plx_slice event, plx_payload payload)
{
    if (event.len > PLX_NAME_MAX || payload.bytes.len > plx_socket_payload_max(call->m->socket))
        return PLX_E_TOOBIG;
    return plx_call_check_payload(call, payload);
}

int plx_channel_push(plx_channel *ch, plx_call *call, plx_slice event, plx_payload payload)
{
    plx_note note = {
        .kind = PLX_OUT_PUSH, .of = (plx_membership *)ch, .event = event, .payload = payload};
    int err = call ? check(call, event, payload) : PLX_E_INVALID;

    if (err == 0)
        plx_call_say(call, &note);
    return err;
}

/* ---- broadcasts ---- */

/* The membership through which this socket will see a call's broadcast on the topic, or NULL. It
 * must have been opened by the time that somebody waits for it: what the call's own membership says
 * comes after its join's reply, but what others say may not. While a new membership is not open,
 * the one that it replaces is still being delivered. */
static plx_membership *watcher(const plx_call *call, plx_slice topic)
{
    plx_membership *m = plx_socket_find(call->m->socket, topic);

    if (!m || (m == call->m && m->state == PLX_JOINED))
        return m;
    if (m->replaces)
        m = m->replaces;
    return m->shown ? m : NULL;
}

plx_broadcast *plx_broadcast_new(plx_call *call, size_t bytes)
{
    plx_broadcast *b = plx_alloc_zero(1, sizeof *b);

    b->call = plx_call_ref(call);
    b->bytes = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
    if (call->last_broadcast)
        call->last_broadcast->next = b;
    else
        call->broadcasts = b;
    call->last_broadcast = b;
    if (!call->unsettled)
        call->unsettled = b;
    call->issued++;
    call->m->socket->pending++;
    call->m->socket->inflight_bytes += b->bytes;
    return b;
}

void plx_broadcasts_free(plx_call *call)
{
    plx_broadcast *next;

    for (plx_broadcast *b = call->broadcasts; b; b = next) {
        next = b->next;
        if (b->target)
            plx_membership_unref(b->target);
        free(b);
    }
    call->broadcasts = NULL;
}

/* Moves on over what is settled without a break from the first one on. */
static void count_settled(plx_call *call)
{
    while (call->unsettled && call->unsettled->settled) {
        call->unsettled = call->unsettled->next;
        call->settled++;
    }
}

/* An inbox entry that is worked again after a crash reads the position of its joins anew, behind
 * what it had broadcast the first time. The client has heard of neither: the membership begins
 * before. (Unless the membership that it replaced, or the last messages that it was given, reach up
 * to the position: then it gets them that way.) */
static void begin_before(plx_membership *m, const plx_position *position)
{
    if (m->continues || m->entry->config->has_latest)
        return;
    if (m->start.offset >= position->offset && strcmp(m->start.epoch, position->epoch) == 0)
        m->start.offset = position->offset - 1;
}

static void settle(plx_broadcast *b, int err, const plx_position *position, bool repeated)
{
    plx_call *call = b->call;
    plx_membership *target = b->target;

    b->settled = true;
    if (err != 0) {
        call->unavailable = true;
        if (err == PLX_E_DOWN || err == PLX_E_TIMEOUT)
            call->m->socket->unavailable = true;
        plx_log_limited(PLX_WARNING, "what \"%.*s\" asked of Redis failed: %s",
                        (int)call->m->topic.len, call->m->topic.data, plx_strerror(err));
    } else if (target && position) {
        b->offset = position->offset;
        if (repeated)
            begin_before(target, position);
        if (target->caused < b->offset)
            target->caused = b->offset;
    }
    count_settled(call);
}

void plx_broadcast_done(plx_broadcast *b, int err, const plx_position *position, bool repeated)
{
    plx_call *call = b->call;
    plx_socket *s = call->m->socket;
    bool was_busy;

    plx_socket_enter(s);
    was_busy = plx_socket_busy(s);
    s->pending--;
    s->inflight_bytes -= b->bytes;
    settle(b, err, position, repeated);
    if (call->lane)
        plx_lane_run(call->lane);
    if (was_busy && !plx_socket_busy(s))
        plx_lane_run_all(s);
    plx_call_unref(call);
    plx_socket_exit(s);
}

static void published(void *arg, int err, const plx_position *position, bool repeated)
{
    plx_broadcast_done(arg, err, position, repeated);
}

void plx_socket_retain(const plx_socket *s, plx_slice topic, plx_publication *p)
{
    plx_route_kept kept;

    plx_route_topic(plx_store_config(s->store), topic, &kept);
    p->history_size = kept.history_size;
    p->history_ttl_s = kept.history_ttl_s;
    p->latest_ttl_s = kept.latest_ttl_s;
}

int plx_socket_check_broadcast(const plx_socket *s, plx_slice topic, plx_slice event,
                               plx_payload payload)
{
    plx_publication p = {.topic = topic};

    if (topic.len == 0)
        return PLX_E_INVALID;
    if (topic.len > PLX_NAME_MAX || event.len > PLX_NAME_MAX ||
        payload.bytes.len > plx_socket_payload_max(s))
        return PLX_E_TOOBIG;
    if (payload.kind != PLX_PAYLOAD_BINARY)
        return 0;
    plx_socket_retain(s, topic, &p);
    return p.history_size > 0 ? PLX_E_INVALID : 0;
}

static int publish(plx_call *call, plx_slice topic, plx_slice event, plx_payload payload,
                   bool to_others)
{
    plx_socket *s = call->m->socket;
    plx_publication p = {.topic = topic,
                         .event = event,
                         .payload = payload.bytes,
                         .kind =
                             payload.kind == PLX_PAYLOAD_BINARY ? PLX_KIND_BINARY : PLX_KIND_JSON};
    plx_broadcast *b;

    plx_socket_retain(s, topic, &p);
    if (p.history_size > 0 && p.kind == PLX_KIND_BINARY)
        return PLX_E_INVALID;
    if (s->entry != 0) {
        p.producer = s->session;
        p.entry = s->entry;
        p.index = call->number * PLX_BROADCASTS + call->issued;
    }
    if (to_others)
        p.from = s->session;
    b = plx_broadcast_new(call, BROADCAST_COST + topic.len + event.len + payload.bytes.len);
    if (!to_others && !s->closing && (b->target = watcher(call, topic)))
        b->target->refs++;
    plx_counted.broadcasts++;
    plx_topic_publish(s->store, &p, published, b);
    return 0;
}

int plx_call_check_room(const plx_call *call, plx_slice topic)
{
    uint32_t end = call == call->m->socket->farewell ? 2 * PLX_FAREWELLS : PLX_FAREWELLS;

    if (topic.len == 0)
        return PLX_E_INVALID;
    if (topic.len > PLX_NAME_MAX || call->issued >= PLX_BROADCASTS ||
        (call->m->socket->entry != 0 && call->number >= end))
        return PLX_E_TOOBIG;
    return 0;
}

bool plx_call_is_elsewhere(const plx_call *call)
{
    return call->m->socket->closing && call->m->socket->entry != 0;
}

static int broadcast(plx_channel *ch, plx_call *given, plx_slice topic, plx_slice event,
                     plx_payload payload, bool to_others)
{
    plx_call *call = plx_call_of(ch, given);
    int err = call ? check(call, event, payload) : PLX_E_INVALID;

    if (err == 0)
        err = plx_call_check_room(call, topic);
    if (err != 0 || plx_call_is_elsewhere(call))
        return err;
    return publish(call, topic, event, payload, to_others);
}

int plx_channel_broadcast(plx_channel *ch, plx_call *call, plx_slice event, plx_payload payload)
{
    return broadcast(ch, call, of(ch)->topic, event, payload, false);
}

int plx_channel_broadcast_from(plx_channel *ch, plx_call *call, plx_slice event,
                               plx_payload payload)
{
    return broadcast(ch, call, of(ch)->topic, event, payload, true);
}

int plx_channel_broadcast_to(plx_channel *ch, plx_call *call, plx_slice topic, plx_slice event,
                             plx_payload payload)
{
    return broadcast(ch, call, topic, event, payload, false);
}

/* ---- barriers ---- */

static size_t add_barrier(plx_out_barrier *list, size_t count, plx_membership *m, uint64_t offset)
{
    if (!m || m->gone || offset == 0)
        return count;
    for (size_t i = 0; i < count; i++) {
        if (list[i].membership == m) {
            if (list[i].offset < offset)
                list[i].offset = offset;
            return count;
        }
    }
    list[count] = (plx_out_barrier){m, offset};
    return count + 1;
}

size_t plx_call_barriers(const plx_call *call, unsigned after, const plx_membership *whose,
                         plx_out_barrier *room, plx_out_barrier **out)
{
    plx_broadcast *b = call->broadcasts;
    size_t count = 0;

    /* The first place is for the membership's own; those of other topics are in the list. */
    *out = after + 1 <= PLX_BARRIERS ? room : plx_alloc((after + 1) * sizeof **out);
    if (whose && !whose->replaced)
        count = add_barrier(*out, count, (plx_membership *)whose, whose->caused);
    for (; b && after > 0; b = b->next, after--)
        count = add_barrier(*out, count, b->target, b->offset);
    return count;
}
