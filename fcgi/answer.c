/* CGI answers. */
#include "fcgi/answer.h"

struct status {
    unsigned code;
    const char *phrase;
};

/* RFC 9110 15; the phrase is for people who read traffic, so the list may be short. */
static const struct status statuses[] = {
    {200, "OK"},
    {204, "No Content"},
    {207, "Multi-Status"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {409, "Conflict"},
    {410, "Gone"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

static const char *phrase_of(unsigned code)
{
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (statuses[i].code == code)
            return statuses[i].phrase;
    return "Unknown";
}

void plx_answer_head(const plx_http_response *response, plx_buf *to)
{
    plx_buf_printf(to, "Status: %u %s\r\n", response->status, phrase_of(response->status));
    if (response->content_type != NULL)
        plx_buf_printf(to, "content-type: %s\r\n", response->content_type);
    plx_buf_add(to, response->headers);
    if (response->status != 204 && response->status != 304)
        plx_buf_printf(to, "content-length: %zu\r\n", response->body.len);
    plx_buf_str(to, "\r\n");
}

/* ---- errors ---- */

/* told: the status that phoenix.js reads, which throws on those it does not know. */
#define ERROR(code, told, name, message, hint)                                                     \
    {                                                                                              \
        .status = code, .content_type = "application/json; charset=utf-8",                         \
        .headers = PLX_LIT("cache-control: no-store\r\naccess-control-allow-origin: *\r\n"),       \
        .body = PLX_LIT("{\"status\":" #told ",\"error\":{\"code\":\"" name                        \
                        "\",\"message\":\"" message "\",\"hint\":\"" hint "\"}}"),                 \
    }

static const plx_http_response errors[] = {
    ERROR(500, 500, "internal", "the server failed", "Its log says why."),
    ERROR(400, 400, "bad_request", "the request is malformed or incomplete",
          "Compare what was sent with its Content-Length."),
    ERROR(404, 404, "not_found", "nothing is served at this address",
          "Compare it with the socket paths and api.path of the configuration."),
    ERROR(413, 413, "too_large", "the request body is larger than max_body_bytes",
          "Send less at once, or raise max_body_bytes."),
    ERROR(431, 431, "headers_too_large", "the request's headers are too large",
          "Send fewer cookies and a shorter query."),
    ERROR(503, 500, "unavailable", "the server can't answer now", "Try again in a moment."),
};

const plx_http_response *plx_answer_error(unsigned status)
{
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (errors[i].status == status)
            return &errors[i];
    return &errors[0];
}
