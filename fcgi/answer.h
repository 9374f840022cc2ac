/* Answers as CGI writes them (RFC 3875 6): "Status: 200 OK", headers, an empty line, the body. */
#ifndef PLX_FCGI_ANSWER_H
#define PLX_FCGI_ANSWER_H

#include "transport/http.h"

/* Appends everything before the body. content-length is always there, but for statuses that can't
 * have content (204, 304). */
void plx_answer_head(const plx_http_response *response, plx_buf *to);

/* An answer that says what went wrong, for requests that no handler gets to see; static storage.
 * Its body has `status` as phoenix.js reads it and `error` as the API gives it. status: 400, 404,
 * 413, 431, 500 or 503; any other is told as 500. */
const plx_http_response *plx_answer_error(unsigned status);

#endif
