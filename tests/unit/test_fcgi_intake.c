/* Gathering requests, and libfcgi reading what was gathered and writing what is answered. */
#include "base/error.h"
#include "fcgi/codec.h"
#include "fcgi/intake.h"
#include "tests/unit/fcgi_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define MAX_BODY 1000

/* Feeds everything; the first event that is not MORE, or MORE. */
static enum plx_intake_event feed(plx_intake *in, const plx_buf *bytes, plx_buf *replies)
{
    plx_intake_feed(in, bytes->data, bytes->len);
    return plx_intake_next(in, replies);
}

struct fixture {
    plx_intake in;
    plx_buf bytes, replies, request;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    plx_intake_init(&f->in, MAX_BODY);
    plx_buf_init(&f->bytes, 0);
    plx_buf_init(&f->replies, 0);
    plx_buf_init(&f->request, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    plx_intake_fini(&f->in);
    plx_buf_fini(&f->bytes);
    plx_buf_fini(&f->replies);
    plx_buf_fini(&f->request);
    free(f);
    return 0;
}

static void assert_event(struct fixture *f, enum plx_intake_event want)
{
    assert_int_equal(feed(&f->in, &f->bytes, &f->replies), want);
    plx_buf_clear(&f->bytes);
}

static void assert_end_reply(struct fixture *f, unsigned id, unsigned protocol_status)
{
    fc_answer a;

    fc_answer_init(&a);
    assert_true(fc_take(&f->replies, &a));
    assert_int_equal(a.id, id);
    assert_int_equal(a.protocol_status, protocol_status);
    assert_int_equal(a.out.len, 0);
    fc_answer_fini(&a);
}

static void test_whole_request(void **state)
{
    struct fixture *f = *state;

    fc_request(&f->bytes, 1, true, "POST", "/a?b", plx_slice_of("body"));
    plx_buf copy = f->bytes;
    plx_buf_init(&f->bytes, 0);
    assert_int_equal(feed(&f->in, &copy, &f->replies), PLX_INTAKE_REQUEST);
    assert_int_equal(plx_intake_next(&f->in, &f->replies), PLX_INTAKE_MORE);
    assert_int_equal(f->in.body, 4);
    assert_true(f->in.keep);
    plx_intake_take(&f->in, &f->request);
    assert_true(plx_slice_eq(plx_buf_slice(&f->request), plx_buf_slice(&copy)));
    assert_int_equal(plx_intake_held(&f->in), 0);
    assert_null(f->in.bytes.data);
    assert_int_equal(f->replies.len, 0);
    plx_buf_fini(&copy);
}

/* Two requests in a row, cut into two pieces at every place and into single bytes, give the same.
 */
static void run_two(plx_slice a, plx_slice b, size_t whole)
{
    plx_slice pieces[2] = {a, b};
    plx_intake in;
    plx_buf replies, request;
    unsigned requests = 0;
    size_t body = 0;

    plx_intake_init(&in, MAX_BODY);
    plx_buf_init(&replies, 0);
    for (int i = 0; i < 2; i++) {
        enum plx_intake_event e;
        plx_intake_feed(&in, pieces[i].data, pieces[i].len);
        while ((e = plx_intake_next(&in, &replies)) != PLX_INTAKE_MORE) {
            assert_int_equal(e, PLX_INTAKE_REQUEST);
            plx_buf_init(&request, 0);
            body += in.body;
            plx_intake_take(&in, &request);
            whole -= request.len;
            plx_intake_done(&in);
            plx_buf_fini(&request);
            requests++;
        }
    }
    assert_int_equal(requests, 2);
    assert_int_equal(body, 7);
    assert_int_equal(whole, 0);
    assert_null(in.bytes.data);
    plx_intake_fini(&in);
    plx_buf_fini(&replies);
}

static void test_split_anywhere(void **state)
{
    struct fixture *f = *state;

    fc_request(&f->bytes, 1, true, "POST", "/first", plx_slice_of("one"));
    fc_request(&f->bytes, 1, true, "POST", "/second", plx_slice_of("four"));
    for (size_t cut = 0; cut <= f->bytes.len; cut++)
        run_two(plx_slice_make(f->bytes.data, cut),
                plx_slice_make(f->bytes.data + cut, f->bytes.len - cut), f->bytes.len);
}

static void test_byte_by_byte_with_padding_and_foreign_records(void **state)
{
    struct fixture *f = *state;
    plx_buf params, want;
    enum plx_intake_event e = PLX_INTAKE_MORE;

    plx_buf_init(&params, 0);
    plx_buf_init(&want, 0);
    fc_pair(&params, "REQUEST_METHOD", "GET");
    fc_begin(&want, 9, FCGI_RESPONDER, 0);
    plx_buf_add(&f->bytes, plx_buf_slice(&want));
    fc_record(&f->bytes, FCGI_STDIN, 8, plx_slice_of("of nobody"), 1);
    fc_record(&f->bytes, FCGI_GET_VALUES, 0, plx_slice_of(""), 0);
    fc_record(&f->bytes, FCGI_PARAMS, 9, plx_buf_slice(&params), 200);
    fc_record(&want, FCGI_PARAMS, 9, plx_buf_slice(&params), 0);
    fc_record(&f->bytes, FCGI_DATA, 9, plx_slice_of("unasked"), 0);
    fc_record(&f->bytes, FCGI_PARAMS, 9, plx_slice_of(""), 7);
    fc_record(&want, FCGI_PARAMS, 9, plx_slice_of(""), 0);
    fc_begin(&f->bytes, 10, FCGI_RESPONDER, FCGI_KEEP_CONN);
    fc_record(&f->bytes, FCGI_STDIN, 9, plx_slice_of(""), 0);
    fc_record(&want, FCGI_STDIN, 9, plx_slice_of(""), 0);
    for (size_t i = 0; i < f->bytes.len; i++) {
        assert_int_equal(e, PLX_INTAKE_MORE);
        plx_intake_feed(&f->in, f->bytes.data + i, 1);
        e = plx_intake_next(&f->in, &f->replies);
    }
    assert_int_equal(e, PLX_INTAKE_REQUEST);
    plx_intake_take(&f->in, &f->request);
    assert_true(plx_slice_eq(plx_buf_slice(&f->request), plx_buf_slice(&want)));
    assert_false(f->in.keep);
    assert_end_reply(f, 10, FCGI_CANT_MPX_CONN); /* after the GET_VALUES_RESULT */
    plx_buf_fini(&params);
    plx_buf_fini(&want);
}

static void test_multiplexing_is_refused_while_busy(void **state)
{
    struct fixture *f = *state;

    fc_request(&f->bytes, 1, true, "GET", "/", plx_slice_of(""));
    fc_request(&f->bytes, 2, true, "POST", "/", plx_slice_of("more"));
    assert_event(f, PLX_INTAKE_REQUEST);
    assert_int_equal(plx_intake_next(&f->in, &f->replies), PLX_INTAKE_MORE);
    assert_end_reply(f, 2, FCGI_CANT_MPX_CONN);
    plx_intake_take(&f->in, &f->request);
    plx_intake_done(&f->in);
    fc_request(&f->bytes, 3, true, "GET", "/", plx_slice_of(""));
    assert_event(f, PLX_INTAKE_REQUEST);
}

static void test_next_request_of_the_same_id_waits(void **state)
{
    struct fixture *f = *state;

    fc_request(&f->bytes, 1, true, "GET", "/", plx_slice_of(""));
    fc_request(&f->bytes, 1, true, "POST", "/", plx_slice_of("second"));
    assert_event(f, PLX_INTAKE_REQUEST);
    assert_int_equal(plx_intake_next(&f->in, &f->replies), PLX_INTAKE_MORE);
    assert_true(f->in.waiting);
    fc_request(&f->bytes, 1, true, "POST", "/", plx_slice_of("and third"));
    assert_event(f, PLX_INTAKE_MORE);
    plx_intake_take(&f->in, &f->request);
    plx_intake_done(&f->in);
    assert_int_equal(plx_intake_next(&f->in, &f->replies), PLX_INTAKE_REQUEST);
    assert_int_equal(f->in.body, 6);
    plx_buf_fini(&f->request);
    plx_intake_take(&f->in, &f->request);
    plx_intake_done(&f->in);
    assert_int_equal(plx_intake_next(&f->in, &f->replies), PLX_INTAKE_REQUEST);
    assert_int_equal(f->in.body, 9);
    assert_int_equal(f->replies.len, 0);
}

static void test_second_begin_within_a_request_is_broken(void **state)
{
    struct fixture *f = *state;

    fc_begin(&f->bytes, 1, FCGI_RESPONDER, 0);
    fc_begin(&f->bytes, 1, FCGI_RESPONDER, 0);
    assert_event(f, PLX_INTAKE_BROKEN);
}

static void test_other_roles_are_refused(void **state)
{
    struct fixture *f = *state;

    fc_begin(&f->bytes, 4, FCGI_AUTHORIZER, FCGI_KEEP_CONN);
    assert_event(f, PLX_INTAKE_MORE);
    assert_end_reply(f, 4, FCGI_UNKNOWN_ROLE);
    fc_request(&f->bytes, 5, false, "GET", "/", plx_slice_of(""));
    assert_event(f, PLX_INTAKE_REQUEST);
    plx_intake_done(&f->in);
    fc_begin(&f->bytes, 6, 77, 0);
    assert_event(f, PLX_INTAKE_CLOSE);
    assert_end_reply(f, 6, FCGI_UNKNOWN_ROLE);
}

static void test_abort_in_the_middle(void **state)
{
    struct fixture *f = *state;

    fc_begin(&f->bytes, 1, FCGI_RESPONDER, FCGI_KEEP_CONN);
    fc_record(&f->bytes, FCGI_ABORT_REQUEST, 1, plx_slice_of(""), 0);
    assert_event(f, PLX_INTAKE_MORE);
    assert_end_reply(f, 1, FCGI_REQUEST_COMPLETE);
    assert_false(plx_intake_partial(&f->in));
    assert_int_equal(plx_intake_held(&f->in), 0);
    fc_begin(&f->bytes, 1, FCGI_RESPONDER, 0);
    fc_stream(&f->bytes, FCGI_PARAMS, 1, plx_slice_of(""), 10);
    fc_record(&f->bytes, FCGI_ABORT_REQUEST, 1, plx_slice_of(""), 0);
    assert_event(f, PLX_INTAKE_CLOSE);
    assert_end_reply(f, 1, FCGI_REQUEST_COMPLETE);
}

static void test_abort_while_busy(void **state)
{
    struct fixture *f = *state;

    fc_request(&f->bytes, 1, true, "GET", "/", plx_slice_of(""));
    assert_event(f, PLX_INTAKE_REQUEST);
    fc_record(&f->bytes, FCGI_ABORT_REQUEST, 2, plx_slice_of(""), 0);
    assert_event(f, PLX_INTAKE_MORE);
    fc_record(&f->bytes, FCGI_ABORT_REQUEST, 1, plx_slice_of(""), 0);
    assert_event(f, PLX_INTAKE_ABORTED);
}

static void test_body_bound(void **state)
{
    struct fixture *f = *state;
    char body[MAX_BODY + 1] = {0};

    fc_request(&f->bytes, 1, true, "POST", "/", plx_slice_make(body, MAX_BODY));
    assert_event(f, PLX_INTAKE_REQUEST);
    plx_intake_take(&f->in, &f->request);
    plx_intake_done(&f->in);

    fc_request(&f->bytes, 1, true, "POST", "/", plx_slice_make(body, MAX_BODY + 1));
    f->bytes.len -= FCGI_HEADER_LEN; /* all but the end */
    assert_event(f, PLX_INTAKE_MORE);
    assert_true(plx_intake_partial(&f->in));
    assert_int_equal(plx_intake_held(&f->in), 0); /* dropped already */
    for (int i = 0; i < 1000; i++) {              /* and however much follows */
        fc_record(&f->bytes, FCGI_STDIN, 1, plx_slice_make(body, MAX_BODY), 0);
        assert_event(f, PLX_INTAKE_MORE);
        assert_int_equal(plx_intake_held(&f->in), 0);
    }
    fc_record(&f->bytes, FCGI_STDIN, 1, plx_slice_of(""), 0);
    assert_event(f, PLX_INTAKE_REFUSED);
    assert_int_equal(f->in.refused, 413);
    plx_intake_done(&f->in);
    fc_request(&f->bytes, 1, true, "GET", "/", plx_slice_of(""));
    assert_event(f, PLX_INTAKE_REQUEST);
}

/* A body in records of one byte each takes nine times its length. */
static void test_overhead_bound(void **state)
{
    enum { MANY = 30000 };
    struct fixture *f = *state;
    size_t most = PLX_INTAKE_OVERHEAD * (MANY + PLX_INTAKE_PARAMS_MAX) + PLX_RECORD_MAX;

    plx_intake_init(&f->in, MANY);
    fc_begin(&f->bytes, 1, FCGI_RESPONDER, 0);
    fc_stream(&f->bytes, FCGI_PARAMS, 1, plx_slice_of(""), 10);
    assert_event(f, PLX_INTAKE_MORE);
    for (int i = 0; i < MANY - 1; i++) {
        fc_record(&f->bytes, FCGI_STDIN, 1, plx_slice_of("x"), 0);
        assert_event(f, PLX_INTAKE_MORE);
        assert_true(plx_intake_held(&f->in) <= most);
    }
    fc_record(&f->bytes, FCGI_STDIN, 1, plx_slice_of(""), 0);
    assert_event(f, PLX_INTAKE_REFUSED);
    assert_int_equal(f->in.refused, 413);
}

static void test_params_bound(void **state)
{
    static char value[60000];
    struct fixture *f = *state;
    plx_buf params;

    memset(value, 'v', sizeof value - 1);
    plx_buf_init(&params, 0);
    fc_pair(&params, "HTTP_A", value);
    fc_pair(&params, "HTTP_B", value);
    fc_begin(&f->bytes, 1, FCGI_RESPONDER, 0);
    fc_stream(&f->bytes, FCGI_PARAMS, 1, plx_buf_slice(&params), 30000);
    fc_stream(&f->bytes, FCGI_STDIN, 1, plx_slice_of(""), 10);
    assert_event(f, PLX_INTAKE_REFUSED);
    assert_int_equal(f->in.refused, 431);
    plx_buf_fini(&params);
}

static void refused_params(plx_slice params)
{
    plx_intake in;
    plx_buf bytes, replies;

    plx_intake_init(&in, MAX_BODY);
    plx_buf_init(&bytes, 0);
    plx_buf_init(&replies, 0);
    fc_begin(&bytes, 1, FCGI_RESPONDER, 0);
    fc_stream(&bytes, FCGI_PARAMS, 1, params, 3);
    fc_stream(&bytes, FCGI_STDIN, 1, plx_slice_of("body"), 10);
    assert_int_equal(feed(&in, &bytes, &replies), PLX_INTAKE_REFUSED);
    assert_int_equal(in.refused, 400);
    plx_intake_fini(&in);
    plx_buf_fini(&bytes);
    plx_buf_fini(&replies);
}

static void test_malformed_params(void **state)
{
    (void)state;
    refused_params(plx_slice_of("\x04\x02NAME1"));        /* ends within a value */
    refused_params(plx_slice_of("\x04"));                 /* within the lengths */
    refused_params(plx_slice_of("\x84\x01"));             /* within a long length */
    refused_params(plx_slice_of("\xff\xff\xff\xff\x01")); /* 2 GB are announced */
}

static void broken(plx_buf *bytes)
{
    plx_intake in;
    plx_buf replies;

    plx_intake_init(&in, MAX_BODY);
    plx_buf_init(&replies, 0);
    assert_int_equal(feed(&in, bytes, &replies), PLX_INTAKE_BROKEN);
    plx_intake_fini(&in);
    plx_buf_fini(&replies);
    plx_buf_clear(bytes);
}

static void test_broken_streams(void **state)
{
    struct fixture *f = *state;
    plx_buf *b = &f->bytes;

    plx_buf_str(b, "GET / HTTP/1.1\r\n\r\n");
    broken(b);
    fc_record(b, FCGI_BEGIN_REQUEST, 1, plx_slice_of("short"), 0);
    broken(b);
    fc_begin(b, 0, FCGI_RESPONDER, 0);
    broken(b);
    fc_begin(b, 1, FCGI_RESPONDER, 0); /* a body before the parameters' end */
    fc_record(b, FCGI_STDIN, 1, plx_slice_of("x"), 0);
    broken(b);
    fc_begin(b, 1, FCGI_RESPONDER, 0); /* parameters after their end */
    fc_stream(b, FCGI_PARAMS, 1, plx_slice_of(""), 1);
    fc_stream(b, FCGI_PARAMS, 1, plx_slice_of(""), 1);
    broken(b);
}

static void test_many_small_records_are_cheap(void **state)
{
    struct fixture *f = *state;

    fc_request(&f->bytes, 1, true, "GET", "/", plx_slice_of(""));
    assert_event(f, PLX_INTAKE_REQUEST);
    plx_intake_take(&f->in, &f->request);
    for (int i = 0; i < 200000; i++) /* 1.6 MB of nothing; quadratic work would take minutes */
        fc_record(&f->bytes, FCGI_STDIN, 1, plx_slice_of(""), 0);
    assert_event(f, PLX_INTAKE_MORE);
    assert_null(f->in.bytes.data);
}

/* ---- libfcgi ---- */

struct taken {
    plx_buf vars, body;
    unsigned times;
};

static void take(void *arg, char *const *params, plx_slice body)
{
    struct taken *t = arg;

    t->times++;
    for (; *params; params++) {
        plx_buf_str(&t->vars, *params);
        plx_buf_byte(&t->vars, '\n');
    }
    plx_buf_add(&t->body, body);
}

static void taken_init(struct taken *t)
{
    t->times = 0;
    plx_buf_init(&t->vars, 0);
    plx_buf_init(&t->body, 0);
}

static void taken_fini(struct taken *t)
{
    plx_buf_fini(&t->vars);
    plx_buf_fini(&t->body);
}

static void test_decode(void **state)
{
    static char big[300000];
    plx_codec *c = plx_codec_new();
    plx_buf records;
    (void)state;

    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 7);
    plx_buf_init(&records, 0);
    for (size_t len = 0; len <= sizeof big; len += 100000) {
        struct taken t;
        taken_init(&t);
        plx_buf_clear(&records);
        fc_request(&records, 700, false, "POST", "/x", plx_slice_make(big, len));
        assert_int_equal(plx_codec_decode(c, plx_buf_slice(&records), len, take, &t), 0);
        assert_int_equal(t.times, 1);
        assert_non_null(strstr(plx_buf_cstr(&t.vars), "REQUEST_METHOD=POST\n"));
        assert_non_null(strstr(plx_buf_cstr(&t.vars), "REQUEST_URI=/x\n"));
        assert_true(plx_slice_eq(plx_buf_slice(&t.body), plx_slice_make(big, len)));
        taken_fini(&t);
    }
    plx_buf_fini(&records);
    plx_codec_free(c);
}

