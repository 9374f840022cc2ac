/* Requests as FastCGI records, gathered. */
#ifndef PLX_TESTS_FCGI_BYTES_H
#define PLX_TESTS_FCGI_BYTES_H

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

#endif
