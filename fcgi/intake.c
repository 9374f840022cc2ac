/* Gathering requests. The records are kept as they came, but for their padding: libfcgi reads them
 * later (codec.h), so this file decides only where a request ends and whether it may be.
 *
 * What is dropped between two kept records leaves a gap: [staged, next). It is
 * closed once all bytes were looked at, not for each record, or a stream of empty
 * records would move the same bytes thousands of times.
 */
#include "fcgi/intake.h"
#include "base/error.h"

#include <stddef.h>
#include <string.h>

/* An event that means "go on with the next record". */
#define NOTHING ((enum plx_intake_event) - 1)

void plx_intake_init(plx_intake *in, size_t max_body)
{
    *in = (plx_intake){.max_body = max_body};
    plx_buf_init(&in->bytes, 0);
}

void plx_intake_fini(plx_intake *in)
{
    plx_buf_fini(&in->bytes);
}

void plx_intake_feed(plx_intake *in, const char *bytes, size_t len)
{
    plx_buf_append(&in->bytes, bytes, len);
}

static void close_gap(plx_intake *in)
{
    size_t rest = in->bytes.len - in->next;

    if (in->staged + rest == 0) {
        plx_buf_fini(&in->bytes);
    } else if (in->next > in->staged) {
        memmove(in->bytes.data + in->staged, in->bytes.data + in->next, rest);
        in->bytes.len = in->staged + rest;
    }
    in->next = in->staged;
}

/* Without its padding: libfcgi forgets to skip that of BEGIN and of the parameters' empty last
 * record, and would take it for the next record. */
static void keep(plx_intake *in, const plx_record *r)
{
    size_t len = FCGI_HEADER_LEN + r->content.len;

    if (in->next > in->staged)
        memmove(in->bytes.data + in->staged, in->bytes.data + in->next, len);
    in->bytes.data[in->staged + offsetof(FCGI_Header, paddingLength)] = 0;
    in->staged += len;
}

/* From now on this request's records are dropped. */
static void refuse(plx_intake *in, unsigned status)
{
    if (in->refused == 0)
        in->refused = status;
    in->staged = 0;
}

static void reset(plx_intake *in)
{
    in->state = PLX_INTAKE_IDLE;
    in->id = in->refused = 0;
    in->params = in->body = in->staged = 0;
    in->waiting = false;
    in->pairs = (plx_record_pairs){0};
}

/* Ends a request that never became one. */
static enum plx_intake_event end_early(plx_buf *replies, unsigned id, bool stay,
                                       unsigned protocol_status)
{
    plx_record_end(replies, id, protocol_status);
    return stay ? NOTHING : PLX_INTAKE_CLOSE;
}

/* 5.1 */
static enum plx_intake_event on_begin(plx_intake *in, const plx_record *r, plx_buf *replies)
{
    const unsigned char *body = (const unsigned char *)r->content.data;

    if (r->content.len != sizeof(FCGI_BeginRequestBody))
        return PLX_INTAKE_BROKEN;
    if (in->state == PLX_INTAKE_BUSY && r->id == in->id) {
        in->waiting = true;
        return PLX_INTAKE_MORE;
    }
    if (in->state != PLX_INTAKE_IDLE) {
        if (r->id == in->id)
            return PLX_INTAKE_BROKEN;
        plx_record_end(replies, r->id, FCGI_CANT_MPX_CONN);
        return NOTHING;
    }
    bool stay = body[2] & FCGI_KEEP_CONN;
    if ((body[0] << 8 | body[1]) != FCGI_RESPONDER)
        return end_early(replies, r->id, stay, FCGI_UNKNOWN_ROLE);
    in->state = PLX_INTAKE_PARAMS;
    in->id = r->id;
    in->keep = stay;
    keep(in, r);
    return NOTHING;
}

