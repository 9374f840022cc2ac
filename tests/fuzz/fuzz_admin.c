/* Fuzzing what reads the server API's bodies, and the state of a membership as it comes out of
 * Redis. The first byte chooses. What must hold:
 * - a publication that is accepted is within its bounds, its topic is routed, its payload valid;
 * one that is refused has an error document, which is JSON, and a status that the API knows;
 * - a membership that can be restored is packed into something that restores to the same.
 */
#include "base/error.h"
#include "base/json_scan.h"
#include "base/utf8.h"
#include "channel/admin_request.h"
#include "channel/message.h"
#include "channel/route.h"
#include "channel/socket.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static plx_channel_config channel_configs[] = {
    {.pattern = (char *)"room:*"},
    {.pattern = (char *)"hist:*", .has_history = true, .history_size = 5, .history_ttl_s = 5}};
static plx_socket_config section = {
    .channels = channel_configs, .channel_count = 2, .max_channels = 10};
static plx_config config = {.sockets = &section, .socket_count = 1, .max_body_bytes = 500};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void check_error(unsigned status, json_object *error)
{
    static const char *const outer[] = {"error"};
    plx_json_value value;
    plx_buf json;

    plx_buf_init(&json, 0);
    plx_json_write(&json, error);
    must(status == 404 || status == 422);
    must(plx_json_cut_object(plx_buf_slice(&json), outer, &value, 1) == 0 &&
         value.type == PLX_JSON_OBJECT);
    plx_buf_fini(&json);
}

static void check_publication(const plx_publication *p)
{
    must(p->topic.len > 0 && p->topic.len <= PLX_NAME_MAX && plx_utf8_valid(p->topic));
    must(p->event.len > 0 && p->event.len <= PLX_NAME_MAX && plx_utf8_valid(p->event));
    must(p->key.len <= PLX_ADMIN_KEY_MAX && p->payload.len <= config.max_body_bytes);
    must(plx_route_channel(&section, p->topic) != NULL);
    if (p->kind == PLX_KIND_JSON)
        must(plx_json_check(p->payload, NULL) == 0);
    else
        must(p->kind == PLX_KIND_BINARY && p->history_size == 0);
}

static void fuzz_body(plx_slice text, uint8_t what)
{
    plx_admin_publication publication;
    json_object *error;
    plx_json_value body;
    plx_buf id, topic;
    unsigned status;

    if (plx_json_check(text, &body) != 0)
        return;
    error = plx_json_new_object();
    plx_buf_init(&id, 0);
    plx_buf_init(&topic, 0);
    plx_admin_publication_init(&publication);
    if (what == 'd') {
        status = plx_admin_read_id(body, &id, error);
        must(status != 0 || (id.len > 0 && id.len <= PLX_NAME_MAX));
    } else if (what == 'u') {
        status = plx_admin_read_unsubscribe(&config, body, &id, &topic, error);
        must(status != 0 || (id.len > 0 && id.len <= PLX_NAME_MAX && topic.len > 0 &&
                             plx_route_channel(&section, plx_buf_slice(&topic))));
    } else {
        status = plx_admin_read_publication(&config, body, &publication, error);
        if (status == 0)
            check_publication(&publication.p);
    }
    if (status != 0)
        check_error(status, error);
    plx_admin_publication_fini(&publication);
    plx_buf_fini(&topic);
    plx_buf_fini(&id);
    json_object_put(error);
}

static void emit(plx_socket *s, const plx_out *out)
{
    (void)s;
    (void)out;
    abort(); /* nobody says anything here */
}

static void closed(plx_socket *s, plx_membership *m)
{
    (void)s;
    (void)m;
}

static void fuzz_state(plx_slice state)
{
    static const plx_socket_ops ops = {.name = "fuzz", .emit = emit, .closed = closed};
    static plx_channel_entry entries[] = {
        {.config = &channel_configs[0], .backend = &plx_echo_backend},
        {.config = &channel_configs[1], .backend = &plx_echo_backend}};
    static const plx_channels channels = {.config = &section, .entries = entries};
    plx_socket_init init = {.ops = &ops, .channels = &channels};
    plx_socket *s = plx_socket_new(&init);
    plx_slot slot = {
        .number = 1, .topic = plx_slice_of("room:a"), .start = {"e", 0}, .state = state};
    plx_membership *a = plx_socket_restore(s, &slot), *b;
    plx_buf packed;

    plx_buf_init(&packed, 0);
    if (a) {
        plx_membership_pack(a, &packed);
        slot.number = 2;
        slot.topic = plx_slice_of("room:b");
        slot.state = plx_buf_slice(&packed);
        b = plx_socket_restore(s, &slot);
        must(b && plx_term_eq(a->join_ref, b->join_ref) && plx_term_eq(a->ref, b->ref));
        must(plx_slice_eq(a->assigns, b->assigns));
    }
    plx_buf_fini(&packed);
    plx_socket_forget(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    plx_slice rest;

    if (size == 0)
        return 0;
    rest = plx_slice_make(data + 1, size - 1);
    if (data[0] == 's')
        fuzz_state(rest);
    else
        fuzz_body(rest, data[0]);
    return 0;
}
