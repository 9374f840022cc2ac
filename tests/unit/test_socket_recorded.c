/* The core against the recordings of a real Phoenix server: serializer, core, and the recorded
 * application loaded as a module, with a store that answers when asked to. What is left out here is
 * sockets, frames and HTTP; the integration tests have those. */
#include "base/json_scan.h"
#include "channel/socket.h"
#include "tests/unit/fake_store.h"
#include "tests/unit/vectors.h"
#include "transport/serializer.h"

#include <dirent.h>
#include <libgen.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#define CLIENTS 48
#define MIN_VECTORS                                                                                \
    60 /* so many recordings can be replayed; fewer means that this test went blind */

/* One connection, with what it was sent and has not looked at yet. */
typedef struct client {
    char name[16], session[16];
    enum plx_vsn vsn;
    plx_socket *socket;
    json_object *frames; /* array of {"text"} | {"base64"} | {"close"} */
    size_t seen;
    bool closed;
} client;

static client clients[CLIENTS];
static size_t client_count;
static plx_channels *all_channels; /* of /socket and /maxchan */
static const char *current;        /* recording */

/* ---- transport ---- */

static void add_frame(client *c, const char *kind, plx_slice bytes)
{
    json_object *frame = json_object_new_object();
    plx_buf base64;

    plx_buf_init(&base64, 0);
    if (strcmp(kind, "base64") == 0) {
        plx_base64_encode(&base64, bytes, PLX_B64_STANDARD);
        bytes = plx_buf_slice(&base64);
    }
    json_object_object_add(frame, kind, json_object_new_string_len(bytes.data, (int)bytes.len));
    json_object_array_add(c->frames, frame);
    plx_buf_fini(&base64);
}

static void on_emit(plx_socket *s, const plx_out *out)
{
    client *c = s->transport;
    plx_buf bytes;
    bool binary = false;

    plx_buf_init(&bytes, 0);
    if (plx_encode(c->vsn, c->vsn == PLX_V2, out, &bytes, &binary) == 0)
        add_frame(c, binary ? "base64" : "text", plx_buf_slice(&bytes));
    plx_buf_fini(&bytes);
}

static void on_open(plx_socket *s, plx_membership *m)
{
    (void)s;
    plx_membership_ready(m);
}

static void on_closed(plx_socket *s, plx_membership *m)
{
    (void)s;
    (void)m;
}

static const plx_socket_ops ops = {
    .name = "websocket", .emit = on_emit, .open = on_open, .closed = on_closed};

/* A broadcast reaches everybody on its topic before it is acknowledged. */
static void deliver(const fake_request *r)
{
    plx_position p = {.epoch = "e", .offset = fake_offset + 1};
    plx_event *e = plx_event_new(plx_slice_of(r->topic), &p, r->kind, plx_slice_of(r->event),
                                 plx_slice_make(r->payload, r->payload_len), plx_slice_of(r->from));

    for (size_t i = 0; i < client_count; i++) {
        client *c = &clients[i];
        plx_buf frame;
        bool binary;
        if (c->closed || !plx_socket_find(c->socket, e->topic) || strcmp(c->session, r->from) == 0)
            continue;
        plx_buf_init(&frame, 0);
        if (plx_encode_broadcast(c->vsn, c->vsn == PLX_V2, false, e, &frame, &binary) == 0)
            add_frame(c, binary ? "base64" : "text", plx_buf_slice(&frame));
        plx_buf_fini(&frame);
    }
    plx_event_unref(e);
}

static void settle(void)
{
    while (fake_first) {
        if (!fake_first->is_position)
            deliver(fake_first);
        fake_answer(0, 0);
    }
}

/* ---- steps ---- */

static client *client_of(json_object *step)
{
    plx_slice name = vector_text(step, "client");
    const char *wanted = name.len > 0 ? name.data : "only";

    for (size_t i = 0; i < client_count; i++)
        if (strcmp(clients[i].name, wanted) == 0)
            return &clients[i];
    assert(client_count < CLIENTS);
    snprintf(clients[client_count].name, sizeof clients[0].name, "%s", wanted);
    return &clients[client_count++];
}

/* Recordings that try one thing after the other use a fresh connection c0, c1, ... for each; the
 * one before is over then. */
static void close_previous(const client *c)
{
    if (c->name[0] != 'c' || c->name[1] < '0' || c->name[1] > '9')
        return;
    for (size_t i = 0; &clients[i] != c; i++)
        clients[i].closed = true;
}

