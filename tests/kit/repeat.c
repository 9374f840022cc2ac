/* The worker that dies over a long-polling client's message: everything has happened but that the
 * outcome was kept, so another worker handles the same message again, with the same message id.
 *
 * The first time is a rehearsal: what the client was told, its memberships and timers are taken
 * back; what was published and who is present stays, and is known again by the message's number.
 */
#include "tests/kit/kit.h"
#include <stdio.h>
#include <stdlib.h>

void plx_test_worker_dies(plx_test_socket *s)
{
    if (!s->longpoll || s->closed) {
        fprintf(stderr, "pollux-test: %s is no long-polling client with a session\n", s->name);
        abort();
    }
    s->dies = true;
}

static kit_delivery *delivery_at(plx_list *n)
{
    return PLX_CONTAINER(n, kit_delivery, node);
}

static unsigned count(const plx_list *list)
{
    unsigned n = 0;

    for (const plx_list *l = list->next; l != list; l = l->next)
        n++;
    return n;
}

void plx_kit_rehearse(plx_test_socket *s)
{
    s->rehearses = true;
    s->dies = false;
    s->slots_before = s->slots;
    s->letters_before = count(&s->mailbox);
    for (plx_list *n = s->deliveries.next; n != &s->deliveries; n = n->next) {
        kit_delivery *d = delivery_at(n);
        d->before.after = d->after;
        d->before.diffs = d->diffs;
        d->before.open = d->open;
    }
}

static void take_back_deliveries(plx_test_socket *s)
{
    plx_list *next;

    for (plx_list *n = s->deliveries.next; n != &s->deliveries; n = next) {
        kit_delivery *d = delivery_at(n);
        next = n->next;
        if (d->slot > s->slots_before) {
            plx_kit_delivery_free(d);
            continue;
        }
        d->after = d->before.after;
        d->diffs = d->before.diffs;
        d->open = d->before.open;
        d->crashed = false;
    }
}

static void take_back_letters(plx_test_socket *s)
{
    plx_list *n = s->mailbox.next, *next, drop;

    for (unsigned i = 0; i < s->letters_before; i++)
        n = n->next;
    plx_list_init(&drop);
    for (; n != &s->mailbox; n = next) {
        next = n->next;
        plx_list_remove(n);
        plx_list_push(&drop, n);
    }
    plx_kit_letters_free(&drop);
}

void plx_kit_take_back(plx_test_socket *s)
{
    uint64_t entry = s->core->entry;

    plx_kit_longpoll_forget(s);
    take_back_deliveries(s);
    take_back_letters(s);
    s->slots = s->slots_before;
    s->entry = entry - 1; /* the same number again */
    s->rehearses = false;
    s->repeats = true;
}
