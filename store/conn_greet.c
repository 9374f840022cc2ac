/* Greeting: what is sent before a connection counts as up. */
#include "base/clock.h"
#include "base/log.h"
#include "store/conn_internal.h"

#include <assert.h>

static void greeted(const plx_done *done, int err, const redisReply *reply)
{
    plx_conn *c = done->arg;
    (void)reply;
    if (err || c->state != PLX_CONN_GREETING)
        return; /* lost meanwhile, or a PING of later days */
    c->state = PLX_CONN_UP;
    c->since_ms = plx_now_ms();
    c->attempted = true;
    /* Worth a line only when there was one that it was not. */
    if (c->complained_ms != 0)
        plx_info("redis: %s connection is up", c->ops->label);
    c->complained_ms = 0;
    c->ops->up(c->owner);
}

static void greet(plx_conn *c, plx_command *command, plx_answer_fn *answer)
{
    plx_pending *p = plx_conn_new_pending(c, command, PLX_SEND_GREETING, answer, PLX_DONE(NULL, c));
    assert(p->err == 0);
    plx_conn_write_pending(c, p);
}

void plx_conn_greet(plx_conn *c, plx_command *command)
{
    greet(c, command, NULL);
}

void plx_conn_send_ping(plx_conn *c)
{
    plx_command ping;
    plx_command_init(&ping, "PING");
    greet(c, &ping, greeted);
}

static void send_auth(plx_conn *c)
{
    if (!c->url->password)
        return;
    plx_command auth;
    plx_command_init(&auth, "AUTH");
    if (c->url->user && c->url->user[0] != '\0')
        plx_command_str(&auth, c->url->user);
    plx_command_str(&auth, c->url->password);
    plx_conn_greet(c, &auth);
}

static void send_select(plx_conn *c)
{
    if (c->url->db == 0)
        return;
    plx_command select;
    plx_command_init(&select, "SELECT");
    plx_command_u64(&select, (uint64_t)c->url->db);
    plx_conn_greet(c, &select);
}

void plx_conn_start_greeting(plx_conn *c)
{
    c->state = PLX_CONN_GREETING;
    send_auth(c);
    send_select(c);
    if (c->ops->greet)
        c->ops->greet(c->owner);
    plx_conn_send_ping(c);
}

void plx_conn_repeat_scripts(plx_conn *c)
{
    c->script_lost = false;
    c->ops->greet(c->owner);
    plx_list_splice(&c->again, &c->queue);
    plx_list_splice(&c->queue, &c->again);
}
