/* The end of a membership, and what its backend still does in terminate.
 *
 * terminate has no call that could be answered, but it may broadcast ("somebody has
 * left"). The broadcasts of one terminate hang on a call that is in no lane: nobody
 * waits for them but a long-poll session's commit. Their producer numbers are apart
 * from those of messages, and the same whenever the inbox entry is worked again:
 * when a membership ends may differ from run to run, which one it is does not.
 */
#include "channel/counters.h"
#include "channel/socket_core.h"

#define HALF (PLX_FAREWELLS / 2)

static uint32_t number_of(const plx_membership *m)
{
    if (m->restored)
        return PLX_FAREWELLS + m->slot % HALF;
    return PLX_FAREWELLS + HALF + m->joined_as % HALF;
}

void plx_membership_terminate(plx_membership *m, enum plx_end_reason reason)
{
    const plx_channel_entry *entry = m->entry;
    plx_socket *s = m->socket;
    plx_call *outer = s->farewell;
    plx_membership *outer_leaving = s->leaving;

    if (!entry->backend->terminate)
        return;
    s->farewell = NULL;
    s->leaving = m;
    entry->backend->terminate(entry->state, (plx_channel *)m, reason);
    if (s->farewell)
        plx_call_unref(s->farewell);
    s->farewell = outer;
    s->leaving = outer_leaving;
}

plx_call *plx_call_of(plx_channel *ch, plx_call *given)
{
    plx_membership *m = (plx_membership *)ch;
    plx_socket *s = m->socket;

    if (given || s->leaving != m)
        return given;
    if (!s->farewell)
        s->farewell = plx_call_loose(m, number_of(m));
    return s->farewell;
}

void plx_socket_end_new(plx_socket *s)
{
    s->keeps_presence = true;
    for (plx_list *n = s->memberships.next; n != &s->memberships; n = n->next) {
        plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        if (!m->restored)
            plx_membership_end(m, PLX_END_CLOSED);
    }
}

void plx_membership_end(plx_membership *m, enum plx_end_reason reason)
{
    if (m->state == PLX_ENDED)
        return;
    m->state = PLX_ENDED;
    m->socket->membership_count--;
    plx_counted.memberships--;
    if (!m->socket->closing)
        plx_spent_keep(&m->socket->spent, m->topic, m->bucket, m->socket->message_ms);
    plx_tracks_end(m, m->socket->closing);
    plx_timers_free(m);
    if (m->accepted)
        plx_membership_terminate(m, reason);
    if (m->noted) /* and not kept by a parting */
        plx_owner_forget(m->socket->store, m->topic, m->socket->session);
    m->noted = false;
}
