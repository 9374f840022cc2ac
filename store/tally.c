/* See tally.h. Nothing waits for these commands: they go out with whatever else the loop turn has.
 */
#include "store/tally.h"
#include "base/alloc.h"
#include "store/control_internal.h"
#include "store/script.h"

#include <stdlib.h>

#define KEEP_S 3600

struct plx_tally {
    plx_store *store;
    ev_timer timer;
    bool left; /* there is something in Redis */
};

static void add_key(plx_command *c, const plx_store *s, const char *suffix)
{
    char *key = plx_asprintf("%s{workers}%s", plx_store_prefix(s), suffix);
    plx_command_str(c, key);
    free(key);
}

static void ignore(const plx_done *done, int err, const redisReply *reply)
{
    (void)done, (void)err, (void)reply; /* the next one will be */
}

static void send_tally(plx_store *s, plx_slice text)
{
    plx_command c;
    plx_script_begin(&c, PLX_SCRIPT_TALLY, 2);
    add_key(&c, s, "");
    add_key(&c, s, ":at");
    plx_command_str(&c, s->worker);
    plx_command_add(&c, text);
    plx_command_u64(&c, PLX_TALLY_DROP_MS);
    plx_command_u64(&c, KEEP_S);
    plx_script_send(s, &c, ignore, PLX_DONE(NULL, NULL));
}

void plx_tally_conn_up(plx_tally *t)
{
    plx_buf text;
    if (!t)
        return;
    plx_buf_init(&text, 0);
    plx_control_own_tally(t->store, &text);
    if (text.len > 0) {
        send_tally(t->store, plx_buf_slice(&text));
        t->left = true;
    }
    plx_buf_fini(&text);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    plx_tally *t = w->data;
    (void)loop, (void)revents;
    if (plx_conn_up(t->store->conn))
        plx_tally_conn_up(t);
}

plx_tally *plx_tally_open(plx_store *s)
{
    plx_tally *t = plx_alloc_zero(1, sizeof *t);
    t->store = s;
    ev_timer_init(&t->timer, on_timer, PLX_TALLY_S, PLX_TALLY_S);
    t->timer.data = t;
    ev_timer_start(s->loop, &t->timer);
    ev_unref(s->loop); /* it alone keeps no loop running */
    return t;
}

static void take_away(plx_store *s, const char *verb, const char *suffix)
{
    plx_command c;
    plx_command_init(&c, verb);
    add_key(&c, s, suffix);
    plx_command_str(&c, s->worker);
    plx_conn_send(s->conn, &c, 0, ignore, PLX_DONE(NULL, NULL));
}

void plx_tally_close(plx_tally *t)
{
    if (!t)
        return;
    ev_ref(t->store->loop);
    ev_timer_stop(t->store->loop, &t->timer);
    if (t->left && plx_conn_up(t->store->conn)) {
        take_away(t->store, "HDEL", "");
        take_away(t->store, "ZREM", ":at");
    }
    free(t);
}
