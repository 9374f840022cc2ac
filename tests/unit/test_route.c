/* channel/route: request paths, and topics. */
#include "base/error.h"
#include "channel/route.h"
#include "vectors.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* ---- Topics ---- */

static plx_channel_config channels[] = {
    {.pattern = "room:*"},      {.pattern = "room:lobby"}, {.pattern = "room:vip:*"},
    {.pattern = "room:vip:1"},  {.pattern = "exact"},      {.pattern = "r*"},
    {.pattern = "room:lobby*"}, {.pattern = "a:b*"},
};
static const plx_socket_config topics = {.channels = channels,
                                         .channel_count = sizeof channels / sizeof *channels};

static const char *routed(const plx_socket_config *s, const char *topic)
{
    const plx_channel_config *c = plx_route_channel(s, plx_slice_of(topic));
    return c ? c->pattern : "none";
}

static void test_topics(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"room:1", "room:*"},
        {"room:", "room:*"},
        {"room:lobby", "room:lobby"},
        {"room:lobby2", "room:lobby*"},
        {"room:vip:2", "room:vip:*"},
        {"room:vip:", "room:vip:*"},
        {"room:vip:1", "room:vip:1"},
        {"room:vip:10", "room:vip:*"},
        {"room", "r*"},
        {"r", "r*"},
        {"exact", "exact"},
        {"exact2", "none"},
        {"Room:1", "none"},
        {"", "none"},
        {"a:b", "a:b*"},
        {"a:", "none"},
        {"room:*", "room:*"},
        {"phoenix", "none"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(routed(&topics, cases[i][0]), cases[i][1]);
}

static void test_topic_of_everything(void **state)
{
    (void)state;
    plx_channel_config all[] = {{.pattern = "*"}, {.pattern = "a*"}};
    plx_socket_config s = {.channels = all, .channel_count = 2};
    assert_string_equal(routed(&s, ""), "*");
    assert_string_equal(routed(&s, "b"), "*");
    assert_string_equal(routed(&s, "a"), "a*");
    s.channel_count = 0;
    assert_string_equal(routed(&s, "a"), "none");
}

/* A NUL in a topic is a byte like any other: it does not end the comparison. */
static void test_topic_with_nul(void **state)
{
    (void)state;
    assert_null(plx_route_channel(&topics, plx_slice_make("exact\0", 6)));
    assert_string_equal(plx_route_channel(&topics, plx_slice_make("room:\0", 6))->pattern,
                        "room:*");
}

/* The most that any section wants, each thing for itself; a section counts by the channel that its
 * own patterns route the topic to. */
static void test_topic_kept(void **state)
{
    (void)state;
    plx_channel_config one[] = {
        {.pattern = "a*", .has_history = true, .history_size = 5, .history_ttl_s = 90},
        {.pattern = "a:plain"},
        {.pattern = "b", .has_latest = true, .latest_ttl_s = 7},
    };
    plx_channel_config two[] = {
        {.pattern = "a*", .has_history = true, .history_size = 6, .history_ttl_s = 60},
        {.pattern = "b", .has_latest = true, .latest_ttl_s = 8},
        {.pattern = "c", .history_size = 3, .latest_ttl_s = 4}, /* what is not switched on */
    };
    plx_socket_config sections[] = {{.channels = one, .channel_count = 3},
                                    {.channels = two, .channel_count = 3}};
    const plx_config config = {.sockets = sections, .socket_count = 2};
    plx_route_kept k;
    assert_true(plx_route_topic(&config, plx_slice_of("a:1"), &k));
    assert_true(k.history_size == 6 && k.history_ttl_s == 90 && k.latest_ttl_s == 0);
    assert_true(plx_route_topic(&config, plx_slice_of("a:plain"), &k));
    assert_true(k.history_size == 6 && k.history_ttl_s == 60 && k.latest_ttl_s == 0);
    assert_true(plx_route_topic(&config, plx_slice_of("b"), &k));
    assert_true(k.history_size == 0 && k.history_ttl_s == 0 && k.latest_ttl_s == 8);
    assert_true(plx_route_topic(&config, plx_slice_of("c"), &k));
    assert_true(k.history_size == 0 && k.history_ttl_s == 0 && k.latest_ttl_s == 0);
    k.history_size = 1;
    assert_false(plx_route_topic(&config, plx_slice_of("d"), &k));
    assert_int_equal(k.history_size, 0);
}

/* ---- Paths ---- */

static plx_socket_config sockets[] = {
    {.path = "/socket", .websocket = true, .longpoll = true},
    {.path = "/wsonly", .websocket = true},
    {.path = "/lponly", .longpoll = true},
    {.path = "/deep/er/socket", .websocket = true, .longpoll = true},
    {.path = "/r/:room", .websocket = true, .longpoll = true},
    {.path = "/r/lobby", .websocket = true},
    {.path = "/:tenant/in/:room_2", .websocket = true},
    {.path = "/x/in/:room", .longpoll = true},
};
static const plx_config config = {.sockets = sockets,
                                  .socket_count = sizeof sockets / sizeof *sockets};

