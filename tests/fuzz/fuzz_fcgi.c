/* Fuzzing what a web server sends over FastCGI. What must hold:
 * - cut into pieces anywhere, the same bytes make the same requests, events and replies;
 * - what is held stays within its bounds, and nothing is held between requests;
 * - libfcgi reads every request that the intake lets through, and with it the whole body;
 * - whatever the parameters are, they become a request with a method and a path, or are refused.
 * The first byte says how long the pieces are; the rest is the stream.
 */
#include "base/error.h"
#include "fcgi/codec.h"
#include "fcgi/intake.h"
#include "fcgi/request.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX 3000
#define HELD_MAX (PLX_INTAKE_OVERHEAD * (BODY_MAX + PLX_INTAKE_PARAMS_MAX) + 2 * PLX_RECORD_MAX)

static plx_codec *codec;

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void on_request(void *arg, char *const *params, plx_slice body)
{
    static const plx_config config;
    plx_request r;
    plx_slice value;

    *(bool *)arg = true;
    must(body.len <= BODY_MAX);
    if (plx_request_load(&r, params, body) == 0) {
        must(r.http.method.len > 0 && r.http.path.len > 0 && r.http.path.data[0] == '/');
        must(plx_slice_eq(r.http.body, body));
        r.http.header(&r.http, "x-phoenix-longpoll-token", &value);
        plx_request_trust(&r, &config);
        must(r.http.remote_ip.len > 0);
    }
    plx_request_fini(&r);
}

static void check_request(plx_intake *in, plx_buf *trace)
{
    plx_buf records, out;
    bool taken = false;
    size_t body = in->body;

    plx_buf_init(&records, 0);
    plx_buf_init(&out, 0);
    plx_intake_take(in, &records);
    must(plx_codec_decode(codec, plx_buf_slice(&records), body, on_request, &taken) == 0);
    must(taken);
    must(plx_codec_encode(codec, in->id, plx_slice_of("Status: 200 OK\r\n\r\n"),
                          plx_buf_slice(&records), &out) == 0);
    plx_buf_add(trace, plx_buf_slice(&records));
    plx_buf_fini(&records);
    plx_buf_fini(&out);
}

/* Works through what was fed; false: the connection is over. An abort ends a request that is held
 * until the next bytes come: hold says whether requests are. */
static bool drive(plx_intake *in, plx_buf *replies, plx_buf *trace)
{
    for (;;) {
        enum plx_intake_event event = plx_intake_next(in, replies);
        must(plx_intake_held(in) <= HELD_MAX);
        if (event == PLX_INTAKE_MORE)
            return true;
        plx_buf_byte(trace, (unsigned char)('0' + event));
        if (event == PLX_INTAKE_CLOSE || event == PLX_INTAKE_BROKEN)
            return false;
        if (event == PLX_INTAKE_REQUEST)
            check_request(in, trace);
        if (event == PLX_INTAKE_REFUSED)
            must(in->refused == 400 || in->refused == 413 || in->refused == 431);
        plx_intake_done(in);
    }
}

static void run(plx_slice stream, size_t piece, plx_buf *trace)
{
    plx_intake in;
    plx_buf replies;
    bool open = true;

    plx_intake_init(&in, BODY_MAX);
    plx_buf_init(&replies, 0);
    while (open && stream.len > 0) {
        size_t n = stream.len < piece ? stream.len : piece;
        plx_intake_feed(&in, stream.data, n);
        stream = plx_slice_make(stream.data + n, stream.len - n);
        open = drive(&in, &replies, trace);
    }
    if (open && in.state == PLX_INTAKE_IDLE && !plx_intake_partial(&in))
        must(in.bytes.data == NULL);
    plx_buf_byte(trace, '|');
    plx_buf_add(trace, plx_buf_slice(&replies));
    plx_intake_fini(&in);
    plx_buf_fini(&replies);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    plx_buf whole, cut;

    if (size < 1)
        return 0;
    if (codec == NULL) {
        must(plx_codec_library() == 0);
        codec = plx_codec_new();
        must(codec != NULL);
    }
    plx_buf_init(&whole, 0);
    plx_buf_init(&cut, 0);
    run(plx_slice_make(data + 1, size - 1), SIZE_MAX, &whole);
    run(plx_slice_make(data + 1, size - 1), data[0] % 64 + 1u, &cut);
    must(plx_slice_eq(plx_buf_slice(&whole), plx_buf_slice(&cut)));
    plx_buf_fini(&whole);
    plx_buf_fini(&cut);
    return 0;
}
