/* libfcgi reads what was gathered and writes what is answered. */
#include "fcgi_bytes.h"

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
