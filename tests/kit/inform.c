/* plx_channel_send between the kit's clients, in the place of store/inform.c. */
#include "store/inform.h"
#include "base/base64.h"
#include "channel/info.h"
#include "tests/kit/kit.h"
#include <stdlib.h>

static void tell(plx_test_socket *s, const plx_info *info)
{
    kit_sent *sent;

    if (!s->longpoll) {
        plx_socket_inform(s->core, info->topic, NULL, info->name, info->message);
        return;
    }
    sent = plx_alloc_zero(1, sizeof *sent);
    sent->info = KIT_ANY_SLOT;
    sent->topic = plx_slice_dup(info->topic);
    sent->event = plx_slice_dup(info->name);
    sent->payload = plx_slice_dup(info->message.bytes);
    sent->payload_len = info->message.bytes.len;
    sent->binary = info->message.kind == PLX_PAYLOAD_BINARY;
    plx_list_push(&s->sent, &sent->node);
}

static void answer_inform(plx_test *t, kit_request *r)
{
    plx_info info;
    int err = plx_info_unpack(plx_slice_make(r->payload, r->payload_len), &info);

    for (plx_list *n = t->sockets.next; err == 0 && n != &t->sockets; n = n->next) {
        plx_test_socket *s = PLX_CONTAINER(n, plx_test_socket, node);
        bool again = s->longpoll && r->producer[0] != '\0' && plx_kit_made(t, r) > 0;
        if (!s->closed && strcmp(s->id, r->key) == 0 && !again)
            tell(s, &info);
    }
    if (r->producer[0] != '\0' && plx_kit_made(t, r) == 0)
        plx_kit_note_made(t, r, 1);
    r->cb.done(r->arg, err);
}

void plx_inform(plx_store *s, plx_slice id, plx_slice body, plx_slice digest,
                void (*cb)(void *arg, int err), void *arg)
{
    kit_request *r = plx_kit_ask(s->test, answer_inform, arg);
    plx_buf text;

    plx_buf_init(&text, 0);
    plx_base64_encode(&text, digest, PLX_B64_URL | PLX_B64_NOPAD);
    r->producer = plx_slice_dup(plx_buf_slice(&text));
    plx_buf_fini(&text);
    r->key = plx_slice_dup(id);
    r->payload = plx_slice_dup(body);
    r->payload_len = body.len;
    r->cb.done = cb;
}
