/* What a POST's body holds: one message, or with ndjson one message a line. */
#ifndef PLX_TRANSPORT_LP_BODY_H
#define PLX_TRANSPORT_LP_BODY_H

#include "base/buf.h"
#include "transport/serializer.h"

/* Whether a content-type is application/x-ndjson, with parameters or without. */
bool plx_lp_body_is_ndjson(plx_slice content_type);

/* Walks the messages of a body and decodes each. Scratch memory lives until the walk ends. */
typedef struct plx_lp_body {
    enum plx_vsn vsn;
    bool ndjson;
    plx_slice rest;  /* what was not looked at yet; data NULL at the end */
    plx_slice line;  /* the current message's text */
    plx_buf bytes;   /* a base64 line's bytes */
    plx_buf scratch; /* the decoder's */
} plx_lp_body;

/* Borrows body until _fini. */
void plx_lp_body_init(plx_lp_body *b, enum plx_vsn vsn, bool ndjson, plx_slice body);
void plx_lp_body_fini(plx_lp_body *b);

/* The next message: 1 and *out (valid until the next call), 0 at the end, PLX_E_INVALID for a
 * malformed one. Blank lines are passed over; lines end with \n or \r\n. A line that begins with
 * '[' (V1: '{') is text, any other is base64 of a binary message. */
int plx_lp_body_next(plx_lp_body *b, plx_message *out);

/* How much of a body may be put into the inbox: the bytes up to the first malformed message. */
typedef struct plx_lp_body_check {
    size_t usable;   /* bytes */
    size_t messages; /* well-formed ones in them */
    bool malformed;  /* another follows that is not */
    bool all_refs;   /* every one carries a ref: a repetition can be told */
} plx_lp_body_check;
/* Walks a whole body. */
void plx_lp_body_judge(enum plx_vsn vsn, bool ndjson, plx_slice body, plx_lp_body_check *out);

#endif
