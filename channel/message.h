/* What travels between a socket and the core: messages in and out, independent of wire formats. */
#ifndef PLX_CHANNEL_MESSAGE_H
#define PLX_CHANNEL_MESSAGE_H

#include "base/slice.h"
#include "channel/backend.h"
#include "store/event.h"

/* Longest topic, event or ref that is accepted, in bytes. */
#define PLX_NAME_MAX 1024

/* A ref, join_ref or topic as the client sent it: a string, null, or any other JSON value, echoed
 * as it came. Strings are kept unescaped, so that a V2 binary "1" equals a JSON "1"; from a binary
 * frame they need not be UTF-8. */
enum plx_term_kind { PLX_TERM_NULL, PLX_TERM_STRING, PLX_TERM_JSON };
typedef struct plx_term {
    enum plx_term_kind kind;
    plx_slice text; /* STRING: the bytes; JSON: the value's text; NULL: empty */
} plx_term;

/* Whether both are the same to a client; JSON is compared by its text. */
static inline bool plx_term_eq(plx_term a, plx_term b)
{
    return a.kind == b.kind && plx_slice_eq(a.text, b.text);
}

/* A decoded message from a client. Slices point into the frame or the decoder's scratch buffer. */
typedef struct plx_message {
    plx_term join_ref, ref, topic;
    plx_term event; /* PLX_TERM_STRING, or something that crashes the channel */
    plx_payload payload;
    bool info;         /* for handle_info: not from the client, `event` is its name */
    uint64_t only_for; /* info: of the only membership that it is for; 0: any */
} plx_message;

struct plx_membership;

enum plx_out_kind {
    PLX_OUT_REPLY, /* phx_reply {"response": payload, "status": status} */
    PLX_OUT_PUSH,  /* event, payload; ref null */
    PLX_OUT_CLOSE, /* phx_close {} */
    PLX_OUT_ERROR  /* phx_error payload */
};

typedef struct plx_out_barrier {
    struct plx_membership *membership;
    uint64_t offset;
} plx_out_barrier;

/* A message for one socket, from the core to its transport. Valid during emit. */
typedef struct plx_out {
    enum plx_out_kind kind;
    plx_term join_ref, ref, topic;
    plx_slice event;  /* PUSH */
    plx_slice status; /* REPLY: "ok" | "error" */
    plx_payload payload;
    /* The transport lets it out only when it has delivered each of these topics to this socket up
     * to the offset (promise 4). */
    const plx_out_barrier *barriers;
    size_t barrier_count;
    struct plx_membership *membership; /* its membership; NULL: unmatched topic, heartbeat */
    bool opens; /* the join reply that opens membership: no event of it goes out before */
    bool ends;  /* the message with which membership ends: nothing of it goes out after */
} plx_out;

#endif