/* libfcgi would read the padding of BEGIN and of the parameters' empty last record as another
 * record. */
static void test_padding_that_libfcgi_forgets(void **state)
{
    struct fixture *f = *state;
    plx_codec *c = plx_codec_new();
    plx_buf params;
    struct taken t;

    taken_init(&t);
    plx_buf_init(&params, 0);
    fc_pair(&params, "REQUEST_METHOD", "POST");
    fc_record(&f->bytes, FCGI_BEGIN_REQUEST, 1, plx_slice_make("\0\1\0\0\0\0\0\0", 8), 5);
    fc_record(&f->bytes, FCGI_PARAMS, 1, plx_buf_slice(&params), 255);
    fc_record(&f->bytes, FCGI_PARAMS, 1, plx_slice_of(""), 7);
    fc_record(&f->bytes, FCGI_STDIN, 1, plx_slice_of("body"), 4);
    fc_record(&f->bytes, FCGI_STDIN, 1, plx_slice_of(""), 9);
    assert_event(f, PLX_INTAKE_REQUEST);
    plx_intake_take(&f->in, &f->request);
    assert_int_equal(plx_codec_decode(c, plx_buf_slice(&f->request), 4, take, &t), 0);
    assert_true(plx_slice_is(plx_buf_slice(&t.body), "body"));
    taken_fini(&t);
    plx_buf_fini(&params);
    plx_codec_free(c);
}

