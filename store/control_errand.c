/* Errands: calls that a program with nothing but a Redis client wants made (the installed script
 * control.lua).
 *
 *     "1 errand - 0 TICKET VERB LEN(ID)\nIDTOPIC"
 *
 * comes to every worker; the first one to take the ticket, a key that expires, makes the call like
 * one of its own and leaves the count in the list "<prefix>{call:TICKET}", where the program may
 * wait for it. A worker that dies over it leaves no count; then the program calls again.
 */
#include "base/alloc.h"
#include "store/control_internal.h"

#include <stdlib.h>

#define TICKET_BYTES 40 /* a SHA-1, in hexadecimal digits */
#define KEPT_S       "60"

typedef struct errand {
    plx_store *store;
    bool unsubscribes;
    plx_slice id, topic; /* owned */
    char *list;          /* the name of the list; owned */
} errand;

static void errand_free(errand *e)
{
    free((void *)e->id.data);
    free((void *)e->topic.data);
    free(e->list);
    free(e);
}

static void ignore(const plx_done *done, int err, const redisReply *reply)
{
    (void)done, (void)err, (void)reply; /* who waits in vain calls again */
}

static void send_ignored(plx_store *s, plx_command *c)
{
    plx_conn_send(s->conn, c, 0, ignore, PLX_DONE(NULL, NULL));
}

static void counted(void *arg, int err, unsigned count)
{
    errand *e = arg;
    plx_command c;
    if (!err) {
        plx_command_init(&c, "RPUSH");
        plx_command_str(&c, e->list);
        plx_command_u64(&c, count);
        send_ignored(e->store, &c);
        plx_command_init(&c, "EXPIRE");
        plx_command_str(&c, e->list);
        plx_command_str(&c, KEPT_S);
        send_ignored(e->store, &c);
    }
    errand_free(e);
}

static void claimed(const plx_done *done, int err, const redisReply *reply)
{
    errand *e = done->arg;
    if (err || !plx_reply_is(reply, "OK"))
        errand_free(e); /* another worker has it */
    else if (e->unsubscribes)
        plx_control_unsubscribe(e->store, e->id, e->topic, counted, e);
    else
        plx_control_disconnect(e->store, e->id, counted, e);
}

static void claim(errand *e, plx_slice ticket)
{
    plx_store *s = e->store;
    char *key = plx_asprintf("%s{call:%.*s}:by", plx_store_prefix(s), (int)ticket.len, ticket.data);
    plx_command c;
    plx_command_init(&c, "SET");
    plx_command_str(&c, key);
    plx_command_str(&c, s->worker);
    plx_command_str(&c, "NX");
    plx_command_str(&c, "EX");
    plx_command_str(&c, KEPT_S);
    plx_conn_send(s->conn, &c, 0, claimed, PLX_DONE(NULL, e));
    free(key);
}

static bool is_ticket(plx_slice t)
{
    for (size_t i = 0; i < t.len; i++)
        if (!strchr("0123456789abcdef", t.data[i]))
            return false;
    return t.len == TICKET_BYTES;
}

bool plx_control_errand(plx_calls *cs, plx_slice ticket, plx_slice verb, uint64_t id_len,
                        plx_slice body)
{
    bool unsubscribes = plx_slice_is(verb, "unsubscribe");
    if (!is_ticket(ticket) || !(unsubscribes || plx_slice_is(verb, "disconnect")) || id_len == 0 ||
        id_len > body.len || unsubscribes != (body.len > id_len))
        return false;
    if (!cs->control)
        return true; /* not a worker, or one that is about to end */
    plx_slice id = plx_slice_make(body.data, (size_t)id_len);
    plx_slice topic = plx_slice_make(body.data + id_len, body.len - (size_t)id_len);
    errand *e = plx_alloc_zero(1, sizeof *e);
    *e = (errand){.store = cs->store,
                  .unsubscribes = unsubscribes,
                  .id = plx_slice_copy(id),
                  .topic = plx_slice_copy(topic),
                  .list = plx_asprintf("%s{call:%.*s}", plx_store_prefix(cs->store),
                                       (int)ticket.len, ticket.data)};
    claim(e, ticket);
    return true;
}
