/* Gathering requests out of records: whole, in pieces, in each other's way, too large, malformed.
 */
#include "fcgi_bytes.h"

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
    };
    if (plx_codec_library() != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
