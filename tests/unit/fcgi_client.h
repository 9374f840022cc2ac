/* A small FastCGI web server's side for unit tests: builds requests, takes answers apart. */
#ifndef PLX_TESTS_FCGI_CLIENT_H
#define PLX_TESTS_FCGI_CLIENT_H

#include "base/buf.h"
#include "fcgi/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNUSED __attribute__((unused))

static UNUSED void fc_begin(plx_buf *to, unsigned id, unsigned role, unsigned flags)
{
    char body[8] = {(char)(role >> 8), (char)role, (char)flags};

    plx_record_head(to, FCGI_BEGIN_REQUEST, id, sizeof body);
    plx_buf_append(to, body, sizeof body);
}

static UNUSED void fc_length(plx_buf *to, size_t n)
{
    if (n >= 128) {
        plx_buf_byte(to, (unsigned char)(0x80 | n >> 24));
        plx_buf_byte(to, (unsigned char)(n >> 16));
        plx_buf_byte(to, (unsigned char)(n >> 8));
    }
    plx_buf_byte(to, (unsigned char)n);
}

static UNUSED void fc_pair(plx_buf *to, const char *name, const char *value)
{
    fc_length(to, strlen(name));
    fc_length(to, strlen(value));
    plx_buf_str(to, name);
    plx_buf_str(to, value);
}

/* A record with padding. */
static UNUSED void fc_record(plx_buf *to, unsigned type, unsigned id, plx_slice content,
                             unsigned padding)
{
    static const char zeros[255];
    size_t at = to->len;

    plx_record_head(to, type, id, content.len);
    to->data[at + 6] = (char)padding;
    plx_buf_add(to, content);
    plx_buf_append(to, zeros, padding);
}

/* Content in records of at most `piece` bytes, and the empty one that ends it. */
static UNUSED void fc_stream(plx_buf *to, unsigned type, unsigned id, plx_slice content,
                             size_t piece)
{
    while (content.len > 0) {
        size_t n = content.len < piece ? content.len : piece;
        fc_record(to, type, id, plx_slice_make(content.data, n), 0);
        content = plx_slice_make(content.data + n, content.len - n);
    }
    fc_record(to, type, id, content, 0);
}

/* A whole request: method, path and a body with its length. */
static UNUSED void fc_request(plx_buf *to, unsigned id, bool keep, const char *method,
                              const char *uri, plx_slice body)
{
    plx_buf params;
    char length[24];

    plx_buf_init(&params, 0);
    snprintf(length, sizeof length, "%zu", body.len);
    fc_pair(&params, "REQUEST_METHOD", method);
    fc_pair(&params, "REQUEST_URI", uri);
    fc_pair(&params, "REMOTE_ADDR", "192.0.2.7");
    if (body.len > 0)
        fc_pair(&params, "CONTENT_LENGTH", length);
    fc_begin(to, id, FCGI_RESPONDER, keep ? FCGI_KEEP_CONN : 0);
    fc_stream(to, FCGI_PARAMS, id, plx_buf_slice(&params), 65528);
    fc_stream(to, FCGI_STDIN, id, body, 65528);
    plx_buf_fini(&params);
}

/* What came back for one request. */
typedef struct fc_answer {
    plx_buf out;     /* STDOUT content */
    bool closed_out; /* STDOUT's empty record was seen */
    bool ended;
    unsigned id, protocol_status, app_status;
} fc_answer;

/* Takes records off the front of bytes up to FCGI_END_REQUEST; true once that was seen. Skips
 * management records. */
static UNUSED bool fc_take(plx_buf *bytes, fc_answer *a)
{
    plx_record r;

    while (!a->ended && plx_record_parse(plx_buf_slice(bytes), &r) == 0) {
        const unsigned char *c = (const unsigned char *)r.content.data;
        if (r.id != 0)
            a->id = r.id;
        if (r.type == FCGI_STDOUT && r.content.len == 0)
            a->closed_out = true;
        else if (r.type == FCGI_STDOUT)
            plx_buf_add(&a->out, r.content);
        if (r.type == FCGI_END_REQUEST) {
            a->ended = true;
            a->app_status =
                (unsigned)c[0] << 24 | (unsigned)c[1] << 16 | (unsigned)c[2] << 8 | c[3];
            a->protocol_status = c[4];
        }
        bytes->len -= r.total;
        memmove(bytes->data, bytes->data + r.total, bytes->len);
    }
    return a->ended;
}

static UNUSED void fc_answer_init(fc_answer *a)
{
    memset(a, 0, sizeof *a);
    plx_buf_init(&a->out, 0);
}

static UNUSED void fc_answer_fini(fc_answer *a)
{
    plx_buf_fini(&a->out);
}

/* The body behind the CGI head, or NULL. */
static UNUSED const char *fc_body(fc_answer *a)
{
    const char *text = plx_buf_cstr(&a->out);
    const char *end = strstr(text, "\r\n\r\n");

    return end ? end + 4 : NULL;
}

static UNUSED unsigned fc_status(fc_answer *a)
{
    const char *text = plx_buf_cstr(&a->out);

    return strncmp(text, "Status: ", 8) == 0 ? (unsigned)atoi(text + 8) : 0;
}

#endif
