/* The bodies and headers of long-poll answers, in one place.
 *
 * phoenix.js ignores HTTP statuses and reads `status` in the body; every answer
 * that a client is to read is HTTP 200. Overload is HTTP 503 with body status 500,
 * on which every client reconnects with back-off.
 */
#include "transport/lp_internal.h"

#define JSON_TYPE "application/json; charset=utf-8"
/* Plug's default for answers that carry no data. */
#define NO_CACHE "cache-control: max-age=0, private, must-revalidate\r\n"

static const plx_slice data_headers =
    PLX_LIT("cache-control: no-store\r\naccess-control-allow-origin: *\r\n");

static void respond_json(plx_http_request *r, unsigned http_status, plx_slice body)
{
    plx_http_response out = {
        .status = http_status, .content_type = JSON_TYPE, .headers = data_headers, .body = body};
    r->respond(r, &out);
}

void plx_lp_answer_status(plx_http_request *r, unsigned status)
{
    plx_buf body;
    plx_buf_init(&body, 0);
    plx_buf_printf(&body, "{\"status\":%u}", status);
    respond_json(r, 200, plx_buf_slice(&body));
    plx_buf_fini(&body);
}

void plx_lp_answer_overload(plx_http_request *r)
{
    static const plx_slice body = PLX_LIT("{\"status\":500}");
    plx_http_response out = {
        .status = 503,
        .content_type = JSON_TYPE,
        .headers = PLX_LIT("cache-control: no-store\r\naccess-control-allow-origin: *\r\n"
                           "retry-after: 1\r\n"),
        .body = body,
    };
    r->respond(r, &out);
}

void plx_lp_answer_open(plx_http_request *r, plx_slice token)
{
    plx_lp_answer_poll(r, 410, token, plx_slice_make(NULL, 0));
}

void plx_lp_answer_poll(plx_http_request *r, unsigned status, plx_slice token, plx_slice messages)
{
    plx_buf body;
    plx_buf_init(&body, 0);
    plx_buf_printf(&body, "{\"status\":%u,\"token\":\"", status);
    plx_buf_add(&body, token);
    plx_buf_str(&body, "\",\"messages\":[");
    plx_buf_add(&body, messages);
    plx_buf_str(&body, "]}");
    respond_json(r, 200, plx_buf_slice(&body));
    plx_buf_fini(&body);
}

void plx_lp_answer_preflight(plx_http_request *r)
{
    plx_slice asked = {NULL, 0};
    plx_buf headers;
    plx_buf_init(&headers, 16384);
    plx_buf_str(&headers, NO_CACHE "access-control-allow-origin: *\r\n"
                                   "access-control-allow-methods: get, post, options\r\n"
                                   "access-control-max-age: 3600\r\n"
                                   "access-control-allow-headers: ");
    if (r->header(r, "access-control-request-headers", &asked) &&
        memchr(asked.data, '\r', asked.len) == NULL && memchr(asked.data, '\n', asked.len) == NULL)
        plx_buf_add(&headers, asked);
    plx_buf_str(&headers, "\r\n");
    plx_http_response out = {.status = 200, .headers = plx_buf_slice(&headers)};
    r->respond(r, &out);
    plx_buf_fini(&headers);
}

void plx_lp_answer_method(plx_http_request *r)
{
    plx_http_response out = {
        .status = 400,
        .headers = PLX_LIT(NO_CACHE "access-control-allow-origin: *\r\n"),
    };
    r->respond(r, &out);
}
