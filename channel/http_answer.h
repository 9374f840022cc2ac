/* What an application answers to a question of backend "http": reading it. Bytes in, plain data
 * out; whether the verbs are possible here and now, and doing them, is http_act's.
 *
 *     join:  {"status":"ok"|"error", "response":{...}, VERBS}
 *     push:  {"reply":{"status":"ok"|"error", "response":{...}}, VERBS}    no "reply": no reply
 *     leave: {VERBS}
 *
 *     VERBS, each optional:
 *     "assigns":{...}
 *     "presence":{"track":{"key":"42","meta":{...}}} | {"update":{...}} | {"untrack":{"key":"42"}}
 *     "push":[{"event","payload"}]
 *     "broadcast":[{"event","payload","topic"?}]
 *     "broadcast_from":[{"event","payload"}]
 *     "stop":true
 *
 * In the place of a payload {"payload_base64":"..."} is a V2 binary message, and so is
 * {"response_base64":"..."} in a push's reply. "response" may be left out ({}), a payload may not.
 * Anything of another type than this makes the whole answer wrong, but for [] in the place of an
 * object whose members are the application's, as PHP writes an empty array. Members that are not
 * known are passed over: a later Pollux may know them (http_answer.unknown).
 */
#ifndef PLX_CHANNEL_HTTP_ANSWER_H
#define PLX_CHANNEL_HTTP_ANSWER_H

#include "base/buf.h"
#include "channel/backend.h"

/* Messages in one answer, of all kinds together. */
#define PLX_HTTP_MESSAGES_MAX 1000

enum plx_http_question { PLX_HTTP_JOIN, PLX_HTTP_PUSH, PLX_HTTP_LEAVE };

enum plx_presence_verb {
    PLX_PRESENCE_NONE,
    PLX_PRESENCE_TRACK,
    PLX_PRESENCE_UPDATE,
    PLX_PRESENCE_UNTRACK
};

typedef struct plx_http_message {
    plx_slice topic; /* plain text; empty: the channel's own */
    plx_slice event; /* plain text */
    plx_payload payload;
} plx_http_message;

/* Slices point into the answer's text, or into `text`. */
typedef struct plx_http_answer {
    bool replies; /* a join's: always */
    bool failed;  /* status "error" */
    plx_payload response;
    plx_slice assigns; /* JSON object to merge; empty: none */
    enum plx_presence_verb presence;
    plx_slice key, meta;        /* plain text; JSON object */
    plx_http_message *messages; /* pushes, then broadcasts, then those "from" */
    size_t push_count, broadcast_count, from_count;
    bool stop;
    plx_slice unknown; /* the name of a member that is not known, with its quotes; empty: none */
    plx_buf text;      /* unquoted names, decoded binaries */
} plx_http_answer;

/* Reads an answer: the text of a valid JSON object, or nothing. 0 (then plx_http_answer_fini), or
 * PLX_E_INVALID and what is wrong with it in *why (static text). */
int plx_http_answer_read(plx_slice json, enum plx_http_question question, plx_http_answer *out,
                         const char **why);
void plx_http_answer_fini(plx_http_answer *a);

/* Merges `changes` into `assigns` (JSON objects): a member that is null is removed. Appends the
 * result to out. 0, or PLX_E_TOOBIG when out's bound does not leave room (then what it holds means
 * nothing). */
int plx_http_assigns_merge(plx_slice assigns, plx_slice changes, plx_buf *out);

#endif
