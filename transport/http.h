/* An HTTP request as the long-poll transport and the API see it, whoever received it.
 *
 * The receiver (FastCGI, CGI; tests) fills it in and keeps it until it was
 * answered with plx_http_respond, or until it told the handler with `gone` that
 * the client is not there any more.
 */
#ifndef PLX_TRANSPORT_HTTP_H
#define PLX_TRANSPORT_HTTP_H

#include "base/buf.h"
#include "base/slice.h"

typedef struct plx_http_request plx_http_request;

typedef struct plx_http_response {
    unsigned status;
    const char *content_type; /* NULL: none */
    /* Further header lines, each "name: value\r\n". */
    plx_slice headers;
    plx_slice body;
} plx_http_response;

struct plx_http_request {
    plx_slice method; /* "GET" */
    plx_slice path;   /* as sent, without the query */
    plx_slice query;  /* without '?' */
    plx_slice body;   /* complete; bounded by the receiver */
    /* Value of a request header by its lower-case name; false: absent. */
    bool (*header)(const plx_http_request *r, const char *name, plx_slice *value);
    plx_slice remote_ip; /* after trusted_proxies; text */
    bool https;          /* the client's own connection, as far as a trusted proxy says */
    /* Answers; the request is then the receiver's again. Exactly once, unless gone was called. */
    void (*respond)(plx_http_request *r, const plx_http_response *response);
    /* Set by a handler that keeps the request: called once when the client went away; the handler
     * drops it and does not respond. */
    void (*gone)(plx_http_request *r);
    void *handler; /* the handler's */
};

#endif
