/* Calls: one message that a backend answers, and what it says to the client on the way. */
#include "base/error.h"
#include "base/log.h"
#include "channel/counters.h"
#include "channel/rules.h"
#include "channel/socket_core.h"
#include <stdlib.h>

#define UNAVAILABLE   PLX_JSON_PAYLOAD("{\"reason\":\"unavailable\"}")
#define JOIN_CRASHED  PLX_JSON_PAYLOAD("{\"reason\":\"join crashed\"}")
#define CHANNEL_CRASH PLX_JSON_PAYLOAD("{\"reason\":\"channel_crash\"}")

plx_call *plx_call_new(plx_membership *m, enum plx_call_kind kind, plx_term join_ref, plx_term ref,
                       uint32_t number)
{
    plx_lane *lane = plx_lane_of(m);
    plx_call *call = plx_alloc(sizeof *call + join_ref.text.len + ref.text.len);
    char *end = call->bytes;

    memset(call, 0, sizeof *call);
    call->m = m;
    m->refs++;
    call->lane = lane;
    call->kind = kind;
    call->refs = 1;
    call->number = number;
    call->join_ref = (plx_term){join_ref.kind, plx_slice_place(&end, join_ref.text)};
    call->ref = (plx_term){ref.kind, plx_slice_place(&end, ref.text)};
    plx_list_init(&call->kept);
    plx_list_push(&lane->calls, &call->node);
    if (kind != PLX_CALL_OWN)
        lane->open = call;
    m->socket->pending++;
    return call;
}

plx_call *plx_call_loose(plx_membership *m, uint32_t number)
{
    plx_call *call = plx_alloc_zero(1, sizeof *call);

    call->m = m;
    m->refs++;
    call->kind = PLX_CALL_OWN;
    call->refs = 1;
    call->number = number;
    call->complete = true;
    plx_list_init(&call->node);
    plx_list_init(&call->kept);
    return call;
}

plx_call *plx_call_ref(plx_call *call)
{
    call->refs++;
    return call;
}

void plx_call_unref(plx_call *call)
{
    if (--call->refs > 0)
        return;
    plx_call_forget(call);
    plx_broadcasts_free(call);
    free(call->id);
    plx_membership_unref(call->m);
    free(call);
}

void plx_call_forget(plx_call *call)
{
    plx_list *n;

    while ((n = plx_list_shift(&call->kept)))
        free(PLX_CONTAINER(n, plx_kept, node));
}

/* ---- what is said ---- */

void plx_socket_emit(plx_socket *s, plx_out *out)
{
    if (!s->closing)
        s->ops->emit(s, out);
}

static void address(const plx_call *call, const plx_note *note, plx_out *out)
{
    static const plx_term none = {PLX_TERM_NULL, {NULL, 0}};

    out->topic = (plx_term){PLX_TERM_STRING, call->m->topic};
    switch (note->kind) {
    case PLX_OUT_REPLY:
        out->join_ref = call->join_ref;
        out->ref = call->ref;
        out->status = plx_slice_of(note->failed ? "error" : "ok");
        break;
    case PLX_OUT_PUSH:
        out->join_ref = plx_membership_join_ref(note->of);
        out->ref = none;
        out->event = note->event;
        break;
    case PLX_OUT_CLOSE:
    case PLX_OUT_ERROR:
        out->join_ref = out->ref = note->of->join_ref;
        break;
    }
}

static void emit(plx_call *call, unsigned after, const plx_note *note)
{
    plx_out_barrier room[PLX_BARRIERS], *barriers = room;
    plx_out out = {.kind = note->kind,
                   .payload = note->payload,
                   .membership = note->of,
                   .opens = note->opens,
                   .ends = note->ends};

    address(call, note, &out);
    /* The reply that opens a membership can't wait for what that one is to deliver afterwards. */
    out.barrier_count =
        plx_call_barriers(call, after, note->opens ? NULL : note->of, room, &barriers);
    out.barriers = barriers;
    plx_socket_emit(call->m->socket, &out);
    if (barriers != room)
        free(barriers);
    if (note->opens) {
        note->of->shown = true;
        note->of->replaces = NULL;
    }
    if (note->ends) {
        note->of->over = true;
        call->m->socket->reap = true;
    }
}