static void do_connect(json_object *step)
{
    json_object *connect = json_object_object_get(step, "connect");
    json_object *query = json_object_object_get(connect, "query");
    plx_slice path = vector_text(connect, "path"), vsn = vector_text(query, "vsn");
    const char *params = json_object_to_json_string_ext(query, JSON_C_TO_STRING_PLAIN);
    client *c = client_of(step);
    plx_socket_init init = {.ops = &ops,
                            .transport = c,
                            .store = fake_store,
                            .params = plx_slice_of(params),
                            .claims = PLX_LIT("{}")};

    close_previous(c);
    snprintf(c->session, sizeof c->session, "s%zu", client_count);
    init.session = plx_slice_of(c->session);
    init.channels = &all_channels[plx_slice_starts(path, plx_slice_of("/maxchan")) ? 1 : 0];
    assert_int_equal(plx_vsn_parse(vsn.len > 0 ? vsn : plx_slice_of("1.0.0"), &c->vsn), 0);
    c->frames = json_object_new_array();
    c->socket = plx_socket_new(&init);
}

static void do_send(json_object *step)
{
    client *c = client_of(step);
    plx_buf bytes, scratch;
    plx_message m;
    bool binary;

    plx_buf_init(&bytes, 0);
    plx_buf_init(&scratch, 0);
    vector_send(step, &bytes, &binary);
    if (plx_decode(c->vsn, binary, plx_buf_slice(&bytes), &scratch, &m) == 0) {
        plx_socket_handle(c->socket, &m);
        settle();
    } else {
        c->closed = true;
        add_frame(c, "close", plx_slice_of("1011"));
    }
    plx_buf_fini(&bytes);
    plx_buf_fini(&scratch);
}

static json_object *next_frame(client *c)
{
    if (c->seen >= json_object_array_length(c->frames))
        fail_msg("%s: client %s got nothing", current, c->name);
    return json_object_array_get_idx(c->frames, c->seen++);
}

static void do_recv(json_object *step)
{
    json_object *expected = json_object_object_get(step, "recv"), *inner, *got;
    json_object *frame = next_frame(client_of(step));

    if (json_object_is_type(expected, json_type_object) &&
        json_object_object_get_ex(expected, "base64", &inner)) {
        assert_string_equal(vector_text(frame, "base64").data ? vector_text(frame, "base64").data
                                                              : "(text)",
                            json_object_get_string(inner));
        return;
    }
    json_tokener *t = json_tokener_new_ex(1000);
    got = json_tokener_parse_ex(t, vector_text(frame, "text").data, -1);
    json_tokener_free(t);
    if (!json_object_equal(got, expected))
        fail_msg("%s: expected %s, got %s", current, json_object_to_json_string(expected),
                 json_object_to_json_string(frame));
    json_object_put(got);
}

static void do_close(json_object *step)
{
    json_object *close = json_object_object_get(step, "close");
    json_object *frame = next_frame(client_of(step));

    assert_int_equal(json_object_get_int(json_object_object_get(close, "code")), 1011);
    if (!json_object_object_get(frame, "close"))
        fail_msg("%s: got %s instead of a close", current, json_object_to_json_string(frame));
}

static void assert_silent(const client *c)
{
    if (c->seen != json_object_array_length(c->frames))
        fail_msg("%s: client %s got more: %s", current, c->name,
                 json_object_to_json_string(json_object_array_get_idx(c->frames, c->seen)));
}

static bool has(json_object *step, const char *kind)
{
    return json_object_object_get_ex(step, kind, NULL);
}

static void do_step(json_object *step)
{
    if (has(step, "connect"))
        do_connect(step);
    else if (has(step, "send"))
        do_send(step);
    else if (has(step, "recv"))
        do_recv(step);
    else if (has(step, "close"))
        do_close(step);
    else if (has(step, "silence_ms"))
        assert_silent(client_of(step));
}

/* Whether the recording needs nothing but a core: no HTTP, no frames made by hand, no waiting, no
 * presence, no refused connect, and the recorded application's topics only. */
static bool can_replay(json_object *steps)
{
    static const char *const kinds[] = {"connect",
                                        "send",
                                        "recv",
                                        "close",
                                        "silence_ms",
                                        "about",
                                        "wait_ms",
                                        "tcp_after_close",
                                        "tcp_close_by_client"};
    for (size_t i = 0; i < json_object_array_length(steps); i++) {
        json_object *step = json_object_array_get_idx(steps, i);
        bool known = false;
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            known |= has(step, kinds[k]);
        if (!known || strstr(json_object_to_json_string(step), "lobby:"))
            return false;
        if (has(step, "connect") && json_object_get_int(json_object_object_get(
                                        json_object_object_get(step, "response"), "status")) != 101)
            return false;
    }
    return true;
}

