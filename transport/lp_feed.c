/* What an inbox entry tells the channels of its session: a client's messages, a slot that has
 * failed, a channel that the server closes, a message to handle_info. */
#include "transport/lp_body.h"
#include "transport/lp_work.h"

#include "base/log.h"
#include "channel/info.h"

#include <stdlib.h>

static plx_membership *membership_of(const plx_lp_work *w, unsigned long slot)
{
    for (plx_list *n = w->socket->memberships.next; n != &w->socket->memberships; n = n->next) {
        plx_membership *m = PLX_CONTAINER(n, plx_membership, node);
        if (m->slot == slot)
            return m;
    }
    return NULL;
}

static void feed_post(plx_lp_work *w, plx_slice body)
{
    if (body.len == 0)
        return;
    plx_lp_body walk;
    plx_message m;
    plx_lp_body_init(&walk, w->vsn, body.data[0] == 'n',
                     plx_slice_make(body.data + 1, body.len - 1));
    while (plx_lp_body_next(&walk, &m) > 0)
        plx_socket_handle(w->socket, &m);
    plx_lp_body_fini(&walk);
}

/* A poll found a gap in the log of this slot, or its handle_out crashed. */
static void feed_failed(plx_lp_work *w, plx_slice body, void (*fail)(plx_membership *m))
{
    char digits[16] = "";
    memcpy(digits, body.data, body.len < sizeof digits - 1 ? body.len : sizeof digits - 1);
    unsigned long slot = strtoul(digits, NULL, 10);
    plx_membership *m = membership_of(w, slot);
    if (m) {
        m->transport = w; /* marks that its end needs no offset */
        fail(m);
    }
}

/* The server closes the channel of this topic. */
static void feed_close(plx_lp_work *w, plx_slice topic)
{
    plx_membership *m = plx_socket_find(w->socket, topic);
    w->outcome = m ? PLX_CLOSED_ONE : PLX_CLOSED_NONE;
    if (m)
        plx_membership_close(m, NULL);
}

/* Of a timer: for this membership or nobody. */
static void feed_info(plx_lp_work *w, plx_slice body)
{
    plx_info info;
    if (plx_info_unpack(body, &info) != 0) {
        plx_log_limited(PLX_WARNING, "session %s: a message to handle_info is damaged", w->sid);
        return;
    }
    const plx_membership *m = info.slot > 0 ? membership_of(w, info.slot) : NULL;
    if (info.slot == 0 || m)
        plx_socket_inform(w->socket, m ? m->topic : info.topic, m, info.name, info.message);
}

void plx_lp_work_feed(plx_lp_work *w, const plx_entry *entry)
{
    switch (entry->kind) {
    case PLX_ENTRY_POST:
        feed_post(w, entry->body);
        break;
    case PLX_ENTRY_LOST:
        feed_failed(w, entry->body, plx_membership_lost);
        break;
    case PLX_ENTRY_CRASH:
        feed_failed(w, entry->body, plx_membership_crash);
        break;
    case PLX_ENTRY_INFO:
        feed_info(w, entry->body);
        break;
    case PLX_ENTRY_CLOSE:
        feed_close(w, entry->body);
        break;
    }
}