/* Emits a note of a call whose turn it is. */
static void let_out(plx_call *call, unsigned after, const plx_note *note)
{
    plx_note instead = {
        .kind = PLX_OUT_REPLY, .failed = true, .of = note->of, .payload = UNAVAILABLE};

    if (call->kind == PLX_CALL_PUSH && call->unavailable && note->kind == PLX_OUT_REPLY)
        note = &instead;
    emit(call, after, note);
}

/* Whether a note that follows `after` broadcasts may go out, once all calls before are done. */
static bool may_go(const plx_call *call, unsigned after)
{
    return call->settled >= after && (call->kind != PLX_CALL_JOIN || call->decided);
}

void plx_call_keep(plx_call *call, const plx_note *note, bool first)
{
    plx_kept *kept = plx_alloc(sizeof *kept + note->event.len + note->payload.bytes.len);
    char *end = kept->bytes;

    kept->after = call->issued;
    kept->note = *note;
    kept->note.event = plx_slice_place(&end, note->event);
    kept->note.payload.bytes = plx_slice_place(&end, note->payload.bytes);
    plx_list_push(first ? call->kept.next : &call->kept, &kept->node);
}

void plx_call_say(plx_call *call, const plx_note *note)
{
    if (!call->lane)
        return;
    if (call->lane->calls.next == &call->node && plx_list_empty(&call->kept) &&
        may_go(call, call->issued))
        let_out(call, call->issued, note);
    else
        plx_call_keep(call, note, false);
}

void plx_call_say_error(plx_call *call, plx_payload reason)
{
    plx_note note = {.kind = PLX_OUT_ERROR, .of = call->m, .ends = true, .payload = reason};

    plx_call_say(call, &note);
}

void plx_call_say_close(plx_call *call, plx_membership *of)
{
    plx_note note = {.kind = PLX_OUT_CLOSE, .of = of, .ends = true, .payload = plx_empty_object};

    plx_call_say(call, &note);
}

bool plx_call_flush(plx_call *call)
{
    plx_note unavailable = {
        .kind = PLX_OUT_REPLY, .failed = true, .of = call->m, .payload = UNAVAILABLE};

    while (!plx_list_empty(&call->kept)) {
        plx_kept *kept = PLX_CONTAINER(call->kept.next, plx_kept, node);
        if (!may_go(call, kept->after))
            return false;
        plx_list_remove(&kept->node);
        let_out(call, kept->after, &kept->note);
        free(kept);
    }
    if (!call->complete || call->settled < call->issued)
        return false;
    if (call->unavailable && call->wants_error)
        emit(call, call->issued, &unavailable);
    return true;
}

void plx_call_complete(plx_call *call)
{
    plx_lane *lane = call->lane;

    call->complete = true;
    if (!lane)
        return;
    if (lane->open == call)
        lane->open = NULL;
    plx_lane_run(lane);
}

/* ---- asking the backend ---- */

static enum plx_refusal judge(const plx_call *call, const plx_slice *event)
{
    plx_membership *m = call->m;
    const plx_socket *s = m->socket;
    const plx_asker asker = {s->channels->config, m->entry->config, m->topic, s->params, s->claims};
    uint64_t bucket = m->bucket;
    enum plx_refusal refusal;

    if (call->kind == PLX_CALL_INFO)
        return PLX_ALLOWED;
    if (call->kind == PLX_CALL_JOIN)
        refusal = plx_rules_join(&asker, call->own.bytes.len);
    else
        refusal = plx_rules_push(&asker, *event, call->own.bytes.len, &m->bucket, s->message_ms);
    m->assigns_changed = m->assigns_changed || m->bucket != bucket;
    plx_counted.rate_refusals += refusal == PLX_REFUSED_RATE;
    plx_counted.rule_refusals += refusal != PLX_ALLOWED && refusal != PLX_REFUSED_RATE;
    return refusal;
}

static void ask(plx_call *call, const plx_slice *event)
{
    const plx_channel_entry *entry = call->m->entry;
    plx_channel *ch = (plx_channel *)call->m;
    enum plx_refusal refusal;

    if (call->kind == PLX_CALL_PUSH && !event)
        plx_call_crash(call, "an event that is no string");
    else if ((refusal = judge(call, event)) != PLX_ALLOWED)
        plx_call_error(call, plx_rules_response(refusal));
    else if (call->kind == PLX_CALL_JOIN && entry->backend->join)
        entry->backend->join(entry->state, ch, call, call->own);
    else if (call->kind == PLX_CALL_JOIN)
        plx_call_ok(call, plx_empty_object);
    else if (call->kind == PLX_CALL_INFO && entry->backend->handle_info)
        entry->backend->handle_info(entry->state, ch, call, *event, call->own);
    else if (call->kind == PLX_CALL_PUSH && entry->backend->handle_in)
        entry->backend->handle_in(entry->state, ch, call, *event, call->own);
    else
        plx_call_noreply(call);
}