static enum plx_intake_event on_params(plx_intake *in, const plx_record *r)
{
    if (in->state != PLX_INTAKE_PARAMS)
        return PLX_INTAKE_BROKEN;
    in->params += r->content.len;
    if (in->params > PLX_INTAKE_PARAMS_MAX)
        refuse(in, 431);
    else if (plx_record_pairs_feed(&in->pairs, r->content, PLX_INTAKE_PARAMS_MAX) != 0)
        refuse(in, 400);
    if (r->content.len == 0) {
        in->state = PLX_INTAKE_STDIN;
        if (!plx_record_pairs_whole(&in->pairs))
            refuse(in, 400);
    }
    if (in->refused == 0)
        keep(in, r);
    return NOTHING;
}

static enum plx_intake_event on_stdin(plx_intake *in, const plx_record *r)
{
    if (in->state == PLX_INTAKE_BUSY)
        return NOTHING;
    if (in->state != PLX_INTAKE_STDIN)
        return PLX_INTAKE_BROKEN;
    in->body += r->content.len;
    if (in->body > in->max_body)
        refuse(in, 413);
    if (in->refused == 0)
        keep(in, r);
    if (r->content.len > 0)
        return NOTHING;
    in->state = PLX_INTAKE_BUSY;
    return in->refused == 0 ? PLX_INTAKE_REQUEST : PLX_INTAKE_REFUSED;
}

/* 5.4 */
static enum plx_intake_event on_abort(plx_intake *in, plx_buf *replies)
{
    unsigned id = in->id;

    if (in->state == PLX_INTAKE_BUSY)
        return PLX_INTAKE_ABORTED;
    reset(in);
    return end_early(replies, id, in->keep, FCGI_REQUEST_COMPLETE);
}

static enum plx_intake_event on_record(plx_intake *in, const plx_record *r, plx_buf *replies)
{
    if (r->id == FCGI_NULL_REQUEST_ID) {
        if (r->type == FCGI_BEGIN_REQUEST)
            return PLX_INTAKE_BROKEN;
        plx_record_manage(replies, r, PLX_INTAKE_MAX_CONNS);
        return NOTHING;
    }
    if (r->type == FCGI_BEGIN_REQUEST)
        return on_begin(in, r, replies);
    if (in->state == PLX_INTAKE_IDLE || r->id != in->id)
        return NOTHING; /* 3.3: of a request that is not active: ignored */
    switch (r->type) {
    case FCGI_PARAMS:
        return on_params(in, r);
    case FCGI_STDIN:
        return on_stdin(in, r);
    case FCGI_ABORT_REQUEST:
        return on_abort(in, replies);
    default:
        return NOTHING;
    }
}

/* Records of a few bytes each may make a small request large. */
static void check_overhead(plx_intake *in)
{
    if (in->staged > PLX_INTAKE_OVERHEAD * (in->max_body + PLX_INTAKE_PARAMS_MAX))
        refuse(in, in->state == PLX_INTAKE_PARAMS ? 431 : 413);
}

static int peek(const plx_intake *in, plx_record *r)
{
    if (in->waiting || in->next == in->bytes.len)
        return PLX_E_BUSY;
    return plx_record_parse(plx_slice_make(in->bytes.data + in->next, in->bytes.len - in->next), r);
}

enum plx_intake_event plx_intake_next(plx_intake *in, plx_buf *replies)
{
    enum plx_intake_event event = NOTHING;

    while (event == NOTHING) {
        plx_record r;
        int rc = peek(in, &r);
        if (rc == PLX_E_INVALID)
            return PLX_INTAKE_BROKEN;
        if (rc == PLX_E_BUSY) {
            close_gap(in);
            return PLX_INTAKE_MORE;
        }
        event = on_record(in, &r, replies);
        in->next += in->waiting ? 0 : r.total;
        if (in->state != PLX_INTAKE_BUSY)
            check_overhead(in);
    }
    if (event == PLX_INTAKE_MORE)
        close_gap(in);
    return event;
}

void plx_intake_take(plx_intake *in, plx_buf *out)
{
    if (in->next == in->bytes.len) {
        *out = in->bytes;
        out->len = in->staged;
        plx_buf_init(&in->bytes, 0);
        in->next = 0;
    } else {
        plx_buf_append(out, in->bytes.data, in->staged);
    }
    in->staged = 0;
}

void plx_intake_done(plx_intake *in)
{
    reset(in);
}
