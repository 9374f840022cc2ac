/* See rules.h. */
#include "store/rules.h"
#include "base/alloc.h"
#include "base/json_scan.h"
#include "store/internal.h"
#include "store/topic.h"

#include <inttypes.h>
#include <stdlib.h>

#define AGAIN_S 60.
#define TTL_S   172800 /* nothing is left when the workers are gone for good */

/* Of the rules, and of the keys that a publication writes: lua/public/call.lua says the same. To be
 * raised with any change that makes an older publish.lua wrong. */
#define FORMAT 1

struct plx_rules {
    plx_store *store;
    ev_timer timer;
};

static void write_channel(const plx_channel_config *c, plx_buf *out)
{
    plx_buf_byte(out, '[');
    plx_json_quote(out, plx_slice_of(c->pattern));
    plx_buf_printf(out, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]",
                   c->has_history ? c->history_size : 0, c->has_history ? c->history_ttl_s : 0,
                   c->has_latest ? c->latest_ttl_s : 0);
}

static void write_section(const plx_socket_config *s, plx_buf *out)
{
    plx_buf_byte(out, '[');
    for (size_t i = 0; i < s->channel_count; i++) {
        plx_buf_str(out, i > 0 ? "," : "");
        write_channel(&s->channels[i], out);
    }
    plx_buf_byte(out, ']');
}

void plx_rules_write(const plx_config *c, plx_buf *out)
{
    plx_buf_printf(out,
                   "{\"format\":%d,\"version\":\"" PLX_VERSION
                   "\",\"messages\":%zu,\"bytes\":%zu,\"ttl_s\":%" PRIu64
                   ",\"meta_extra_s\":%d,\"latest_events\":%d,\"latest_bytes\":%d"
                   ",\"max_payload\":%zu,\"max_name\":%d,\"sections\":[",
                   FORMAT, c->delivery_log.messages, c->delivery_log.bytes, c->delivery_log.ttl_s,
                   PLX_META_EXTRA_S, PLX_LATEST_EVENTS, PLX_LATEST_BYTES, c->max_body_bytes,
                   PLX_RULES_NAME_MAX);
    for (size_t i = 0; i < c->socket_count; i++) {
        plx_buf_str(out, i > 0 ? "," : "");
        write_section(&c->sockets[i], out);
    }
    plx_buf_str(out, "]}");
}

static void written(const plx_done *done, int err, const redisReply *reply)
{
    (void)done, (void)err, (void)reply; /* the next one will be */
}

void plx_rules_conn_up(plx_rules *r)
{
    plx_command c;
    plx_buf text;
    if (!r)
        return;
    plx_buf_init(&text, 0);
    plx_rules_write(r->store->config, &text);
    char *key = plx_asprintf("%srules", plx_store_prefix(r->store));
    plx_command_init(&c, "SET");
    plx_command_str(&c, key);
    plx_command_add(&c, plx_buf_slice(&text));
    plx_command_str(&c, "EX");
    plx_command_u64(&c, TTL_S);
    plx_conn_send(r->store->conn, &c, 0, written, PLX_DONE(NULL, NULL));
    free(key);
    plx_buf_fini(&text);
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int revents)
{
    plx_rules *r = t->data;
    (void)loop, (void)revents;
    if (plx_conn_up(r->store->conn))
        plx_rules_conn_up(r);
}

plx_rules *plx_rules_open(plx_store *s)
{
    plx_rules *r = plx_alloc_zero(1, sizeof *r);
    r->store = s;
    ev_timer_init(&r->timer, on_timer, AGAIN_S, AGAIN_S);
    r->timer.data = r;
    ev_timer_start(s->loop, &r->timer);
    ev_unref(s->loop); /* it alone keeps no loop running */
    return r;
}

void plx_rules_free(plx_rules *r)
{
    if (!r)
        return;
    ev_ref(r->store->loop);
    ev_timer_stop(r->store->loop, &r->timer);
    free(r);
}