void plx_call_ask(plx_call *call, const plx_slice *event, plx_payload own)
{
    plx_lane *lane = call->lane;
    bool was_held = plx_lane_hold(lane);

    call->own = own;
    plx_call_ref(call); /* whoever answers it drops this one */
    plx_call_ref(call);
    ask(call, event);
    call->own = (plx_payload){PLX_PAYLOAD_JSON, {NULL, 0}};
    plx_call_unref(call);
    plx_lane_letgo(lane, was_held);
}

/* ---- answers ---- */

static bool take_answer(plx_call *call)
{
    if (!call) {
        plx_log_limited(PLX_ERROR, "a backend answered where there is no call");
        return false;
    }
    if (call->answered) {
        plx_err("backend \"%s\" answered a call twice", call->m->entry->backend->name);
        return false;
    }
    plx_socket_enter(call->m->socket);
    call->answered = true;
    return true;
}

static void answer_taken(plx_call *call)
{
    plx_socket *s = call->m->socket;

    plx_call_unref(call);
    plx_socket_exit(s);
}

static void crash(plx_call *call, const char *why)
{
    plx_membership *m = call->m;

    plx_counted.crashes++;
    plx_log_limited(PLX_WARNING, "channel \"%.*s\" crashed: %s", (int)m->topic.len, m->topic.data,
                    why);
    if (call->kind == PLX_CALL_JOIN) {
        plx_join_refuse(call, JOIN_CRASHED);
        return;
    }
    if (!call->lane)
        return;
    plx_membership_end(m, PLX_END_CRASHED);
    plx_call_say_error(call, CHANNEL_CRASH);
    plx_call_complete(call);
}

static void reply(plx_call *call, bool failed, plx_payload response)
{
    plx_note note = {.kind = PLX_OUT_REPLY, .failed = failed, .of = call->m, .payload = response};

    if (call->kind != PLX_CALL_INFO) /* to that there is nobody to reply to */
        plx_call_say(call, &note);
}

static void answer(plx_call *call, bool failed, plx_payload response)
{
    if (plx_call_check_payload(call, response) != 0) {
        crash(call, "its answer is no JSON");
    } else if (call->kind == PLX_CALL_JOIN) {
        (failed ? plx_join_refuse : plx_join_accept)(call, response);
    } else {
        reply(call, failed, response);
        plx_call_complete(call);
    }
}

void plx_call_ok(plx_call *call, plx_payload response)
{
    if (!take_answer(call))
        return;
    answer(call, false, response);
    answer_taken(call);
}

void plx_call_error(plx_call *call, plx_payload response)
{
    if (!take_answer(call))
        return;
    answer(call, true, response);
    answer_taken(call);
}

void plx_call_noreply(plx_call *call)
{
    if (!take_answer(call))
        return;
    if (call->kind == PLX_CALL_JOIN) {
        plx_join_accept(call, plx_empty_object);
    } else {
        call->wants_error = call->ref.kind != PLX_TERM_NULL;
        plx_call_complete(call);
    }
    answer_taken(call);
}

static void stop(plx_call *call, bool failed, const plx_payload *response)
{
    if (!take_answer(call))
        return;
    if (response && plx_call_check_payload(call, *response) != 0) {
        crash(call, "its answer is no JSON");
    } else if (call->kind == PLX_CALL_JOIN) {
        crash(call, "it stopped instead of joining");
    } else if (call->lane) {
        plx_membership_end(call->m, PLX_END_CLOSED);
        if (response)
            reply(call, failed, *response);
        plx_call_say_close(call, call->m);
        plx_call_complete(call);
    }
    answer_taken(call);
}

void plx_call_stop(plx_call *call, const plx_payload *response)
{
    stop(call, false, response);
}

void plx_call_stop_error(plx_call *call, plx_payload response)
{
    stop(call, true, &response);
}

void plx_call_crash(plx_call *call, const char *why)
{
    if (!take_answer(call))
        return;
    crash(call, why ? why : "no reason given");
    answer_taken(call);
}
