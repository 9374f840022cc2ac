/* Fuzzing the channel core as a state machine. The input is a script, two bytes a step: messages
 * from a client, answers of the store and of backends in any order, a transport that is ready,
 * loses its place, crashes, holds and lets go when it likes, messages to handle_info. What must
 * hold:
 * - of a membership nothing goes out before the message that opens it, nor after the one that ends
 *   it; it is opened and closed once; nobody waits for one that is not open or not there any more;
 * - every message that asks for a reply gets one, exactly once, unless its call was cut off by a
 * gap, a crash or a backend that keeps silent;
 * - when everything has been answered nothing is pending, waiting or kept.
 * The sanitizers see to lifetimes: half of the scripts free the socket with everything still open.
 */
#include "channel/socket_core.h"
#include "tests/unit/fake_store.h"

#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HELD_MAX 64

static struct {
    plx_socket *socket;
    plx_call *held[HELD_MAX];
    plx_channel *held_in[HELD_MAX];
    unsigned held_count;
    unsigned asked, replied; /* messages "ok" without a join_ref, and their replies */
    bool ready_at_once, hold_ends, freed;
} t;

#define must(what) must_at(what, #what)
static void must_at(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

#define TEXT(s) plx_slice_of(s)
#define EMPTY   ((plx_payload){PLX_PAYLOAD_JSON, PLX_LIT("{}")})

/* ---- backend: the event says what it does ---- */

static bool keep_call(plx_channel *ch, plx_call *call)
{
    if (t.held_count == HELD_MAX)
        return false;
    t.held[t.held_count] = call;
    t.held_in[t.held_count++] = ch;
    return true;
}

static void answer_call(plx_call *call, unsigned how)
{
    plx_payload response = EMPTY;

    switch (how % 6) {
    case 0:
        plx_call_ok(call, EMPTY);
        break;
    case 1:
        plx_call_error(call, EMPTY);
        break;
    case 2:
        plx_call_noreply(call);
        break;
    case 3:
        plx_call_stop(call, &response);
        break;
    case 4:
        plx_call_crash(call, "crash");
        break;
    default:
        plx_call_ok(call, (plx_payload){PLX_PAYLOAD_JSON, PLX_LIT("}")});
        break;
    }
}

static void use_verb(plx_channel *ch, plx_call *call, unsigned which)
{
    static const char *const topics[] = {"t:0", "t:1", "t:2", "x:0"};

    if (which % 4 == 0)
        plx_channel_push(ch, call, TEXT("pushed"), EMPTY);
    else if (which % 4 == 1)
        plx_channel_broadcast(ch, call, TEXT("cast"), EMPTY);
    else if (which % 4 == 2)
        plx_channel_broadcast_from(ch, call, TEXT("cast"), EMPTY);
    else
        plx_channel_broadcast_to(ch, call, TEXT(topics[which / 4 % 4]), TEXT("cast"), EMPTY);
}

static void on_join(void *state, plx_channel *ch, plx_call *call, plx_payload payload)
{
    unsigned what = payload.bytes.len > 1 ? (unsigned char)payload.bytes.data[1] : 0;

    (void)state;
    if (what & 8)
        use_verb(ch, call, what >> 4);
    if (!(what & 1) || !keep_call(ch, call))
        answer_call(call, what & 2 ? what >> 2 : 0);
}

static void on_event(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                     plx_payload payload)
{
    unsigned what = event.len > 0 ? (unsigned char)event.data[0] : 0;

    (void)state;
    if (plx_slice_is(event, "ok")) {
        plx_call_ok(call, payload);
        return;
    }
    if (what & 8)
        use_verb(ch, call, what >> 4);
    if (!(what & 1) || !keep_call(ch, call))
        answer_call(call, what >> 1);
}

static void on_terminate(void *state, plx_channel *ch, enum plx_end_reason reason)
{
    plx_membership *m = (plx_membership *)ch;

    (void)state;
    (void)reason;
    must(m->state == PLX_ENDED && m->accepted && !(m->slot & 8));
    m->slot |= 8;
    if (plx_slice_is(m->topic, "t:1"))
        must(plx_channel_broadcast_from(ch, NULL, TEXT("gone"), EMPTY) == 0);
}

static const plx_backend backend = {.abi = PLX_BACKEND_ABI,
                                    .name = "fuzz",
                                    .join = on_join,
                                    .handle_in = on_event,
                                    .handle_info = on_event,
                                    .terminate = on_terminate};

/* ---- transport: m->slot remembers 1 opened, 2 its opening message went out, 4 its end, 8
 * terminated ---- */

static void check_membership(const plx_out *out, plx_membership *m)
{
    must((m->slot & 1) && !(m->slot & 4));
    must(out->opens ? !(m->slot & 2) : (m->slot & 2) || out->ends);
    if (out->opens)
        m->slot |= 2;
    if (out->ends) {
        m->slot |= 4;
        if (t.hold_ends)
            plx_membership_hold(m);
    }
}

static void on_emit(plx_socket *s, const plx_out *out)
{
    must(s == t.socket && !t.freed);
    for (size_t i = 0; i < out->barrier_count; i++)
        must((out->barriers[i].membership->slot & 2) && out->barriers[i].offset > 0 &&
             out->barriers[i].membership->socket == s);
    if (out->membership)
        check_membership(out, out->membership);
    else
        must(!out->opens && !out->ends && out->kind == PLX_OUT_REPLY);
    if (out->kind == PLX_OUT_REPLY && plx_slice_is(out->ref.text, "ok"))
        t.replied++;
}

static void on_open(plx_socket *s, plx_membership *m)
{
    must(s == t.socket && m->slot == 0 && m->state == PLX_OPENING);
    m->slot = 1;
    if (t.ready_at_once)
        plx_membership_ready(m);
}

static void on_closed(plx_socket *s, plx_membership *m)
{
    must(s == t.socket && (m->slot & 1) && ((m->slot & 4) || t.freed));
    must(!(m->slot & 16));
    m->slot |= 16;
}

static void on_idle(plx_socket *s)
{
    must(s == t.socket && s->pending == 0);
}

static const plx_socket_ops ops = {
    .name = "fuzz", .emit = on_emit, .open = on_open, .closed = on_closed, .idle = on_idle};

/* ---- steps ---- */

static void client(const char *join_ref, const char *ref, unsigned topic, plx_slice event,
                   plx_slice payload)
{
    static const char *const topics[] = {"t:0", "t:1", "t:2", "nope"};
    plx_message m = {.ref = {PLX_TERM_STRING, TEXT(ref)},
                     .topic = {PLX_TERM_STRING, TEXT(topics[topic % 4])},
                     .event = {PLX_TERM_STRING, event},
                     .payload = {PLX_PAYLOAD_JSON, payload}};

    if (join_ref)
        m.join_ref = (plx_term){PLX_TERM_STRING, TEXT(join_ref)};
    plx_socket_handle(t.socket, &m);
}

static plx_membership *nth(unsigned n)
{
    plx_membership *m = NULL;
    unsigned i = 0;

    for (plx_list *l = t.socket->memberships.next; l != &t.socket->memberships; l = l->next) {
        m = PLX_CONTAINER(l, plx_membership, node);
        if (i++ == n % 4)
            break;
    }
    return m;
}

static void held_step(unsigned arg, bool answer)
{
    unsigned n = t.held_count > 0 ? arg % t.held_count : 0;
    plx_call *call;

    if (t.held_count == 0)
        return;
    call = t.held[n];
    if (!answer) {
        use_verb(t.held_in[n], call, arg);
        return;
    }
    t.held[n] = t.held[--t.held_count];
    t.held_in[n] = t.held_in[t.held_count];
    answer_call(call, arg / 8);
}

static void store_step(unsigned arg)
{
    unsigned waiting = fake_waiting();

    if (waiting > 0)
        fake_answer(arg / 4 % waiting, arg % 4 == 3 ? PLX_E_DOWN : 0);
}

static void transport_step(unsigned arg)
{
    plx_membership *m = nth(arg / 4);

    if (arg % 4 == 0 && m && m->state == PLX_OPENING)
        plx_membership_ready(m);
    else if (arg % 4 == 1 && m && (m->slot & 1))
        (arg & 128 ? plx_membership_crash : plx_membership_lost)(m);
    else if (arg % 4 == 2 && m && m->held)
        plx_membership_release(m);
    else if (arg % 4 == 3 && arg & 4)
        t.ready_at_once = !t.ready_at_once;
    else if (arg % 4 == 3)
        t.hold_ends = !t.hold_ends;
}

/* A message to handle_info, for one membership or whichever the topic has. */
static void inform_step(unsigned what, unsigned arg)
{
    static const char *const topics[] = {"t:0", "t:1", "t:2", "nope"};
    const plx_membership *m = what & 128 ? nth(arg) : NULL;
    const char name = (char)arg;

    plx_socket_inform(t.socket, m ? m->topic : TEXT(topics[arg % 4]), m, plx_slice_make(&name, 1),
                      EMPTY);
}

static void step(unsigned what, unsigned arg)
{
    char text[4] = {'"', (char)arg, '"', 0};
    static const char *const join_refs[] = {NULL, "1", "2", "stale"};

    switch (what % 8) {
    case 0:
        client(join_refs[what / 8 % 3], "1", arg, TEXT("phx_join"), plx_slice_make(text, 3));
        break;
    case 1:
        client(join_refs[what / 8 % 4], "1", arg, TEXT("phx_leave"), TEXT("{}"));
        break;
    case 2:
        client(join_refs[what / 8 % 4], "2", what / 32, plx_slice_make(text + 1, 1), TEXT("{}"));
        break;
    case 3:
        t.asked++;
        client(NULL, "ok", arg, TEXT("ok"), TEXT("{}"));
        break;
    case 4:
        store_step(arg);
        break;
    case 5:
        held_step(arg, true);
        break;
    case 6:
        held_step(arg, false);
        break;
    default:
        if (what / 8 % 4 == 3)
            inform_step(what, arg);
        else
            transport_step(arg);
        break;
    }
}

/* ---- before and after ---- */

static plx_channel_config config[] = {{.pattern = (char *)"t:*"}};
static plx_channel_entry entries[] = {{.config = config, .backend = &backend}};
static plx_socket_config section = {
    .channels = config, .channel_count = 1, .max_channels = 2, .ws_max_frame_bytes = 1000};
static const plx_channels channels = {.config = &section, .entries = entries};

static void begin(void)
{
    plx_socket_init init = {.ops = &ops,
                            .store = fake_store,
                            .channels = &channels,
                            .session = PLX_LIT("s"),
                            .params = PLX_LIT("{}"),
                            .claims = PLX_LIT("{}")};

    memset(&t, 0, sizeof t);
    t.ready_at_once = true;
    t.socket = plx_socket_new(&init);
}

/* Answers everything that is still open, in turns, because answers make new questions. */
static void settle(void)
{
    t.ready_at_once = true;
    t.hold_ends = false;
    for (unsigned turn = 0; turn < 100000; turn++) {
        bool opening = false;
        while (t.held_count > 0)
            held_step(0, true);
        for (plx_list *l = t.socket->memberships.next; !t.freed && l != &t.socket->memberships;
             l = l->next) {
            plx_membership *m = PLX_CONTAINER(l, plx_membership, node);
            if (m->state == PLX_OPENING || m->held) {
                opening = true;
                (m->held ? plx_membership_release : plx_membership_ready)(m);
                break; /* the list may have changed */
            }
        }
        if (fake_first)
            fake_answer(0, 0);
        else if (!opening && t.held_count == 0)
            return;
    }
    must(false);
}

static void check_rest(void)
{
    must(t.socket->pending == 0 && t.socket->waiting_bytes == 0 && t.socket->inflight_bytes == 0);
    for (plx_list *l = t.socket->memberships.next; l != &t.socket->memberships; l = l->next) {
        plx_membership *m = PLX_CONTAINER(l, plx_membership, node);
        must(m->state == PLX_JOINED && !m->core && m->slot == 3 && m->refs == 1);
    }
    must(t.replied == t.asked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t i = 1;

    if (size < 1 || size > 4096)
        return 0;
    plx_log_init("fuzz", PLX_ERROR);
    begin();
    for (; i + 1 < size; i += 2)
        step(data[i], data[i + 1]);
    if (data[0] & 1) {
        settle();
        check_rest();
    }
    t.freed = true;
    plx_socket_free(t.socket, PLX_END_CLOSED);
    while (t.held_count > 0)
        held_step(data[0], true);
    fake_reset();
    return 0;
}