static void forget_clients(void)
{
    for (size_t i = 0; i < client_count; i++) {
        if (!clients[i].socket)
            continue;
        plx_socket_free(clients[i].socket, PLX_END_CLOSED);
        json_object_put(clients[i].frames);
    }
    memset(clients, 0, sizeof clients);
    client_count = 0;
    fake_reset();
}

/* What is deliberately different: of duplicate keys nothing is dropped, JSON that is nested deeper
 * than PLX_JSON_DEPTH is refused, and a V1 member does not make a binary broadcast crash its
 * sender's channel (nothing comes). */
static bool deviates(size_t i, json_object *step)
{
    bool oddities = strcmp(current, "ws_v2_json_oddities") == 0;

    if (oddities && PLX_JSON_DEPTH < 201 && vector_text(step, "raw").len > 1000) {
        assert_true(has(next_frame(client_of(step)), "close"));
        return true;
    }
    if (oddities && i == 4) {
        assert_non_null(
            strstr(vector_text(next_frame(client_of(step)), "text").data, "{\"a\":1,\"a\":2}"));
        return true;
    }
    return strcmp(current, "ws_v2_binary_broadcast_with_v1_member") == 0 && i == 9;
}

static void replay(json_object *steps)
{
    for (size_t i = 0; i < json_object_array_length(steps); i++) {
        json_object *step = json_object_array_get_idx(steps, i);
        if (!deviates(i, step))
            do_step(step);
    }
    for (size_t i = 0; i < client_count; i++)
        assert_silent(&clients[i]);
    forget_clients();
}

static void test_recordings(void **state)
{
    DIR *dir = opendir("tests/vectors");
    char name[256];
    unsigned replayed = 0;

    (void)state;
    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));) {
        size_t len = strlen(d->d_name);
        if ((strncmp(d->d_name, "ws_v", 4) != 0 && strncmp(d->d_name, "ws_mixed", 8) != 0) ||
            len < 8 || len > sizeof name)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)len - 5, d->d_name);
        current = name;
        json_object *recording = vector_load(name);
        if (can_replay(vector_steps(recording))) {
            replay(vector_steps(recording));
            replayed++;
        }
        json_object_put(recording);
    }
    closedir(dir);
    print_message("%u recordings replayed\n", replayed);
    assert_true(replayed >= MIN_VECTORS);
}

/* ---- the recorded server's mounts ---- */

static plx_channel_config room_and_quiet[2] = {
    {.pattern = (char *)"room:*", .backend = (char *)"module"},
    {.pattern = (char *)"quiet:*", .backend = (char *)"module", .settings = (char *)"others"}};
static plx_socket_config sections[2] = {{.path = (char *)"/socket",
                                         .max_channels = 100,
                                         .ws_max_frame_bytes = 8000000,
                                         .channels = room_and_quiet,
                                         .channel_count = 2},
                                        {.path = (char *)"/maxchan",
                                         .max_channels = 2,
                                         .ws_max_frame_bytes = 8000000,
                                         .channels = room_and_quiet,
                                         .channel_count = 2}};

static int load_module(void **state)
{
    static char self[PATH_MAX], path[PATH_MAX];
    plx_buf problem;
    int err;

    (void)state;
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return -1;
    if (getenv("PLX_TEST_MODULES"))
        snprintf(path, sizeof path, "%s/recorded.so", getenv("PLX_TEST_MODULES"));
    else
        snprintf(path, sizeof path, "%.4000s/modules/recorded.so", dirname(dirname(self)));
    room_and_quiet[0].path = room_and_quiet[1].path = path;
    fake_config.file = (char *)"recorded.conf";
    fake_config.sockets = sections;
    fake_config.socket_count = 2;
    plx_buf_init(&problem, 0);
    err = plx_channels_open(&fake_config, &all_channels, &problem);
    if (err != 0)
        print_error("%s", plx_buf_cstr(&problem));
    plx_buf_fini(&problem);
    return err;
}

static int unload_module(void **state)
{
    (void)state;
    plx_channels_close(all_channels, 2);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_recordings)};

    return cmocka_run_group_tests(tests, load_module, unload_module);
}