/* Nothing that intake lets through looks like these, but a codec must not hang or die of them. */
static void test_decode_refuses_and_goes_on(void **state)
{
    plx_codec *c = plx_codec_new();
    plx_buf records;
    struct taken t;
    (void)state;

    taken_init(&t);
    plx_buf_init(&records, 0);
    fc_request(&records, 1, false, "POST", "/", plx_slice_of("four"));
    assert_int_equal(plx_codec_decode(c, plx_slice_of(""), 0, take, &t), PLX_E_INVALID);
    for (size_t n = 1; n < records.len; n++)
        assert_int_equal(plx_codec_decode(c, plx_slice_make(records.data, n), 4, take, &t),
                         PLX_E_INVALID);
    assert_int_equal(plx_codec_decode(c, plx_buf_slice(&records), 3, take, &t), PLX_E_INVALID);
    assert_int_equal(plx_codec_decode(c, plx_buf_slice(&records), 5, take, &t), PLX_E_INVALID);
    assert_int_equal(t.times, 0);
    assert_int_equal(plx_codec_decode(c, plx_buf_slice(&records), 4, take, &t), 0);
    assert_int_equal(t.times, 1);
    taken_fini(&t);
    plx_buf_fini(&records);
    plx_codec_free(c);
}

/* What an earlier request left in the file is never taken for the end of a later one. */
static void test_decode_sees_its_request_alone(void **state)
{
    plx_codec *c = plx_codec_new();
    plx_buf whole;
    struct taken t;
    (void)state;

    taken_init(&t);
    plx_buf_init(&whole, 0);
    fc_request(&whole, 1, false, "POST", "/", plx_slice_of("four"));
    for (size_t n = 0; n < whole.len; n++) {
        assert_int_equal(plx_codec_decode(c, plx_buf_slice(&whole), 4, take, &t), 0);
        assert_int_equal(t.times, n + 1);
        assert_int_equal(plx_codec_decode(c, plx_slice_make(whole.data, n), 4, take, &t),
                         PLX_E_INVALID);
        assert_int_equal(t.times, n + 1);
    }
    taken_fini(&t);
    plx_buf_fini(&whole);
    plx_codec_free(c);
}

