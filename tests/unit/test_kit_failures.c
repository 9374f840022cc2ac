/* What the test kit's assertions say when they fail; and its openings and connects. */
#include "kit_module.h"

/* ---- what an assertion says ---- */

static jmp_buf failed;
static char said[4096];
static int said_line;

static void on_failure(const char *file, int line, const char *what)
{
    assert_non_null(strstr(file, "test_kit_failures.c"));
    said_line = line;
    snprintf(said, sizeof said, "%s", what);
    longjmp(failed, 1);
}

/* The statement fails, here, and says this. */
#define fails(statement, ...)                                                                      \
    do {                                                                                           \
        static const char *const parts[] = {__VA_ARGS__};                                          \
        plx_test_on_failure(on_failure);                                                           \
        said[0] = '\0';                                                                            \
        if (setjmp(failed) == 0) {                                                                 \
            statement;                                                                             \
        }                                                                                          \
        plx_test_on_failure(on_cmocka_failure);                                                    \
        for (size_t i_ = 0; i_ < sizeof parts / sizeof *parts; i_++) {                             \
            if (!strstr(said, parts[i_]))                                                          \
                print_error("nothing of '%s' in: %s\n", parts[i_], said);                          \
            assert_non_null(strstr(said, parts[i_]));                                              \
        }                                                                                          \
        assert_int_equal(said_line, __LINE__);                                                     \
    } while (0)

static void play_failures(void)
{
    unsigned ref;

    join_both();
    ref = plx_test_push(ann, "shop:1", "order", "{'what': 'tea'}");
    fails(plx_test_assert_reply(ann, ref, "error", "{'orders': 1}"),
          "expected a reply to ref 2 with status \"error\" like {'orders': 1}",
          "in the mailbox of ann", "reply     \"shop:1\" to ref 2: ok {\"orders\":1}");
    fails(plx_test_assert_reply(ann, ref, "ok", "{'orders': 2}"), "like {'orders': 2}");
    fails(plx_test_assert_push(bob, "shop:1", "sold", NULL),
          "expected a push \"sold\" on \"shop:1\"", "in the mailbox of bob",
          "push      \"shop:1\" \"ordered\" {\"what\":\"tea\"}");
    fails(plx_test_assert_push(bob, "shop:2", "ordered", NULL), "on \"shop:2\"");
    fails(plx_test_assert_push(bob, NULL, "ordered", "{'what': 'tea', 'price': '_'}"), "price");
    fails(plx_test_assert_push(bob, NULL, "ordered", "[]"), "like []");
    fails(plx_test_refute_push(bob, NULL, "ordered", "{}"), "did not expect a push \"ordered\"",
          "{\"what\":\"tea\"}");
    fails(plx_test_refute_reply(ann, ref), "did not expect a reply to ref 2");
    fails(plx_test_assert_broadcast(t, "shop:1", "sold", NULL),
          "expected as a broadcast a push \"sold\"", "\"ordered\"");
    fails(plx_test_refute_broadcast(t, NULL, "ordered", NULL), "it was broadcast");
    fails(plx_test_assert_close(ann, "shop:1"), "expected phx_close on \"shop:1\"");
    fails(plx_test_assert_crash(ann, "shop:1"), "expected phx_error on \"shop:1\"");
    fails(plx_test_assert_terminate(ann, "shop:1", PLX_END_LEFT), "PLX_END_LEFT", "(nothing)");
    fails(plx_test_assert_presence(t, "shop:1", "{'cat': '_'}"), "the presence on \"shop:1\"",
          "but: {\"ann\":{");
    fails(plx_test_assert_assigns(ann, "shop:1", "{'orders': 7}"), "but: {\"orders\":1}");
    fails(plx_test_assert_assigns(ann, "shop:2", "{}"), "has not joined \"shop:2\"");
    fails(plx_test_subscribe_and_join(ann, "shop:2", "{'as': 'nobody'}"), "status \"ok\"");
    ref = plx_test_push(ann, "shop:1", "later", "{}");
    fails(plx_test_assert_reply(ann, ref, "ok", NULL), "has not been answered yet");
    plx_call_noreply(kept);
}

static void test_failures(void **state)
{
    (void)state;
    on_both(play_failures);
}

/* ---- opening ---- */

