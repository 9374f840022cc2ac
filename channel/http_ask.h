/* The documents that backend "http" sends. */
#ifndef PLX_CHANNEL_HTTP_ASK_H
#define PLX_CHANNEL_HTTP_ASK_H

#include "base/buf.h"
#include "channel/backend.h"
#include "channel/http_answer.h"
#include "channel/message.h"

typedef struct plx_http_ask {
    enum plx_http_question question;
    const plx_channel *channel;
    plx_slice message_id;
    plx_payload payload;        /* JOIN, PUSH */
    plx_slice event;            /* PUSH */
    plx_term ref;               /* PUSH */
    enum plx_end_reason reason; /* LEAVE */
} plx_http_ask;

/* Appends the document:
 *
 *     {"hook":"join","topic":T,"message_id":M,"payload":{...},"socket":S}
 *     {"hook":"push","topic":T,"message_id":M,"event":E,"ref":R,"payload":{...},"socket":S}
 *     {"hook":"leave","topic":T,"message_id":M,"reason":"left"|"closed"|"expired"|"crashed",...}
 *     S: {"id","session","transport","claims":{},"params":{},"assigns":{}}      id: null without
 * one
 *
 * A V2 binary message has "payload_base64" in the place of "payload". The payload of a client is
 * passed on as it came, whatever JSON it is; a topic or event that is not UTF-8 (it may come in a
 * binary frame) has U+FFFD for its wrong bytes. */
void plx_http_ask_write(const plx_http_ask *ask, plx_buf *out);

#endif