static void test_encode(void **state)
{
    static const size_t sizes[] = {0,     1,       7,     8,    8100, 8183, 8184,  8185,
                                   70000, 1100000, 70000, 8185, 8184, 7,    16400, 0};
    char *body = malloc(1100000);
    plx_codec *c = plx_codec_new();
    (void)state;

    memset(body, 'b', 1100000);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        plx_slice head = plx_slice_of("Status: 200 OK\r\n\r\n");
        fc_answer a;
        plx_buf out;
        fc_answer_init(&a);
        plx_buf_init(&out, 0);
        plx_buf_str(&out, "");
        assert_int_equal(plx_codec_encode(c, 0xabcd, head, plx_slice_make(body, sizes[i]), &out),
                         0);
        assert_true(fc_take(&out, &a));
        assert_int_equal(out.len, 0); /* nothing behind the end */
        assert_true(a.closed_out);
        assert_int_equal(a.id, 0xabcd);
        assert_int_equal(a.protocol_status, FCGI_REQUEST_COMPLETE);
        assert_int_equal(a.app_status, 0);
        assert_int_equal(a.out.len, head.len + sizes[i]);
        assert_memory_equal(a.out.data, head.data, head.len);
        assert_memory_equal(a.out.data + head.len, body, sizes[i]);
        plx_buf_fini(&out);
        fc_answer_fini(&a);
    }
    free(body);
    plx_codec_free(c);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(test_whole_request),
        WITH(test_split_anywhere),
        WITH(test_byte_by_byte_with_padding_and_foreign_records),
        WITH(test_multiplexing_is_refused_while_busy),
        WITH(test_next_request_of_the_same_id_waits),
        WITH(test_second_begin_within_a_request_is_broken),
        WITH(test_other_roles_are_refused),
        WITH(test_abort_in_the_middle),
        WITH(test_abort_while_busy),
        WITH(test_body_bound),
        WITH(test_overhead_bound),
        WITH(test_params_bound),
        cmocka_unit_test(test_malformed_params),
        WITH(test_broken_streams),
        WITH(test_many_small_records_are_cheap),
        cmocka_unit_test(test_decode),
        WITH(test_padding_that_libfcgi_forgets),
        cmocka_unit_test(test_decode_refuses_and_goes_on),
        cmocka_unit_test(test_decode_sees_its_request_alone),
        cmocka_unit_test(test_encode),
    };
    if (plx_codec_library() != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
