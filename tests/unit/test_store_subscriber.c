/* Sharded pub/sub: confirmations, channels left and entered in quick succession, reconnects. */
#include "redis_fixture.h"

#include "store/subscriber.h"

static redis r;
static plx_store *s;

typedef struct listener {
    plx_subscription *subscription;
    unsigned confirmed, interrupted, messages;
    char last[32];
} listener;

static void on_confirmed(void *owner)
{
    ((listener *)owner)->confirmed++;
}

static void on_interrupted(void *owner)
{
    ((listener *)owner)->interrupted++;
}

static void on_message(void *owner, plx_slice payload)
{
    listener *l = owner;
    assert_true(l->confirmed > 0);
    l->messages++;
    snprintf(l->last, sizeof l->last, "%.*s", (int)payload.len, payload.data);
}

static const plx_subscription_ops ops = {on_confirmed, on_interrupted, on_message};

static void begin(listener *l, const char *channel)
{
    *l = (listener){0};
    l->subscription = plx_subscription_begin(s->subscriber, plx_slice_of(channel), &ops, l);
    assert_int_equal(l->confirmed, 0);
}

static void end(listener *l)
{
    plx_subscription_end(s->subscriber, l->subscription);
}

static int setup(void **state)
{
    (void)state;
    redis_start(&r);
    s = store_up(&r);
    WAIT(&r, redis_do(&r, "PUBSUB SHARDCHANNELS") == 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    plx_store_close(s);
    redis_stop(&r);
    return 0;
}

static void test_messages(void **state)
{
    (void)state;
    listener x, y;
    begin(&x, "one");
    begin(&y, "two");
    WAIT(&r, x.confirmed == 1 && y.confirmed == 1);
    redis_do(&r, "SPUBLISH one %b", "a\0b", (size_t)3);
    WAIT(&r, x.messages == 1);
    assert_memory_equal(x.last, "a", 2);
    assert_int_equal(y.messages, 0);
    end(&x);
    end(&y);
    WAIT(&r, redis_do(&r, "PUBSUB SHARDCHANNELS") == 2);
    WAIT(&r, plx_subscriber_count(s->subscriber) == 2);
}

/* Left and entered again before Redis could answer: only the last confirmation counts, because
 * there is a hole before it. */
static void test_left_and_entered_again(void **state)
{
    (void)state;
    listener x, y, z;
    kill(r.pid, SIGSTOP);
    begin(&x, "again");
    ev_run(r.loop, EVRUN_NOWAIT);
    ev_run(r.loop, EVRUN_NOWAIT);
    end(&x);
    begin(&y, "again");
    ev_run(r.loop, EVRUN_NOWAIT);
    end(&y);
    begin(&z, "again");
    kill(r.pid, SIGCONT);
    WAIT(&r, z.confirmed > 0);
    redis_idle(&r, 50);
    assert_int_equal(z.confirmed, 1);
    assert_int_equal(x.confirmed + y.confirmed, 0);
    redis_do(&r, "SPUBLISH again hello");
    WAIT(&r, z.messages == 1);
    assert_int_equal(x.messages + y.messages, 0);
    end(&z);
    WAIT(&r, plx_subscriber_count(s->subscriber) == 2);
}

static void test_many_channels_after_a_reconnect(void **state)
{
    (void)state;
    static listener x[1000];
    char channel[32];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(channel, sizeof channel, "many:%u", i);
        begin(&x[i], channel);
    }
    for (unsigned i = 0; i < 1000; i++)
        WAIT(&r, x[i].confirmed == 1);
    redis_do(&r, "CLIENT KILL TYPE pubsub");
    for (unsigned i = 0; i < 1000; i++) {
        WAIT(&r, x[i].confirmed == 2);
        assert_int_equal(x[i].interrupted, 1);
        snprintf(channel, sizeof channel, "many:%u", i);
        redis_do(&r, "SPUBLISH %s hello", channel);
    }
    for (unsigned i = 0; i < 1000; i++)
        WAIT(&r, x[i].messages == 1);
    /* Left while the connection is away: not entered again. */
    redis_do(&r, "CLIENT KILL TYPE pubsub");
    WAIT(&r, x[0].interrupted == 2);
    for (unsigned i = 0; i < 1000; i++)
        end(&x[i]);
    assert_int_equal(plx_subscriber_count(s->subscriber), 2);
    WAIT(&r, redis_do(&r, "PUBSUB SHARDCHANNELS") == 2);
}

/* A Redis that refuses: said clearly, tried again, never up. */
static void test_refused(void **state)
{
    (void)state;
    redis_do(&r, "ACL SETUSER default resetchannels");
    listener x;
    begin(&x, "forbidden");
    WAIT(&r, !plx_store_up(s));
    redis_idle(&r, 300);
    assert_int_equal(x.confirmed, 0);
    redis_do(&r, "ACL SETUSER default allchannels");
    WAIT(&r, x.confirmed == 1 && plx_store_up(s));
    end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_left_and_entered_again),
        cmocka_unit_test(test_many_channels_after_a_reconnect),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
