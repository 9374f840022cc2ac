/* The long-poll token: who the client is, and what it has received.
 *
 * Phoenix clients keep the token of every poll answer and send it with the next
 * request, so the token can carry the acknowledgement: base64url of
 *
 *     version 1 | vsn | session id (22) | queue cursor | (slot, offset [, state])... |
 *     (0, offset, life)... | MAC (16)
 *
 * numbers as LEB128 varints; the lowest two bits of `slot` say what became of the slot's
 * presence_state, and whether its place follows (as far as it is newer than the offset). A poll
 * with a token says "I have everything up to here"; its answer carries the next token. A response
 * that was lost is made again from the token that the client still holds. Slots that are not listed
 * stand at their start. The MAC (HMAC-SHA256 cut to 16 bytes) covers the mount path too: a token is
 * worth nothing at another socket.
 */
#ifndef PLX_TRANSPORT_LP_TOKEN_H
#define PLX_TRANSPORT_LP_TOKEN_H

#include "base/buf.h"
#include "store/session.h"
#include "transport/serializer.h"

/* Longest token that is looked at, in characters (1,000 slots and more). */
#define PLX_LP_TOKEN_MAX 16384

enum plx_lp_state {
    PLX_LP_STATE_NONE, /* as the slot's record says */
    PLX_LP_STATE_DUE,  /* the diff that it replaces was passed: it must hold up to `state_at` */
    PLX_LP_STATE_SENT  /* it held everything up to `state_at` */
};

typedef struct plx_lp_mark {
    uint32_t slot;
    uint64_t offset;
    enum plx_lp_state state;
    uint64_t state_at; /* not below offset once it was read from a token */
} plx_lp_mark;

/* Where the client stood in a topic whose slot has ended, when events had been faster than the news
 * of the end: the next slot of that topic may begin before, and is not to deliver them again. The
 * topic is told by its life: plx_lp_life of its epoch. */
typedef struct plx_lp_past {
    uint32_t life;
    uint64_t offset;
} plx_lp_past;

/* The newest ones; more would need as many leaves without a join behind them. */
#define PLX_LP_PAST_MAX 8

typedef struct plx_lp_cursor {
    char sid[PLX_SID_LEN + 1];
    enum plx_vsn vsn;
    uint64_t q;         /* highest queue entry received */
    plx_lp_mark *marks; /* owned; ascending slots */
    size_t mark_count;
    plx_lp_past past[PLX_LP_PAST_MAX]; /* oldest first */
    size_t past_count;
} plx_lp_cursor;

/* Frees the marks. */
void plx_lp_cursor_fini(plx_lp_cursor *c);

/* The offset that the cursor has for a slot, or `start` when it lists none. */
uint64_t plx_lp_cursor_offset(const plx_lp_cursor *c, uint32_t slot, uint64_t start);

/* What a topic's life is called here: its epoch, in 32 bits. */
uint32_t plx_lp_life(const char *epoch);
/* The offset that is kept for a life that ended, or 0. */
uint64_t plx_lp_cursor_past(const plx_lp_cursor *c, uint32_t life);
/* Keeps an offset for a life; offset 0 forgets it. */
void plx_lp_cursor_keep(plx_lp_cursor *c, uint32_t life, uint64_t offset);
/* The mark of a slot, or NULL. */
const plx_lp_mark *plx_lp_cursor_mark(const plx_lp_cursor *c, uint32_t slot);

/* Appends the token. 0 or PLX_E_TOOBIG. */
int plx_lp_token_make(plx_slice secret, plx_slice mount, const plx_lp_cursor *c, plx_buf *out);

/* Whether the text has the outer form of a token, genuine or not (version, alphabet, length). */
bool plx_lp_token_form(plx_slice text);

/* Checks and reads. previous: the secret before a rotation, or empty. PLX_E_INVALID: not of our
 * form; PLX_E_DENIED: forged, of another mount or secret. On success *out is owned. */
int plx_lp_token_read(plx_slice text, plx_slice secret, plx_slice previous, plx_slice mount,
                      plx_lp_cursor *out);

#endif
