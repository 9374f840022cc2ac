/* plx_channel_send: messages from one channel to those of a socket id. */
#include "base/error.h"
#include "channel/info.h"
#include "channel/socket_core.h"
#include "store/inform.h"

#include <stdio.h>

/* About what one takes while it is under way, beside its strings. */
#define COST 512

/* Room for a message id and a number behind it. */
#define DIGEST_MAX 64

static void sent(void *arg, int err)
{
    plx_broadcast_done(arg, err, NULL, false);
}

/* In a session's inbox entry the message is known again when the entry is worked once more. */
static plx_slice digest_of(const plx_call *call, char *room, size_t size)
{
    plx_slice id = plx_call_message_id(call);
    int n = snprintf(room, size, "%.*s:%u", (int)id.len, id.data, call->issued);

    if (call->m->socket->entry == 0 || n < 0 || (size_t)n >= size)
        n = 0;
    return plx_slice_make(room, (size_t)n);
}

int plx_channel_send(plx_channel *ch, plx_call *given, plx_slice socket_id, plx_slice topic,
                     plx_slice name, plx_payload message)
{
    plx_call *call = plx_call_of(ch, given);
    char room[DIGEST_MAX + 1];
    plx_slice digest;
    plx_buf body;
    int err = call ? plx_call_check_info(call, name, message) : PLX_E_INVALID;

    if (err == 0)
        err = plx_call_check_room(call, topic);
    if (err == 0 && socket_id.len == 0)
        err = PLX_E_INVALID;
    if (err == 0 && socket_id.len > PLX_NAME_MAX)
        err = PLX_E_TOOBIG;
    if (err != 0 || plx_call_is_elsewhere(call))
        return err;
    plx_buf_init(&body, 0);
    plx_info_pack(&body, topic, name, message);
    digest = digest_of(call, room, sizeof room); /* before it is counted */
    plx_inform(call->m->socket->store, socket_id, plx_buf_slice(&body), digest, sent,
               plx_broadcast_new(call, COST + body.len));
    plx_buf_fini(&body);
    return 0;
}