static void test_open(void **state)
{
    plx_test *w = plx_test_new();
    plx_backend old = shop;

    (void)state;
    opened = closed = 0;
    assert_string_equal(plx_test_refusal(w, "shop:*", &shop, "bad"), "these settings are bad");
    assert_int_equal(opened, 0);
    assert_null(plx_test_refusal(w, "shop:*", &shop, "good"));
    assert_int_equal(opened, 2);
    assert_int_equal(closed, 2);
    fails(plx_test_channel(w, "shop:*", &shop, "bad"), "does not open: these settings are bad");
    old.abi = 0;
    assert_non_null(strstr(plx_test_refusal(w, "shop:*", &old, NULL), "version 0"));
    fails(plx_test_module(w, "shop:*", "/nowhere/shop.so", NULL), "can't be loaded");
    plx_test_free(w);
}

/* ---- connecting ---- */

static int door_open(const char *path, const char *settings, void **state, const char **error)
{
    assert_string_equal(path, "/socket");
    if (settings && strcmp(settings, "bad") == 0) {
        *error = "this door does not open";
        return -1;
    }
    *state = &closed;
    return 0;
}

static void door_close(void *state)
{
    (*(unsigned *)state)++;
}

static void door_connect(void *state, const plx_connect_info *info, plx_admission *a)
{
    char claims[128];
    plx_slice cookie = plx_admission_header(a, "cookie");

    assert_ptr_equal(state, &closed);
    if (plx_slice_is(cookie, "let=me \"in\"")) {
        snprintf(claims, sizeof claims, "{\"from\":\"%.*s\",\"by\":\"%.*s\"}",
                 (int)info->remote_ip.len, info->remote_ip.data, (int)info->transport.len,
                 info->transport.data);
        assert_int_equal(plx_admission_claims(a, plx_slice_of(claims)), 0);
        assert_int_equal(plx_admission_id(a, plx_object_get(info->params, "user")), 0);
    } else if (plx_object_get(info->claims, "user").len == 0) {
        plx_admission_refuse(a, "without a cookie");
    }
}

static const plx_socket_module door = {.abi = PLX_BACKEND_ABI,
                                       .name = "door",
                                       .open = door_open,
                                       .close = door_close,
                                       .connect = door_connect};

static void test_connect(void **state)
{
    plx_test_socket *s;
    plx_test *w = plx_test_new();

    (void)state;
    closed = 0;
    plx_test_channel(w, "shop:*", &shop, NULL);
    plx_test_connect(w, NULL); /* nobody asks */
    fails(plx_test_socket_module(w, &door, "bad"), "does not open: this door does not open");
    plx_test_socket_module(w, &door, NULL);
    assert_string_equal(plx_test_assert_refused(w, NULL), "without a cookie");
    fails(plx_test_connect(w, NULL), "the socket module refuses: without a cookie");
    fails(plx_test_assert_refused(w, &(plx_test_client){.name = "ann", .claims = "{'user': 1}"}),
          "expected that ann is refused", "claims {\"user\":1}");
    s = plx_test_connect(w, &(plx_test_client){.headers = "{'cookie': 'let=me \\\"in\\\"'}",
                                               .params = "{'user': 7}",
                                               .remote_ip = "192.0.2.1",
                                               .transport = PLX_TEST_LONGPOLL});
    plx_test_subscribe_and_join(s, "shop:1", NULL);
    plx_test_assert_presence(w, "shop:1", "{'7': '_'}"); /* its socket id */
    assert_int_equal(plx_test_disconnect(w, "7"), 1);
    plx_test_free(w);
    assert_int_equal(closed, 2 + 2); /* of the door and of the shop, in each worker */
}

/* A shared object that lies beside this program (build/VARIANT/{unit,modules}): it finds the kit's
 * functions in the test. */
static void test_module(void **state)
{
    plx_test *w = plx_test_new();
    plx_test_socket *s;
    char self[4096] = "", path[4200];
    unsigned ref;

    (void)state;
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    snprintf(path, sizeof path, "%s/modules/parrot.so", dirname(dirname(self)));
    plx_test_module(w, "parrot:*", path, NULL);
    s = plx_test_connect(w, NULL);
    plx_test_subscribe_and_join(s, "parrot:1", NULL);
    ref = plx_test_push(s, "parrot:1", "say", "{'it': 'twice'}");
    plx_test_assert_push(s, "parrot:1", "say", "{'it': 'twice'}");
    plx_test_assert_reply(s, ref, "ok", "{'it': 'twice'}");
    plx_test_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_module),
    };

    plx_test_on_failure(on_cmocka_failure);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