typedef struct path_case {
    const char *path;
    int err;
    const char *socket;
    bool longpoll;
    const char *vars; /* "name=value&..." */
} path_case;

static void check_path(const path_case *x)
{
    plx_route r;
    plx_buf scratch, vars;
    plx_buf_init(&scratch, 0);
    plx_buf_init(&vars, 0);
    int err = plx_route_socket(&config, plx_slice_of(x->path), &r, &scratch);
    if (err != x->err)
        print_error("path %s\n", x->path);
    assert_int_equal(err, x->err);
    if (err == 0) {
        for (size_t i = 0; i < r.var_count; i++) {
            plx_buf_str(&vars, i > 0 ? "&" : "");
            plx_buf_add(&vars, r.vars[i].name);
            plx_buf_byte(&vars, '=');
            plx_buf_add(&vars, r.vars[i].value);
        }
        assert_string_equal(r.socket->path, x->socket);
        assert_int_equal(r.transport, x->longpoll ? PLX_ROUTE_LONGPOLL : PLX_ROUTE_WEBSOCKET);
        assert_string_equal(plx_buf_cstr(&vars), x->vars ? x->vars : "");
    }
    plx_buf_fini(&scratch);
    plx_buf_fini(&vars);
}

static void test_paths(void **state)
{
    (void)state;
    static const path_case cases[] = {
        {"/socket/websocket", 0, "/socket", false, NULL},
        {"/socket/longpoll", 0, "/socket", true, NULL},
        {"/socket/longpoll/", 0, "/socket", true, NULL},
        {"/socket/longpoll///", 0, "/socket", true, NULL},
        {"//socket//websocket", 0, "/socket", false, NULL},
        {"/deep/er/socket/longpoll", 0, "/deep/er/socket", true, NULL},
        {"/wsonly/websocket", 0, "/wsonly", false, NULL},
        {"/lponly/longpoll", 0, "/lponly", true, NULL},
        {"/wsonly/longpoll", PLX_E_NOTFOUND, NULL, false, NULL},
        {"/lponly/websocket", PLX_E_NOTFOUND, NULL, false, NULL},
        {"/deep/er/longpoll", PLX_E_NOTFOUND, NULL, false, NULL},
        {"/socket/Websocket", PLX_E_NOTFOUND, NULL, false, NULL},
        {"/socket/websocket2", PLX_E_NOTFOUND, NULL, false, NULL},
        {"/sockets/websocket", PLX_E_NOTFOUND, NULL, false, NULL},
        {"/socke/websocket", PLX_E_NOTFOUND, NULL, false, NULL},
        {"/%73ocket/websocket", PLX_E_NOTFOUND, NULL, false, NULL},
        {"/socket/./websocket", PLX_E_NOTFOUND, NULL, false, NULL},
        {"socket/websocket", PLX_E_NOTFOUND, NULL, false, NULL},
        {"", PLX_E_NOTFOUND, NULL, false, NULL},
        {"/", PLX_E_NOTFOUND, NULL, false, NULL},
        {"/websocket", PLX_E_NOTFOUND, NULL, false, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_path(&cases[i]);
}

static void test_variables(void **state)
{
    (void)state;
    static const path_case cases[] = {
        {"/r/7/websocket", 0, "/r/:room", false, "room=7"},
        {"/r/a%20b%2Fc+d/longpoll/", 0, "/r/:room", true, "room=a b/c+d"},
        {"/r/%c3%a9/websocket", 0, "/r/:room", false, "room=\xc3\xa9"},
        /* The fixed part wins where it has the transport, wherever it stands in the file. */
        {"/r/lobby/websocket", 0, "/r/lobby", false, NULL},
        {"/r/lobby/longpoll", 0, "/r/:room", true, "room=lobby"},
        {"/r/lobb%79/websocket", 0, "/r/:room", false, "room=lobby"},
        {"/acme/in/9/websocket", 0, "/:tenant/in/:room_2", false, "tenant=acme&room_2=9"},
        {"/x/in/9/websocket", 0, "/:tenant/in/:room_2", false, "tenant=x&room_2=9"},
        {"/x/in/9/longpoll", 0, "/x/in/:room", true, "room=9"},
        {"/r//websocket", PLX_E_NOTFOUND, NULL, false, NULL},
        {"/r/websocket", PLX_E_NOTFOUND, NULL, false, NULL},
        {"/r/a/b/websocket", PLX_E_NOTFOUND, NULL, false, NULL},
        {"/r/%/websocket", PLX_E_INVALID, NULL, false, NULL},
        {"/r/%2/websocket", PLX_E_INVALID, NULL, false, NULL},
        {"/r/%zz/websocket", PLX_E_INVALID, NULL, false, NULL},
        {"/r/%00/websocket", PLX_E_INVALID, NULL, false, NULL},
        {"/r/%ff/websocket", PLX_E_INVALID, NULL, false, NULL},
        {"/r/\xff/websocket", PLX_E_INVALID, NULL, false, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_path(&cases[i]);
}

static void test_order_of_the_file_does_not_matter(void **state)
{
    (void)state;
    plx_socket_config pair[2] = {{.path = "/a/:x/c", .websocket = true},
                                 {.path = "/a/b/:y", .websocket = true}};
    plx_config c = {.sockets = pair, .socket_count = 2};
    plx_buf scratch;
    plx_buf_init(&scratch, 0);
    for (int turn = 0; turn < 2; turn++) {
        plx_route r;
        assert_int_equal(plx_route_socket(&c, plx_slice_of("/a/b/c/websocket"), &r, &scratch), 0);
        assert_string_equal(r.socket->path, "/a/b/:y");
        plx_socket_config swapped = pair[0];
        pair[0] = pair[1];
        pair[1] = swapped;
    }
    plx_buf_fini(&scratch);
}

static void test_long_paths(void **state)
{
    (void)state;
    static char path[PLX_ROUTE_PATH + 64];
    plx_buf scratch;
    plx_route r;
    plx_buf_init(&scratch, 0);
    memset(path, 'x', sizeof path);
    memcpy(path, "/r/", 3);
    memcpy(path + PLX_ROUTE_PATH - 10, "/websocket", 10);
    assert_int_equal(plx_route_socket(&config, plx_slice_make(path, PLX_ROUTE_PATH), &r, &scratch),
                     0);
    assert_int_equal(r.vars[0].value.len, PLX_ROUTE_PATH - 13);
    path[PLX_ROUTE_PATH] = '/';
    assert_int_equal(
        plx_route_socket(&config, plx_slice_make(path, PLX_ROUTE_PATH + 1), &r, &scratch),
        PLX_E_NOTFOUND);
    plx_buf_fini(&scratch);
}

/* Where a web server may have put this program. */
static void test_places_of_ours(void **state)
{
    (void)state;
    static plx_socket_config some[] = {{.path = "/socket"}, {.path = "/deep/:x/socket"}};
    static plx_socket_config root[] = {{.path = "/"}};
    const plx_config c = {.sockets = some, .socket_count = 2, .api = {.path = "/api"}};
    const plx_config at_root = {.sockets = root, .socket_count = 1};
    static const char *const ours[] = {"/socket", "/socket/longpoll", "/socket/api/publish",
                                       "/deep",   "//socket/",        "/deep/1/socket/longpoll",
                                       "/api",    "/api/publish"};
    static const char *const others[] = {"",         "/",        "/cgi-bin/pollux",
                                         "/sockets", "/apidocs", "/cgi-bin/socket/longpoll"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        assert_true(plx_route_is_ours(&c, plx_slice_of(ours[i])));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(plx_route_is_ours(&c, plx_slice_of(others[i])));
    assert_true(plx_route_is_ours(&at_root, plx_slice_of("/longpoll/api")));
    assert_false(plx_route_is_ours(&at_root, plx_slice_of("/cgi-bin/pollux")));
}

/* The mounts of the recorded server. */
static plx_socket_config recorded[] = {
    {.path = "/socket", .websocket = true, .longpoll = true},
    {.path = "/limited", .websocket = true, .longpoll = true},
    {.path = "/wsonly", .websocket = true},
};
static const plx_config recorded_config = {.sockets = recorded, .socket_count = 3};

/* Whatever was recorded as 404 has no route, everything else has one. Returns the steps seen. */
static unsigned replay(const char *name)
{
    unsigned steps = 0;
    plx_buf scratch;
    plx_buf_init(&scratch, 0);
    json_object *recording = vector_load(name), *list = vector_steps(recording);
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *step = json_object_array_get_idx(list, i);
        json_object *http = json_object_object_get(step, "http");
        json_object *response = json_object_object_get(step, "response");
        plx_route r;
        if (!http)
            continue;
        plx_slice path = vector_text(http, "path");
        const char *query = memchr(path.data, '?', path.len);
        path.len = query ? (size_t)(query - path.data) : path.len;
        int64_t status = json_object_get_int64(json_object_object_get(response, "status"));
        int err = plx_route_socket(&recorded_config, path, &r, &scratch);
        if ((err == PLX_E_NOTFOUND) != (status == 404))
            print_error("%s step %zu: %.*s\n", name, i, (int)path.len, path.data);
        assert_int_equal(err, status == 404 ? PLX_E_NOTFOUND : 0);
        steps++;
    }
    json_object_put(recording);
    plx_buf_fini(&scratch);
    return steps;
}

static void test_recordings(void **state)
{
    (void)state;
    assert_int_equal(replay("ws_http_level"), 40);
    assert_int_equal(replay("lp_v2_methods"), 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_topic_of_everything),
        cmocka_unit_test(test_topic_with_nul),
        cmocka_unit_test(test_topic_kept),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_order_of_the_file_does_not_matter),
        cmocka_unit_test(test_long_paths),
        cmocka_unit_test(test_places_of_ours),
        cmocka_unit_test(test_recordings),
    };
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
