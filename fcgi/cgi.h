/* Plain CGI (RFC 3875): one request from the environment and standard input, then exit.
 *
 * The same handlers as in a FastCGI worker answer it; a poll keeps the process for as long as
 * its window. All state is in Redis, so a site that can only run CGI programs works, at the
 * price of a process and a connection to Redis for every request.
 */
#ifndef PLX_FCGI_CGI_H
#define PLX_FCGI_CGI_H

#include "base/buf.h"

/* Serves the request on descriptors 0 and 1. Returns the exit status: 0 when it was answered or the
 * client went away, 1 when the answer is that Pollux itself failed. */
int plx_cgi_serve(const char *config_path);

/* Whether this process's arguments may come from the query: a web server hands a query without '='
 * to a CGI program as its arguments (RFC 3875 4.4), so anybody could choose them. query: the
 * variable QUERY_STRING, may be NULL. */
bool plx_cgi_foreign_arguments(const char *query);

/* Reads a body of CONTENT_LENGTH (length: the variable, may be NULL; chunked: without it, read to
 * the end) from fd, waiting at most stall_ms for each piece. Returns 0, or the HTTP status to
 * answer: 400 (no number, cut off, stalled), 413 (more than max, which was read and dropped). */
unsigned plx_cgi_read_body(int fd, const char *length, bool chunked, size_t max, int stall_ms,
                           plx_buf *body);

#endif
