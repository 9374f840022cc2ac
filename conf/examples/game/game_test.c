/* The game without a server: see <pollux/test.h>. Each test is played on both transports. */
#include <pollux/test.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static plx_test *t;
static plx_test_socket *ann, *bob, *poller; /* the one of the two that polls */

static void play(void (*scene)(void), enum plx_test_transport anns, enum plx_test_transport bobs)
{
    t = plx_test_new();
    plx_test_channel(t, "game:*", pollux_backend(), NULL);
    ann = plx_test_connect(
        t, &(plx_test_client){.name = "ann", .params = "{'name': 'ann'}", .transport = anns});
    bob = plx_test_connect(
        t, &(plx_test_client){.name = "bob", .params = "{'name': 'bob'}", .transport = bobs});
    poller = anns == PLX_TEST_LONGPOLL ? ann : bob;
    plx_test_subscribe_and_join(ann, "game:1", "{'x': 100, 'y': 100}");
    plx_test_subscribe_and_join(bob, "game:1", "{'x': 200, 'y': 200}");
    scene();
    plx_test_free(t);
}

/* One of the two always polls. */
#define TEST(name)                                                                                 \
    static void scene_##name(void);                                                                \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        play(scene_##name, PLX_TEST_WEBSOCKET, PLX_TEST_LONGPOLL);                                 \
        play(scene_##name, PLX_TEST_LONGPOLL, PLX_TEST_WEBSOCKET);                                 \
    }                                                                                              \
    static void scene_##name(void)

TEST(join)
{
    plx_test_assert_push(ann, "game:1", "presence_state", "{'ann': {'metas': [{'x': 100}]}}");
    plx_test_assert_push(ann, "game:1", "presence_diff",
                         "{'joins': {'bob': {'metas': [{'x': 200, 'y': 200}]}}}");
    plx_test_assert_push(bob, "game:1", "presence_state",
                         "{'ann': {'metas': [{'x': 100, 'y': 100}]}, 'bob': '_'}");
    plx_test_leave(ann, "game:1");
    plx_test_assert_push(bob, "game:1", "presence_diff", "{'leaves': {'ann': '_'}}");
}

TEST(nameless)
{
    plx_test_socket *nobody = plx_test_connect(t, NULL);
    plx_test_socket *longest =
        plx_test_connect(t, &(plx_test_client){.params = "{'name': 'abcdefghijklmnopqrstuvwxy'}"});

    plx_test_assert_reply(nobody, plx_test_join(nobody, "game:1", NULL), "error", NULL);
    plx_test_assert_reply(longest, plx_test_join(longest, "game:1", NULL), "error", NULL);
}

TEST(tick)
{
    for (int i = 0; i < 5; i++) /* however often it moves */
        plx_test_push(ann, "game:1", "move", "{'x': 300, 'y': 310}");
    plx_test_push(ann, "game:1", "move", "{'x': 320.4, 'y': 330}");
    plx_test_refute_push(bob, NULL, "tick", NULL);
    plx_test_advance(t, 99);
    plx_test_refute_push(bob, NULL, "tick", NULL);
    plx_test_advance(t, 1);
    plx_test_assert_push(bob, "game:1", "tick", "{'name': 'ann', 'x': 320, 'y': 330}");
    plx_test_assert_push(ann, "game:1", "tick", NULL);
    plx_test_advance(t, 1000); /* it stands still */
    plx_test_refute_push(bob, NULL, "tick", NULL);
    plx_test_assert_presence(t, "game:1", "{'ann': {'metas': [{'x': 320, 'y': 330}]}}");
    plx_test_assert_assigns(ann, "game:1", "{'moving': 0}");
    plx_test_push(ann, "game:1", "move", "{'x': 1, 'y': 2}");
    plx_test_advance(t, 100);
    plx_test_assert_push(bob, "game:1", "tick", "{'x': 1, 'y': 2}");
}

TEST(bounds)
{
    unsigned ref = plx_test_push(ann, "game:1", "move", "{'x': -5, 'y': 1e300}");

    plx_test_assert_reply(ann, ref, "ok", "{'x': 0, 'y': 500}");
    ref = plx_test_push(ann, "game:1", "move", "{'x': 'left', 'y': 1}");
    plx_test_assert_reply(ann, ref, "error", "{'reason': 'x and y must be numbers'}");
    plx_test_assert_reply(ann, plx_test_push(ann, "game:1", "fly", NULL), "error", NULL);
}

TEST(earshot)
{
    plx_test_push(bob, "game:1", "say", "{'text': 'hi \\\"ann\\\"'}");
    plx_test_assert_push(ann, "game:1", "say", "{'name': 'bob', 'text': 'hi \\\"ann\\\"'}");
    plx_test_assert_push(bob, "game:1", "say", NULL);
    plx_test_push(bob, "game:1", "move", "{'x': 500, 'y': 100}");
    plx_test_push(bob, "game:1", "say", "{'text': 'hi?'}");
    plx_test_refute_push(ann, NULL, "say", NULL); /* too far */
    plx_test_assert_push(bob, "game:1", "say", NULL);
    plx_test_assert_reply(bob, plx_test_push(bob, "game:1", "say", "{'text': ''}"), "error", NULL);
}

/* Another worker handles its move again: the room is told once. */
TEST(worker_dies)
{
    unsigned ref;

    plx_test_worker_dies(poller);
    ref = plx_test_push(poller, "game:1", "move", "{'x': 5, 'y': 6}");
    plx_test_assert_reply(poller, ref, "ok", "{'x': 5, 'y': 6}");
    plx_test_worker_dies(poller);
    plx_test_advance(t, 1000);
    plx_test_assert_broadcast(t, "game:1", "tick", "{'x': 5, 'y': 6}");
    plx_test_refute_broadcast(t, "game:1", "tick", NULL);
}

TEST(left_while_moving)
{
    plx_test_push(ann, "game:1", "move", "{'x': 10, 'y': 10}");
    plx_test_close(ann);
    plx_test_advance(t, 1000);
    plx_test_refute_push(bob, NULL, "tick", NULL);
    plx_test_assert_presence(t, "game:1", "{'bob': '_'}");
    plx_test_assert_push(bob, "game:1", "presence_diff", "{'leaves': {'ann': '_'}}");
}

static void on_failure(const char *file, int line, const char *what)
{
    print_error("%s", what);
    _fail(file, line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),        cmocka_unit_test(test_nameless),
        cmocka_unit_test(test_tick),        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_earshot),     cmocka_unit_test(test_left_while_moving),
        cmocka_unit_test(test_worker_dies),
    };

    plx_test_on_failure(on_failure);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
