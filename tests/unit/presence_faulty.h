/* What the tests of presence that fails share. */
#ifndef PLX_TESTS_PRESENCE_FAULTY_H
#define PLX_TESTS_PRESENCE_FAULTY_H

#include "presence_fixture.h"

static follower f;

static int setup(void **state)
{
    (void)state;
    redis_start(&r);
    a = store_up(&r);
    b = store_up(&r);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    plx_store_close(a);
    plx_store_close(b);
    redis_stop(&r);
    return 0;
}

#endif
