/* /health: a round trip through Redis pub/sub, and every way in which it may fail. */
#include "admin_world.h"

static void feed_event(const char *payload)
{
    static const plx_position p = {.epoch = "e", .offset = 1};
    plx_feed_watch *w = fake_watch;
    plx_event *e = plx_event_new(plx_slice_of("t"), &p, PLX_KIND_JSON, plx_slice_of("health"),
                                 plx_slice_of(payload), plx_slice_of(""));

    w->ops->event(w, e);
    plx_event_unref(e);
}

static void start_health(void)
{
    fake_loop = ev_loop_new(EVFLAG_AUTO);
    answers = 0;
    plx_admin_health(fake_store, take_answer, &answers);
}

/* Lets the object go; it must hold nothing any more. */
static void end_health(void)
{
    ev_run(fake_loop, 0);
    ev_loop_destroy(fake_loop);
    assert_null(fake_watch);
    assert_int_equal(answers, 1);
}

static void test_health(void **state)
{
    (void)state;
    plx_clock_fake(1000, 1000);
    start_health();
    fake_answer(0, 0);
    assert_non_null(fake_watch);
    assert_int_equal(fake_waiting(), 0); /* not before the subscription is confirmed */
    fake_watch->ops->ready(fake_watch);
    assert_string_equal(fake_peek(0)->topic, "pollux:health:worker-1");
    feed_event("\"somebody else's\"");
    assert_int_equal(answers, 0);
    plx_clock_fake(1012, 1012);
    feed_event(fake_peek(0)->payload);
    assert_int_equal(last_status, 200);
    assert_string_equal(last_json, "{\"status\":\"ok\",\"redis\":\"up\",\"worker\":\"worker-1\","
                                   "\"round_trip_ms\":12}");
    fake_answer(0, 0);
    end_health();
    plx_clock_real();
}

static void test_health_redis_away(void **state)
{
    (void)state;
    fake_up = false;
    start_health();
    assert_int_equal(last_status, 503);
    assert_non_null(strstr(last_json, "{\"status\":\"error\",\"redis\":\"down\",\"worker\":"
                                      "\"worker-1\",\"error\":{\"code\":\"unavailable\","));
    assert_string_equal(last_json + strlen(last_json) - 3, "\"}}");
    end_health();
    fake_up = true;
    start_health();
    fake_answer(0, PLX_E_TIMEOUT);
    assert_int_equal(last_status, 503);
    assert_non_null(strstr(last_json, "\"message\":\"Redis did not answer\""));
    end_health();
}

static void test_health_publication_fails_or_is_lost(void **state)
{
    (void)state;
    start_health();
    fake_answer(0, 0);
    fake_watch->ops->ready(fake_watch);
    fake_refusal = "OOM command not allowed";
    fake_answer(0, PLX_E_STORE);
    assert_int_equal(last_status, 503);
    assert_non_null(strstr(last_json, "\"redis\":\"up\""));
    assert_non_null(strstr(last_json, "\"message\":\"Redis refused: OOM command not allowed\""));
    end_health();
    start_health();
    fake_answer(0, PLX_E_STORE);
    assert_non_null(strstr(last_json, "\"message\":\"Redis refused: OOM command not allowed\""));
    end_health();
    fake_refusal = "";
    start_health();
    fake_answer(0, PLX_E_STORE);
    assert_non_null(strstr(last_json, "\"message\":\"Redis answered oddly\""));
    end_health();
    start_health();
    fake_answer(0, 0);
    fake_watch->ops->lost(fake_watch);
    assert_int_equal(last_status, 503);
    end_health();
}

static void test_health_no_round_trip(void **state)
{
    (void)state;
    start_health();
    fake_answer(0, 0);
    fake_watch->ops->ready(fake_watch);
    fake_answer(0, 0);
    assert_int_equal(answers, 0);
    assert_true(fake_timer->at > 1.);
    ev_invoke(fake_loop, fake_timer, EV_TIMER);
    end_health();
    assert_int_equal(last_status, 503);
    assert_non_null(strstr(last_json, "did not come back"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_health, setup),
        cmocka_unit_test_setup(test_health_redis_away, setup),
        cmocka_unit_test_setup(test_health_publication_fails_or_is_lost, setup),
        cmocka_unit_test_setup(test_health_no_round_trip, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
